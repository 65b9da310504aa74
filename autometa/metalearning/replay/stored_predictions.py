"""Read the predictions that a collection stored, to compute losses of ensembles of recorded configurations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np

from autometa.core.budget import Deadline
from autometa.core.task import Problem
from autometa.ensemble.selection import select_ensemble
from autometa.evaluation.metrics import Metric, resolve_metric
from autometa.metadataset.pool import configuration_id
from autometa.metadataset.schema import HELD_OUT
from autometa.metadataset.store import read_predictions
from autometa.metalearning.replay.replay import metric_of
from autometa.policy.past_tasks import PastTasks

_N_ROUNDS = 12


@dataclass(frozen=True)
class StoredPredictions:
    """Predictions of many configurations for rows of one task that none of them was trained on.

    Parameters
    ----------
    metric : Metric
        Metric of the task.
    y : ndarray of shape (n_rows,)
        Class codes, or regression targets.
    predictions : mapping of int to ndarray of shape (n_rows,) or (n_rows, n_classes)
        Finite predictions by index of the configuration.
    is_held_out : ndarray of shape (n_rows,), bool, optional
        Mask of the held-out rows, on which nothing was selected. The others are validation rows.
    """

    metric: Metric
    y: np.ndarray
    predictions: Mapping[int, np.ndarray]
    is_held_out: np.ndarray | None = None

    @cached_property
    def losses(self) -> dict[int, float]:
        """Loss of each configuration alone."""
        return {index: self.metric.loss(self.y, values) for index, values in self.predictions.items()}

    def regret(self, predictions: np.ndarray) -> float:
        """Return the regret of predictions among single configurations; an ensemble's can be negative."""
        best, worst = min(self.losses.values()), max(self.losses.values())
        return (self.metric.loss(self.y, predictions) - best) / max(worst - best, 1e-12)

    def weights(self, indices: Sequence[int]) -> dict[int, float]:
        """Return the weights of configurations in the ensemble selected from them."""
        weights = select_ensemble(
            [self.predictions[index] for index in indices],
            lambda averaged: self.metric.loss(self.y, averaged),
            size=_N_ROUNDS,
            deadline=Deadline.after(math.inf),
        )
        return dict(zip(indices, weights.tolist(), strict=True))

    def mix(self, weights: Mapping[int, float]) -> np.ndarray:
        """Return the predictions of an ensemble."""
        return np.sum([weight * self.predictions[index] for index, weight in weights.items() if weight > 0], axis=0)

    def split(self) -> tuple[StoredPredictions, StoredPredictions]:
        """Return the validation rows, to select an ensemble on, and the held-out rows, to judge it on.

        Collections of layout 1 have no held-out rows; their even rows are for selection, the odd ones
        for judging.
        """
        is_judged_on = self.is_held_out
        if is_judged_on is None or not is_judged_on.any():
            is_judged_on = np.arange(len(self.y)) % 2 == 1
        return self._rows(~is_judged_on), self._rows(is_judged_on)

    def _rows(self, mask: np.ndarray) -> StoredPredictions:
        predictions = {index: values[mask] for index, values in self.predictions.items()}
        return StoredPredictions(self.metric, self.y[mask], predictions)


def read_stored_predictions(folder: Path, past: PastTasks, task: int) -> StoredPredictions | None:
    """Return the predictions stored for a past task, or None with fewer than two configurations.

    Parameters
    ----------
    folder : Path
        Folder of the collection.
    past : PastTasks
        Past tasks with the configurations to read.
    task : int
        Index of the task.

    Raises
    ------
    MetaDatasetError
        If there is no collection in the folder, or it is damaged.
    """
    problem = cast(Problem, past.problems[task])
    try:
        fold, y, found = read_predictions(folder, past.tasks[task])
    except KeyError:
        return None
    by_id = {configuration_id(configuration): index for index, configuration in enumerate(past.configurations)}
    predictions = {
        by_id[name]: values.astype(np.float64)
        for name, values in found.items()
        if name in by_id and np.isfinite(values).all()
    }
    if len(predictions) < 2:
        return None
    y = y.astype(np.float64 if problem == "regression" else np.int64)
    return StoredPredictions(resolve_metric(metric_of(past, task), problem), y, predictions, fold == HELD_OUT)
