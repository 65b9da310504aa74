r"""Ridge regression in double precision that copies only one block of rows at a time.

scikit-learn's Ridge copies the whole table several times, and ten times if Cholesky's factorisation fails, as it does
for collinear columns under a small penalty.

============================== =======================================================================
:math:`X, z`                   columns and target, centred by their weighted means, times the roots of
                               the weights
primal, up to n columns        :math:`(X^\top X + \alpha I)\, \beta = X^\top z`
dual, more columns than rows   :math:`\beta = X^\top (X X^\top + \alpha I)^{-1} z`
============================== =======================================================================
"""

from __future__ import annotations

import numpy as np

from autometa.learners.numeric import blocks

_LEAST_PIVOT = 1e-6
"""A factorisation with a pivot below this fraction of the largest is too inexact to be used."""


def solve_ridge(
    X: np.ndarray, z: np.ndarray, alpha: float, sample_weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients of shape (n_features, 1) and intercept of shape (1,), which is not penalised.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features)
        Finite numbers of moderate size.
    z : ndarray of shape (n_rows,)
        Target.
    alpha : float
        Strength of the penalty, > 0.
    sample_weight : ndarray of shape (n_rows,) or None
        Non-negative weights of the rows.
    """
    n_rows, n_features = X.shape
    weight = np.ones(n_rows) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    means = sum(weight[rows] @ X[rows].astype(np.float64) for rows in blocks(n_rows, n_features)) / weight.sum()
    mean = float(np.average(z, weights=weight))
    root = np.sqrt(weight)
    target = (z - mean) * root

    def centred(rows: slice, columns: slice) -> np.ndarray:
        return (X[rows, columns] - means[columns]) * root[rows, None]

    every = slice(None)
    if n_features <= n_rows:
        gram, moment = np.zeros((n_features, n_features)), np.zeros(n_features)
        for rows in blocks(n_rows, n_features):
            block = centred(rows, every)
            gram += block.T @ block
            moment += block.T @ target[rows]
        coefficients = _solve(gram, moment, alpha)
    else:
        kernel = np.zeros((n_rows, n_rows))
        for columns in blocks(n_features, n_rows):
            block = centred(every, columns)
            kernel += block @ block.T
        dual = _solve(kernel, target, alpha)
        coefficients = np.concatenate([dual @ centred(every, columns) for columns in blocks(n_features, n_rows)])
    return coefficients[:, None], np.array([mean - means @ coefficients])


def _solve(matrix: np.ndarray, right: np.ndarray, alpha: float) -> np.ndarray:
    """Return the solution of a symmetric positive semi-definite system with `alpha` added to its diagonal."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve, eigh

    penalised = matrix.copy()
    penalised[np.diag_indices_from(penalised)] += alpha
    try:
        factor, lower = cho_factor(penalised, lower=True, overwrite_a=True)
        diagonal = np.diagonal(factor)
        if diagonal.min() > _LEAST_PIVOT * diagonal.max():
            return np.asarray(cho_solve((factor, lower), right))
    except LinAlgError:
        pass
    # The penalty is smaller than the rounding errors of collinear columns.
    values, vectors = eigh(matrix)
    return np.asarray(vectors @ ((vectors.T @ right) / (np.maximum(values, 0.0) + alpha)))
