"""Kernel machines: kernel logistic regression, support vector regression, Gaussian processes.

All are fitted to the same model, a kernel expansion ``k(x, landmarks) @ coefficients + intercept``. Support vectors,
Nyström landmarks and the rows of a Gaussian process differ only in how the coefficients are found. Columns are divided
by their length scales, so that every kernel below has unit length scale.

=========== ===================================================
kernel      value at Euclidean distance r (Manhattan for laplacian)
=========== ===================================================
rbf         exp(−r²)
laplacian   exp(−r)
matern32    (1 + √3 r) exp(−√3 r)
matern52    (1 + √5 r + 5 r² / 3) exp(−√5 r)
=========== ===================================================
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autometa._support.warning_filters import ignored_warnings
from autometa.core.budget import Deadline
from autometa.core.space import Value
from autometa.learners.base import FitData, Learner
from autometa.learners.linear import solve_logistic
from autometa.learners.numeric import TargetScale, bounded, outputs, sample_rows, target_scale, torch_threads
from autometa.learners.ridge import solve_ridge

MOST_ROWS_FOR_EXACT_REGRESSION = 3000
"""Support vector regression uses the whole kernel matrix up to this number of rows, Nyström landmarks beyond."""

MOST_ROWS_FOR_LENGTH_SCALES = 500
"""Largest number of rows on which the marginal likelihood of a Gaussian process is maximised."""

_MOST_LOGISTIC_VALUES = 6e7
"""Bound on rows × landmarks × outputs, all of which the solver reads twice in each of its iterations."""

_CHUNK_ROWS = 4096


@dataclass(eq=False, repr=False)
class KernelModel:
    """A kernel expansion over landmark rows.

    Parameters
    ----------
    kernel : {"rbf", "laplacian", "matern32", "matern52"}
        Shape of the kernel.
    column_scale : ndarray of shape (n_features,)
        Factor of each column, the inverse of its length scale.
    landmarks : ndarray of shape (n_landmarks, n_features)
        Rows, already multiplied by `column_scale`.
    coefficients : ndarray of shape (n_landmarks, n_outputs)
        Weights of the kernel values.
    intercept : ndarray of shape (n_outputs,)
        Added to the scores of every row.
    scale : TargetScale or None
        How a regression target was standardised; None for classification.
    is_cut_short : bool
        Whether the deadline ended the search for the kernel's length scales.
    """

    kernel: str
    column_scale: np.ndarray
    landmarks: np.ndarray
    coefficients: np.ndarray
    intercept: np.ndarray
    scale: TargetScale | None
    is_cut_short: bool = False
    n_iterations: int | None = None

    def predict(self, X: np.ndarray, n_threads: int = 1) -> np.ndarray:
        """Return (n_rows, n_classes) probabilities, or (n_rows,) values for regression."""
        X = bounded(X)
        scores = np.empty((len(X), len(self.intercept)))
        for i in range(0, len(X), _CHUNK_ROWS):
            rows = X[i : i + _CHUNK_ROWS] * self.column_scale
            scores[i : i + _CHUNK_ROWS] = kernel_matrix(self.kernel, rows, self.landmarks) @ self.coefficients
        return outputs(scores + self.intercept, self.scale)


def kernel_matrix(kernel: str, A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """Return the kernel between the rows of `A` and `B`, float64 of shape (len(A), len(B))."""
    from scipy.spatial.distance import cdist

    if kernel == "laplacian":
        distance = cdist(A, B, metric="cityblock")
        return np.exp(-distance, out=distance)
    A, B = A.astype(np.float64), B.astype(np.float64)
    squared = np.square(A).sum(axis=1)[:, None] + np.square(B).sum(axis=1) - 2.0 * (A @ B.T)
    values: np.ndarray = _kernel_values(kernel, np.maximum(squared, 0.0, out=squared), np)
    return values


def _kernel_values(kernel: str, squared: Any, xp: Any) -> Any:
    """Return a kernel at squared Euclidean distances, arrays of the library `xp` (NumPy or torch)."""
    if kernel == "rbf":
        return xp.exp(-squared)
    r = xp.sqrt((3.0 if kernel == "matern32" else 5.0) * squared)
    polynomial = 1.0 + r if kernel == "matern32" else 1.0 + r + r * r / 3.0
    return polynomial * xp.exp(-r)


def _median_distance(X: np.ndarray, seed: int, *, manhattan: bool) -> float:
    """Return the median distance between rows of a sample, which is the natural length scale of a kernel."""
    from scipy.spatial.distance import pdist

    sample = sample_rows(len(X), 300, seed)
    distances = pdist(X[sample].astype(np.float64), metric="cityblock" if manhattan else "euclidean")
    # Identical rows do not inform about the length scale.
    distances = distances[distances > 1e-9]
    return float(np.median(distances)) if len(distances) else 1.0


def fit_kernel_svm(data: FitData, parameters: Mapping[str, Value]) -> KernelModel:
    """Return a kernel machine with an L2 penalty in the kernel's space.

    Regression on up to `MOST_ROWS_FOR_EXACT_REGRESSION` rows is exact support vector regression. All other fits use
    Nyström landmarks (Williams and Seeger 2001) and are exact if every row is a landmark: ridge regression for numbers,
    and for classes the logistic instead of the hinge loss, which gives probabilities without a second calibration.

    Parameters
    ----------
    data : FitData
        Rows of the numeric view.
    parameters : mapping
        ``kernel`` ("rbf" or "laplacian"); ``C``: inverse strength of the penalty;
        ``gamma``: inverse width of the kernel, 1 is the median distance between rows;
        ``epsilon``: width of the tube of support vector regression, in standard
        deviations of the target; ``n_landmarks``: bound on the landmarks.
    """
    kernel = str(parameters.get("kernel", "laplacian"))
    gamma = float(parameters.get("gamma", 1.0))  # type: ignore[arg-type]
    C = float(parameters.get("C", 3.0))  # type: ignore[arg-type]
    X = bounded(data.X)
    length = _median_distance(X, data.seed, manhattan=kernel == "laplacian")
    # For rbf the factor gamma multiplies the squared distance, as in every library.
    factor = gamma / length if kernel == "laplacian" else math.sqrt(gamma) / length
    column_scale = np.full(X.shape[1], factor, dtype=np.float32)
    if data.problem == "regression" and len(X) <= MOST_ROWS_FOR_EXACT_REGRESSION:
        return _fit_support_vectors(data, kernel, column_scale, C, float(parameters.get("epsilon", 0.1)))  # type: ignore[arg-type]
    return _fit_landmarks(data, kernel, column_scale, C, int(parameters.get("n_landmarks", 500)))  # type: ignore[arg-type]


def _fit_support_vectors(data: FitData, kernel: str, column_scale: np.ndarray, C: float, epsilon: float) -> KernelModel:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import SVR

    scale = TargetScale(data.y, data.sample_weight)
    rows = bounded(data.X) * column_scale
    svr = SVR(kernel="precomputed", C=C, epsilon=epsilon, max_iter=200_000)
    # SVR has no such argument, but seeds libsvm from this attribute, or else from numpy's global state.
    svr.random_state = data.seed
    # libsvm refuses rows of weight 0; a weight of 1e-6 practically excludes them.
    weight = None if data.sample_weight is None else np.maximum(data.sample_weight, 1e-6)
    # Without a bound on the iterations a weak penalty would take minutes; the result is close to the optimum.
    with ignored_warnings(ConvergenceWarning):
        svr.fit(kernel_matrix(kernel, rows, rows), scale.standardise(data.y), sample_weight=weight)
    return KernelModel(
        kernel, column_scale, rows[svr.support_], svr.dual_coef_.reshape(-1, 1), np.reshape(svr.intercept_, 1), scale
    )


def _fit_landmarks(data: FitData, kernel: str, column_scale: np.ndarray, C: float, n_landmarks: int) -> KernelModel:
    n_rows = len(data.X)
    n_outputs = data.n_classes if data.problem == "multiclass" else 1
    n_landmarks = min(n_landmarks, max(50, int(_MOST_LOGISTIC_VALUES / (n_rows * n_outputs))))
    rows = bounded(data.X) * column_scale
    landmarks = rows[sample_rows(n_rows, n_landmarks, data.seed)]
    values, vectors = np.linalg.eigh(kernel_matrix(kernel, landmarks, landmarks))
    # Directions of (nearly) no variance, e.g. of repeated rows, are dropped.
    kept = values > 1e-6 * values.max()
    to_features = vectors[:, kept] / np.sqrt(values[kept])
    features = np.empty((n_rows, to_features.shape[1]), dtype=np.float32)
    for i in range(0, n_rows, _CHUNK_ROWS):
        features[i : i + _CHUNK_ROWS] = kernel_matrix(kernel, rows[i : i + _CHUNK_ROWS], landmarks) @ to_features
    scale = target_scale(data)
    if scale is not None:
        # A squared loss has twice the curvature of the logistic family's 1/2: hence 1 / (2 C).
        coefficients, intercept = solve_ridge(features, scale.standardise(data.y), 0.5 / C, data.sample_weight)
    else:
        coefficients, intercept = solve_logistic(features, data.y, data.n_classes, C, data.sample_weight, max_iter=100)
    return KernelModel(kernel, column_scale, landmarks, to_features @ coefficients, intercept, scale)


def fit_gaussian_process(data: FitData, parameters: Mapping[str, Value]) -> KernelModel:
    """Return the mean of a Gaussian process whose length scales and noise maximise the marginal likelihood.

    Weak log-normal priors around the median distance keep length scales sensible for few rows and many columns.

    Parameters
    ----------
    data : FitData
        Rows of the numeric view, problem regression.
    parameters : mapping
        ``kernel`` ("rbf", "matern32", "matern52"); ``length_scales``: "shared" by all columns or one
        "by_column"; ``noise``: prior guess of the noise variance, as a share of the target's variance.
    """
    kernel = str(parameters.get("kernel", "matern32"))
    noise = float(parameters.get("noise", 0.1))  # type: ignore[arg-type]
    by_column = parameters.get("length_scales", "by_column") == "by_column"
    X = bounded(data.X).astype(np.float64)
    scale = TargetScale(data.y, data.sample_weight)
    z = scale.standardise(data.y)
    weight = np.ones(len(z)) if data.sample_weight is None else np.maximum(data.sample_weight, 1e-6)
    sample = sample_rows(len(z), MOST_ROWS_FOR_LENGTH_SCALES, data.seed)
    start = _median_distance(X, data.seed, manhattan=False)
    # The final factorisation takes about as long as a few steps of this search.
    deadline = (
        data.deadline.sooner(0.1 * data.deadline.remaining_s()) if data.deadline.at_s < math.inf else data.deadline
    )
    with torch_threads(data.n_threads):
        lengths, amplitude, noise, is_cut_short = _maximise_likelihood(
            kernel, X[sample], z[sample], weight[sample], by_column, start, noise, deadline
        )
    column_scale = np.broadcast_to(1.0 / lengths, X.shape[1]).astype(np.float64)
    rows = X * column_scale
    covariance = amplitude * kernel_matrix(kernel, rows, rows)
    covariance[np.diag_indices_from(covariance)] += noise / weight
    from scipy.linalg import cho_factor, cho_solve

    coefficients = amplitude * cho_solve(cho_factor(covariance, lower=True, overwrite_a=True), z[:, None])
    return KernelModel(kernel, column_scale, rows, coefficients, np.zeros(1), scale, is_cut_short)


def _maximise_likelihood(
    kernel: str,
    X: np.ndarray,
    z: np.ndarray,
    weight: np.ndarray,
    by_column: bool,
    start: float,
    noise: float,
    deadline: Deadline,
) -> tuple[np.ndarray, float, float, bool]:
    """Return length scales of shape (n_features,) or (1,), amplitude, noise variance, and whether time ran out."""
    import torch
    from scipy.optimize import minimize

    n_lengths = X.shape[1] if by_column else 1
    rows, target = torch.from_numpy(X), torch.from_numpy(z)
    inverse_weight = torch.from_numpy(1.0 / weight)
    centre = np.concatenate([np.full(n_lengths, math.log(start)), [0.0, math.log(noise)]])
    # Deviations of the log-normal priors; a length scale may differ from its guess by a factor of about ten.
    width = np.concatenate([np.full(n_lengths, 1.5), [1.5, 2.0]])

    def objective(theta: np.ndarray) -> tuple[float, np.ndarray]:
        free = torch.tensor(theta, requires_grad=True)
        scaled = rows / torch.exp(free[:n_lengths])
        squares = (scaled * scaled).sum(1)
        squared = torch.clamp(squares[:, None] + squares[None, :] - 2.0 * scaled @ scaled.T, min=1e-12)
        covariance = torch.exp(free[-2]) * _kernel_values(kernel, squared, torch)
        covariance = covariance + torch.diag(torch.exp(free[-1]) * inverse_weight + 1e-6)
        factor, failed = torch.linalg.cholesky_ex(covariance)
        if failed:
            return 1e25, np.zeros_like(theta)
        solved = torch.linalg.solve_triangular(factor, target[:, None], upper=False)
        deviation = (free - torch.from_numpy(centre)) / torch.from_numpy(width)
        loss = 0.5 * (solved * solved).sum() + torch.log(factor.diagonal()).sum() + 0.5 * (deviation * deviation).sum()
        loss.backward()
        return loss.item(), free.grad.numpy()  # type: ignore[union-attr]

    is_cut_short = False

    def stop_in_time(intermediate_result: Any) -> None:
        nonlocal is_cut_short
        is_cut_short = deadline.passed()
        if is_cut_short:
            raise StopIteration

    lowest = np.concatenate([np.full(n_lengths, math.log(start) - 5.0), [-6.0, math.log(1e-4)]])
    highest = np.concatenate([np.full(n_lengths, math.log(start) + 7.0), [6.0, math.log(3.0)]])
    found = minimize(
        objective,
        np.clip(centre, lowest, highest),
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(lowest, highest, strict=True)),
        callback=stop_in_time,
        options={"maxiter": 60, "maxfun": 80},
    )
    noise_variance = float(np.exp(found.x[-1])) + 1e-6
    return np.exp(found.x[:n_lengths]), float(np.exp(found.x[-2])), noise_variance, is_cut_short


KERNEL_SVM = Learner(name="kernel_svm", view="numeric", fit=fit_kernel_svm, saved_types=(KernelModel,))
GAUSSIAN_PROCESS = Learner(
    name="gaussian_process",
    view="numeric",
    fit=fit_gaussian_process,
    library="torch",
    load_s=1.5,
    saved_types=(KernelModel,),
)
