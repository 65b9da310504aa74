"""Past studies in the space of a new one: parameters matched by name, type, range, scale and choices."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution

from autometa.core.space import is_valid
from autometa.transfer.archive.sources import Column, SourceStudy
from autometa.transfer.space.encoding import places_of, placing, value_at

# Numbers a little outside the new range still tell what happens at its edge; further out they say
# nothing about what can be tried.
MARGIN = 0.5


@dataclass(frozen=True)
class ParameterNote:
    """What became of one parameter of a past study.

    Parameters
    ----------
    past, new : str
        Its name then and now; "" where there is none.
    change : str
        "same", or what differs, such as "renamed, range changed".
    n_mapped, n_dropped : int
        Trials whose value was changed to one of the new space, and trials that were left out
        because of theirs.
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
        Of the past study.
    points : ndarray of shape (n, n_parameters)
        See `autometa.transfer.space.encoding`; NaN where a parameter is inactive or unknown. Numbers
        outside the new range keep their place, which is below 0 or above 1 then.
    losses : ndarray of shape (n,)
        Lower is better, whatever the direction of the study; infinite where constraints were broken.
    known : ndarray of shape (n_parameters,), bool
        Which parameters the past study had.
    notes : tuple of ParameterNote
        What became of each parameter.
    reason : str
        Why nothing of it can be used, "" if something can.
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
    """Return a past study in the space of a new one: `align_all` of one."""
    return align_all([source], distributions, names)[0]


def align_all(
    sources: Sequence[SourceStudy],
    distributions: Mapping[str, BaseDistribution],
    names: Mapping[str, str] | None = None,
) -> tuple[AlignedStudy, ...]:
    """Return past studies in the space of a new one.

    Parameters
    ----------
    sources : sequence of SourceStudy
        The past studies.
    distributions : mapping of str to BaseDistribution
        The new space.
    names : mapping of str to str or None
        Past name → new name, for parameters that were renamed.

    Notes
    -----
    A number keeps its value, whatever range, step and log scale it has now; trials that are
    more than half a range outside are left out. A choice is found by value, then by its text;
    among numbers the nearest one is taken. Trials with a choice that is not there any more are
    left out. Parameters that the new space does not have are ignored.
    """
    renamed = dict(names or {})
    by_new_name = [{renamed.get(past, past): past for past in source.distributions} for source in sources]
    ends = np.cumsum([0, *(len(source.completed) for source in sources)])
    owner = np.repeat(np.arange(len(sources)), np.diff(ends))
    points = np.full((len(owner), len(distributions)), np.nan)
    kept = np.ones(len(owner), dtype=bool)
    known = np.zeros((len(sources), len(distributions)), dtype=bool)
    notes: list[list[ParameterNote]] = [[] for _ in sources]
    for column, (name, distribution) in enumerate(distributions.items()):
        is_out, is_mapped = np.zeros((2, len(owner)), dtype=bool)
        numbers = {}
        for number, (source, past) in enumerate(zip(sources, by_new_name, strict=True)):
            if name not in past:
                continue
            before = source.distributions[past[name]]
            if not isinstance(before, CategoricalDistribution) and not isinstance(
                distribution, CategoricalDistribution
            ):
                numbers[number] = source.numbers(past[name])
            elif (one := _converting(before, distribution)) is not None:
                known[number, column] = True
                rows = slice(ends[number], ends[number + 1])
                points[rows, column], is_out[rows], is_mapped[rows] = _each(one, source.column(past[name]))
        if numbers:
            # Those of all studies at once: what counts is the number of steps, not of trials.
            known[list(numbers), column] = True
            is_number = np.isin(owner, list(numbers))
            points[is_number, column], is_out[is_number] = _numbers(
                distribution, np.concatenate(list(numbers.values()))
            )
        kept &= ~is_out
        n_mapped, n_dropped = (np.bincount(owner[found], minlength=len(sources)) for found in (is_mapped, is_out))
        for number, (source, past) in enumerate(zip(sources, by_new_name, strict=True)):
            if name not in past:
                note = ParameterNote("", name, "new")
            elif not known[number, column]:
                note = ParameterNote(past[name], name, "of another type, ignored")
            else:
                change = _change(past[name], name, source.distributions[past[name]], distribution)
                note = ParameterNote(past[name], name, change, int(n_mapped[number]), int(n_dropped[number]))
            notes[number].append(note)
    found = []
    for number, source in enumerate(sources):
        rows = slice(ends[number], ends[number + 1])
        ignored = [
            ParameterNote(past, "", "not in the new space, ignored")
            for new, past in by_new_name[number].items()
            if new not in distributions
        ]
        every = (*notes[number], *ignored)
        found.append(_aligned(source, points[rows], kept[rows], known[number], every))
    return tuple(found)


def _aligned(
    source: SourceStudy, points: np.ndarray, kept: np.ndarray, known: np.ndarray, notes: tuple[ParameterNote, ...]
) -> AlignedStudy:
    reason = ""
    if len(source.directions) != 1:
        reason = "several objectives"
    elif not len(points):
        reason = "no completed trial"
    elif not known.any():
        reason = "no parameter in common"
    elif not kept.any():
        reason = "no trial inside the new space"
    if reason:
        return AlignedStudy(source.name, points[:0], np.array([]), known, notes, reason)
    return AlignedStudy(source.name, points[kept], source.losses[kept], known, notes)


def _numbers(distribution: BaseDistribution, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of numbers, NaN where there is none, and whether a value was there that has no place."""
    places = places_of(distribution, values)
    is_near = np.abs(places - 0.5) <= 0.5 + MARGIN
    places[~is_near] = np.nan
    return places, ~is_near & ~np.isnan(values)


def _each(one: Callable[[Any], tuple[float, bool]], column: Column) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the places of values, whether a value was there that has no place, and whether it was changed."""
    # The last row is that of trials without a value.
    found = np.array([*(one(value) for value in column.values), (math.nan, False)], dtype=float)
    places, is_mapped = found[column.rows].T
    return places, np.isnan(places) & (column.rows >= 0), is_mapped > 0


def _converting(before: BaseDistribution, after: BaseDistribution) -> Callable[[Any], tuple[float, bool]] | None:
    """Return what turns a past value into a place, NaN if there is none, and says whether the value was changed.

    None if nothing can.
    """
    place = placing(after)
    if not isinstance(after, CategoricalDistribution):
        if isinstance(before, CategoricalDistribution) and not all(_is_number(choice) for choice in before.choices):
            return None

        def number(value: Any) -> tuple[float, bool]:
            found = place(value) if _is_number(value) else math.nan
            return (found if abs(found - 0.5) <= 0.5 + MARGIN else math.nan), False

        return number
    texts = {_text(choice): float(index) for index, choice in enumerate(after.choices)}
    numbers = [(index, choice) for index, choice in enumerate(after.choices) if _is_number(choice)]
    is_ordered = len(numbers) == len(after.choices) and not isinstance(before, CategoricalDistribution)
    if not is_ordered and not isinstance(before, CategoricalDistribution) and not numbers:
        return None

    def choice(value: Any) -> tuple[float, bool]:
        if is_valid(after, value):
            return place(value), False
        if _text(value) in texts:
            return texts[_text(value)], True
        if is_ordered and _is_number(value):
            return float(min(numbers, key=lambda item: abs(item[1] - value))[0]), True
        return math.nan, False

    return choice


def _text(value: Any) -> str:
    """Return what choices are compared by where their types differ; databases turn tuples into lists."""
    return str([_text(item) for item in value]) if isinstance(value, (list, tuple)) else str(value)


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
    """Return the value of a distribution that is nearest to a value; None for a choice that it does not have.

    A choice None comes back as None too, which leaves the choice to the study's sampler.
    """
    if isinstance(distribution, CategoricalDistribution):
        same = next((c for c in distribution.choices if type(c) is type(value) and c == value), None)
        return same if same is not None else next((c for c in distribution.choices if _text(c) == _text(value)), None)
    if not _is_number(value):
        return None
    place = placing(distribution)(value)
    return value_at(distribution, place if math.isfinite(place) else 0.0)
