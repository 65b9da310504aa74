"""Greedy portfolios, against the plain greedy choice."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from autometa.metadataset.error_moments import second_moments
from autometa.metalearning.training.portfolio import (
    EnsembleGains,
    IncumbentGains,
    greedy_order,
    learn_portfolios,
    regrets,
)
from autometa.policy.ensemble_model import EnsembleModel
from tests.helpers.past_tasks import made_up_past, make_past


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


def test_ensembles_prefer_what_complements_over_what_is_next_best() -> None:
    wave = np.sin(np.linspace(-20, 20, 60))
    errors = np.stack([wave, 0.9 * wave, -wave, np.full(60, 9.0)])
    gains = EnsembleGains(EnsembleModel(second_moments(errors)[None]))
    assert greedy_order(gains, np.ones((1, 4)), per_second=False, n=2) == [1, 2]


def test_portfolios_are_judged_by_ensembles_where_second_moments_are_known() -> None:
    past = make_past()
    _, judged_by = learn_portfolios(past)
    assert judged_by == "incumbents"
    rng = np.random.default_rng(0)
    m = len(past.configurations)
    moments = np.stack([second_moments(rng.normal(size=(m, 50))) for _ in past.tasks])
    portfolios, judged_by = learn_portfolios(replace(past, moments=moments))
    assert judged_by == "ensembles"
    assert set(portfolios) == set(past.problems)
    assert all(len(order) for orders in portfolios.values() for order in orders.values())
