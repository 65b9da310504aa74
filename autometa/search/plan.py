"""The plan of a search, from rows and seconds: folds or holdout, use of time, size of the ensemble."""

from __future__ import annotations

import math
from dataclasses import dataclass

from autometa.core.budget import Budget
from autometa.core.task import TaskDescription

# Seconds of 1,000 boosting rounds on one core, per training row and column: about 0.5 s for
# 1,000 × 20 and 5 s for 10,000 × 20. The plan needs no more accuracy.
_SECONDS_PER_CELL = 2.5e-5
_SECONDS_PER_FIT = 0.3
# Number of configurations that a search should be able to fit, so that comparing them pays.
_MIN_CONFIGURATIONS = 8
# Largest number of rows for which three folds beat a holdout even if fewer configurations can be tried.
_MOST_ROWS_OF_FOLDS = 3000
# Smallest time budget, in seconds, for which worker processes, which take seconds to start, pay.
MIN_BUDGET_FOR_WORKERS_S = 8.0


@dataclass(frozen=True)
class Plan:
    """How a search spends its budget.

    Parameters
    ----------
    n_splits : int
        Number of parts that the rows are divided into.
    is_holdout : bool
        Whether only the first part is used for validation.
    max_members : int
        Number of best trials that may enter the ensemble.
    use_workers : bool
        Whether there are worker processes.
    finish_s : float
        Seconds reserved for choosing the ensemble and loading its models.
    refit_share : float
        Fraction of the time reserved for the refits of the ensemble on all rows; 0 for no refits.
    """

    n_splits: int
    is_holdout: bool
    max_members: int
    use_workers: bool
    finish_s: float
    refit_share: float = 0.0

    @property
    def growth(self) -> float:
        """All rows divided by the training rows of a fold."""
        return self.n_splits / (self.n_splits - 1)


def make_plan(
    task: TaskDescription, budget: Budget, n_jobs: int, n_folds: int | None = None, kept: Plan | None = None
) -> Plan:
    """Return the plan for a task.

    Parameters
    ----------
    task : TaskDescription
        Size of the task.
    budget : Budget
        Limit on the run.
    n_jobs : int
        Evaluations at a time.
    n_folds : int, optional
        Number of folds that the caller insists on.
    kept : Plan, optional
        Plan of an earlier search of the same rows, whose folds are kept.
    """
    cells = task.n_rows * min(task.n_columns, 500) * (max(1, task.n_classes) ** 0.5 if task.n_classes > 2 else 1)
    fit_s = _SECONDS_PER_FIT + _SECONDS_PER_CELL * cells
    affordable = budget.time_s * n_jobs / (_MIN_CONFIGURATIONS * fit_s) if budget.has_time_limit else 5.0
    # With few rows the models of the folds gain most from each further row.
    fewest, most = (5, 8) if task.n_rows < 1000 else (3, 5)
    if kept is not None:
        n_splits, is_holdout = kept.n_splits, kept.is_holdout
    elif n_folds is not None:
        n_splits, is_holdout = n_folds, False
    elif affordable >= (1 if task.n_rows <= _MOST_ROWS_OF_FOLDS else 2) or task.n_rows < 1000:
        n_splits, is_holdout = max(fewest, min(most, math.floor(affordable))), False
    else:
        # 2,500 validation rows are enough to compare models; the others are better used for training.
        n_splits, is_holdout = max(5, min(10, round(task.n_rows / 2500))), True
    return Plan(
        n_splits=n_splits,
        is_holdout=is_holdout,
        max_members=_max_members(task.n_rows),
        use_workers=not budget.has_time_limit or budget.time_s >= MIN_BUDGET_FOR_WORKERS_S,
        finish_s=min(3.0, 0.2 + 0.06 * budget.time_s) if budget.has_time_limit else 0.0,
        refit_share=0.2 if is_holdout and affordable > 1 else 0.0,
    )


def _max_members(n_rows: int) -> int:
    """Return how many models the ensemble may choose from; few rows cannot distinguish many models."""
    for rows, members in ((200, 6), (500, 10), (2500, 16), (10_000, 25)):
        if n_rows < rows:
            return members
    return 30
