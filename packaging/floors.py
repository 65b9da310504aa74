"""Print the oldest versions that pyproject.toml allows, as a constraints file: `python packaging/floors.py`."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("plots", "meta", "dask", "xgboost")


def floors() -> list[str]:
    """Return a line ``name==version`` for each dependency and each extra for users, sorted."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(one for extra in EXTRAS for one in project["optional-dependencies"][extra])]
    found = set()
    for requirement in wanted:
        name, version = re.match(r"([A-Za-z0-9_.-]+)>=([0-9.]+)", requirement).groups()
        # A floor of two numbers is their first release.
        found.add(f"{name}=={version}")
    return sorted(found)


if __name__ == "__main__":
    sys.stdout.write("# The floors of pyproject.toml; `python packaging/floors.py` writes this file.\n")
    sys.stdout.write("\n".join(floors()) + "\n")
