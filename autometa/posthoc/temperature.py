"""Temperature scaling of class probabilities, fitted on out-of-fold predictions.

Probabilities ``p`` become ``softmax(log(p) / T)``: more cautious for ``T > 1``, bolder for ``T < 1``. The most probable
class stays the same, and so does the order of rows by the probability of one of two classes, with it ROC AUC.

References
----------
Guo, Pleiss, Sun & Weinberger (2017), On calibration of modern neural networks, ICML.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, softmax

LEAST_ROWS = 200
"""Out-of-fold rows below which no temperature is fitted."""
_BOUNDS = (0.25, 4.0)
_LEAST_PROBABILITY = 1e-7
_N_PARTS = 10
_LEAST_T = 1.0
"""The mean gain on rows left out has to be this many times its standard error."""


def fit_temperature(y: np.ndarray, probabilities: np.ndarray, weight: np.ndarray | None = None, seed: int = 0) -> float:
    """Return the temperature that improves the log loss of rows that it was not fitted on, else 1.

    The rows are divided into ten parts. The temperature of nine parts is tried on the tenth; only if the log loss
    falls by more than its standard error over all rows, the temperature of all rows is returned.

    Parameters
    ----------
    y : ndarray of shape (n_rows,), int
        Class codes.
    probabilities : ndarray of shape (n_rows, n_classes)
        Out-of-fold predictions.
    weight : ndarray of shape (n_rows,) or None
        Non-negative weights.
    seed : int
        Seed of the division into parts.

    Returns
    -------
    float
        In [0.25, 4]; 1 changes nothing.
    """
    n_rows = len(y)
    if n_rows < LEAST_ROWS:
        return 1.0
    weight = np.ones(n_rows) if weight is None else weight
    scores = _log(probabilities)
    part = np.random.default_rng(seed).permutation(n_rows) % _N_PARTS
    gains = np.empty(n_rows)
    before = _log_losses(y, scores, 1.0)
    for k in range(_N_PARTS):
        inside, outside = part != k, part == k
        temperature = _best(y[inside], scores[inside], weight[inside])
        gains[outside] = before[outside] - _log_losses(y[outside], scores[outside], temperature)
    mean = np.average(gains, weights=weight)
    error = np.sqrt(np.average((gains - mean) ** 2, weights=weight) / n_rows)
    return _best(y, scores, weight) if mean > _LEAST_T * error else 1.0


def with_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Return ``softmax(log(p) / T)`` of each row; the same array for a temperature of 1.

    Examples
    --------
    >>> with_temperature(np.array([[0.9, 0.1]]), 2.0).round(2).tolist()
    [[0.75, 0.25]]
    """
    return probabilities if temperature == 1 else softmax(_log(probabilities) / temperature, axis=1)


def _log(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(np.asarray(probabilities, dtype=np.float64), _LEAST_PROBABILITY))


def _log_losses(y: np.ndarray, scores: np.ndarray, temperature: float) -> np.ndarray:
    scaled = scores / temperature
    return logsumexp(scaled, axis=1) - scaled[np.arange(len(y)), y]


def _best(y: np.ndarray, scores: np.ndarray, weight: np.ndarray) -> float:
    """Return the temperature with the lowest weighted log loss; the loss has one minimum in ``1 / T``."""

    def loss(log_temperature: float) -> float:
        return float(np.average(_log_losses(y, scores, np.exp(log_temperature)), weights=weight))

    found = minimize_scalar(loss, bounds=tuple(np.log(_BOUNDS)), method="bounded", options={"xatol": 1e-3})
    return float(np.exp(found.x))
