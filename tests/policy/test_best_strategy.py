"""Chances of the strategies to be the best."""

from __future__ import annotations

import numpy as np
import pytest

from autometa.policy.best_strategy import BestStrategyModel, chances

MODEL = BestStrategyModel(
    ("tree", "linear"),
    ("log_rows", "skewness"),
    centre=np.array([6.0, 0.0]),
    scale=np.array([2.0, np.inf]),
    coefficients=np.array([[0.0, 1.0, 5.0, 0.0, 0.0, 1.0], [0.5, -1.0, 0.0, 0.0, 0.0, 0.0]]),
)


def test_scores_follow_the_meta_features_and_the_problem() -> None:
    many = MODEL.scores("binary", {"log_rows": 10.0, "skewness": 3.0})
    assert many == pytest.approx({"tree": 2.0, "linear": -1.5})
    assert MODEL.scores("regression", {"log_rows": 10.0})["tree"] == pytest.approx(3.0)


def test_unknown_meta_features_count_as_the_mean_and_far_ones_are_bounded() -> None:
    assert MODEL.scores("binary", {}) == pytest.approx({"tree": 0.0, "linear": 0.5})
    assert MODEL.scores("binary", {"log_rows": 1e9})["tree"] == pytest.approx(3.0)


def test_chances_are_the_softmax_of_the_scores_of_the_strategies_that_may_be_tried() -> None:
    found = chances({"tree": 1.0, "linear": 0.0, "other": 9.0}, {"tree": (0.5, 0.5), "linear": (0.5, 0.5)})
    assert found == pytest.approx({"tree": 1 / (1 + np.exp(-1)), "linear": 1 / (1 + np.exp(1))})


def test_a_strategy_that_wins_in_more_scenarios_after_the_observed_losses_gains_chance() -> None:
    scores = {"tree": 0.0, "linear": 0.0}
    found = chances(scores, {"tree": (0.5, 0.9), "linear": (0.5, 0.1)})
    assert found["tree"] > 0.8
    assert sum(found.values()) == pytest.approx(1)


def test_a_strategy_without_a_score_has_the_mean_one() -> None:
    found = chances({"tree": 1.0, "linear": -1.0}, {"tree": (0, 0), "linear": (0, 0), "new": (0, 0)})
    assert found["tree"] > found["new"] > found["linear"]


def test_coefficients_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="coefficients must be of shape"):
        BestStrategyModel(("tree",), ("a",), np.zeros(1), np.ones(1), np.zeros((1, 2)))
