"""Columns that are the target under another name."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

_MIN_ROWS = 20
"""In fewer rows a column of two values can equal the target by chance."""
_SAMPLE = 256
"""Rows that rule most columns out at once."""
_SAME_DIGITS = 0.9
"""Columns are float32, which merges a few neighbouring values of the target."""


def columns_like_target(X: pd.DataFrame, y: np.ndarray) -> list[str]:
    """Return the columns from which the target can be told one to one.

    A target of which each value occurs twice on average, or more often, is told by a column with as
    many values when each of them stands beside one value of the target only. In a target of other
    numbers any column without repetitions would do that, so there a column has to rise or fall
    with the target.

    Parameters
    ----------
    X : DataFrame of shape (n_rows, n_columns)
        A frame cleaned by a schema: numbers, moments, codes of levels and texts.
    y : ndarray of shape (n_rows,)
        Class codes or values.
    """
    codes, values = pd.factorize(y, sort=True)
    if len(y) < _MIN_ROWS or len(values) < 2:
        return []
    sample = np.linspace(0, len(y) - 1, min(len(y), _SAMPLE)).astype(np.int64)
    if 2 * len(values) <= len(y):
        likely, is_same = _same_within_values(X.iloc[sample], codes[sample]), _is_one_to_one
    else:
        likely, is_same = _rises_or_falls(X.iloc[sample[np.argsort(codes[sample], kind="stable")]]), _is_monotone
    return [X.columns[i] for i in np.flatnonzero(likely) if is_same(_level_codes(X.iloc[:, i]), codes)]


def _same_within_values(X: pd.DataFrame, codes: np.ndarray) -> np.ndarray:
    """Whether each column has one value only beside each value of the target."""
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    twin = first[inverse]
    same = np.ones(X.shape[1], dtype=bool)
    for where, block in _blocks(X):
        equal = block == block[twin]
        if block.dtype.kind in "fM":
            equal |= pd.isna(block) & pd.isna(block[twin])
        same[where] = equal.all(axis=0)
    return same


def _rises_or_falls(X: pd.DataFrame) -> np.ndarray:
    """Whether each column rises from row to row, or falls; text does neither."""
    result = np.zeros(X.shape[1], dtype=bool)
    for where, block in _blocks(X):
        if block.dtype != object:
            result[where] = (block[1:] >= block[:-1]).all(axis=0) | (block[1:] <= block[:-1]).all(axis=0)
    return result


def _blocks(X: pd.DataFrame) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the positions of the columns of each type, and their values."""
    for dtype in set(X.dtypes):
        where = np.flatnonzero(X.dtypes == dtype)
        yield where, X.iloc[:, where].to_numpy()


def _level_codes(column: pd.Series) -> np.ndarray:
    """Return the ranks of the column's values; missing ones are a value of their own, the largest."""
    codes, levels = pd.factorize(column.to_numpy(), sort=True)
    return np.where(codes < 0, len(levels), codes)


def _is_one_to_one(column: np.ndarray, codes: np.ndarray) -> bool:
    n_target = int(codes.max()) + 1
    n_pairs = len(np.unique(column * n_target + codes))
    return n_pairs == n_target == len(np.unique(column))


def _is_monotone(column: np.ndarray, codes: np.ndarray) -> bool:
    steps = np.diff(column[np.argsort(codes, kind="stable")])
    rises_or_falls = bool((steps >= 0).all() or (steps <= 0).all())
    return rises_or_falls and len(np.unique(column)) >= _SAME_DIGITS * (int(codes.max()) + 1)
