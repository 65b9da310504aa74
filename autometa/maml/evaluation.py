"""How meta-learned parameters do on tasks that they were not trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from autometa.exceptions import DivergenceError
from autometa.maml.inner import over_tasks
from autometa.maml.protocol import Examples, FewShotTask, MetaLearner


def losses_after(
    learner: MetaLearner, params: Mapping[str, Tensor], tasks: FewShotTask, n_steps: Sequence[int]
) -> np.ndarray:
    """Return query losses of stacked tasks after each number of inner steps, of shape (n_tasks, len(n_steps)).

    Raises
    ------
    DivergenceError
        If one of them is not finite.
    """

    def of_one(support: Examples, query: Examples) -> Tensor:
        return torch.stack([learner.loss(learner.inner(params, support, n), query) for n in n_steps])

    return _finite(of_one, tasks, "losses")


def outputs_after(
    learner: MetaLearner, params: Mapping[str, Tensor], tasks: FewShotTask, n_steps: int | None = None
) -> np.ndarray:
    """Return outputs for the queries of stacked tasks, of shape (n_tasks, n_query, …), adapted to their supports.

    Raises
    ------
    DivergenceError
        If one of them is not finite.
    """

    def of_one(support: Examples, query: Examples) -> Tensor:
        return learner.predict(learner.inner(params, support, n_steps), query.inputs)

    return _finite(of_one, tasks, "outputs")


def _finite(of_one: Callable[[Examples, Examples], Tensor], tasks: FewShotTask, what: str) -> np.ndarray:
    with torch.no_grad():
        found = over_tasks(of_one, tasks).cpu().numpy()
    if broken := int((~np.isfinite(found)).reshape(len(found), -1).any(axis=1).sum()):
        raise DivergenceError(
            f"The {what} of {broken} of {len(found)} tasks are not finite: their inner loops diverged. Use a smaller "
            "rate or fewer steps, and scale inputs and targets to unit variance."
        )
    return found
