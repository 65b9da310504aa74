"""The interface of meta-learners, with the parts that most of them share."""

# Tests: tests/maml/test_gradient.py

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor

from autometa.exceptions import DivergenceError
from autometa.maml.inner import differentiated
from autometa.maml.protocol import Examples, FewShotTask, Inputs, Params

EXPLOSION = 100.0
"""An inner loop diverged if it multiplied the loss on the support by more than this."""

_LEAST_LOSS = 1e-3
"""Floor of the first loss in this comparison, so that a perfect fit may get slightly worse."""


class MetaLearner(ABC):
    """Adapts parameters to a support, and knows how they should change to adapt better.

    `params` always holds everything that is meta-learned: the parameters of the network, and those that `initial`
    adds (learning rates, for example).
    """

    def initial(self, params: Mapping[str, Tensor], seed: int = 0) -> Params:
        """Return parameters of a network together with the meta-learner's own before any meta-training."""
        return dict(params)

    def adapt(self, params: Mapping[str, Tensor], support: Examples, n_steps: int | None = None) -> Params:
        """Return parameters for one task.

        Raises
        ------
        DivergenceError
            If a parameter or the loss on the support is not finite, or the loss has exploded.
        """
        with torch.no_grad():
            adapted = {name: value.detach() for name, value in self.inner(params, support, n_steps).items()}
            after = float(self.loss(adapted, support))
            before = float(self.loss(self.inner(params, support, 0), support))
        broken = [name for name, value in adapted.items() if not bool(torch.isfinite(value).all())]
        if broken or not after <= EXPLOSION * max(before, _LEAST_LOSS):
            raise DivergenceError(
                f"The inner loop diverged: the loss on the support went from {before:.4g} to {after:.4g}"
                f"{f', and {broken[0]} is not finite' if broken else ''}. Use a smaller rate or fewer steps, and scale "
                "inputs and targets to unit variance."
            )
        return adapted

    @abstractmethod
    def inner(self, params: Mapping[str, Tensor], support: Examples, n_steps: int | None = None) -> Params:
        """Return the result of `adapt` without its checks: a pure function for `vmap`, differentiable in `params`."""

    @abstractmethod
    def predict(self, params: Mapping[str, Tensor], inputs: Inputs) -> Tensor:
        """Return outputs for rows under adapted parameters: logits of shape (n_rows, n_classes), or values."""

    @abstractmethod
    def loss(self, params: Mapping[str, Tensor], examples: Examples) -> Tensor:
        """Return the mean loss of adapted parameters on examples, a scalar."""

    def meta_gradient(self, params: Mapping[str, Tensor], tasks: FewShotTask) -> tuple[Params, Tensor]:
        """Return the direction that the outer step descends, and the query losses of the (stacked) tasks.

        By default it is the gradient of the mean query loss after the inner loop.
        """
        return differentiated(lambda some, support, query: self.loss(self.inner(some, support), query), params, tasks)
