"""Experts on the loss function of a new study, weighted by how well they predict its trials.

An expert is a Gaussian process over configurations. Past studies had other metrics, so scores are modelled up to an
affine map: with ``t = 1 / scale``,

    t · y = f(x) + offset + noise,    f ~ GP(m, K),    offset ~ N(0, OFFSET_VARIANCE)

The offset is integrated out, as a constant in the covariance. The scale takes its likeliest value: as a function of t
the likelihood is tⁿ exp(−(A t² − 2 B t) / 2), whose maximum is at t = (B + √(B² + 4 n A)) / (2 A).

======  ==================================================================
symbol  meaning
======  ==================================================================
y       scores of the trials, lower is better, shape (n,)
m, C    prior mean and covariance (with noise and offset) of the trials
A, B    yᵀ C⁻¹ y and yᵀ C⁻¹ m; A and n count `_PRIOR_SCORES` extra scores
t       units of the function per score
======  ==================================================================
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.special import ndtr

from autometa.transfer.sampling.kernel import OFFSET_VARIANCE, Kernel, default_kernel, fitted_kernel
from autometa.transfer.sampling.outcomes import Outcomes, scores_of
from autometa.transfer.sampling.past_studies import Learnt
from autometa.transfer.sampling.population import Population

_PRIOR_SCORES = 2.0  # extra scores that say that the scale is 1
# The study's own length scales are fitted at this many trials, and then at each half more.
_FIRST_FIT = 8
_N_FIT_TRIALS = 100
_N_FIT_STEPS = 15
_N_NAMED = 5  # past studies that a user attribute names
_LOG_PRIORS = {"past": math.log(0.6), "alike": math.log(0.2), "no transfer": math.log(0.2), "same": 0.0}


@dataclass(frozen=True)
class Expert:
    """A mean function (or none) and a covariance.

    Parameters
    ----------
    name : str
        "past", "alike" or "no transfer"; "same" for a study that continues past ones, with their trials.
    kernel : Kernel
        Covariance of the part that past studies do not describe.
    population : Population or None
        What past studies say; None for nothing.
    has_covariance : bool
        Whether the covariance of past studies counts too, or only their mean.
    choice_cost : float
        Logarithm of the number of candidates among which the trials themselves have chosen this expert.
    """

    name: str
    kernel: Kernel
    population: Population | None = None
    has_covariance: bool = False
    choice_cost: float = 0.0

    @property
    def origin(self) -> str:
        """Where its suggestions come from, for the user to read."""
        if self.name == "same":
            return "past studies with like values"
        if self.population is None:
            return "the study's own model"
        studies = ", ".join(self.population.studies[:_N_NAMED])
        more = len(self.population.studies) - _N_NAMED
        return f"past studies{' alike' if self.name == 'alike' else ''}: {studies}{f' and {more} more' * (more > 0)}"


@dataclass(frozen=True)
class Posterior:
    """An expert after the trials of a study.

    Parameters
    ----------
    expert : Expert
        The expert.
    inputs : ndarray of shape (n, n_columns)
        Inputs of the trials.
    factor : ndarray of shape (n, n)
        Cholesky factor of C.
    residual : ndarray of shape (n,)
        Whitened difference of t · y and m.
    scale : float
        1 / t.
    log_likelihood : float
        Log-likelihood of the scores.
    scores : ndarray of shape (n,)
        The scores.
    features : ndarray of shape (n, n_features) or None
        The population's features of the inputs; None for an expert without one.
    """

    expert: Expert
    inputs: np.ndarray
    factor: np.ndarray
    residual: np.ndarray
    scale: float
    log_likelihood: float
    scores: np.ndarray
    features: np.ndarray | None = None

    def predict(self, inputs: np.ndarray, features: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of the scores at inputs, both of shape (n,).

        Passing known features of the inputs saves half of the time.
        """
        features = _features(self.expert, inputs) if features is None else features
        mean, cross, variance = _moments(self.expert, inputs, self.inputs, features, self.features)
        if len(self.inputs):
            half = solve_triangular(self.factor, cross.T, lower=True)
            mean = mean + half.T @ self.residual
            variance = variance - (half**2).sum(0)
        return self.scale * mean, self.scale * np.sqrt(np.maximum(variance, 1e-10))

    @cached_property
    def best(self) -> float:
        """The lowest expected score of the trials; the scores themselves are noisy."""
        return float(self.predict(self.inputs, self.features)[0].min())


def posterior(expert: Expert, inputs: np.ndarray, scores: np.ndarray) -> Posterior:
    """Return an expert after scores of shape (n,) were observed at inputs; n may be 0."""
    features = _features(expert, inputs)
    if not len(inputs):
        return Posterior(expert, inputs, np.zeros((0, 0)), np.zeros(0), 1.0, 0.0, scores, features)
    mean, covariance, _ = _moments(expert, inputs, inputs, features, features)
    covariance = covariance + expert.kernel.noise * np.eye(len(inputs))
    factor = cholesky(covariance + 1e-8 * np.eye(len(inputs)), lower=True)
    observed = solve_triangular(factor, scores, lower=True)
    expected = solve_triangular(factor, mean, lower=True)
    A = float(observed @ observed) + _PRIOR_SCORES
    B = float(observed @ expected)
    n = len(scores) + _PRIOR_SCORES
    t = (B + math.sqrt(B * B + 4.0 * n * A)) / (2.0 * A)
    residual = t * observed - expected
    log_likelihood = (
        n * math.log(t)
        - 0.5 * (float(residual @ residual) + _PRIOR_SCORES * t * t)
        - float(np.log(factor.diagonal()).sum())
    )
    return Posterior(expert, inputs, factor, residual, 1.0 / t, log_likelihood, scores, features)


def weights_of(posteriors: list[Posterior]) -> np.ndarray:
    """Return the posterior probabilities of the experts, shape (n_experts,), sum 1."""
    logs = np.array([_LOG_PRIORS[p.expert.name] - p.expert.choice_cost + p.log_likelihood for p in posteriors])
    weights = np.exp(logs - logs.max())
    return weights / weights.sum()


def expected_improvement(mean: np.ndarray, deviation: np.ndarray, best: float) -> np.ndarray:
    """Return the expectation of max(0, best − value)."""
    gap = (best - mean) / deviation
    return deviation * (gap * ndtr(gap) + np.exp(-0.5 * gap**2) / math.sqrt(2 * math.pi))


class OwnKernel:
    """The kernel fitted to a study's own trials.

    It changes only when half more trials are there. So processes that share a study and see slightly different numbers
    of trials agree, and most suggestions cost no fit.
    """

    def __init__(self) -> None:
        self._latest: tuple[bytes, Kernel] | None = None

    def fitted(self, inputs: np.ndarray, scores_at: Callable[[np.ndarray], np.ndarray], groups: np.ndarray) -> Kernel:
        """Return the kernel for a study with these trials, in order; `scores_at` returns the scores of some of them."""
        n_fit = _FIRST_FIT
        if len(inputs) < n_fit:
            return default_kernel(groups)
        while n_fit * 3 // 2 <= len(inputs):
            n_fit = n_fit * 3 // 2
        rows = np.arange(n_fit)[-_N_FIT_TRIALS:]
        scores = scores_at(rows)
        key = b"".join(part.tobytes() for part in (groups, inputs[rows], scores))
        if self._latest is None or self._latest[0] != key:
            fitted = fitted_kernel([inputs[rows]], [scores], groups, _N_FIT_STEPS)
            self._latest = (key, fitted)
        return self._latest[1]


def experts_of(learnt: Learnt, points: np.ndarray, outcomes: Outcomes, own_kernel: OwnKernel) -> list[Expert]:
    """Return the experts for a study with these trials; the last one ignores the past."""
    inputs = learnt.encoding.inputs(points)
    own = own_kernel.fitted(inputs, lambda rows: scores_of(outcomes[rows]), learnt.encoding.groups)
    cold = Expert("no transfer", own)
    if learnt.population is None:
        return [cold]
    population = learnt.population
    alike = population.alike(population.features(inputs), outcomes.ranks)
    return [
        Expert("past", population.kernel, population, has_covariance=True),
        Expert("alike", own, alike, choice_cost=0.0 if alike is population else math.log(population.n_studies)),
        cold,
    ]


def _features(expert: Expert, inputs: np.ndarray) -> np.ndarray | None:
    return None if expert.population is None else expert.population.features(inputs)


def _moments(
    expert: Expert, a: np.ndarray, b: np.ndarray, features_a: np.ndarray | None, features_b: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return prior means at a, covariances of a and b, and variances at a."""
    covariance = expert.kernel(a, b) + OFFSET_VARIANCE
    variance = np.full(len(a), expert.kernel.amplitude + OFFSET_VARIANCE)
    if expert.population is None or features_a is None or features_b is None:
        return np.zeros(len(a)), covariance, variance
    mean = features_a @ expert.population.mean
    if expert.has_covariance:
        # The population's covariance replaces the part of the kernel that its features describe.
        root_a, root_b = features_a @ expert.population.root, features_b @ expert.population.root
        covariance += root_a @ root_b.T
        covariance -= features_a[:, :-1] @ features_b[:, :-1].T
        variance = variance + (root_a**2).sum(1) - (features_a[:, :-1] ** 2).sum(1)
    return mean, covariance, variance
