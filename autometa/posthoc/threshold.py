"""The threshold that turns the probability of one of two classes into a label, tuned on out-of-fold predictions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_N_CANDIDATES = 200
_N_SAMPLES = 30
"""The threshold is the mean over this many bootstrap samples of the rows: single optima follow the noise of few rows."""


def fit_threshold(
    y: np.ndarray,
    probability: np.ndarray,
    loss: Callable[[np.ndarray, np.ndarray, np.ndarray | None], float],
    weight: np.ndarray | None = None,
    seed: int = 0,
) -> float:
    """Return the threshold with the lowest loss of labels, averaged over bootstrap samples of the rows.

    Parameters
    ----------
    y : ndarray of shape (n_rows,), int
        0 and 1.
    probability : ndarray of shape (n_rows,)
        Out-of-fold probability of class 1.
    loss : callable
        ``loss(y, probabilities, weight)`` with probabilities of shape (n_rows, 2) that are 0 or 1.
    weight : ndarray of shape (n_rows,) or None
        Non-negative weights.
    seed : int
        Seed of the samples.

    Returns
    -------
    float
        In (0, 1): rows with at least this probability get class 1.
    """
    rng = np.random.default_rng(seed)
    n_rows = len(y)
    candidates = np.unique(np.quantile(probability, np.linspace(0, 1, _N_CANDIDATES)))
    candidates = (candidates[1:] + candidates[:-1]) / 2 if len(candidates) > 1 else np.array([0.5])
    best = []
    for _ in range(_N_SAMPLES):
        sample = rng.integers(n_rows, size=n_rows)
        if np.ptp(y[sample]) == 0:
            continue
        weight_of_sample = None if weight is None else weight[sample]
        losses = [loss(y[sample], labels_at(probability[sample], t), weight_of_sample) for t in candidates]
        best.append(float(candidates[np.isclose(losses, np.min(losses), rtol=0, atol=1e-12)].mean()))
    return float(np.mean(best)) if best else 0.5


def labels_at(probability: np.ndarray, threshold: float) -> np.ndarray:
    """Return labels as probabilities that are 0 or 1, shape (n_rows, 2)."""
    is_positive = (probability >= threshold).astype(np.float64)
    return np.column_stack([1 - is_positive, is_positive])
