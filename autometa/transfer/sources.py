"""Past Optuna studies as plain values: their spaces, finished trials and learning curves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

Direction = Literal["minimize", "maximize"]

ABSENT = math.nan
"""What a trial has for a parameter that it was not asked for: NaN, so that a list of numbers needs no look at it."""


@dataclass(frozen=True)
class SourceTrial:
    """A finished trial of a past study.

    Parameters
    ----------
    number : int
        Its number in its study.
    state : optuna.trial.TrialState
        ``COMPLETE``, ``PRUNED`` or ``FAIL``.
    params : mapping of str to value
        As the objective saw them; a conditional parameter that was not asked for is absent.
    values : tuple of float or None
        One per objective, in the study's directions; None unless complete.
    intermediate : mapping of int to float
        Learning curve: reported values by step, in the order of the steps; may hold NaN or infinity.
    feasible : bool
        Whether all constraints that were set hold.
    """

    number: int
    state: TrialState
    params: Mapping[str, Any]
    values: tuple[float, ...] | None
    intermediate: Mapping[int, float] = field(default_factory=dict)
    feasible: bool = True


@dataclass(frozen=True)
class Column:
    """The values of one parameter in the trials of a study, each different one once; 1, 1.0 and True differ.

    Parameters
    ----------
    values : tuple
        The different values.
    rows : ndarray of shape (n_trials,), int
        Which of them each trial had, −1 where it had none.
    """

    values: tuple[Any, ...]
    rows: np.ndarray


@dataclass(frozen=True)
class SourceStudy:
    """A past study.

    Parameters
    ----------
    name : str
        Unique in its archive.
    tags : mapping of str to str
        What the user said of it.
    directions : tuple of "minimize" or "maximize"
        One per objective.
    distributions : mapping of str to optuna.distributions.BaseDistribution
        Every parameter of any of its trials; where a range changed, the widest.
    trials : tuple of SourceTrial
        Its finished trials, by number.
    begun : str
        When its first trial started (ISO 8601), "" if unknown: tells studies of one name apart.
    """

    name: str
    tags: Mapping[str, str]
    directions: tuple[Direction, ...]
    distributions: Mapping[str, BaseDistribution]
    trials: tuple[SourceTrial, ...]
    begun: str = ""

    @cached_property
    def completed(self) -> tuple[SourceTrial, ...]:
        """Its trials that are complete and have values."""
        return tuple(t for t in self.trials if t.state == TrialState.COMPLETE and t.values is not None)

    @cached_property
    def losses(self) -> np.ndarray:
        """First values of the completed trials, lower is better; infinite where constraints were broken."""
        sign = -1.0 if self.directions[0] == "maximize" else 1.0
        return np.array([sign * t.values[0] if t.feasible and t.values else math.inf for t in self.completed])

    # A study is put into one space after another, and its trials never change.
    @cached_property
    def _numbers(self) -> dict[str, np.ndarray]:
        return {}

    @cached_property
    def _columns(self) -> dict[str, Column]:
        return {}

    def numbers(self, name: str) -> np.ndarray:
        """Return the values of a float or int parameter in the completed trials, NaN where one had none."""
        if name not in self._numbers:
            self._numbers[name] = np.array([t.params.get(name, ABSENT) for t in self.completed], dtype=float)
        return self._numbers[name]

    def column(self, name: str) -> Column:
        """Return the values of a parameter of any kind in the completed trials."""
        if name not in self._columns:
            values = [trial.params.get(name, ABSENT) for trial in self.completed]
            keys = [None if value is ABSENT else (type(value), str(value)) for value in values]
            places = {key: place for place, key in enumerate(k for k in dict.fromkeys(keys) if k is not None)}
            different = dict(zip(keys, values, strict=True))
            rows = np.array([-1 if key is None else places[key] for key in keys], dtype=int)
            self._columns[name] = Column(tuple(different[key] for key in places), rows)
        return self._columns[name]


def source_of(study: Study, name: str | None = None) -> SourceStudy:
    """Return the finished trials of a study, which is only read; None takes the study's own name.

    Raises
    ------
    ArchiveError
        If its storage cannot be read.
    """
    from autometa.transfer.storages import reading_storage  # loads SQLAlchemy

    with reading_storage(f"study {study.study_name!r}"):
        trials = study.get_trials(deepcopy=False)
        directions = tuple(_direction(direction) for direction in study.directions)
    finished = [trial for trial in trials if trial.state.is_finished()]
    begun = next((trial.datetime_start.isoformat() for trial in trials if trial.datetime_start is not None), "")
    return SourceStudy(
        name or study.study_name,
        {},
        directions,
        merged_distributions(trial.distributions for trial in finished),
        tuple(_source_trial(trial) for trial in finished),
        begun,
    )


def _direction(direction: StudyDirection) -> Direction:
    return "maximize" if direction == StudyDirection.MAXIMIZE else "minimize"


def _source_trial(trial: FrozenTrial) -> SourceTrial:
    is_complete = trial.state == TrialState.COMPLETE
    return SourceTrial(
        trial.number,
        trial.state,
        dict(trial.params),
        tuple(float(value) for value in trial.values) if is_complete and trial.values is not None else None,
        {int(step): float(value) for step, value in sorted(trial.intermediate_values.items())},
        all(value <= 0 for value in trial.constraints.values()),
    )


def merged_distributions(found: Iterable[Mapping[str, BaseDistribution]]) -> dict[str, BaseDistribution]:
    """Return one distribution for each parameter: the widest range and all choices of those that are alike.

    Where the kind or the scale of a parameter changed, the latest counts.
    """
    merged: dict[str, BaseDistribution] = {}
    for distributions in found:
        for name, distribution in distributions.items():
            before = merged.get(name)
            if before is None or before != distribution:
                merged[name] = _wider(before, distribution)
    return merged


def _wider(before: BaseDistribution | None, latest: BaseDistribution) -> BaseDistribution:
    match before, latest:
        case CategoricalDistribution(), CategoricalDistribution():
            choices = [*before.choices, *(choice for choice in latest.choices if choice not in before.choices)]
            return CategoricalDistribution(choices)
        case FloatDistribution(), FloatDistribution() if before.log == latest.log:
            step = latest.step if before.step == latest.step else None
            low, high = min(before.low, latest.low), max(before.high, latest.high)
            return FloatDistribution(low, high, log=latest.log, step=step)
        case IntDistribution(), IntDistribution() if before.log == latest.log:
            step = latest.step if before.step == latest.step else 1
            low, high = min(before.low, latest.low), max(before.high, latest.high)
            return IntDistribution(low, high, log=latest.log, step=step)
        # Rebuilt, so that the deprecated classes of old studies (UniformDistribution, …) end here.
        case _, FloatDistribution():
            return FloatDistribution(latest.low, latest.high, log=latest.log, step=latest.step)
        case _, IntDistribution():
            return IntDistribution(latest.low, latest.high, log=latest.log, step=latest.step)
    return latest
