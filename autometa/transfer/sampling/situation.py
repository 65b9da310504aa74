"""Where a study stands when its next configuration is chosen: its trials, and what experts make of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

from autometa.transfer.sampling.experts import Expert, OwnKernel, Posterior, kept_trials, scores_of, weights_of
from autometa.transfer.sampling.failures import FailurePattern, failure_pattern
from autometa.transfer.sampling.outcomes import Outcomes, outcomes_of
from autometa.transfer.sampling.past_studies import Learnt
from autometa.transfer.sampling.proposals import Seen, beliefs_of, drawn_point, is_probe, proposed
from autometa.transfer.space.encoding import Encoding


@dataclass(frozen=True)
class Situation:
    """What is known when a configuration is chosen.

    Parameters
    ----------
    learnt : Learnt
        What past studies say.
    beliefs : list of Posterior
        The experts after the study's finished trials; the last one knows no past.
    seen : Seen
        The study's trials.
    n_tried : int
        Its finished and running trials.
    is_all_bad : bool
        Whether all finished trials have failed or were equally worthless.
    failures : FailurePattern or None
        Where trials fail.
    """

    learnt: Learnt
    beliefs: list[Posterior]
    seen: Seen
    n_tried: int
    is_all_bad: bool
    failures: FailurePattern | None

    @property
    def encoding(self) -> Encoding:
        """The space, and what past studies say may come on top of it."""
        return self.learnt.encoding

    @property
    def is_past_useless(self) -> bool:
        """Whether the expert that knows no past is more likely right than all others together."""
        return bool(weights_of(self.beliefs)[-1] > 0.5)

    def with_running(self, configurations: Sequence[Mapping[str, Any]]) -> Situation:
        """Return the situation with these configurations being tried too."""
        points = filled(self.encoding, self.encoding.points(configurations))
        seen = replace(self.seen, running=np.concatenate([self.seen.running, points]))
        return replace(self, seen=seen, n_tried=self.n_tried + len(points))

    def is_worth_trying(self, configuration: Mapping[str, Any]) -> bool:
        """Whether no trial had or has this configuration, and it is not expected to fail."""
        point = self.encoding.points([configuration])
        if self.seen.has(point[0]):
            return False
        inputs = self.encoding.inputs(filled(self.encoding, point))
        return self.failures is None or bool(self.failures.expected(inputs)[0] < 0.5)

    def columns(self, values: Mapping[str, Any]) -> dict[int, float]:
        """Return the points of values that are given, by column."""
        point = self.encoding.points([values])[0]
        return {int(column): float(point[column]) for column in np.flatnonzero(~np.isnan(point))}

    def next_point(self, rng: np.random.Generator, decided: Mapping[int, float]) -> np.ndarray:
        """Return the point to try next, on the grid, with the columns that are decided as they are."""
        # Without any success there is little to go by but the past, which may be what is wrong.
        if is_probe(self.n_tried) or (self.is_all_bad and self.n_tried % 2):
            return drawn_point(self.encoding, self.seen, rng, decided)
        population = self.learnt.population
        tops = population.tops if population is not None else np.zeros((0, len(self.encoding.names)))
        return proposed(self.encoding, self.beliefs, self.seen, tops, rng, decided)


def situation_of(study: Study, learnt: Learnt, own_kernel: OwnKernel) -> Situation:
    """Return where a study stands, its running trials left out."""
    encoding = learnt.encoding
    observed = observed_trials(study, encoding)
    seen = Seen(observed.points, observed.scores, observed.points[:0], observed.every_point)
    beliefs = beliefs_of(encoding, experts_of(learnt, observed, own_kernel), seen)
    n_tried, is_all_bad = len(observed.every_point), observed.outcomes.is_all_bad
    return Situation(learnt, beliefs, seen, n_tried, is_all_bad, observed.failures)


@dataclass(frozen=True)
class Observed:
    """The finished trials of a study in a space.

    Parameters
    ----------
    points : ndarray of shape (n, n_parameters)
        Points of the trials that are looked at: the best and the latest, without those that failed
        by chance. Gaps are filled.
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


def experts_of(learnt: Learnt, observed: Observed, own_kernel: OwnKernel) -> list[Expert]:
    """Return the experts for a study with these trials; the last one knows no past."""
    inputs = learnt.encoding.inputs(observed.points)
    own = own_kernel.fitted(inputs, lambda rows: scores_of(observed.outcomes[rows]), learnt.encoding.groups)
    cold = Expert("no transfer", own)
    if learnt.population is None:
        return [cold]
    population = learnt.population
    alike = population.alike(population.features(inputs), observed.outcomes.ranks)
    return [
        Expert("past", population.kernel, population, has_covariance=True),
        Expert("alike", own, alike, choice_cost=0.0 if alike is population else math.log(population.n_studies)),
        cold,
    ]


def finished_trials(study: Study) -> list[FrozenTrial]:
    """Return the trials of a study that say something: complete, pruned or failed ones that have parameters."""
    trials = study._get_trials(deepcopy=False, use_cache=True)
    return [trial for trial in trials if trial.state.is_finished() and trial.params]


def own_space(study: Study) -> dict[str, BaseDistribution]:
    """Return what the study's trials were asked for so far, in the order of first appearance."""
    found: dict[str, BaseDistribution] = {}
    for trial in study._get_trials(deepcopy=False, use_cache=True):
        found.update(trial.distributions)
    return found


def filled(encoding: Encoding, points: np.ndarray) -> np.ndarray:
    """Return the points of trials, whose gaps that no condition explains are put into the middle."""
    return encoding.on_grid(points) if len(points) else points
