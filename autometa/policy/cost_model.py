"""Predicted seconds and memory of a configuration on a task."""

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
# Pulls the exponents of a strategy towards those of all strategies, in units of squared log sizes.
_SHRINKAGE = 20.0
# Records come from one machine, fits from another, faster or slower by a factor of this logarithm.
_MACHINE = 0.5
# Below so many rows a part of every fit that does not depend on them hides how the rest grows.
_BEND_ROWS = 3000
# Beyond the largest recorded table, seconds grow with at least this power of the rows: what bounds the operations of a
# fit has a least number of passes over the rows in it.
_LEAST_GROWTH_OF_SECONDS = 0.7


class CostModel:
    """Predicts costs as products of powers of the task's size, corrected by what was measured on the task.

    The logarithm of a cost is linear in those of training rows, columns and classes, with
    exponents of its own for each strategy, that of the rows another one from 3,000 rows on,
    and a level for each configuration. What remains is Gaussian over the configurations, so
    that a few measured costs on the task at hand (a slower machine, a table that is hard to
    split) correct all the others.

    Parameters
    ----------
    costs : ndarray of shape (n_tasks, n_configurations)
        Positive costs on past tasks; NaN where nothing was measured.
    sizes : ndarray of shape (n_tasks, 3)
        Logarithms of training rows, columns, and classes (0 for regression).
    strategies : ndarray of shape (n_configurations,)
        Strategy of each configuration.
    least : float
        Costs below it count as that.
    machine : float
        Standard deviation of the logarithm of a factor that all costs of a machine share.
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
        # What is lacking to the least growth, where rows have both exponents.
        self._lacking = np.maximum(0.0, least_growth - self._slopes[0] - self._slopes[-1])
        residuals = logs - bent @ self._slopes
        learnt = GaussianModel.learn(residuals)
        self._model = replace(learnt, covariance=learnt.covariance + machine**2)
        # Nothing is known of a configuration that was never measured but what the others cost.
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
        places = np.array([place for place in seen if self.known[place]], dtype=np.int64)
        values = np.log(np.maximum([seen[place] for place in places], self._least)) - expected[places]
        mean, deviation = self._model.condition(places, values)
        mean = np.where(self.known, mean, self._mean)
        return np.exp(np.clip(mean + expected, -20, 20)), deviation


@functools.lru_cache(maxsize=4)
def seconds_model(past: PastTasks) -> CostModel:
    """Return the model of CPU seconds of one fit and prediction; the same object for the same past tasks."""
    return CostModel(past.seconds, past.sizes, past.strategies, _LEAST_S, _MACHINE, _LEAST_GROWTH_OF_SECONDS)


@functools.lru_cache(maxsize=4)
def memory_model(past: PastTasks) -> CostModel:
    """Return the model of the peak memory of an evaluation, in MiB; the same object for the same past tasks."""
    return CostModel(past.memory_mb, past.sizes, past.strategies, _LEAST_MB)


def size_of(description: TaskDescription) -> np.ndarray:
    """Return the size of a task as cost models take it."""
    rows = max(1.0, description.n_rows * description.train_share)
    return np.log([rows, max(1, description.n_columns), max(1, description.n_classes)])


def _bent(sizes: np.ndarray) -> np.ndarray:
    """Return sizes with the logarithm of the rows, as far as they are more than the bend, as another column."""
    return np.column_stack([sizes, np.maximum(0.0, sizes[:, 0] - np.log(_BEND_ROWS))])


def _exponents(logs: np.ndarray, sizes: np.ndarray, centre: np.ndarray, shrinkage: float) -> np.ndarray:
    """Return the exponents of the sizes that fit some columns best, each with a level of its own."""
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
