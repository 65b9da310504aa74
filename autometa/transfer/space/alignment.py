"""Puts past studies into the space of a new one: parameters matched by name, type, range, scale and choices."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution

from autometa.transfer.archive.sources import Column, SourceStudy
from autometa.transfer.space.choices import matched
from autometa.transfer.space.encoding import position_function, positions_of, value_at

MARGIN = 0.5
"""Numbers outside the new range by up to this fraction of it are kept, as they tell what happens at its edge."""
_FEWEST_KEPT = 0.1
"""Fraction of a study's trials that must lie inside the new space; otherwise parameters are ignored until they do."""


@dataclass(frozen=True)
class ParameterNote:
    """The fate of one parameter of a past study in the new space.

    Parameters
    ----------
    past, new : str
        Its old and its new name; "" where there is none.
    change : str
        "same", or what differs, such as "renamed, range changed".
    n_mapped, n_dropped : int
        Trials whose value was mapped to one of the new space, and trials left out because of theirs.
    """

    past: str
    new: str
    change: str
    n_mapped: int = 0
    n_dropped: int = 0


@dataclass(frozen=True)
class AlignedStudy:
    """The completed trials of a past study as points of a new space.

    Parameters
    ----------
    name : str
        Name of the past study.
    points : ndarray of shape (n, n_parameters)
        See `autometa.transfer.space.encoding`; NaN where a parameter is inactive or unknown. Numbers
        outside the new range have positions below 0 or above 1.
    losses : ndarray of shape (n,)
        Lower is better for every direction of the study; infinite where constraints were broken.
    known : ndarray of shape (n_parameters,), bool
        Which parameters the past study had.
    notes : tuple of ParameterNote
        What became of each parameter.
    reason : str
        Why the study cannot be used, "" if it can.
    """

    name: str
    points: np.ndarray
    losses: np.ndarray
    known: np.ndarray
    notes: tuple[ParameterNote, ...]
    reason: str = ""


def align(
    source: SourceStudy, distributions: Mapping[str, BaseDistribution], names: Mapping[str, str] | None = None
) -> AlignedStudy:
    """Return a past study in the space of a new one: `align_all` for one study."""
    return align_all([source], distributions, names)[0]


def align_all(
    sources: Sequence[SourceStudy],
    distributions: Mapping[str, BaseDistribution],
    names: Mapping[str, str] | None = None,
) -> tuple[AlignedStudy, ...]:
    """Return past studies in the space of a new one.

    `names` maps past names to new ones, for parameters that were renamed.

    A number keeps its value, whatever range, step and log scale the parameter has now. Trials more than half a range
    outside are left out. A choice is found by value, then by its text; among numbers the nearest one is taken. Trials
    with a choice that no longer exists are left out. Parameters that the new space does not have are ignored, and so
    is a parameter of a past study that would leave out most of its trials.
    """
    renamed = dict(names or {})
    past_names = [{renamed.get(past, past): past for past in source.distributions} for source in sources]
    bounds = np.cumsum([0, *(len(source.completed) for source in sources)])
    columns = [
        _aligned_column(sources, [past.get(name) for past in past_names], distribution, bounds)
        for name, distribution in distributions.items()
    ]
    points = np.full((bounds[-1], len(columns)), np.nan)
    outside = np.zeros(points.shape, dtype=bool)
    for index, column in enumerate(columns):
        points[:, index], outside[:, index] = column.positions, column.is_outside
    found = []
    for number, (source, past) in enumerate(zip(sources, past_names, strict=True)):
        rows = slice(bounds[number], bounds[number + 1])
        ignored = _ignored(outside[rows])
        points[rows, ignored], outside[rows, ignored] = np.nan, False
        notes = [
            _note(source, past.get(name), name, distribution, column, number, rows)
            for (name, distribution), column in zip(distributions.items(), columns, strict=True)
        ]
        for index in ignored:
            notes[index] = ParameterNote(notes[index].past, notes[index].new, f"{notes[index].change}, ignored")
        notes += [
            ParameterNote(old, "", "not in the new space, ignored")
            for new, old in past.items()
            if new not in distributions
        ]
        known = np.array([column.known[number] for column in columns], dtype=bool)
        is_shared = bool(known.any())
        known[ignored] = False
        kept = np.logical_and(~outside[rows].any(axis=1), known.any())
        found.append(_aligned(source, points[rows], kept, known, tuple(notes), is_shared))
    return tuple(found)


def _ignored(outside: np.ndarray) -> list[int]:
    """Return the columns that have to be ignored so that enough trials of a study are kept."""
    found: list[int] = []
    outside = outside.copy()
    while len(outside) and outside.any(axis=1).mean() > 1.0 - _FEWEST_KEPT:
        found.append(int(outside.sum(axis=0).argmax()))
        outside[:, found[-1]] = False
    return found


@dataclass(frozen=True)
class _AlignedColumn:
    """One parameter of the new space in the completed trials of all past studies.

    `known` has an element per study; the others have one per trial.
    """

    positions: np.ndarray
    is_outside: np.ndarray
    is_mapped: np.ndarray
    known: np.ndarray


def _aligned_column(
    sources: Sequence[SourceStudy], past_names: Sequence[str | None], distribution: BaseDistribution, bounds: np.ndarray
) -> _AlignedColumn:
    positions = np.full(bounds[-1], np.nan)
    is_outside, is_mapped = np.zeros((2, bounds[-1]), dtype=bool)
    numbers = {}
    known = np.zeros(len(sources), dtype=bool)
    for number, (source, past) in enumerate(zip(sources, past_names, strict=True)):
        if past is None:
            continue
        before = source.distributions[past]
        if not isinstance(before, CategoricalDistribution) and not isinstance(distribution, CategoricalDistribution):
            numbers[number] = source.numbers(past)
        elif (convert := _conversion(before, distribution)) is not None:
            rows = slice(bounds[number], bounds[number + 1])
            positions[rows], is_outside[rows], is_mapped[rows] = _converted(convert, source.column(past))
            known[number] = True
    if numbers:
        # The numbers of all studies are converted at once, which saves the cost of many small arrays.
        known[list(numbers)] = True
        rows_of_numbers = np.repeat(np.isin(np.arange(len(sources)), list(numbers)), np.diff(bounds))
        found = _near_positions(distribution, np.concatenate(list(numbers.values())))
        positions[rows_of_numbers], is_outside[rows_of_numbers] = found
    return _AlignedColumn(positions, is_outside, is_mapped, known)


def _note(
    source: SourceStudy,
    past: str | None,
    name: str,
    distribution: BaseDistribution,
    column: _AlignedColumn,
    number: int,
    rows: slice,
) -> ParameterNote:
    if past is None:
        return ParameterNote("", name, "new")
    if not column.known[number]:
        return ParameterNote(past, name, "of another type, ignored")
    change = _change(past, name, source.distributions[past], distribution)
    n_mapped, n_dropped = (int(np.count_nonzero(found[rows])) for found in (column.is_mapped, column.is_outside))
    return ParameterNote(past, name, change, n_mapped, n_dropped)


def _aligned(
    source: SourceStudy,
    points: np.ndarray,
    kept: np.ndarray,
    known: np.ndarray,
    notes: tuple[ParameterNote, ...],
    is_shared: bool,
) -> AlignedStudy:
    reason = ""
    if len(source.directions) != 1:
        reason = "several objectives"
    elif not len(points):
        reason = "no completed trial"
    elif not is_shared:
        reason = "no parameter in common"
    elif not kept.any():
        reason = "no trial inside the new space"
    if reason:
        return AlignedStudy(source.name, points[:0], np.array([]), known, notes, reason)
    return AlignedStudy(source.name, points[kept], source.losses[kept], known, notes)


def _near_positions(distribution: BaseDistribution, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of numbers, NaN for those too far outside the range, and which are too far outside."""
    positions = positions_of(distribution, values)
    is_near = np.abs(positions - 0.5) <= 0.5 + MARGIN
    positions[~is_near] = np.nan
    return positions, ~is_near & ~np.isnan(values)


_Conversion = Callable[[Any], tuple[float, bool]]


def _converted(convert: _Conversion, column: Column) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the positions of values, which values have none, and which were mapped to another value."""
    # The last row is for trials without a value, whose code is −1.
    found = np.array([*(convert(value) for value in column.values), (math.nan, False)], dtype=float)
    positions, is_mapped = found[column.codes].T
    return positions, np.isnan(positions) & (column.codes >= 0), is_mapped > 0


def _conversion(before: BaseDistribution, after: BaseDistribution) -> _Conversion | None:
    """Return the function from a past value to its position and whether it was mapped, None if there is none.

    The position is NaN for a value that the new distribution does not have.
    """
    position = position_function(after)
    if not isinstance(after, CategoricalDistribution):
        if isinstance(before, CategoricalDistribution) and not all(
            _is_number(choice) or isinstance(choice, bool) for choice in before.choices
        ):
            return None

        def of_number(value: Any) -> tuple[float, bool]:
            found = position(value) if _is_number(value) or isinstance(value, bool) else math.nan
            return (found if abs(found - 0.5) <= 0.5 + MARGIN else math.nan), False

        return of_number
    numbers = [(index, choice) for index, choice in enumerate(after.choices) if _is_number(choice)]
    is_ordered = len(numbers) == len(after.choices) and not isinstance(before, CategoricalDistribution)
    if not is_ordered and not isinstance(before, CategoricalDistribution) and not numbers:
        return None

    def of_choice(value: Any) -> tuple[float, bool]:
        index = matched(after, value)
        if index is not None:
            return float(index), math.isnan(position(value))
        if is_ordered and _is_number(value):
            return float(min(numbers, key=lambda item: abs(item[1] - value))[0]), True
        return math.nan, False

    return of_choice


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _change(past: str, new: str, before: BaseDistribution, after: BaseDistribution) -> str:
    found = ["renamed"] if past != new else []
    if before == after:
        return found[0] if found else "same"
    if type(before) is not type(after):
        found.append("type changed")
    elif isinstance(before, CategoricalDistribution) and isinstance(after, CategoricalDistribution):
        if before.choices != after.choices:
            found.append("choices changed")
    else:
        old, now = before._asdict(), after._asdict()
        if (old["low"], old["high"]) != (now["low"], now["high"]):
            found.append("range changed")
        found += [f"{key} changed" for key in ("log", "step") if old.get(key) != now.get(key)]
    return ", ".join(found) or "same"


def value_in(distribution: BaseDistribution, value: Any) -> Any:
    """Return the value of a distribution nearest to a value; None for a choice that it does not have.

    None as a choice gives None too, which leaves the parameter to the study's sampler.
    """
    if isinstance(distribution, CategoricalDistribution):
        same = next((c for c in distribution.choices if type(c) is type(value) and c == value), None)
        index = matched(distribution, value) if same is None else None
        return same if index is None else distribution.choices[index]
    if not _is_number(value):
        return None
    position = position_function(distribution)(value)
    return value_at(distribution, position if math.isfinite(position) else 0.0)
