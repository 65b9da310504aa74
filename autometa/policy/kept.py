"""Predictions that a collection kept: what an ensemble of recorded configurations would be worth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np

from autometa.core.budget import Deadline
from autometa.core.task import Problem
from autometa.ensemble.selection import select_ensemble
from autometa.evaluation.metrics import Metric, resolve_metric
from autometa.metadataset.pool import configuration_id
from autometa.metadataset.store import read_predictions
from autometa.policy.past import PastTasks
from autometa.policy.replay import metric_of

_N_ROUNDS = 12


@dataclass(frozen=True)
class KeptPredictions:
    """Out-of-fold predictions of many configurations for some rows of one task.

    Parameters
    ----------
    metric : Metric
        How they are judged.
    y : ndarray of shape (n_rows,)
        Class codes, or values.
    predictions : mapping of int to ndarray of shape (n_rows,) or (n_rows, n_classes)
        Finite, by the place of the configuration among the past ones.
    """

    metric: Metric
    y: np.ndarray
    predictions: Mapping[int, np.ndarray]

    @cached_property
    def losses(self) -> dict[int, float]:
        """Loss of each configuration alone."""
        return {place: self.metric.loss(self.y, values) for place, values in self.predictions.items()}

    def regret(self, predictions: np.ndarray) -> float:
        """Return the regret of some predictions among single ones; that of an ensemble can be below 0."""
        best, worst = min(self.losses.values()), max(self.losses.values())
        return (self.metric.loss(self.y, predictions) - best) / max(worst - best, 1e-12)

    def weights(self, places: Sequence[int]) -> dict[int, float]:
        """Return the weights of configurations in the ensemble that is selected from them."""
        weights = select_ensemble(
            [self.predictions[place] for place in places],
            lambda averaged: self.metric.loss(self.y, averaged),
            size=_N_ROUNDS,
            deadline=Deadline.after(math.inf),
        )
        return dict(zip(places, weights.tolist(), strict=True))

    def mix(self, weights: Mapping[int, float]) -> np.ndarray:
        """Return the predictions of an ensemble."""
        return np.sum([weight * self.predictions[place] for place, weight in weights.items() if weight > 0], axis=0)

    def halves(self) -> tuple[KeptPredictions, KeptPredictions]:
        """Return every other row, and the rest: to choose on the one and judge on the other."""
        first, second = (
            replace(
                self,
                y=self.y[start::2],
                predictions={place: values[start::2] for place, values in self.predictions.items()},
            )
            for start in (0, 1)
        )
        return first, second


def read_kept(folder: Path, past: PastTasks, task: int) -> KeptPredictions | None:
    """Return what a collection kept of a past task; None where there is nothing, or too little to judge.

    Parameters
    ----------
    folder : Path
        The collection's.
    past : PastTasks
        Tells the places of configurations.
    task : int
        Number of the task.

    Raises
    ------
    MetaDatasetError
        If there is no collection in the folder, or it is damaged.
    """
    problem = cast(Problem, past.problems[task])
    try:
        _, y, found = read_predictions(folder, past.tasks[task])
    except KeyError:
        return None
    by_id = {configuration_id(configuration): place for place, configuration in enumerate(past.configurations)}
    predictions = {
        by_id[name]: values.astype(np.float64)
        for name, values in found.items()
        if name in by_id and np.isfinite(values).all()
    }
    if len(predictions) < 2:
        return None
    y = y.astype(np.float64 if problem == "regression" else np.int64)
    return KeptPredictions(resolve_metric(metric_of(past, task), problem), y, predictions)
