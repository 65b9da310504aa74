"""What an installation has beside the modules."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_type_checkers_are_told_that_the_package_has_types() -> None:
    assert (files("autometa") / "py.typed").is_file()


def test_the_wheel_takes_every_file_of_the_package() -> None:
    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    wheel = hatch["targets"]["wheel"]
    assert wheel["packages"] == ["autometa"]
    # Anything else here could leave out what is not a module.
    assert set(hatch) == {"targets"} and set(wheel) == {"packages", "force-include"}


def test_git_ignores_no_file_that_the_wheel_should_have() -> None:
    # Hatchling leaves out what git ignores.
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("needs a checkout and git")
    asked = subprocess.run(["git", "check-ignore", "autometa/py.typed"], cwd=ROOT, capture_output=True, text=True)
    assert (asked.returncode, asked.stdout) == (1, "")
