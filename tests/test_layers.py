"""A module imports only from its own package and from packages below it, and `import autometa` is light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import autometa
from docs.house import module_list, written_list

PACKAGE = Path(autometa.__file__).parent

# What stands at the top of the package and is not listed here belongs to layer 8.
LAYERS = {
    "exceptions": -1,  # names only; everything may raise them
    "_support": 0,
    "core": 1,
    # Beside `core`, of which it needs nothing: learners may start from what it has learnt.
    "maml": 1,
    "tables": 2,
    "learners": 3,
    "ensemble": 3,
    "evaluation": 4,
    "catalogue": 4,
    "posthoc": 5,
    "search": 5,
    "metadataset": 6,
    "policy": 7,
    # Packages beside the modules at the top: figures, and the page that shows them.
    "plots": 8,
    "html_report": 8,
    # A warm start asks for advice, so it stands above what advises.
    "transfer": 9,
    "metalearning": 10,
    "cli": 11,
    "__main__": 12,
}
# What `fit` is made of, and what users see of it: one package without a folder.
TOP = 8
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")

# Libraries that only some layers may know.
HOMES = {
    "torch": {"learners", "maml", "metalearning", "transfer"},
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
            # `from autometa.learners import ridge` may be an import of autometa.learners.ridge.
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def name_of(path: Path) -> str:
    """Return the dotted name of a module, that of its package for an ``__init__.py``."""
    return ".".join(["autometa", *path.with_suffix("").parts]).removesuffix(".__init__")


def imported_modules(path: Path) -> set[str]:
    """Return the modules of autometa that a module imports by name, its own packages aside."""
    names = {name_of(other) for other in MODULES}
    found = set()
    for _, name in imports(path):
        module = name if name in names else name.rpartition(".")[0]
        if module in names:
            found.add(module)
    return found - {name_of(path)}


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_module_imports_only_from_its_own_package_and_from_those_below(path: Path):
    home = path.parts[0].removesuffix(".py")
    for line, name in imports(path):
        if name.split(".")[0] != "autometa" or not (other := home_of(name)) or other not in names_at_the_top():
            continue
        together = other == home or layer_of(other) == layer_of(home) == TOP
        assert together or layer_of(other) < layer_of(home), (
            f"{path}:{line}: {home} (layer {layer_of(home)}) must not import {name} (layer {layer_of(other)})"
        )


def test_no_modules_import_each_other_in_a_circle():
    graph = {name_of(path): imported_modules(path) for path in MODULES}
    while free := {name for name, needed in graph.items() if not needed}:
        graph = {name: needed - free for name, needed in graph.items() if name not in free}
    # What is left imports something that is left; leave out what nothing left imports, and circles remain.
    while above := graph.keys() - set().union(*graph.values()):
        graph = {name: needed for name, needed in graph.items() if name not in above}
    assert not graph, {name: sorted(needed & graph.keys()) for name, needed in graph.items()}


def test_only_the_command_line_knows_how_knowledge_is_made():
    for path in MODULES:
        if path.parts[0] not in ("metalearning", "cli"):
            assert not [name for _, name in imports(path) if name.startswith("autometa.metalearning")], path


def test_every_module_is_named_in_the_architecture():
    assert written_list() == module_list(), "run: python docs/house.py"


@pytest.mark.parametrize("path", [path for path in MODULES if path.name != "__init__.py"], ids=str)
def test_every_module_has_tests_of_its_name_or_says_which_tests_are_its(path: Path):
    """A module without ``tests/…/test_<module>.py`` has a comment ``# Tests: tests/…``."""
    root = PACKAGE.parent
    if (root / "tests" / path.parent / f"test_{path.name}").exists():
        return
    named = re.findall(r"^# Tests: (\S+)$", (PACKAGE / path).read_text(encoding="utf-8"), re.MULTILINE)
    assert named, f"{path} has no tests/{path.parent}/test_{path.name} and no line '# Tests: tests/…'"
    assert [name for name in named if not (root / name).exists()] == []


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
