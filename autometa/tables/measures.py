"""Compute the measured columns of both views: numbers, parts of dates, counts of levels, lengths of texts."""

# Tests: tests/tables/test_preparation.py

from __future__ import annotations

from typing import Any

import numpy as np

from autometa.tables.clean_table import CleanTable
from autometa.tables.kinds import KINDS
from autometa.tables.view import View


class Measures:
    """Measured columns of cleaned rows: float32, NaN where missing; columns constant in training are left out.

    Attributes
    ----------
    names : list of str
        Name of each column that ``transform`` returns.
    present : ndarray of shape (n_columns,)
        Share of the training rows with a value.
    """

    def __init__(self, table: CleanTable, view: View) -> None:
        self._is_cyclic = view == "numeric"
        self._learnt: dict[str, Any] = {}
        names: list[str] = []
        for kind in KINDS:
            measured, self._learnt[kind.field] = kind.fit_measures(
                table.blocks[kind.field], table.schema, self._is_cyclic
            )
            names += measured
        self._used = np.arange(len(names))
        values = self.transform(table)
        is_missing = np.isnan(values)
        share = is_missing.mean(axis=0, dtype=np.float64)
        spread = np.fmax.reduce(values, axis=0) > np.fmin.reduce(values, axis=0)
        varies = spread | ((share > 0) & (share < 1))
        self._used = np.flatnonzero(varies)
        self.names = [names[i] for i in self._used]
        self.present = 1 - share[varies]

    def keep(self, mask: np.ndarray) -> None:
        """Restrict the columns to those of `mask`."""
        self._used = self._used[mask]
        self.names = [name for name, kept in zip(self.names, mask, strict=True) if kept]
        self.present = self.present[mask]

    def transform(self, table: CleanTable) -> np.ndarray:
        """Return the measured columns, float32 of shape (n_rows, n_columns); NaN where missing."""
        blocks = [
            kind.measure(table.blocks[kind.field], self._learnt[kind.field], self._is_cyclic)
            for kind in KINDS
            if table.blocks[kind.field].shape[1]
        ]
        blocks = [block for block in blocks if block.shape[1]] or [np.empty((len(table), 0), dtype=np.float32)]
        values = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)
        return values if len(self._used) == values.shape[1] else values[:, self._used]
