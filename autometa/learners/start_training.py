"""Meta-learning the start of the shared network: few-shot tasks from tables, and the meta-learners of its variants.

=============== ==========================================================================================
`pooled`        the head is fitted to the very rows that the loss is taken on: pre-training on all tables
`closed_form`   the head is fitted to a support in closed form, the loss is taken on a query
`first_order`   after the closed form, gradient steps on the support; their gradients count as constants
`reptile`       after the closed form, gradient steps; the shared parameters follow to where they led
=============== ==========================================================================================

The last two diverge on many tables: the closed form leaves directions too steep for plain gradient steps. The outer
loop skips what is not finite; no start of theirs ships (benchmarks/mlp_maml.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from autometa.core.task import Problem
from autometa.learners.epochs import row_losses
from autometa.learners.projection import fit_projection
from autometa.learners.shared_network import closed_form_head, scores
from autometa.maml.inner import checked_adapt, descend, differentiated
from autometa.maml.protocol import Examples, FewShotTask, Inputs, Params, n_tasks

Variant = Literal["pooled", "closed_form", "first_order", "reptile"]
VARIANTS: tuple[Variant, ...] = ("closed_form", "pooled", "first_order", "reptile")

SUPPORT_ROWS = (48, 128, 320)
QUERY_ROWS = 192
MOST_CLASSES = 10
_INNER_STEPS, _INNER_RATE = 5, 0.002


@dataclass(frozen=True)
class Table:
    """A prepared table: rows of the numeric view with their target, as few-shot tasks are drawn from.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features), float32
        Rows.
    y : ndarray of shape (n_rows,)
        Codes of classes, or numbers.
    problem : {"binary", "multiclass", "regression"}
        Kind of the target.
    """

    X: np.ndarray
    y: np.ndarray
    problem: Problem


def draw_task(tables: Sequence[Table], rng: np.random.Generator) -> FewShotTask:
    """Return support and query of one table; some numbers are cut into classes, some columns left out."""
    while True:
        table = tables[int(rng.integers(len(tables)))]
        n_support = int(rng.choice(SUPPORT_ROWS))
        X, y, problem = table.X, table.y, table.problem
        if problem == "multiclass" and len(codes := np.unique(y)) > MOST_CLASSES:
            kept = np.isin(y, rng.choice(codes, MOST_CLASSES, replace=False))
            X, y = X[kept], y[kept]
        if len(y) < 60:
            continue
        n_support = min(n_support, 2 * len(y) // 3)
        rows = rng.permutation(len(y))[: n_support + QUERY_ROWS]
        if rng.random() < 0.3 and X.shape[1] > 3:
            X = X[:, rng.random(X.shape[1]) < rng.uniform(0.4, 1.0)]
            if not X.shape[1]:
                continue
        X, y = X[rows], y[rows]
        if problem == "regression" and rng.random() < 0.3:
            n_classes = int(rng.integers(2, 6))
            y = np.digitize(y, np.quantile(y, np.linspace(0, 1, n_classes + 1)[1:-1])).astype(np.int64)
            problem = "binary" if n_classes == 2 else "multiclass"
        task = _task(X, y, problem, n_support)
        if task is not None:
            return task


def _task(X: np.ndarray, y: np.ndarray, problem: Problem, n_support: int) -> FewShotTask | None:
    support = np.arange(len(y)) < n_support
    n_classes = None
    if problem == "regression":
        centre, spread = y[support].mean(), y[support].std()
        if not spread > 1e-12 * max(1.0, abs(centre)):
            return None
        # Far outliers would rule the whole training.
        y = np.clip((y - centre) / spread, -5.0, 5.0).astype(np.float32)
    else:
        codes = np.unique(y[support])
        if len(codes) < 2:
            return None
        known = np.isin(y, codes)
        X, support, y = X[known], support[known], np.searchsorted(codes, y[known])
        n_classes = len(codes)
        problem = "binary" if n_classes == 2 else "multiclass"
    if support.all():
        return None
    matrix, offset = fit_projection(X[support], y[support], problem)
    slots = torch.from_numpy(X @ matrix + offset)
    targets = torch.from_numpy(y)
    side = torch.from_numpy(support)
    return FewShotTask(
        Examples(slots[side], targets[side], n_classes), Examples(slots[~side], targets[~side], n_classes)
    )


@dataclass(frozen=True)
class SharedNetworkLearner:
    """The meta-learner of the shared network; a `MetaLearner`.

    Parameters
    ----------
    variant : str
        One of `VARIANTS`.
    """

    variant: Variant = "closed_form"

    def initial(self, params: Mapping[str, Tensor], seed: int = 0) -> Params:
        """Return the shared parameters; there are no others."""
        return dict(params)

    def adapt(self, params: Mapping[str, Tensor], support: Examples, n_steps: int | None = None) -> Params:
        """Return parameters for one task; see `MetaLearner.adapt`."""
        return checked_adapt(self, params, support, n_steps)

    def inner(self, params: Mapping[str, Tensor], support: Examples, n_steps: int | None = None) -> Params:
        """Return the parameters with a fitted head and after the inner loop, unchecked."""
        head = closed_form_head(params, support.inputs, support.targets, support.n_classes, support.weights)
        steps = (_INNER_STEPS if self.variant in ("first_order", "reptile") else 0) if n_steps is None else n_steps
        closed = {name: value for name, value in params.items() if name.startswith("closed/")}
        moved = {name: value for name, value in params.items() if name not in closed} | head
        adapted = descend(
            lambda some: self.loss({**closed, **some}, support), moved, _INNER_RATE, steps, first_order=True
        )
        return {**closed, **adapted}

    def predict(self, params: Mapping[str, Tensor], inputs: Inputs) -> Tensor:
        """Return outputs for slots of rows."""
        return scores(params, inputs)

    def loss(self, params: Mapping[str, Tensor], examples: Examples) -> Tensor:
        """Return the mean loss on examples."""
        return examples.mean(row_losses(self.predict(params, examples.inputs), examples.targets, 0.0))

    def meta_gradient(self, params: Mapping[str, Tensor], tasks: FewShotTask) -> tuple[Params, Tensor]:
        """Return the direction that the outer step descends, and the query losses of the (stacked) tasks."""
        if self.variant == "pooled":
            return differentiated(
                lambda some, support, query: self.loss(self.inner(some, support), support), params, tasks
            )
        gradient, losses = differentiated(
            lambda some, support, query: self.loss(self.inner(some, support), query), params, tasks
        )
        if self.variant != "reptile":
            return gradient, losses
        # What a closed form shrinks by has no path of its own; it follows the gradient, as in the other variants.
        moves = [self._moved(params, tasks, i) for i in range(n_tasks(tasks))]
        return {
            name: gradient[name]
            if name.startswith("closed/")
            else torch.stack([move[name] for move in moves]).mean(dim=0)
            for name in params
        }, losses

    def _moved(self, params: Mapping[str, Tensor], tasks: FewShotTask, i: int) -> Params:
        """Return how far the inner loop on all rows of one task leads, per unit of its rate, backwards."""
        support, query = tasks.support, tasks.query
        every = support.with_parts(
            [torch.cat([a[i], b[i]]) for a, b in zip(support.parts(), query.parts(), strict=True)]
        )
        with torch.no_grad():
            after = self.inner(params, every)
        return {name: (value - after[name]) / (_INNER_RATE * _INNER_STEPS) for name, value in params.items()}
