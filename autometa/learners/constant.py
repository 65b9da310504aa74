"""The model that always predicts the same: for constant targets and folds with one class."""

from __future__ import annotations

import numpy as np


class ConstantModel:
    """Predicts one value, or one row of probabilities, for every row.

    Parameters
    ----------
    prediction : ndarray of shape (n_classes,) or float
        What is predicted.
    """

    n_iterations: int | None = None

    def __init__(self, prediction: np.ndarray | float) -> None:
        self.prediction = np.asarray(prediction, dtype=np.float64)

    def predict(self, X: np.ndarray, n_threads: int = 1) -> np.ndarray:
        """Return the same prediction for each row of `X`."""
        return np.broadcast_to(self.prediction, (len(X), *self.prediction.shape)).copy()
