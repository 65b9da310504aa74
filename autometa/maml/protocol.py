"""What is adapted, to what, and by whom: parameters, few-shot tasks, meta-learners.

=========== =====================================================================================
params      names and tensors; what a network computes is a pure function of them
support     the examples that a task is adapted to
query       the examples that the adapted parameters are judged on
stacked     of tasks: with one more axis in front of every tensor, of length n_tasks
=========== =====================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

Params = dict[str, Tensor]
"""Parameters by name."""

Inputs = Any
"""A tensor whose first axis is the rows, or tuples and dicts of such tensors (e.g. values and a mask)."""

Forward = Callable[[Mapping[str, Tensor], Inputs], Tensor]
"""A network as a pure function of its parameters and of rows: one output a row."""

RowLosses = Callable[[Tensor, Tensor], Tensor]
"""Outputs and targets of n rows → n losses, lower is better."""


@dataclass(frozen=True)
class Examples:
    """Rows with their targets.

    Parameters
    ----------
    inputs : Tensor of shape (n_rows, ...), or tuples and dicts of such tensors
        What the network is given.
    targets : Tensor of shape (n_rows,) or (n_rows, n_outputs)
        Codes of classes from 0 (int64), or numbers.
    n_classes : int or None
        Number of classes of the task; None for regression.
    weights : Tensor of shape (n_rows,), optional
        Non-negative; rows of weight 0 count nothing, so that tasks of different sizes can be padded to one.
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
        """Return inputs, targets and, where there are any, weights."""
        return (self.inputs, self.targets) if self.weights is None else (self.inputs, self.targets, self.weights)

    def with_parts(self, parts: Sequence[Any]) -> Examples:
        """Return examples of other tensors for the same kind of target."""
        inputs, targets, *weights = parts
        return replace(self, inputs=inputs, targets=targets, weights=weights[0] if weights else None)

    def mean(self, losses: Tensor) -> Tensor:
        """Return the (weighted) mean of one loss a row."""
        if self.weights is None:
            return losses.mean()
        return (losses * self.weights).sum() / self.weights.sum().clamp(min=1e-12)


@dataclass(frozen=True)
class FewShotTask:
    """Examples to adapt to, and examples to be judged on."""

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


class MetaLearner(Protocol):
    """What adapts to a support, and knows how its parameters should change so that it adapts better.

    `params` always holds all that is meta-learned: parameters of the network, and those of the meta-learner's own
    (learning rates, say), which `initial` adds.
    """

    def initial(self, params: Mapping[str, Tensor], seed: int = 0) -> Params:
        """Return parameters of a network and, before any meta-training, those of the meta-learner's own."""
        ...

    def adapt(self, params: Mapping[str, Tensor], support: Examples, n_steps: int | None = None) -> Params:
        """Return parameters for one task.

        Raises
        ------
        DivergenceError
            If they are not finite, or much worse on the support than before.
        """
        ...

    def inner(self, params: Mapping[str, Tensor], support: Examples, n_steps: int | None = None) -> Params:
        """Return what `adapt` returns, unchecked: a pure function for `vmap`, differentiable in `params`."""
        ...

    def predict(self, params: Mapping[str, Tensor], inputs: Inputs) -> Tensor:
        """Return outputs for rows under adapted parameters: logits of shape (n_rows, n_classes), or values."""
        ...

    def loss(self, params: Mapping[str, Tensor], examples: Examples) -> Tensor:
        """Return the mean loss of adapted parameters on examples, a scalar."""
        ...

    def meta_gradient(self, params: Mapping[str, Tensor], tasks: FewShotTask) -> tuple[Params, Tensor]:
        """Return the direction that the outer step descends, and the query losses of the (stacked) tasks."""
        ...


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
    """Return tasks stacked by their shapes; what is stacked stays as it is."""
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
    """Return a text that is the same for tasks that can be stacked."""
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
    """Return a tree of what a function gives for the tensors at the same places of trees."""
    first = trees[0]
    if isinstance(first, Mapping):
        return {key: tree_map(function, *(tree[key] for tree in trees)) for key in first}
    if isinstance(first, (tuple, list)):
        return tuple(tree_map(function, *branches) for branches in zip(*trees, strict=True))
    return function(*trees)
