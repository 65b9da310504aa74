"""A user's own scikit-learn estimator as a learner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from autometa.core.space import Value
from autometa.learners.base import FitData, Learner, Model


@dataclass
class OwnModel:
    """A fitted estimator of the user's own.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    n_classes : int
        Number of classes; 0 for regression.
    """

    estimator: Any
    n_classes: int
    n_iterations: int | None = None

    goes_by_parts: ClassVar[bool] = False  # it may be unsafe in several threads, or not predict row by row

    def predict(self, X: np.ndarray, n_threads: int = 1) -> np.ndarray:
        """Return probabilities (n_rows, n_classes), or values (n_rows,).

        Without ``predict_proba``, probabilities are the logistic or softmax function of
        ``decision_function``, or else 1 for the predicted class.
        """
        if not self.n_classes:
            return np.asarray(self.estimator.predict(X), dtype=np.float64)
        if hasattr(self.estimator, "predict_proba"):
            return np.asarray(self.estimator.predict_proba(X), dtype=np.float64)
        if hasattr(self.estimator, "decision_function"):
            decision = np.asarray(self.estimator.decision_function(X), dtype=np.float64)
            if decision.ndim == 1:
                positive = expit(decision)
                return np.column_stack([1 - positive, positive])
            if decision.shape[1] == self.n_classes:
                return softmax(decision, axis=1)
        codes = np.asarray(self.estimator.predict(X)).astype(np.int64)
        return np.eye(self.n_classes)[codes]


def own_learner(name: str, estimator: Any) -> Learner:
    """Return a learner that fits clones of `estimator` on the numeric view."""
    return Learner(name=name, view="numeric", fit=_Fit(estimator))


@dataclass(frozen=True)
class _Fit:
    estimator: Any

    def __call__(self, data: FitData, parameters: Mapping[str, Value]) -> Model:
        estimator = clone(self.estimator).set_params(**parameters)
        available = estimator.get_params(deep=False)
        if "random_state" in available and available["random_state"] is None:
            estimator.set_params(random_state=data.seed)
        if "n_jobs" in available:
            estimator.set_params(n_jobs=data.n_threads)
        # A copy, because the arrays are shared between processes and read-only, which not every estimator accepts.
        X = np.array(data.X)
        if data.sample_weight is not None and has_fit_parameter(estimator, "sample_weight"):
            estimator.fit(X, data.y, sample_weight=data.sample_weight)
        else:
            estimator.fit(X, data.y)
        return OwnModel(estimator, data.n_classes)
