r"""Predict the losses of all configurations on a new task: each past task becomes a scenario of the new one.

============== =======================================================================
scenario       losses of all configurations if the new task were like one past task
weight         probability of a scenario; weights sum to 1
level          mean of a configuration over the past tasks of a problem, transformed by
               `loss_transform.to_scale`
unit           loss of a task that counts as 1: for log loss, the loss of predicting the
               class frequencies; 1 for all other metrics
shift          deviation of a task from the levels, divided by the problem's spread
============== =======================================================================

Scenarios are corrected pathwise (Matheron's rule; Wilson et al. 2021): the gaps between the
observed losses and those of a past task are extended to all configurations by Gaussian
regression, and added to the past task. A corrected scenario agrees with the observed losses and
keeps the shape of a real task elsewhere. By Bayes' rule, past tasks that needed little
correction get large weights.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from autometa.core.task import Problem
from autometa.evaluation.loss_transform import from_scale, to_scale
from autometa.metadataset.schema import LOSSES
from autometa.policy.gaussian_model import GaussianModel
from autometa.policy.past_tasks import PastTasks

_LEAST_INFORMATION = 0.01
"""Lower bound of a task's unit under log loss, in nats: about that of one row in a thousand in a second class."""


@dataclass(frozen=True)
class Scenarios:
    """Losses of all configurations in each scenario, and how likely each is.

    Parameters
    ----------
    losses : ndarray of shape (n_tasks, n_configurations)
        In units of the metric.
    weights : ndarray of shape (n_tasks,)
        Non-negative, sum 1.
    shift : ndarray of shape (n_tasks, n_configurations)
        By how much the observed losses moved the losses of a scenario, on the scale of `loss_transform.to_scale`;
        0 for uncorrected scenarios.
    """

    losses: np.ndarray
    weights: np.ndarray
    shift: np.ndarray

    def regret(self) -> np.ndarray:
        """Return normalised regret: 0 for the best configuration of a scenario, 1 for its worst."""
        low = self.losses.min(axis=1, keepdims=True)
        return (self.losses - low) / self.span()

    def span(self) -> np.ndarray:
        """Return worst less best loss of each scenario, of shape (n_tasks, 1)."""
        return np.maximum(np.ptp(self.losses, axis=1, keepdims=True), 1e-12)


class LossModel:
    """Makes scenarios for tasks of one problem under one metric.

    Shifts of tasks of other problems are learnt from, too: which configurations are good together
    differs little between problems.

    Parameters
    ----------
    past : PastTasks
        Past tasks.
    problem : {"binary", "multiclass", "regression"} or another kind that was recorded
        Problem of the new task.
    metric : str
        Metric of the new task; a metric without records for the problem is replaced by the first one with some.

    Attributes
    ----------
    metric : str
        The metric of the scenarios.
    usable : ndarray of shape (n_configurations,), bool
        Configurations that were measured on past tasks of the problem.
    """

    def __init__(self, past: PastTasks, problem: str, metric: str) -> None:
        self.metric = _recorded_metric(past, problem, metric)
        problems = np.array(past.problems)
        shifts = np.full((len(past.tasks), len(past.configurations)), np.nan)
        self._level = np.zeros(len(past.configurations))
        self._spread = 1.0
        self.usable = np.zeros(len(past.configurations), dtype=bool)
        for kind in np.unique(problems):
            same_problem = problems == kind
            own_metric = self.metric if kind == problem else _recorded_metric(past, str(kind), metric)
            units = _units(past, own_metric)[same_problem]
            values = to_scale(past.losses[own_metric][same_problem], own_metric) - units[:, None]
            values[np.isinf(values)] = np.nan  # a fit that diverged counts as failed
            level, spread = _level_and_spread(values)
            shifts[same_problem] = (values - level) / spread
            if kind == problem:
                measured = level[np.isfinite(level)]
                # A configuration without records for the problem gets the mean level, neither the best nor the worst.
                self._level = np.where(np.isfinite(level), level, measured.sum() / max(1, len(measured)))
                self._spread = spread
                self.usable = np.isfinite(values).sum(axis=0) >= max(1, min(3, same_problem.sum() // 4))
        self._model = GaussianModel.learn(shifts)
        self._prior = self._level + self._spread * self._model.rows
        self._units = _units(past, self.metric)

    def prior(self) -> np.ndarray:
        """Return the uncorrected losses of all past tasks, of shape (n_tasks, n_configurations)."""
        return from_scale(self._prior + self._units[:, None], self.metric)

    def scenarios(
        self,
        log_prior: np.ndarray,
        seen: Mapping[int, float],
        *,
        correct: bool,
        temperature: float,
        class_information: float = 1.0,
    ) -> Scenarios:
        """Return the scenarios, given observed losses.

        Parameters
        ----------
        log_prior : ndarray of shape (n_tasks,)
            Log-probability that the new task resembles each past task, up to a constant.
        seen : mapping of int to float
            Losses measured on the new task, by index of the configuration.
        correct : bool
            Whether scenarios are corrected to agree with the observed losses.
        temperature : float
            Positive divisor of the log-likelihoods; a small one concentrates the weights on few scenarios.
        class_information : float
            Unit of the new task, from `class_information`; positive.
        """
        unit = math.log(class_information) if self.metric == "log_loss" else 0.0
        indices = np.array([index for index in seen if self.usable[index]], dtype=np.int64)
        shift, log_weights = np.zeros_like(self._prior), np.array(log_prior, dtype=np.float64)
        if len(indices):
            measured = to_scale(np.array([seen[index] for index in indices]), self.metric) - unit
            gaps = (measured - self._prior[:, indices]) / self._spread
            precision = self._model.precision(indices)
            log_weights = log_weights - 0.5 / temperature * ((gaps @ precision) * gaps).sum(axis=1)
            if correct:
                shift = self._spread * gaps @ self._model.weights(indices)
        weights = np.exp(log_weights - log_weights.max())
        losses = from_scale(self._prior + shift + unit, self.metric)
        return Scenarios(losses, weights / weights.sum(), shift)


@functools.lru_cache(maxsize=16)
def loss_model(past: PastTasks, problem: str, metric: str) -> LossModel:
    """Return the model for a problem and a metric, fitted once for the same past tasks."""
    return LossModel(past, problem, metric)


def class_information(n_classes: int, features: Mapping[str, float]) -> float:
    """Return the log loss of the frequencies of the classes alone, in nats; 1 where there are no classes."""
    if n_classes < 2:
        return 1.0
    share = features.get("class_entropy", math.nan)
    # Without a recorded entropy, classes are taken as equally frequent.
    return max(_LEAST_INFORMATION, (share if math.isfinite(share) else 1.0) * math.log(n_classes))


def _units(past: PastTasks, metric: str) -> np.ndarray:
    """Return the logarithm of each past task's unit."""
    if metric != "log_loss":
        return np.zeros(len(past.tasks))
    n_classes = np.round(np.exp(past.sizes[:, 2])).astype(int)
    rows = (dict(zip(past.feature_names, row, strict=True)) for row in past.features.tolist())
    return np.log([class_information(n, row) for n, row in zip(n_classes, rows, strict=True)])


def _recorded_metric(past: PastTasks, problem: str, metric: str) -> str:
    """Return the metric if the problem has records of it, else the first one with records."""
    same_problem = np.array(past.problems) == problem
    recorded = [name for name, matrix in past.losses.items() if np.isfinite(matrix[same_problem]).any()]
    if metric in recorded:
        return metric
    usual = LOSSES.get(problem, ())  # type: ignore[call-overload]  # other kinds have none
    return next((name for name in usual if name in recorded), recorded[0] if recorded else next(iter(past.losses)))


def has_records(past: PastTasks, problem: Problem) -> bool:
    """Whether any past task of the problem has losses."""
    same_problem = np.array(past.problems) == problem
    return any(np.isfinite(matrix[same_problem]).any() for matrix in past.losses.values())


def _level_and_spread(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Return each configuration's mean over the tasks that have it, and the spread of tasks around it."""
    present = np.isfinite(values)
    if not present.any():
        return np.full(values.shape[1], np.nan), 1.0
    offset = np.array([row[seen].mean() if seen.any() else np.nan for row, seen in zip(values, present, strict=True)])
    relative = np.where(present, values - offset[:, None], 0.0)
    n_tasks = present.sum(axis=0)
    level = np.where(n_tasks > 0, relative.sum(axis=0) / np.maximum(n_tasks, 1) + np.nanmean(offset), np.nan)
    spread = float(np.sqrt(np.nanmean((values - level) ** 2)))
    return level, max(spread, 1e-6)
