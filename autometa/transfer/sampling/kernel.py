"""Fits the stationary kernel of losses over configurations to the trials of many studies.

    k(a, b) = amplitude · (1 + d + d² / 3) exp(−d),    d² = 5 Σ_j ((a_j − b_j) / scale_j)²        (Matérn 5/2)

========  ==================================================================================================
symbol    meaning
========  ==================================================================================================
a, b      inputs of configurations, of shape (n, n_columns), see `autometa.transfer.space.encoding`
scale_j   length scale of column j; the columns of one parameter (``groups``) share it
X, z      inputs and scores of all studies, of shapes (n_studies, n_rows, n_columns) and (n_studies, n_rows)
theta     logarithms of the length scales, of the amplitude and of the noise variance
========  ==================================================================================================

Scores are normal scores of losses within one study, lower is better.
"""
# Tests: tests/transfer/sampling/test_population.py

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import get_lapack_funcs
from scipy.optimize import minimize
from scipy.special import ndtri

OFFSET_VARIANCE = 1.0
"""Variance of a study's offset: its scores are centred, but the configurations that it tried are not."""
_SQRT5 = math.sqrt(5.0)
_PADDING_VARIANCE = 1e8  # noise of the rows that pad a batch


@dataclass(frozen=True)
class Kernel:
    """A Matérn-5/2 kernel with a length scale for each parameter, and the noise of scores.

    Parameters
    ----------
    inverse_scales : ndarray of shape (n_columns,)
        Inverse length scales of the columns of the inputs.
    amplitude, noise : float
        Variances of the function and of the noise, in squared scores.
    """

    inverse_scales: np.ndarray
    amplitude: float
    noise: float

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return the covariances of functions at inputs, shape (n_a, n_b)."""
        return self.of_scaled(self.scaled(a), self.scaled(b))

    def scaled(self, inputs: np.ndarray) -> np.ndarray:
        """Return inputs in units of the length scales, for `of_scaled`."""
        return inputs * (_SQRT5 * self.inverse_scales)

    def of_scaled(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Return the covariances at inputs that are scaled already, shape (n_a, n_b)."""
        distance = a @ b.T
        distance *= -2.0
        distance += (a * a).sum(1)[:, None]
        distance += (b * b).sum(1)[None, :]
        np.maximum(distance, 0.0, out=distance)
        np.sqrt(distance, out=distance)
        # In place, because most of a suggestion's time is spent here.
        covariance = distance / 3.0
        covariance += 1.0
        covariance *= distance
        covariance += 1.0
        covariance *= self.amplitude
        np.negative(distance, out=distance)
        covariance *= np.exp(distance, out=distance)
        return covariance


def normal_scores(losses: np.ndarray) -> np.ndarray:
    """Return the normal quantiles of the ranks of losses, −1.5 … 1.5 for eight losses; ties get their mean rank.

    Ranks make studies of different metrics and units comparable, and a diverged run is no worse than the last rank.
    """
    order = np.argsort(losses, kind="stable")
    ranks = np.empty(len(losses))
    ranks[order] = np.arange(len(losses))
    values, inverse = np.unique(losses, return_inverse=True)
    shared = np.bincount(inverse, ranks, len(values)) / np.bincount(inverse, minlength=len(values))
    return ndtri((shared[inverse] + 0.5) / max(len(losses), 1))


def own_scores(losses: np.ndarray, ranks: np.ndarray | None = None) -> np.ndarray:
    """Return the scores of a study's own losses: the mean of normal scores and standardised losses.

    Ranks alone magnify the differences within a cluster of nearly equal trials, so that search stays there. Losses
    alone let one diverged run hide all other differences. Losses are clipped above the median at twice the distance
    from the best to the median.

    Losses are infinite for trials without a value. `ranks` order the trials, with those without a value; None orders by
    losses.
    """
    return 0.5 * (normal_scores(losses if ranks is None else ranks) + _standardised(losses))


def _standardised(losses: np.ndarray) -> np.ndarray:
    finite = losses[np.isfinite(losses)]
    if not len(finite):
        return np.zeros(len(losses))
    # Sums and squares of the largest floats overflow. Scaling by a power of two changes no digit.
    eighths = finite / 8.0
    middle, best = np.median(eighths), eighths.min()
    cut = np.clip(losses / 8.0, best, middle + 2.0 * (middle - best))
    cut = np.ldexp(cut, -np.frexp(np.abs(cut).max())[1])
    deviation = cut.std()
    return (cut - cut.mean()) / deviation if deviation > 0 else np.zeros(len(losses))


def default_kernel(groups: np.ndarray) -> Kernel:
    """Return the kernel that is assumed without data; `groups` is the index of each column's parameter."""
    return Kernel(np.full(len(groups), 1.0 / _usual_scale(groups)), 1.0, 0.05)


def fitted_kernel(
    inputs: Sequence[np.ndarray], scores: Sequence[np.ndarray], groups: np.ndarray, n_steps: int = 25
) -> Kernel:
    """Return the kernel that maximises the posterior of its parameters given the scores of all studies.

    Each study is a draw of its own from the Gaussian process. The prior on the length scales is centred at a value
    that grows with the root of the number of parameters (Hvarfner et al., 2024).

    There is one array of inputs and one of scores per study. `groups`, of shape (n_columns,), is the index of the
    parameter of each column.
    """
    n_studies, n_rows, n_groups = len(inputs), max(map(len, inputs)), int(groups.max(initial=-1)) + 1
    X = np.zeros((n_studies, n_rows, len(groups)))
    z = np.zeros((n_studies, n_rows))
    extra = np.full((n_studies, n_rows), _PADDING_VARIANCE)
    for study, (rows, values) in enumerate(zip(inputs, scores, strict=True)):
        X[study, : len(rows)], z[study, : len(rows)], extra[study, : len(rows)] = rows, values, 1e-6
    squares = np.zeros((n_groups, n_studies, n_rows, n_rows))
    for column, group in enumerate(groups):
        squares[group] += (X[:, :, None, column] - X[:, None, :, column]) ** 2
    centre = math.log(_usual_scale(groups))
    diagonal = np.arange(n_rows)

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        inverse = np.exp(-2.0 * theta[:n_groups])
        amplitude, noise = np.exp(theta[n_groups:])
        distance = np.sqrt(np.tensordot(inverse, squares, 1))
        decay = np.exp(-_SQRT5 * distance)
        function = amplitude * (1.0 + _SQRT5 * distance + 5.0 / 3.0 * distance**2) * decay
        covariance = function + OFFSET_VARIANCE
        covariance[:, diagonal, diagonal] += noise + extra
        whitening = whitening_of(covariance)
        precision = whitening.transpose(0, 2, 1) @ whitening
        alpha = (precision @ z[:, :, None])[:, :, 0]
        loss = 0.5 * (alpha * z).sum() - np.log(whitening[:, diagonal, diagonal]).sum()
        outer = precision - alpha[:, :, None] * alpha[:, None, :]
        slope = outer * (amplitude * 5.0 / 3.0) * (1.0 + _SQRT5 * distance) * decay
        gradient = np.empty_like(theta)
        gradient[:n_groups] = 0.5 * np.tensordot(squares, slope, 3) * inverse
        gradient[n_groups] = 0.5 * (outer * function).sum()
        gradient[n_groups + 1] = 0.5 * noise * outer[:, diagonal, diagonal].sum()
        away = np.append(theta[:n_groups] - centre, [theta[n_groups], theta[n_groups + 1] + 2.5])
        return loss + 0.5 * (away**2).sum(), gradient + away

    start = np.append(np.full(n_groups, centre), [0.0, -2.5])
    bounds = [(-3.0, 4.0)] * n_groups + [(-3.0, 3.0), (-7.0, 1.0)]
    theta = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": n_steps}).x
    return Kernel(np.exp(-theta[:n_groups])[groups], *np.exp(theta[n_groups:]).tolist())


def whitening_of(covariances: np.ndarray) -> np.ndarray:
    """Return the inverses of the lower Cholesky factors of many covariances, shape (n_studies, n, n)."""
    factor, invert = get_lapack_funcs(("potrf", "trtri"), (covariances,))
    found = np.empty_like(covariances)
    # This takes a third of the time of NumPy's inv on the whole stack, which ignores that factors are triangular.
    for study, covariance in enumerate(covariances):
        root, fault = factor(covariance.T, lower=1, clean=1)
        if fault:
            raise np.linalg.LinAlgError(f"The covariance of study {study} is not positive definite.")
        found[study] = invert(root, lower=1)[0]
    return found


def _usual_scale(groups: np.ndarray) -> float:
    return 0.4 * math.sqrt(max(len(set(groups.tolist())), 1))
