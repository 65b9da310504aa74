"""scikit-learn's multilayer perceptron, trained like the networks of autometa: one epoch at a time, the best kept."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from autometa.learners.base import FitData, stages_before
from autometa.learners.numeric import TargetScale, bounded


class PlainMLP:
    """`MLPClassifier` or `MLPRegressor` with their own defaults on the numeric view.

    Regression targets are standardised. There is no patience: after n epochs, the network of the best epoch so far, by
    the loss on the rows for early stopping, predicts.

    Parameters
    ----------
    n_epochs : int
        Passes over the rows.
    """

    def __init__(self, n_epochs: int) -> None:
        self.n_epochs = n_epochs
        self.n_iterations = 0
        self._stages: dict[int, Any] = {}
        self._scale: TargetScale | None = None

    def fit(self, data: FitData, parameters: Mapping[str, Any]) -> PlainMLP:
        """Train and return self; `parameters` are those of the scikit-learn class."""
        is_regression = data.problem == "regression"
        self._scale = TargetScale(data.y) if is_regression else None
        y = self._scale.standardise(data.y) if self._scale else data.y
        network = (MLPRegressor if is_regression else MLPClassifier)(random_state=data.seed, **parameters)
        known = {} if is_regression else {"classes": np.arange(data.n_classes)}
        X, best, best_loss = bounded(data.X), network, math.inf
        stages = {}
        with warnings.catch_warnings():
            # With fewer rows than a batch it warns that it takes them all.
            warnings.simplefilter("ignore")
            for epoch in range(1, self.n_epochs + 1):
                network.partial_fit(X, y, **(known if epoch == 1 else {}))
                loss = self._loss(network, data)
                if loss <= best_loss:
                    best, best_loss, self.n_iterations = copy.deepcopy(network), loss, epoch
                if epoch.bit_count() == 1:
                    stages[epoch] = best
        self._best = best
        self._stages = {n: stages[n] for n in stages_before(self.n_iterations)}
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return (n_rows, n_classes) probabilities, or (n_rows,) values."""
        return self._predicted(self._best, X)

    def staged_predict(self, X: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Yield n and the predictions after n epochs, for n = 1, 2, 4, … before the best epoch."""
        for n, network in self._stages.items():
            yield n, self._predicted(network, X)

    def _predicted(self, network: Any, X: np.ndarray) -> np.ndarray:
        X = bounded(X)
        if self._scale is None:
            return np.asarray(network.predict_proba(X))
        return self._scale.restore(network.predict(X), margin=0.0)

    def _loss(self, network: Any, data: FitData) -> float:
        prediction = self._predicted(network, data.X_val)
        if self._scale is not None:
            return float(np.mean((prediction - data.y_val) ** 2))
        right = np.maximum(prediction[np.arange(len(data.y_val)), data.y_val], 1e-9)
        return float(-np.log(right).mean())
