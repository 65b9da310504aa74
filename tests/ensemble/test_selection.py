"""Greedy selection against its definition."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autometa.core.budget import Deadline
from autometa.ensemble.selection import select_bagged_ensemble, select_ensemble

NEVER = Deadline(math.inf)


def squared_loss(y: np.ndarray):
    return lambda p: float(np.mean((p - y) ** 2))


@given(n_models=st.integers(1, 8), n_rows=st.integers(2, 40), size=st.integers(1, 12), seed=st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_weights_are_a_distribution_and_no_worse_than_the_best_model(
    n_models: int, n_rows: int, size: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    y = rng.normal(size=n_rows)
    predictions = [y + rng.normal(size=n_rows) for _ in range(n_models)]
    loss = squared_loss(y)
    weights = select_ensemble(predictions, loss, size=size, deadline=NEVER)
    assert np.all(weights >= 0)
    assert weights.sum() == pytest.approx(1)
    assert loss(np.average(predictions, axis=0, weights=weights)) <= min(map(loss, predictions)) + 1e-12


def test_size_one_is_the_best_model_alone() -> None:
    y = np.zeros(5)
    weights = select_ensemble([y + 1, y + 0.1, y + 2], squared_loss(y), size=1, deadline=NEVER)
    assert weights.tolist() == [0, 1, 0]


def test_models_with_opposite_errors_share_the_ensemble() -> None:
    y = np.zeros(6)
    error = np.array([1.0, -1, 1, -1, 1, -1])
    weights = select_ensemble([y + error, y - error, y + 5], squared_loss(y), size=20, deadline=NEVER)
    assert weights == pytest.approx([0.5, 0.5, 0])


def test_a_model_whose_loss_is_not_finite_is_never_chosen() -> None:
    y = np.zeros(4)
    weights = select_ensemble([np.full(4, np.nan), y + 1], squared_loss(y), size=5, deadline=NEVER)
    assert weights.tolist() == [0, 1]


def test_a_deadline_that_has_passed_still_gives_the_best_model() -> None:
    y = np.zeros(4)
    weights = select_ensemble([y + 1, y + 0.5], squared_loss(y), size=50, deadline=Deadline(0.0))
    assert weights.tolist() == [0, 1]


def bagged(predictions: list[np.ndarray], y: np.ndarray, seed: int = 0, **changes: Any) -> np.ndarray:
    arguments: dict[str, Any] = {"size": 1, "n_bags": 40, "deadline": NEVER, "rng": np.random.default_rng(seed)}
    return select_bagged_ensemble(predictions, rowwise_squared_loss(y), **{**arguments, **changes})


def rowwise_squared_loss(y: np.ndarray) -> Callable[[np.ndarray, np.ndarray], float]:
    return lambda rows, p: float(np.mean((p - y[rows]) ** 2))


def test_one_bag_is_the_greedy_choice_on_all_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.normal(size=30)
    predictions = [y + rng.normal(size=30) for _ in range(5)]
    alone = select_ensemble(predictions, squared_loss(y), size=10, deadline=NEVER)
    assert bagged(predictions, y, n_bags=1, size=10).tolist() == alone.tolist()


def test_bags_share_the_weight_between_models_that_the_rows_cannot_tell_apart(seed: int) -> None:
    y = np.zeros(20)
    wrong_in_one_half, wrong_in_the_other = y.copy(), y.copy()
    wrong_in_one_half[:10], wrong_in_the_other[10:] = 1.0, 1.0
    useless = y + 2.0
    predictions = [wrong_in_one_half, wrong_in_the_other, useless]
    assert bagged(predictions, y, n_bags=1).tolist() == [1, 0, 0]
    weights = bagged(predictions, y, seed=seed)
    assert weights.sum() == pytest.approx(1)
    assert 0.2 < weights[0] < 0.8 and 0.2 < weights[1] < 0.8 and weights[2] == 0


def test_the_same_generator_gives_the_same_weights(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.normal(size=15)
    predictions = [y + rng.normal(size=15) for _ in range(4)]
    assert bagged(predictions, y, seed).tolist() == bagged(predictions, y, seed).tolist()


def test_samples_on_which_the_loss_is_not_defined_do_not_count() -> None:
    y = np.zeros(20)
    predictions = [y + 1.0, y + 0.5]
    n_asked = 0

    def needs_every_row(rows: np.ndarray, p: np.ndarray) -> float:
        nonlocal n_asked
        n_asked += 1
        return float(np.mean(p**2)) if len(set(rows)) == len(y) else math.inf

    weights = select_bagged_ensemble(
        predictions, needs_every_row, size=1, n_bags=10, rng=np.random.default_rng(0), deadline=NEVER
    )
    # Two models on all rows, and one look at each of the other nine samples.
    assert weights.tolist() == [0, 1] and n_asked == 2 + 9


def test_no_bag_begins_after_the_deadline() -> None:
    y = np.zeros(20)
    first, second = y.copy(), y.copy()
    first[:10], second[10:] = 1.0, 1.0
    assert bagged([first, second], y, deadline=Deadline(0.0)).tolist() == [1, 0]
