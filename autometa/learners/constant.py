"""A model with the same prediction for every row, for constant targets and folds with one class."""

from __future__ import annotations

import numpy as np
import pandas as pd


class ConstantModel:
    """Predicts one value, or one row of probabilities, for every row.

    Parameters
    ----------
    prediction : ndarray of shape (n_classes,) or float
        The prediction for each row.
    """

    n_iterations: int | None = None

    def __init__(self, prediction: np.ndarray | float) -> None:
        self.prediction = np.asarray(prediction, dtype=np.float64)

    def predict(self, X: np.ndarray, n_threads: int = 1) -> np.ndarray:
        """Return the same prediction for each row of `X`."""
        return np.broadcast_to(self.prediction, (len(X), *self.prediction.shape)).copy()


class NoPreparation:
    """A preparation without columns, for models that ignore the rows."""

    def transform(self, X: pd.DataFrame) -> np.ndarray:
        """Return an array with as many rows as `X` and no columns."""
        return np.empty((len(X), 0), dtype=np.float32)
