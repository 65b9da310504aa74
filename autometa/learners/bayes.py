r"""Regularised discriminant analysis: from LDA and QDA to Gaussian naive Bayes.

Each class is a normal distribution. Its covariance goes through two mixtures
(Friedman 1989, "Regularized Discriminant Analysis"):

=========== =====================================================================
S_k, n_k    covariance and weight of class k; S is the pooled covariance, n the sum
pooling     :math:`\lambda`: mixes ``n_k S_k`` with ``n S``; 1 is LDA, 0 is QDA
shrinkage   :math:`\gamma`: mixes the result with its own diagonal (Friedman: with a
            multiple of the identity); 1 is naive Bayes
=========== =====================================================================

The weights n_k make a class of one row rely on the pooled covariance. Log densities are divided by a temperature that
is fitted to held-out rows, because many dependent columns make the plain posterior far too confident.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from autometa.core.space import Value
from autometa.learners.base import FitData, Learner
from autometa.learners.numeric import blocks, bounded, probabilities, row_weights

_SMALLEST_VARIANCE = 1e-3
"""Floor of every variance, so that a column that is constant in a class does not decide alone. Columns have about unit
variance."""

_FEWEST_ROWS_TO_CALIBRATE = 100


@dataclass(eq=False, repr=False)
class GaussianClassesModel:
    """One normal distribution for each class.

    Parameters
    ----------
    log_prior : ndarray of shape (n_classes,)
        Logarithms of the class frequencies.
    means : ndarray of shape (n_classes, n_features)
        Class means.
    whiteners : ndarray of shape (n_classes or 1, n_features, n_features)
        W with ``W Wᵀ`` the inverse covariance; one for all classes if it is shared.
    log_determinants : ndarray of shape (n_classes or 1,)
        Logarithms of the covariances' determinants.
    """

    log_prior: np.ndarray
    means: np.ndarray
    whiteners: np.ndarray
    log_determinants: np.ndarray
    temperature: float = 1.0
    n_iterations: int | None = None

    def scores(self, X: np.ndarray) -> np.ndarray:
        """Return log joint densities (up to a constant) of shape (n_rows, n_classes)."""
        scores = np.empty((len(X), len(self.means)))
        for rows in blocks(*X.shape):
            scores[rows] = self._scores(bounded(X[rows]).astype(np.float64))
        return scores

    def _scores(self, X: np.ndarray) -> np.ndarray:
        scores = np.empty((len(X), len(self.means)))
        # A shared whitener is applied to the rows once instead of once per class.
        shared = X @ self.whiteners[0] if len(self.whiteners) == 1 else None
        for k, mean in enumerate(self.means):
            if shared is None:
                distance = np.square((X - mean) @ self.whiteners[k]).sum(axis=1) + self.log_determinants[k]
            else:
                distance = np.square(shared - mean @ self.whiteners[0]).sum(axis=1)
            scores[:, k] = self.log_prior[k] - 0.5 * distance
        return scores

    def predict(self, X: np.ndarray, n_threads: int = 1) -> np.ndarray:
        """Return (n_rows, n_classes) probabilities."""
        return probabilities(self.scores(X) / self.temperature)


def fit_discriminant_analysis(data: FitData, parameters: Mapping[str, Value]) -> GaussianClassesModel:
    """Return a regularised discriminant analysis with a calibrated temperature.

    Parameters
    ----------
    data : FitData
        Rows of the numeric view, problem binary or multiclass.
    parameters : mapping
        ``pooling`` and ``shrinkage``, both in [0, 1].
    """
    pooling = float(parameters.get("pooling", 0.5))  # type: ignore[arg-type]
    shrinkage = float(parameters.get("shrinkage", 0.1))  # type: ignore[arg-type]
    weight = row_weights(data)
    model = _fit_gaussians(data.X, data.y, weight, data.n_classes, pooling, shrinkage)
    held_out = _held_out_rows(data.y, data.seed)
    if len(held_out):
        rest = np.setdiff1d(np.arange(len(data.y)), held_out)
        trial = _fit_gaussians(data.X[rest], data.y[rest], weight[rest], data.n_classes, pooling, shrinkage)
        model.temperature = _best_temperature(trial.scores(data.X[held_out]), data.y[held_out], weight[held_out])
    return model


def _held_out_rows(y: np.ndarray, seed: int) -> np.ndarray:
    """Return the indices of up to a fifth of the rows, at most 2000; every class keeps a row to be fitted to."""
    if len(y) < _FEWEST_ROWS_TO_CALIBRATE:
        return np.array([], dtype=np.int64)
    order = np.random.default_rng(seed).permutation(len(y))
    _, first = np.unique(y[order], return_index=True)
    spare = np.delete(order, first)
    return np.sort(spare[: min(len(y) // 5, 2000)])


def _best_temperature(scores: np.ndarray, y: np.ndarray, weight: np.ndarray) -> float:
    """Return the temperature between 1 and 1000 with the smallest log loss."""
    if not weight.sum() > 0:
        return 1.0
    losses = {}
    for temperature in np.geomspace(1.0, 1000.0, 31):
        p = probabilities(scores / temperature)[np.arange(len(y)), y]
        losses[float(temperature)] = float(np.average(-np.log(np.maximum(p, 1e-15)), weights=weight))
    return min(losses, key=lambda temperature: losses[temperature])


def _fit_gaussians(
    X: np.ndarray, y: np.ndarray, weight: np.ndarray, n_classes: int, pooling: float, shrinkage: float
) -> GaussianClassesModel:
    n_features = X.shape[1]
    # A class whose rows all have weight 0 still needs a mean and a prior.
    weight = weight + 1e-9
    totals = np.bincount(y, weights=weight, minlength=n_classes)
    means = np.zeros((n_classes, n_features))
    for rows in blocks(*X.shape):
        members = (y[rows] == np.arange(n_classes)[:, None]) * weight[rows]
        means += members @ bounded(X[rows]).astype(np.float64)
    means /= totals[:, None]
    # Sums of squares around the means, for all rows together or for each class.
    is_pooled = pooling >= 1.0
    squares = np.zeros((1 if is_pooled else n_classes, n_features, n_features))
    for rows in blocks(*X.shape):
        centred = (bounded(X[rows]) - means[y[rows]]) * np.sqrt(weight[rows])[:, None]
        for k, total in enumerate(squares):
            own = centred if is_pooled else centred[y[rows] == k]
            total += own.T @ own
    pooled = squares.sum(axis=0)
    log_determinants = np.empty(len(squares))
    for k, own in enumerate(squares):
        own_weight, pooled_weight = (0.0, 1.0) if is_pooled else (1 - pooling, pooling)
        total_weight = own_weight * totals[k] + pooled_weight * totals.sum()
        covariance = (own_weight * own + pooled_weight * pooled) / total_weight
        # Computed in place: with many classes these are the largest arrays.
        squares[k], log_determinants[k] = _whiten(covariance, shrinkage)
    return GaussianClassesModel(np.log(totals / totals.sum()), means, squares, log_determinants)


def _whiten(covariance: np.ndarray, shrinkage: float) -> tuple[np.ndarray, float]:
    """Return W with ``W Wᵀ`` the inverse of the shrunk covariance, and its log determinant."""
    shrunk = (1 - shrinkage) * covariance
    np.fill_diagonal(shrunk, np.diag(covariance) + _SMALLEST_VARIANCE)
    values, vectors = np.linalg.eigh(shrunk)
    # Rounding can leave eigenvalues of collinear columns just below the floor of the diagonal.
    values = np.maximum(values, _SMALLEST_VARIANCE)
    return vectors / np.sqrt(values), float(np.log(values).sum())


DISCRIMINANT_ANALYSIS = Learner(
    name="discriminant_analysis",
    view="numeric",
    fit=fit_discriminant_analysis,
    is_quick=True,
    saved_types=(GaussianClassesModel,),
)
