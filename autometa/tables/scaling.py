"""Impute and scale numbers: finite values of about unit variance."""

# Tests: tests/tables/test_preparation.py

from __future__ import annotations

import numpy as np

_N_ROWS = 10_000
"""Rows on which the quantiles are estimated."""
_SMOOTH_CLIP = 8.0
_HEAVY_TAIL = 5.0
"""A column is heavy-tailed if its 1st or 99th percentile lies farther from the median, in scaled units."""
_CHUNK_CELLS = 2**17
"""Rows are scaled in chunks that fit into the processor's cache."""


class Scaler:
    r"""Median imputation, indicators of missing values, robust scaling and a smooth clip.

    Values are centred at the median and divided by the interquartile range (as standard deviations
    of a normal distribution; by the standard deviation where the quartiles are equal). Heavy-tailed
    columns pass the inverse hyperbolic sine, a logarithm that takes both signs. In the end all pass
    :math:`x / \sqrt{1 + (x / c)^2}` with :math:`c = 8`, which bounds outliers (Holzmüller et al. 2024,
    RealMLP, with :math:`c = 3`).

    Attributes
    ----------
    names : list of str
        Name of each written column: values, then indicators.
    worth : ndarray of shape (n_columns,)
        Usefulness of a column: 1 for values without gaps, less for rare indicators.
    """

    def __init__(self, values: np.ndarray, names: list[str], rng: np.random.Generator) -> None:
        rows = slice(None) if len(values) <= _N_ROWS else np.sort(rng.choice(len(values), _N_ROWS, replace=False))
        ordered = np.sort(values[rows], axis=0).astype(np.float64)  # NaN at the end
        n_present = np.count_nonzero(~np.isnan(ordered), axis=0)
        low, lower, median, upper, high = (_quantile(ordered, n_present, q) for q in (0.01, 0.25, 0.5, 0.75, 0.99))
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            spread = (upper - lower) / 1.349
            deviation = np.sqrt(np.nansum((ordered - median) ** 2, axis=0) / np.maximum(n_present, 1))
        scale = np.where(spread > 0, spread, np.where(deviation > 0, deviation, 1.0))
        self._center = np.nan_to_num(median).astype(np.float32)
        self._factor = np.clip(1 / np.clip(scale, 1e-37, None), None, 1e37).astype(np.float32)
        with np.errstate(invalid="ignore", over="ignore"):
            self._is_heavy = np.fmax(median - low, high - median) > _HEAVY_TAIL * scale
        is_missing = np.isnan(values)
        share = is_missing.mean(axis=0, dtype=np.float64)
        varies = np.fmax.reduce(values, axis=0) > np.fmin.reduce(values, axis=0)
        self._columns = np.flatnonzero(varies)
        self._gaps = _distinct_columns(is_missing, np.flatnonzero((share > 0) & (share < 1)))
        self.names = [names[i] for i in self._columns] + [f"{names[i]} missing" for i in self._gaps]
        self.worth = np.concatenate([1 - share[self._columns], np.minimum(share, 1 - share)[self._gaps]])

    def keep(self, mask: np.ndarray) -> None:
        """Restrict the columns to those of `mask`."""
        n = len(self._columns)
        self._columns, self._gaps = self._columns[mask[:n]], self._gaps[mask[n:]]
        self.names = [name for name, kept in zip(self.names, mask, strict=True) if kept]
        self.worth = self.worth[mask]

    def write(self, values: np.ndarray, out: np.ndarray) -> None:
        """Write scaled values and indicators of rows into `out`, (n_rows, n_columns)."""
        n = len(self._columns)
        center, factor = self._center[self._columns], self._factor[self._columns]
        heavy = np.flatnonzero(self._is_heavy[self._columns])
        columns: slice | np.ndarray = slice(None) if n == values.shape[1] else self._columns
        step = max(1, _CHUNK_CELLS // max(1, values.shape[1]))
        for start in range(0, len(values), step):
            chunk = values[start : start + step]
            with np.errstate(over="ignore"):
                scaled = (chunk[:, columns] - center) * factor
            if len(heavy):
                scaled[:, heavy] = np.arcsinh(scaled[:, heavy])
            # Bounded before squaring, which would overflow.
            np.clip(scaled, -1e6, 1e6, out=scaled)
            scaled /= np.sqrt(1 + np.square(scaled / np.float32(_SMOOTH_CLIP)))
            scaled[np.isnan(scaled)] = 0
            out[start : start + step, :n] = scaled
            out[start : start + step, n:] = np.isnan(chunk[:, self._gaps])


def _quantile(ordered: np.ndarray, n_present: np.ndarray, q: float) -> np.ndarray:
    """Return a quantile of the first `n_present` entries of each sorted column, NaN where there are none."""
    if len(ordered) == 0:
        return np.full(ordered.shape[1], np.nan)
    index = q * np.maximum(n_present - 1, 0)
    low = np.floor(index).astype(np.int64)
    high = np.minimum(low + 1, np.maximum(n_present - 1, 0))
    columns = np.arange(ordered.shape[1])
    weight = index - low
    return ordered[low, columns] * (1 - weight) + ordered[high, columns] * weight


def _distinct_columns(mask: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return those of `columns` whose mask differs from that of every earlier one."""
    packed = np.packbits(mask[:, columns], axis=0)
    seen: dict[bytes, int] = {}
    for i, column in enumerate(columns):
        seen.setdefault(packed[:, i].tobytes(), int(column))
    return np.array(list(seen.values()), dtype=np.int64)
