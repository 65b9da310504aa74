"""Predict seconds and memory of every configuration on a task."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy.stats import norm

from autometa.core.task import TaskDescription
from autometa.policy.gaussian_model import GaussianModel
from autometa.policy.past_tasks import PastTasks

_LEAST_S, _LEAST_MB = 1e-3, 1.0
_SHRINKAGE = 20.0
"""Strength of the pull of a strategy's exponents towards those of all strategies, in squared log sizes."""

_MACHINE = 0.5
"""Standard deviation of the logarithm of the speed ratio between the recording machine and this one."""

_BEND_ROWS = 3000
"""Seconds have another exponent of the rows from here on: in smaller fits the constant part dominates."""

_LEAST_GROWTH_OF_SECONDS = 0.7
"""Least exponent of the rows beyond the largest recorded table, as a fit passes over the rows several times."""


class CostModel:
    """Predicts costs as products of powers of the task's size, corrected by costs measured on the task.

    The logarithm of a cost is linear in the logarithms of training rows, columns and classes. Each
    strategy has its own exponents (the rows a second one from 3,000 rows on), each configuration
    its own level. Residuals are Gaussian over the configurations, so a few costs measured on the
    task at hand correct the predictions of all others.

    Parameters
    ----------
    costs : ndarray of shape (n_tasks, n_configurations)
        Positive costs on past tasks; NaN where nothing was measured.
    sizes : ndarray of shape (n_tasks, 3)
        Logarithms of training rows, columns, and classes (0 for regression).
    strategies : ndarray of shape (n_configurations,)
        Strategy of each configuration.
    least : float
        Smaller costs count as this.
    machine : float
        Standard deviation of the logarithm of a factor common to all costs on a machine.
    least_growth : float
        Least exponent of the rows beyond the largest recorded task.
    """

    def __init__(
        self,
        costs: np.ndarray,
        sizes: np.ndarray,
        strategies: np.ndarray,
        least: float,
        machine: float = 0.0,
        least_growth: float = 0.0,
    ) -> None:
        logs = np.log(np.maximum(costs, least))
        self._least = least
        self._largest = float(sizes[:, 0].max()) if len(sizes) else math.inf
        bent = _bent(sizes)
        self._centre = bent.mean(axis=0) if len(bent) else np.zeros(bent.shape[1])
        bent = bent - self._centre
        n_values = np.isfinite(logs).sum(axis=0)
        common = _exponents(logs, bent, np.zeros(bent.shape[1]), 1.0)
        self._slopes = np.zeros((bent.shape[1], logs.shape[1]))
        for strategy in np.unique(strategies):
            own = strategies == strategy
            self._slopes[:, own] = _exponents(logs[:, own], bent, common, _SHRINKAGE)[:, None]
        # Shortfall from the least growth, beyond the bend where both exponents of the rows apply.
        self._lacking = np.maximum(0.0, least_growth - self._slopes[0] - self._slopes[-1])
        residuals = logs - bent @ self._slopes
        learnt = GaussianModel.learn(residuals)
        self._model = replace(learnt, covariance=learnt.covariance + machine**2)
        # A configuration without records is predicted from the costs of the others.
        self.known = n_values > 0
        level = float(np.nanmedian(residuals)) if self.known.any() else 0.0
        self._mean = np.where(self.known, self._model.mean, level)

    def predict(self, size: np.ndarray, seen: Mapping[int, float]) -> tuple[np.ndarray, np.ndarray]:
        """Return median and log standard deviation of the cost of each configuration.

        Parameters
        ----------
        size : ndarray of shape (3,)
            As in `sizes`.
        seen : mapping of int to float
            Costs measured on the task, by configuration.
        """
        expected = (_bent(size[None])[0] - self._centre) @ self._slopes
        expected += self._lacking * max(0.0, size[0] - self._largest)
        indices = np.array([index for index in seen if self.known[index]], dtype=np.int64)
        values = np.log(np.maximum([seen[index] for index in indices], self._least)) - expected[indices]
        mean, deviation = self._model.condition(indices, values)
        mean = np.where(self.known, mean, self._mean)
        return np.exp(np.clip(mean + expected, -20, 20)), deviation


@functools.lru_cache(maxsize=4)
def seconds_model(past: PastTasks) -> CostModel:
    """Return the model of CPU seconds of one fit and prediction, fitted once for the same past tasks."""
    return CostModel(past.seconds, past.sizes, past.strategies, _LEAST_S, _MACHINE, _LEAST_GROWTH_OF_SECONDS)


@functools.lru_cache(maxsize=4)
def memory_model(past: PastTasks) -> CostModel:
    """Return the model of the peak memory of an evaluation in MiB, fitted once for the same past tasks."""
    return CostModel(past.memory_mb, past.sizes, past.strategies, _LEAST_MB)


def size_of(description: TaskDescription) -> np.ndarray:
    """Return the logarithms of a task's training rows, columns and classes."""
    rows = max(1.0, description.n_rows * description.train_share)
    return np.log([rows, max(1, description.n_columns), max(1, description.n_classes)])


def _bent(sizes: np.ndarray) -> np.ndarray:
    """Return sizes with another column: by how much the logarithm of the rows exceeds that of the bend."""
    return np.column_stack([sizes, np.maximum(0.0, sizes[:, 0] - np.log(_BEND_ROWS))])


def _exponents(logs: np.ndarray, sizes: np.ndarray, centre: np.ndarray, shrinkage: float) -> np.ndarray:
    """Return the exponents that fit some columns of log costs best, each column with its own level."""
    gram = shrinkage * np.eye(sizes.shape[1])
    moment = shrinkage * centre
    for column in logs.T:
        present = np.isfinite(column)
        if present.sum() > 1:
            x = sizes[present] - sizes[present].mean(axis=0)
            gram += x.T @ x
            moment += x.T @ (column[present] - column[present].mean())
    return np.linalg.solve(gram, moment)


def share_of_time(medians: np.ndarray, deviations: np.ndarray, left_s: float) -> np.ndarray:
    """Return the probability that each configuration takes less than the seconds that are left."""
    return norm.cdf((np.log(max(left_s, _LEAST_S)) - np.log(medians)) / deviations)
