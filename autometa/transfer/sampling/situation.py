"""Gathers what is known when a study's next configuration is chosen: its trials, and the experts' posteriors."""
# Tests: tests/transfer/sampling/test_sampler.py

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from optuna.study import Study

from autometa.transfer.sampling.experts import Expert, OwnKernel, Posterior, experts_of, posterior, weights_of
from autometa.transfer.sampling.failures import FailurePattern
from autometa.transfer.sampling.past_studies import Learnt
from autometa.transfer.sampling.past_values import SameFunction
from autometa.transfer.sampling.proposals import (
    Suggestion,
    TriedPoints,
    best_of_past,
    drawn_point,
    is_probe,
    posteriors_of,
    proposed,
)
from autometa.transfer.sampling.study import filled, observed_trials
from autometa.transfer.space.encoding import Encoding

_N_LOOKED_AT = 20  # trials of the study among which repeated ones are counted
N_START = 3  # trials that are chosen among the best of past studies, before the model of them may suggest anything else
N_AGAIN = 5  # trials that past studies of the same function had too
N_SAME_PAST, N_SAME_TRIALS = 60, 60  # trials of past studies of the same function, and of the study that continues them
THIN = 0.1  # probability that the past misleads, above which trials are drawn at random


@dataclass(frozen=True)
class Situation:
    """The state of a study when a configuration is chosen.

    Parameters
    ----------
    learnt : Learnt
        What past studies say.
    posteriors : list of Posterior
        The experts after the study's finished trials; the last one ignores the past.
    tried : TriedPoints
        The study's trials.
    n_tried : int
        Number of finished and running trials.
    is_all_bad : bool
        Whether all finished trials have failed or were equally worthless.
    failures : FailurePattern or None
        Where trials fail.
    losses : ndarray of shape (n,)
        Losses of the trials in `tried`, infinite without a value.
    same : SameFunction or None
        Past studies that are or may be of the very same function.
    """

    learnt: Learnt
    posteriors: list[Posterior]
    tried: TriedPoints
    n_tried: int
    is_all_bad: bool
    failures: FailurePattern | None
    losses: np.ndarray
    same: SameFunction | None

    @property
    def best_loss(self) -> float:
        """Loss of the best trial, infinite without any."""
        return float(self.losses.min(initial=np.inf))

    @property
    def n_again(self) -> int:
        """Number of trials that past studies of the same function had too."""
        if self.same is None or self.tried.earlier is None:
            return 0
        first = self.tried.earlier[:_N_LOOKED_AT]
        return sum(bool(np.isclose(self.same.points, p, equal_nan=True).all(axis=1).any()) for p in first)

    @property
    def encoding(self) -> Encoding:
        """The study's space, with the parameters that may come in addition by past studies."""
        return self.learnt.encoding

    @property
    def is_past_useless(self) -> bool:
        """Whether the expert that ignores the past is more probable than all others together."""
        return bool(weights_of(self.posteriors)[-1] > 0.5)

    def with_running(self, configurations: Sequence[Mapping[str, Any]]) -> Situation:
        """Return the situation with these configurations running too."""
        points = filled(self.encoding, self.encoding.points(configurations))
        tried = replace(self.tried, running=np.concatenate([self.tried.running, points]))
        return replace(self, tried=tried, n_tried=self.n_tried + len(points))

    def is_worth_trying(self, configuration: Mapping[str, Any]) -> bool:
        """Whether no trial had or has this configuration, and it is not expected to fail."""
        point = self.encoding.points([configuration])
        if self.tried.has(point[0]):
            return False
        inputs = self.encoding.inputs(filled(self.encoding, point))
        return self.failures is None or bool(self.failures.expected(inputs)[0] < 0.5)

    def columns(self, values: Mapping[str, Any]) -> dict[int, float]:
        """Return the positions of given values, by column."""
        point = self.encoding.points([values])[0]
        return {int(column): float(point[column]) for column in np.flatnonzero(~np.isnan(point))}

    def next_point(self, rng: np.random.Generator, fixed: Mapping[int, float], probes: bool = True) -> Suggestion:
        """Return the point to try next; `fixed` holds the positions of columns that are decided."""
        # Without any success only the past is left to go by, and it may be what is wrong.
        if self.is_all_bad and self.n_tried % 2:
            return drawn_point(self.encoding, self.tried, rng, fixed)
        population = self.learnt.population
        if population is None:
            tops = np.zeros((0, len(self.encoding.names)))
        else:
            tops = population.tops
            # What was good before may be what fails now.
            is_safe = self.failures is None
            if is_safe and self.same is not None and (again := self._again(fixed)) is not None:
                return again
            # In the space that past studies had, the model of all of them is better than the best of each.
            is_start = self.learnt.is_changed and self.n_tried < N_START
            if is_safe and is_start and not self.is_past_useless:
                start = best_of_past(self.encoding, self.posteriors, self.tried, tops, population.top_studies, fixed)
                if start is not None:
                    return start
        if probes and self.is_probe_due:
            return drawn_point(self.encoding, self.tried, rng, fixed)
        posteriors = self.posteriors
        # Values alone do not tell where the past was pruned or failed; the experts know.
        if self.same is not None and self.is_continued and self.learnt.is_all_complete:
            posteriors = [self._continued(self.same)]
        return proposed(self.encoding, posteriors, self.tried, tops, rng, fixed)

    @property
    def is_continued(self) -> bool:
        """Whether a past study is of the very same function."""
        return self.same is not None and self.same.is_proven

    @property
    def is_probe_due(self) -> bool:
        """Whether a random trial is due, to find out whether the past misleads, while the evidence for it is thin."""
        if self.learnt.population is None:
            return is_probe(self.n_tried)
        is_due = (self.learnt.is_changed and self.n_tried == N_START) or is_probe(self.n_tried)
        return is_due and not self.is_continued and bool(weights_of(self.posteriors)[-1] > THIN)

    def _again(self, fixed: Mapping[int, float]) -> Suggestion | None:
        """Return the best untried trial of past studies of the same function, None if the study has a better one.

        Where they only may be of the same function, only the best of their trials shows whether they are.
        """
        assert self.same is not None
        if fixed or self.n_again >= N_AGAIN:
            return None
        n = len(self.same.losses) if self.same.is_proven else 1
        for point, loss, study in zip(self.same.points[:n], self.same.losses, self.same.studies, strict=False):
            if loss >= self.best_loss:
                break
            inside = self.encoding.on_grid(point[None])[0]
            if np.allclose(inside, point, equal_nan=True) and not self.tried.has(inside):
                return Suggestion(inside, f"past study with like values: {study}")
        return None

    def _continued(self, same: SameFunction) -> Posterior:
        """Return the model of the study's trials and those of past studies of the same function."""
        population = self.learnt.population
        assert population is not None
        rows = np.arange(len(same.losses))
        if len(rows) > N_SAME_PAST:
            half = N_SAME_PAST // 2
            rows = np.concatenate([rows[:half], rows[half:][:: -(-(len(rows) - half) // half)]])
        inputs = np.concatenate(
            [self.encoding.inputs(filled(self.encoding, same.points[rows])), self.encoding.inputs(self.tried.points)]
        )
        scores = np.concatenate([same.scaled(same.losses[rows]), same.scaled(self.losses)])
        return posterior(Expert("same", population.kernel), inputs, np.minimum(scores, same.scaled(np.array(np.inf))))


def situation_of(study: Study, learnt: Learnt, own_kernel: OwnKernel) -> Situation:
    """Return the situation of a study, without its running trials."""
    observed = observed_trials(study, learnt.encoding)
    tried = TriedPoints(observed.points, observed.scores, observed.points[:0], observed.every_point)
    experts = experts_of(learnt, observed.points, observed.outcomes, own_kernel)
    posteriors = posteriors_of(learnt.encoding, experts, tried)
    n_tried, is_all_bad = len(observed.every_point), observed.outcomes.is_all_bad
    losses = observed.outcomes.losses
    # A long study has a model of its own.
    values = learnt.values if len(losses) <= N_SAME_TRIALS else None
    same = None if values is None else values.same_function(observed.points, losses)
    return Situation(learnt, posteriors, tried, n_tried, is_all_bad, observed.failures, losses, same)
