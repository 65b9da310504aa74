"""The chance of each strategy to be the best is learnt from past tasks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autometa.metalearning.training.best_strategy_training import best_gaps, learn_best_strategy
from autometa.policy.past_tasks import PastTasks
from tests.helpers.past_tasks import make_past


@pytest.fixture(scope="module")
def past() -> PastTasks:
    """Return tasks on which the sign of the skewness tells which of two strategies is the best."""
    past = make_past(problems=("regression",) * 40, n_strategies=3)
    skewness = past.features[:, 2]
    losses = np.full(past.losses["rmse"].shape, 0.9)
    losses[:, past.strategies == "s0"] = np.where(skewness > 0, 0.3, 0.5)[:, None]
    losses[:, past.strategies == "s1"] = 0.4
    return replace(past, losses={"rmse": losses})


def test_gaps_are_distances_from_the_best_on_the_scale_of_losses(past: PastTasks) -> None:
    names, gaps = best_gaps(past)
    assert names == ("s0", "s1", "s2")
    first = int(np.flatnonzero(past.features[:, 2] > 0)[0])
    np.testing.assert_allclose(gaps[first], np.log([1, 0.4 / 0.3, 3]), atol=1e-9)


def test_what_decides_is_learnt_and_holds_on_families_left_out(past: PastTasks) -> None:
    choice = learn_best_strategy(past)
    assert choice.errors["log_loss"] < 0.6 * choice.errors["log_loss_uniform"]
    assert choice.errors["first"] > 0.7
    assert choice.errors["among_three"] == 1
    features = dict(zip(past.feature_names, past.features.mean(axis=0), strict=True))
    high, low = (choice.model.scores("regression", {**features, "skewness": value}) for value in (2.0, -2.0))
    assert high["s0"] > high["s1"] > high["s2"]
    assert low["s1"] > low["s0"] > low["s2"]


def test_shuffled_losses_teach_nothing(past: PastTasks) -> None:
    rng = np.random.default_rng(0)
    shuffled = replace(past, losses={"rmse": rng.permuted(past.losses["rmse"], axis=1)})
    errors = learn_best_strategy(shuffled).errors
    assert errors["log_loss"] > 0.8 * errors["log_loss_uniform"]


def test_one_strategy_is_always_the_best(past: PastTasks) -> None:
    one = past.select_configurations(np.flatnonzero(past.strategies == "s0"))
    assert learn_best_strategy(one).model.scores("regression", {}) == {"s0": 0.0}


def test_two_families_are_too_few_to_judge_by() -> None:
    choice = learn_best_strategy(make_past(problems=("binary", "binary")))
    assert choice.errors == {}
    assert set(choice.model.scores("binary", {})) == {"s0", "s1", "s2"}
