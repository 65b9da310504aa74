"""The threshold that turns the probability of one of two classes into a label, tuned on out-of-fold predictions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from autometa.evaluation.metrics import Metric
from autometa.evaluation.scorers import CustomLoss

_METRICS = frozenset({"balanced_accuracy", "f1", "f1_macro", "f1_weighted", "matthews", "cohen_kappa"})
"""Metrics of labels that a threshold other than a half improves on new rows.

It hardly changes accuracy, and the best threshold of precision or recall alone gives every row the same label.
"""
MOST_ROWS = 2_000
"""A threshold is sought on a sample of at most this many rows."""
N_CANDIDATES = 100
N_SAMPLES = 30
"""The threshold is the mean over this many bootstrap samples: single optima follow the noise of few rows."""


def has_threshold(metric: Metric) -> bool:
    """Return whether a threshold is tuned for a metric: some metrics of labels, and custom functions of labels."""
    custom = isinstance(metric.function, CustomLoss) and metric.function.kind != "scorer"
    return custom or metric.name in _METRICS


def fit_threshold(
    y: np.ndarray,
    probability: np.ndarray,
    loss: Callable[[np.ndarray, np.ndarray, np.ndarray | None], float],
    weight: np.ndarray | None = None,
    seed: int = 0,
    n_samples: int = N_SAMPLES,
) -> float:
    """Return the threshold with the lowest loss of labels, averaged over bootstrap samples of the rows.

    Parameters
    ----------
    y : ndarray of shape (n_rows,), int
        0 and 1.
    probability : ndarray of shape (n_rows,)
        Out-of-fold probability of class 1.
    loss : callable
        ``loss(y, probabilities, weight)`` with probabilities of shape (n_rows, 2) that are 0 or 1;
        infinite where it is not defined.
    weight : ndarray of shape (n_rows,) or None
        Non-negative weights.
    seed : int
        Seed of the samples.
    n_samples : int
        Bootstrap samples; 1 takes the rows themselves.

    Returns
    -------
    float
        In (0, 1): rows with at least this probability get class 1.
    """
    rng = np.random.default_rng(seed)
    if len(y) > MOST_ROWS:
        kept = rng.choice(len(y), MOST_ROWS, replace=False)
        y, probability, weight = y[kept], probability[kept], None if weight is None else weight[kept]
    n_rows = len(y)
    candidates = np.unique(np.quantile(probability, np.linspace(0, 1, N_CANDIDATES)))
    candidates = (candidates[1:] + candidates[:-1]) / 2 if len(candidates) > 1 else np.array([0.5])
    best = []
    for _ in range(n_samples):
        sample = rng.integers(n_rows, size=n_rows) if n_samples > 1 else np.arange(n_rows)
        if np.ptp(y[sample]) == 0:
            continue
        weight_of_sample = None if weight is None else weight[sample]
        losses = [loss(y[sample], labels_at(probability[sample], t), weight_of_sample) for t in candidates]
        if not np.isfinite(np.min(losses)):
            continue
        best.append(float(candidates[np.isclose(losses, np.min(losses), rtol=0, atol=1e-12)].mean()))
    return float(np.mean(best)) if best else 0.5


def labels_at(probability: np.ndarray, threshold: float) -> np.ndarray:
    """Return labels as probabilities that are 0 or 1, shape (n_rows, 2)."""
    is_positive = (probability >= threshold).astype(np.float64)
    return np.column_stack([1 - is_positive, is_positive])
