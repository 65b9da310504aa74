"""The supervised problem that a run has to solve."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

Problem = Literal["binary", "multiclass", "regression"]
PROBLEMS: tuple[Problem, ...] = ("binary", "multiclass", "regression")


@dataclass(frozen=True)
class Task:
    """A table with a target.

    Parameters
    ----------
    X : DataFrame of shape (n_rows, n_columns)
        The raw features with unique text column names, nothing imputed or encoded.
    y : ndarray of shape (n_rows,)
        Class codes 0 … n_classes − 1 (int64) for classification, float64 for regression.
    problem : {"binary", "multiclass", "regression"}
        Kind of the target.
    n_classes : int
        Number of classes; 0 for regression.
    metric : str or callable
        Name of a metric, ``"auto"``, or a scikit-learn scorer.
    sample_weight : ndarray of shape (n_rows,) or None
        Non-negative weights of the rows in fitting and in the loss.
    groups : ndarray of shape (n_rows,) or None
        Group of each row; no group is split over training and validation rows.
    classes : ndarray of shape (n_classes,) or None
        The labels behind the codes, for scorers that see labels.
    """

    X: pd.DataFrame
    y: np.ndarray
    problem: Problem
    n_classes: int = 0
    metric: str | Callable[..., Any] = "auto"
    sample_weight: np.ndarray | None = None
    groups: np.ndarray | None = None
    classes: np.ndarray | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.problem not in PROBLEMS:
            raise ValueError(f"problem must be one of {PROBLEMS}, got {self.problem!r}.")
        for name in ("y", "sample_weight", "groups"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.X):
                raise ValueError(f"{name} must have one entry per row of X ({len(self.X)}), got {len(values)}.")

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.X)

    def describe(self) -> TaskDescription:
        """Return the counts that decide which strategies fit the task."""
        return TaskDescription(self.problem, self.n_rows, self.X.shape[1], self.n_classes)


@dataclass(frozen=True)
class TaskDescription:
    """Named numbers that describe a task, cheap next to one evaluation.

    Parameters
    ----------
    problem : {"binary", "multiclass", "regression"}
        Kind of the target.
    n_rows, n_columns, n_classes : int
        Size; 0 classes for regression.
    metric : str
        Name of the metric of the run, ``"auto"`` for the problem's own.
    loss_unit : float
        The loss that counts as 1: the standard deviation of the target for errors in the
        target's units, else 1.
    fits_in_turn : float
        Fits of one trial that come after each other: its folds divided by the evaluations at
        a time. A trial takes that many times the seconds of a fit.
    train_share : float
        Share of the rows that one fit trains on.
    features : mapping of str to float
        Meta-features; empty where they were not computed.
    """

    problem: Problem
    n_rows: int
    n_columns: int
    n_classes: int
    metric: str = "auto"
    loss_unit: float = 1.0
    fits_in_turn: float = 1.0
    train_share: float = 2 / 3
    features: Mapping[str, float] = field(default_factory=dict)
