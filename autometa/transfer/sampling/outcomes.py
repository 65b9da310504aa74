"""How good the trials of a study were: complete, pruned and failed ones in one order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from autometa.transfer.archive.sources import SourceStudy, SourceTrial

_COMPLETE, _PRUNED, _INFEASIBLE, _FAILED = range(4)
_Standing = tuple[int, float, float]


@dataclass(frozen=True)
class Outcomes:
    """Results of trials, lower is better.

    Parameters
    ----------
    losses : ndarray of shape (n,)
        Objective values in the direction of minimising; infinite for trials that are not
        complete or break a constraint.
    ranks : ndarray of shape (n,)
        0 for the best; equal trials share a rank. As in Optuna's TPE, complete trials come
        first, then pruned ones (more steps first, then lower values), then those that break
        constraints (by how much). Failed trials come last.
    is_failed : ndarray of shape (n,), bool
        Which trials have no result at all.
    """

    losses: np.ndarray
    ranks: np.ndarray
    is_failed: np.ndarray

    def __len__(self) -> int:
        return len(self.losses)

    def __getitem__(self, rows: np.ndarray) -> Outcomes:
        return Outcomes(self.losses[rows], self.ranks[rows], self.is_failed[rows])

    @property
    def is_all_bad(self) -> bool:
        """Whether no trial is better than another and none has a value below infinity."""
        return len(self) > 0 and bool(np.isposinf(self.losses).all() and np.ptp(self.ranks) == 0)


def outcomes_of(trials: Sequence[FrozenTrial], sign: float = 1.0) -> Outcomes:
    """Return the outcomes of finished trials; `sign` is −1 for a study that is maximised."""
    return _ranked([_standing(trial, sign) for trial in trials])


def behind_complete(source: SourceStudy) -> SourceStudy:
    """Return the pruned and failed trials of a past study with their ranks as values, lower is better.

    As a study, so that they can be aligned with a new space just as complete trials are.
    """
    trials = [t for t in source.trials if t.params and t.state in (TrialState.PRUNED, TrialState.FAIL)]
    sign = -1.0 if source.directions[0] == "maximize" else 1.0
    ranks = _ranked([_standing(trial, sign) for trial in trials]).ranks
    ranked = (
        replace(trial, state=TrialState.COMPLETE, values=(float(rank),), feasible=True)
        for trial, rank in zip(trials, ranks, strict=True)
    )
    return replace(source, directions=("minimize",), trials=tuple(ranked))


def _standing(trial: FrozenTrial | SourceTrial, sign: float) -> _Standing:
    """Return what trials are ordered by."""
    violation = _violation(trial)
    if trial.state == TrialState.FAIL or (trial.values and math.isnan(trial.values[0])):
        return _FAILED, 0.0, 0.0
    if violation:
        return _INFEASIBLE, violation, 0.0
    if trial.state == TrialState.COMPLETE:
        return (_COMPLETE, sign * trial.values[0], 0.0) if trial.values else (_FAILED, 0.0, 0.0)
    curve = trial.intermediate if isinstance(trial, SourceTrial) else trial.intermediate_values
    if not curve:
        return _PRUNED, math.inf, 0.0
    step = max(curve)
    return _PRUNED, -float(step), math.inf if math.isnan(curve[step]) else sign * curve[step]


def _violation(trial: FrozenTrial | SourceTrial) -> float:
    if isinstance(trial, SourceTrial):
        return 0.0 if trial.feasible else 1.0
    return float(sum(value for value in trial.constraints.values() if value > 0))


def _ranked(standings: Sequence[_Standing]) -> Outcomes:
    rank_of = {standing: float(rank) for rank, standing in enumerate(sorted(set(standings)))}
    return Outcomes(
        np.array([value if group == _COMPLETE else math.inf for group, value, _ in standings], dtype=float),
        np.array([rank_of[standing] for standing in standings], dtype=float),
        np.array([group == _FAILED for group, _, _ in standings], dtype=bool),
    )
