r"""MAML and its variants: parameters from which a few steps of gradient descent lead to a good fit.

They minimise the loss on the query after the inner loop on the support (Finn, Abbeel and Levine 2017, "Model-Agnostic
Meta-Learning for Fast Adaptation of Deep Networks"),

.. math:: \min_\theta \sum_\tau L^\text{query}_\tau(U_\tau(\theta)), \quad
          U_\tau(\theta) = \theta - \alpha \nabla L^\text{support}_\tau(\theta) \text{ (several times).}

=============== ===================================================================================
`pretraining`   no inner loop; the baseline of all methods
`maml`          differentiates through the inner gradients: second order
`first_order`   treats them as constants (the same paper, section 5.2)
`anil`          the inner loop changes the head only (Raghu, Raghu, Bengio and Vinyals 2020)
`meta_sgd`      :math:`\alpha` is a vector and meta-learned (Li, Zhou, Chen and Li 2017)
=============== ===================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from autometa.maml.inner import descend
from autometa.maml.meta_learner import MetaLearner
from autometa.maml.protocol import Examples, Forward, Inputs, Params, RowLosses

RATE = "rate/"
"""Prefix of the name of a parameter's learnt rate."""


@dataclass(frozen=True)
class GradientLearner(MetaLearner):
    r"""The meta-learner of all five methods; the functions below choose its options.

    Parameters
    ----------
    forward : callable
        The network.
    row_losses : callable
        Losses of rows.
    rate : float
        :math:`\alpha` of the inner loop; the first value of learnt rates.
    n_steps : int
        Inner steps of meta-training; 0 is plain pre-training, which adapts only for an explicit number of steps.
    is_first_order : bool
        Whether inner gradients count as constants.
    head : tuple of str
        Prefixes of the parameters that the inner loop changes; empty for all parameters.
    learns_rates : bool
        Whether every weight has its own, meta-learned rate.
    """

    forward: Forward
    row_losses: RowLosses
    rate: float = 0.01
    n_steps: int = 1
    is_first_order: bool = False
    head: tuple[str, ...] = ()
    learns_rates: bool = False

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise ValueError(f"rate must be positive, got {self.rate}.")
        if self.n_steps < 0:
            raise ValueError(f"n_steps must be at least 1, or 0 for plain pre-training, got {self.n_steps}.")

    def initial(self, params: Mapping[str, Tensor], seed: int = 0) -> Params:
        """Return parameters of a network, together with their rates if these are learnt.

        Raises
        ------
        ValueError
            If no parameter's name begins with a prefix in `head`.
        """
        moved = self._moved(params)
        if not moved:
            raise ValueError(f"No parameter belongs to the head {self.head}; there are {sorted(params)}.")
        rates = {RATE + name: torch.full_like(params[name], self.rate) for name in moved} if self.learns_rates else {}
        return {**params, **rates}

    def inner(self, params: Mapping[str, Tensor], support: Examples, n_steps: int | None = None) -> Params:
        """Return the parameters after the inner loop, unchecked."""
        moved = self._moved(params)
        kept = {name: value for name, value in params.items() if name not in moved}
        rates: float | dict[str, Tensor] = self.rate
        if self.learns_rates:
            rates = {name: params[RATE + name] for name in moved}
        steps = self.n_steps if n_steps is None else n_steps
        adapted = descend(
            lambda some: self.loss({**kept, **some}, support),
            {name: params[name] for name in moved},
            rates,
            steps,
            first_order=self.is_first_order,
        )
        return {**kept, **adapted}

    def predict(self, params: Mapping[str, Tensor], inputs: Inputs) -> Tensor:
        """Return the network's outputs."""
        return self.forward({n: v for n, v in params.items() if not n.startswith(RATE)}, inputs)

    def loss(self, params: Mapping[str, Tensor], examples: Examples) -> Tensor:
        """Return the mean loss on examples."""
        return examples.mean(self.row_losses(self.predict(params, examples.inputs), examples.targets))

    def _moved(self, params: Mapping[str, Tensor]) -> list[str]:
        own = [name for name in params if not name.startswith(RATE)]
        return [name for name in own if name.startswith(self.head)] if self.head else own


def pretraining(forward: Forward, row_losses: RowLosses, rate: float = 0.01) -> GradientLearner:
    """Return plain pre-training on the queries of all tasks; `adapt` fine-tunes for the given number of steps."""
    return GradientLearner(forward, row_losses, rate, n_steps=0)


def maml(forward: Forward, row_losses: RowLosses, rate: float = 0.01, n_steps: int = 1) -> GradientLearner:
    """Return MAML with second-order gradients."""
    return GradientLearner(forward, row_losses, rate, n_steps)


def first_order(forward: Forward, row_losses: RowLosses, rate: float = 0.01, n_steps: int = 1) -> GradientLearner:
    """Return first-order MAML."""
    return GradientLearner(forward, row_losses, rate, n_steps, is_first_order=True)


def anil(
    forward: Forward, row_losses: RowLosses, head: tuple[str, ...], rate: float = 0.01, n_steps: int = 1
) -> GradientLearner:
    """Return ANIL: only parameters whose names begin with a prefix in `head` are adapted."""
    return GradientLearner(forward, row_losses, rate, n_steps, head=head)


def meta_sgd(forward: Forward, row_losses: RowLosses, rate: float = 0.01, n_steps: int = 1) -> GradientLearner:
    """Return Meta-SGD: MAML with a meta-learned rate for every weight."""
    return GradientLearner(forward, row_losses, rate, n_steps, learns_rates=True)
