"""The best loss of a constant prediction, which is the baseline of every model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# Number of the most frequent classes that are tried as the prediction for every row.
_MOST_CLASSES = 10
# Metrics of quantiles, or with unequal penalties of too high and too low values, have their best constant near one of
# these.
_QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)


def best_constant_loss(
    y: np.ndarray, n_classes: int, sample_weight: np.ndarray | None, loss: Callable[[np.ndarray], float]
) -> float:
    """Return the lowest loss of a prediction that is the same for every row.

    It tries constants that are best for some metric. For classes these are the frequencies, equal probabilities, and
    each of the most frequent classes; for numbers mean, quantiles, midrange, geometric mean, and the middle of the
    densest half.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        Class codes, or values.
    n_classes : int
        Number of classes; 0 for regression.
    sample_weight : ndarray of shape (n_rows,) or None
        Weights of the rows.
    loss : callable
        ``loss(predictions)`` for these rows; infinite if it is not defined.
    """
    weight = np.ones(len(y)) if sample_weight is None or not sample_weight.any() else sample_weight
    constants = _class_constants(y, n_classes, weight) if n_classes else _number_constants(y, weight)
    # One row of probabilities, or one value, for every row.
    return min(loss(np.tile(constant, (len(y), 1) if n_classes else len(y))) for constant in constants)


def _class_constants(y: np.ndarray, n_classes: int, weight: np.ndarray) -> list[np.ndarray]:
    """Return rows of class probabilities."""
    share = np.bincount(y, weights=weight, minlength=n_classes) / weight.sum()
    frequent = np.argsort(-share, kind="stable")[:_MOST_CLASSES]
    return [share, np.full(n_classes, 1.0 / n_classes), *np.eye(n_classes)[frequent]]


def _number_constants(y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return values."""
    order = np.argsort(y, kind="stable")
    values, weights = y[order], weight[order]
    low, high = float(values[0]), float(values[-1])
    constants = [float(np.average(y, weights=weight)), low / 2 + high / 2]
    constants += [_quantile(values, weights, q) for q in _QUANTILES]
    constants.append(_middle_of_densest_half(values, weights))
    if (values != 0).any():
        # The median with inverse weights minimises the relative error.
        with np.errstate(divide="ignore", over="ignore"):
            inverse = np.where(values == 0, 0.0, weights / np.maximum(np.abs(values), np.finfo(float).tiny))
        if np.isfinite(inverse.sum()):
            constants.append(_quantile(values, inverse, 0.5))
    if low > -1:
        constants.append(float(np.expm1(np.average(np.log1p(y), weights=weight))))
    return np.array(sorted(set(constants)))


def _quantile(values: np.ndarray, weights: np.ndarray, share: float) -> float:
    """Return the lowest of the sorted values with a share of the weight at or below it."""
    total = np.cumsum(weights)
    return float(values[min(np.searchsorted(total, share * total[-1]), len(values) - 1)])


def _middle_of_densest_half(values: np.ndarray, weights: np.ndarray) -> float:
    """Return the middle of the shortest interval with half of the weight, which minimises the median absolute error."""
    total = np.cumsum(weights)
    ends = np.searchsorted(total, total - weights + 0.5 * total[-1])
    starts = np.flatnonzero(ends < len(values))
    widths = values[ends[starts]] / 2 - values[starts] / 2
    start = starts[int(np.argmin(widths))]
    return float(values[start] / 2 + values[ends[start]] / 2)
