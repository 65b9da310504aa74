"""Find columns from which the target can be told one to one."""

from __future__ import annotations

import numpy as np
import pandas as pd

from autometa.tables.clean_table import CleanTable

_MIN_ROWS = 20
"""With fewer rows, a column of two values can equal the target by chance."""
_SAMPLE = 256
"""Rows in which most columns are ruled out before all rows are looked at."""
_SAME_DIGITS = 0.9
"""Fraction of the target's distinct values that a column needs: float32 merges a few neighbouring ones."""


def columns_like_target(table: CleanTable, y: np.ndarray) -> list[str]:
    """Return the columns from which the target can be told one to one.

    If each value of the target occurs twice on average, or more often, a column tells the target when it has as
    many values and each of them stands beside one value of the target only. If the values of the target hardly
    repeat, any column without repetitions would do that, so there a column has to rise or fall with the target.

    Parameters
    ----------
    table : CleanTable
        The columns.
    y : ndarray of shape (n_rows,)
        Class codes or values.
    """
    codes, values = pd.factorize(y, sort=True)
    if len(y) < _MIN_ROWS or len(values) < 2:
        return []
    sample = np.linspace(0, len(y) - 1, min(len(y), _SAMPLE)).astype(np.int64)
    is_repeated = 2 * len(values) <= len(y)
    if not is_repeated:
        sample = sample[np.argsort(codes[sample], kind="stable")]
    is_same = _is_one_to_one if is_repeated else _is_monotone
    names, found = iter(table.names), []
    for block in table.blocks.values():
        part = block[sample]
        likely = _same_within_values(part, codes[sample]) if is_repeated else _rises_or_falls(part)
        for j, name in zip(range(block.shape[1]), names, strict=False):
            if likely[j] and is_same(_level_codes(block[:, j]), codes):
                found.append(name)
    return found


def _same_within_values(block: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Whether each column has one value only beside each value of the target."""
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    twin = first[inverse]
    equal = block == block[twin]
    if block.dtype.kind in "fM":
        equal |= np.isnan(block) & np.isnan(block[twin])
    return equal.all(axis=0)


def _rises_or_falls(block: np.ndarray) -> np.ndarray:
    """Whether each column rises from row to row, or falls; text does neither."""
    if block.dtype == object:
        return np.zeros(block.shape[1], dtype=bool)
    return np.all(block[1:] >= block[:-1], axis=0) | np.all(block[1:] <= block[:-1], axis=0)


def _level_codes(column: np.ndarray) -> np.ndarray:
    """Return the ranks of the column's values; missing ones are a value of their own, the largest."""
    codes, levels = pd.factorize(column, sort=True)
    return np.where(codes < 0, len(levels), codes)


def _is_one_to_one(column: np.ndarray, codes: np.ndarray) -> bool:
    n_target = int(codes.max()) + 1
    n_pairs = len(np.unique(column * n_target + codes))
    return n_pairs == n_target == len(np.unique(column))


def _is_monotone(column: np.ndarray, codes: np.ndarray) -> bool:
    steps = np.diff(column[np.argsort(codes, kind="stable")])
    rises_or_falls = bool((steps >= 0).all() or (steps <= 0).all())
    return rises_or_falls and len(np.unique(column)) >= _SAME_DIGITS * (int(codes.max()) + 1)
