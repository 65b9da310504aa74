"""Find dates with which the target changes, so that random folds say little about later rows."""

from __future__ import annotations

import numpy as np

from autometa.tables.table_task import Task

_N_PERIODS = 10
"""Rows are cut into this many periods of equal length in rows."""

_LEAST_ROWS = 200
_LEAST_SHARE = 0.15
"""Least share of the target's variance between periods; chance alone gives 9 periods divided by the rows."""


def columns_that_drive(task: Task) -> list[str]:
    """Return the date columns whose periods explain much of the target's variance.

    For classes the variance is that of the indicators of all classes together.
    """
    moments = task.table.blocks.get("moments")
    if moments is None or not moments.shape[1] or task.n_rows < _LEAST_ROWS:
        return []
    target = task.y[:, None].astype(np.float64)
    if task.problem != "regression":
        target = (task.y[:, None] == np.arange(task.n_classes)).astype(np.float64)
    # Ranks, so that a few large values do not hide or feign a change.
    else:
        target = np.argsort(np.argsort(target[:, 0], kind="stable"), kind="stable")[:, None].astype(np.float64)
    centred = target - target.mean(axis=0)
    total = float((centred**2).sum())
    found = []
    for name, column in zip(task.table.schema.moments, moments.T, strict=True):
        known = ~np.isnat(column)
        if known.sum() < _LEAST_ROWS or total == 0:
            continue
        order = np.flatnonzero(known)[np.argsort(column[known], kind="stable")]
        periods = np.array_split(order, _N_PERIODS)
        between = sum(len(rows) * float((centred[rows].mean(axis=0) ** 2).sum()) for rows in periods)
        if between / total > _LEAST_SHARE:
            found.append(name)
    return found
