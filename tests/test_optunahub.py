"""The packages for OptunaHub's registry: their layout, and that their examples run with the modules beside them."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest

REGISTRY = Path(__file__).parents[1] / "packaging" / "optunahub"
PACKAGES = ("samplers/autometa_sampler", "pruners/autometa_pruner")


@pytest.mark.parametrize("package", PACKAGES)
def test_the_readme_has_the_fields_of_the_registry_and_shows_the_example(package: str) -> None:
    folder = REGISTRY / "package" / package
    text = (folder / "README.md").read_text(encoding="utf-8")
    _, fields, page = text.split("---\n", 2)
    names = [line.partition(":")[0] for line in fields.splitlines()]
    assert names == ["author", "title", "description", "tags", "optuna_versions", "license"]
    assert package.partition("/")[0].rstrip("s") in re.search(r"tags: \[(.*)\]", fields)[1].split(", ")  # type: ignore[index]
    assert (folder / "example.py").read_text(encoding="utf-8") in page
    assert (folder / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")


def _local(package: str) -> Any:
    """Return a module as `optunahub.load_local_module` loads it, or from its file where optunahub is not installed."""
    try:
        import optunahub
    except ImportError:
        names: dict[str, Any] = {}
        exec((REGISTRY / "package" / package / "__init__.py").read_text(encoding="utf-8"), names)
        return SimpleNamespace(**{name: names[name] for name in names["__all__"]})
    return optunahub.load_local_module(package, registry_root=str(REGISTRY / "package"))


@pytest.mark.parametrize("package", PACKAGES)
def test_the_example_runs(package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    hub = SimpleNamespace(load_module=lambda package: _local(package))
    monkeypatch.setitem(__import__("sys").modules, "optunahub_of_the_example", hub)
    code = (REGISTRY / "package" / package / "example.py").read_text(encoding="utf-8")
    code = code.replace("import optunahub\n", "import optunahub_of_the_example as optunahub\n")
    exec(compile(code, package, "exec"), {"__name__": "example"})
    assert float(capsys.readouterr().out.split()[0]) < 0.5
