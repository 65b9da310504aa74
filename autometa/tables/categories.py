"""Levels of categories as codes for trees and as 0/1 columns for the others."""

from __future__ import annotations

import numpy as np

_MAX_CODES = 255
"""HistGradientBoosting and LightGBM take no more values of a category."""
_FEW_LEVELS = 30
_MAX_ONE_HOT = 24
_RARE_SHARE = 0.001
_MAX_RARE = 20


class CategoryCodes:
    """Codes by descending frequency for each category, float32 with NaN where missing.

    A category of more than 30 levels gathers those seen once, those beyond the 254 most frequent, and at
    predict the unseen ones under one more code. In smaller categories an unseen level is missing.

    Parameters
    ----------
    codes : ndarray of shape (n_rows, n_categories), int32
        Positions of the training rows' levels; −1 where missing.
    n_levels : list of int
        Number of levels of each category in the schema.
    names : list of str
        Name of each category.
    """

    def __init__(self, codes: np.ndarray, n_levels: list[int], names: list[str]) -> None:
        self._columns: list[int] = []
        self._tables: list[np.ndarray] = []
        self.names: list[str] = []
        sizes, present = [], []
        for j, size in enumerate(n_levels):
            counts = np.bincount(codes[:, j] + 1, minlength=size + 1)
            n_missing, counts = int(counts[0]), counts[1:]
            ranked = _by_frequency(counts)
            if len(ranked) + (n_missing > 0) < 2:
                continue
            named = ranked
            if len(ranked) > _FEW_LEVELS:
                named = ranked[counts[ranked] > 1][: _MAX_CODES - 1]
            has_other = len(ranked) > _FEW_LEVELS
            table = np.full(size + 2, np.nan, dtype=np.float32)
            if has_other:
                table[:-1] = len(named)
            table[named] = np.arange(len(named))
            self._columns.append(j)
            self._tables.append(table)
            self.names.append(names[j])
            sizes.append(len(named) + has_other)
            present.append(1 - n_missing / max(1, len(codes)))
        self.sizes = np.array(sizes, dtype=np.int64)
        self.worth = np.array(present, dtype=np.float64)

    def keep(self, mask: np.ndarray) -> None:
        """Restrict the columns to those of `mask`."""
        chosen = np.flatnonzero(mask)
        self._columns = [self._columns[i] for i in chosen]
        self._tables = [self._tables[i] for i in chosen]
        self.names = [self.names[i] for i in chosen]
        self.sizes, self.worth = self.sizes[mask], self.worth[mask]

    def write(self, codes: np.ndarray, out: np.ndarray) -> None:
        """Write the columns of rows into `out`, (n_rows, n_columns)."""
        for k, (j, table) in enumerate(zip(self._columns, self._tables, strict=True)):
            out[:, k] = table[codes[:, j]]


class OneHot:
    """A 0/1 column for each of the more frequent levels of each category; an unseen level has none.

    At most 24 levels of a category have their own column. In smaller categories the rare levels share one,
    two levels need only one column, and missing values have their own.

    Parameters
    ----------
    codes, n_levels, levels
        As for ``CategoryCodes``; `levels` are the names of the levels.
    """

    def __init__(self, codes: np.ndarray, levels: list[list[str]], names: list[str]) -> None:
        self._tables: list[np.ndarray] = []
        self.names: list[str] = []
        worth: list[float] = []
        n_rows = max(1, len(codes))
        for j, labels in enumerate(levels):
            counts = np.bincount(codes[:, j] + 1, minlength=len(labels) + 1)
            n_missing, counts = int(counts[0]), counts[1:]
            ranked = _by_frequency(counts)
            table = np.full(len(labels) + 2, -1, dtype=np.int64)
            groups: list[tuple[str, np.ndarray]] = []
            if len(ranked) > _MAX_ONE_HOT:
                groups = [(labels[i], np.array([i])) for i in ranked[:_MAX_ONE_HOT]]
            elif len(ranked) == 2:
                groups = [(labels[ranked[1]], ranked[1:])]
            elif len(ranked) > 2:
                is_rare = counts[ranked] < min(_MAX_RARE, max(2.0, _RARE_SHARE * n_rows))
                groups = [(labels[i], np.array([i])) for i in ranked[~is_rare]]
                if is_rare.any():
                    groups.append(("rare", ranked[is_rare]))
            if n_missing and len(ranked):
                groups.append(("missing", np.array([len(labels) + 1])))
            for label, members in groups:
                table[members] = len(self.names)
                self.names.append(f"{names[j]}={label}")
                rows = n_missing if members[0] == len(labels) + 1 else int(counts[members].sum())
                worth.append(2 * min(rows, n_rows - rows) / n_rows)
            self._tables.append(table)
        self.worth = np.array(worth, dtype=np.float64)

    def keep(self, mask: np.ndarray) -> None:
        """Restrict the columns to those of `mask`."""
        position = np.append(np.where(mask, np.cumsum(mask) - 1, -1), -1)
        self._tables = [position[table] for table in self._tables]
        self.names = [name for name, kept in zip(self.names, mask, strict=True) if kept]
        self.worth = self.worth[mask]

    def write(self, codes: np.ndarray, out: np.ndarray) -> None:
        """Write the columns of rows into `out`, (n_rows, n_columns)."""
        out[:] = 0
        for j, table in enumerate(self._tables):
            column = table[codes[:, j]]
            rows = np.flatnonzero(column >= 0)
            out[rows, column[rows]] = 1


def _by_frequency(counts: np.ndarray) -> np.ndarray:
    """Return the levels that occur, the most frequent first; ties keep the order of the schema."""
    ranked = np.argsort(-counts, kind="stable")
    return ranked[counts[ranked] > 0]
