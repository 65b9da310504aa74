r"""Reptile: move the parameters towards those that training on a task leads to.

The outer direction is :math:`(\theta - U_\tau(\theta)) / \alpha`. :math:`U_\tau` makes several steps of gradient
descent on mini-batches of all examples of the task, and is not differentiated (Nichol, Achiam and Schulman 2018, "On
First-Order Meta-Learning Algorithms").
"""

# Tests: tests/maml/test_gradient.py

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad

from autometa.maml.inner import descend, over_tasks
from autometa.maml.meta_learner import MetaLearner
from autometa.maml.protocol import Examples, FewShotTask, Forward, Inputs, Params, RowLosses, tree_map


@dataclass(frozen=True)
class Reptile(MetaLearner):
    r"""Reptile as a meta-learner.

    Parameters
    ----------
    forward : callable
        The network.
    row_losses : callable
        Losses of rows.
    rate : float
        :math:`\alpha` of the inner loop.
    n_steps : int
        Inner steps of meta-training, and by default of `adapt`.
    batch_size : int or None
        Rows of a step of meta-training, taken in turn from support and query; None for all rows. The rows of a
        task should be in random order.
    """

    forward: Forward
    row_losses: RowLosses
    rate: float = 0.01
    n_steps: int = 8
    batch_size: int | None = 10

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise ValueError(f"rate must be positive, got {self.rate}.")
        if self.n_steps < 2:
            # With one step Reptile would be plain pre-training.
            raise ValueError(f"n_steps must be at least 2, got {self.n_steps}.")
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1 or None, got {self.batch_size}.")

    def inner(self, params: Mapping[str, Tensor], support: Examples, n_steps: int | None = None) -> Params:
        """Return the parameters after descent on the whole support, unchecked."""
        steps = self.n_steps if n_steps is None else n_steps
        return descend(lambda some: self.loss(some, support), params, self.rate, steps)

    def predict(self, params: Mapping[str, Tensor], inputs: Inputs) -> Tensor:
        """Return the network's outputs."""
        return self.forward(params, inputs)

    def loss(self, params: Mapping[str, Tensor], examples: Examples) -> Tensor:
        """Return the mean loss on examples."""
        return examples.mean(self.row_losses(self.predict(params, examples.inputs), examples.targets))

    def meta_gradient(self, params: Mapping[str, Tensor], tasks: FewShotTask) -> tuple[Params, Tensor]:
        """Return the mean of the outer directions, and the query losses after each task's training."""
        names = list(params)

        def for_one(support: Examples, query: Examples) -> tuple[Tensor, ...]:
            # Both parts need weights if one has them.
            parts = [part if part.weights is not None else _weighted(part) for part in (support, query)]
            both = support.with_parts(tree_map(lambda *t: torch.cat(t), *(part.parts() for part in parts)))
            some = dict(params)
            for step in range(self.n_steps):
                batch = self._batch(both, step)
                gradient = grad(lambda p, batch=batch: self.loss(p, batch))(some)
                some = {name: value - self.rate * gradient[name] for name, value in some.items()}
            direction = ((params[name] - some[name]) / self.rate for name in names)
            return *direction, self.loss(some, query)

        with torch.no_grad():
            *directions, losses = over_tasks(for_one, tasks)
        return {name: each.mean(dim=0) for name, each in zip(names, directions, strict=True)}, losses

    def _batch(self, rows: Examples, step: int) -> Examples:
        n_rows = len(rows.targets)
        if self.batch_size is None or self.batch_size >= n_rows:
            return rows
        indices = (torch.arange(self.batch_size, device=rows.targets.device) + step * self.batch_size) % n_rows
        return rows.with_parts(tree_map(lambda t: t[indices], rows.parts()))


def _weighted(rows: Examples) -> Examples:
    ones = torch.ones(len(rows.targets), device=rows.targets.device)
    return rows.with_parts((rows.inputs, rows.targets, ones))
