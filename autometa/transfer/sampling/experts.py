"""Beliefs about the loss function of a new study, and how much each is worth after what was seen.

Every expert is a Gaussian process over configurations. What is seen is known up to an affine
map only: a study's scores are ``offset + scale · function``, with the offset integrated out and
the scale at its likeliest value, because past studies had other metrics.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.special import ndtr

from autometa.transfer.sampling.kernel import OFFSET_VARIANCE, Kernel, default_kernel, fitted_kernel, own_scores
from autometa.transfer.sampling.outcomes import Outcomes
from autometa.transfer.sampling.population import Population

# Scores that count for a scale of 1 before anything is seen.
_PRIOR_SCORES = 2.0
# Own length scales are fitted anew when this many trials are there, and then at each half more.
_FIRST_FIT = 8
_N_FIT_TRIALS = 100
_N_FIT_STEPS = 15
_MAX_TRIALS = 300
_BAD_SCORE = 1.0  # of every trial while all of them are equally worthless
_LOG_PRIORS = {"past": math.log(0.6), "alike": math.log(0.2), "no transfer": math.log(0.2)}


@dataclass(frozen=True)
class Expert:
    """One belief: a mean function (or none) and a covariance.

    Parameters
    ----------
    name : str
        "past", "alike" or "no transfer".
    kernel : Kernel
        Of the part that past studies do not describe.
    population : Population or None
        What past studies say; None for nothing.
    has_covariance : bool
        Whether the covariance of past studies counts too, or only their mean.
    choice_cost : float
        Logarithm of the number of beliefs among which the trials themselves have chosen this one.
    """

    name: str
    kernel: Kernel
    population: Population | None = None
    has_covariance: bool = False
    choice_cost: float = 0.0


@dataclass(frozen=True)
class Posterior:
    """An expert after the trials of a study.

    Parameters
    ----------
    expert : Expert
        Whose.
    inputs : ndarray of shape (n, n_columns)
        Of the trials.
    factor : ndarray of shape (n, n)
        Cholesky factor of their covariance.
    residual : ndarray of shape (n,)
        Whitened difference of the observed function to its mean.
    scale : float
        Scores per unit of the function.
    log_likelihood : float
        Of the scores.
    features : ndarray of shape (n, n_features) or None
        The population's features of the inputs; None for an expert without one.
    """

    expert: Expert
    inputs: np.ndarray
    factor: np.ndarray
    residual: np.ndarray
    scale: float
    log_likelihood: float
    features: np.ndarray | None = None

    def predict(self, inputs: np.ndarray, features: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation of the scores at inputs, both of shape (n,).

        Features of the inputs, where they are known already, save half of the time.
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
        """The lowest expected score of the trials: scores themselves are noisy."""
        return float(self.predict(self.inputs, self.features)[0].min())


def posterior(expert: Expert, inputs: np.ndarray, scores: np.ndarray) -> Posterior:
    """Return an expert after scores of shape (n,) were seen at inputs; n may be 0."""
    features = _features(expert, inputs)
    if not len(inputs):
        return Posterior(expert, inputs, np.zeros((0, 0)), np.zeros(0), 1.0, 0.0, features)
    mean, covariance, _ = _moments(expert, inputs, inputs, features, features)
    covariance = covariance + expert.kernel.noise * np.eye(len(inputs))
    factor = cholesky(covariance + 1e-8 * np.eye(len(inputs)), lower=True)
    seen = solve_triangular(factor, scores, lower=True)
    expected = solve_triangular(factor, mean, lower=True)
    # The likelihood of t = 1 / scale is t^n exp(−(A t² − 2 B t) / 2): its largest value in closed form.
    A = float(seen @ seen) + _PRIOR_SCORES
    B = float(seen @ expected)
    n = len(scores) + _PRIOR_SCORES
    t = (B + math.sqrt(B * B + 4.0 * n * A)) / (2.0 * A)
    residual = t * seen - expected
    log_likelihood = (
        n * math.log(t)
        - 0.5 * (float(residual @ residual) + _PRIOR_SCORES * t * t)
        - float(np.log(factor.diagonal()).sum())
    )
    return Posterior(expert, inputs, factor, residual, 1.0 / t, log_likelihood, features)


def weights_of(posteriors: list[Posterior]) -> np.ndarray:
    """Return the probabilities of the experts after what they saw, shape (n_experts,), sum 1."""
    logs = np.array([_LOG_PRIORS[p.expert.name] - p.expert.choice_cost + p.log_likelihood for p in posteriors])
    weights = np.exp(logs - logs.max())
    return weights / weights.sum()


def expected_improvement(mean: np.ndarray, deviation: np.ndarray, best: float) -> np.ndarray:
    """Return how far below `best` a value is expected to be, counting 0 where it is above."""
    gap = (best - mean) / deviation
    return deviation * (gap * ndtr(gap) + np.exp(-0.5 * gap**2) / math.sqrt(2 * math.pi))


class OwnKernel:
    """The kernel of a study that knows no other, from its own trials in order.

    It changes only when half more trials are there, so that processes that share a study and see
    slightly different numbers of trials agree, and most suggestions cost no fit.
    """

    def __init__(self) -> None:
        self._latest: tuple[bytes, Kernel] | None = None

    def fitted(self, inputs: np.ndarray, scores_at: Callable[[np.ndarray], np.ndarray], groups: np.ndarray) -> Kernel:
        """Return the kernel for a study with these trials; `scores_at` returns the scores of some of them."""
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


def scores_of(outcomes: Outcomes) -> np.ndarray:
    """Return the scores of a study's own trials, lower is better, of shape (n,)."""
    if outcomes.is_all_bad:
        # There is nothing to be better than, but a trial that nothing is known of is expected to score 0.
        return np.full(len(outcomes), _BAD_SCORE)
    return own_scores(outcomes.losses, outcomes.ranks)


def kept_trials(ranks: np.ndarray) -> np.ndarray:
    """Return which trials of a long study are looked at: the best and the latest, in order."""
    if len(ranks) <= _MAX_TRIALS:
        return np.arange(len(ranks))
    best = np.argsort(ranks, kind="stable")[: _MAX_TRIALS // 2]
    latest = np.setdiff1d(np.arange(len(ranks)), best)[-(_MAX_TRIALS - len(best)) :]
    return np.sort(np.concatenate([best, latest]))


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
        # The population's covariance takes the place of what its features describe of the kernel.
        root_a, root_b = features_a @ expert.population.root, features_b @ expert.population.root
        covariance += root_a @ root_b.T
        covariance -= features_a[:, :-1] @ features_b[:, :-1].T
        variance = variance + (root_a**2).sum(1) - (features_a[:, :-1] ** 2).sum(1)
    return mean, covariance, variance
