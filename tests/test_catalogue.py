"""Strategy files are read as they are written, or refused with the line that is wrong."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from sklearn.linear_model import Ridge

from autometa.catalogue import load_strategies, read_strategy
from autometa.core.space import SearchSpace
from autometa.core.strategy import Fitness, Strategy
from autometa.exceptions import CatalogueError
from autometa.learners import LEARNERS

LEARNER = LEARNERS[0].name

GOOD = f"""\
name = "kernel_machine"
learner = "{LEARNER}"
description = "a strategy of the tests"
source = "nowhere"
score = 1.5

[fitness]
problems = ["binary", "regression"]
min_rows = 10
max_rows = 5000

[space.kernel]
type = "categorical"
choices = ["rbf", "linear", "none"]
default = "rbf"

[space.gamma]
type = "float"
low = 0.01
high = 1
log = true
default = 0.1
when = {{ kernel = ["rbf"] }}

[space.depth]
type = "int"
low = 2
high = 10
step = 2
default = 4

[[portfolio]]

[[portfolio]]
kernel = "linear"
depth = 10
"""


def write(folder: Path, text: str, name: str = "kernel_machine") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8", newline="")
    return path


def test_good_file_is_read_as_it_is_written(tmp_path: Path):
    expected = Strategy(
        "kernel_machine",
        LEARNER,
        SearchSpace(
            {
                "kernel": CategoricalDistribution(["rbf", "linear", "none"]),
                "gamma": FloatDistribution(0.01, 1, log=True),
                "depth": IntDistribution(2, 10, step=2),
            },
            {"gamma": ("kernel", ("rbf",))},
            {"kernel": "rbf", "gamma": 0.1, "depth": 4},
        ),
        portfolio=({}, {"kernel": "linear", "depth": 10}),
        fitness=Fitness(("binary", "regression"), 10, 5000),
        score=1.5,
        source="nowhere",
        description="a strategy of the tests",
    )
    assert read_strategy(write(tmp_path, GOOD)) == expected
    assert read_strategy(str(write(tmp_path, "\ufeff" + GOOD.replace("\n", "\r\n")))) == expected


def test_space_and_fitness_may_be_left_out(tmp_path: Path):
    strategy = read_strategy(write(tmp_path, f'name = "plain"\nlearner = "{LEARNER}"\n[[portfolio]]\n', "plain"))
    assert dict(strategy.portfolio[0].parameters) == {}
    assert strategy.fitness == Fitness()


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("score = 1.5", "score = 1.5.2", "score = 1.5.2", ["not valid TOML"]),
        ("score = 1.5", 'score = "1.5"', 'score = "1.5"', ["score should be a valid number", '"1.5"']),
        ("score = 1.5", "score = true", "score = true", ["valid number", "true"]),
        ("score = 1.5", "score = inf", "score = inf", ["finite number"]),
        ("score = 1.5", "scores = 1.5", "scores = 1.5", ["unknown key 'scores'", "did you mean 'score'?"]),
        ("score = 1.5", '"sc ore" = 1', '"sc ore" = 1', ["unknown key 'sc ore'"]),
        ("score = 1.5", "name = 'again'", "name = 'again'", ["not valid TOML"]),
        ('name = "kernel_machine"', "", "", ["'name' is missing", "at the top"]),
        ('name = "kernel_machine"', 'name = "kernels"', 'name = "kernels"', ["must agree", "kernels.toml"]),
        ('name = "kernel_machine"', 'name = "kernel-machine"', 'name = "kernel-machine"', ["letters, digits"]),
        (f'learner = "{LEARNER}"', 'learner = "nobody"', 'learner = "nobody"', ["unknown learner 'nobody'", LEARNER]),
        (f'learner = "{LEARNER}"', f'learner = "{LEARNER}x"', f'learner = "{LEARNER}x"', [f"mean {LEARNER!r}"]),
        ('"binary", "regr', '"binary", "rank", "regr', 'problems = ["binary", "rank", "regression"]', ["'binary'"]),
        ('["binary", "regression"]', "[]", "problems = []", ["at least 1 item"]),
        ("min_rows = 10", "min_rows = 10.5", "min_rows = 10.5", ["valid integer"]),
        ("min_rows = 10", "min_rows = -1", "min_rows = -1", ["greater than or equal to 0"]),
        ("min_rows = 10", "min_rows = 9000", "min_rows = 9000", ["above max_rows = 5000"]),
        ("min_rows = 10", "min_row = 1", "min_row = 1", ["did you mean 'min_rows'?"]),
        ('type = "float"', 'type = "flaot"', 'type = "flaot"', ["did you mean 'float'?", "categorical"]),
        ('type = "float"', "", "[space.gamma]", ["'type' is missing", "[space.gamma]"]),
        ("low = 0.01", "", "[space.gamma]", ["'low' is missing", "[space.gamma]"]),
        ("default = 0.1", "", "[space.gamma]", ["'default' is missing"]),
        ("low = 0.01", 'low = "a"', 'low = "a"', ["low should be a valid number", '"a"']),
        ("low = 0.01", "low = nan", "low = nan", ["finite number"]),
        ("low = 0.01", "low = 2", "low = 2", ["above high = 1.0", "low <= high"]),
        ("low = 0.01", "low = 0", "low = 0", ["log = true", "low > 0"]),
        ("log = true", "stepp = 0.1", "stepp = 0.1", ["unknown key 'stepp'", "did you mean 'step'?"]),
        ("log = true", "log = 1", "log = 1", ["valid boolean"]),
        ("log = true", "log = true\nstep = 0.01", "step = 0.01", ["step does not go with log"]),
        ("log = true", "step = 0.3", "step = 0.3", ["do not reach high = 1.0", "0.91"]),
        ("log = true", "step = 0", "step = 0", ["greater than 0"]),
        ("default = 0.1", "default = 0.001", "default = 0.001", ["not in the space", "from 0.01 to 1.0"]),
        ("default = 4", "default = 5", "default = 5", ["a whole number from 2 to 10 in steps of 2"]),
        ("default = 4", "default = 4.0", "default = 4.0", ["valid integer"]),
        ("high = 10", f"high = {10**30}", f"high = {10**30}", ["less than or equal"]),
        ('default = "rbf"', 'default = "poly"', 'default = "poly"', ['one of ["rbf", "linear", "none"]']),
        ('"linear", "none"]', '"rbf"]', 'choices = ["rbf", "rbf"]', ["choices must differ"]),
        ('["rbf", "linear", "none"]', "[1, true]", "choices = [1, true]", ["choices must differ", "true"]),
        ('["rbf", "linear", "none"]', "[[1], 2]", "choices = [[1], 2]", ["a number, a text, true or false", "[1]"]),
        ('["rbf", "linear", "none"]', "[]", "choices = []", ["at least 1 item"]),
        ('kernel = ["rbf"]', 'kernl = ["rbf"]', 'when = { kernl = ["rbf"] }', ["did you mean 'kernel'?"]),
        ('kernel = ["rbf"]', "depth = [4]", "when = { depth = [4] }", ["'depth' cannot decide about 'gamma'"]),
        ('kernel = ["rbf"]', 'kernel = ["poly"]', 'when = { kernel = ["poly"] }', ['never "poly"', '"linear"']),
        ('kernel = ["rbf"]', "kernel = []", "when = { kernel = [] }", ["at least 1 item"]),
        ('kernel = ["rbf"]', "", "when = {  }", ["at least 1 item"]),
        ("\ndepth = 10", "\ndepht = 10", "depht = 10", ["unknown parameter 'depht'", "did you mean 'depth'?"]),
        ("\ndepth = 10", "\ndepth = 12", "depth = 12", ["depth = 12", "from 2 to 10"]),
        ("\ndepth = 10", "\ndepth = 3", "depth = 3", ["in steps of 2"]),
        ("\ndepth = 10", "\ndepth = [1]", "depth = [1]", ["a number, a text, true or false"]),
        ("\ndepth = 10", "\ngamma = 0.5", "gamma = 0.5", ["no effect", "kernel is in ['rbf']"]),
        ('kernel = "linear"\ndepth = 10', "depth = 4", "[[portfolio]]", ["same configuration as entry 1"]),
        ("[space.depth]", "[space.depth]\nwhen = 3", "when = 3", ["valid table"]),
        ("[fitness]", "[portfolio]\n[fitness]", "[[portfolio]]", ["not valid TOML"]),
    ],
)
def test_fault_is_named_with_its_line_and_what_is_expected(
    tmp_path: Path, old: str, new: str, line: str, said: list[str]
):
    assert GOOD.count(old) == 1
    text = GOOD.replace(old, new)
    path = write(tmp_path, text)
    with pytest.raises(CatalogueError) as caught:
        read_strategy(path)
    message = str(caught.value)
    number = re.match(re.escape(str(path)) + r", line (\d+): ", message)
    assert number is not None
    assert text.splitlines()[int(number[1]) - 1] == line
    assert message.splitlines()[1].strip() == line
    for part in said:
        assert part in message


def test_missing_portfolio_is_named(tmp_path: Path):
    with pytest.raises(CatalogueError, match="line 1: the key 'portfolio' is missing"):
        read_strategy(write(tmp_path, GOOD[: GOOD.index("[[portfolio]]")]))


def test_all_faults_are_named_in_the_order_of_their_lines(tmp_path: Path):
    text = GOOD.replace("score", "scrore").replace("max_rows", "max_row").replace("high = 1\n", "high = '1'\n")
    with pytest.raises(CatalogueError) as caught:
        read_strategy(write(tmp_path, text))
    assert [int(number) for number in re.findall(r", line (\d+): ", str(caught.value))] == [5, 10, 20]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"name = 'a'\n\xff", "line 2: not UTF-8"),
        (b"", "line 1: the key 'name' is missing"),
        (b"a = " + b"[" * 5000, "not valid TOML"),
        (b"a = " + b"9" * 5000, "not valid TOML"),
        (b"\x00", "line 1: not valid TOML"),
        (b"a = [\n1,\n", "line 2: not valid TOML"),
    ],
)
def test_file_that_is_no_strategy_at_all_is_refused(tmp_path: Path, content: bytes, match: str):
    path = tmp_path / "own.toml"
    path.write_bytes(content)
    with pytest.raises(CatalogueError, match=match):
        read_strategy(path)


def test_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(CatalogueError, match=r"absent\.toml cannot be read: No such file"):
        read_strategy(tmp_path / "absent.toml")


DOCUMENT: dict[str, Any] = {
    "name": "mutant",
    "learner": LEARNER,
    "score": 1,
    "fitness": {"problems": ["binary"], "max_rows": 10},
    "portfolio": [{}, {"kernel": "linear"}],
    "space": {
        "kernel": {"type": "categorical", "choices": ["rbf", "linear"], "default": "rbf"},
        "gamma": {"type": "float", "low": 0.1, "high": 1.0, "default": 0.5, "when": {"kernel": ["rbf"]}},
        "depth": {"type": "int", "low": 1, "high": 9, "log": True, "default": 3},
    },
}
VALUES: list[Any] = [-1, 0, 1, 3, 0.5, 10**18, True, "", "rbf", "gamma", "float", [], [1], ["rbf"], {}, {"kernel": 1}]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all that could be replaced in a document."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for step, item in steps for place in places(item, (*path, step)))]


def written(value: Any) -> str:
    """Return a value as inline TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return json.dumps(value)


@given(st.data())
def test_mutant_of_a_good_file_is_a_strategy_or_refused_with_a_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
):
    document = copy.deepcopy(DOCUMENT)
    for _ in range(data.draw(st.integers(0, 3))):
        *way, last = data.draw(st.sampled_from(places(document)[1:] or [("name",)]))
        holder: Any = document
        for step in way:
            holder = holder[step]
        match data.draw(st.sampled_from(["replace", "remove", "add"])):
            case "remove" if isinstance(holder, dict):
                holder.pop(last, None)
            case "add" if isinstance(holder, dict):
                key = data.draw(st.sampled_from(["x", "low", "step", "when", "gamma"]))
                holder[key] = copy.deepcopy(data.draw(st.sampled_from(VALUES)))
            case _:
                holder[last] = copy.deepcopy(data.draw(st.sampled_from(VALUES)))
    path = tmp_path_factory.getbasetemp() / "mutant.toml"
    path.write_text("".join(f"{key} = {written(value)}\n" for key, value in document.items()), encoding="utf-8")
    try:
        strategy = read_strategy(path)
    except CatalogueError as error:
        n_lines = len(document)
        faults = re.findall(r"mutant\.toml, line (\d+): .+\n    .*", str(error))
        assert faults and all(1 <= int(line) <= max(1, n_lines) for line in faults)
    else:
        assert strategy.name == "mutant" and strategy.portfolio
        for entry in strategy.portfolio:
            strategy.space.check(entry.parameters)


# -- choosing strategies ------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with three strategies of different scores."""
    for name, score in (("middle", 1.0), ("best", 2.0), ("also_middle", 1.0)):
        write(tmp_path, GOOD.replace("kernel_machine", name).replace("1.5", str(score)), name)
    return tmp_path


def test_all_strategies_come_with_the_highest_score_first(folder: Path):
    assert [strategy.name for strategy in load_strategies(folder=folder)] == ["best", "also_middle", "middle"]


def test_names_paths_and_objects_may_be_mixed_and_keep_their_order(folder: Path, tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    path = write(tmp_path / "elsewhere", GOOD)
    own = Strategy("own", Ridge())
    loaded = load_strategies(["middle", own, path, "best"], folder=folder)
    assert [strategy.name for strategy in loaded] == ["middle", "own", "kernel_machine", "best"]
    assert loaded[1] is own
    assert load_strategies([str(path)])[0].name == "kernel_machine"


def test_one_strategy_needs_no_list(folder: Path):
    own = Strategy("own", Ridge())
    assert load_strategies("best", folder)[0].name == "best"
    assert load_strategies(own, folder) == (own,)
    assert load_strategies(folder / "best.toml")[0].name == "best"


@pytest.mark.parametrize(
    ("asked", "error", "match"),
    [
        (["bets"], ValueError, "Unknown strategy 'bets'; did you mean 'best'\\? expected one of also_middle, best"),
        (["best", "best"], ValueError, "best is there more than once"),
        (["best", Strategy("best", Ridge())], ValueError, "best is there more than once"),
        ([], ValueError, "must not be empty"),
        (["absent.toml"], CatalogueError, "cannot be read"),
        ([Path("absent")], CatalogueError, "cannot be read"),
        ([3], TypeError, "name, the path .* or a Strategy, got 3"),
        (["best", Ridge()], TypeError, "got Ridge"),
    ],
    ids=str,
)
def test_strategies_that_cannot_be_had_are_refused(folder: Path, asked: list[Any], error: type[Exception], match: str):
    with pytest.raises(error, match=match):
        load_strategies(asked, folder)


def test_empty_folder_is_named(tmp_path: Path):
    with pytest.raises(CatalogueError, match="no strategy files"):
        load_strategies(folder=tmp_path)


def test_every_learner_has_a_strategy() -> None:
    assert {strategy.learner for strategy in load_strategies()} == {learner.name for learner in LEARNERS}


def test_shipped_strategies_are_found_by_name():
    shipped = load_strategies()
    assert load_strategies([strategy.name for strategy in shipped]) == shipped
