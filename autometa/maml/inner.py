"""Inner loops as pure functions: gradient descent on the support of one task, mapped over tasks and differentiated."""

# Tests: tests/maml/test_gradient.py

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, vmap

from autometa.maml.protocol import Examples, FewShotTask, Params


def descend(
    loss: Callable[[Params], Tensor],
    params: Mapping[str, Tensor],
    rates: float | Mapping[str, Tensor],
    n_steps: int,
    *,
    first_order: bool = False,
) -> Params:
    r"""Return the parameters after `n_steps` steps :math:`\theta \leftarrow \theta - \alpha \nabla L(\theta)`.

    Parameters
    ----------
    loss : callable
        :math:`L`, a scalar.
    params : mapping of str to Tensor
        :math:`\theta`, all of which is changed.
    rates : float or mapping of str to Tensor
        :math:`\alpha`, one for all parameters or one for each.
    n_steps : int
        Number of steps.
    first_order : bool
        Whether gradients count as constants when the result is differentiated.
    """
    params = dict(params)
    for _ in range(n_steps):
        gradient = grad(loss)(params)
        params = {
            name: value
            - (rates if isinstance(rates, float) else rates[name])
            * (gradient[name].detach() if first_order else gradient[name])
            for name, value in params.items()
        }
    return params


def over_tasks(function: Callable[[Examples, Examples], Any], tasks: FewShotTask) -> Any:
    """Apply a function of support and query to each of stacked tasks by `vmap`, and return its stacked results."""

    def for_one(support: tuple[Any, ...], query: tuple[Any, ...]) -> Any:
        return function(tasks.support.with_parts(support), tasks.query.with_parts(query))

    return vmap(for_one, randomness="error")(tasks.support.parts(), tasks.query.parts())


def differentiated(
    function: Callable[[Mapping[str, Tensor], Examples, Examples], Tensor],
    params: Mapping[str, Tensor],
    tasks: FewShotTask,
) -> tuple[Params, Tensor]:
    """Return the gradient of the mean loss over stacked tasks, and the loss of each task.

    The gradient of a parameter without influence is 0.
    """
    leaves = {name: value.detach().requires_grad_() for name, value in params.items()}
    losses = over_tasks(lambda support, query: function(leaves, support, query), tasks)
    gradients = torch.autograd.grad(losses.mean(), list(leaves.values()), allow_unused=True)
    found = zip(leaves.items(), gradients, strict=True)
    return {n: torch.zeros_like(v) if g is None else g for (n, v), g in found}, losses.detach()
