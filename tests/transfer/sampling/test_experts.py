"""Experts are weighted by what they predicted, and a study's own kernel is fitted only now and then."""

from __future__ import annotations

import numpy as np
import pytest
from optuna.distributions import FloatDistribution

from autometa.transfer.sampling.experts import Expert, OwnKernel, experts_of, posterior, weights_of
from autometa.transfer.sampling.kernel import default_kernel
from autometa.transfer.sampling.outcomes import Outcomes
from autometa.transfer.sampling.past_studies import Past
from autometa.transfer.space.encoding import Encoding

ENCODING = Encoding({"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1)}, {})


def points_of(seed: int, n: int) -> np.ndarray:
    return np.random.default_rng(seed).random((n, 2))


def test_weights_are_probabilities_and_the_prior_without_trials(seed: int) -> None:
    kernel = default_kernel(ENCODING.groups)
    experts = [Expert("past", kernel), Expert("no transfer", kernel)]
    prior = weights_of([posterior(expert, points_of(seed, 0), np.zeros(0)) for expert in experts])
    np.testing.assert_allclose(prior, [0.75, 0.25])
    scores = np.random.default_rng(seed).normal(size=6)
    after = weights_of([posterior(expert, points_of(seed, 6), scores) for expert in experts])
    np.testing.assert_allclose(after, prior)  # they predict the same


def test_a_posterior_is_sure_where_it_was_told_the_score(seed: int) -> None:
    inputs, scores = points_of(seed, 8), np.random.default_rng(seed).normal(size=8)
    found = posterior(Expert("no transfer", default_kernel(ENCODING.groups)), inputs, scores)
    _, there = found.predict(inputs)
    _, elsewhere = found.predict(inputs + 50.0)
    assert there.max() < elsewhere.min()
    assert found.best == pytest.approx(found.predict(inputs)[0].min())


def test_the_own_kernel_changes_only_when_half_more_trials_are_there(seed: int) -> None:
    points = points_of(seed, 13)
    scores = points @ [1.0, -2.0]
    kernels = [OwnKernel().fitted(points[:n], lambda rows: scores[rows], ENCODING.groups) for n in range(14)]
    scales = [tuple(kernel.inverse_scales) for kernel in kernels]
    assert set(scales[:8]) == {tuple(default_kernel(ENCODING.groups).inverse_scales)}
    assert len({scales[7], scales[8], scales[12]}) == 3
    assert scales[8] == scales[11]
    assert scales[12] == scales[13]


def test_without_a_past_there_is_one_expert(seed: int) -> None:
    learnt = Past().learn((), ENCODING.distributions, {}, [])
    outcomes = Outcomes(np.arange(3.0), np.arange(3.0), np.zeros(3, dtype=bool))
    (expert,) = experts_of(learnt, points_of(seed, 3), outcomes, OwnKernel())
    assert expert.name == "no transfer"
