"""Where the shipped files lie, in a wheel and in a checkout."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Literal


def shipped_folder(name: Literal["strategies", "datasets"]) -> Path:
    """Return the folder `name` that ships with autometa.

    In a wheel the folder lies inside the package; in a checkout (also an editable
    install) it lies beside the package, next to ``pyproject.toml``.

    Raises
    ------
    FileNotFoundError
        If neither place has it: the installation is damaged.
    """
    package = Path(str(resources.files("autometa")))
    inside, beside = package / name, package.parent / name
    if inside.is_dir():
        return inside
    if beside.is_dir() and (package.parent / "pyproject.toml").is_file():
        return beside
    raise FileNotFoundError(
        f"autometa's folder {name!r} is missing; looked at {inside} and {beside}. Reinstall autometa."
    )
