"""Fits and applies the adjustments of an ensemble's predictions: temperature, threshold, intervals and sets."""

# Tests: tests/test_fitted_model.py

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

from autometa._support.seeds import child_seed
from autometa._support.user_warnings import warn_user
from autometa.core.budget import Deadline
from autometa.ensemble.out_of_fold import OutOfFold
from autometa.evaluation.metrics import Metric
from autometa.evaluation.scorers import CustomLoss
from autometa.posthoc.conformal import Intervals, class_scores, fit_intervals
from autometa.posthoc.temperature import fit_temperature, with_temperature
from autometa.posthoc.threshold import MOST_ROWS, N_CANDIDATES, N_SAMPLES, fit_threshold, has_threshold, labels_at
from autometa.tables.table_task import Task

_MOST_ROWS = 10_000
"""Adjustments are fitted on a sample of at most this many out-of-fold rows."""
_N_PARTS = 5
_ALLOWED_S = 1.0
"""Seconds that tuning with a custom metric may take after the deadline, of the 2 s that a fit may."""
_RANKED_BY_CLASS = ("roc_auc", "average_precision")
"""Metrics that a temperature would change for more than two classes."""


@dataclass(frozen=True)
class Adjustments:
    """Adjustments of an ensemble's predictions, fitted on its out-of-fold predictions.

    Parameters
    ----------
    temperature : float
        Of the class probabilities; 1 leaves them as they are.
    threshold : float or None
        Probability of the second class from which rows get it; None for the likeliest class.
    intervals : Intervals or None
        For regression.
    class_scores : ndarray of shape (n_rows,) or None
        For classes; see `posthoc.conformal.class_scores`.
    """

    temperature: float = 1.0
    threshold: float | None = None
    intervals: Intervals | None = None
    class_scores: np.ndarray | None = None

    def notes(self, metric: Metric) -> list[str]:
        """Return what was adjusted, for the report."""
        notes = []
        if self.temperature != 1:
            notes.append(f"probabilities: scaled with a temperature of {self.temperature:.3g} (calibrate)")
        if self.threshold is not None:
            about = f"{self.threshold:.3g}, tuned for {metric.name} (tune_threshold)"
            notes.append(f"labels: the second class from a probability of {about}")
        return notes

    def probabilities(self, predictions: np.ndarray) -> np.ndarray:
        """Return calibrated class probabilities."""
        return with_temperature(predictions, self.temperature)

    def codes(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the class of each row, from calibrated probabilities."""
        if self.threshold is None:
            return probabilities.argmax(axis=1)
        return (probabilities[:, 1] >= self.threshold).astype(np.int64)


def fit_adjustments(
    out_of_fold: OutOfFold,
    task: Task,
    metric: Metric,
    *,
    calibrate: bool,
    tune_threshold: bool,
    seed: int,
    deadline: Deadline,
) -> Adjustments:
    """Return the adjustments that out-of-fold predictions support.

    Parameters
    ----------
    out_of_fold : OutOfFold
        Of the ensemble.
    task : Task
        Its target and weights.
    metric : Metric
        The metric of the fit; a threshold is tuned for metrics of labels alone.
    calibrate, tune_threshold : bool
        Whether to look for a temperature, and for a threshold.
    seed : int
        Seed of samples of rows.
    deadline : Deadline
        End of the fit. A custom metric that is too slow for it gets no threshold, and a warning.
    """
    rows, predictions, spread = out_of_fold.rows, out_of_fold.predictions, out_of_fold.spread
    if len(rows) > _MOST_ROWS:
        rng = np.random.default_rng(child_seed(seed, "adjustments"))
        kept = np.sort(rng.choice(len(rows), _MOST_ROWS, replace=False))
        rows, predictions, spread = rows[kept], predictions[kept], spread[kept]
    y = task.y[rows]
    weight = None if task.sample_weight is None else task.sample_weight[rows]
    if task.problem == "regression":
        return Adjustments(intervals=fit_intervals(y, predictions, spread, child_seed(seed, "intervals")))
    temperature, threshold = 1.0, None
    keeps_ranks = task.problem == "binary" or not metric.name.startswith(_RANKED_BY_CLASS)
    if calibrate and keeps_ranks:
        temperature = fit_temperature(y, predictions, weight, child_seed(seed, "temperature"))
    probabilities = with_temperature(predictions, temperature)
    if tune_threshold and task.problem == "binary" and has_threshold(metric):
        is_custom = isinstance(metric.function, CustomLoss)
        if not is_custom or _is_quick(metric, y, probabilities, weight, deadline):
            threshold = fit_threshold(
                y,
                probabilities[:, 1],
                metric.loss_or_inf,
                weight,
                child_seed(seed, "threshold"),
                n_samples=1 if is_custom else N_SAMPLES,
            )
    return Adjustments(temperature, threshold, class_scores=class_scores(y, probabilities))


def _is_quick(
    metric: Metric, y: np.ndarray, probabilities: np.ndarray, weight: np.ndarray | None, deadline: Deadline
) -> bool:
    """Whether a custom metric can be called as often as `fit_threshold` and `label_loss` do; warn if not."""
    few = slice(MOST_ROWS)
    start_s = time.perf_counter()
    metric.loss_or_inf(y[few], probabilities[few], None if weight is None else weight[few])
    needed_s = (time.perf_counter() - start_s) * N_CANDIDATES * (1 + _N_PARTS)
    if needed_s <= max(deadline.remaining_s(), _ALLOWED_S):
        return True
    warn_user(
        f"No threshold was tuned for {metric.name}, which would take {needed_s:.1f} s: predict returns the likeliest "
        "class. Give the fit more time_budget, or pass tune_threshold=False to silence this."
    )
    return False


def label_loss(
    otherwise: float, adjustments: Adjustments, out_of_fold: OutOfFold, task: Task, metric: Metric, seed: int
) -> float:
    """Return the loss of labels on out-of-fold rows, each from a threshold that was tuned without the row.

    The threshold of all rows looks better on them than it is: it would make a model of noise look useful.
    The result is `otherwise` without a threshold, and where the metric is not defined for these labels.
    """
    if adjustments.threshold is None:
        return otherwise
    rows = out_of_fold.rows
    y, weight = task.y[rows], None if task.sample_weight is None else task.sample_weight[rows]
    labels = as_judged(out_of_fold.predictions, y, weight, adjustments, metric, child_seed(seed, "label loss"))
    loss = metric.loss_or_inf(y, labels, weight)
    return loss if math.isfinite(loss) else otherwise


def as_judged(
    predictions: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray | None,
    adjustments: Adjustments,
    metric: Metric,
    seed: int,
) -> np.ndarray:
    """Return out-of-fold predictions as the metric judges them: values, calibrated probabilities, or labels.

    Labels are probabilities that are 0 or 1, shape (n_rows, 2), each from a threshold that was tuned without the row.
    """
    if predictions.ndim == 1:
        return predictions
    probabilities = adjustments.probabilities(predictions)
    if adjustments.threshold is None:
        return probabilities
    probability = probabilities[:, 1]
    part = np.random.default_rng(seed).permutation(len(y)) % _N_PARTS
    labels = np.empty((len(y), 2))
    for k in range(_N_PARTS):
        inside, outside = part != k, part == k
        within = None if weight is None else weight[inside]
        threshold = fit_threshold(y[inside], probability[inside], metric.loss_or_inf, within, n_samples=1)
        labels[outside] = labels_at(probability[outside], threshold)
    return labels
