"""Several metrics of predictions, each with a bootstrap interval, and the confusion matrix."""

# Tests: tests/test_judged_model.py

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from autometa._support.warning_filters import ignored_warnings
from autometa.core.task import Problem
from autometa.evaluation.metrics import Metric, judges_labels
from autometa.posthoc.bootstrap import central_interval, sampled_losses

DEFAULT_METRICS: dict[Problem, tuple[str, ...]] = {
    "binary": (
        "roc_auc",
        "average_precision",
        "log_loss",
        "brier",
        "accuracy",
        "balanced_accuracy",
        "f1",
        "matthews",
    ),
    "multiclass": ("log_loss", "roc_auc", "accuracy", "balanced_accuracy", "f1_macro", "matthews"),
    "regression": ("rmse", "mae", "median_absolute_error", "r2"),
}
"""Metrics of `AutoMeta.evaluate` by default, after that of the fit."""


def metric_table(
    metrics: Sequence[Metric],
    y: np.ndarray,
    predictions: np.ndarray,
    labels: np.ndarray,
    *,
    weight: np.ndarray | None,
    confidence: float,
    seed: int = 0,
) -> pd.DataFrame:
    """Return a row per metric: ``metric``, ``score``, ``low`` and ``high``, in the metric's own units.

    Parameters
    ----------
    metrics : sequence of Metric
        What is measured.
    y : ndarray of shape (n_rows,)
        Class codes or values.
    predictions, labels : ndarray of shape (n_rows, n_classes) or (n_rows,)
        Probabilities for metrics of probabilities, and the predicted labels as probabilities that are 0 or 1 for
        metrics of labels. Both are the values for regression.
    weight : ndarray of shape (n_rows,) or None
        Weights of the rows.
    confidence : float
        Share of the bootstrap samples within the interval.
    seed : int
        Seed of the samples.
    """
    rows = []
    for metric in metrics:
        judged = labels if judges_labels(metric) else predictions
        with ignored_warnings():  # of scikit-learn, about samples that lack a class
            score = metric.score(metric.loss(y, judged, weight))
            losses = sampled_losses(partial(_loss_of, metric, y, judged, weight), len(y), seed)
        low, high = sorted(central_interval(np.array([metric.score(loss) for loss in losses]), confidence))
        rows.append((metric.name, score, low, high))
    return pd.DataFrame(rows, columns=["metric", "score", "low", "high"])


def confusion_table(codes: np.ndarray, predicted: np.ndarray, classes: np.ndarray) -> pd.DataFrame:
    """Return how many rows of each class (index) were predicted as each class (columns)."""
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(counts, (codes, predicted), 1)
    labels = classes.tolist()
    return pd.DataFrame(counts, index=pd.Index(labels, name="true"), columns=pd.Index(labels, name="predicted"))


def _loss_of(metric: Metric, y: np.ndarray, judged: np.ndarray, weight: np.ndarray | None, rows: np.ndarray) -> float:
    return metric.loss_or_inf(y[rows], judged[rows], None if weight is None else weight[rows])
