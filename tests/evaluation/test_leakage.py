"""Columns that are the target are found, and no others."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autometa.evaluation.leakage import columns_like_target
from tests.helpers.tables import clean_table

N = 100


def classes(seed: int, n_classes: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.arange(N) % n_classes)


@given(seed=st.integers(0, 99), n_classes=st.integers(2, 8))
def test_a_column_with_one_value_per_class_is_found(seed: int, n_classes: int) -> None:
    y = classes(seed, n_classes)
    rng = np.random.default_rng(seed)
    like = {
        "codes": y,
        "other codes": rng.permutation(n_classes)[y] * 10.5,
        "text": np.array([f"label {i}" for i in range(n_classes)])[y],
        "category": pd.Categorical(y.astype(str)),
        "date": pd.Timestamp("2024-01-01") + pd.to_timedelta(y, unit="D"),
        "missing in one class": np.where(y == 0, np.nan, y),
    }
    nearly = y.copy()
    nearly[0] = (nearly[0] + 1) % n_classes
    unlike = {
        "noise": rng.normal(size=N),
        "identifier": np.arange(N),
        "all but one row": nearly,
        "finer": y * 2 + rng.integers(0, 2, N),
        "other classes": classes(seed + 1, n_classes),
    }
    assert sorted(columns_like_target(clean_table(like | unlike), y)) == sorted(like)


def test_a_column_that_merges_classes_is_not_the_target() -> None:
    y = classes(0, 4)
    assert columns_like_target(clean_table({"halves": y // 2, "noise": np.arange(N) % 7}), y) == []


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_a_column_that_rises_or_falls_with_an_amount_is_found(scale: float) -> None:
    y = np.random.default_rng(0).normal(size=N)
    like = {"same": y, "other unit": 32 - 1.8 * y, "logarithm": np.log(y - y.min() + 1)}
    unlike = {"noisy": y + 0.1 * np.random.default_rng(1).normal(size=N), "rounded": y.round(), "row": np.arange(N)}
    assert sorted(columns_like_target(clean_table(like | unlike), y * scale)) == sorted(like)


def test_amounts_that_repeat_are_found_under_any_other_values() -> None:
    y = np.arange(N) % 40 + 0.5
    other = np.random.default_rng(0).permutation(40)[np.arange(N) % 40]
    assert columns_like_target(clean_table({"other": other, "noise": np.arange(N)}), y) == ["other"]


def test_few_rows_prove_nothing() -> None:
    y = np.arange(10) % 2
    assert columns_like_target(clean_table({"same": y}), y) == []


def test_rows_beyond_the_sample_count() -> None:
    y = np.random.default_rng(0).integers(0, 2, 5000)
    nearly = y.copy()
    nearly[1] = 1 - nearly[1]
    assert columns_like_target(clean_table({"same": y, "nearly": nearly}), y) == ["same"]
