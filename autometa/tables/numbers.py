"""Columns of numbers: float32, or float64 where float32 would merge their values; spans of time are seconds."""

# Tests: tests/tables/test_kinds.py

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from autometa.tables.column_kind import ColumnKind, IncomingTable, TrainingColumn
from autometa.tables.reading import as_numbers, numbers_of, typed_numbers, typed_spans
from autometa.tables.schema import Schema
from autometa.tables.values import span_seconds

_LARGEST = 1e30
"""Larger float32 values overflow in sums and products; they are cut to this."""
_MIN_FLOAT32_STEPS = 1e5
"""A column keeps float64 if float32 leaves it fewer distinct steps over its range."""


class Numbers(ColumnKind):
    """Numbers, booleans and spans of time (in seconds) as float32, NaN where missing."""

    field = "numbers"
    dtype: ClassVar[type[np.floating]] = np.float32

    def recognise(self, column: TrainingColumn, schema: Schema) -> bool:
        found = column.format
        if column.type == "number":
            values = typed_numbers(column.values)
        elif column.type == "timedelta":
            schema.formats[column.name] = "timedelta"
            values = span_seconds(typed_spans(column.values))
        elif found is not None and found.kind != "datetime":
            schema.note_format(column.name, found.style, found.sentinels)
            values = numbers_of(column.labels, found.style)
        else:
            return False
        add_numbers(schema, [column.name], values[:, None])
        return True

    def read(self, table: IncomingTable, schema: Schema) -> np.ndarray:
        X, names = table.frame, self.names(schema)
        where = [table.index[name] for name in names]
        plain = set(plain_numbers(X, where))
        # A bare number is no span of time.
        is_plain = [
            i in plain and schema.formats.get(name) != "timedelta" for i, name in zip(where, names, strict=True)
        ]
        at_once = [j for j in range(len(names)) if is_plain[j]]
        block = np.empty((len(X), len(names)), dtype=self.dtype, order="F")
        with np.errstate(over="ignore"):
            if at_once:
                values = X.iloc[:, [where[j] for j in at_once]].to_numpy(dtype=self.dtype)
                block[:, slice(None) if len(at_once) == len(names) else at_once] = values
            for j in (j for j in range(len(names)) if not is_plain[j]):
                column = table.column(names[j])
                block[:, j], is_lost = as_numbers(column, *schema.format_of(names[j], "grouped"))
                table.lost += [names[j]] * is_lost
        _tame(block, X, where)
        return block

    def most_columns(self, schema: Schema) -> int:
        # Each may bring an indicator of its gaps.
        return 2 * len(self.names(schema))

    def fit_measures(self, block: np.ndarray, schema: Schema, is_cyclic: bool) -> tuple[list[str], Any]:
        return self.names(schema), None

    def measure(self, block: np.ndarray, learnt: Any, is_cyclic: bool) -> np.ndarray:
        return block


class PreciseNumbers(Numbers):
    """Numbers that need float64, e.g. times in seconds since 1970; ``Numbers`` recognises them."""

    field = "precise"
    dtype = np.float64

    def recognise(self, column: TrainingColumn, schema: Schema) -> bool:
        return False

    def fit_measures(self, block: np.ndarray, schema: Schema, is_cyclic: bool) -> tuple[list[str], Any]:
        """Learn the offsets and scales with which float32 can tell the values apart."""
        low, high = np.fmin.reduce(block, axis=0), np.fmax.reduce(block, axis=0)
        low, high = np.nan_to_num(low), np.nan_to_num(high)
        with np.errstate(over="ignore"):
            span = high - low
        # Columns of usual size are only shifted; tiny and huge ones are also divided by their range.
        usual = (span > 1 / _LARGEST) & (span < _LARGEST)
        offsets = np.where(np.isfinite(span), low, 0.0)
        scales = np.where(usual | (span == 0), 1.0, np.where(np.isfinite(span), np.maximum(span, 5e-324), 1e300))
        return self.names(schema), (offsets, scales)

    def measure(self, block: np.ndarray, learnt: tuple[np.ndarray, np.ndarray], is_cyclic: bool) -> np.ndarray:
        offsets, scales = learnt
        return np.clip((block - offsets) / scales, -_LARGEST, _LARGEST).astype(np.float32)


def plain_numbers(X: pd.DataFrame, where: Sequence[int] | None = None) -> list[int]:
    """Return the indices of columns with a numpy type of numbers, which are read at once."""
    dtypes = list(X.dtypes)
    considered = range(len(dtypes)) if where is None else where
    return [i for i in considered if isinstance(dtypes[i], np.dtype) and dtypes[i].kind in "biuf"]


def add_numbers(schema: Schema, names: list[str], values: np.ndarray) -> None:
    """Add float64 columns to the numbers or precise numbers of a schema, or drop them there."""
    finite = np.isfinite(values)
    n_present = finite.sum(axis=0)
    low = np.where(finite, values, np.inf).min(axis=0)
    high = np.where(finite, values, -np.inf).max(axis=0)
    with np.errstate(invalid="ignore", over="ignore"):
        largest = np.maximum(np.abs(low), np.abs(high))
        is_precise = (
            (high - low < largest * 2.0**-24 * _MIN_FLOAT32_STEPS) | (largest < 1 / _LARGEST) | (largest > _LARGEST)
        )
    for name, present, is_constant, precise in zip(names, n_present, low == high, is_precise, strict=True):
        if present == 0:
            schema.dropped[name] = "all values are missing"
        elif is_constant and present == len(values):
            schema.dropped[name] = "constant"
        else:
            # A constant with gaps only tells where the gaps are, whatever its size.
            (schema.precise if precise and not is_constant else schema.numbers).append(name)


def _tame(block: np.ndarray, X: pd.DataFrame, where: Sequence[int]) -> None:
    """Make infinities missing in place; finite numbers too large for float32 are cut instead."""
    infinite = np.isinf(block)
    for j in map(int, np.flatnonzero(infinite.any(axis=0))):
        column = X.iloc[:, where[j]]
        is_plain = isinstance(column.dtype, np.dtype) and column.dtype.kind == "f"
        # Values of other types were read as finite or missing.
        was_finite = np.isfinite(column.to_numpy()) if is_plain else True
        cut = np.where(was_finite, np.sign(block[:, j]) * _LARGEST, np.nan)
        block[:, j] = np.where(infinite[:, j], cut, block[:, j])
