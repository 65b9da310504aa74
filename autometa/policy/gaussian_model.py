"""Fit a multivariate Gaussian to rows with gaps, and predict unseen columns from seen ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.covariance import ledoit_wolf

_N_ROUNDS = 5
"""Rounds of filling gaps and estimating the covariance from the filled rows."""

_NUGGET = 0.01
"""Fraction of a column's variance that is noise: two fits of one configuration differ by their seeds."""


@dataclass(frozen=True)
class GaussianModel:
    """Mean and covariance of the columns, and the rows that they were learnt from.

    Parameters
    ----------
    mean : ndarray of shape (n_columns,)
        Mean of each column.
    covariance : ndarray of shape (n_columns, n_columns)
        Shrunk towards independent columns of equal variance (Ledoit and Wolf 2004).
    rows : ndarray of shape (n_rows, n_columns)
        The rows, each gap filled with its expectation given the rest of the row.
    """

    mean: np.ndarray
    covariance: np.ndarray
    rows: np.ndarray

    @classmethod
    def learn(cls, rows: np.ndarray) -> GaussianModel:
        """Return the model of rows with gaps (NaN).

        A column without any value has mean 0; a row without any is filled with the means.
        """
        gaps = np.isnan(rows)
        empty = gaps.all(axis=1)
        if empty.any():
            model = cls.learn(rows[~empty])
            filled = np.tile(model.mean, (len(rows), 1))
            filled[~empty] = model.rows
            return cls(model.mean, model.covariance, filled)
        n_values = (~gaps).sum(axis=0)
        # The level of each row is taken off first, or columns seen only on easy rows would look good.
        level = np.nanmean(rows, axis=1)
        usual = level.sum() / max(1, len(level))
        mean = np.where(gaps, 0.0, rows - level[:, None]).sum(axis=0) / np.maximum(n_values, 1) + usual
        mean = np.where(n_values > 0, mean, 0.0)
        filled = np.where(gaps, mean + (level - usual)[:, None], rows)
        covariance = _covariance(filled - mean)
        patterns = [(pattern, (gaps == pattern).all(axis=1)) for pattern in np.unique(gaps, axis=0) if pattern.any()]
        for _ in range(_N_ROUNDS if patterns else 0):
            precision = np.linalg.inv(_noisy(covariance, np.arange(len(mean))))
            for pattern, matches in patterns:
                hidden, seen = np.flatnonzero(pattern), np.flatnonzero(~pattern)
                if len(hidden) < len(seen):
                    # The same weights from blocks of the inverse, which is computed once for all rows.
                    blocks = precision[np.ix_(hidden, hidden)], precision[np.ix_(hidden, seen)]
                    weights = -np.linalg.solve(*blocks).T
                else:
                    weights = _weights(covariance, seen, hidden)
                filled[np.ix_(matches, pattern)] = (
                    mean[pattern] + (filled[np.ix_(matches, ~pattern)] - mean[~pattern]) @ weights
                )
            mean = np.where(n_values > 0, filled.mean(axis=0), 0.0)
            covariance = _covariance(filled - mean)
        return cls(mean, covariance, filled)

    def weights(self, seen: np.ndarray) -> np.ndarray:
        """Return the (n_seen, n_columns) weights with which deviations of the seen columns shift all of them."""
        return _weights(self.covariance, seen, np.arange(len(self.mean)))

    def precision(self, seen: np.ndarray) -> np.ndarray:
        """Return the inverse covariance of the seen columns."""
        return np.linalg.inv(_noisy(self.covariance, seen))

    def condition(self, seen: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of every column, given the values of some."""
        if len(seen) == 0:
            return self.mean, np.sqrt(np.diag(self.covariance))
        weights = self.weights(seen)
        mean = self.mean + (values - self.mean[seen]) @ weights
        variance = np.diag(self.covariance) - np.einsum("ij,ij->j", weights, self.covariance[seen])
        return mean, np.sqrt(np.maximum(variance, 1e-12))


def _covariance(centred: np.ndarray) -> np.ndarray:
    if len(centred) < 2:
        return np.eye(centred.shape[1])
    covariance, _ = ledoit_wolf(centred, assume_centered=True)
    # Rows that are all equal leave nothing to divide by.
    return covariance + 1e-8 * np.eye(len(covariance))


def _noisy(covariance: np.ndarray, seen: np.ndarray) -> np.ndarray:
    return covariance[np.ix_(seen, seen)] + _NUGGET * np.diag(np.diag(covariance)[seen])


def _weights(covariance: np.ndarray, seen: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    return np.linalg.solve(_noisy(covariance, seen), covariance[np.ix_(seen, wanted)])
