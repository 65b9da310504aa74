"""Folds and subsamples."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import ShuffleSplit, TimeSeriesSplit

from autometa.core.task import Task
from autometa.evaluation.resampling import folds_of_splitter, make_folds, subsample


def make_task(y: np.ndarray, groups: np.ndarray | None = None) -> Task:
    X = pd.DataFrame({"x": np.arange(len(y))})
    if y.dtype.kind == "f":
        return Task(X, y, "regression", groups=groups)
    n_classes = int(y.max()) + 1
    return Task(X, y, "binary" if n_classes == 2 else "multiclass", n_classes, groups=groups)


@given(n_rows=st.integers(4, 200), n_splits=st.integers(2, 10), seed=st.integers(0, 100), n_classes=st.integers(2, 6))
@settings(max_examples=60, deadline=None)
def test_parts_are_disjoint_and_validation_classes_were_trained_on(
    n_rows: int, n_splits: int, seed: int, n_classes: int
) -> None:
    y = np.arange(n_rows) % min(n_classes, n_rows)
    rare = y.copy()
    rare[0] = y.max() + 1
    for target in (y, rare, y.astype(float)):
        task = make_task(target)
        folds = make_folds(task, n_splits, seed)
        assert 2 <= len(folds) <= max(n_splits, 3)
        for fold in folds:
            assert not set(fold.train) & set(fold.validation)
            unknown = set(target[fold.validation]) - set(target[fold.train])
            assert not task.n_classes or not unknown or set(target[fold.validation]) == unknown


def test_folds_cover_every_row_once() -> None:
    folds = make_folds(make_task(np.arange(100) % 3), 5, seed=0)
    assert sorted(np.concatenate([fold.validation for fold in folds])) == list(range(100))


def test_a_holdout_is_one_fold_of_its_share() -> None:
    (fold,) = make_folds(make_task(np.random.default_rng(0).normal(size=1000)), 5, seed=0, n_kept=1)
    assert len(fold.validation) == 200


def test_classes_with_fewer_rows_than_folds_give_fewer_folds() -> None:
    y = np.array([0] * 50 + [1] * 50 + [2] * 4)
    assert len(make_folds(make_task(y), 8, seed=0)) == 4


@pytest.mark.parametrize("regression", [True, False])
def test_groups_are_never_split(regression: bool) -> None:
    groups = np.repeat(np.arange(12), 10)
    y = np.arange(120) % 2
    task = make_task(y.astype(float) if regression else y, groups)
    for fold in make_folds(task, 5, seed=3):
        assert not set(groups[fold.train]) & set(groups[fold.validation])


def test_few_rows_in_groups_still_give_folds() -> None:
    task = make_task(np.repeat(np.arange(5), 2), groups=np.arange(10) % 4)
    assert len(make_folds(task, 5, seed=0)) >= 2


def test_one_group_is_refused() -> None:
    with pytest.raises(ValueError, match="one group only"):
        make_folds(make_task(np.arange(10.0), np.zeros(10)), 3, seed=0)


@pytest.mark.parametrize("cv", [3, TimeSeriesSplit(3), ShuffleSplit(3, random_state=0), [([0, 1, 2], [3, 4])]], ids=str)
def test_splitters_of_the_user_are_followed(cv: object) -> None:
    folds = folds_of_splitter(make_task(np.arange(30.0)), cv)
    assert all(len(fold.train) and len(fold.validation) for fold in folds)


@pytest.mark.parametrize(
    ("cv", "message"),
    [([], "gave no fold"), ([([0, 1], [])], "no validation rows"), ([([0, 1, 2], [2, 3])], "that it trains on")],
    ids=str,
)
def test_splitters_that_make_no_sense_are_refused(cv: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        folds_of_splitter(make_task(np.arange(30.0)), cv)


@given(n_rows=st.integers(1, 300), seed=st.integers(0, 50))
@settings(max_examples=40, deadline=None)
def test_smaller_anchors_are_nested_in_larger_ones(n_rows: int, seed: int) -> None:
    y = np.arange(n_rows) % 4
    previous: set[int] = set()
    for anchor in (1 / 16, 1 / 4, 1 / 2, 1.0):
        rows = set(subsample(y, anchor, "multiclass", seed).tolist())
        assert previous <= rows
        assert set(y[list(rows)]) == set(y)
        previous = rows
    assert len(previous) == n_rows
