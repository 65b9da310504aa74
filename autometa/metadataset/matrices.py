"""Arrange evaluations as matrices of tasks × configurations, and as learning curves.

All functions need the categories that `checks.checked_evaluations` makes: the codes of `task` and
`configuration` are row numbers in the tables of tasks and of configurations.
"""

# Tests: tests/metadataset/test_dataset.py

from __future__ import annotations

import numpy as np
import pandas as pd

from autometa.metadataset.schema import LOSSES, OBJECTIVE, STATUSES

COSTS = ("fit_s", "predict_s", "fit_cpu_s", "predict_cpu_s", "memory_mb")
"""Columns of `evaluations` with seconds and memory."""

_METRICS: dict[str, tuple[str, ...]] = {str(problem): metrics for problem, metrics in LOSSES.items()}
_METRICS[OBJECTIVE] = (OBJECTIVE,)


def metrics_of(tasks: pd.DataFrame, evaluations: pd.DataFrame) -> pd.Series:
    """Return the metric of each task: the first metric of its problem with a recorded loss."""
    codes, problems = evaluations["task"].cat.codes, tasks["problem"].to_numpy()
    chosen = np.full(len(tasks), "", dtype=object)
    for problem in pd.unique(problems):
        here, metrics = problems == problem, _METRICS[problem]
        chosen[here] = metrics[0]
        # In reverse, so that the first recorded metric is assigned last.
        for metric in reversed(metrics):
            recorded = np.bincount(codes, weights=loss_of(evaluations, metric).notna(), minlength=len(tasks)) > 0
            chosen[here & recorded] = metric
    return pd.Series(chosen, index=pd.Index(tasks["task"], name="task"), name="metric")


def loss_of(evaluations: pd.DataFrame, metric: str) -> pd.Series:
    """Return the recorded losses in one metric; all NaN without a column for it."""
    return evaluations.get(f"loss_{metric}", pd.Series(np.nan, index=evaluations.index))


def losses_of(evaluations: pd.DataFrame, metrics: pd.Series) -> np.ndarray:
    """Return the loss of every evaluation in the metric of its task."""
    rows = metrics.to_numpy()[evaluations["task"].cat.codes]
    losses = np.full(len(evaluations), np.nan)
    for metric in metrics.unique():
        losses = np.where(rows == metric, loss_of(evaluations, metric), losses)
    return losses


def mean_matrix(evaluations: pd.DataFrame, values: np.ndarray) -> pd.DataFrame:
    """Return the mean of `values` in each cell, ignoring NaN; NaN in empty cells."""
    known = ~np.isnan(values)
    cells, shape = _cells(evaluations)
    counts = np.bincount(cells[known], minlength=shape[0] * shape[1])
    sums = np.bincount(cells[known], weights=values[known], minlength=shape[0] * shape[1])
    with np.errstate(invalid="ignore"):
        return _frame(evaluations, (sums / counts).reshape(shape))


def worst_status_codes(evaluations: pd.DataFrame) -> pd.DataFrame:
    """Return the index in `STATUSES` of the worst status in each cell, −1 in empty cells."""
    cells, shape = _cells(evaluations)
    worst = np.full(shape[0] * shape[1], -1)
    np.maximum.at(worst, cells, evaluations["status"].cat.codes.to_numpy())
    return _frame(evaluations, worst.reshape(shape))


def mean_curve(evaluations: pd.DataFrame, losses: np.ndarray) -> pd.DataFrame:
    """Return the points of the learning curve of one configuration on one task.

    Finished fits of one anchor are averaged. Points along a fit are averaged by anchor and number of iterations, as
    folds may stop at different lengths. Only the longest fits reach the last points, so the mean progress may fall
    there; points are in the order of the iterations.
    """
    is_finished = evaluations["progress"] == 1
    points = pd.DataFrame(
        {
            "anchor": evaluations["anchor"].astype("float64"),
            "is_finished": is_finished,
            "stage": evaluations["n_iterations"].where(~is_finished, 0),
            "progress": evaluations["progress"].astype("float64"),
            "n_iterations": evaluations["n_iterations"],
            "loss": losses,
        }
    )[evaluations["status"] == STATUSES[0]]
    grouped = points.groupby(["anchor", "is_finished", "stage"])
    means = grouped[["progress", "n_iterations", "loss"]].mean().assign(n_evaluations=grouped.size())
    columns = ["anchor", "progress", "n_iterations", "loss", "n_evaluations"]
    return means.reset_index()[columns]


def _cells(evaluations: pd.DataFrame) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the flat index of each evaluation's cell, and the shape of the matrix."""
    tasks, configurations = evaluations["task"].cat, evaluations["configuration"].cat
    shape = len(tasks.categories), len(configurations.categories)
    return tasks.codes.to_numpy(np.int64) * shape[1] + configurations.codes.to_numpy(np.int64), shape


def _frame(evaluations: pd.DataFrame, values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(
        values,
        index=pd.Index(evaluations["task"].cat.categories, name="task"),
        columns=pd.Index(evaluations["configuration"].cat.categories, name="configuration"),
    )
