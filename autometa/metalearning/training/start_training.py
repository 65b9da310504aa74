"""Meta-training of the shared network's start: few-shot tasks drawn from tables, and a meta-learner in two variants.

============= ==============================================================================================
`pooled`      the loss is taken on the rows that the head is fitted to: pre-training on all tables
`fitted_head` the head is fitted to a support, the loss is taken on a query (Bertinetto et al. 2019)
============= ==============================================================================================
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
from autometa.learners.mlp_maml.network import forward, outputs
from autometa.learners.mlp_maml.projection import fit_projection
from autometa.maml.inner import differentiated
from autometa.maml.meta_learner import MetaLearner
from autometa.maml.protocol import Examples, FewShotTask, Inputs, Params
from autometa.metalearning.training.differentiable_head import fitted_head

Variant = Literal["fitted_head", "pooled"]

SUPPORT_ROWS = (48, 128, 320, 900)
QUERY_ROWS = 256
MOST_CLASSES = 10


@dataclass(frozen=True)
class Table:
    """A prepared table that few-shot tasks are drawn from.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features), float32
        Rows of the numeric view.
    y : ndarray of shape (n_rows,)
        Codes of classes, or numbers.
    problem : {"binary", "multiclass", "regression"}
        Kind of the target.
    """

    X: np.ndarray
    y: np.ndarray
    problem: Problem


def draw_task(tables: Sequence[Table], rng: np.random.Generator) -> FewShotTask:
    """Return support and query of one table, at times with its numbers cut into classes or without some columns."""
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
        # Far outliers would dominate the training.
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
class SharedNetworkLearner(MetaLearner):
    """The meta-learner of the shared network.

    Its inner loop is the fit of the head, so that `n_steps` has no effect. Gradient steps on a support are left to the
    training of `mlp_maml`.

    Parameters
    ----------
    variant : {"fitted_head", "pooled"}
        See the module.
    """

    variant: Variant = "fitted_head"

    def inner(self, params: Mapping[str, Tensor], support: Examples, n_steps: int | None = None) -> Params:
        """Return the parameters with a fitted head, unchecked."""
        return {**params, **fitted_head(params, support.inputs, support.targets, support.n_classes, support.weights)}

    def predict(self, params: Mapping[str, Tensor], inputs: Inputs) -> Tensor:
        """Return outputs for slots of rows."""
        return outputs(params, forward(params, inputs).features)

    def loss(self, params: Mapping[str, Tensor], examples: Examples) -> Tensor:
        """Return the mean loss on examples."""
        return examples.mean(row_losses(self.predict(params, examples.inputs), examples.targets, 0.0))

    def meta_gradient(self, params: Mapping[str, Tensor], tasks: FewShotTask) -> tuple[Params, Tensor]:
        """Return the direction that the outer step descends, and the losses of the (stacked) tasks."""

        def loss(some: Mapping[str, Tensor], support: Examples, query: Examples) -> Tensor:
            return self.loss(self.inner(some, support), support if self.variant == "pooled" else query)

        return differentiated(loss, params, tasks)
