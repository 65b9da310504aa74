"""The rule that reads a target, and what it refuses."""

from __future__ import annotations

import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from autometa.learners.target import read_target


@pytest.mark.parametrize(
    ("y", "problem"),
    [
        (["a", "b"] * 10, "binary"),
        (["a", "b", "c"] * 10, "multiclass"),
        ([True, False] * 10, "binary"),
        ([0, 1] * 10, "binary"),
        ([0.0, 1.0] * 10, "binary"),
        (pd.Series(["x", "y"] * 10, dtype="category"), "binary"),
        (pd.Series([1, 2] * 10, dtype="Int64"), "binary"),
        (pd.Series([1, 2, 3] * 10, dtype="category"), "multiclass"),
        (pd.DataFrame({"y": pd.Categorical([0.5, 1.5, 2.5] * 10)}), "multiclass"),
        ([Decimal("0.5") * i for i in range(20)], "regression"),
        (pd.Series([True, False] * 10, dtype="boolean"), "binary"),
        (np.linspace(0.1, 1, 20), "regression"),
        (np.arange(1000), "regression"),
    ],
    ids=str,
)
def test_clear_targets_are_read_without_a_warning(y: object, problem: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_target(y, len(y)).problem == problem


@pytest.mark.parametrize(
    ("y", "problem"),
    [
        ([1, 2, 3, 4, 5] * 10, "multiclass"),
        (list(range(20)) * 3, "multiclass"),
        (list(range(21)) * 3, "regression"),
        (list(range(20)) * 2, "regression"),
        ([1.0, 2.0, 3.0] * 10, "multiclass"),
    ],
)
def test_whole_numbers_are_decided_with_a_warning_that_names_the_way_out(y: list[float], problem: str) -> None:
    with pytest.warns(UserWarning, match=f'Pass problem="{problem}" to silence this'):
        assert read_target(y, len(y)).problem == problem


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint16, float, bool, "U3", object])
def test_labels_come_back_in_their_own_dtype(dtype: object) -> None:
    y = np.array([0, 1, 1, 0, 1], dtype=dtype)
    target = read_target(y, 5, "classification")
    assert target.classes is not None
    assert target.classes.dtype == y.dtype
    assert (target.classes[target.values] == y).all()


@pytest.mark.parametrize(
    ("y", "choice", "message"),
    [
        (None, "auto", "requires y to be passed"),
        ([1, 2, 3], "auto", "inconsistent numbers of samples"),
        ([1.0, np.nan, 2.0, 3.0], "auto", "contains NaN: 1 of 4"),
        (["a", None, "b", "a"], "auto", "contains NaN: 1 of 4"),
        ([1.0, np.inf, 2.0, 3.0], "auto", "contains infinity"),
        (["a"] * 4, "auto", "only one class: 'a'"),
        (["a", "b", "c", "d"], "auto", "identifier, not a target"),
        ([0.5, 1.5, 0.5, 1.5], "classification", "Unknown label type"),
        (["a", "b", "c", "a"], "binary", "exactly 2 classes"),
        (["a", "b", "c", "a"], "regression", "needs numbers in y"),
        ([[1, 2], [3, 4], [5, 6], [7, 8]], "auto", "1d array"),
        (np.array([1j, 2, 3, 4]), "auto", "Complex data"),
        (pd.date_range("2024-01-01", periods=4), "auto", "dates or durations"),
        (["a", 1, "b", 2], "auto", "one type"),
        ([0, 1, 0, 1], "ordinal", "problem must be one of"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_bad_targets_are_refused_with_a_reason(y: object, choice: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_target(y, 4, choice)
