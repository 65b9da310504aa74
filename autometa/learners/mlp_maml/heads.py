r"""Heads of the shared network fitted to features of rows, along a path of penalties.

========= ==========================================================================================================
number    ridge regression, in closed form (Bertinetto et al. 2019)
classes   penalised logistic regression: Newton's method with the bound of the Hessian in its place (Böhning 1992),
          accelerated (Nesterov 1983); the steps for a penalty begin at the head of the stronger one before it
========= ==========================================================================================================

Both are done in the principal directions of the features, where the covariance and the bound are diagonal for every
penalty. Directions along which features vary far less than the penalty allows to be used are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autometa.learners.mlp_maml.network import N_FEATURES

N_STEPS = 20
"""Of the fit of a head of classes under one penalty."""
_LEAST_VARIANCE = 1e-4
"""Of a direction that the steps for a penalty move along, as a share of that penalty."""


@dataclass(frozen=True)
class Head:
    """A fitted head.

    Parameters
    ----------
    weight : ndarray of shape (N_FEATURES, n_outputs), float32
    bias : ndarray of shape (n_outputs,), float32
    penalty : float
        What half of the squared weights was multiplied by when they were fitted.
    """

    weight: np.ndarray
    bias: np.ndarray
    penalty: float


def fitted_heads(
    params: Mapping[str, np.ndarray],
    seen: np.ndarray,
    targets: np.ndarray,
    n_classes: int | None,
    weights: np.ndarray | None = None,
    strengths: Sequence[float] = (1.0,),
) -> list[Head]:
    """Return a head for each of some strengths of the penalty.

    Minimised is the mean of half the squared error, or of the cross-entropy, plus half of the penalty times the
    squared weights.

    Parameters
    ----------
    params : mapping of str to ndarray
        What tables share, of which the learnt penalty is read.
    seen : ndarray of shape (n_rows, N_FEATURES)
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
    rows = np.ones(len(seen)) if weights is None else weights.astype(np.float64)
    total = max(float(rows.sum()), 1e-12)
    share = rows / total
    mean = share @ seen
    centred = seen - mean
    root = np.sqrt(share)[:, None] * centred
    variances, directions = _principal(root)
    by_rows, least = np.exp(params["penalty/regression" if n_classes is None else "penalty/classes"].astype(np.float64))
    # The mean variance of a feature is the size of a penalty.
    size = variances.sum() / N_FEATURES + 1e-9
    penalties = np.array(strengths) * (size * (by_rows * N_FEATURES / total + least + 1e-6))
    if n_classes is None:
        y = targets.astype(np.float64)
        bias = share @ y
        relation = directions.T @ (centred.T @ (share * (y - bias)))
        slopes = (relation[:, None] / (variances[:, None] + penalties)).T[:, :, None]  # (n_strengths, n_directions, 1)
        biases = np.full((len(strengths), 1), bias)
    else:
        first = np.log((np.bincount(targets, rows, n_classes) + 0.1) / (total + 0.1 * n_classes))
        along = centred.astype(np.float32) @ directions.astype(np.float32)
        slopes, biases = _logistic_path(along, variances, share, targets, first, penalties)
    slopes = directions @ slopes
    return [
        Head(slope.astype(np.float32), (bias - mean @ slope).astype(np.float32), float(penalty))
        for slope, bias, penalty in zip(slopes, biases, penalties, strict=True)
    ]


def _principal(root: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return variances, the largest first, and their directions (N_FEATURES, n_directions) of weighted rows."""
    n_rows, n_features = root.shape
    if n_rows >= n_features:
        variances, directions = np.linalg.eigh(root.T @ root)
    else:
        variances, of_rows = np.linalg.eigh(root @ root.T)
    # Below this they are rounding errors.
    kept = np.flatnonzero(variances > 1e-11 * max(float(variances[-1]), 1e-12))[::-1]
    variances = variances[kept]
    if n_rows >= n_features:
        return variances, directions[:, kept]
    return variances, root.T @ (of_rows[:, kept] / np.sqrt(variances))


def _logistic_path(
    along: np.ndarray, variances: np.ndarray, share: np.ndarray, codes: np.ndarray, first: np.ndarray,
    penalties: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Return slopes (n_penalties, n_directions, n_classes) and biases (n_penalties, n_classes).

    Parameters
    ----------
    along : ndarray of shape (n_rows, n_directions), float32
        Rows along the directions.
    variances : ndarray of shape (n_directions,)
        Of the directions, the largest first.
    share : ndarray of shape (n_rows,)
        Weights of the rows, whose sum is 1.
    codes : ndarray of shape (n_rows,)
        Codes of classes.
    first : ndarray of shape (n_classes,)
        Biases to begin with.
    penalties : ndarray of shape (n_penalties,)
        The largest first.
    """
    n_classes = len(first)
    # Scores of two classes are each other's negatives, and one of them is enough.
    is_binary = n_classes == 2
    kept = np.array([1]) if is_binary else np.arange(n_classes)
    of_class = (codes == kept[:, None]).astype(np.float32)  # (n_kept, n_rows)
    variances, share = variances.astype(np.float32), share.astype(np.float32)
    slope = np.zeros((len(kept), len(variances)), dtype=np.float32)
    bias = (first - first.mean()).astype(np.float32)[kept]
    slopes, biases = [], []
    for penalty in penalties.astype(np.float32):
        n = max(1, int(np.count_nonzero(variances > _LEAST_VARIANCE * penalty)))
        part, bound = along[:, :n], 0.5 * variances[:n] + penalty
        before, before_bias = ahead, ahead_bias = slope[:, :n], bias
        for step in range(N_STEPS):
            wrong = ahead @ part.T + ahead_bias[:, None]
            # Of two classes with the scores -s and s the second one has the probability 1 / (1 + exp(-2 s)).
            wrong = 0.5 * np.tanh(wrong) + 0.5 if is_binary else _softmax(wrong)
            wrong -= of_class
            wrong *= share
            moved = ahead - (wrong @ part + penalty * ahead) / bound
            moved_bias = ahead_bias - 2 * wrong.sum(axis=1)
            # Nesterov's momentum.
            factor = np.float32(step / (step + 3))
            ahead, ahead_bias = moved + factor * (moved - before), moved_bias + factor * (moved_bias - before_bias)
            before, before_bias = moved, moved_bias
        slope[:, :n], bias = before, before_bias
        slopes.append(slope.T.copy())
        biases.append(bias)
    if is_binary:
        return np.array([np.hstack([-s, s]) for s in slopes]), np.array([np.hstack([-b, b]) for b in biases])
    return np.array(slopes), np.array(biases)


def _softmax(scores: np.ndarray) -> np.ndarray:
    """Return probabilities of classes from scores (n_classes, n_rows), in place."""
    scores -= scores.max(axis=0)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=0)
    return scores
