"""Transform losses so that differences between configurations carry over from one task to another."""

from __future__ import annotations

import numpy as np

# Metrics whose losses lie in [0, 1].
_BOUNDED = ("roc_auc", "balanced_accuracy", "accuracy", "f1", "f1_macro", "f1_weighted", "average_precision")
_RESOLUTION = 0.003
"""Added to both sides of the odds, as a fold of a few hundred rows cannot resolve smaller losses.

Without it, the difference between no error and one would count as much as that between one and thirty.
"""

_LEAST = 1e-4
"""Unbounded losses below this count as this."""


def is_bounded(metric: str) -> bool:
    """Whether losses of a metric lie in [0, 1]."""
    return metric in _BOUNDED


def to_scale(losses: np.ndarray, metric: str) -> np.ndarray:
    """Return log-odds of bounded losses (both sides raised by 0.003), and logarithms of others (at least 0.0001)."""
    losses = np.asarray(losses, dtype=np.float64)
    if is_bounded(metric):
        kept = np.clip(losses, 0.0, 1.0)
        return np.log((kept + _RESOLUTION) / (1 - kept + _RESOLUTION))
    return np.log(np.maximum(losses, _LEAST))


def from_scale(values: np.ndarray, metric: str) -> np.ndarray:
    """Return the losses whose transformed values are given: the inverse of `to_scale`."""
    values = np.asarray(values, dtype=np.float64)
    # Wider bounds would overflow; losses of tasks are far inside.
    values = np.clip(values, -50.0, 50.0)
    if not is_bounded(metric):
        return np.exp(values)
    return np.clip((1 + 2 * _RESOLUTION) / (1 + np.exp(-values)) - _RESOLUTION, 0.0, 1.0)
