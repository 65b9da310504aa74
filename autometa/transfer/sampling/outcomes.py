"""Orders the trials of a study, complete, pruned and failed ones, and scores them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from autometa.transfer.archive.sources import SourceStudy, SourceTrial
from autometa.transfer.sampling.kernel import own_scores

_COMPLETE, _PRUNED, _INFEASIBLE, _FAILED = range(4)
_SortKey = tuple[int, float, float]

_MAX_TRIALS = 300  # of a study that experts see; the cost of a suggestion grows with their third power
_BAD_SCORE = 1.0  # score of every trial while all of them are equally worthless


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
        """Whether all trials are equally bad and none has a value below infinity."""
        return len(self) > 0 and bool(np.isposinf(self.losses).all() and np.ptp(self.ranks) == 0)


def outcomes_of(trials: Sequence[FrozenTrial], sign: float = 1.0) -> Outcomes:
    """Return the outcomes of finished trials; `sign` is −1 for a study that is maximised."""
    return _ranked([_sort_key(trial, sign) for trial in trials])


def scores_of(outcomes: Outcomes) -> np.ndarray:
    """Return the scores of a study's own trials, lower is better, of shape (n,)."""
    if outcomes.is_all_bad:
        # An unknown configuration is expected to score 0, so it is better than these.
        return np.full(len(outcomes), _BAD_SCORE)
    return own_scores(outcomes.losses, outcomes.ranks)


def kept_trials(ranks: np.ndarray) -> np.ndarray:
    """Return the indices of the trials of a long study that experts see: the best and the latest, in order."""
    if len(ranks) <= _MAX_TRIALS:
        return np.arange(len(ranks))
    best = np.argsort(ranks, kind="stable")[: _MAX_TRIALS // 2]
    latest = np.setdiff1d(np.arange(len(ranks)), best)[-(_MAX_TRIALS - len(best)) :]
    return np.sort(np.concatenate([best, latest]))


def behind_complete(source: SourceStudy) -> SourceStudy:
    """Return a study of the pruned and failed trials of a past study, with their ranks as values, lower is better.

    As a study, they can be aligned with a new space like complete trials.
    """
    trials = [t for t in source.trials if t.params and t.state in (TrialState.PRUNED, TrialState.FAIL)]
    ranks = _ranked([_sort_key(trial, source.sign) for trial in trials]).ranks
    ranked = (
        replace(trial, state=TrialState.COMPLETE, values=(float(rank),), feasible=True)
        for trial, rank in zip(trials, ranks, strict=True)
    )
    return replace(source, directions=("minimize",), trials=tuple(ranked))


def _sort_key(trial: FrozenTrial | SourceTrial, sign: float) -> _SortKey:
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


def _ranked(keys: Sequence[_SortKey]) -> Outcomes:
    rank_of = {key: float(rank) for rank, key in enumerate(sorted(set(keys)))}
    return Outcomes(
        np.array([value if group == _COMPLETE else math.inf for group, value, _ in keys], dtype=float),
        np.array([rank_of[key] for key in keys], dtype=float),
        np.array([group == _FAILED for group, _, _ in keys], dtype=bool),
    )
