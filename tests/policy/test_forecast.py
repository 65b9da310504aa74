"""What a search is expected to end with."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from autometa.metadataset.error_moments import second_moments
from autometa.policy.expected_gain import GainPolicy
from autometa.policy.forecast import ensemble_losses, quantiles
from autometa.policy.loss_model import Scenarios
from autometa.policy.past_tasks import PastTasks
from tests.helpers.past_tasks import describe, make_past

PAST = make_past()


def with_moments(past: PastTasks, *, common: float) -> PastTasks:
    """Return past tasks whose errors have a common part: with 1 all models err alike, and ensembles bring nothing."""
    rng = np.random.default_rng(0)
    moments = []
    for losses in np.where(np.isfinite(past.losses["roc_auc"]), past.losses["roc_auc"], past.losses["rmse"]):
        own, shared = rng.normal(size=(len(losses), 400)), rng.normal(size=400)
        own /= np.sqrt((own**2).mean(axis=1, keepdims=True))
        moments.append(second_moments(losses[:, None] * (math.sqrt(1 - common) * own + math.sqrt(common) * shared)))
    return replace(past, moments=np.array(moments, dtype=np.float32))


def scenarios_of(past: PastTasks) -> Scenarios:
    losses = np.where(np.isfinite(past.losses["roc_auc"]), past.losses["roc_auc"], 0.5)
    return Scenarios(losses, np.full(len(losses), 1 / len(losses)), np.zeros_like(losses))


def test_without_second_moments_the_ensemble_counts_as_its_best_member() -> None:
    scenarios = scenarios_of(PAST)
    found = ensemble_losses(PAST, "roc_auc", scenarios, [1, 4, 7])
    assert found == pytest.approx(scenarios.losses[:, [1, 4, 7]].min(axis=1))


def test_members_that_err_differently_make_a_better_ensemble() -> None:
    members = [0, 3, 6, 9]
    found = {}
    for common in (0.2, 0.9):
        past = with_moments(PAST, common=common)
        found[common] = ensemble_losses(past, "roc_auc", scenarios_of(past), members)
    best = scenarios_of(PAST).losses[:, members].min(axis=1)
    is_binary = np.array(PAST.problems) == "binary"
    assert (found[0.2] <= best + 1e-9).all()
    assert found[0.2][is_binary].mean() < found[0.9][is_binary].mean() < best[is_binary].mean() + 1e-9


def test_more_seconds_promise_more_trials_and_no_higher_loss() -> None:
    policy = GainPolicy(PAST)
    description = describe(PAST, 0)
    found = [policy.forecast(description, seconds) for seconds in (0.001, 5.0, 1e4, math.inf)]
    assert [f.n_trials for f in found if f] == sorted(f.n_trials for f in found if f)
    assert found[0] is not None and found[0].n_trials == 1
    assert found[-1] is not None and found[-1].n_trials == len(PAST.configurations)
    for one in filter(None, found):
        assert one.loss_low <= one.loss <= one.loss_high
    assert found[0].loss >= found[2].loss  # type: ignore[union-attr]


def test_the_interval_holds_most_of_the_true_losses() -> None:
    past = make_past(3, problems=("binary",) * 40)
    is_inside = []
    for row in range(len(past.tasks)):
        others = [other for other in range(len(past.tasks)) if other != row]
        forecast = GainPolicy(past.select(np.array(others))).forecast(describe(past, row), math.inf)
        assert forecast is not None
        is_inside.append(forecast.loss_low <= past.losses["roc_auc"][row].min() <= forecast.loss_high)
    assert 0.6 <= np.mean(is_inside) <= 0.95


def test_without_records_of_the_problem_there_is_no_forecast() -> None:
    assert GainPolicy(PAST).forecast(replace(describe(PAST, 0), problem="multiclass"), 10.0) is None


def test_quantiles_follow_the_weights() -> None:
    values, weights = np.array([3.0, 1.0, 2.0]), np.array([0.5, 0.25, 0.25])
    assert quantiles(values, weights, [0.1, 0.4, 0.9]).tolist() == [1.0, 2.0, 3.0]
