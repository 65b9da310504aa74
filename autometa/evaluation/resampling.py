"""Split rows into folds and draw subsamples, as pure functions of the task and a seed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, StratifiedKFold, TimeSeriesSplit

from autometa._support.warning_filters import ignored_warnings
from autometa.core.budget import Anchor
from autometa.tables.table_task import Task

N_TARGET_BINS = 10
"""Regression folds are stratified over this many quantiles of the target: small folds then have comparable losses."""


@dataclass(frozen=True)
class Fold:
    """Row numbers of one split.

    Parameters
    ----------
    train, validation : ndarray of int64
        Row numbers; no row is in both.
    held_out : ndarray of int64
        Rows that nothing is fitted or selected on; only folds of a collection have some.
    """

    train: np.ndarray
    validation: np.ndarray
    held_out: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))


def make_folds(task: Task, n_splits: int, seed: int, *, n_kept: int | None = None) -> tuple[Fold, ...]:
    """Return shuffled folds: stratified, and by group if the task has groups.

    Without groups, every class keeps a row in the training part of every fold: rows of a class that
    would only be validated move to the training part.

    Parameters
    ----------
    task : Task
        Rows, target and groups.
    n_splits : int
        Number of parts, at least 2; fewer are made when there are fewer rows, groups, or
        (down to 3) rows in the rarest class.
    seed : int
        Seed of the shuffle.
    n_kept : int, optional
        Keep only the first folds; 1 is a holdout of ``1 / n_splits`` of the rows.

    Raises
    ------
    ValueError
        If there are fewer than 2 rows or 2 groups.
    """
    if task.n_rows < 2:
        raise ValueError(f"At least 2 rows are needed to train and validate, got n_samples = {task.n_rows}.")
    strata = _strata(task)
    if n_kept is None and task.problem != "regression":
        n_splits = min(n_splits, max(3, int(np.bincount(task.y.astype(np.int64)).min())))
    n_splits = max(2, min(n_splits, task.n_rows))
    splitter: Any
    if task.groups is not None:
        n_groups = len(np.unique(task.groups))
        if n_groups < 2:
            raise ValueError("groups holds one group only; at least 2 are needed to validate on groups not trained on.")
        n_splits = max(2, min(n_splits, n_groups))
        if task.problem == "regression" or np.bincount(strata).max() < n_splits:
            splitter = GroupKFold(n_splits, shuffle=True, random_state=seed)
        else:
            splitter = StratifiedGroupKFold(n_splits, shuffle=True, random_state=seed)
    else:
        splitter = StratifiedKFold(n_splits, shuffle=True, random_state=seed)
        if np.bincount(strata).max() < n_splits:
            strata = np.zeros_like(strata)
    # Strata with fewer rows than folds are expected here and handled below.
    with ignored_warnings(UserWarning):
        pairs = list(splitter.split(np.zeros(task.n_rows), strata, task.groups))[:n_kept]
    folds = [Fold(np.asarray(train), np.asarray(validation)) for train, validation in pairs]
    if task.problem != "regression" and task.groups is None:
        folds = [_keep_every_class(fold, task.y) for fold in folds]
    return tuple(fold for fold in folds if len(fold.validation) and len(fold.train))


def make_time_folds(task: Task, n_splits: int, *, n_kept: int | None = None) -> tuple[Fold, ...]:
    """Return folds whose validation rows come later than their training rows, which grow from fold to fold.

    Rows of the same time are on one side of every split. Folds that train or validate on one class only are left out.

    Parameters
    ----------
    task : Task
        Rows with `times`.
    n_splits : int
        Number of parts of the rows; the first is only trained on. Fewer are made of few rows.
    n_kept : int, optional
        Keep only the last folds; 1 is a holdout of the latest ``1 / n_splits`` of the rows.

    Raises
    ------
    ValueError
        If no fold is left.
    """
    assert task.times is not None
    order = np.argsort(task.times, kind="stable")
    times = task.times[order]
    n_splits = max(3, min(n_splits, task.n_rows))
    folds = []
    if task.n_rows >= n_splits:
        for train, validation in TimeSeriesSplit(n_splits - 1).split(order):
            # A part begins with the first row of a new time.
            start, end = (
                edge if edge == len(times) else int(np.searchsorted(times, times[edge - 1], side="right"))
                for edge in (train[-1] + 1, validation[-1] + 1)
            )
            fold = Fold(np.sort(order[:start]), np.sort(order[start:end]))
            parts = (fold.train, fold.validation)
            is_usable = all(len(part) for part in parts)
            if task.problem != "regression":
                is_usable = is_usable and all(len(np.unique(task.y[part])) > 1 for part in parts)
            if is_usable:
                folds.append(fold)
    if not folds:
        raise ValueError(
            "cv='time' finds no split with earlier rows to train on and later ones to validate on"
            + (", each with two classes" if task.problem != "regression" else "")
            + ". Give it more rows or moments, or use cv=None."
        )
    return tuple(folds if n_kept is None else folds[-n_kept:])


def folds_of_splitter(
    cv: Any, X: Any, y: Any, groups: Any, codes: np.ndarray, *, is_regression: bool
) -> tuple[Fold, ...]:
    """Return the folds of a scikit-learn splitter or an iterable of (train, validation) rows.

    Parameters
    ----------
    cv : splitter, or iterable of (train, validation)
        Row numbers, negative ones from the end, or masks.
    X, y, groups : Any
        The arguments of `fit`, unchanged: a splitter may look at columns, types and index.
    codes : ndarray of shape (n_rows,)
        Class codes, or the values of a regression.
    is_regression : bool
        Whether `codes` are values.

    Raises
    ------
    ValueError
        If the splitter gives no fold, an empty one, one whose parts overlap or name rows that X
        does not have, or only folds that train on a single class.
    """
    rows, name = np.arange(len(codes)), f"cv={cv!r:.80}"
    folds = []
    for number, pair in enumerate(_pairs(cv, X, y, groups)):
        try:
            train, validation = pair
            # Through `rows`, so that masks and negative numbers become row numbers.
            fold = Fold(rows[_as_index(train)], rows[_as_index(validation)])
        except (IndexError, TypeError, ValueError) as error:
            raise ValueError(
                f"{name}: fold {number} names rows that X does not have, or is no pair of row numbers or masks "
                f"(train, validation): {error}. Row numbers go from 0 to {len(rows) - 1}, whatever the index of X is."
            ) from error
        _check_fold(fold, f"{name}: fold {number}")
        folds.append(fold)
    if not folds:
        hint = " An iterator is used up by the first fit; pass a list." if isinstance(cv, Iterator) else ""
        raise ValueError(f"{name} gave no fold.{hint}")
    if not is_regression and all(len(np.unique(codes[fold.train])) < 2 for fold in folds):
        raise ValueError(
            f"{name}: every fold trains on rows of one class only. Shuffle or stratify, e.g. with "
            "StratifiedKFold(shuffle=True), or pass a number of folds."
        )
    return tuple(folds)


def _pairs(cv: Any, X: Any, y: Any, groups: Any) -> Iterable[Any]:
    if not hasattr(cv, "split"):
        return iter(cv)
    if isinstance(X, Mapping):
        # scikit-learn counts the keys of a dict, not its rows.
        X = pd.DataFrame(X)
    return iter(cv.split(X, y, groups))


def _as_index(rows: Any) -> np.ndarray:
    index = np.asarray(rows)
    return index.astype(np.int64) if index.size == 0 else index


def _check_fold(fold: Fold, name: str) -> None:
    if fold.train.ndim != 1 or fold.validation.ndim != 1:
        raise ValueError(f"{name} must be two one-dimensional arrays of rows.")
    if len(fold.train) == 0 or len(fold.validation) == 0:
        raise ValueError(f"{name} has no training or no validation rows.")
    if len(np.intersect1d(fold.train, fold.validation)):
        raise ValueError(f"{name} validates on rows that it trains on.")


def subsample(y: np.ndarray, anchor: Anchor, problem: str, seed: int) -> np.ndarray:
    """Return the sorted indices of a fraction of the rows; smaller subsamples are part of larger ones.

    Every class keeps at least one row.
    """
    n_kept = max(1, round(anchor * len(y)))
    if n_kept >= len(y):
        return np.arange(len(y))
    order = np.random.default_rng(seed).permutation(len(y))
    if problem != "regression":
        _, first = np.unique(y[order], return_index=True)
        order = np.concatenate([order[first], np.delete(order, first)])
        n_kept = max(n_kept, len(first))
    return np.sort(order[:n_kept])


def _strata(task: Task) -> np.ndarray:
    if task.problem != "regression":
        return task.y.astype(np.int64)
    n_bins = min(N_TARGET_BINS, max(1, task.n_rows // N_TARGET_BINS))
    ranks = np.argsort(np.argsort(task.y, kind="stable"), kind="stable")
    return ranks * n_bins // task.n_rows


def _keep_every_class(fold: Fold, y: np.ndarray) -> Fold:
    lost = np.setdiff1d(y[fold.validation], y[fold.train])
    if not len(lost):
        return fold
    moves = np.isin(y[fold.validation], lost)
    if moves.all():
        # Too few rows to do both: validating on unknown classes beats not validating.
        return fold
    return Fold(np.sort(np.concatenate([fold.train, fold.validation[moves]])), fold.validation[~moves])
