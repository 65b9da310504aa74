"""Reads the running study: the space that it has asked for, and its finished trials as points with scores."""
# Tests: tests/transfer/sampling/test_sampler_failures.py

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

from autometa._support.optuna_internals import current_trials
from autometa.transfer.sampling.failures import FailurePattern, failure_pattern
from autometa.transfer.sampling.outcomes import Outcomes, kept_trials, outcomes_of, scores_of
from autometa.transfer.space.encoding import Encoding


@dataclass(frozen=True)
class Observed:
    """The finished trials of a study in a space.

    Parameters
    ----------
    points : ndarray of shape (n, n_parameters)
        Points of the trials that experts see: the best and the latest, without failures by chance. Gaps are filled.
    outcomes : Outcomes
        Their outcomes.
    scores : ndarray of shape (n,)
        Their scores, lower is better.
    every_point : ndarray of shape (n_finished, n_parameters)
        Points of all trials, NaN for parameters that a trial did not have.
    failures : FailurePattern or None
        Where trials fail.
    """

    points: np.ndarray
    outcomes: Outcomes
    scores: np.ndarray
    every_point: np.ndarray
    failures: FailurePattern | None


def observed_trials(study: Study, encoding: Encoding) -> Observed:
    """Return the finished trials of a study as points with scores."""
    finished = finished_trials(study)
    every_point = encoding.points([trial.params for trial in finished])
    points = filled(encoding, every_point)
    outcomes = outcomes_of(finished, -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0)
    pattern = failure_pattern(encoding.inputs(points), outcomes.is_failed, encoding.groups)
    rows = np.flatnonzero(~outcomes.is_failed) if pattern is None else np.arange(len(points))
    rows = rows[kept_trials(outcomes.ranks[rows])]
    return Observed(points[rows], outcomes[rows], scores_of(outcomes[rows]), every_point, pattern)


def finished_trials(study: Study) -> list[FrozenTrial]:
    """Return the complete, pruned and failed trials of a study that have parameters."""
    return [trial for trial in current_trials(study) if trial.state.is_finished() and trial.params]


def own_space(study: Study) -> dict[str, BaseDistribution]:
    """Return the parameters that the study's trials have asked for, in the order of first appearance."""
    found: dict[str, BaseDistribution] = {}
    for trial in current_trials(study):
        found.update(trial.distributions)
    return found


def filled(encoding: Encoding, points: np.ndarray) -> np.ndarray:
    """Return the points of trials; gaps that no condition explains become the middle of the range."""
    return encoding.on_grid(points) if len(points) else points
