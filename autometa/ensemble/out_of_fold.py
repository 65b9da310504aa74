"""Predictions of an ensemble for rows that the models behind them were not fitted on."""

# Tests: tests/test_fitted_model.py

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from autometa.ensemble.predictor import FittedPredictor
from autometa.tables.clean_table import CleanTable


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
    folds : ndarray of shape (n_predictions,), int, or None
        Fold that validates each row.
    predictors : mapping of int to FittedPredictor
        The ensemble of each fold, of models that were not fitted on the fold's validation rows.
    """

    rows: np.ndarray
    predictions: np.ndarray
    spread: np.ndarray
    folds: np.ndarray | None = None
    predictors: Mapping[int, FittedPredictor] = field(default_factory=dict)

    def predict(self, X: CleanTable, folds: np.ndarray) -> np.ndarray:
        """Return predictions for cleaned rows, each by the models of its fold."""
        result: np.ndarray | None = None
        for fold in np.unique(folds).tolist():
            chosen = np.flatnonzero(folds == fold)
            predicted = self.predictors[fold].predict(X.take(chosen))
            if result is None:
                result = np.empty((len(folds), *predicted.shape[1:]))
            result[chosen] = predicted
        assert result is not None
        return result

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
