"""Methods of a fitted estimator that judge it: expected score, importances, several metrics, its best trial."""

# Tests: tests/test_judged_model.py

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from autometa._support.numbers import is_whole_number
from autometa._support.process_state import kept_process_state
from autometa.ensemble.out_of_fold import OutOfFold
from autometa.evaluation.metrics import Metric, resolve_metric
from autometa.fit_inputs import warn_if_reordered
from autometa.fitted_model import FittedModel, known_problem
from autometa.posthoc.bootstrap import check_confidence
from autometa.posthoc.importance import MOST_ROWS, column_importances
from autometa.posthoc.metric_table import DEFAULT_METRICS, confusion_table, metric_table
from autometa.posthoc.score_estimate import ScoreEstimate
from autometa.posthoc.threshold import labels_at
from autometa.report import model_summary
from autometa.scoring import read_truth
from autometa.search.trial_records import COMPLETE
from autometa.tables.cleaning import clean
from autometa.tables.inputs import as_frame


@dataclass(frozen=True)
class HeldOutRows:
    """A sample of the rows of the fit, which importances are measured on.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
        The rows before cleaning.
    y : ndarray of shape (n_rows,)
        Class codes or values.
    weight : ndarray of shape (n_rows,) or None
        Weights.
    folds : ndarray of shape (n_rows,), int
        Fold that validates each row.
    """

    frame: pd.DataFrame
    y: np.ndarray
    weight: np.ndarray | None
    folds: np.ndarray


def held_out_rows(
    out_of_fold: OutOfFold | None, frame: pd.DataFrame, y: np.ndarray, sample_weight: Any
) -> HeldOutRows | None:
    """Return at most `MOST_ROWS` of the rows with out-of-fold predictions; None without any."""
    if out_of_fold is None or out_of_fold.folds is None:
        return None
    chosen = _sampled(len(out_of_fold.rows))
    rows = out_of_fold.rows[chosen]
    weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)[rows]
    # pandas cannot take rows of numbers in the byte order of other machines.
    swapped = {
        name: t.newbyteorder("=") for name, t in frame.dtypes.items() if isinstance(t, np.dtype) and not t.isnative
    }
    frame = frame.astype(swapped) if swapped else frame
    return HeldOutRows(frame.iloc[rows].reset_index(drop=True), y[rows], weight, out_of_fold.folds[chosen])


def _has_classes(model: Any) -> bool:
    if known_problem(model) == "regression":
        raise AttributeError("A confusion matrix exists for classification only; y is a regression target.")
    return True


class JudgedModel(FittedModel, BaseEstimator):
    """Methods of a fitted estimator that judge it."""

    classes_: np.ndarray
    metric: str | Callable[..., Any]
    _metric: Metric
    # Defaults for models in files, which do not keep rows, or are of earlier versions.
    _score_estimate: ScoreEstimate | None = None
    _held_out: HeldOutRows | None = None

    def expected_score(self, confidence: float = 0.9) -> pd.Series:
        """Return the score of the metric to expect on new rows, with an interval.

        The score of the ensemble on its out-of-fold rows is a little too good, because its weights were chosen on them.
        This optimism is measured by cross-fitting: trials are ranked and weights chosen again on four fifths of the
        rows and judged on the other fifth, five times, or fewer where the time was short. The interval is a bootstrap
        over the out-of-fold rows, or over their groups. It is for new rows that are drawn like those of `fit`, and
        holds the models fixed.

        Parameters
        ----------
        confidence : float, default=0.9
            Of the interval, in (0, 1).

        Returns
        -------
        Series
            ``score``, ``low``, ``high``, ``validation_score`` (before the correction) and ``optimism`` (the correction,
            >= 0), in the metric's own units. Its name is that of the metric.

        Raises
        ------
        ValueError
            If `confidence` is not in (0, 1), or the model has no estimate.
        """
        check_is_fitted(self, "predictor_")
        check_confidence(confidence)
        if self._score_estimate is None:
            raise ValueError(
                "The fit made no estimate of the score: y was constant, there were fewer than five rows or groups with "
                "out-of-fold predictions, the metric was not defined on them, or the model comes from a file of an "
                "earlier version. Use evaluate(X, y) with rows that fit has not seen."
            )
        return self._score_estimate.as_series(self._metric, confidence)

    def evaluate(
        self,
        X: Any,
        y: Any,
        metrics: Sequence[str | Callable[..., Any]] | None = None,
        *,
        sample_weight: Any = None,
        confidence: float = 0.9,
    ) -> pd.DataFrame:
        """Return several metrics of predictions for rows that `fit` has not seen, with bootstrap intervals.

        Metrics of labels judge what `predict` returns, the others probabilities.

        Parameters
        ----------
        X : like in `predict`
            The rows.
        y : array of shape (n_rows,)
            The true labels or values.
        metrics : sequence of str or callable, or None
            As the parameter `metric` of the estimator; None is the metric of the fit and the usual ones.
        sample_weight : array of shape (n_rows,), optional
            Weights of the rows.
        confidence : float, default=0.9
            Of the intervals, in (0, 1).

        Returns
        -------
        DataFrame
            A row per metric: ``metric``, and ``score``, ``low`` and ``high`` in its own units and usual direction.

        Raises
        ------
        ValueError
            If a metric does not fit the problem, y holds labels that were not in `fit`, or a weight is missing or
            negative.
        """
        check_is_fitted(self, "predictor_")
        check_confidence(confidence)
        chosen = self._metrics(metrics)
        predictions = self._predict(X)
        truth = self._truth(X, y, len(predictions))
        weight = None
        if sample_weight is not None:
            weight = _check_sample_weight(sample_weight, truth, dtype=np.float64, ensure_non_negative=True)
        labels = self._as_labels(predictions)
        return metric_table(chosen, truth, predictions, labels, weight=weight, confidence=confidence)

    @available_if(_has_classes)
    def confusion(self, X: Any, y: Any) -> pd.DataFrame:
        """Return how many rows of each class were predicted as each class.

        Parameters
        ----------
        X, y
            As in `evaluate`.

        Returns
        -------
        DataFrame of shape (n_classes, n_classes)
            True classes in the index, predicted ones in the columns.
        """
        predictions = self._predict(X)
        truth = self._truth(X, y, len(predictions))
        return confusion_table(truth, self._adjustments.codes(predictions), self.classes_)

    def feature_importances(
        self, X: Any = None, y: Any = None, *, n_repeats: int = 5, confidence: float = 0.9
    ) -> pd.DataFrame:
        """Return by how much the score falls when the values of a column are permuted.

        Columns are those of X before any preparation: a text or date column counts once. Without X and y, the rows are
        out-of-fold rows of `fit`, each predicted by models that were not fitted on it. At most 1,000 rows are used.
        The importances of columns that say the same are low, as each can replace the other.

        Parameters
        ----------
        X : like in `predict`, optional
            Rows that `fit` has not seen.
        y : array of shape (n_rows,), optional
            Their labels or values.
        n_repeats : int, default=5
            Permutations of each column, >= 1; the time is that of ``n_columns * n_repeats`` predictions.
        confidence : float, default=0.9
            Of the intervals, in (0, 1).

        Returns
        -------
        DataFrame
            ``column``; ``importance``: fall of the score in units of the metric of the fit (for a loss its rise);
            ``low`` and ``high``: interval over rows and permutations. The most important column comes first; columns
            that were left out have 0.

        Raises
        ------
        ValueError
            If X comes without y, or neither is given and the model has no rows of the fit.
        """
        check_is_fitted(self, "predictor_")
        check_confidence(confidence)
        if not is_whole_number(n_repeats) or n_repeats < 1:
            raise ValueError(f"n_repeats must be a whole number >= 1, got {n_repeats!r}.")
        if (X is None) != (y is None):
            missing, given = ("y", "X") if y is None else ("X", "y")
            raise ValueError(f"Importances need the rows and their target: {given} came without {missing}. Give both.")
        rows = self._stored_rows() if X is None else self._given_rows(X, y)
        out_of_fold = self._out_of_fold

        def predict(frame: pd.DataFrame) -> np.ndarray:
            if X is not None or out_of_fold is None:
                return self._as_scored(self._predict_cleaned(clean(frame, self._schema)))
            with kept_process_state():
                predictions = out_of_fold.predict(clean(frame, self._schema), rows.folds)
            return self._as_scored(self._adjusted(predictions))

        def loss(chosen: np.ndarray, predictions: np.ndarray) -> float:
            weight = None if rows.weight is None else rows.weight[chosen]
            return self._metric.loss_or_inf(rows.y[chosen], predictions, weight)

        self._metric.loss(rows.y, predict(rows.frame), rows.weight)  # raises if the metric is not there
        return column_importances(
            predict, rows.frame, list(self._schema.kinds), loss, n_repeats=n_repeats, confidence=confidence, seed=0
        )

    @property
    def best_score_(self) -> float:
        """Mean score over the folds of the best single trial, higher is better (negated for losses)."""
        return float(self._metric.best - self._best_trial()["loss"])

    @property
    def best_params_(self) -> dict[str, Any]:
        """Strategy and hyperparameters of the best single trial."""
        trial = self._best_trial()
        return {"strategy": trial["strategy"], **trial["parameters"]}

    def __str__(self) -> str:
        """Return a summary of the fit; before it the parameters, as `repr` does."""
        return model_summary(self) if self.__sklearn_is_fitted__() else repr(self)

    def _html_repr(self) -> str:
        """Return scikit-learn's diagram, below a summary of the fit."""
        diagram: str = super()._html_repr()
        if not self.__sklearn_is_fitted__():
            return diagram
        return f"<pre>{escape(model_summary(self))}</pre>{diagram}"

    def _best_trial(self) -> dict[str, Any]:
        check_is_fitted(self, "predictor_")
        complete = [trial for trial in self.history_.trials if trial["status"] in COMPLETE]
        if not complete:
            raise AttributeError(
                f"There is no best trial: none was measured on every fold ({self.history_.stop_reason})."
            )
        return min(complete, key=lambda trial: trial["loss"])

    def _metrics(self, metrics: Sequence[str | Callable[..., Any]] | None) -> list[Metric]:
        if isinstance(metrics, str) or callable(metrics):
            raise TypeError(f"metrics must be a list, e.g. metrics=[{metrics!r}], got {metrics!r}.")
        classes, pos_label = getattr(self, "classes_", None), getattr(self, "pos_label", None)
        if metrics is None:
            own = [] if callable(self.metric) and type(self.metric).__name__ == "LostScorer" else [self._metric]
            usual = [name for name in DEFAULT_METRICS[self.problem_] if name != self._metric.name]
            return own + [resolve_metric(name, self.problem_, classes, pos_label) for name in usual]
        if not len(metrics):
            raise ValueError("metrics is empty; name at least one, or pass None for the usual ones.")
        return [
            resolve_metric(metric, self.problem_, classes, None if callable(metric) else pos_label)
            for metric in metrics
        ]

    def _truth(self, X: Any, y: Any, n_rows: int) -> np.ndarray:
        warn_if_reordered(X, y, "y")
        classes = None if self.problem_ == "regression" else self.classes_
        return read_truth(y, n_rows, classes, getattr(self, "_number_format", None))

    def _stored_rows(self) -> HeldOutRows:
        if self._held_out is None:
            raise ValueError(
                "The model holds no rows of its fit: a file written by `save` does not keep them, and a constant y has "
                "no out-of-fold predictions. Give X and y, rows that fit has not seen."
            )
        return self._held_out

    def _given_rows(self, X: Any, y: Any) -> HeldOutRows:
        frame = as_frame(X, self._schema.columns, self.n_features_in_, owner=type(self).__name__)
        truth = self._truth(X, y, len(frame))
        chosen = _sampled(len(frame))
        return HeldOutRows(frame.iloc[chosen].reset_index(drop=True), truth[chosen], None, np.zeros(len(chosen)))

    def _as_labels(self, predictions: np.ndarray) -> np.ndarray:
        """Return the labels of `predict` as probabilities that are 0 or 1; values as they are."""
        if self.problem_ == "regression":
            return predictions
        return np.eye(len(self.classes_))[self._adjustments.codes(predictions)]

    def _as_scored(self, predictions: np.ndarray) -> np.ndarray:
        """Return predictions as `score` gives them to the metric of the fit."""
        threshold = self._adjustments.threshold
        return predictions if threshold is None else labels_at(predictions[:, 1], threshold)


def _sampled(n_rows: int) -> np.ndarray:
    if n_rows <= MOST_ROWS:
        return np.arange(n_rows)
    return np.sort(np.random.default_rng(0).choice(n_rows, MOST_ROWS, replace=False))
