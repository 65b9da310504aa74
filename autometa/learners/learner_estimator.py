"""Learners of autometa as scikit-learn estimators on prepared rows."""
# Tests: tests/test_pipelines.py

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, column_or_1d

from autometa._support.machine import jobs_at_a_time
from autometa._support.numeric_threads import numeric_threads
from autometa.core.task import Problem
from autometa.learners import learner_named
from autometa.learners.base import FitData


class _LearnerEstimator(BaseEstimator):
    """Fits a learner on rows that a `TablePreparation` has prepared.

    Parameters
    ----------
    learner : str
        Name of the learner, e.g. ``"neural_network"``.
    n_iterations : int or None, default=None
        Epochs or boosting rounds of learners that have them; None for the learner's own number.
    n_jobs : int or None, default=1
        Threads of a fit.
    random_state : int, RandomState or None, default=0
        Seed of the fit.
    **parameters
        Hyperparameters of the learner, which ``set_params`` changes like the others.
    """

    def __init__(
        self,
        learner: str,
        *,
        n_iterations: int | None = None,
        n_jobs: int | None = 1,
        random_state: int | np.random.RandomState | None = 0,
        **parameters: Any,
    ) -> None:
        self.learner = learner
        self.n_iterations = n_iterations
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.parameters = parameters

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters, those of the learner included."""
        return {**super().get_params(deep), **self.parameters}

    def set_params(self, **params: Any) -> Self:
        """Set parameters; those of the learner have to be among the present ones."""
        own = {name: params.pop(name) for name in list(params) if name in self.parameters}
        super().set_params(**params)
        self.parameters = {**self.parameters, **own}
        return self

    def _fit(self, X: Any, y: np.ndarray, problem: Problem, n_classes: int, sample_weight: Any) -> Self:
        learner = learner_named(self.learner)
        rows, sizes = _as_rows(X)
        weight = None
        if sample_weight is not None:
            weight = _check_sample_weight(sample_weight, rows, dtype=np.float64, ensure_non_negative=True)
            weight = weight / weight.mean()
        data = FitData(
            X=rows,
            y=y,
            problem=problem,
            n_classes=n_classes,
            categorical=sizes > 0,
            n_categories=sizes,
            sample_weight=weight,
            seed=int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max)),
            n_threads=jobs_at_a_time(self.n_jobs),
            n_iterations=self.n_iterations,
        )
        with numeric_threads(data.n_threads):
            self.model_ = learner.fit(data, self.parameters)
        self.n_features_in_ = rows.shape[1]
        return self

    def _predictions(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "model_")
        rows, _ = _as_rows(X)
        if rows.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {rows.shape[1]} features, but {type(self).__name__} is expecting {self.n_features_in_}."
            )
        predictions: np.ndarray = self.model_.predict(rows, jobs_at_a_time(self.n_jobs))
        return predictions


class LearnerClassifier(ClassifierMixin, _LearnerEstimator):  # noqa: D101  # the base's docstring
    __doc__ = _LearnerEstimator.__doc__

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the learner to labels of any type."""
        y = column_or_1d(y)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"Classification needs at least 2 classes, got {self.classes_.tolist()}.")
        problem: Problem = "binary" if len(self.classes_) == 2 else "multiclass"
        return self._fit(X, codes.astype(np.int64), problem, len(self.classes_), sample_weight)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return probabilities of shape (n_rows, n_classes), in the order of ``classes_``."""
        return self._predictions(X)

    def predict(self, X: Any) -> np.ndarray:
        """Return the likeliest label of each row."""
        labels: np.ndarray = self.classes_[self._predictions(X).argmax(axis=1)]
        return labels


class LearnerRegressor(RegressorMixin, _LearnerEstimator):  # noqa: D101  # the base's docstring
    __doc__ = _LearnerEstimator.__doc__

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the learner to numbers."""
        return self._fit(X, column_or_1d(y).astype(np.float64), "regression", 0, sample_weight)

    def predict(self, X: Any) -> np.ndarray:
        """Return a value for each row."""
        return self._predictions(X)


def _as_rows(X: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return prepared rows as float32, and the number of levels of each column; 0 for numbers."""
    if not isinstance(X, pd.DataFrame):
        rows = np.ascontiguousarray(X, dtype=np.float32)
        return rows, np.zeros(rows.shape[1], dtype=np.int64)
    columns, sizes = [], []
    for _, column in X.items():
        if isinstance(column.dtype, pd.CategoricalDtype):
            codes = column.cat.codes.to_numpy().astype(np.float32)
            columns.append(np.where(codes < 0, np.float32(np.nan), codes))
            sizes.append(len(column.cat.categories))
        else:
            columns.append(column.to_numpy(dtype=np.float32))
            sizes.append(0)
    return np.ascontiguousarray(np.column_stack(columns)), np.array(sizes, dtype=np.int64)
