from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution

from autometa.transfer.sampling.experts import Expert, expected_improvement, posterior, weights_of
from autometa.transfer.sampling.kernel import default_kernel, fitted_kernel, normal_scores, own_scores, whitening_of
from autometa.transfer.sampling.population import Population, _expectation_maximisation, fitted_population
from autometa.transfer.sampling.proposals import TriedPoints, _acquisition, is_probe, posteriors_of
from autometa.transfer.sampling.warm_start import complementary_points
from autometa.transfer.space.alignment import AlignedStudy
from autometa.transfer.space.encoding import Encoding

SPACE = {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1), "c": CategoricalDistribution(["a", "b"])}
ENCODING = Encoding(SPACE, {})
LOSSES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30).map(np.array)


def function(points: np.ndarray, centre: float = 0.3) -> np.ndarray:
    return (points[:, 0] - centre) ** 2 + 0.3 * points[:, 2]


def past(n_studies: int, n_trials: int = 25, centres=(0.3,)) -> list[AlignedStudy]:
    found = []
    for number in range(n_studies):
        points = ENCODING.uniform(np.random.default_rng(number).random((n_trials, 3)))
        losses = function(points, centres[number % len(centres)])
        found.append(AlignedStudy(f"s{number}", points, losses, np.ones(3, dtype=bool), ()))
    return found


@pytest.fixture(scope="module")
def population() -> Population:
    return fitted_population(past(5), ENCODING)


@settings(max_examples=50, deadline=None)
@given(LOSSES)
def test_normal_scores_keep_the_order_and_forget_the_scale(losses):
    scores = normal_scores(losses)
    order = np.argsort(losses, kind="stable")
    assert (np.diff(scores[order]) >= 0).all()
    stretched = np.sign(losses) * np.abs(losses) ** (1 / 3)
    # The roots of two neighbouring floats may be one.
    if len(np.unique(stretched)) == len(np.unique(losses)):
        assert np.allclose(scores, normal_scores(stretched))
    if len(set(losses)) == len(losses):
        assert abs(scores.mean()) < 1e-6


@settings(max_examples=50, deadline=None)
@given(LOSSES)
def test_own_scores_are_finite_and_keep_the_order(losses):
    for values in (losses, np.append(losses, [np.inf, np.inf])):
        scores = own_scores(values)
        assert np.isfinite(scores).all()
        assert (np.diff(scores[np.argsort(values, kind="stable")]) >= -1e-9).all()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=30).map(np.array))
def test_own_scores_take_any_float_without_a_warning(losses):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = own_scores(losses)
    assert np.isfinite(scores).all()
    assert (np.diff(scores[np.argsort(losses, kind="stable")]) >= -1e-9).all()


@settings(max_examples=50, deadline=None)
@given(LOSSES, st.integers(-900, 900))
def test_own_scores_do_not_depend_on_the_unit(losses, exponent):
    losses = np.round(losses, 3)
    np.testing.assert_allclose(own_scores(np.ldexp(losses, exponent)), own_scores(losses), atol=1e-12)


def test_own_scores_order_trials_without_a_loss_by_their_ranks():
    scores = own_scores(np.array([1.0, np.inf, 0.0, np.inf, np.inf]), np.array([1.0, 3.0, 0.0, 2.0, 3.0]))
    assert scores[2] < scores[0] < scores[3] < scores[1] == scores[4]


def test_scores_of_nothing_and_of_infinities_only():
    assert own_scores(np.array([])).shape == (0,)
    assert (own_scores(np.array([np.inf, np.inf])) == 0).all()


def test_kernel_is_a_covariance():
    inputs = ENCODING.inputs(ENCODING.uniform(np.random.default_rng(0).random((30, 3))))
    kernel = default_kernel(ENCODING.groups)
    covariance = kernel(inputs, inputs)
    assert np.allclose(covariance, covariance.T)
    assert np.allclose(covariance.diagonal(), kernel.amplitude)
    assert np.linalg.eigvalsh(covariance).min() > -1e-8


def test_fitted_kernel_finds_which_parameters_matter():
    studies = past(4)
    inputs = [ENCODING.inputs(study.points) for study in studies]
    kernel = fitted_kernel(inputs, [normal_scores(study.losses) for study in studies], ENCODING.groups)
    x, y = kernel.inverse_scales[0], kernel.inverse_scales[1]
    assert x > 3 * y
    assert kernel.inverse_scales[2] == kernel.inverse_scales[3]


def test_population_prefers_what_was_good(population):
    points = ENCODING.uniform(np.random.default_rng(99).random((200, 3)))
    expected = population.features(ENCODING.inputs(points)) @ population.mean
    assert np.corrcoef(normal_scores(expected), normal_scores(function(points)))[0, 1] > 0.9


def test_population_is_the_same_each_time(population):
    again = fitted_population(past(5), ENCODING)
    assert (again.mean == population.mean).all() and (again.root == population.root).all()


def test_posterior_goes_through_what_was_seen_and_is_sure_there(population):
    points = ENCODING.uniform(np.random.default_rng(5).random((12, 3)))
    inputs, scores = ENCODING.inputs(points), own_scores(function(points, 0.6))
    for expert in (
        Expert("past", population.kernel, population, has_covariance=True),
        Expert("no transfer", default_kernel(ENCODING.groups)),
    ):
        belief = posterior(expert, inputs, scores)
        mean, deviation = belief.predict(inputs)
        assert np.corrcoef(mean, scores)[0, 1] > 0.9
        assert deviation.max() < posterior(expert, inputs[:0], scores[:0]).predict(inputs)[1].min()


@pytest.mark.parametrize(("sign", "believed"), [(1, True), (-1, False)], ids=["like the past", "negated"])
def test_experts_are_weighed_by_how_they_predict(population, sign, believed):
    points = ENCODING.uniform(np.random.default_rng(7).random((10, 3)))
    inputs, scores = ENCODING.inputs(points), own_scores(sign * function(points))
    experts = [
        Expert("past", population.kernel, population, has_covariance=True),
        Expert("no transfer", default_kernel(ENCODING.groups)),
    ]
    weights = weights_of([posterior(expert, inputs, scores) for expert in experts])
    assert weights.sum() == pytest.approx(1.0)
    assert bool(weights[0] > 0.5) is believed


@settings(max_examples=50, deadline=None)
@given(st.floats(-5, 5), st.floats(1e-3, 5), st.floats(-5, 5))
def test_expected_improvement_is_not_negative_and_grows_with_the_uncertainty(mean, deviation, best):
    small, large = expected_improvement(np.array([mean, mean]), np.array([deviation, 2 * deviation]), best)
    assert 0 <= small <= large + 1e-12


@pytest.mark.parametrize("centre", [0.1, 0.9])
def test_population_alike_is_around_the_studies_that_rank_the_trials_best(centre):
    population = fitted_population(past(12, centres=(0.1, 0.9)), ENCODING)
    points = ENCODING.uniform(np.random.default_rng(3).random((40, 3)))
    features, losses = population.features(ENCODING.inputs(points)), function(points, centre)

    def agreement(found: Population) -> float:
        return float(np.corrcoef(normal_scores(features @ found.mean), normal_scores(losses))[0, 1])

    assert agreement(population.alike(features[:10], losses[:10])) > agreement(population) + 0.1
    assert population.alike(features[:3], losses[:3]) is population


def test_gain_counts_only_what_noise_leaves_to_be_learnt():
    points = ENCODING.uniform(np.random.default_rng(4).random((15, 3)))
    tried = TriedPoints(points, own_scores(function(points)), points[:0])
    (belief,) = posteriors_of(ENCODING, [Expert("no transfer", default_kernel(ENCODING.groups))], tried)
    mean, deviation = belief.predict(ENCODING.inputs(points))
    plain = expected_improvement(mean, deviation, belief.best)
    gain = _acquisition(belief, mean, deviation)
    assert (gain <= plain).all() and (gain >= 0).all()
    order = np.argsort(deviation)
    assert (np.diff((gain / plain)[order]) >= -1e-12).all()


def test_portfolio_covers_kinds_of_studies():
    population = fitted_population(past(8, centres=(0.1, 0.9)), ENCODING)
    points = complementary_points(population, 3, np.random.default_rng(0))
    assert points[:, 0].min() < 0.35 and points[:, 0].max() > 0.65
    assert len(np.unique(points, axis=0)) == 3


def test_probes_become_rarer():
    assert [n + 1 for n in range(30) if is_probe(n)] == [3, 6, 10, 15, 21, 28]


@pytest.mark.parametrize("n_trials", [1, 2])
def test_past_of_one_tiny_study_is_enough(n_trials):
    population = fitted_population(past(1, n_trials), ENCODING)
    assert np.isfinite(population.mean).all() and np.isfinite(population.root).all()


def test_population_expects_little_where_past_trials_failed():
    studies, behind = past(4), []
    for number, study in enumerate(studies):
        kept = study.points[:, 1] < 0.5
        behind.append(replace(study, points=study.points[~kept], losses=np.zeros((~kept).sum())))
        studies[number] = replace(study, points=study.points[kept], losses=study.losses[kept])
    points = ENCODING.uniform(np.random.default_rng(99).random((200, 3)))

    def expected(population: Population) -> np.ndarray:
        return population.features(ENCODING.inputs(points)) @ population.mean

    has_failed = points[:, 1] > 0.6
    without, found = (expected(fitted_population(studies, ENCODING, worse)) for worse in ((), behind))
    assert found[has_failed].min() > found[~has_failed].mean()
    assert found[has_failed].mean() - found[~has_failed].mean() > without[has_failed].mean() + 0.5


def test_only_complete_trials_are_recommended():
    (study,) = past(1, 3)
    behind = replace(study, points=1.0 - study.points, losses=np.zeros(3))
    study = replace(study, points=study.points[:2], losses=study.losses[:2])
    population = fitted_population([study], ENCODING, [behind])
    assert {tuple(point) for point in population.tops} == {tuple(point) for point in ENCODING.on_grid(study.points)}


def test_whitening_is_the_inverse_of_the_cholesky_factor():
    rows = np.random.default_rng(0).normal(size=(3, 6, 6))
    covariances = rows @ rows.transpose(0, 2, 1) + np.eye(6)
    assert np.allclose(whitening_of(covariances) @ np.linalg.cholesky(covariances), np.eye(6))


def test_step_over_all_studies_at_once_is_that_of_each_alone():
    rng = np.random.default_rng(1)
    kernel = default_kernel(np.arange(2))
    rows = [np.column_stack([rng.normal(size=(n, 4)) * 0.3, np.ones(n)]) for n in (3, 7)]
    scores = [rng.normal(size=len(found)) for found in rows]
    mean, root, weights = _expectation_maximisation(rows, scores, kernel, n_steps=1)
    prior, expected = np.eye(5), []
    total = 5.0 * prior
    for found, values in zip(rows, scores, strict=True):
        noise = kernel.noise + np.maximum(kernel.amplitude - (found[:, :-1] ** 2).sum(1), 0.0)
        gain = prior @ found.T @ np.linalg.inv(found @ prior @ found.T + np.diag(noise))
        expected.append(gain @ values)
        total += prior - gain @ found @ prior
    away = np.array(expected) - np.sum(expected, axis=0) / 3
    assert np.allclose(weights, expected, atol=1e-5)
    assert np.allclose(mean, np.sum(expected, axis=0) / 3, atol=1e-5)
    assert np.allclose(root @ root.T, (total + away.T @ away) / 7, atol=1e-5)
