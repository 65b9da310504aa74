r"""Predict the loss of the ensemble at the end of a search, before it begins.

The search is played in thought: the policy's best configuration is tried, then the next one as if the first had run,
until the time is used up. In each scenario the ensemble of what was tried has a loss:

============== ==========================================================================
best           lowest loss of the tried configurations in the scenario, on the scale of
               `loss_transform.to_scale`
advantage      logarithm of the ratio of two errors on the past task, by its second moments:
               of its best tried configuration, and of the ensemble
loss           best less advantage divided by the slope of the logarithm of errors over losses
============== ==========================================================================

Without second moments the ensemble counts as its best member. The median and the bounds are quantiles over the
scenarios, each with its weight.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autometa.evaluation.loss_transform import from_scale, to_scale
from autometa.policy.ensemble_model import ensemble_model, error_slope
from autometa.policy.loss_model import Scenarios
from autometa.policy.past_tasks import PastTasks

_LEAST_SLOPE = 0.2
"""Flatter relations of errors and losses say too little about the advantage of ensembles."""


def ensemble_losses(past: PastTasks, metric: str, scenarios: Scenarios, members: Sequence[int]) -> np.ndarray:
    """Return the loss of the ensemble of some configurations in each scenario.

    Parameters
    ----------
    past : PastTasks
        Past tasks, one for each scenario.
    metric : str
        Metric of the scenarios.
    scenarios : Scenarios
        Losses of all configurations.
    members : sequence of int
        Indices of the tried configurations, at least one.

    Returns
    -------
    ndarray of shape (n_tasks,)
        In units of the metric.
    """
    best = to_scale(scenarios.losses[:, list(members)].min(axis=1), metric)
    slope = error_slope(past, metric)
    if slope >= _LEAST_SLOPE:
        best = best - ensemble_model(past).advantage(members) / slope
    return from_scale(best, metric)


def quantiles(values: np.ndarray, weights: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Return weighted quantiles of some values at some levels in [0, 1]."""
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order])
    indices = np.searchsorted(cumulative, np.array(levels) * cumulative[-1])
    return values[order][np.minimum(indices, len(values) - 1)]
