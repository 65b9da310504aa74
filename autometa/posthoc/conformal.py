"""Prediction intervals and sets with a stated coverage, from out-of-fold predictions.

A score says how far an out-of-fold prediction was from the truth. The quantile of these scores that leaves out a share
``1 - coverage`` of the rows, counted with one more row, bounds the score of a new row drawn from the same distribution:

============  =====================================================  ==================================
problem       score of a row                                         what is returned
============  =====================================================  ==================================
regression    ``|y - f(x)| / s(x)``                                  ``f(x) ± s(x) × quantile``
classes       ``1 - p(class)``                                       all classes of at most the quantile
============  =====================================================  ==================================

``s(x)`` is the expected size of the error: it grows with how much the members of the ensemble disagree about a row and
with the prediction, so that the width follows the difficulty of a row.

References
----------
Barber, Candès, Ramdas & Tibshirani (2021), Predictive inference with the jackknife+.
Lei, G'Sell, Rinaldo, Tibshirani & Wasserman (2018), Distribution-free predictive inference for
regression (scores divided by a scale).
Sadinle, Lei & Wasserman (2019), Least ambiguous set-valued classifiers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_N_GROUPS = 10
_LEAST_IN_GROUP = 50
_LEAST_SCALE = 0.1
"""The scale of a row is at least this share of the mean absolute error."""
_N_PARTS = 5


@dataclass(frozen=True)
class ErrorScale:
    """Expected absolute error of a row: the geometric mean of two lines through the means of groups of equal size.

    Parameters
    ----------
    spread, spread_error : ndarray of shape (n_groups,)
        How much the members disagree (mean of each group, ascending), and the mean absolute error there.
    prediction, prediction_error : ndarray of shape (n_groups,)
        The same by the size of the prediction.
    """

    spread: np.ndarray
    spread_error: np.ndarray
    prediction: np.ndarray
    prediction_error: np.ndarray

    def at(self, prediction: np.ndarray, spread: np.ndarray) -> np.ndarray:
        """Return the expected absolute error; outside the groups it stays that of the outermost one."""
        by_spread = np.interp(spread, self.spread, self.spread_error)
        return np.sqrt(by_spread * np.interp(prediction, self.prediction, self.prediction_error))


@dataclass(frozen=True)
class Intervals:
    """Scores and scale that intervals of any coverage are made from.

    Parameters
    ----------
    scale : ErrorScale
        Fitted on all out-of-fold rows.
    scores : ndarray of shape (n_rows,)
        Absolute errors divided by scales that were fitted without the row, ascending.
    """

    scale: ErrorScale
    scores: np.ndarray

    def around(self, prediction: np.ndarray, spread: np.ndarray, coverage: float) -> np.ndarray:
        """Return lower and upper bounds, shape (n_rows, 2).

        Raises
        ------
        ValueError
            If there are too few scores for the coverage.
        """
        half = conformal_quantile(self.scores, coverage) * self.scale.at(prediction, spread)
        return np.column_stack([prediction - half, prediction + half])


def fit_intervals(y: np.ndarray, prediction: np.ndarray, spread: np.ndarray, seed: int = 0) -> Intervals:
    """Return the scale and the scores of prediction intervals.

    Parameters
    ----------
    y, prediction, spread : ndarray of shape (n_rows,)
        Values, out-of-fold predictions, and standard deviations of the members' out-of-fold predictions.
    seed : int
        Seed of the five parts, of which the scale of four serves the scores of the fifth.
    """
    scores = np.empty(len(y))
    part = np.random.default_rng(seed).permutation(len(y)) % _N_PARTS
    error = np.abs(y - prediction)
    for k in range(_N_PARTS):
        inside, outside = (part != k, part == k) if len(y) >= _N_PARTS else (slice(None), part == k)
        scale = _fit_scale(error[inside], prediction[inside], spread[inside])
        scores[outside] = error[outside] / scale.at(prediction[outside], spread[outside])
    return Intervals(_fit_scale(error, prediction, spread), np.sort(scores))


def class_scores(y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return ``1 - p`` of each row's own class, ascending: what prediction sets are made from."""
    return np.sort(1 - probabilities[np.arange(len(y)), y])


def class_sets(probabilities: np.ndarray, scores: np.ndarray, coverage: float) -> np.ndarray:
    """Return a mask of the classes in each row's set, shape (n_rows, n_classes); no set is empty.

    Raises
    ------
    ValueError
        If there are too few scores for the coverage.
    """
    inside = 1 - probabilities <= conformal_quantile(scores, coverage)
    inside[np.arange(len(probabilities)), probabilities.argmax(axis=1)] = True
    return inside


def least_rows(coverage: float) -> int:
    """Return how many rows can promise a coverage: with fewer, no score is large enough.

    Examples
    --------
    >>> least_rows(0.9), least_rows(0.99)
    (9, 99)
    """
    return math.ceil(round(coverage / (1 - coverage), 9))


def conformal_quantile(scores: np.ndarray, coverage: float) -> float:
    """Return the smallest score that at least ``coverage × (n + 1)`` of the scores do not exceed.

    Raises
    ------
    ValueError
        If there are too few scores for the coverage.
    """
    n = len(scores)
    rank = math.ceil(round(coverage * (n + 1), 9))
    if rank > n:
        raise ValueError(
            f"A coverage of {coverage} needs at least {least_rows(coverage)} rows with out-of-fold predictions, and "
            f"there are {n}. Ask for less coverage, at most {n / (n + 1):.3g}, or fit on more rows."
        )
    return float(np.partition(scores, rank - 1)[rank - 1])


def _fit_scale(error: np.ndarray, prediction: np.ndarray, spread: np.ndarray) -> ErrorScale:
    least = _LEAST_SCALE * error.mean() or 1.0  # no error at all: any scale will do
    return ErrorScale(*_grouped(spread, error, least), *_grouped(prediction, error, least))


def _grouped(quantity: np.ndarray, error: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean quantity and the mean error of groups of rows, by the quantity."""
    n_groups = max(1, min(_N_GROUPS, len(quantity) // _LEAST_IN_GROUP))
    groups = np.array_split(np.argsort(quantity, kind="stable"), n_groups)
    means = np.array([(quantity[group].mean(), max(error[group].mean(), least)) for group in groups])
    return means[:, 0], means[:, 1]
