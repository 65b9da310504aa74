"""Columns of dates and times: datetime64 in UTC, measured as days since the first one and parts of the calendar."""

# Tests: tests/tables/test_kinds.py

from __future__ import annotations

from typing import Any

import numpy as np

from autometa.tables.column_kind import ColumnKind, IncomingTable, TrainingColumn
from autometa.tables.reading import as_moments, comes_with_zone, moments_of, typed_moments
from autometa.tables.schema import Schema

_MOST_COLUMNS = 13
"""Columns of one moment in the numeric view, with the indicator of its gaps."""
_DAY_S = 86_400.0
_NEVER = np.iinfo(np.int64).max
_LINEAR_PARTS = ("days", "year")
_CYCLES = {"month": 12.0, "day": 31.0, "weekday": 7.0, "hour": 24.0, "day_of_year": 366.0}
"""Parts that repeat, and their periods: the numeric view gets the sine and cosine of each."""


class Moments(ColumnKind):
    """Dates and times as ``datetime64[us]`` in UTC, NaT where missing."""

    field = "moments"
    dtype = "datetime64[us]"

    def recognise(self, column: TrainingColumn, schema: Schema) -> bool:
        if column.type == "datetime":
            moments = typed_moments(column.values)
        elif (found := column.format) is not None and found.kind == "datetime":
            schema.note_format(column.name, found.style, found.sentinels)
            moments = moments_of(column.labels, found.style)
        else:
            return False
        present = moments[~np.isnat(moments)]
        if len(present) == 0:
            schema.dropped[column.name] = "all values are missing"
        elif len(present) == len(moments) and present.min() == present.max():
            schema.dropped[column.name] = "constant"
        else:
            schema.moments.append(column.name)
            has_zone = comes_with_zone(column.values)
            if has_zone is not None:
                schema.zoned[column.name] = has_zone
        return True

    def read(self, table: IncomingTable, schema: Schema) -> np.ndarray:
        block = np.empty((len(table.frame), len(schema.moments)), dtype=self.dtype, order="F")
        for j, name in enumerate(schema.moments):
            column = table.column(name)
            block[:, j], is_lost = as_moments(column, *schema.format_of(name, "ISO8601"))
            table.lost += [name] * is_lost
            if name in schema.zoned and not np.isnat(block[:, j]).all():
                table.shifted += [name] * (comes_with_zone(column) is (not schema.zoned[name]))
        return block

    def most_columns(self, schema: Schema) -> int:
        return _MOST_COLUMNS * len(schema.moments)

    def fit_measures(self, block: np.ndarray, schema: Schema, is_cyclic: bool) -> tuple[list[str], Any]:
        """Learn the first moment of each column, in microseconds since 1970."""
        ticks = np.where(np.isnat(block), _NEVER, block.astype(np.int64)).min(axis=0, initial=_NEVER)
        names = [f"{name} {part}" for name in schema.moments for part in _part_names(is_cyclic)]
        return names, np.where(ticks == _NEVER, 0, ticks)

    def measure(self, block: np.ndarray, learnt: np.ndarray, is_cyclic: bool) -> np.ndarray:
        epochs = learnt.astype("datetime64[us]")
        missing = np.isnat(block)
        parts = _calendar_parts(np.where(missing, epochs, block), epochs)
        names = _part_names(is_cyclic)
        columns = np.empty((*block.shape, len(names)), dtype=np.float32)
        for k, name in enumerate(names):
            part, _, wave = name.partition(" ")
            if not wave:
                columns[:, :, k] = parts[part]
                continue
            function = np.sin if wave == "sine" else np.cos
            turn = np.float32(2 * np.pi / _CYCLES[part])
            # Whole numbers of few values are looked up, which is faster than computing each wave.
            is_whole = parts[part].dtype.kind == "i"
            columns[:, :, k] = (
                function(np.arange(400) * turn)[parts[part]] if is_whole else function(parts[part] * turn)
            )
        columns[missing] = np.nan
        return columns.reshape(len(block), block.shape[1] * len(names))


def _part_names(is_cyclic: bool) -> list[str]:
    if not is_cyclic:
        return [*_LINEAR_PARTS, *_CYCLES]
    return [*_LINEAR_PARTS, *(f"{part} {wave}" for part in _CYCLES for wave in ("sine", "cosine"))]


def _calendar_parts(moments: np.ndarray, epochs: np.ndarray) -> dict[str, np.ndarray]:
    """Return each part, (n_rows, n_moments)."""
    day, month, year = (moments.astype(f"datetime64[{unit}]") for unit in "DMY")
    return {
        "days": (moments - epochs).astype(np.float64) / (1e6 * _DAY_S),
        "year": year.astype(np.int64) + 1970,
        "month": month.astype(np.int64) % 12 + 1,
        "day": (day - month.astype(day.dtype)).astype(np.int64) + 1,
        "weekday": (day.astype(np.int64) + 3) % 7,
        "hour": (moments - day).astype(np.float32) / np.float32(3.6e9),
        "day_of_year": (day - year.astype(day.dtype)).astype(np.int64) + 1,
    }
