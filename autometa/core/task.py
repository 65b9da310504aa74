"""The kinds of supervised problems, and the numbers that describe a task to a policy."""

# Tests: tests/tables/test_table_task.py

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Problem = Literal["binary", "multiclass", "regression"]
PROBLEMS: tuple[Problem, ...] = ("binary", "multiclass", "regression")


@dataclass(frozen=True)
class TaskDescription:
    """Named numbers that describe a task to a policy; they cost little compared with one evaluation.

    Parameters
    ----------
    problem : {"binary", "multiclass", "regression"}
        Kind of the target.
    n_rows, n_columns, n_classes : int
        Size; 0 classes for regression.
    metric : str
        Name of the metric of the run; ``"auto"`` for the default of the problem.
    loss_unit : float
        The loss that counts as 1: the standard deviation of the target for errors in the
        target's units, else 1.
    fits_in_turn : float
        Sequential fits per trial: its folds divided by the number of evaluations at a time.
    train_share : float
        Share of the rows that one fit trains on.
    features : mapping of str to float
        Meta-features; empty if they were not computed.
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
