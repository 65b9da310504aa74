"""Projection of a table with any number of columns into a fixed number of slots, so that tables can share a network.

The first slots are single columns, ordered by their correlation with the target. The others are directions of partial
least squares (Wold 1966; de Jong 1993), which mix all columns. Every slot has mean 0 and deviation 1; unused slots
are 0.
"""

from __future__ import annotations

import numpy as np

from autometa.core.task import Problem
from autometa.learners.numeric import bounded

N_COLUMN_SLOTS = 32
N_MIXED_SLOTS = 8
N_SLOTS = N_COLUMN_SLOTS + N_MIXED_SLOTS

LARGEST_SLOT = 3.0
"""The network bounds slots smoothly at ±this, as RealMLP does (Holzmüller et al. 2024), so that no row is far from all
others."""

_MOST_ROWS = 4000
"""Largest number of rows that the projection is learnt on, which bounds its memory and its time."""
_LEAST_DEVIATION = 1e-6


def fit_projection(X: np.ndarray, y: np.ndarray, problem: Problem, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return the matrix and the offset that give the slots of rows: ``X @ matrix + offset``.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features), float32
        Rows of the numeric view.
    y : ndarray of shape (n_rows,)
        Codes of classes, or a standardised regression target.
    problem : {"binary", "multiclass", "regression"}
        Kind of the target.
    seed : int
        Seed of the sample of rows.

    Returns
    -------
    matrix : ndarray of shape (n_features, N_SLOTS), float32
    offset : ndarray of shape (N_SLOTS,), float32
    """
    if len(X) > _MOST_ROWS:
        rows = np.random.default_rng(seed).choice(len(X), _MOST_ROWS, replace=False)
        X, y = X[rows], y[rows]
    X = bounded(X).astype(np.float64)
    mean, deviation = X.mean(axis=0), X.std(axis=0)
    varies = deviation > _LEAST_DEVIATION
    scale = np.where(varies, 1 / np.where(varies, deviation, 1.0), 0.0)
    standard = (X - mean) * scale
    targets = _targets(y, problem)
    relation = standard.T @ targets / len(X)  # correlations, (n_features, n_targets)
    matrix = np.zeros((X.shape[1], N_SLOTS))
    nearness = np.square(relation).sum(axis=1)
    # Rounding keeps the order of equal columns on every machine.
    nearest = np.argsort(-np.round(nearness, 9), kind="stable")[:N_COLUMN_SLOTS]
    nearest = nearest[varies[nearest]]
    # The sign makes a slot grow with the target. For several classes it does not depend on their order.
    signs = np.sign((relation[nearest] ** 3).sum(axis=1)) if problem == "multiclass" else np.sign(relation[nearest, -1])
    matrix[nearest, np.arange(len(nearest))] = np.where(signs < 0, -1.0, 1.0)
    for i, direction in enumerate(_directions(standard, targets)):
        matrix[:, N_COLUMN_SLOTS + i] = direction
    matrix *= scale[:, None]
    return matrix.astype(np.float32), (-mean @ matrix).astype(np.float32)


def _targets(y: np.ndarray, problem: Problem) -> np.ndarray:
    """Return standardised targets of shape (n_rows, n_targets): an indicator per class, one for two classes."""
    if problem == "regression":
        columns = y[:, None].astype(np.float64)
    else:
        codes = np.unique(y)
        columns = (y[:, None] == (codes[1:] if problem == "binary" else codes)).astype(np.float64)
    if not columns.shape[1]:
        return np.zeros((len(y), 1))
    deviation = columns.std(axis=0)
    return (columns - columns.mean(axis=0)) / np.where(deviation > _LEAST_DEVIATION, deviation, 1.0)


def _directions(standard: np.ndarray, targets: np.ndarray) -> list[np.ndarray]:
    """Return directions of partial least squares; their scores are uncorrelated and have deviation 1."""
    residual = standard.copy()
    directions: list[np.ndarray] = []
    loadings: list[np.ndarray] = []
    for _ in range(min(N_MIXED_SLOTS, standard.shape[1])):
        relation = residual.T @ targets
        u, size, _ = np.linalg.svd(relation, full_matrices=False)
        weight = u[:, 0] * (1.0 if u[:, 0] @ relation.sum(axis=1) >= 0 else -1.0)
        score = residual @ weight
        spread = float(score.std())
        if size[0] < 1e-9 * max(1.0, np.sqrt(relation.size)) or spread < _LEAST_DEVIATION:
            break
        score /= spread
        loading = residual.T @ score / len(score)
        direction = weight / spread
        for earlier, its_loading in zip(directions, loadings, strict=True):
            direction = direction - earlier * (its_loading @ weight / spread)
        residual -= np.outer(score, loading)
        directions.append(direction)
        loadings.append(loading)
    return directions
