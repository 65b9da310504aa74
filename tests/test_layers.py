"""A module imports only from its own package and from packages below it, and `import autometa` is light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import autometa

PACKAGE = Path(autometa.__file__).parent

# What stands at the top of the package and is not listed here belongs to layer 7.
LAYERS = {
    "exceptions": -1,  # names only; everything may raise them
    "_support": 0,
    "core": 1,
    # Beside `core`, of which it needs nothing: learners may start from what it has learnt.
    "maml": 1,
    "learners": 2,
    "ensemble": 2,
    "evaluation": 3,
    "search": 4,
    "metadataset": 5,
    "catalogue": 5,
    "policy": 6,
    "transfer": 7,
    "cli": 8,
    "__main__": 9,
}
# What `fit` is made of, and what users see of it: one package without a folder.
TOP = 7
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")

# Libraries that only some layers may know.
HOMES = {
    "torch": {"learners", "maml", "policy", "transfer"},
    "lightgbm": {"learners"},
    "catboost": {"learners"},
    "xgboost": {"learners"},
}


def home_of(dotted: str) -> str:
    """Return the package below autometa that a dotted name is in, or the module at its top."""
    return dotted.split(".")[1] if "." in dotted else ""


def layer_of(home: str) -> int:
    return LAYERS.get(home, TOP)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the dotted name of each import, also of those inside functions."""
    for node in ast.walk(ast.parse((PACKAGE / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
            # `from autometa import learners` is an import of autometa.learners.
            names = [alias.name for alias in node.names] if node.module == "autometa" else [""]
            yield from ((node.lineno, f"{node.module}.{name}".rstrip(".")) for name in names)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_module_imports_only_from_its_own_package_and_from_those_below(path: Path):
    home = path.parts[0].removesuffix(".py")
    for line, name in imports(path):
        if name.split(".")[0] != "autometa" or not (other := home_of(name)) or other not in names_at_the_top():
            continue
        # `transfer` stands on the top of layer 7: a warm start asks for advice. Nothing there knows `transfer`.
        together = other == home or (layer_of(other) == layer_of(home) == TOP and other != "transfer")
        assert together or layer_of(other) < layer_of(home), (
            f"{path}:{line}: {home} (layer {layer_of(home)}) must not import {name} (layer {layer_of(other)})"
        )


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_heavy_library_is_imported_only_in_its_place(path: Path):
    home = path.parts[0].removesuffix(".py")
    for line, name in imports(path):
        allowed = HOMES.get(name.split(".")[0])
        assert allowed is None or home in allowed, f"{path}:{line}: {name} belongs into {sorted(allowed or ())}"


@pytest.mark.parametrize("path", [path for path in MODULES if path.parts[0] in ("_support", "exceptions.py")], ids=str)
def test_support_needs_nothing_but_the_standard_library_at_import(path: Path):
    for node in ast.parse((PACKAGE / path).read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            name = node.names[0].name if isinstance(node, ast.Import) else str(node.module)
            assert name.split(".")[0] in {*sys.stdlib_module_names, "autometa"}, f"{path}:{node.lineno}: {name}"


def test_every_package_has_a_layer():
    packages = {path.parts[0] for path in MODULES if len(path.parts) > 1}
    assert packages <= set(LAYERS)


def names_at_the_top() -> set[str]:
    return {path.parts[0].removesuffix(".py") for path in MODULES}


def loaded_by(statements: str) -> set[str]:
    """Return the names of the libraries that a fresh interpreter has loaded after some statements."""
    code = f"import sys\n{statements}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return set(result.stdout.split())


HEAVY = {"torch", "lightgbm", "catboost", "xgboost", "sklearn", "optuna", "pandas", "numpy", "scipy", "pydantic"}


def test_importing_autometa_loads_no_heavy_library():
    loaded = loaded_by("import autometa; dir(autometa); autometa.__version__")
    assert "autometa" in loaded
    assert not loaded & HEAVY


@pytest.mark.slow
def test_importing_the_estimators_loads_no_boosting_library_and_no_torch():
    loaded = loaded_by("from autometa import AutoMeta, load_strategies; AutoMeta()")
    assert "sklearn" in loaded
    assert not loaded & {"torch", "lightgbm", "catboost", "xgboost", "matplotlib"}


def test_public_names_can_be_had():
    for name in autometa.__all__:
        assert getattr(autometa, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        autometa.absent  # noqa: B018
