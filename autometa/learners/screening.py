"""Column screening, which limits boosters to the strongest columns of a very wide table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from autometa.learners.base import FitData

MAX_COLUMNS = 2000
"""Largest number of columns that a booster gets. Boosters sort every column into bins before their first tree, which no
deadline can interrupt; 10,000 columns of 5,000 rows take half a minute and gigabytes."""

_MAX_ROWS = 4000
_N_GROUPS = 8
_BLOCK = 500


def screened(data: FitData) -> tuple[FitData, np.ndarray | None]:
    """Return the data with its MAX_COLUMNS strongest columns, and their indices; None if all columns are kept."""
    if data.X.shape[1] <= MAX_COLUMNS:
        return data, None
    groups = data.y if data.n_classes else _quantile_groups(data.y)
    strengths = column_strengths(data.X, groups)
    columns = np.sort(np.argsort(-strengths, kind="stable")[:MAX_COLUMNS])
    return (
        replace(
            data,
            X=data.X[:, columns],
            X_val=None if data.X_val is None else data.X_val[:, columns],
            categorical=data.categorical[columns],
            n_categories=data.n_categories[columns],
        ),
        columns,
    )


def column_strengths(X: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return each column's share of variance that lies between groups of rows (eta squared).

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_columns)
        Missing values count as the column's mean; at most 4,000 rows are used.
    groups : ndarray of shape (n_rows,), int
        Group of each row, from 0.

    Returns
    -------
    ndarray of shape (n_columns,)
        In [0, 1]; 0 for constant and empty columns.
    """
    rows = np.unique(np.linspace(0, len(X) - 1, min(len(X), _MAX_ROWS)).astype(np.int64))
    groups = groups[rows]
    members = np.zeros((int(groups.max()) + 1, len(rows)), dtype=np.float64)
    members[groups, np.arange(len(rows))] = 1.0
    sizes = np.maximum(members.sum(axis=1, keepdims=True), 1.0)
    strengths = np.zeros(X.shape[1])
    # By blocks, so that float64 copies of the whole table never exist.
    for start in range(0, X.shape[1], _BLOCK):
        block = X[rows, start : start + _BLOCK].astype(np.float64)
        missing = np.isnan(block)
        n_known = np.maximum((~missing).sum(axis=0), 1)
        block[missing] = 0.0
        block = np.where(missing, 0.0, block - block.sum(axis=0) / n_known)
        between = ((members @ block) ** 2 / sizes).sum(axis=0)
        total = (block**2).sum(axis=0)
        np.divide(between, total, out=strengths[start : start + _BLOCK], where=total > 0)
    return strengths


def _quantile_groups(y: np.ndarray) -> np.ndarray:
    """Return in which eighth of the target's distribution each row is; groups show relations that a line does not."""
    return np.searchsorted(np.quantile(y, np.linspace(0, 1, _N_GROUPS + 1)[1:-1]), y)
