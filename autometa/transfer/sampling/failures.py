"""Learns where the trials of a study fail, if they do not fail by chance."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from autometa.transfer.sampling.experts import Expert, Posterior, posterior
from autometa.transfer.sampling.kernel import default_kernel

_N_TRIALS = 100  # the latest failed trials, and as many others
_NOISE = 0.3  # share of the variance of failures that a pattern leaves unexplained
_LEAST_EVIDENCE = -1.0  # log Bayes factor of a pattern against chance


@dataclass(frozen=True)
class FailurePattern:
    """How failures depend on the configuration.

    Parameters
    ----------
    posterior : Posterior
        A Gaussian process on the standardised indicator of failure.
    rate, deviation : float
        Mean and standard deviation by which the indicator was standardised.
    """

    posterior: Posterior
    rate: float
    deviation: float

    def expected(self, inputs: np.ndarray) -> np.ndarray:
        """Return the expected rate of failure at inputs, shape (n,); it may lie slightly outside [0, 1]."""
        return self.rate + self.deviation * self.posterior.predict(inputs)[0]


def failure_pattern(inputs: np.ndarray, is_failed: np.ndarray, groups: np.ndarray) -> FailurePattern | None:
    """Return how failures depend on the configuration, None if they come by chance or not at all.

    The marginal likelihood of a Gaussian process on the indicator of failure is compared with that of noise alone;
    while the question is open, a pattern is assumed. Failures by chance, as of a machine that runs out of memory now
    and then, must not discredit the configurations that they happened to.
    """
    if not is_failed.any():
        return None
    # Old failures count too: once search has left their region, the latest trials have none.
    rows = np.sort(np.concatenate([np.flatnonzero(found)[-_N_TRIALS:] for found in (is_failed, ~is_failed)]))
    inputs, is_failed = inputs[rows], is_failed[rows]
    # One more failure and one more success are assumed, so that failures alone can be a pattern too.
    rate = (is_failed.sum() + 1.0) / (len(is_failed) + 2.0)
    deviation = math.sqrt(rate * (1.0 - rate))
    pattern = replace(default_kernel(groups), amplitude=1.0 - _NOISE, noise=_NOISE)
    chance = replace(pattern, amplitude=1e-6, noise=1.0)
    with_pattern, without = (
        posterior(Expert("no transfer", kernel), inputs, (is_failed - rate) / deviation) for kernel in (pattern, chance)
    )
    if with_pattern.log_likelihood - without.log_likelihood < _LEAST_EVIDENCE:
        return None
    return FailurePattern(with_pattern, rate, deviation)
