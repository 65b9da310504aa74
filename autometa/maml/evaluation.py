"""Losses and outputs of meta-learned parameters on new tasks."""

# Tests: tests/maml/test_gradient.py

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from autometa.exceptions import DivergenceError
from autometa.maml.inner import over_tasks
from autometa.maml.meta_learner import MetaLearner
from autometa.maml.protocol import Examples, FewShotTask


def losses_after(
    learner: MetaLearner, params: Mapping[str, Tensor], tasks: FewShotTask, n_steps: Sequence[int]
) -> np.ndarray:
    """Return query losses of stacked tasks after each number of inner steps, of shape (n_tasks, len(n_steps)).

    Raises
    ------
    DivergenceError
        If one of them is not finite.
    """

    def losses(support: Examples, query: Examples) -> Tensor:
        return torch.stack([learner.loss(learner.inner(params, support, n), query) for n in n_steps])

    return _finite(losses, tasks, "losses")


def outputs_after(
    learner: MetaLearner, params: Mapping[str, Tensor], tasks: FewShotTask, n_steps: int | None = None
) -> np.ndarray:
    """Return outputs for the queries of stacked tasks after adaptation to their supports, (n_tasks, n_query, …).

    Raises
    ------
    DivergenceError
        If one of them is not finite.
    """

    def outputs(support: Examples, query: Examples) -> Tensor:
        return learner.predict(learner.inner(params, support, n_steps), query.inputs)

    return _finite(outputs, tasks, "outputs")


def _finite(function: Callable[[Examples, Examples], Tensor], tasks: FewShotTask, kind: str) -> np.ndarray:
    with torch.no_grad():
        found = over_tasks(function, tasks).cpu().numpy()
    if broken := int((~np.isfinite(found)).reshape(len(found), -1).any(axis=1).sum()):
        raise DivergenceError(
            f"The {kind} of {broken} of {len(found)} tasks are not finite: their inner loops diverged. Use a smaller "
            "rate or fewer steps, and scale inputs and targets to unit variance."
        )
    return found
