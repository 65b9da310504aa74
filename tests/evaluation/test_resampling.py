"""Folds and subsamples."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import KFold, ShuffleSplit, StratifiedKFold, TimeSeriesSplit

from autometa.evaluation.resampling import Fold, folds_of_splitter, make_folds, make_time_folds, subsample
from autometa.tables.table_task import Task
from tests.helpers import tables


def make_task(y: np.ndarray, groups: np.ndarray | None = None) -> Task:
    """Return a task whose columns do not matter."""
    n_classes = 0 if y.dtype.kind == "f" else int(y.max()) + 1
    return tables.make_task({"x": np.arange(len(y))}, y, n_classes, groups=groups)


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


X = pd.DataFrame({"x": np.arange(30), "group": np.arange(30) % 5}, index=[f"row {i}" for i in range(30)])
Y = pd.Series(np.arange(30.0), index=X.index, name="y")


def folds_of(cv: Any, y: Any = Y, groups: Any = None, X: Any = X, n_classes: int = 0) -> tuple[Fold, ...]:
    codes = np.arange(30) % n_classes if n_classes else np.arange(30.0)
    return folds_of_splitter(cv, X, y, groups, codes, is_regression=not n_classes)


HALF = np.arange(30) < 15
SPLITTERS = {
    "in order of time": TimeSeriesSplit(3),
    "shuffled": ShuffleSplit(3, random_state=0),
    "pairs": [([0, 1, 2], [3, 4])],
    "generator": ((np.arange(15), np.arange(15, 30)) for _ in range(2)),
    "negative numbers": [(np.arange(15), [-1, -2])],
    "masks": [(HALF, ~HALF)],
    "masks as lists": [(HALF.tolist(), (~HALF).tolist())],
    "masks as series": [(pd.Series(HALF), pd.Series(~HALF, dtype="boolean"))],
    "ranges": [(range(15), range(15, 30))],
}


@pytest.mark.parametrize("cv", SPLITTERS.values(), ids=SPLITTERS)
def test_splitters_of_the_user_are_followed(cv: object) -> None:
    for fold in folds_of(cv):
        assert len(fold.train) and len(fold.validation)
        assert set(fold.train) | set(fold.validation) <= set(range(30))
        assert fold.train.dtype == fold.validation.dtype == np.int64


class Watching:
    """Splits in halves, and keeps what it was given."""

    def split(self, X: Any = None, y: Any = None, groups: Any = None) -> Any:
        self.seen = X, y, groups
        yield np.arange(15), np.arange(15, 30)


@pytest.mark.parametrize(
    "X", [X, X.to_numpy(), X.to_numpy().tolist(), X.to_dict("records")], ids=lambda X: type(X).__name__
)
def test_a_splitter_sees_what_the_caller_gave(X: Any) -> None:
    splitter, groups = Watching(), pd.Series(["a", "b"] * 15)
    folds_of(splitter, groups=groups, X=X)
    assert splitter.seen[0] is X and splitter.seen[1] is Y and splitter.seen[2] is groups


def test_a_dict_of_columns_is_a_frame_to_a_splitter() -> None:
    assert len(folds_of(KFold(3), X=X.to_dict("list"))) == 3


def test_folds_are_those_of_scikit_learn() -> None:
    splitter, y = StratifiedKFold(3, shuffle=True, random_state=0), np.arange(30) % 2
    for fold, (train, validation) in zip(folds_of(splitter, y, n_classes=2), splitter.split(X, y), strict=True):
        assert (fold.train == train).all() and (fold.validation == validation).all()


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        ([], "gave no fold"),
        (iter([]), "gave no fold. An iterator is used up by the first fit; pass a list"),
        ([([0, 1], [])], "no validation rows"),
        ([(HALF, np.zeros(30, bool))], "no validation rows"),
        ([([0, 1, 2], [2, 3])], "that it trains on"),
        ([([0, 1, 2], [500])], "rows that X does not have"),
        ([(HALF[:20], ~HALF[:20])], "rows that X does not have"),
        ([(["row 1", "row 2"], ["row 3"])], "Row numbers go from 0 to 29, whatever the index of X is"),
        ([([0.5], [1.5])], "no pair of row numbers or masks"),
        ([1, 2, 3], "no pair of row numbers or masks"),
        ([([[0, 1]], [[2, 3]])], "one-dimensional"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_splitters_that_make_no_sense_are_refused(cv: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        folds_of(cv)


def test_folds_that_all_train_on_one_class_are_refused() -> None:
    one_class = [(np.arange(0, 30, 2), np.arange(1, 30, 2))]
    with pytest.raises(ValueError, match="every fold trains on rows of one class only"):
        folds_of(one_class, n_classes=2)
    assert len(folds_of([*one_class, (np.arange(15), np.arange(15, 30))], n_classes=2)) == 2


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


def _in_time(y: np.ndarray, times: np.ndarray, problem: str = "regression") -> Task:
    return replace(make_task(y.astype(np.int64 if problem == "binary" else np.float64)), times=times)


@pytest.mark.parametrize("n_moments", [4, 23, 400])
def test_folds_in_time_validate_on_later_rows_only(n_moments: int, seed: int) -> None:
    times = np.random.default_rng(seed).integers(0, n_moments, 400)
    folds = make_time_folds(_in_time(np.zeros(400), times), 5)
    assert folds
    for fold in folds:
        assert times[fold.train].max() < times[fold.validation].min()
    for earlier, later in itertools.pairwise(folds):
        assert set(later.train) == {*earlier.train, *earlier.validation}
    assert {*folds[-1].train, *folds[-1].validation} == set(range(400))


def test_a_holdout_in_time_is_the_last_part() -> None:
    (fold,) = make_time_folds(_in_time(np.zeros(100), np.arange(100)[::-1]), 5, n_kept=1)
    assert fold.validation.tolist() == list(range(20))


def test_folds_in_time_have_two_classes_on_both_sides() -> None:
    y = (np.arange(100) > 30).astype(np.int64) * (np.arange(100) % 2)
    folds = make_time_folds(_in_time(y, np.arange(100), "binary"), 5)
    assert 0 < len(folds) < 4
    for fold in folds:
        assert len(set(y[fold.train])) == len(set(y[fold.validation])) == 2
    with pytest.raises(ValueError, match="no split with earlier rows"):
        make_time_folds(_in_time((np.arange(100) > 50).astype(np.int64), np.arange(100), "binary"), 5)
