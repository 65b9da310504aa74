"""What can be measured in a row: numbers, parts of dates, how frequent a level is, how long a text is."""

from __future__ import annotations

import numpy as np
import pandas as pd

from autometa.tables.schema import Schema
from autometa.tables.view import View

_FEW_LEVELS = 30
"""Categories with more levels also tell how frequent a row's level is."""
_LARGEST = 1e30
_DAY_S = 86_400.0
_NEVER = np.iinfo(np.int64).max
_DTYPES = (np.float32, np.float64, "datetime64[us]", np.int32, object)
"""Types of the blocks of cleaned rows."""
_LINEAR_PARTS = ("days", "year")
_CYCLES = {"month": 12.0, "day": 31.0, "weekday": 7.0, "hour": 24.0, "day_of_year": 366.0}
_PARTS = (*_LINEAR_PARTS, *_CYCLES)


class Measures:
    """Measured columns of cleaned rows: float32, NaN where missing.

    Attributes
    ----------
    names : list of str
        Name of each column that ``transform`` returns.
    present : ndarray of shape (n_columns,)
        Share of the training rows with a value.
    """

    def __init__(self, X: pd.DataFrame, schema: Schema, view: View) -> None:
        bounds = np.cumsum([len(schema.numbers), len(schema.precise), len(schema.moments), len(schema.categories)])
        self._bounds = [0, *(int(bound) for bound in bounds), X.shape[1]]
        self._is_cyclic = view == "numeric"
        self._fit_precise(X)
        moments = self._block(X, 2)
        ticks = np.where(np.isnat(moments), _NEVER, moments.astype(np.int64)).min(axis=0, initial=_NEVER)
        self._epochs_us = np.where(ticks == _NEVER, 0, ticks)
        self._frequencies = _level_frequencies(self._block(X, 3), list(schema.categories.values()))
        self._repeats = [_repeats(texts) for texts in self._block(X, 4).T]
        every = [
            *schema.numbers,
            *schema.precise,
            *(f"{name} {part}" for name in schema.moments for part in _part_names(self._is_cyclic)),
            *(f"{list(schema.categories)[j]} frequency" for j in self._frequencies),
            *(f"{name} {measure}" for name in schema.texts for measure in ("characters", "words", "frequency")),
        ]
        # Constant columns, in these rows, are left out.
        self._used = np.arange(len(every))
        values = self.transform(X)
        is_missing = np.isnan(values)
        share = is_missing.mean(axis=0, dtype=np.float64)
        spread = np.fmax.reduce(values, axis=0) > np.fmin.reduce(values, axis=0)
        varies = spread | ((share > 0) & (share < 1))
        self._used = np.flatnonzero(varies)
        self.names = [every[i] for i in self._used]
        self.present = 1 - share[varies]

    def _fit_precise(self, X: pd.DataFrame) -> None:
        """Learn where float64 columns lie, so that float32 can tell their values apart."""
        values = self._block(X, 1)
        low, high = np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0)
        low, high = np.nan_to_num(low), np.nan_to_num(high)
        with np.errstate(over="ignore"):
            span = high - low
        # Columns of usual size are only shifted; tiny and huge ones are also divided by their range.
        usual = (span > 1 / _LARGEST) & (span < _LARGEST)
        self._offsets = np.where(np.isfinite(span), low, 0.0)
        self._scales = np.where(usual | (span == 0), 1.0, np.where(np.isfinite(span), np.maximum(span, 5e-324), 1e300))

    def _block(self, X: pd.DataFrame, number: int) -> np.ndarray:
        """Return the values of one kind: numbers, precise numbers, moments, categories, texts."""
        start, end = self._bounds[number : number + 2]
        if start == end:
            return np.empty((len(X), 0), dtype=_DTYPES[number])
        return X.iloc[:, start:end].to_numpy()

    def keep(self, mask: np.ndarray) -> None:
        """Restrict the columns to those of `mask`."""
        self._used = self._used[mask]
        self.names = [name for name, kept in zip(self.names, mask, strict=True) if kept]
        self.present = self.present[mask]

    def transform(self, X: pd.DataFrame) -> np.ndarray:
        """Return the measured columns, float32 of shape (n_rows, n_columns); NaN where missing."""
        blocks = [self._block(X, 0)]
        if self._bounds[2] > self._bounds[1]:
            shifted = (self._block(X, 1) - self._offsets) / self._scales
            blocks.append(np.clip(shifted, -_LARGEST, _LARGEST).astype(np.float32))
        if self._bounds[3] > self._bounds[2]:
            blocks.append(_moment_parts(self._block(X, 2), self._epochs_us, self._is_cyclic))
        if self._frequencies:
            codes = self._block(X, 3)
            blocks.append(np.stack([table[codes[:, j]] for j, table in self._frequencies.items()], axis=1))
        if self._repeats:
            blocks.extend(
                _text_measures(texts, repeats)
                for texts, repeats in zip(self._block(X, 4).T, self._repeats, strict=True)
            )
        values = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)
        return values if len(self._used) == values.shape[1] else values[:, self._used]


def _part_names(is_cyclic: bool) -> list[str]:
    if not is_cyclic:
        return list(_PARTS)
    return [*_LINEAR_PARTS, *(f"{part} {wave}" for part in _CYCLES for wave in ("sine", "cosine"))]


def _moment_parts(moments: np.ndarray, epochs_us: np.ndarray, is_cyclic: bool) -> np.ndarray:
    """Return the parts of moments, float32 of shape (n_rows, n_moments × n_parts)."""
    epochs = epochs_us.astype("datetime64[us]")
    missing = np.isnat(moments)
    moments = np.where(missing, epochs, moments)
    day, month, year = (moments.astype(f"datetime64[{unit}]") for unit in "DMY")
    parts: dict[str, np.ndarray] = {
        "days": (moments - epochs).astype(np.float64) / (1e6 * _DAY_S),
        "year": year.astype(np.int64) + 1970,
        "month": month.astype(np.int64) % 12 + 1,
        "day": (day - month.astype(day.dtype)).astype(np.int64) + 1,
        "weekday": (day.astype(np.int64) + 3) % 7,
        "hour": (moments - day).astype(np.float32) / np.float32(3.6e9),
        "day_of_year": (day - year.astype(day.dtype)).astype(np.int64) + 1,
    }
    names = _part_names(is_cyclic)
    columns = np.empty((*moments.shape, len(names)), dtype=np.float32)
    for k, name in enumerate(names):
        part, _, wave = name.partition(" ")
        if not wave:
            columns[:, :, k] = parts[part]
            continue
        function = np.sin if wave == "sine" else np.cos
        turn = np.float32(2 * np.pi / _CYCLES[part])
        # Whole numbers of few values are looked up, which is faster than computing each wave.
        is_whole = parts[part].dtype.kind == "i"
        columns[:, :, k] = function(np.arange(400) * turn)[parts[part]] if is_whole else function(parts[part] * turn)
    columns[missing] = np.nan
    return columns.reshape(len(moments), moments.shape[1] * len(names))


def _level_frequencies(codes: np.ndarray, levels: list[list[str]]) -> dict[int, np.ndarray]:
    """Return the logarithm of the count of each level of the larger categories, by category number.

    The last two entries of a table are for unseen levels, which count like a level seen once, and for missing values.
    """
    tables = {}
    for j, names in enumerate(levels):
        if len(names) > _FEW_LEVELS:
            counts = np.bincount(codes[:, j] + 1, minlength=len(names) + 1)
            tables[j] = np.log(np.maximum([*counts[1:], 1, counts[0]], 1)).astype(np.float32)
    return tables


def _repeats(texts: np.ndarray) -> dict[str, float]:
    """Return the logarithm of the count of each text that occurs more than once.

    A text seen once is left out, because it must count like a text that was never seen.
    """
    codes, distinct = pd.factorize(texts)
    counts = np.bincount(codes, minlength=len(distinct))
    return {distinct[i]: float(np.log(counts[i])) for i in np.flatnonzero(counts > 1) if distinct[i]}


def _text_measures(texts: np.ndarray, repeats: dict[str, float]) -> np.ndarray:
    """Return characters, words and repeats of texts, float32 of shape (n_rows, 3)."""
    n = len(texts)
    measures = np.empty((n, 3), dtype=np.float32)
    measures[:, 0] = np.fromiter(map(len, texts), dtype=np.float32, count=n)
    measures[:, 1] = np.fromiter((text.count(" ") for text in texts), dtype=np.float32, count=n) + 1
    measures[:, 2] = np.fromiter((repeats.get(text, 0.0) for text in texts), dtype=np.float32, count=n)
    measures[measures[:, 0] == 0] = np.nan
    return measures
