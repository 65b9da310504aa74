"""Measure how well losses, seconds and memory are predicted on tasks left out."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from autometa.core.task import TaskDescription
from autometa.evaluation.loss_transform import to_scale
from autometa.metadataset.dataset import MetaDataset
from autometa.metalearning.replay.assessment import family_folds, without
from autometa.metalearning.replay.replay import describe_past, metric_of
from autometa.policy.cost_model import memory_model, seconds_model
from autometa.policy.expected_gain import GainPolicy
from autometa.policy.observed_history import read_history
from autometa.policy.past_tasks import PastTasks
from autometa.policy.similarity import Similarity


def prediction_errors(past: MetaDataset | PastTasks, *, n_folds: int = 10, seed: int = 0) -> pd.DataFrame:
    """Return the errors of predictions for a task on which nothing was tried yet.

    Losses are transformed by `loss_transform.to_scale`, seconds and memory are logarithms. The
    constant predicts a configuration's mean over past tasks of the problem, or over all tasks if it
    has no records there. The nearest neighbour predicts its result on the most similar past task of
    the problem. Cells that one of the two cannot predict are left out.

    Parameters
    ----------
    past : MetaDataset or PastTasks
        Recorded results.
    n_folds, seed : int
        Number of parts of the families, and their seed.

    Returns
    -------
    DataFrame
        Index loss, seconds, memory, those with records; columns model, constant, nearest (mean
        absolute errors) and n (the number of cells).

    Raises
    ------
    ValueError
        If there are less than two families.
    """
    past = past if isinstance(past, PastTasks) else PastTasks.from_metadataset(past)
    found: dict[str, list[np.ndarray]] = {"loss": [], "seconds": [], "memory": []}
    for test in family_folds(past, n_folds, seed):
        train = without(past, test)
        for task in test:
            for target, errors in _errors(train, past, int(task)):
                found[target].append(errors)
    tables = {target: np.hstack(errors) for target, errors in found.items() if errors}
    rows = {target: [*table.mean(axis=1), table.shape[1]] for target, table in tables.items() if table.size}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["model", "constant", "nearest", "n"])


def _errors(train: PastTasks, past: PastTasks, task: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the absolute errors of model, constant and nearest neighbour, of shape (3, n_cells)."""
    metric = metric_of(past, task)
    description = describe_past(past, task, metric)
    same = np.array([problem == description.problem for problem in train.problems])
    likeness = Similarity(train.feature_names, train.features).log_similarity(description.features)
    nearest = int(np.argmax(np.where(same, likeness, -np.inf))) if same.any() else int(np.argmax(likeness))
    rows = same if same.any() else np.ones_like(same)

    def compared(truth: np.ndarray, past_values: np.ndarray, model: np.ndarray) -> np.ndarray:
        predicted = np.vstack([model, _means(past_values[rows], past_values), past_values[nearest]])
        known = np.isfinite(truth) & np.isfinite(predicted).all(axis=0)
        return np.abs(predicted[:, known] - truth[known])

    if metric in train.losses and same.any():
        yield (
            "loss",
            compared(
                to_scale(past.losses[metric][task], metric),
                to_scale(train.losses[metric], metric),
                to_scale(_expected_losses(train, description), metric),
            ),
        )
    for target, truth, recorded, make in (
        ("seconds", past.seconds, train.seconds, seconds_model),
        ("memory", past.memory_mb, train.memory_mb, memory_model),
    ):
        if np.isfinite(recorded).any():
            medians, _ = make(train).predict(past.sizes[task], {})
            logs = [np.log(np.maximum(values, 1e-3)) for values in (truth[task], recorded, medians)]
            yield target, compared(*logs)


def _expected_losses(train: PastTasks, description: TaskDescription) -> np.ndarray:
    scenarios = GainPolicy(train).outlook(description, read_history((), train.position, 1.0), math.inf).scenarios
    return scenarios.weights @ scenarios.losses


def _means(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the column means of the first matrix; a column of gaps takes its mean from the second."""
    means = np.full(first.shape[1], np.nan)
    for matrix in (second, first):
        known = np.isfinite(matrix)
        has_any = known.any(axis=0)
        means[has_any] = np.where(known, matrix, 0.0).sum(axis=0)[has_any] / known.sum(axis=0)[has_any]
    return means
