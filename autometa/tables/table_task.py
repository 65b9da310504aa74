"""The supervised problem that a run has to solve: a cleaned table and its target."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from autometa.core.task import PROBLEMS, Problem, TaskDescription
from autometa.tables.clean_table import CleanTable


@dataclass(frozen=True)
class Task:
    """A table with a target.

    Parameters
    ----------
    table : CleanTable
        The features.
    y : ndarray of shape (n_rows,)
        Class codes 0 … n_classes − 1 (int64) for classification, float64 for regression.
    problem : {"binary", "multiclass", "regression"}
        Kind of the target.
    n_classes : int
        Number of classes; 0 for regression.
    sample_weight : ndarray of shape (n_rows,) or None
        Non-negative weights of the rows in fitting and in the loss.
    groups : ndarray of shape (n_rows,) or None
        Group of each row; no group is split over training and validation rows.
    classes : ndarray of shape (n_classes,) or None
        The labels behind the codes, for scorers that see labels.
    times : ndarray of shape (n_rows,) or None
        Rank of each row in time, if rows are to be validated on models of earlier rows.
    """

    table: CleanTable
    y: np.ndarray
    problem: Problem
    n_classes: int = 0
    sample_weight: np.ndarray | None = None
    groups: np.ndarray | None = None
    classes: np.ndarray | None = field(default=None, repr=False)
    times: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.problem not in PROBLEMS:
            raise ValueError(f"problem must be one of {PROBLEMS}, got {self.problem!r}.")
        for name in ("y", "sample_weight", "groups", "times"):
            values = getattr(self, name)
            if values is not None and len(values) != self.n_rows:
                raise ValueError(f"{name} must have one entry per row of X ({self.n_rows}), got {len(values)}.")

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.table)

    def describe(self) -> TaskDescription:
        """Return the counts that decide which strategies fit the task."""
        return TaskDescription(self.problem, self.n_rows, self.table.n_columns, self.n_classes)
