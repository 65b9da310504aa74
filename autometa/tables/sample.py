"""Draw a sample of a task that does not depend on the order of its rows, columns or classes.

Rows and columns are identified by 64-bit tokens of their contents. The token of a column is a sum over its rows, that
of a row a sum over its columns; sums modulo 2⁶⁴ are exact in any order. Rows are weighted by the tokens of columns and
the reverse, as in the colour refinement of graphs (Weisfeiler and Leman 1968), so that the same values in different
rows or columns give different tokens.
"""

# Tests: tests/tables/test_features.py

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from autometa.tables.clean_table import CleanTable
from autometa.tables.table_task import Task


@dataclass(frozen=True)
class Sample:
    """Some rows and columns of a task in an order of their own.

    Parameters
    ----------
    table : CleanTable
        Rows sorted by target and then by token; within a kind the columns are sorted by token.
    y : ndarray of shape (n_rows,)
        Values, or class codes that do not depend on the task's codes.
    n_classes : int
        Number of classes in the task; 0 for regression.
    """

    table: CleanTable
    y: np.ndarray
    n_classes: int

    def head(self, n_rows: int) -> Sample:
        """Return at most `n_rows` rows, spread evenly over the sorted rows and thereby over the target."""
        rows = _spread(len(self.table), n_rows)
        return replace(self, table=self.table.take(rows), y=self.y[rows])


def draw_sample(task: Task, n_rows: int, n_columns: int) -> tuple[Sample, float]:
    """Return at most `n_rows` rows and `n_columns` columns, and the share of rows that repeat an earlier one.

    Columns with the smallest tokens are taken; rows are spread over the target, so that classes keep their shares.
    """
    bits = [_bits(block) for block in task.table.blocks.values()]
    ones = np.ones(task.n_rows, dtype=np.uint64)
    columns = _mix(_down(bits, ones))
    rows = _mix(_across(bits, columns))
    columns = _mix(_down(bits, _mix(rows + _target_tokens(task, rows))))
    ranks = np.argsort(np.argsort(columns, kind="stable"), kind="stable")
    # Ranks make the tokens of columns unique, so that rows with equal tokens are equal in every column.
    rows = _mix(_across(bits, _mix(columns + ranks.astype(np.uint64))))
    y = task.y
    if task.n_classes:
        totals = np.zeros(task.n_classes, dtype=np.uint64)
        np.add.at(totals, y, rows)
        y = np.argsort(np.argsort(totals, kind="stable"), kind="stable")[y]
    order = np.lexsort((rows, y))[_spread(task.n_rows, n_rows)]
    ordered = np.sort(rows)
    repeated_share = np.count_nonzero(ordered[1:] == ordered[:-1]) / task.n_rows
    table = task.table.take(order).take_columns(_lowest(task.table, ranks, n_columns))
    return Sample(table, y[order], task.n_classes), repeated_share


def _spread(n: int, n_wanted: int) -> np.ndarray:
    """Return at most `n_wanted` of the indices 0 … n − 1, evenly spaced."""
    n_wanted = min(n, n_wanted)
    return np.arange(n_wanted) * n // max(1, n_wanted)


def _lowest(table: CleanTable, ranks: np.ndarray, n_columns: int) -> dict[str, np.ndarray]:
    """Return, for each kind, the indices of its columns among the `n_columns` with the lowest ranks, in their order."""
    lowest, end = {}, 0
    for field, block in table.blocks.items():
        start, end = end, end + block.shape[1]
        order = np.argsort(ranks[start:end], kind="stable")
        lowest[field] = order[ranks[start:end][order] < n_columns]
    return lowest


def _target_tokens(task: Task, rows: np.ndarray) -> np.ndarray:
    """Return a token of the target of each row: its value, or the rows of its class."""
    if not task.n_classes:
        return _mix(np.ascontiguousarray(task.y, dtype=np.float64).view(np.uint64))
    totals = np.zeros(task.n_classes, dtype=np.uint64)
    np.add.at(totals, task.y, rows)
    return _mix(totals)[task.y]


def _bits(table: np.ndarray) -> np.ndarray:
    """Return the values as unsigned integers; equal values give equal integers."""
    if table.dtype == object:
        # Half of a surrogate pair, from a file read in the wrong encoding, has no bytes in strict UTF-8.
        encoded = np.array([text.encode("utf-8", "surrogatepass") for text in table.ravel()], dtype=object)
        return pd.util.hash_array(encoded, categorize=False).reshape(table.shape)
    if table.dtype.itemsize == 4:
        return table.view(np.uint32)
    wide = table.view(np.uint64)
    # The low bits of most float64 values are zero, and would stay zero in products modulo 2⁶⁴.
    return wide ^ (wide >> np.uint64(32))


def _down(bits: list[np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Return the sum over the rows of each column, weighted by the rows' tokens."""
    return np.concatenate([np.einsum("ij,i->j", table, rows, dtype=np.uint64) for table in bits])


def _across(bits: list[np.ndarray], columns: np.ndarray) -> np.ndarray:
    """Return the sum over the columns of each row, weighted by the columns' tokens."""
    bounds = np.cumsum([0, *(table.shape[1] for table in bits)])
    total = np.zeros(len(bits[0]), dtype=np.uint64)
    for table, start, end in zip(bits, bounds, bounds[1:], strict=False):
        total += np.einsum("ij,j->i", table, columns[start:end], dtype=np.uint64)
    return total


def _mix(x: np.ndarray) -> np.ndarray:
    """Return well-mixed tokens: the finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
