"""Greedy portfolios, against the plain greedy choice."""

from __future__ import annotations

import math

import numpy as np
import pytest

from autometa.evaluation.metrics import resolve_metric
from autometa.metalearning.replay.stored_predictions import StoredPredictions
from autometa.metalearning.training.portfolio import EnsembleGains, IncumbentGains, greedy_order, regrets
from tests.helpers.past_tasks import made_up_past


def plain_greedy(regret: np.ndarray, seconds: np.ndarray, budget_s: float, per_second: bool) -> list[int]:
    """Return the greedy order, every score computed anew in every step."""
    price = np.exp(np.log(seconds).mean(axis=0)) if per_second else np.ones(regret.shape[1])
    order, value, elapsed = [], np.ones(len(regret)), np.zeros(len(regret))
    while True:
        gain = np.maximum(value[:, None] - regret, 0) * (elapsed[:, None] + seconds <= budget_s)
        score = gain.mean(axis=0) / price
        if score.max() <= 0:
            return order
        best = int(score.argmax())
        order.append(best)
        value, elapsed = np.minimum(value, regret[:, best]), elapsed + seconds[:, best]


@pytest.mark.parametrize("per_second", [True, False])
@pytest.mark.parametrize("budget_s", [3.0, math.inf])
def test_old_scores_as_bounds_change_nothing(budget_s: float, per_second: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    regret, seconds = rng.random((9, 20)), rng.exponential(1.0, (9, 20)) + 0.01
    found = greedy_order(IncumbentGains(regret), seconds, budget_s=budget_s, per_second=per_second)
    assert found == plain_greedy(regret, seconds, budget_s, per_second)


def test_a_portfolio_ends_when_nothing_gains_any_more() -> None:
    regret = np.array([[0.0, 0.5, 1.0], [1.0, 0.5, 0.0]])
    assert greedy_order(IncumbentGains(regret), np.ones((2, 3)), per_second=False) == [0, 2]
    assert greedy_order(IncumbentGains(regret), np.ones((2, 3)), per_second=False, n=1) == [0]


def test_what_takes_longer_than_the_budget_on_every_task_is_not_in_the_portfolio() -> None:
    regret = np.array([[0.0, 0.5], [0.0, 0.5]])
    seconds = np.array([[100.0, 1.0], [100.0, 1.0]])
    assert greedy_order(IncumbentGains(regret), seconds, budget_s=10.0) == [1]


def test_unknown_seconds_are_those_on_other_tasks() -> None:
    regret = np.array([[0.0, 0.1], [0.0, 0.1]])
    seconds = np.array([[np.nan, 1.0], [1000.0, 1.0]])
    assert greedy_order(IncumbentGains(regret), seconds, budget_s=10.0) == [1]


def test_regret_is_one_where_nothing_was_measured() -> None:
    past = made_up_past(missing=0.3)
    regret = regrets(past)
    missing = np.isnan(past.losses["balanced_accuracy"])
    assert missing.any()
    assert (regret[missing] == 1).all()
    assert (regret.min(axis=1) == 0).all()


def two_that_complement_each_other() -> StoredPredictions:
    """Return three regressions: 0 and 2 err in opposite directions, 1 is a little better than both and like 0."""
    y = np.linspace(-1, 1, 40)
    wave = np.sin(20 * y)
    return StoredPredictions(
        resolve_metric("rmse", "regression"), y, {0: y + wave, 1: y + 0.9 * wave, 2: y - wave, 3: np.zeros(40) + 9}
    )


def test_ensembles_prefer_what_complements_over_what_is_next_best() -> None:
    task = two_that_complement_each_other()
    found = greedy_order(EnsembleGains([task]), np.ones((1, 4)), per_second=False, n=2)
    assert found == [1, 2]
    assert task.regret(task.mix(task.weights([1, 2]))) < 0


def test_ensembles_are_weighed_on_validation_rows_and_their_gain_is_what_they_are_worth_on_rows_held_out() -> None:
    """On validation rows one is perfect, on rows held out it is as bad as can be."""
    rng = np.random.default_rng(0)
    y, is_held_out = rng.normal(size=80), np.arange(80) >= 40
    deceptive, fair, poor = np.where(is_held_out, y + 3, y), y + 0.1 * rng.normal(size=80), y + 1
    kept = StoredPredictions(
        resolve_metric("rmse", "regression"), y, {0: deceptive, 1: fair, 2: poor}, is_held_out=is_held_out
    )
    gains = EnsembleGains([kept])
    assert [gains.of(index)[0] for index in range(3)] == pytest.approx([0, 1, 0.69], abs=0.02)
    gains.add(1)
    gains.add(0)
    # Weights are chosen where it looks perfect, so it takes the place of the other, and all gains are lost.
    assert gains.of(1)[0] > 0.5


def test_a_configuration_without_predictions_gains_nothing() -> None:
    gains = EnsembleGains([two_that_complement_each_other()])
    gains.add(7)
    np.testing.assert_array_equal(gains.of(7), [0.0])
    assert gains.of(1) > 0
