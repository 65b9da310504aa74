"""What the pages show runs, and what they name exists."""

from __future__ import annotations

import argparse
import ast
import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

import autometa
from autometa import AutoMeta
from autometa.catalogue import load_strategies
from autometa.cli import _parser
from autometa.parameters import DEFAULT_TIME_BUDGET_S

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "benchmarks/*.md", "datasets/*.md")
    for page in ROOT.glob(pattern)
)
# A budget on a page is what a reader would give; here it need not be waited for, nor depend on the machine.
_QUICK = 'strategies=["logistic_regression", "nearest_neighbours"], n_jobs=1, n_trials=4'
SHORTER = ((r"AutoMeta\(time_budget=\d+", f"AutoMeta({_QUICK}"), (r"study, n_trials=50\b", f"study, {_QUICK}"))


def _blocks(page: str, *languages: str) -> list[str]:
    """Return the code blocks of a page in some languages; ``""`` is a block without one."""
    found = re.findall(r"^```(\w*)\n(.*?)^```", _text(page), flags=re.DOTALL | re.MULTILINE)
    return [code for language, code in found if language in languages]


def _text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def _run(page: str, names: dict[str, Any]) -> dict[str, Any]:
    """Run the Python blocks of a page one after another, as a reader would who types them in."""
    for code in _blocks(page, "python"):
        n_lines_before = _text(page).split(code)[0].count("\n")
        for pattern, shorter in SHORTER:
            code = re.sub(pattern, shorter, code)
        exec(compile("\n" * n_lines_before + code, str(ROOT / page), "exec"), names)
    return names


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("optuna.logging._default_handler", None)
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


# ---------------------------------------------------------------------------------- Python


@pytest.mark.slow
def test_the_readme_runs_as_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def objective(trial: optuna.Trial) -> float:
        return (trial.suggest_float("x", -5, 5) - 2) ** 2

    # The second example speaks of studies that its reader has.
    old = optuna.create_study(storage="sqlite:///old.db", study_name="lgbm-1")
    old.optimize(objective, n_trials=20)
    names = _run("README.md", {"objective": objective})
    assert len(names["study"].trials) == 30
    assert [source.name for source in names["archive"].sources] == ["lgbm-1"]
    assert (tmp_path / "model.autometa").is_file()
    _has_the_columns_of("README.md", capsys.readouterr().out)


@pytest.mark.slow
def test_the_user_guide_runs_as_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = _run("docs/user-guide.md", {})
    assert names["advice"]["probability"].is_monotonic_decreasing
    assert np.isfinite(names["losses"].to_numpy()).any()
    assert (tmp_path / "study.db").is_file() and (tmp_path / "model.autometa").is_file()
    assert len(names["study"].trials) == 4
    _has_the_columns_of("docs/user-guide.md", capsys.readouterr().out)


def test_the_page_on_decisions_runs_as_written(capsys: pytest.CaptureFixture[str]) -> None:
    names = _run("docs/how-it-decides.md", {})
    assert names["advice"].attrs["forecast"]["n_trials"] > 1
    assert set(names["why"]["origin"]) == {"policy"}
    assert "expected_gain" in capsys.readouterr().out


@pytest.mark.slow
def test_the_page_on_transfer_runs_as_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _run("docs/transfer.md", {})
    printed = capsys.readouterr().out
    assert "no transfer" in printed and "lr" in printed
    assert (tmp_path / "studies.db").is_file()


@pytest.mark.slow
def test_the_page_on_pruning_runs_as_written(capsys: pytest.CaptureFixture[str]) -> None:
    names = _run("docs/pruning.md", {})
    assert any(trial.state == optuna.trial.TrialState.PRUNED for trial in names["study"].trials)
    assert re.fullmatch(r"0\.\d+ \d+ of 800 steps", capsys.readouterr().out.strip())


@pytest.mark.slow
def test_the_page_on_meta_learning_runs_as_written(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    _run("docs/maml.md", {})
    before, after_one, after_three = map(float, capsys.readouterr().out.strip("[] \n").split())
    assert after_three < after_one < before


def test_the_page_on_mlp_maml_runs_as_written() -> None:
    _run("docs/mlp_maml.md", {})


def test_the_page_on_records_runs_as_written() -> None:
    names = _run("datasets/README.md", {})
    assert "abalone" in set(names["test"].tasks["task"])


def test_every_page_with_python_is_run() -> None:
    tested = set(re.findall(r'_run\("([^"]+)"', Path(__file__).read_text(encoding="utf-8")))
    assert {page for page in PAGES if _blocks(page, "python")} == tested


def _has_the_columns_of(page: str, printed: str) -> None:
    """Check that tables have the columns on the page; their numbers depend on the machine."""
    shown = [
        line.split()
        for block in _blocks(page, "")
        for line in block.splitlines()
        if re.match(r"\s+\w*.*\bstrategy\b", line)
    ]
    assert shown
    heads = [line.split() for line in printed.splitlines()]
    assert all(columns in heads for columns in shown)


def test_strategy_files_on_pages_are_read(tmp_path: Path) -> None:
    for page in PAGES:
        for block in _blocks(page, "toml"):
            name = re.search(r'^name = "(\w+)"', block, flags=re.MULTILINE)[1]
            (tmp_path / f"{name}.toml").write_text(block, encoding="utf-8")
            assert load_strategies([f"{name}.toml"])[0].name == name


# ---------------------------------------------------------------------------------- shell


def _command_lines(page: str, program: str) -> list[str]:
    """Return what a page tells its reader to type, in blocks and in sentences, without comments."""
    lines = [line for block in _blocks(page, "", "sh", "bash", "console") for line in block.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", _text(page), flags=re.DOTALL))
    lines = [line.split("#")[0].strip().removeprefix("$ ") for line in lines]
    return [line for line in lines if re.match(rf"{program}\s+[\w.-]", line)]


def _options_of(parser: argparse.ArgumentParser) -> set[str]:
    return {option for action in parser._actions for option in action.option_strings}


_COMMANDS = [(page, line) for page in PAGES for line in _command_lines(page, "autometa")]


@pytest.mark.parametrize(("page", "line"), _COMMANDS, ids=[f"{page}: {line}" for page, line in _COMMANDS])
def test_commands_on_pages_exist_with_their_options(page: str, line: str) -> None:
    parsers = next(a for a in _parser()._actions if isinstance(a, argparse._SubParsersAction)).choices
    name = line.split()[1]
    assert name in parsers or name in _options_of(_parser())
    known = _options_of(parsers[name]) if name in parsers else _options_of(_parser())
    assert set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", line)) <= known


def test_there_are_commands_on_pages() -> None:
    assert {line.split()[1] for _, line in _COMMANDS} >= {"fit", "predict", "report", "collect", "train", "assess"}


_BENCHMARKS = [(page, line) for page in PAGES for line in _command_lines(page, "python -m")]


@pytest.mark.parametrize(("page", "line"), _BENCHMARKS, ids=[f"{page}: {line}" for page, line in _BENCHMARKS])
def test_benchmarks_on_pages_exist_with_their_options(page: str, line: str) -> None:
    module = line.split()[2]
    if not module.startswith("benchmarks"):
        return
    source = (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
    assert all(f'"{option}"' in source for option in re.findall(r"(?<!\w)--[a-z][\w-]*", line))


def test_targets_of_make_on_pages_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = {line.split()[1] for page in PAGES for line in _command_lines(page, "make")}
    assert named <= targets


# ---------------------------------------------------------------------------------- defaults


def test_the_guides_table_of_parameters_is_that_of_the_estimator() -> None:
    section = _text("docs/user-guide.md").split("\n## Parameters\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?`) \| `(.+?)` \|", section, flags=re.MULTILINE)
    written = {name: ast.literal_eval(default) for names, default in rows for name in re.findall(r"`(\w+)`", names)}
    assert written == {name: parameter.default for name, parameter in inspect.signature(AutoMeta).parameters.items()}


def test_the_readmes_table_of_parameters_names_all_with_their_defaults() -> None:
    section = _text("README.md").split("## Parameters in short")[1].split("\n## ")[0]
    rows = [row for row in re.findall(r"^\| (`.*?`) \| (.*?) \|", section, flags=re.MULTILINE)]
    signature = inspect.signature(AutoMeta).parameters
    named = [name for names, _ in rows for name in re.findall(r"`(\w+)`", names)]
    assert sorted(named) == sorted(signature)
    for names, cell in rows:
        names, words = re.findall(r"`(\w+)`", names), cell.split(", ")
        words = words * len(names) if len(words) == 1 else words
        for name, word in zip(names, words, strict=True):
            default = signature[name].default
            if default is None or default == () or name == "n_jobs":
                assert not re.search(r"\d", word) or word == f"{DEFAULT_TIME_BUDGET_S:g} s"
            else:
                assert ast.literal_eval(word.strip("`")) == default


@pytest.mark.parametrize("name", sorted(autometa.__all__))
def test_docstrings_say_the_defaults_of_the_code(name: str) -> None:
    public = getattr(autometa, name)
    members = inspect.getmembers(public, inspect.isfunction) if inspect.isclass(public) else []
    own = [member for key, member in members if not key.startswith("_") and member.__module__.startswith("autometa")]
    for function in (public, *own):
        if not callable(function) or not (text := inspect.getdoc(function)):
            continue
        parameters = inspect.signature(function).parameters
        for given, default in re.findall(r"^(\w+(?:, \w+)*) : .*\bdefault=(.+)$", text, flags=re.MULTILINE):
            for parameter in given.split(", "):
                assert parameters[parameter].default == ast.literal_eval(default), (function, parameter)


# ---------------------------------------------------------------------------------- links


def _anchors(page: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", _text(page), flags=re.DOTALL), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", _text(page), flags=re.DOTALL)):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), target
        assert not anchor or anchor in _anchors(file.resolve().relative_to(ROOT).as_posix()), target


DESIGN = [page for page in PAGES if page.startswith("docs/design/") or page == "CONTRIBUTING.md"]


@pytest.mark.parametrize("page", DESIGN)
def test_files_that_a_page_of_the_design_names_exist(page: str) -> None:
    # The list of modules has a test of its own, and its names have no folders.
    text = re.sub(r"<!-- modules.*end of modules -->", "", _text(page), flags=re.DOTALL)
    named = re.findall(r"`(\w[\w/]*/\w+\.(?:py|toml|md|csv))`", text)
    assert [name for name in named if not any((ROOT / base / name).is_file() for base in ("", "autometa"))] == []


def test_every_page_of_the_design_is_listed_in_the_architecture() -> None:
    listed = _text("docs/design/architecture.md").split("\n## Design pages\n")[1]
    names = {page.stem for page in (ROOT / "docs/design").glob("*.md")} - {"architecture"}
    assert {name for name in names if f"({name}.md)" not in listed and f"| {name} |" not in listed} == set()
