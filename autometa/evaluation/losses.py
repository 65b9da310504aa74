"""Losses in plain NumPy, fast enough for thousands of calls in one ensemble selection.

=================  ==============================================================================
``y``              (n_rows,) int64 codes 0 … n_classes − 1, or float64 values
``probabilities``  (n_rows, n_classes), rows that sum to about 1
``values``         (n_rows,) float64
``weight``         (n_rows,) non-negative with a positive sum, or None
``confusion``      (n_classes, n_classes) weight of the rows by true (row) and predicted (column) class
=================  ==============================================================================

Functions called ``…_score`` return a score, whose best value is 1; the others return a loss,
whose best value is 0. The numbers agree with those of scikit-learn. Where scikit-learn raises or
warns because `y` has too few classes, the value is that of a random guess (ROC AUC 0.5).
"""

# Tests: tests/evaluation/test_metrics.py

from __future__ import annotations

from collections.abc import Callable

import numpy as np

EPS = float(np.finfo(np.float64).eps)
# Squares of errors between these bounds, and sums of the squares over all rows, neither overflow nor vanish.
_SMALLEST, _LARGEST = 1e-140, 1e140


# -- probabilities ------------------------------------------------------------------------------


def log_loss(y: np.ndarray, probabilities: np.ndarray, weight: np.ndarray | None) -> float:
    """Return the mean negative log of the probability of the true class, clipped at 2.2e-16."""
    true = probabilities[np.arange(len(y)), y]
    total = probabilities.sum(axis=1)
    # In a row of zeros every class is equally likely.
    share = np.divide(true, total, out=np.full(len(y), 1 / probabilities.shape[1]), where=total > 0)
    return _mean(-np.log(np.clip(share, EPS, 1.0)), weight)


def brier(y: np.ndarray, probabilities: np.ndarray, weight: np.ndarray | None) -> float:
    """Return the mean squared error of the probabilities; of two classes only the second counts."""
    if probabilities.shape[1] == 2:
        return _mean((probabilities[:, 1] - y) ** 2, weight)
    true = probabilities[np.arange(len(y)), y]
    return _mean((probabilities**2).sum(axis=1) - 2 * true + 1, weight)


def roc_auc_score(y: np.ndarray, probabilities: np.ndarray, weight: np.ndarray | None) -> float:
    """Return the area under the ROC curve; with more than two classes the mean of one against the rest."""
    return _one_versus_rest(_binary_roc_auc, 0.5, y, probabilities, weight)


def average_precision_score(y: np.ndarray, probabilities: np.ndarray, weight: np.ndarray | None) -> float:
    """Return the average precision; with more than two classes the mean of one against the rest."""
    return _one_versus_rest(_binary_average_precision, 0.0, y, probabilities, weight)


def _one_versus_rest(
    binary: Callable[[np.ndarray, np.ndarray, np.ndarray | None], float],
    unknown: float,
    y: np.ndarray,
    probabilities: np.ndarray,
    weight: np.ndarray | None,
) -> float:
    """Return the mean of `binary` over the classes that occur in `y`, `unknown` if only one does."""
    n_classes = probabilities.shape[1]
    seen = y if weight is None else y[weight > 0]
    present = np.flatnonzero(np.bincount(seen, minlength=n_classes))
    if len(present) < 2:
        return unknown
    if n_classes == 2:
        return binary(y == 1, probabilities[:, 1], weight)
    return float(np.mean([binary(y == code, probabilities[:, code], weight) for code in present]))


def _binary_roc_auc(positive: np.ndarray, scores: np.ndarray, weight: np.ndarray | None) -> float:
    below, above = _weights_by_score(positive, scores, weight)
    # For each positive row, negative rows below count fully and those with the same score by half.
    negatives_below = np.cumsum(below) - below / 2
    return float(above @ negatives_below / (below.sum() * above.sum()))


def _binary_average_precision(positive: np.ndarray, scores: np.ndarray, weight: np.ndarray | None) -> float:
    negative, positive = _weights_by_score(positive, scores, weight)
    n_positive = np.cumsum(positive[::-1])
    n_predicted = n_positive + np.cumsum(negative[::-1])
    precision = np.divide(n_positive, n_predicted, out=np.zeros_like(n_positive), where=n_predicted > 0)
    return float(precision @ positive[::-1] / n_positive[-1])


def _weights_by_score(
    positive: np.ndarray, scores: np.ndarray, weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of the negative and of the positive rows at each distinct score, ascending."""
    order = np.argsort(scores)
    ordered = scores[order]
    is_positive = positive[order].astype(np.float64)
    mass = np.ones(len(order)) if weight is None else weight[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    if len(starts) == len(order):
        return mass * (1 - is_positive), mass * is_positive
    return np.add.reduceat(mass * (1 - is_positive), starts), np.add.reduceat(mass * is_positive, starts)


# -- labels -------------------------------------------------------------------------------------


def confusion_matrix(y: np.ndarray, probabilities: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """Return the (n_classes, n_classes) weights by true and most probable class; ties go to the first."""
    n_classes = probabilities.shape[1]
    if n_classes == 2:
        predicted = (probabilities[:, 1] > probabilities[:, 0]).astype(np.int64)
    else:
        predicted = probabilities.argmax(axis=1)
    cells = np.bincount(y * n_classes + predicted, weights=weight, minlength=n_classes**2)
    return cells.reshape(n_classes, n_classes).astype(np.float64)


def accuracy_score(confusion: np.ndarray) -> float:
    """Return the share of the rows whose class is predicted."""
    return float(np.trace(confusion) / confusion.sum())


def balanced_accuracy_score(confusion: np.ndarray) -> float:
    """Return the mean recall of the classes that occur in `y`."""
    n_true = confusion.sum(axis=1)
    return float(np.mean(np.diag(confusion)[n_true > 0] / n_true[n_true > 0]))


def precision_score(confusion: np.ndarray) -> float:
    """Return the precision of the second class."""
    return float(_precisions(confusion)[1])


def recall_score(confusion: np.ndarray) -> float:
    """Return the recall of the second class."""
    return float(_recalls(confusion)[1])


def f1_score(confusion: np.ndarray) -> float:
    """Return the F1 score of the second class."""
    return float(_f1(confusion)[1])


def precision_macro_score(confusion: np.ndarray) -> float:
    """Return the mean precision of the classes that occur or are predicted."""
    return float(_precisions(confusion)[_concerned(confusion)].mean())


def recall_macro_score(confusion: np.ndarray) -> float:
    """Return the mean recall of the classes that occur or are predicted."""
    return float(_recalls(confusion)[_concerned(confusion)].mean())


def f1_macro_score(confusion: np.ndarray) -> float:
    """Return the mean F1 score of the classes that occur or are predicted."""
    return float(_f1(confusion)[_concerned(confusion)].mean())


def f1_weighted_score(confusion: np.ndarray) -> float:
    """Return the mean F1 score of the classes, weighted by how often each occurs."""
    return float(np.average(_f1(confusion), weights=confusion.sum(axis=1)))


def matthews_score(confusion: np.ndarray) -> float:
    """Return the Matthews correlation coefficient in [−1, 1]; 0 if it is not defined."""
    n_true, n_predicted, total = confusion.sum(axis=1), confusion.sum(axis=0), confusion.sum()
    spread = (total**2 - n_true @ n_true) * (total**2 - n_predicted @ n_predicted)
    covariance = np.trace(confusion) * total - n_true @ n_predicted
    # Relative to the fourth power of the total, as everything here is of that order.
    return float(covariance / np.sqrt(spread)) if spread > 1e-12 * total**4 else 0.0


def cohen_kappa_score(confusion: np.ndarray) -> float:
    """Return Cohen's kappa in [−1, 1], the agreement beyond chance; 0 if it is not defined."""
    total = confusion.sum()
    by_chance = confusion.sum(axis=1) @ confusion.sum(axis=0) / total**2
    return float((np.trace(confusion) / total - by_chance) / (1 - by_chance)) if by_chance < 1 - 1e-12 else 0.0


def _precisions(confusion: np.ndarray) -> np.ndarray:
    return _ratio(np.diag(confusion), confusion.sum(axis=0))


def _recalls(confusion: np.ndarray) -> np.ndarray:
    return _ratio(np.diag(confusion), confusion.sum(axis=1))


def _f1(confusion: np.ndarray) -> np.ndarray:
    return _ratio(2 * np.diag(confusion), confusion.sum(axis=0) + confusion.sum(axis=1))


def _concerned(confusion: np.ndarray) -> np.ndarray:
    return confusion.sum(axis=0) + confusion.sum(axis=1) > 0


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


# -- values -------------------------------------------------------------------------------------


def mse(y: np.ndarray, values: np.ndarray, weight: np.ndarray | None) -> float:
    """Return the mean squared error, which is infinite where errors are larger than about 1e154."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return _mean((y - values) ** 2, weight)


def rmse(y: np.ndarray, values: np.ndarray, weight: np.ndarray | None) -> float:
    """Return the root of the mean squared error."""
    squared = mse(y, values, weight)
    if _SMALLEST**2 < squared < _LARGEST**2:
        return float(np.sqrt(squared))
    # Squares of 1e200 overflow and those of 1e-200 vanish; relative to the largest error neither does.
    errors = y - values
    largest = float(np.abs(errors).max())
    return largest and largest * float(np.sqrt(_mean((errors / largest) ** 2, weight)))


def mae(y: np.ndarray, values: np.ndarray, weight: np.ndarray | None) -> float:
    """Return the mean absolute error."""
    return _mean(np.abs(y - values), weight)


def median_absolute_error(y: np.ndarray, values: np.ndarray, weight: np.ndarray | None) -> float:
    """Return the (weighted) median of the absolute errors."""
    errors = np.abs(y - values)
    if weight is None:
        return float(np.median(errors))
    order = np.argsort(errors[weight > 0])
    ordered, mass = errors[weight > 0][order], np.cumsum(weight[weight > 0][order])
    half = mass[-1] / 2
    # If two neighbouring rows divide the weights into exact halves, the median is their mean.
    at, after = np.searchsorted(mass, half), np.searchsorted(mass, half, side="right")
    return float((ordered[at] + ordered[min(after, len(ordered) - 1)]) / 2)


def mape(y: np.ndarray, values: np.ndarray, weight: np.ndarray | None) -> float:
    """Return the mean absolute error relative to `y`, as a fraction; zeros in `y` count as 2.2e-16."""
    return _mean(np.abs(y - values) / np.maximum(np.abs(y), EPS), weight)


def msle(y: np.ndarray, values: np.ndarray, weight: np.ndarray | None) -> float:
    """Return the mean squared error of log(1 + y); predictions below zero count as zero."""
    if (lowest := y.min()) < 0:
        raise ValueError(f"The logarithmic error needs a target without negative values, got {lowest}; try 'rmse'.")
    return _mean((np.log1p(y) - np.log1p(np.maximum(values, 0.0))) ** 2, weight)


def rmsle(y: np.ndarray, values: np.ndarray, weight: np.ndarray | None) -> float:
    """Return the root mean squared error of log(1 + y); predictions below zero count as zero."""
    return float(np.sqrt(msle(y, values, weight)))


def r2_score(y: np.ndarray, values: np.ndarray, weight: np.ndarray | None) -> float:
    """Return the explained share of the variance; for a constant `y` 1 if it is predicted exactly, else 0."""
    # R² has no units; relative to the largest value squares neither overflow nor vanish.
    largest = max(float(np.abs(y).max()), float(np.abs(values).max()))
    if largest and not _SMALLEST < largest < _LARGEST:
        y, values = y / largest, values / largest
    left = mse(y, values, weight)
    # The mean of equal values can differ from them in the last digit; the mean of their differences
    # from one of them, which are all zero, cannot.
    differences = y - (y[0] if weight is None else y[np.argmax(weight > 0)])
    spread = mse(differences, np.full(len(y), _mean(differences, weight)), weight)
    if spread == 0:
        return float(left == 0)
    return 1 - left / spread


def _mean(losses: np.ndarray, weight: np.ndarray | None) -> float:
    return float(losses.mean() if weight is None else weight @ losses / weight.sum())
