"""Losses on a scale on which configurations differ by amounts that carry over between tasks."""

from __future__ import annotations

import numpy as np

# Losses in [0, 1], which get worse ever more slowly towards both ends.
_BOUNDED = ("roc_auc", "balanced_accuracy", "accuracy", "f1", "f1_macro", "f1_weighted", "average_precision")
# A fold of some hundred rows cannot tell smaller losses apart: without it, the difference between no
# error and one error would count as much as that between one and thirty.
_RESOLUTION = 0.003
_LEAST = 1e-4


def is_bounded(metric: str) -> bool:
    """Whether losses of a metric lie in [0, 1]."""
    return metric in _BOUNDED


def to_scale(losses: np.ndarray, metric: str) -> np.ndarray:
    """Return log-odds of losses in [0, 1], both sides raised by 0.003; logarithms of others, at least of 0.0001."""
    losses = np.asarray(losses, dtype=np.float64)
    if is_bounded(metric):
        kept = np.clip(losses, 0.0, 1.0)
        return np.log((kept + _RESOLUTION) / (1 - kept + _RESOLUTION))
    return np.log(np.maximum(losses, _LEAST))


def from_scale(values: np.ndarray, metric: str) -> np.ndarray:
    """Return the losses behind values of `to_scale`."""
    values = np.asarray(values, dtype=np.float64)
    # Beyond these a double overflows; no loss of a task is out there.
    values = np.clip(values, -50.0, 50.0)
    if not is_bounded(metric):
        return np.exp(values)
    return np.clip((1 + 2 * _RESOLUTION) / (1 + np.exp(-values)) - _RESOLUTION, 0.0, 1.0)
