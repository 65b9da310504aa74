"""Predictions of an ensemble for rows that the models behind them were not fitted on."""

# Tests: tests/test_fitted_model.py

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class OutOfFold:
    """Out-of-fold predictions, a row for each validation row of the folds.

    Parameters
    ----------
    rows : ndarray of shape (n_predictions,), int
        Row of the task; a row that several folds validate occurs several times.
    predictions : ndarray of shape (n_predictions, n_classes) or (n_predictions,)
        Probabilities or values of the weighted ensemble.
    spread : ndarray of shape (n_predictions,)
        Weighted standard deviation of the members' values; 0 for classes.
    """

    rows: np.ndarray
    predictions: np.ndarray
    spread: np.ndarray

    def by_row(self, n_rows: int) -> np.ndarray:
        """Return the mean prediction of each row of the task, NaN where no fold validates it."""
        total = np.zeros((n_rows, *self.predictions.shape[1:]))
        np.add.at(total, self.rows, self.predictions)
        count = np.bincount(self.rows, minlength=n_rows).reshape(-1, *[1] * (total.ndim - 1))
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def weighted_spread(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted standard deviation of members' values for each row.

    Parameters
    ----------
    values : ndarray of shape (n_members, n_rows)
        Values of each member.
    weights : ndarray of shape (n_members,)
        They sum to 1.
    """
    return np.sqrt(weights @ (values - weights @ values) ** 2)
