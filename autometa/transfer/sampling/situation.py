"""Gathers what is known when a study's next configuration is chosen: its trials, and the experts' posteriors."""
# Tests: tests/transfer/sampling/test_sampler.py

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from optuna.study import Study

from autometa.transfer.sampling.experts import OwnKernel, Posterior, experts_of, weights_of
from autometa.transfer.sampling.failures import FailurePattern
from autometa.transfer.sampling.past_studies import Learnt
from autometa.transfer.sampling.proposals import (
    Suggestion,
    TriedPoints,
    drawn_point,
    is_probe,
    posteriors_of,
    proposed,
)
from autometa.transfer.sampling.study import filled, observed_trials
from autometa.transfer.space.encoding import Encoding


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
    """

    learnt: Learnt
    posteriors: list[Posterior]
    tried: TriedPoints
    n_tried: int
    is_all_bad: bool
    failures: FailurePattern | None

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
        if (probes and is_probe(self.n_tried)) or (self.is_all_bad and self.n_tried % 2):
            return drawn_point(self.encoding, self.tried, rng, fixed)
        population = self.learnt.population
        tops = population.tops if population is not None else np.zeros((0, len(self.encoding.names)))
        return proposed(self.encoding, self.posteriors, self.tried, tops, rng, fixed)


def situation_of(study: Study, learnt: Learnt, own_kernel: OwnKernel) -> Situation:
    """Return the situation of a study, without its running trials."""
    observed = observed_trials(study, learnt.encoding)
    tried = TriedPoints(observed.points, observed.scores, observed.points[:0], observed.every_point)
    experts = experts_of(learnt, observed.points, observed.outcomes, own_kernel)
    posteriors = posteriors_of(learnt.encoding, experts, tried)
    n_tried, is_all_bad = len(observed.every_point), observed.outcomes.is_all_bad
    return Situation(learnt, posteriors, tried, n_tried, is_all_bad, observed.failures)
