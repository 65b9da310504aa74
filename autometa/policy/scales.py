"""Losses on a scale on which configurations differ by amounts that carry over between tasks."""

from __future__ import annotations

import numpy as np

# Losses in [0, 1], which get worse ever more slowly towards both ends.
_BOUNDED = ("roc_auc", "balanced_accuracy", "accuracy", "f1", "f1_macro", "f1_weighted", "average_precision")
_LEAST = 1e-4


def is_bounded(metric: str) -> bool:
    """Whether losses of a metric lie in [0, 1]."""
    return metric in _BOUNDED


def to_scale(losses: np.ndarray, metric: str) -> np.ndarray:
    """Return log-odds of losses in [0, 1], logarithms of others; better than 0.0001 counts as that."""
    losses = np.asarray(losses, dtype=np.float64)
    if is_bounded(metric):
        kept = np.clip(losses, _LEAST, 1 - _LEAST)
        return np.log(kept / (1 - kept))
    return np.log(np.maximum(losses, _LEAST))


def from_scale(values: np.ndarray, metric: str) -> np.ndarray:
    """Return the losses behind values of `to_scale`."""
    values = np.asarray(values, dtype=np.float64)
    # Beyond these a double overflows; no loss of a task is out there.
    values = np.clip(values, -50.0, 50.0)
    return 1 / (1 + np.exp(-values)) if is_bounded(metric) else np.exp(values)
