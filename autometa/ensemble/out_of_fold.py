"""Predictions of an ensemble for rows that the models behind them were not fitted on."""

# Tests: tests/test_fitted_model.py

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

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


@dataclass(frozen=True)
class MemberPredictions:
    """Predictions of each member of an ensemble for rows that it was not fitted on, to choose weights again.

    Parameters
    ----------
    trials : list of int
        Number of each member's trial.
    y : ndarray of shape (n_rows,)
        Class codes or values.
    weight : ndarray of shape (n_rows,) or None
        Weights of the rows.
    predictions : ndarray of shape (n_members, n_rows) or (n_members, n_rows, n_classes), float32
        Values or probabilities.
    sample : CleanTable
        At most 1,000 rows, on which predictions are timed.
    """

    trials: list[int]
    y: np.ndarray
    weight: np.ndarray | None
    predictions: np.ndarray
    sample: CleanTable

    def of(self, trials: Sequence[int]) -> MemberPredictions:
        """Return the predictions of some of the members, in the order of `trials`."""
        chosen = [self.trials.index(trial) for trial in trials]
        return replace(self, trials=list(trials), predictions=self.predictions[chosen])


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
