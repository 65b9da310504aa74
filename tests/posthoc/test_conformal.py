"""Intervals and sets cover what they promise, and are wider where rows are harder."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from autometa.posthoc.conformal import (
    class_scores,
    class_sets,
    conformal_quantile,
    fit_intervals,
    least_rows,
)


def drawn(n_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return values, predictions and spreads; errors grow with the spread and with the prediction."""
    rng = np.random.default_rng(seed)
    prediction, spread = rng.uniform(1, 10, n_rows), rng.uniform(0.1, 1, n_rows)
    return prediction + rng.standard_t(4, n_rows) * spread * prediction, prediction, spread


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("n_rows", [60, 1000])
def test_intervals_cover_what_they_promise(coverage: float, n_rows: int):
    covered = []
    for seed in range(40):
        intervals = fit_intervals(*drawn(n_rows, seed), seed=seed)
        y, prediction, spread = drawn(500, 1000 + seed)
        low, high = intervals.around(prediction, spread, coverage).T
        covered.append(np.mean((low <= y) & (y <= high)))
    assert np.mean(covered) == pytest.approx(coverage, abs=0.02)


def test_width_follows_the_difficulty_of_a_row():
    y, prediction, spread = drawn(4000, 0)
    intervals = fit_intervals(y, prediction, spread)
    _, prediction, spread = drawn(4000, 1)
    width = np.ptp(intervals.around(prediction, spread, 0.9), axis=1)
    assert np.corrcoef(width, spread * prediction)[0, 1] > 0.9


def test_more_coverage_is_never_narrower():
    intervals = fit_intervals(*drawn(300, 0))
    _, prediction, spread = drawn(50, 1)
    widths = [np.ptp(intervals.around(prediction, spread, c), axis=1) for c in (0.5, 0.8, 0.9, 0.99)]
    assert (np.diff(widths, axis=0) >= 0).all()


def test_perfect_predictions_have_intervals_without_width():
    y = np.arange(30.0)
    intervals = fit_intervals(y, y, np.zeros(30))
    np.testing.assert_array_equal(intervals.around(y, np.zeros(30), 0.9), np.column_stack([y, y]))


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95, 0.99])
def test_fewest_rows_for_a_coverage(coverage: float):
    n = least_rows(coverage)
    conformal_quantile(np.arange(n), coverage)
    with pytest.raises(ValueError, match=f"needs at least {n} rows"):
        conformal_quantile(np.arange(n - 1), coverage)


@pytest.mark.parametrize("n_classes", [2, 6])
def test_sets_cover_what_they_promise_and_hold_the_likeliest_class(n_classes: int):
    rng = np.random.default_rng(0)
    covered, sizes = [], []
    for _ in range(20):
        truth = softmax(rng.normal(scale=2, size=(1500, n_classes)), axis=1)
        y = (rng.random(1500)[:, None] > truth.cumsum(axis=1)).sum(axis=1).clip(max=n_classes - 1)
        inside = class_sets(truth[500:], class_scores(y[:500], truth[:500]), 0.8)
        covered.append(inside[np.arange(1000), y[500:]].mean())
        sizes.append(inside.sum(axis=1).mean())
        assert inside[np.arange(1000), truth[500:].argmax(axis=1)].all()
    # The likeliest class is always inside, which can only add to the coverage.
    assert 0.785 < np.mean(covered) < 0.87
    assert np.mean(sizes) < n_classes
