"""Dates with which the target changes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from autometa.evaluation.drift import columns_that_drive
from autometa.tables.cleaning import clean, fit_schema
from autometa.tables.table_task import Task


def _task(y: np.ndarray, when: pd.DatetimeIndex, n_classes: int = 0) -> Task:
    frame = pd.DataFrame({"when": when, "a": np.random.default_rng(1).normal(size=len(y))})
    problem = {0: "regression", 2: "binary"}.get(n_classes, "multiclass")
    return Task(clean(frame, fit_schema(frame)), y, problem, n_classes)  # type: ignore[arg-type]


N = 600
WHEN = pd.date_range("2020-01-01", periods=N, freq="D")[np.random.default_rng(0).permutation(N)]
AGE = np.asarray((WHEN - WHEN.min()).days) / N


@pytest.mark.parametrize("n_classes", [0, 2, 3])
def test_a_trend_is_found(n_classes: int) -> None:
    rng = np.random.default_rng(2)
    if n_classes:
        y = np.minimum((AGE + 0.25 * rng.normal(size=N)).clip(0) * n_classes, n_classes - 1).astype(np.int64)
    else:
        y = 3 * AGE + rng.normal(size=N)
    assert columns_that_drive(_task(y, WHEN, n_classes)) == ["when"]


@pytest.mark.parametrize("n_classes", [0, 2])
def test_noise_and_weekdays_are_no_trend(n_classes: int) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        y = rng.normal(size=N) + 2 * np.asarray(WHEN.day_of_week == 0)
        y = (y > 0.5).astype(np.int64) if n_classes else y
        assert columns_that_drive(_task(y, WHEN, n_classes)) == []


def test_few_rows_and_missing_dates_say_nothing() -> None:
    assert columns_that_drive(_task(AGE[:100], WHEN[:100])) == []
    gone = pd.DatetimeIndex(np.where(np.arange(N) < N - 150, np.datetime64("NaT"), WHEN.to_numpy()))
    assert columns_that_drive(_task(AGE, gone)) == []
