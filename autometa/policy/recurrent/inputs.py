"""Turn a search into the inputs of the recurrent policy's network, in training and in use alike.

Losses are transformed by `loss_transform`, centred on the mean over configurations and past tasks of the problem,
and divided by the spread of those tasks. Seconds are logarithms. All inputs stay within a few units.

=================== ==================================================================
value               a loss transformed like that; NaN for a trial without a loss
expected            the mean of a configuration's values on past tasks of the problem
left_s              seconds left; inf without a time limit
=================== ==================================================================
"""

# Tests: tests/policy/recurrent/test_policy.py

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from autometa.core.task import PROBLEMS
from autometa.evaluation.loss_transform import from_scale, to_scale
from autometa.policy.loss_model import loss_model
from autometa.policy.past_tasks import PastTasks
from autometa.policy.recurrent.network import Shape

_BOUND = 4.0
"""Inputs are clipped to this magnitude."""

LEAST_S = 1e-3
"""Fewer seconds count as this."""


def shape_for(past: PastTasks) -> Shape:
    """Return the shape of a network that chooses among the configurations of `past`."""
    return Shape(
        n_actions=len(past.configurations),
        n_inputs=10,
        n_start=len(past.feature_names) + len(PROBLEMS),
        n_options=2,
    )


@dataclass(frozen=True)
class LossScale:
    """How losses of a problem under a metric become values, and the values of past tasks.

    Parameters
    ----------
    metric : str
        The metric of the losses.
    centre, spread : float
        The transformed loss that becomes 0, and the difference that becomes 1.
    expected : ndarray of shape (n_configurations,)
        Mean value of each configuration on past tasks of the problem.
    values : ndarray of shape (n_tasks, n_configurations)
        Values of all past tasks, of any problem; gaps are filled.
    usable : ndarray of shape (n_configurations,), bool
        Configurations with enough results.
    """

    metric: str
    centre: float
    spread: float
    expected: np.ndarray
    values: np.ndarray
    usable: np.ndarray

    @classmethod
    def learn(cls, past: PastTasks, problem: str, metric: str) -> LossScale:
        """Return the scale of a problem's past tasks; a `metric` without records is replaced."""
        model = loss_model(past, problem, metric)
        values = to_scale(model.prior(), model.metric)
        same_problem = np.array(past.problems) == problem
        level = values[same_problem].mean(axis=0)
        centre = float(level[model.usable].mean()) if model.usable.any() else 0.0
        spread = max(float(np.sqrt(((values[same_problem] - level) ** 2).mean())), 1e-6)
        return cls(
            metric=model.metric,
            centre=centre,
            spread=spread,
            expected=(level - centre) / spread,
            values=(values - centre) / spread,
            usable=model.usable,
        )

    def to_values(self, losses: np.ndarray) -> np.ndarray:
        """Return the values of losses."""
        return (to_scale(losses, self.metric) - self.centre) / self.spread

    def to_losses(self, values: np.ndarray) -> np.ndarray:
        """Return the losses whose values are given."""
        return from_scale(values * self.spread + self.centre, self.metric)


def feature_scale(features: np.ndarray) -> dict[str, np.ndarray]:
    """Return centre and scale of the meta-features of past tasks, as arrays stored with the weights."""
    present = np.isfinite(features)
    n = np.maximum(present.sum(axis=0), 1)
    centre = np.where(present, features, 0.0).sum(axis=0) / n
    spread = np.sqrt((np.where(present, features - centre, 0.0) ** 2).sum(axis=0) / n)
    # A feature with the same value everywhere carries no information.
    scale = np.where(spread > 1e-9, spread, np.inf)
    return {"feature_centre": centre, "feature_scale": scale}


def start_features(features: np.ndarray, problem: str, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the inputs known before a search, of shape (n_start,); unknown ones are 0."""
    scaled = (features - arrays["feature_centre"]) / arrays["feature_scale"]
    known = np.nan_to_num(np.clip(scaled, -_BOUND, _BOUND), nan=0.0)
    return np.concatenate([known, [problem == kind for kind in PROBLEMS]]).astype(np.float32)


def step_inputs(
    *,
    value: np.ndarray,
    expected: np.ndarray,
    first: np.ndarray,
    best: np.ndarray,
    log_s: np.ndarray,
    expected_log_s: np.ndarray,
    left_s: np.ndarray,
    share_left: np.ndarray,
    n_tried: np.ndarray,
) -> np.ndarray:
    """Return the inputs about trials, of shape (n, n_inputs).

    All arguments are of shape (n,), one entry per trial. In the entry before the first trial of a search, numbers
    about a trial are NaN.

    Parameters
    ----------
    value, expected : ndarray
        Value of the trial, and the expected value of its configuration.
    first, best : ndarray
        Value of the first result of the search, and the lowest one before the trial; NaN without one.
    log_s, expected_log_s : ndarray
        Logarithms of the trial's seconds, measured and expected.
    left_s, share_left : ndarray
        Seconds left after the trial, and their fraction of the search.
    n_tried : ndarray
        Number of trials, this one included.
    """
    is_limited = np.isfinite(left_s)
    columns = [
        np.isfinite(value),
        value - expected,
        value - first,
        value - best,
        log_s / 4.0,
        log_s - expected_log_s,
        is_limited,
        np.where(is_limited, np.log(np.maximum(left_s, LEAST_S)) / 4.0, 0.0),
        np.where(is_limited, share_left, 0.0),
        np.log1p(n_tried) / 3.0,
    ]
    inputs = np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)
    return np.clip(np.nan_to_num(inputs, nan=0.0), -_BOUND, _BOUND).astype(np.float32)


def options(log_s: np.ndarray, deviation: np.ndarray, left_s: np.ndarray) -> np.ndarray:
    """Return the inputs about each configuration, of shape (n, n_configurations, 2).

    They are the logarithms of its seconds and of its probability to end in time; 0 without a time limit.

    Parameters
    ----------
    log_s, deviation : ndarray of shape (n, n_configurations)
        Expected logarithm of the seconds, and its standard deviation.
    left_s : ndarray of shape (n,)
        Seconds left.
    """
    is_limited = np.isfinite(left_s)[:, None]
    left = np.log(np.maximum(np.where(is_limited, left_s[:, None], 1.0), LEAST_S))
    # The logistic distribution approximates the normal one, whose logarithm is slower.
    in_time = -np.logaddexp(0.0, -1.702 * (left - log_s) / deviation)
    both = np.stack([log_s, np.maximum(in_time, -8.0)], axis=2)
    return np.where(is_limited[:, :, None], both, 0.0).astype(np.float32)


def corrected(expected_log_s: np.ndarray, gaps: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Return expected logarithms of seconds, shifted by the mean gap between measured and expected ones.

    Parameters
    ----------
    expected_log_s : ndarray of shape (n_searches, n_configurations)
        From the size of the task.
    gaps, n : ndarray of shape (n_searches,)
        Sum of logarithms of seconds, less the expected ones, over trials with seconds; their number.
    """
    # Shrunk by one trial without a gap.
    return expected_log_s + (gaps / (n + 1))[:, None]


def log_seconds(seconds: float) -> float:
    """Return the logarithm of seconds; NaN unless they are positive."""
    return math.log(max(seconds, LEAST_S)) if seconds > 0 else math.nan
