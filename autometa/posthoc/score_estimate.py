"""The score to expect on new rows: without the optimism of choosing an ensemble on the rows that judge it.

Notation, for a loss L over the out-of-fold rows:

==========  ==============================================================================================
``L_in``    loss of the ensemble whose weights were chosen on these rows
``L_out``   loss when the predictions of each of `N_PARTS` parts of the rows are averaged with weights that
            were chosen on the other parts, among trials that were ranked on the other parts
optimism    ``max(0, L_out − L_in)``
estimate    ``L_in + optimism``
==========  ==============================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from autometa._support.seeds import child_seed
from autometa._support.warning_filters import ignored_warnings
from autometa.core.budget import Deadline
from autometa.ensemble.out_of_fold import OutOfFold
from autometa.evaluation.metrics import Metric
from autometa.posthoc.adjustments import Adjustments, as_judged
from autometa.posthoc.bootstrap import central_interval, sampled_losses
from autometa.tables.table_task import Task

N_PARTS = 5
MOST_ROWS = 2_000
"""The optimism is measured on a sample of at most this many rows, and shrinks in proportion to their number."""
_ALLOWED_S = 0.3
"""Seconds that the bootstrap may take in any case."""


@dataclass(frozen=True)
class CrossFitted:
    """Predictions of ensembles that were chosen without the rows that they predict.

    Parameters
    ----------
    rows : ndarray of shape (n_predictions,), int
        Row of the task.
    outside, inside : ndarray of shape (n_predictions, n_classes) or (n_predictions,)
        Predictions with weights chosen without the row, and with those of the ensemble.
    """

    rows: np.ndarray
    outside: np.ndarray
    inside: np.ndarray


@dataclass(frozen=True)
class ScoreEstimate:
    """The loss to expect on new rows.

    Parameters
    ----------
    validation_loss : float
        Loss on the out-of-fold rows, which chose the ensemble.
    optimism : float
        How much larger the loss on new rows is expected to be, >= 0.
    sampled_losses : ndarray of shape (n_samples,)
        Losses on bootstrap samples of the rows, with the optimism added.
    """

    validation_loss: float
    optimism: float
    sampled_losses: np.ndarray

    def as_series(self, metric: Metric, confidence: float) -> pd.Series:
        """Return the estimate in the metric's own units."""
        validation = metric.score(self.validation_loss)
        score = metric.score(self.validation_loss + self.optimism)
        scores = np.array([metric.score(loss) for loss in self.sampled_losses])
        low, high = central_interval(scores, confidence)
        values = {"score": score, "low": low, "high": high}
        return pd.Series(
            values | {"validation_score": validation, "optimism": abs(score - validation)}, name=metric.name
        )


def cross_fitted(
    predictions: np.ndarray,
    inside: np.ndarray,
    rows: np.ndarray,
    groups: np.ndarray | None,
    choose: Callable[[np.ndarray], np.ndarray],
    seed: int,
    deadline: Deadline,
) -> CrossFitted | None:
    """Return predictions with weights that were chosen on other rows; None with too few rows.

    Parameters
    ----------
    predictions : ndarray of shape (n_models, n_rows) or (n_models, n_rows, n_classes)
        Out-of-fold predictions of each model.
    inside : ndarray of shape (n_rows,) or (n_rows, n_classes)
        Predictions of the ensemble that was chosen on all rows.
    rows : ndarray of shape (n_rows,), int
        Row of the task; equal ones stay in one part.
    groups : ndarray of shape (n_rows,), int, or None
        Groups of rows that stay in one part.
    choose : callable
        Weights of the models, chosen on the rows with the given indices.
    seed : int
        Seed of the parts.
    deadline : Deadline
        No choice begins after it, except the first. Rows whose part was not reached are left out.
    """
    units = np.unique(rows if groups is None else groups, return_inverse=True)[1]
    n_units = int(units.max()) + 1
    if n_units < N_PARTS:
        return None
    part = (np.random.default_rng(seed).permutation(n_units) % N_PARTS)[units]
    outside = np.empty_like(inside)
    n_done = 0
    while n_done < N_PARTS and not (n_done and deadline.passed()):
        weights = choose(np.flatnonzero(part != n_done))
        outside[part == n_done] = np.tensordot(weights, predictions[:, part == n_done], axes=1)
        n_done += 1
    done = part < n_done
    return CrossFitted(rows[done], outside[done], inside[done])


def estimate_score(
    validation_loss: float,
    out_of_fold: OutOfFold,
    parts: CrossFitted | None,
    adjustments: Adjustments,
    task: Task,
    metric: Metric,
    *,
    seed: int,
    deadline: Deadline,
) -> ScoreEstimate | None:
    """Return the loss to expect on new rows, None without cross-fitted predictions.

    Parameters
    ----------
    validation_loss : float
        Loss of the ensemble on the out-of-fold rows.
    out_of_fold : OutOfFold
        Predictions of the ensemble, whose rows are drawn again by the bootstrap; groups are drawn as a whole.
    parts : CrossFitted or None
        What the optimism is measured with.
    adjustments, task, metric
        Of the fit.
    seed : int
        Seed of the samples.
    deadline : Deadline
        No sample is drawn after it, nor later than 0.3 s from now.
    """
    if parts is None:
        return None
    labels_seed = child_seed(seed, "label loss")

    def judge(rows: np.ndarray, predictions: np.ndarray) -> Callable[[np.ndarray], float]:
        y, weight = task.y[rows], None if task.sample_weight is None else task.sample_weight[rows]
        judged = as_judged(predictions, y, weight, adjustments, metric, labels_seed)
        return lambda chosen: metric.loss_or_inf(y[chosen], judged[chosen], None if weight is None else weight[chosen])

    with ignored_warnings():  # of scikit-learn, about samples that lack a class
        every = np.arange(len(parts.rows))
        difference = judge(parts.rows, parts.outside)(every) - judge(parts.rows, parts.inside)(every)
        optimism = max(0.0, difference) * len(parts.rows) / len(out_of_fold.rows)
        rows = out_of_fold.rows
        # Rows that several folds validate are drawn as a whole.
        units = rows if task.groups is None else task.groups[rows]
        groups = None if len(np.unique(units)) == len(units) else units
        loss = judge(rows, out_of_fold.predictions)
        latest = Deadline(max(deadline.at_s, Deadline.after(_ALLOWED_S).at_s))
        losses = sampled_losses(loss, len(rows), child_seed(seed, "score estimate"), groups, latest)
        shift = validation_loss - loss(np.arange(len(rows)))
    if not math.isfinite(difference + shift) or not len(losses):
        return None
    return ScoreEstimate(validation_loss, optimism, losses + shift + optimism)
