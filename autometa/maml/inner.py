"""Inner loops: a few steps of gradient descent on the support of one task, as a pure function; and how they fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, vmap

from autometa.exceptions import DivergenceError
from autometa.maml.protocol import Examples, FewShotTask, MetaLearner, Params

EXPLOSION = 100.0
"""A loss on the support that many times what it was before the inner loop has exploded."""

_LEAST_LOSS = 1e-3
"""Smaller losses count as this much: next to a perfect fit, a hundred times nothing is no explosion."""


def descend(
    loss: Callable[[Params], Tensor],
    params: Mapping[str, Tensor],
    rates: float | Mapping[str, Tensor],
    n_steps: int,
    *,
    first_order: bool = False,
) -> Params:
    r"""Return :math:`\theta - \alpha \nabla L(\theta)`, `n_steps` times over.

    Parameters
    ----------
    loss : callable
        :math:`L`, a scalar.
    params : mapping of str to Tensor
        :math:`\theta`: what is stepped along the gradient; only that.
    rates : float or mapping of str to Tensor
        :math:`\alpha`, one for all or of each parameter.
    n_steps : int
        Steps.
    first_order : bool
        Whether the gradients count as constants when the result is differentiated in `params`.
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
    """Return what a function of support and query gives for each of stacked tasks, stacked, by `vmap`."""

    def of_one(support: tuple[Any, ...], query: tuple[Any, ...]) -> Any:
        return function(tasks.support.with_parts(support), tasks.query.with_parts(query))

    return vmap(of_one, randomness="error")(tasks.support.parts(), tasks.query.parts())


def differentiated(
    function: Callable[[Mapping[str, Tensor], Examples, Examples], Tensor],
    params: Mapping[str, Tensor],
    tasks: FewShotTask,
) -> tuple[Params, Tensor]:
    """Return the gradient of the mean over stacked tasks of a loss of each, and these losses.

    A parameter that no loss depends on has a gradient of 0.
    """
    leaves = {name: value.detach().requires_grad_() for name, value in params.items()}
    losses = over_tasks(lambda support, query: function(leaves, support, query), tasks)
    gradients = torch.autograd.grad(losses.mean(), list(leaves.values()), allow_unused=True)
    found = zip(leaves.items(), gradients, strict=True)
    return {n: torch.zeros_like(v) if g is None else g for (n, v), g in found}, losses.detach()


def checked_adapt(
    learner: MetaLearner, params: Mapping[str, Tensor], support: Examples, n_steps: int | None = None
) -> Params:
    """Return what the inner loop of a meta-learner makes of the parameters, if that is of any use.

    Raises
    ------
    DivergenceError
        If a parameter or the loss on the support is not finite after it, or the loss has exploded.
    """
    with torch.no_grad():
        adapted = {name: value.detach() for name, value in learner.inner(params, support, n_steps).items()}
        after = float(learner.loss(adapted, support))
        before = float(learner.loss(learner.inner(params, support, 0), support))
    broken = [name for name, value in adapted.items() if not bool(torch.isfinite(value).all())]
    if broken or not after <= EXPLOSION * max(before, _LEAST_LOSS):
        raise DivergenceError(
            f"The inner loop diverged: the loss on the support went from {before:.4g} to {after:.4g}"
            f"{f', and {broken[0]} is not finite' if broken else ''}. Use a smaller rate or fewer steps, and scale "
            "inputs and targets to unit variance."
        )
    return adapted
