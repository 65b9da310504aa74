"""Past Optuna studies as plain values: their spaces, finished trials and learning curves."""
# Tests: tests/transfer/archive/test_snapshots.py

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

Direction = Literal["minimize", "maximize"]

ABSENT = math.nan
"""Value of a parameter that a trial was not asked for: NaN, so that a list of numbers is an array at once."""


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
    started : datetime or None
        When it started, None if unknown. It never changes, so it distinguishes trials of one number.
    """

    number: int
    state: TrialState
    params: Mapping[str, Any]
    values: tuple[float, ...] | None
    intermediate: Mapping[int, float] = field(default_factory=dict)
    feasible: bool = True
    started: datetime | None = None


@dataclass(frozen=True)
class Column:
    """The values of one parameter in the trials of a study.

    Parameters
    ----------
    values : tuple
        The distinct values; 1, 1.0 and True differ.
    codes : ndarray of shape (n_trials,), int
        Index into `values` for each trial, −1 where the trial had none.
    """

    values: tuple[Any, ...]
    codes: np.ndarray


@dataclass(frozen=True)
class SourceStudy:
    """A past study.

    Parameters
    ----------
    name : str
        Unique in its archive.
    tags : mapping of str to str
        The user's tags.
    directions : tuple of "minimize" or "maximize"
        One per objective.
    distributions : mapping of str to optuna.distributions.BaseDistribution
        Every parameter of any of its trials; where a range changed, the widest.
    trials : tuple of SourceTrial
        Its finished trials, by number.
    begun : datetime or None
        When the first of its trials started, finished or not; None if none has.
    study_name : str or None
        Name of the study in its storage, which may differ from that in the archive; None if unknown.
    origin : str
        Where it is stored, see `autometa.transfer.archive.origins`; "" if unknown.
    """

    name: str
    tags: Mapping[str, str]
    directions: tuple[Direction, ...]
    distributions: Mapping[str, BaseDistribution]
    trials: tuple[SourceTrial, ...]
    begun: datetime | None = None
    study_name: str | None = None
    origin: str = ""

    @property
    def sign(self) -> float:
        """Factor that turns values of the first objective into losses: −1 where it is maximised."""
        return -1.0 if self.directions[0] == "maximize" else 1.0

    @cached_property
    def completed(self) -> tuple[SourceTrial, ...]:
        """Its trials that are complete and have values."""
        return tuple(t for t in self.trials if t.state == TrialState.COMPLETE and t.values is not None)

    @cached_property
    def losses(self) -> np.ndarray:
        """First values of the completed trials, lower is better; infinite where constraints were broken."""
        return np.array([self.sign * t.values[0] if t.feasible and t.values else math.inf for t in self.completed])

    # A study is aligned with one space after another, and its trials never change.
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
            codes = {key: code for code, key in enumerate(k for k in dict.fromkeys(keys) if k is not None)}
            distinct = dict(zip(keys, values, strict=True))
            code_of_trial = np.array([-1 if key is None else codes[key] for key in keys], dtype=int)
            self._columns[name] = Column(tuple(distinct[key] for key in codes), code_of_trial)
        return self._columns[name]


class PastStudies:
    """Past studies to learn from; `autometa.StudyArchive` is the kind of them that can be changed.

    Attributes
    ----------
    sources : tuple of SourceStudy
        The past studies. It is a new tuple whenever something has changed.
    path : Path or None
        The file that holds them, None in memory.
    is_new : bool
        Whether the file did not exist before.
    """

    sources: tuple[SourceStudy, ...] = ()
    path: Path | None = None
    is_new: bool = False

    def __len__(self) -> int:
        return len(self.sources)

    def __iter__(self) -> Iterator[SourceStudy]:
        return iter(self.sources)

    def __contains__(self, name: object) -> bool:
        return any(source.name == name or source is name for source in self.sources)

    def __getitem__(self, name: str | int) -> SourceStudy:
        """Return the past study of a name, or at an index."""
        if isinstance(name, str):
            return self.sources[index_of(name, self.sources)]
        return self.sources[name]

    def __repr__(self) -> str:
        where = "in memory" if self.path is None else str(self.path)
        n_trials = sum(len(source.trials) for source in self.sources)
        return f"<{type(self).__name__} {where}: {len(self)} studies, {n_trials} trials>"


def index_of(name: str, sources: Iterable[SourceStudy]) -> int:
    """Return the index of the study of a name, or raise a KeyError."""
    names = [source.name for source in sources]
    if name not in names:
        raise KeyError(f"The archive has no study {name!r}; it has {names[:20]}.")
    return names.index(name)


def merged_distributions(found: Iterable[Mapping[str, BaseDistribution]]) -> dict[str, BaseDistribution]:
    """Return one distribution per parameter: the widest range and all choices of those that are alike.

    Where the type or the scale of a parameter changed, the latest distribution counts.
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
            added = [choice for choice in latest.choices if not _has(before, choice)]
            return CategoricalDistribution([*before.choices, *added]) if added else before
        case FloatDistribution(), FloatDistribution() if before.log == latest.log:
            step = latest.step if before.step == latest.step else None
            low, high = min(before.low, latest.low), max(before.high, latest.high)
            return FloatDistribution(low, high, log=latest.log, step=step)
        case IntDistribution(), IntDistribution() if before.log == latest.log:
            step = latest.step if before.step == latest.step else 1
            low, high = min(before.low, latest.low), max(before.high, latest.high)
            return IntDistribution(low, high, log=latest.log, step=step)
        # Rebuilt, so that the deprecated classes of old studies (UniformDistribution, …) end here.
        case _, FloatDistribution() | IntDistribution():
            kind = FloatDistribution if isinstance(latest, FloatDistribution) else IntDistribution
            return kind(latest.low, latest.high, log=latest.log, step=latest.step)  # type: ignore[arg-type]
    return latest


def _has(distribution: CategoricalDistribution, choice: Any) -> bool:
    """Whether Optuna finds a choice; ``in`` would not find NaN."""
    try:
        distribution.to_internal_repr(choice)
    except ValueError:
        return False
    return True
