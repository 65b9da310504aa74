"""Fits the population of past studies: the Gaussian distribution from which their loss functions are drawn.

    y_s = R_s w_s + noise,    w_s ~ N(mean, root rootᵀ)

================  =========================================================================================
symbol            meaning
================  =========================================================================================
y_s               scores of study s, lower is better
R_s, features     Nyström features of the kernel at ``centres``, and a constant; of shape (n, n_features)
w_s, weights      weights of the function of study s, of shape (n_features,)
mean              mean of the weights over studies, of shape (n_features,)
root              a root of their covariance, of shape (n_features, n_features)
================  =========================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.stats import rankdata

from autometa._support.seeds import child_seed
from autometa.transfer.sampling.kernel import OFFSET_VARIANCE, Kernel, fitted_kernel, normal_scores, whitening_of
from autometa.transfer.space.alignment import AlignedStudy
from autometa.transfer.space.encoding import Encoding, learnt_conditions

_N_FEATURES = 100
_N_STEPS = 5  # iterations of expectation maximisation
_N_TRIALS = 50  # per study: 25 best ones, others at even ranks
_N_KERNEL_STUDIES, _N_KERNEL_TRIALS = 20, 24
_PRIOR_STUDIES = 5.0  # number of studies that the stationary kernel counts for in the covariance
_N_TOP = 3
_N_ALIKE = 5
JITTER = 1e-6  # fraction of the amplitude on the diagonal of the kernel at the centres
_FEWEST_RANKED = 4  # fewer trials are often ranked correctly by chance


@dataclass(frozen=True)
class Population:
    """A Gaussian distribution of loss functions over one space, learnt from past studies.

    Parameters
    ----------
    encoding : Encoding
        The space.
    kernel : Kernel
        Stationary kernel that the features are made of.
    centres : ndarray of shape (n_centres, n_columns)
        Inputs at which the features are anchored.
    factor : ndarray of shape (n_centres, n_centres)
        Lower Cholesky factor of the kernel there.
    mean, root : ndarray
        See the module.
    weights : ndarray of shape (n_studies, n_features)
        Expected weights of each past study.
    tops : ndarray of shape (n_tops, n_parameters)
        Points on the grid that were among the best of some past study.
    top_studies : tuple of str
        A past study that each of them was among the best of.
    studies : tuple of str
        The past studies that the mean is of.
    n_studies : int
        Number of past studies.
    """

    encoding: Encoding
    kernel: Kernel
    centres: np.ndarray
    factor: np.ndarray
    mean: np.ndarray
    root: np.ndarray
    weights: np.ndarray
    tops: np.ndarray
    top_studies: tuple[str, ...]
    studies: tuple[str, ...]
    n_studies: int

    def features(self, inputs: np.ndarray) -> np.ndarray:
        """Return the features of inputs, shape (n, n_features)."""
        return _features(self.kernel, self.centres, self.factor, inputs)

    def alike(self, features: np.ndarray, ranks: np.ndarray) -> Population:
        """Return the population with the mean of the five past studies that rank a new study's trials best.

        Rank correlation chooses them, similar to the ranking loss of RGPE (Feurer et al., 2018).

        `features` and `ranks` (lower is better) are those of the new study's trials.
        """
        if len(ranks) < _FEWEST_RANKED or np.ptp(ranks) == 0:
            return self
        predicted = rankdata(features @ self.weights.T, axis=0)
        ranks = rankdata(ranks)
        away = predicted - predicted.mean(axis=0)
        agreement = (ranks - ranks.mean()) @ away / np.maximum(np.linalg.norm(away, axis=0), 1e-12)
        best = np.argsort(-agreement, kind="stable")[:_N_ALIKE]
        return replace(self, mean=self.weights[best].mean(axis=0), studies=tuple(self.studies[row] for row in best))


def fitted_population(
    studies: Sequence[AlignedStudy], encoding: Encoding, behind: Sequence[AlignedStudy] = ()
) -> Population:
    """Fit the population of past studies.

    A kernel is fitted to all studies first (Wang et al., 2024). Expectation maximisation on its Nyström features then
    finds mean and covariance of the weights (Schwaighofer et al., 2004).

    `behind` holds the pruned and failed trials of each study, which rank behind its complete ones; it may be empty.
    """
    rng = np.random.default_rng(child_seed(0, "population", len(studies)))
    pairs = zip_longest(studies, behind)
    points, scores = zip(*(_subset(study, worse, encoding, rng) for study, worse in pairs), strict=True)
    inputs = [encoding.inputs(found) for found in points]
    kernel = _kernel(inputs, scores, encoding, rng)
    centres, factor = _centres(kernel, inputs, scores, rng)
    stacked = _features(kernel, centres, factor, np.concatenate(inputs))
    features = np.split(stacked, np.cumsum([len(rows) for rows in inputs])[:-1])
    mean, root, weights = _expectation_maximisation(features, scores, kernel)
    # Trials are sorted best first; only complete ones are worth recommending.
    n_complete = [len(study.points) for study in studies]
    complete = ([part[:n] for part, n in zip(parts, n_complete, strict=True)] for parts in (points, scores))
    names = tuple(study.name for study in studies)
    tops, top_studies = best_points(encoding, names, *complete)
    return Population(encoding, kernel, centres, factor, mean, root, weights, tops, top_studies, names, len(studies))


def best_points(
    encoding: Encoding, names: Sequence[str], points: Sequence[np.ndarray], losses: Sequence[np.ndarray]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the distinct points on the grid that were among the best three of some study, and one such study each."""
    best = [found[np.argsort(values, kind="stable")[:_N_TOP]] for found, values in zip(points, losses, strict=True)]
    owners = np.repeat(np.arange(len(best)), [len(found) for found in best])
    distinct, first = np.unique(encoding.on_grid(np.concatenate(best)), axis=0, return_index=True)
    return distinct, tuple(names[owner] for owner in owners[first])


def encoding_of(distributions: dict, studies: Sequence[AlignedStudy], own: np.ndarray) -> Encoding:
    """Return the encoding of a space with conditions that hold in past studies and in the new one's points."""
    # A study without a parameter does not tell when it is active.
    blocks = [own, *(study.points for study in studies if study.known.all())]
    seen = np.concatenate(blocks) if any(len(block) for block in blocks) else np.zeros((0, len(distributions)))
    return Encoding(distributions, learnt_conditions(distributions, seen))


def _subset(
    study: AlignedStudy, worse: AlignedStudy | None, encoding: Encoding, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return points and scores of at most `_N_TRIALS` trials; unknown parameters are drawn at random."""
    every, ranks = study.points, study.losses
    unknown = np.broadcast_to(~study.known, every.shape)
    if worse is not None and len(worse.points):
        every = np.concatenate([every, worse.points])
        unknown = np.concatenate([unknown, np.broadcast_to(~(study.known & worse.known), worse.points.shape)])
        ranks = rankdata(ranks, method="dense")
        ranks = np.concatenate([ranks, ranks.max() + 1 + worse.losses])
    scores = normal_scores(ranks)
    order = np.argsort(scores, kind="stable")
    if len(order) > _N_TRIALS:
        half = _N_TRIALS // 2
        order = np.concatenate([order[:half], order[half:][:: -(-(len(order) - half) // half)]])
    points, unknown = every[order].copy(), unknown[order]
    if unknown.any():
        # Spread over the range, so that the population has no preference where nothing is known.
        points = np.where(unknown, encoding.uniform(rng.random(points.shape)), points)
    # Gaps that no condition explains become the middle of the range.
    gaps = np.isnan(points)
    gaps[:, list(encoding.conditions)] = False
    points[gaps] = np.broadcast_to(np.where(encoding.n_choices > 0, 0.0, 0.5), points.shape)[gaps]
    return points, scores[order]


def _kernel(
    inputs: Sequence[np.ndarray], scores: Sequence[np.ndarray], encoding: Encoding, rng: np.random.Generator
) -> Kernel:
    chosen = np.sort(rng.permutation(len(inputs))[:_N_KERNEL_STUDIES])
    rows = [np.sort(rng.permutation(len(scores[study]))[:_N_KERNEL_TRIALS]) for study in chosen]
    return fitted_kernel(
        [inputs[study][row] for study, row in zip(chosen, rows, strict=True)],
        [scores[study][row] for study, row in zip(chosen, rows, strict=True)],
        encoding.groups,
    )


def _centres(
    kernel: Kernel, inputs: Sequence[np.ndarray], scores: Sequence[np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs that explain most of the others, by pivoted Cholesky, and the kernel's factor there."""
    rows, values = np.concatenate(inputs), np.concatenate(scores)
    # Half of the pool from the better trials, where a new study will search.
    better = rng.permutation(np.flatnonzero(values < 0))[:400]
    worse = rng.permutation(np.flatnonzero(values >= 0))[:400]
    pool = rows[np.sort(np.concatenate([better, worse]))]
    scaled = kernel.scaled(pool)
    n_centres = min(_N_FEATURES, len(pool))
    left = np.full(len(pool), kernel.amplitude)
    columns = np.zeros((n_centres, len(pool)))
    pivots = []
    for step in range(n_centres):
        pivot = int(left.argmax())
        if left[pivot] < 1e-4 * kernel.amplitude:
            break
        pivots.append(pivot)
        column = kernel.of_scaled(scaled[pivot : pivot + 1], scaled)[0] - columns[:step, pivot] @ columns[:step]
        columns[step] = column / np.sqrt(left[pivot])
        left = np.maximum(left - columns[step] ** 2, 0.0)
    centres = pool[pivots]
    jitter = JITTER * kernel.amplitude * np.eye(len(centres))
    return centres, cholesky(kernel(centres, centres) + jitter, lower=True)


def _features(kernel: Kernel, centres: np.ndarray, factor: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    found = solve_triangular(factor, kernel(centres, inputs), lower=True).T
    return np.column_stack([found, np.ones(len(inputs))])


def _expectation_maximisation(
    features: Sequence[np.ndarray], scores: Sequence[np.ndarray], kernel: Kernel, n_steps: int = _N_STEPS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n_features, n_studies, n_rows = features[0].shape[1], len(features), max(map(len, features))
    # All studies at once in single precision takes a fifth of the time. Rows that pad a study have no features and no
    # score, and so no effect.
    R = np.zeros((n_studies, n_rows, n_features), dtype=np.float32)
    y = np.zeros((n_studies, n_rows), dtype=np.float32)
    for study, (rows, values) in enumerate(zip(features, scores, strict=True)):
        R[study, : len(rows)], y[study, : len(rows)] = rows, values
    # Variance that the features cannot express counts as noise.
    noise = kernel.noise + np.maximum(np.float32(kernel.amplitude) - (R[:, :, :-1] ** 2).sum(2), 0.0)
    prior = np.ones(n_features)
    prior[-1] = OFFSET_VARIANCE
    mean, covariance = np.zeros(n_features), np.diag(prior)
    diagonal = np.arange(n_rows)
    # Large arrays are allocated once: allocation costs as much as the arithmetic.
    flat_R, cross, half = R.reshape(-1, n_features), np.empty_like(R), np.empty_like(R)
    seen = np.empty((n_studies, n_rows, n_rows), dtype=np.float32)
    for _ in range(n_steps):
        np.matmul(flat_R, covariance.astype(np.float32), out=cross.reshape(-1, n_features))
        np.matmul(cross, R.transpose(0, 2, 1), out=seen)
        seen[:, diagonal, diagonal] += noise
        whitening = whitening_of(seen)
        np.matmul(whitening, cross, out=half)
        residual = whitening @ (y - R @ mean.astype(np.float32))[:, :, None]
        means = mean + (half * residual).sum(1)
        flat = half.reshape(-1, n_features)
        # One more study with weights 0 keeps a single past study from being trusted completely.
        mean = means.sum(0) / (n_studies + 1.0)
        away = means - mean
        total = n_studies * covariance - flat.T @ flat + away.T @ away + _PRIOR_STUDIES * np.diag(prior)
        covariance = total / (n_studies + _PRIOR_STUDIES)
    values, vectors = np.linalg.eigh(covariance)
    return mean, vectors * np.sqrt(np.maximum(values, 0.0)), means
