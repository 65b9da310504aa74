"""Greedy selection against its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autometa.core.budget import Deadline
from autometa.ensemble.selection import select_ensemble

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
