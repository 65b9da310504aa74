"""Past studies in the space of a new one: parameters matched by name, type, range, scale and choices."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import TrialState

from autometa.core.space import is_valid
from autometa.transfer.encoding import places_of, placing, value_at
from autometa.transfer.sources import SourceStudy

_Converter = Callable[[list[Any]], tuple[np.ndarray, np.ndarray, np.ndarray]]

# What a trial has for a parameter that it was not asked for; NaN, so that a list of numbers needs no look at it.
_ABSENT = math.nan
_NOTHING = (math.nan, False)

# Numbers a little outside the new range still tell what happens at its edge; further out they say
# nothing about what can be tried.
_MARGIN = 0.5


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
        See `autometa.transfer.encoding`; NaN where a parameter is inactive or unknown. Numbers
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
    """Return a past study in the space of a new one.

    Parameters
    ----------
    source : SourceStudy
        The past study.
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
    by_new_name = {renamed.get(past, past): past for past in source.distributions}
    usable = [trial for trial in source.trials if trial.state == TrialState.COMPLETE and trial.values is not None]
    rows = [trial.params for trial in usable]
    points = np.full((len(usable), len(distributions)), np.nan)
    known = np.zeros(len(distributions), dtype=bool)
    kept = np.ones(len(usable), dtype=bool)
    notes = []
    for column, (name, distribution) in enumerate(distributions.items()):
        past = by_new_name.get(name)
        if past is None:
            notes.append(ParameterNote("", name, "new"))
            continue
        before = source.distributions[past]
        convert = _converting(before, distribution)
        if convert is None:
            notes.append(ParameterNote(past, name, "of another type, ignored"))
            continue
        known[column] = True
        places, is_out, is_mapped = convert([params.get(past, _ABSENT) for params in rows])
        points[:, column] = places
        kept &= ~is_out
        n_mapped, n_dropped = int(is_mapped.sum()), int(is_out.sum())
        notes.append(ParameterNote(past, name, _change(past, name, before, distribution), n_mapped, n_dropped))
    notes += [
        ParameterNote(past, "", "not in the new space, ignored")
        for new, past in by_new_name.items()
        if new not in distributions
    ]
    losses = np.array([])
    reason = ""
    if len(source.directions) != 1:
        reason = "several objectives"
    elif not usable:
        reason = "no completed trial"
    elif not known.any():
        reason = "no parameter in common"
    elif not kept.any():
        reason = "no trial inside the new space"
    if not reason:
        sign = -1.0 if source.directions[0] == "maximize" else 1.0
        losses = np.array([sign * t.values[0] if t.feasible else math.inf for t in usable if t.values is not None])[
            kept
        ]
        return AlignedStudy(source.name, points[kept], losses, known, tuple(notes))
    return AlignedStudy(source.name, points[:0], losses, known, tuple(notes), reason)


def _converting(before: BaseDistribution, after: BaseDistribution) -> _Converter | None:
    """Return what turns the past values of a parameter into places, or None if nothing can.

    It returns, for all trials at once: places, NaN where there is none; whether a value was there that has no
    place; whether it was changed.
    """
    if not isinstance(before, CategoricalDistribution) and not isinstance(after, CategoricalDistribution):
        return partial(_numbers, after)
    one = _converting_one(before, after)
    return None if one is None else partial(_each, one)


def _numbers(distribution: BaseDistribution, values: list[Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    found = np.array(values, dtype=float)
    places = places_of(distribution, found)
    is_near = np.abs(places - 0.5) <= 0.5 + _MARGIN
    places[~is_near] = np.nan
    return places, ~is_near & ~np.isnan(found), np.zeros(len(found), dtype=bool)


def _each(one: Callable[[Any], tuple[float, bool]], values: list[Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # There are few different choices, but many trials; 1, 1.0 and True are different ones.
    keys = [(type(value), str(value)) for value in values]
    known = {key: one(value) for key, value in dict(zip(keys, values, strict=True)).items() if value is not _ABSENT}
    found = [known.get(key, _NOTHING) for key in keys]
    places, is_mapped = np.array(found, dtype=float).reshape(-1, 2).T
    is_there = np.array([value is not _ABSENT for value in values], dtype=bool)
    return places, np.isnan(places) & is_there, is_mapped > 0


def _converting_one(before: BaseDistribution, after: BaseDistribution) -> Callable[[Any], tuple[float, bool]] | None:
    place = placing(after)
    if not isinstance(after, CategoricalDistribution):
        if isinstance(before, CategoricalDistribution) and not all(_is_number(choice) for choice in before.choices):
            return None

        def number(value: Any) -> tuple[float, bool]:
            found = place(value) if _is_number(value) else math.nan
            return (found if abs(found - 0.5) <= 0.5 + _MARGIN else math.nan), False

        return number
    texts = {str(choice): float(index) for index, choice in enumerate(after.choices)}
    numbers = [(index, choice) for index, choice in enumerate(after.choices) if _is_number(choice)]
    is_ordered = len(numbers) == len(after.choices) and not isinstance(before, CategoricalDistribution)
    if not is_ordered and not isinstance(before, CategoricalDistribution) and not numbers:
        return None

    def choice(value: Any) -> tuple[float, bool]:
        if is_valid(after, value):
            return place(value), False
        if str(value) in texts:
            return texts[str(value)], True
        if is_ordered and _is_number(value):
            return float(min(numbers, key=lambda item: abs(item[1] - value))[0]), True
        return math.nan, False

    return choice


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
        return same if same is not None else next((c for c in distribution.choices if str(c) == str(value)), None)
    if not _is_number(value):
        return None
    place = placing(distribution)(value)
    return value_at(distribution, place if math.isfinite(place) else 0.0)
