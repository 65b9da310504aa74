"""Custom scorers and metric functions, called with predictions that were made before."""

# Tests: tests/evaluation/test_metrics.py

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from autometa.core.task import Problem

Kind = Literal["scorer", "score", "loss"]


@dataclass(frozen=True)
class CustomLoss:
    """A loss that calls a scorer or a metric function.

    Parameters
    ----------
    call : callable
        ``call(estimator, X, y)``, or ``call(y_true, y_pred)`` with the user's labels, or values.
    kind : {"scorer", "score", "loss"}
        Whether `call` is a scorer (higher is better), or a metric function that returns a score
        (higher is better) or a loss.
    problem : {"binary", "multiclass", "regression"}
        Kind of the target.
    classes : ndarray of shape (n_classes,) or None
        The labels behind the codes; None for the codes themselves.
    """

    call: Callable[..., Any]
    kind: Kind
    problem: Problem
    classes: np.ndarray | None = field(default=None, compare=False)

    def __call__(self, y: np.ndarray, predictions: np.ndarray, weight: np.ndarray | None) -> float:
        """Return the loss, lower is better.

        Raises
        ------
        ValueError
            If the callable fails or does not return a finite number.
        """
        name = callable_name(self.call)
        y_true, estimator = y, self._stand_in(predictions)
        if self.problem != "regression":
            y_true = estimator.classes_[y]
        weights = {"sample_weight": weight} if weight is not None and _takes_weights(self.call) else {}
        # Rows without columns: a scorer may count them, and fails if it reads a column.
        X = np.empty((len(y), 0))
        try:
            if self.kind == "scorer":
                result = self.call(estimator, X, y_true, **weights)
            else:
                result = self.call(y_true, estimator.predict(X), **weights)
        except Exception as error:
            raise ValueError(f"The metric {name!r} failed with {type(error).__name__}: {error}") from error
        try:
            number = float(result)
        except (TypeError, ValueError) as error:
            raise ValueError(f"The metric {name!r} must return a number, got {result!r}.") from error
        if not np.isfinite(number):
            raise ValueError(f"The metric {name!r} must return a finite number, got {number}.")
        return number if self.kind == "loss" else -number

    def _stand_in(self, predictions: np.ndarray) -> Any:
        if self.problem == "regression":
            return _StandInRegressor(predictions)
        return _StandInClassifier(
            predictions, np.arange(predictions.shape[1]) if self.classes is None else self.classes
        )


def is_loss(call: Callable[..., Any]) -> bool:
    """Whether lower values of a scorer's metric are better, e.g. ``make_scorer(f, greater_is_better=False)``."""
    return getattr(call, "_sign", 1) < 0


def custom_kind(call: Callable[..., Any]) -> Kind:
    """Return the kind of a callable, by its arguments and its name.

    Raises
    ------
    TypeError
        If it takes neither ``(estimator, X, y)`` nor ``(y_true, y_pred)``, or if its name does
        not end as that of a score or a loss does.
    """
    if hasattr(call, "_score_func"):
        return "scorer"
    name = callable_name(call)
    try:
        parameters = inspect.signature(call).parameters.values()
    except (TypeError, ValueError):
        n_needed = -1
    else:
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        n_needed = sum(part.kind in positional and part.default is part.empty for part in parameters)
    if n_needed == 3:
        return "scorer"
    if n_needed != 2:
        raise TypeError(
            f"The metric {name!r} must take (estimator, X, y), like a scorer of scikit-learn, or (y_true, y_pred)."
        )
    # scikit-learn's convention for the names of metric functions.
    if name.endswith("_score"):
        return "score"
    if name.endswith(("_loss", "_error", "_deviance")):
        return "loss"
    raise TypeError(
        f"Whether higher values of the metric {name!r} are better is not known. "
        f"Pass sklearn.metrics.make_scorer({name}, greater_is_better=...), "
        "or give the function a name that ends in '_score', '_loss' or '_error'."
    )


def callable_name(call: Callable[..., Any]) -> str:
    """Return the name of a metric function, or of the function inside a scorer."""
    inner = inner_function(call)
    return str(getattr(inner, "__name__", type(inner).__name__))


def inner_function(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function inside a scorer and inside a ``functools.partial``, else the callable itself."""
    inner = getattr(call, "_score_func", call)
    return getattr(inner, "func", inner)


def _takes_weights(call: Callable[..., Any]) -> bool:
    try:
        return "sample_weight" in inspect.signature(getattr(call, "_score_func", call)).parameters
    except (TypeError, ValueError):
        return False


class _StandInClassifier(ClassifierMixin, BaseEstimator):
    """Returns predictions that were made before to a scorer."""

    def __init__(self, probabilities: np.ndarray, classes: np.ndarray) -> None:
        self.probabilities = probabilities
        self.classes = classes
        self.classes_ = classes

    def predict_proba(self, X: Any) -> np.ndarray:
        return _all_rows(self.probabilities, X)

    def decision_function(self, X: Any) -> np.ndarray:
        probabilities = _all_rows(self.probabilities, X)
        # Positive where the second class is predicted.
        return probabilities[:, 1] - probabilities[:, 0] if probabilities.shape[1] == 2 else probabilities

    def predict(self, X: Any) -> np.ndarray:
        return self.classes_[_all_rows(self.probabilities, X).argmax(axis=1)]


class _StandInRegressor(RegressorMixin, BaseEstimator):
    """Returns predictions that were made before to a scorer."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def predict(self, X: Any) -> np.ndarray:
        return _all_rows(self.values, X)


def _all_rows(predictions: np.ndarray, X: Any) -> np.ndarray:
    if len(X) != len(predictions):
        raise ValueError(f"A metric must ask for the predictions of all {len(predictions)} rows, not of {len(X)}.")
    return predictions
