"""The pages of the site: its reference names everything public, and its contents list every page."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import autometa

ROOT = Path(__file__).parents[1]


def _text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", autometa.__all__)
def test_every_public_name_is_in_the_reference(name: str) -> None:
    assert re.search(rf"^\.\. auto(class|function):: {name}$", _text("docs/reference.md"), flags=re.MULTILINE)


@pytest.mark.parametrize("package", ["maml", "plots"])
def test_public_packages_are_in_the_reference(package: str) -> None:
    named = set(re.findall(r"^\.\. automodule:: (\S+)$", _text("docs/reference.md"), flags=re.MULTILINE))
    assert f"autometa.{package}" in named
    if package == "maml":
        listed = re.findall(
            r"`(\w+)`", re.split(r"=+  =+\n", importlib.import_module("autometa.maml").__doc__ or "")[1]
        )
        assert {f"autometa.maml.{module}" for module in listed} <= named
    for module in named:
        importlib.import_module(module)


def test_the_contents_list_every_page() -> None:
    listed = set()
    for block in re.findall(r"```\{toctree\}\n(.*?)```", _text("docs/index.md"), flags=re.DOTALL):
        for line in block.splitlines():
            if line and not line.startswith(":"):
                listed |= {path.resolve() for path in (ROOT / "docs").glob(f"{line}.md")}
                if line.startswith("../"):
                    listed.add((ROOT / "docs" / f"{line}.md").resolve())
    pages = {*ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md"), *ROOT.glob("*.md")}
    pages -= {ROOT / "docs" / "index.md", *ROOT.glob("docs/build/**/*.md")}
    assert {page.resolve() for page in pages} <= listed
