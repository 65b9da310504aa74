"""The optimism of choosing among models is measured, and bootstrap intervals have the width of theory."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from autometa.core.budget import Deadline
from autometa.ensemble.out_of_fold import OutOfFold
from autometa.ensemble.selection import select_ensemble
from autometa.evaluation.metrics import resolve_metric
from autometa.posthoc.adjustments import Adjustments
from autometa.posthoc.bootstrap import MOST_ROWS, central_interval, row_samples, sampled_losses
from autometa.posthoc.score_estimate import ScoreEstimate, cross_fitted, estimate_score
from autometa.tables.cleaning import clean, fit_schema
from autometa.tables.table_task import Task

NEVER = Deadline(math.inf)
METRIC = resolve_metric("roc_auc", "binary")


def estimate_of_noise(n_rows: int, n_models: int, seed: int) -> ScoreEstimate:
    """Return the estimate for an ensemble that was chosen among predictions that say nothing about the target."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"a": rng.normal(size=n_rows)})
    y, chance = rng.integers(0, 2, n_rows), rng.random((n_models, n_rows))
    predictions = np.stack([1 - chance, chance], axis=2)
    task = Task(clean(frame, fit_schema(frame)), y, "binary", 2)

    def choose(rows: np.ndarray) -> np.ndarray:
        return select_ensemble(
            list(predictions[:, rows]), lambda mean: METRIC.loss(y[rows], mean), size=10, deadline=NEVER
        )

    every = np.arange(n_rows)
    inside = np.tensordot(choose(every), predictions, axes=1)
    parts = cross_fitted(predictions, inside, every, None, choose, seed, NEVER)
    loss = METRIC.loss(y, inside)
    out_of_fold = OutOfFold(every, inside, np.zeros(n_rows))
    found = estimate_score(loss, out_of_fold, parts, Adjustments(), task, METRIC, seed=seed, deadline=NEVER)
    assert found is not None
    return found


def test_models_of_noise_are_expected_to_be_worth_nothing() -> None:
    found = [estimate_of_noise(100, 15, seed).as_series(METRIC, 0.9) for seed in range(4)]
    # ROC AUC of noise is .5 on new rows; the choice makes it look much better.
    assert np.mean([series["validation_score"] for series in found]) > 0.58
    assert np.mean([series["score"] for series in found]) == pytest.approx(0.5, abs=0.05)
    for series in found:
        assert series["validation_score"] - series["optimism"] == pytest.approx(series["score"])
        assert series["low"] < series["score"] < series["high"]


def test_the_optimism_falls_with_the_number_of_rows() -> None:
    few, many = (np.mean([estimate_of_noise(n, 10, seed).optimism for seed in range(3)]) for n in (60, 1000))
    assert many < few / 2


def test_groups_and_equal_rows_stay_in_one_part() -> None:
    rows, groups = np.repeat(np.arange(30), 2), np.repeat(np.arange(10), 6)
    seen: list[set[int]] = []

    def choose(inside: np.ndarray) -> np.ndarray:
        seen.append(set(inside.tolist()))
        return np.array([1.0])

    zeros = np.zeros(60)
    for units in (None, groups):
        seen.clear()
        assert cross_fitted(zeros[None], zeros, rows, units, choose, 0, NEVER) is not None
        labels = rows if units is None else units
        for inside in seen:
            left_out = np.setdiff1d(np.arange(60), list(inside))
            assert not set(labels[left_out]) & set(labels[list(inside)])


def test_with_too_few_rows_there_is_no_estimate() -> None:
    def choose(inside: np.ndarray) -> np.ndarray:
        return np.array([1.0])

    zeros = np.zeros(4)
    assert cross_fitted(zeros[None], zeros, np.arange(4), None, choose, 0, NEVER) is None


@pytest.mark.parametrize("n_rows", [500, 4 * MOST_ROWS])
def test_the_interval_of_a_mean_has_the_width_of_theory(n_rows: int) -> None:
    values = np.random.default_rng(0).normal(size=n_rows)
    low, high = central_interval(sampled_losses(lambda rows: float(values[rows].mean()), n_rows, 0), 0.9)
    assert high - low == pytest.approx(2 * 1.645 / math.sqrt(n_rows), rel=0.2)


def test_groups_are_drawn_as_a_whole() -> None:
    groups = np.repeat(np.arange(50), 10)
    values = np.repeat(np.random.default_rng(0).normal(size=50), 10)
    for rows, _ in row_samples(500, 0, groups, n_samples=3):
        assert (np.bincount(groups[rows]) % 10 == 0).all()
    low, high = central_interval(sampled_losses(lambda rows: float(values[rows].mean()), 500, 0, groups), 0.9)
    assert high - low == pytest.approx(2 * 1.645 / math.sqrt(50), rel=0.25)


def test_samples_on_which_a_metric_is_not_defined_are_left_out() -> None:
    assert len(sampled_losses(lambda rows: math.inf if 0 in rows else 1.0, 5, 0)) < 200
    assert np.isnan(central_interval(np.empty(0), 0.9)).all()


def test_a_deadline_that_has_passed_leaves_the_estimate_of_one_part() -> None:
    rng = np.random.default_rng(0)
    chance = rng.random((3, 50))
    predictions = np.stack([1 - chance, chance], axis=2)
    every = np.arange(50)
    passed = Deadline.after(-1.0)
    parts = cross_fitted(predictions, predictions[0], every, None, lambda rows: np.array([1.0, 0, 0]), 0, passed)
    assert parts is not None
    assert len(parts.rows) == len(parts.outside) == len(parts.inside) == 10
    np.testing.assert_array_equal(parts.outside, predictions[0][parts.rows])
