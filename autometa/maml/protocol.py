"""The data of meta-learning: parameters, examples, and few-shot tasks, single or stacked.

=========== =====================================================================================
params      tensors by name; a network is a pure function of them
support     the examples that parameters are adapted to
query       the examples that adapted parameters are evaluated on
stacked     tasks of one shape, with an axis of length n_tasks in front of every tensor
=========== =====================================================================================
"""

# Tests: tests/maml/test_training.py

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

Params = dict[str, Tensor]
"""Parameters by name."""

Inputs = Any
"""A tensor whose first axis is the rows, or tuples and dicts of such tensors (e.g. values and a mask)."""

Forward = Callable[[Mapping[str, Tensor], Inputs], Tensor]
"""A network as a pure function of its parameters and of rows, with one output per row."""

RowLosses = Callable[[Tensor, Tensor], Tensor]
"""Outputs and targets of n rows → n losses, lower is better."""


@dataclass(frozen=True)
class Examples:
    """Rows with their targets.

    Parameters
    ----------
    inputs : Tensor of shape (n_rows, ...), or tuples and dicts of such tensors
        Inputs of the network.
    targets : Tensor of shape (n_rows,) or (n_rows, n_outputs)
        Codes of classes from 0 (int64), or numbers.
    n_classes : int or None
        Number of classes of the task; None for regression.
    weights : Tensor of shape (n_rows,), optional
        Non-negative weights; rows of weight 0 are ignored, so that tasks of different sizes can be padded to one.
    """

    inputs: Inputs
    targets: Tensor
    n_classes: int | None = None
    weights: Tensor | None = None

    def __post_init__(self) -> None:
        lengths = {len(tensor) for tensor in leaves(self.parts())}
        if len(lengths) != 1:
            raise ValueError(f"inputs, targets and weights must have equally many rows, got {sorted(lengths)}.")
        if self.n_classes is not None and self.n_classes < 2:
            raise ValueError(f"n_classes must be at least 2, or None for regression, got {self.n_classes}.")

    def parts(self) -> tuple[Any, ...]:
        """Return inputs, targets and, if there are any, weights."""
        return (self.inputs, self.targets) if self.weights is None else (self.inputs, self.targets, self.weights)

    def with_parts(self, parts: Sequence[Any]) -> Examples:
        """Return examples of the same kind of target with other tensors."""
        inputs, targets, *weights = parts
        return replace(self, inputs=inputs, targets=targets, weights=weights[0] if weights else None)

    def mean(self, losses: Tensor) -> Tensor:
        """Return the (weighted) mean of the rows' losses."""
        if self.weights is None:
            return losses.mean()
        return (losses * self.weights).sum() / self.weights.sum().clamp(min=1e-12)


@dataclass(frozen=True)
class FewShotTask:
    """Examples to adapt to, and examples to be evaluated on."""

    support: Examples
    query: Examples

    def __post_init__(self) -> None:
        if self.support.n_classes != self.query.n_classes:
            raise ValueError(
                f"Support and query must be of the same task, got {self.support.n_classes} and "
                f"{self.query.n_classes} for n_classes."
            )

    def to(self, device: str | torch.device) -> FewShotTask:
        """Return the task with its tensors on a device."""
        return FewShotTask(
            *(part.with_parts(tree_map(lambda t: t.to(device), part.parts())) for part in (self.support, self.query))
        )


TaskSource = Callable[[np.random.Generator], FewShotTask | Sequence[FewShotTask]]
"""Draws the tasks of one outer step: stacked tasks, or a sequence of tasks, which may have different shapes."""


def stack(tasks: Sequence[FewShotTask]) -> FewShotTask:
    """Return tasks of equal shapes as one, with an axis of length n_tasks in front.

    Raises
    ------
    ValueError
        If there is no task, or their shapes differ.
    """
    if len({shape_of(task) for task in tasks}) != 1:
        raise ValueError(f"Tasks are stacked if they have one shape, got {sorted({shape_of(t) for t in tasks})}.")
    first = tasks[0]
    support, query = (
        example.with_parts(tree_map(lambda *tensors: torch.stack(tensors), *(part.parts() for part in examples)))
        for example, examples in (
            (first.support, [task.support for task in tasks]),
            (first.query, [task.query for task in tasks]),
        )
    )
    return FewShotTask(support, query)


def stacked_groups(tasks: FewShotTask | Sequence[FewShotTask]) -> list[FewShotTask]:
    """Return tasks stacked by their shapes; stacked tasks are returned as they are."""
    if isinstance(tasks, FewShotTask):
        return [tasks]
    groups: dict[str, list[FewShotTask]] = {}
    for task in tasks:
        groups.setdefault(shape_of(task), []).append(task)
    return [stack(group) for group in groups.values()]


def n_tasks(stacked: FewShotTask) -> int:
    """Return the number of stacked tasks."""
    return len(stacked.support.targets)


def shape_of(task: FewShotTask) -> str:
    """Return a text that is equal for tasks that can be stacked."""
    return str([tree_map(lambda t: (tuple(t.shape), t.dtype), part.parts()) for part in (task.support, task.query)]) + (
        f" of {task.support.n_classes} classes" if task.support.n_classes else ""
    )


def leaves(tree: Any) -> list[Tensor]:
    """Return the tensors in nested tuples and dicts."""
    if isinstance(tree, Mapping):
        return [leaf for branch in tree.values() for leaf in leaves(branch)]
    if isinstance(tree, (tuple, list)):
        return [leaf for branch in tree for leaf in leaves(branch)]
    return [tree]


def tree_map(function: Callable[..., Any], *trees: Any) -> Any:
    """Apply a function to the corresponding tensors of trees, and return the tree of its results."""
    first = trees[0]
    if isinstance(first, Mapping):
        return {key: tree_map(function, *(tree[key] for tree in trees)) for key in first}
    if isinstance(first, (tuple, list)):
        return tuple(tree_map(function, *branches) for branches in zip(*trees, strict=True))
    return function(*trees)
