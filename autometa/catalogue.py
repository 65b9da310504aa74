"""Read strategy files: TOML in, checked `Strategy` objects out; no code is executed."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from autometa import learners
from autometa._support.files import shipped_folder
from autometa._support.hints import did_you_mean
from autometa._support.toml_lines import line_of
from autometa._support.warning_filters import ignored_warnings
from autometa.core.space import SearchSpace, Value, is_valid
from autometa.core.strategy import Fitness, Strategy
from autometa.core.task import Problem
from autometa.exceptions import CatalogueError

Problems = list[tuple[Sequence[str | int], str]]
"""Faults of a file: key path and message."""


def load_strategies(
    names_or_paths: str | Path | Strategy | Iterable[str | Path | Strategy] | None = None,
    folder: str | Path | None = None,
) -> tuple[Strategy, ...]:
    """Return strategies by name, from files, or all that ship.

    Parameters
    ----------
    names_or_paths : iterable of str, Path or Strategy, or one of them, optional
        Names of strategies in `folder`, paths of ``.toml`` files, and `Strategy` objects, which are passed
        through. None is every strategy in `folder`.
    folder : str or Path, optional
        Folder of the named strategies; by default the one that ships with autometa.

    Returns
    -------
    tuple of Strategy
        In the order asked for; all of them, highest score first, for None.

    Raises
    ------
    CatalogueError
        If a file cannot be read or has faults.
    ValueError
        If a name is unknown, or two strategies have the same name.

    Examples
    --------
    >>> [strategy.name for strategy in load_strategies(["random_forest"])]
    ['random_forest']
    """
    home = shipped_folder("strategies") if folder is None else Path(folder)
    if names_or_paths is None:
        files = sorted(home.glob("*.toml"))
        if not files:
            raise CatalogueError(f"There are no strategy files (*.toml) in {home}.")
        return tuple(sorted(map(read_strategy, files), key=lambda strategy: (-strategy.score, strategy.name)))
    asked = [names_or_paths] if isinstance(names_or_paths, (str, Path, Strategy)) else list(names_or_paths)
    if not asked:
        raise ValueError("strategies must not be empty; None is all that ship.")
    strategies = tuple(_one_strategy(item, home) for item in asked)
    names = [strategy.name for strategy in strategies]
    if duplicates := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"Every strategy needs a name of its own, but {_listed(duplicates)} is there more than once.")
    return strategies


def read_strategy(path: str | Path) -> Strategy:
    """Return the strategy in a TOML file.

    Raises
    ------
    CatalogueError
        If the file cannot be read or has faults; the message names each fault with its line.
    """
    file = Path(path)
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise CatalogueError(f"The strategy file {file} cannot be read: {error.strerror or error}.") from error
    try:
        # Editors on Windows may write a byte-order mark, which TOML does not allow.
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise CatalogueError(f"{file}, line {line}: not UTF-8 text ({error.reason}).") from error
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also a number or a nesting too large for Python
        position = re.search(r"\(at line (\d+)", str(error))
        n_lines = len(text.splitlines())
        raise _refused(file, text, [(int(position[1]) if position else n_lines, f"not valid TOML: {error}")]) from error
    faults: Problems = []
    strategy = _build(file, document, faults)
    if faults or strategy is None:
        raise _refused(file, text, [(line_of(text, where), what) for where, what in faults])
    return strategy


# -- schema of a file ------------------------------------------------------------------------


def _scalar(value: Any) -> Value:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must be a finite number")
    if not isinstance(value, (bool, int, float, str)):
        raise ValueError("must be a number, a text, true or false")
    return value


Scalar = Annotated[Any, AfterValidator(_scalar)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Whole = Annotated[int, Field(ge=-(2**53), le=2**53)]  # beyond, Optuna's floats skip integers
Bound = Annotated[int, Field(ge=1)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Parameter(_Table):
    when: dict[str, Annotated[list[Scalar], Field(min_length=1)]] | None = Field(None, min_length=1, max_length=1)


class _Float(_Parameter):
    type: Literal["float"]
    low: Number
    high: Number
    default: Number
    log: bool = False
    step: Annotated[Number, Field(gt=0)] | None = None


class _Int(_Parameter):
    type: Literal["int"]
    low: Whole
    high: Whole
    default: int
    log: bool = False
    step: Annotated[int, Field(gt=0)] = 1


class _Categorical(_Parameter):
    type: Literal["categorical"]
    choices: Annotated[list[Scalar], Field(min_length=1)]
    default: Scalar


class _Fitness(_Table):
    problems: Annotated[list[Problem], Field(min_length=1)] = ["binary", "multiclass", "regression"]
    min_rows: Annotated[int, Field(ge=0)] = 0
    max_rows: Bound | None = None
    max_columns: Bound | None = None
    max_classes: Bound | None = None


class _File(_Table):
    name: str
    learner: str
    description: str = ""
    source: str = ""
    score: Number = 0.0
    cost: Annotated[Number, Field(gt=0)] = 1.0
    portfolio: Annotated[list[dict[str, Scalar]], Field(min_length=1)]
    published: list[dict[str, Scalar]] = []
    fitness: _Fitness = _Fitness()
    space: dict[str, Annotated[_Float | _Int | _Categorical, Field(discriminator="type")]] = {}


_PARAMETER_TYPES: dict[str, type[_Table]] = {"float": _Float, "int": _Int, "categorical": _Categorical}


# -- from a document to a strategy --------------------------------------------------------------


def _build(file: Path, document: dict[str, Any], faults: Problems) -> Strategy | None:
    """Return the strategy that `document` describes, or None after adding its faults to `faults`."""
    try:
        content = _File.model_validate(document)
    except ValidationError as error:
        faults.extend(_explain(fault) for fault in error.errors(include_url=False))
        return None
    _check_names(content, file, faults)
    distributions = {}
    for name, parameter in content.space.items():
        try:
            distributions[name] = _distribution(parameter)
        except _Impossible as impossible:
            faults.append((("space", name, impossible.key), impossible.what))
    if faults:
        return None
    conditions = _conditions(content, distributions, faults)
    if faults:
        return None
    space = SearchSpace(distributions, conditions, {name: part.default for name, part in content.space.items()})
    _check_configurations("portfolio", content.portfolio, space, faults)
    _check_configurations("published", content.published, space, faults)
    fitness = content.fitness
    if fitness.max_rows is not None and fitness.max_rows < fitness.min_rows:
        faults.append((("fitness", "min_rows"), f"min_rows is above max_rows = {fitness.max_rows}"))
    if faults:
        return None
    return Strategy(
        content.name,
        content.learner,
        space,
        portfolio=tuple(content.portfolio),  # type: ignore[arg-type]  # the strategy completes each
        published=tuple(content.published),  # type: ignore[arg-type]
        fitness=Fitness(**{**fitness.model_dump(), "problems": tuple(fitness.problems)}),
        score=content.score,
        cost=content.cost,
        source=content.source,
        description=content.description,
    )


def _check_names(content: _File, file: Path, faults: Problems) -> None:
    if not content.name.isidentifier():
        faults.append((("name",), f"name must be letters, digits and underscores, got {content.name!r}"))
    elif content.name != file.stem:
        faults.append(
            (("name",), f"name and file must agree: {content.name!r} belongs into {content.name}.toml, not {file.name}")
        )
    known = [learner.name for learner in learners.LEARNERS]
    if content.learner not in known:
        faults.append((("learner",), f"unknown learner {content.learner!r}; {_expected(content.learner, known)}"))


class _Impossible(Exception):
    """A fault at the key of a parameter."""

    def __init__(self, key: str, what: str) -> None:
        self.key, self.what = key, what


def _distribution(parameter: _Float | _Int | _Categorical) -> BaseDistribution:
    """Return the distribution of a parameter, or raise _Impossible."""
    distribution: BaseDistribution
    if isinstance(parameter, _Categorical):
        for position, choice in enumerate(parameter.choices):
            if choice in parameter.choices[:position]:
                # Optuna compares choices by ==, so it would confuse true with 1, and 1.0 with 1.
                raise _Impossible("choices", f"choices must differ, but {_toml(choice)} equals one before it")
        distribution = CategoricalDistribution(parameter.choices)
    else:
        distribution = _numeric(parameter)
    if not is_valid(distribution, parameter.default):
        what = f"default = {_toml(parameter.default)} is not in the space; expected {_allowed(distribution)}"
        raise _Impossible("default", what)
    return distribution


def _numeric(parameter: _Float | _Int) -> FloatDistribution | IntDistribution:
    low, high, step = parameter.low, parameter.high, parameter.step
    if low > high:
        raise _Impossible("low", f"low = {low} is above high = {high}; expected low <= high")
    if parameter.log and low <= 0:
        raise _Impossible("low", f"low = {low} does not go with log = true; expected low > 0")
    if parameter.log and step != type(parameter).model_fields["step"].default:
        raise _Impossible("step", "step does not go with log = true; leave out one of them")
    kind = FloatDistribution if isinstance(parameter, _Float) else IntDistribution
    # Optuna silently moves a bound that the steps do not reach; here it is a fault.
    with ignored_warnings():
        distribution = kind(low, high, log=parameter.log, step=step)  # type: ignore[arg-type]
    if distribution.high != high:
        end = distribution.high
        raise _Impossible("step", f"steps of {step} from {low} do not reach high = {high}; they end at {end}")
    return distribution


def _conditions(
    content: _File, distributions: dict[str, BaseDistribution], faults: Problems
) -> dict[str, tuple[str, tuple[Value, ...]]]:
    conditions: dict[str, tuple[str, tuple[Value, ...]]] = {}
    deciding = [
        name
        for name, part in content.space.items()
        if part.when is None and isinstance(distributions[name], CategoricalDistribution)
    ]
    for name, parameter in content.space.items():
        for parent, values in (parameter.when or {}).items():
            where = ("space", name, "when", parent)
            if parent not in content.space:
                faults.append((where, f"unknown parameter {parent!r}; {_expected(parent, deciding)}"))
            elif parent not in deciding:
                faults.append(
                    (
                        where,
                        f"{parent!r} cannot decide about {name!r}; expected a categorical parameter "
                        f"that has no `when` itself: {_listed(deciding)}",
                    )
                )
            elif wrong := [value for value in values if not is_valid(distributions[parent], value)]:
                choices = distributions[parent].choices  # type: ignore[attr-defined]
                faults.append((where, f"{parent} is never {_toml(wrong[0])}; expected some of {_toml(list(choices))}"))
            else:
                conditions[name] = (parent, tuple(values))
    return conditions


def _check_configurations(key: str, entries: list[dict[str, Value]], space: SearchSpace, faults: Problems) -> None:
    seen: dict[str, int] = {}
    for position, entry in enumerate(entries):
        for name, value in entry.items():
            where = (key, position, name)
            if name not in space.distributions:
                faults.append((where, f"unknown parameter {name!r}; {_expected(name, list(space.distributions))}"))
            elif not is_valid(space.distributions[name], value):
                faults.append(
                    (
                        where,
                        f"{name} = {_toml(value)} is not in the space; expected {_allowed(space.distributions[name])}",
                    )
                )
            elif not space.is_active(name, {**space.defaults, **entry}):
                parent, values = space.conditions[name]
                faults.append((where, f"{name} has no effect here; it exists only where {parent} is in {list(values)}"))
        completed = repr(space.complete({name: entry[name] for name in entry if name in space.distributions}))
        if (first := seen.setdefault(completed, position)) != position:
            faults.append(((key, position), f"the same configuration as entry {first + 1} of [[{key}]]"))


# -- error messages -------------------------------------------------------------------------


def _explain(fault: Any) -> tuple[Sequence[str | int], str]:
    """Return the key path and the message for one of pydantic's errors."""
    where, kind, given = fault["loc"], fault["type"], fault["input"]
    key = str(where[-1]) if where else ""
    if kind == "extra_forbidden":
        return where, f"unknown key {key!r}; {_expected(key, list(_table_at(where[:-1]).model_fields))}"
    if kind == "missing":
        return where, f"the key {key!r} is missing {_place(where[:-1])}"
    if kind == "union_tag_invalid":
        tag = given.get("type")
        return (*where, "type"), f"type = {_toml(tag)} is unknown; {_expected(str(tag), list(_PARAMETER_TYPES))}"
    if kind == "union_tag_not_found":
        return where, f"the key 'type' is missing {_place(where)}; expected one of {_listed(_PARAMETER_TYPES)}"
    if kind == "literal_error":
        return where, f"{_toml(given)} is unknown; expected {fault['ctx']['expected']}"
    message = fault["msg"].removeprefix("Value error, ").replace("Input should", "should")
    message = message.replace("dictionary", "table")
    return where, f"{_name(where)} {message}, got {_toml(given)}"


def _table_at(where: Sequence[str | int]) -> type[_Table]:
    if where[:1] == ("fitness",):
        return _Fitness
    # Pydantic puts the chosen type after the name: ("space", "alpha", "float").
    return _PARAMETER_TYPES[str(where[2])] if len(where) > 2 else _File


def _place(where: Sequence[str | int]) -> str:
    path = [str(step) for step in (where[:2] if where[:1] == ("space",) else where)]
    return f"in [{'.'.join(path)}]" if path else "at the top of the file"


def _name(where: Sequence[str | int]) -> str:
    names = [step for step in where if isinstance(step, str)]
    return names[-1] if names else "the file"


def _allowed(distribution: BaseDistribution) -> str:
    if isinstance(distribution, CategoricalDistribution):
        return f"one of {_toml(list(distribution.choices))}"
    kind = "a whole number" if isinstance(distribution, IntDistribution) else "a number"
    text = f"{kind} from {distribution.low} to {distribution.high}"  # type: ignore[attr-defined]
    step = distribution.step  # type: ignore[attr-defined]
    return text if step in (None, 1) else f"{text} in steps of {step}"


def _expected(given: str, known: Sequence[str]) -> str:
    hint = did_you_mean(given, known, form="did you mean {}? ")
    return f"{hint}expected one of {_listed(known)}" if known else f"{hint}there is none to choose from"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(str, names))


def _toml(value: Any) -> str:
    """Return `value` as it would be written in a file."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {_toml(item)}' for key, item in value.items())}}}"
    return str(value)


def _refused(file: Path, text: str, faults: Sequence[tuple[int, str]]) -> CatalogueError:
    """Return the error that lists each fault with its line."""
    rows = text.splitlines()
    shown = []
    for line, what in sorted(set(faults)):
        row = rows[line - 1].strip() if 0 < line <= len(rows) else ""
        shown.append(f"{file}, line {line}: {what}\n    {row}")
    return CatalogueError("\n".join(shown))


def _one_strategy(item: str | Path | Strategy, folder: Path) -> Strategy:
    if isinstance(item, Strategy):
        return item
    if not isinstance(item, (str, Path)):
        raise TypeError(f"A strategy is a name, the path of a .toml file or a Strategy, got {item!r}.")
    if isinstance(item, Path) or item.endswith(".toml") or "/" in item or "\\" in item:
        return read_strategy(item)
    file = folder / f"{item}.toml"
    if not file.is_file():
        known = sorted(path.stem for path in folder.glob("*.toml"))
        raise ValueError(f"Unknown strategy {item!r}; {_expected(item, known)}.")
    return read_strategy(file)
