r"""Heads of the shared network: linear models of the features, fitted for each of several penalties.

========= ==========================================================================================================
number    ridge regression in closed form (Bertinetto et al. 2019)
classes   penalised logistic regression: Newton's method with a bound instead of the Hessian (Böhning 1992),
          accelerated (Nesterov 1983); the steps for a penalty start from the head of the next stronger one
========= ==========================================================================================================

Both work in the principal directions of the features, where the covariance and the bound are diagonal for every
penalty. Steps for a penalty skip directions with far less variance than it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autometa.learners.mlp_maml.network import N_FEATURES, Array

N_STEPS = 20
"""Steps of a logistic regression for one penalty."""
_LEAST_VARIANCE = 1e-4
"""Directions with less variance than this fraction of the penalty are frozen."""


@dataclass(frozen=True)
class Head:
    """A fitted head.

    Parameters
    ----------
    weight : ndarray of shape (N_FEATURES, n_outputs), float32
    bias : ndarray of shape (n_outputs,), float32
    penalty : float
        Factor of half the squared weights in the objective.
    """

    weight: np.ndarray
    bias: np.ndarray
    penalty: float


def fitted_heads(
    params: Mapping[str, np.ndarray],
    features: np.ndarray,
    targets: np.ndarray,
    n_classes: int | None,
    weights: np.ndarray | None = None,
    strengths: Sequence[float] = (1.0,),
) -> list[Head]:
    """Return a head for each strength of the penalty.

    The objective is the mean of half the squared error, or of the cross-entropy, plus half of the penalty times the
    squared weights.

    Parameters
    ----------
    params : mapping of str to ndarray
        Shared parameters, which include the learnt penalty.
    features : ndarray of shape (n_rows, N_FEATURES)
        Features of rows.
    targets : ndarray of shape (n_rows,)
        Codes of classes, or standardised numbers.
    n_classes : int or None
        None for regression.
    weights : ndarray of shape (n_rows,), optional
        Non-negative weights of the rows.
    strengths : sequence of float
        Factors of the learnt penalty, the largest first.
    """
    # Covariances of correlated features need more digits than float32 has.
    weights = np.ones(len(features)) if weights is None else weights.astype(np.float64)
    total = max(float(weights.sum()), 1e-12)
    share = weights / total
    mean = share @ features
    centred = features - mean
    root = np.sqrt(share)[:, None] * centred
    variances, directions = _principal(root)
    logs = params["penalty/regression" if n_classes is None else "penalty/classes"].astype(np.float64)
    penalties = np.array(strengths) * base_penalty(np.exp(logs), total, variances.sum() / N_FEATURES)
    if n_classes is None:
        y = targets.astype(np.float64)
        bias = share @ y
        relation = directions.T @ (centred.T @ (share * (y - bias)))
        slopes = (relation[:, None] / (variances[:, None] + penalties)).T[:, :, None]  # (n_strengths, n_directions, 1)
        biases = np.full((len(strengths), 1), bias)
    else:
        first = np.log((np.bincount(targets, weights, n_classes) + 0.1) / (total + 0.1 * n_classes))
        along = centred.astype(np.float32) @ directions.astype(np.float32)
        slopes, biases = _logistic_path(along, variances, share, targets, first, penalties)
    slopes = directions @ slopes
    return [
        Head(slope.astype(np.float32), (bias - mean @ slope).astype(np.float32), float(penalty))
        for slope, bias, penalty in zip(slopes, biases, penalties, strict=True)
    ]


def base_penalty(learnt: Array, total: Array, mean_variance: Array) -> Array:
    """Return the learnt penalty, relative to the mean variance of a feature; arguments are of NumPy or torch.

    Parameters
    ----------
    learnt : array of shape (2,)
        Penalty times features per row, and the least penalty.
    total : scalar
        Sum of the rows' weights.
    mean_variance : scalar
        Mean variance of the features.
    """
    by_rows, least = learnt
    return (mean_variance + 1e-9) * (by_rows * N_FEATURES / total + least + 1e-6)


def _principal(root: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the variances of weighted rows, the largest first, and their directions (N_FEATURES, n_directions)."""
    n_rows, n_features = root.shape
    if n_rows >= n_features:
        variances, directions = np.linalg.eigh(root.T @ root)
    else:
        variances, row_directions = np.linalg.eigh(root @ root.T)
    # Smaller variances are rounding errors.
    kept = np.flatnonzero(variances > 1e-11 * max(float(variances[-1]), 1e-12))[::-1]
    variances = variances[kept]
    if n_rows >= n_features:
        return variances, directions[:, kept]
    return variances, root.T @ (row_directions[:, kept] / np.sqrt(variances))


def _logistic_path(
    along: np.ndarray, variances: np.ndarray, share: np.ndarray, codes: np.ndarray, first: np.ndarray,
    penalties: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Return slopes (n_penalties, n_directions, n_classes) and biases (n_penalties, n_classes) of classes.

    `along` holds the coordinates (n_rows, n_directions) of the rows in the directions, `share` the rows' weights with
    the sum 1, `first` the first values of the biases. Variances and penalties are sorted, the largest first.
    """
    n_classes = len(first)
    # The scores of two classes are each other's negatives, so that one of them is enough.
    is_binary = n_classes == 2
    kept = np.array([1]) if is_binary else np.arange(n_classes)
    members = (codes == kept[:, None]).astype(np.float32)  # (n_kept, n_rows)
    variances, share = variances.astype(np.float32), share.astype(np.float32)
    slope = np.zeros((len(kept), len(variances)), dtype=np.float32)
    bias = (first - first.mean()).astype(np.float32)[kept]
    slopes, biases = [], []
    for penalty in penalties.astype(np.float32):
        n = max(1, int(np.count_nonzero(variances > _LEAST_VARIANCE * penalty)))
        part, bound = along[:, :n], 0.5 * variances[:n] + penalty
        last, last_bias = ahead, ahead_bias = slope[:, :n], bias
        for step in range(N_STEPS):
            scores = ahead @ part.T + ahead_bias[:, None]
            # With scores -s and s of two classes the second one has the probability 1 / (1 + exp(-2 s)).
            error = 0.5 * np.tanh(scores) + 0.5 if is_binary else _softmax(scores)
            error -= members
            error *= share
            moved = ahead - (error @ part + penalty * ahead) / bound
            moved_bias = ahead_bias - 2 * error.sum(axis=1)
            # Nesterov's momentum.
            factor = np.float32(step / (step + 3))
            ahead, ahead_bias = moved + factor * (moved - last), moved_bias + factor * (moved_bias - last_bias)
            last, last_bias = moved, moved_bias
        slope[:, :n], bias = last, last_bias
        slopes.append(slope.T.copy())
        biases.append(bias)
    if is_binary:
        return np.array([np.hstack([-s, s]) for s in slopes]), np.array([np.hstack([-b, b]) for b in biases])
    return np.array(slopes), np.array(biases)


def _softmax(scores: np.ndarray) -> np.ndarray:
    """Turn scores (n_classes, n_rows) into probabilities, in place, and return them."""
    scores -= scores.max(axis=0)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=0)
    return scores
