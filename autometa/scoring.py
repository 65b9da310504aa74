"""The score of an estimator's predictions, as its method `score` returns it."""

# Tests: tests/test_estimators.py

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, r2_score

from autometa.evaluation.metrics import Metric
from autometa.tables.target import read_codes, read_values


def score_predictions(
    predictions: np.ndarray,
    y: Any,
    sample_weight: Any,
    *,
    classes: np.ndarray | None,
    number_format: Any,
    metric: Metric | None,
) -> float:
    """Return how good predictions are, higher is better.

    Parameters
    ----------
    predictions : ndarray of shape (n_rows, n_classes) or (n_rows,)
        Class probabilities, or values.
    y : array of shape (n_rows,)
        The true labels or values, as the caller gave them.
    sample_weight : array of shape (n_rows,) or None
        Weights of the rows.
    classes : ndarray of shape (n_classes,) or None
        Sorted labels; None for regression.
    number_format : NumberFormat or None
        How text in `y` is read as numbers.
    metric : Metric or None
        The metric to use; None for accuracy or R².

    Raises
    ------
    ValueError
        If `y` holds labels that are not in `classes`, and the metric cannot judge them.
    """
    n_rows = len(predictions)
    truth = read_values(y, n_rows, number_format) if classes is None else read_codes(y, n_rows, classes)
    if metric is None and classes is not None:
        return float(accuracy_score(truth, predictions.argmax(axis=1), sample_weight=sample_weight))
    if metric is None:
        # R² has no units; without this division squares of the largest floats overflow.
        unit = float(np.abs(truth).max()) or 1.0
        return float(r2_score(truth / unit, predictions / unit, sample_weight=sample_weight))
    if classes is not None:
        _refuse_unknown(y, truth)
    weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    return float(metric.best - metric.loss(truth, predictions, weight))


def read_truth(y: Any, n_rows: int, classes: np.ndarray | None, number_format: Any) -> np.ndarray:
    """Return the class codes or values of a target given after the fit.

    Parameters
    ----------
    y, classes, number_format
        As for `score_predictions`.
    n_rows : int
        Number of rows that y must have.

    Raises
    ------
    ValueError, TypeError
        If `y` is not such a target, or holds labels that are not in `classes`.
    """
    if classes is None:
        return read_values(y, n_rows, number_format)
    codes = read_codes(y, n_rows, classes)
    _refuse_unknown(y, codes)
    return codes


def _refuse_unknown(y: Any, codes: np.ndarray) -> None:
    if (codes < 0).any():
        unknown = np.unique(np.asarray(y, dtype=object)[codes < 0].astype(str))[:5].tolist()
        raise ValueError(
            f"y holds labels that were not in fit: {unknown}. Leave these rows out, or fit on rows of every class, "
            "as cross-validation does when it is stratified."
        )
