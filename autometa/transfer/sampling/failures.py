"""Where the trials of a study fail, if they do not fail by chance."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from autometa.transfer.sampling.experts import Expert, Posterior, posterior
from autometa.transfer.sampling.kernel import default_kernel

_N_TRIALS = 100  # the latest that have failed, and as many that have not
_NOISE = 0.3  # share of the variance of failures that a pattern leaves unexplained
_LEAST_EVIDENCE = -1.0


@dataclass(frozen=True)
class FailurePattern:
    """How failures depend on the configuration.

    Parameters
    ----------
    belief : Posterior
        A Gaussian process on the standardised indicator of failure.
    rate, deviation : float
        Mean and standard deviation by which the indicator was standardised.
    """

    belief: Posterior
    rate: float
    deviation: float

    def expected(self, inputs: np.ndarray) -> np.ndarray:
        """Return the expected share of trials that fail at inputs, shape (n,); it may be a little outside [0, 1]."""
        return self.rate + self.deviation * self.belief.predict(inputs)[0]


def failure_pattern(inputs: np.ndarray, is_failed: np.ndarray, groups: np.ndarray) -> FailurePattern | None:
    """Return how failures depend on the configuration, None if they come by chance or not at all.

    The marginal likelihood of a Gaussian process on the indicator of failure is compared with
    that of noise alone, and while the question is open, the former is assumed. A machine that
    runs out of memory now and then should not spoil the configurations that it happened to have.

    Parameters
    ----------
    inputs : ndarray of shape (n, n_columns)
        Inputs of the finished trials, see `autometa.transfer.space.encoding`.
    is_failed : ndarray of shape (n,), bool
        Which of them have failed.
    groups : ndarray of shape (n_columns,)
        Parameter of each column.
    """
    if not is_failed.any():
        return None
    # Failures of long ago count too: once their region is left, the latest trials hold none.
    rows = np.sort(np.concatenate([np.flatnonzero(found)[-_N_TRIALS:] for found in (is_failed, ~is_failed)]))
    inputs, is_failed = inputs[rows], is_failed[rows]
    # As if one more trial had failed and one more had not: failures alone are a pattern too.
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
