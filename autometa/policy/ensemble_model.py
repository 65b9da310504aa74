r"""Predict what a configuration adds to an ensemble, from second moments of errors on past tasks.

============== ==============================================================================
error          squared error or Brier score of an ensemble, :math:`w^\top C w`, with the second
               moments C of a task
weights        chosen by greedy forward selection with replacement (Caruana et al. 2004), as in
               a fit
regret         logarithm of the error: 0 for the ensemble of everything that was recorded on
               the task, 1 for the median of its single configurations, 2 without a model
gain           fall of the regret if a configuration is added with the best weight
============== ==============================================================================
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from autometa.evaluation.loss_transform import to_scale
from autometa.policy.moment_completion import completed
from autometa.policy.past_tasks import PastTasks

NO_MODEL = 2.0
"""Regret without a model; larger regrets count as this."""

_N_ROUNDS = 10
_N_ROUNDS_OF_ALL = 25
_UNKNOWN = 1e6
"""Error of a configuration that was not measured on a task, so that it is never chosen there."""
_LEAST_ERROR = 1e-9
_FEWEST_FOR_SLOPE = 5
_LEAST_SPAN = 0.01
"""Least difference of logarithms between regrets 0 and 1: on some tasks all configurations are equally good."""


class EnsembleModel:
    """Errors of ensembles of recorded configurations on past tasks.

    Parameters
    ----------
    moments : ndarray of shape (n_tasks, n_configurations, n_configurations)
        Second moments of errors; NaN where a configuration was not measured.

    Attributes
    ----------
    known : ndarray of shape (n_tasks, n_configurations), bool
        Whether a configuration was measured on a task.
    """

    def __init__(self, moments: np.ndarray) -> None:
        self._moments = np.nan_to_num(np.asarray(moments, dtype=np.float32), nan=0.0)
        self._single = np.einsum("tii->ti", moments).astype(np.float64)
        self.known = np.isfinite(self._single)
        self._single = np.where(self.known, self._single, _UNKNOWN)
        index = np.arange(moments.shape[1])
        self._moments[:, index, index] = self._single
        self._best = np.zeros(len(moments))
        self._span = np.ones(len(moments))
        for task in np.flatnonzero(self.known.any(axis=1)):
            members = np.flatnonzero(self.known[task])
            weights = greedy_weights(self._moments[[task]][:, members][:, :, members], _N_ROUNDS_OF_ALL)[0]
            error = weights @ self._moments[task][np.ix_(members, members)] @ weights
            self._best[task] = _log(error)
            usual = _log(np.median(self._single[task, members]))
            self._span[task] = max(usual - self._best[task], _LEAST_SPAN)

    def regret(self, members: Sequence[int]) -> np.ndarray:
        """Return the regret of the ensemble of some configurations on each task, of shape (n_tasks,)."""
        if not len(members):
            return np.full(len(self._single), NO_MODEL)
        index = np.asarray(members)
        matrices = self._moments[:, index[:, None], index]
        weights = greedy_weights(matrices, _N_ROUNDS)
        return self._on_scale(np.einsum("ti,tij,tj->t", weights, matrices, weights))

    def gains(self, members: Sequence[int], log_factors: np.ndarray | None = None) -> np.ndarray:
        """Return by how much each configuration lowers the regret of the ensemble of some others.

        Parameters
        ----------
        members : sequence of int
            Indices of the configurations in the ensemble.
        log_factors : ndarray of shape (n_tasks, n_configurations), optional
            Logarithms of factors of the errors, where losses seen on a new task say that they are larger or smaller
            than on the past task. Correlations of errors stay those of the past task.

        Returns
        -------
        ndarray of shape (n_tasks, n_configurations)
            Not negative; 0 where a configuration was not measured.
        """
        scales = np.exp(0.5 * np.zeros_like(self._single) if log_factors is None else 0.5 * log_factors)
        single = self._single * scales**2
        if not len(members):
            return (NO_MODEL - self._on_scale(single.T).T) * self.known
        index = np.asarray(members)
        within = self._moments[:, index[:, None], index] * scales[:, index, None] * scales[:, None, index]
        weights = greedy_weights(within, _N_ROUNDS)
        # Mean products of the errors of the ensemble with those of each configuration.
        common = np.einsum("tkj,tj->tk", self._moments[:, :, index], weights * scales[:, index]) * scales
        error = np.einsum("tj,tj->t", common[:, index], weights)[:, None]
        # The weight of the new member that minimises the error of the mixture.
        share = np.clip((error - common) / np.maximum(error + single - 2 * common, _LEAST_ERROR), 0, 1)
        mixed = (1 - share) ** 2 * error + 2 * share * (1 - share) * common + share**2 * single
        now = self._on_scale(error[:, 0])
        return np.maximum(now[:, None] - self._on_scale(mixed.T).T, 0.0) * self.known

    def advantage(self, members: Sequence[int]) -> np.ndarray:
        """Return by how much the ensemble of some configurations is better than the best of them, on each task.

        Parameters
        ----------
        members : sequence of int
            Indices of the configurations, at least one.

        Returns
        -------
        ndarray of shape (n_tasks,)
            Difference of the logarithms of their errors, not negative; 0 where none was measured.
        """
        index = np.asarray(members)
        matrices = self._moments[:, index[:, None], index]
        weights = greedy_weights(matrices, _N_ROUNDS)
        error = np.einsum("ti,tij,tj->t", weights, matrices, weights)
        found = np.maximum(_log(self._single[:, index].min(axis=1)) - _log(error), 0.0)
        return np.where(self.known[:, index].any(axis=1), found, 0.0)

    def _on_scale(self, errors: np.ndarray) -> np.ndarray:
        """Return regrets of errors whose last axis is the tasks."""
        return np.minimum((_log(errors) - self._best) / self._span, NO_MODEL)


def greedy_weights(moments: np.ndarray, n_rounds: int) -> np.ndarray:
    """Return the weights of greedily selected ensembles, one for each matrix of second moments.

    Parameters
    ----------
    moments : ndarray of shape (n_tasks, n_members, n_members)
        Second moments of errors, finite.
    n_rounds : int
        Rounds of the selection; the ensemble of the round with the lowest error is returned.

    Returns
    -------
    ndarray of shape (n_tasks, n_members)
        Not negative; each row sums to 1.

    References
    ----------
    Caruana et al. (2004), Ensemble selection from libraries of models. ICML.
    """
    n_tasks, n_members = moments.shape[:2]
    tasks = np.arange(n_tasks)
    single = np.einsum("tii->ti", moments)
    counts, common = np.zeros((n_tasks, n_members)), np.zeros((n_tasks, n_members))
    total = np.zeros(n_tasks)
    best, weights = np.full(n_tasks, np.inf), np.zeros((n_tasks, n_members))
    for n_chosen in range(1, n_rounds + 1):
        errors = (total[:, None] + 2 * common + single) / n_chosen**2
        chosen = errors.argmin(axis=1)
        total = total + 2 * common[tasks, chosen] + single[tasks, chosen]
        common = common + moments[tasks, chosen]
        counts[tasks, chosen] += 1
        error = errors[tasks, chosen]
        is_better = error < best
        best = np.where(is_better, error, best)
        weights = np.where(is_better[:, None], counts / n_chosen, weights)
    return weights


@functools.lru_cache(maxsize=16)
def error_slope(past: PastTasks, metric: str) -> float:
    """Return by how much the logarithm of the error changes with a loss on the scale of `loss_transform.to_scale`.

    It is the median over past tasks of the slope over their configurations, the worst fifth of which is left out; 0
    without a task that has losses in the metric and moments.
    """
    if past.moments is None or metric not in past.losses:
        return 0.0
    slopes = []
    for losses, errors in zip(past.losses[metric], np.einsum("tii->ti", past.moments), strict=True):
        usable = np.isfinite(losses) & np.isfinite(errors)
        if usable.sum() < _FEWEST_FOR_SLOPE:
            continue
        x, y = to_scale(losses[usable], metric), _log(errors[usable])
        kept = x <= np.quantile(x, 0.8)
        x, y = x[kept] - x[kept].mean(), y[kept] - y[kept].mean()
        slopes.append(float(x @ y / max(float(x @ x), 1e-6)))
    return float(np.median(slopes)) if slopes else 0.0


@functools.lru_cache(maxsize=4)
def ensemble_model(past: PastTasks) -> EnsembleModel:
    """Return the model of ensembles on past tasks with second moments, made once for the same past tasks."""
    if past.moments is None:
        raise ValueError("The past tasks have no second moments of errors, from which ensembles are predicted.")
    return EnsembleModel(completed(past, {metric: error_slope(past, metric) for metric in past.losses}))


def _log(errors: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(errors, _LEAST_ERROR))
