"""Functions shared by learners of the numeric view: bounds, samples, target scales, probabilities, the linear model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from autometa._support.numeric_threads import openmp_threads
from autometa.learners.base import FitData

LARGEST_INPUT = 1e3
"""Inputs are clipped to ±this. Columns have about unit variance, so only faulty or
adversarial values lie beyond, and their squares must not overflow float32."""

BLOCK_CELLS = 2**21
"""Number of cells of a large table that are copied at a time."""


def bounded(X: np.ndarray) -> np.ndarray:
    """Return `X` itself when every value is within ±LARGEST_INPUT, else a clipped copy."""
    if X.size == 0 or (X.min() >= -LARGEST_INPUT and X.max() <= LARGEST_INPUT):
        return X
    return np.clip(X, -LARGEST_INPUT, LARGEST_INPUT)


def blocks(n: int, n_others: int) -> Iterator[slice]:
    """Yield consecutive slices of `n` rows (or columns) of `n_others` cells each.

    A slice has about two million cells, so that a copy in double precision takes 16 MiB whatever the table.
    """
    step = max(1, BLOCK_CELLS // max(1, n_others))
    for start in range(0, n, step):
        yield slice(start, start + step)


def rounded_weights(weights: np.ndarray) -> np.ndarray:
    """Return float32 weights of a trained layer rounded to the precision of half floats, a relative 5e-4.

    The last 13 bits of each are 0, so that a saved model compresses them.
    """
    bits = np.ascontiguousarray(weights, dtype=np.float32).view(np.uint32)
    return ((bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)


def sample_rows(n_rows: int, n_kept: int, seed: int) -> np.ndarray:
    """Return sorted indices of at most `n_kept` rows, drawn at random."""
    if n_kept >= n_rows:
        return np.arange(n_rows)
    return np.sort(np.random.default_rng(seed).choice(n_rows, n_kept, replace=False))


def row_weights(data: FitData) -> np.ndarray:
    """Return the weight of each row as float64; 1 for all rows of data without weights."""
    return np.ones(len(data.y)) if data.sample_weight is None else np.asarray(data.sample_weight, dtype=np.float64)


class TargetScale:
    """Standardises a regression target of any magnitude and undoes it.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        Training target.
    sample_weight : ndarray of shape (n_rows,) or None
        Weights of the rows in mean and deviation.

    Attributes
    ----------
    centre, spread : float
        Weighted mean and standard deviation (1 for a constant target).
    low, high : float
        Range of the training target.
    """

    def __init__(self, y: np.ndarray, sample_weight: np.ndarray | None = None) -> None:
        # Dividing by the largest magnitude first keeps squares of 1e200 finite.
        magnitude = float(np.abs(y).max()) or 1.0
        relative = y / magnitude
        centre = float(np.average(relative, weights=sample_weight))
        spread = float(np.sqrt(np.average((relative - centre) ** 2, weights=sample_weight)))
        # Otherwise the deviation is rounding error of a constant, or too small for a float.
        is_usable = spread > 1e-12 and spread * magnitude > 0
        self.spread = spread * magnitude if is_usable else 1.0
        self.centre = centre * magnitude
        self.low, self.high = float(y.min()), float(y.max())

    def standardise(self, y: np.ndarray) -> np.ndarray:
        """Return `y` with mean 0 and deviation 1."""
        return (y - self.centre) / self.spread

    def restore(self, z: np.ndarray, margin: float | None = None) -> np.ndarray:
        """Return standardised values in the target's own units, as float64.

        With `margin`, values stay within the training range widened on both sides by that share of it.
        """
        y = np.asarray(z, dtype=np.float64) * self.spread + self.centre
        if margin is None:
            return y
        # The halves keep the width of a range like ±1e308 finite.
        extra = 2.0 * margin * (self.high / 2 - self.low / 2)
        return np.clip(y, self.low - extra, self.high + extra)


def target_scale(data: FitData) -> TargetScale | None:
    """Return the scale of a regression target; None for classification."""
    return TargetScale(data.y, data.sample_weight) if data.problem == "regression" else None


def standardised(y: np.ndarray, scale: TargetScale | None) -> np.ndarray:
    """Return a regression target with mean 0 and deviation 1; class codes, which have no scale, as they are."""
    return y if scale is None else scale.standardise(y)


@contextmanager
def torch_threads(n_threads: int) -> Iterator[None]:
    """Limit torch to `n_threads` threads in the calling thread until the block ends."""
    import torch

    # torch's own setting would also apply to future threads. The limit of OpenMP, which torch obeys, applies to this
    # thread alone; the first torch call in a thread resets it, so that call is made here.
    torch.get_num_threads()
    with openmp_threads(n_threads):
        yield


def probabilities(scores: np.ndarray) -> np.ndarray:
    """Return float64 class probabilities of shape (n_rows, n_classes) whose rows sum to 1.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_classes) or (n_rows, 1)
        Logits; one column is the logit of class 1 against class 0.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.shape[1] == 1:
        scores = np.column_stack([np.zeros(len(scores)), scores])
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def outputs(scores: np.ndarray, scale: TargetScale | None) -> np.ndarray:
    """Return probabilities from logits, or target values when there is a target scale."""
    return probabilities(scores) if scale is None else scale.restore(scores[:, 0])


class LinearModel:
    """Scores that are linear in the columns.

    Parameters
    ----------
    coefficients : ndarray of shape (n_features, n_outputs)
        One output for regression and for two classes, else one per class.
    intercept : ndarray of shape (n_outputs,)
        Added to every row.
    scale : TargetScale or None
        How a regression target was standardised; None for classification.
    """

    def __init__(self, coefficients: np.ndarray, intercept: np.ndarray, scale: TargetScale | None = None) -> None:
        self.coefficients = np.asarray(coefficients, dtype=np.float32)
        self.intercept = np.asarray(intercept, dtype=np.float64)
        self.scale = scale
        self.n_iterations: int | None = None

    def predict(self, X: np.ndarray, n_threads: int = 1) -> np.ndarray:
        """Return (n_rows, n_classes) probabilities, or (n_rows,) values for regression."""
        X, coefficients = bounded(X), self.coefficients.astype(np.float64)
        # In single precision the last digits of a row's score depend on the rows that are predicted with it.
        scores = np.empty((len(X), len(self.intercept)))
        for rows in blocks(*X.shape):
            scores[rows] = X[rows].astype(np.float64) @ coefficients + self.intercept
        return outputs(scores, self.scale)
