r"""A learned optimiser: an LSTM that makes the inner steps.

One small LSTM reads the gradient of each weight and returns its change (Andrychowicz et al. 2016, "Learning to Learn
by Gradient Descent by Gradient Descent"; with a meta-learned start, as here, the meta-learner of Ravi and Larochelle
2017). The change is

.. math:: -\rho\, (b + m / \sqrt v)\, e^{a}.

================== ==========================================================================================
:math:`g, m, v`    gradient, its running mean, and the running mean of its square
inputs             :math:`m / \sqrt v`, :math:`g / \sqrt v` (Lv, Jiang and Li 2017, "Learning Gradient Descent:
                   Better Generalization and Longer Horizons") and :math:`\log \sqrt v`
:math:`a, b`       outputs, in the form of Metz et al. 2020, "Tasks, Stability, Architecture, and Compute";
                   near 0 before training, so that the steps are those of Adam
:math:`\rho`       `rate`
================== ==========================================================================================

Meta-training minimises the logarithm of the query loss, in mean over steps and tasks. Without the logarithm the large
losses of the first steps would dominate. Gradients of the inner losses count as constants, and back-propagation is
truncated after `n_unrolled` steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad, vmap

from autometa.maml.meta_learner import MetaLearner
from autometa.maml.protocol import Examples, FewShotTask, Forward, Inputs, Params, RowLosses

OPTIMISER = "optimiser/"
"""Prefix of the names of the LSTM's parameters."""

_N_INPUTS = 3
_DECAY = 0.95
_LEAST_SIZE = 1e-8  # added to the root of v, which has no derivative at 0
_LEAST_LOSS = 1e-12


@dataclass(frozen=True)
class LearnedOptimiser(MetaLearner):
    r"""A learned optimiser as a meta-learner.

    Parameters
    ----------
    forward : callable
        The network to be optimised.
    row_losses : callable
        Losses of rows.
    n_steps : int
        Inner steps of meta-training.
    n_units : int
        Units of the LSTM.
    n_unrolled : int
        Largest number of steps that back-propagation covers.
    rate : float
        :math:`\rho`, the step size of Adam before training.
    """

    forward: Forward
    row_losses: RowLosses
    n_steps: int = 100
    n_units: int = 20
    n_unrolled: int = 20
    rate: float = 0.01

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise ValueError(f"rate must be positive, got {self.rate}.")
        for name in ("n_steps", "n_units", "n_unrolled"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")

    def initial(self, params: Mapping[str, Tensor], seed: int = 0) -> Params:
        """Return parameters of the network and of an LSTM whose steps are nearly those of Adam."""
        generator = torch.Generator().manual_seed(seed)
        like, n_all = next(iter(params.values())), _N_INPUTS + self.n_units
        weight = torch.randn(n_all, 4 * self.n_units, generator=generator) / n_all**0.5
        bias = torch.zeros(4 * self.n_units)
        bias[self.n_units : 2 * self.n_units] = 1.0  # forget gates start nearly open
        own = {
            "lstm.weight": weight,
            "lstm.bias": bias,
            "out.weight": 0.01 * torch.randn(self.n_units, 2, generator=generator),
        }
        return {**params, **{OPTIMISER + name: value.to(like) for name, value in own.items()}}

    def inner(self, params: Mapping[str, Tensor], support: Examples, n_steps: int | None = None) -> Params:
        """Return the parameters after the optimiser's steps, unchecked."""
        theta, state, own = self._start(params)
        for _ in range(self.n_steps if n_steps is None else n_steps):
            theta, state = self._step(own, theta, state, support)
        return {**params, **theta}

    def predict(self, params: Mapping[str, Tensor], inputs: Inputs) -> Tensor:
        """Return the network's outputs."""
        return self.forward({n: v for n, v in params.items() if not n.startswith(OPTIMISER)}, inputs)

    def loss(self, params: Mapping[str, Tensor], examples: Examples) -> Tensor:
        """Return the mean loss on examples."""
        return examples.mean(self.row_losses(self.predict(params, examples.inputs), examples.targets))

    def meta_gradient(self, params: Mapping[str, Tensor], tasks: FewShotTask) -> tuple[Params, Tensor]:
        """Return the truncated gradient of the mean logarithm of all steps' query losses, and the last losses."""
        leaves = {name: value.detach().requires_grad_() for name, value in params.items()}
        theta, state, own = self._start(leaves)
        n = len(tasks.support.targets)
        theta = {name: value.expand(n, *value.shape) for name, value in theta.items()}
        state = tuple(value.expand(n, *value.shape) for value in state)
        total = {name: torch.zeros_like(value) for name, value in leaves.items()}
        losses = torch.empty(0)
        for done in range(0, self.n_steps, self.n_unrolled):
            steps = min(self.n_unrolled, self.n_steps - done)
            if done:
                theta = {name: value.detach() for name, value in theta.items()}
                state = tuple(value.detach() for value in state)
            theta, state, losses = self._unrolled(own, theta, state, tasks, steps)
            objective = torch.log(losses.mean(dim=0).clamp(min=_LEAST_LOSS)).sum() / self.n_steps
            gradients = torch.autograd.grad(objective, list(leaves.values()), allow_unused=True)
            for (name, value), gradient in zip(total.items(), gradients, strict=True):
                total[name] = value if gradient is None else value + gradient
        return total, losses[:, -1].detach()

    def _unrolled(
        self, own: Params, theta: Params, state: tuple[Tensor, ...], tasks: FewShotTask, n_steps: int
    ) -> tuple[Params, tuple[Tensor, ...], Tensor]:
        """Return parameters and state after some steps on each task, and query losses of shape (n_tasks, n_steps)."""

        def for_one(theta, state, support, query):
            support, query = tasks.support.with_parts(support), tasks.query.with_parts(query)
            losses = []
            for _ in range(n_steps):
                theta, state = self._step(own, theta, state, support)
                losses.append(self.loss(theta, query))
            return theta, state, torch.stack(losses)

        return vmap(for_one)(theta, state, tasks.support.parts(), tasks.query.parts())

    def _start(self, params: Mapping[str, Tensor]) -> tuple[Params, tuple[Tensor, ...], Params]:
        """Return the network's parameters, the state of each weight (see `_step`), and the LSTM's parameters."""
        theta = {name: value for name, value in params.items() if not name.startswith(OPTIMISER)}
        own = {n.removeprefix(OPTIMISER): value for n, value in params.items() if n.startswith(OPTIMISER)}
        n_weights = sum(value.numel() for value in theta.values())
        zeros = own["lstm.bias"].new_zeros(n_weights, self.n_units)
        return theta, (zeros, zeros, zeros[:, 0], zeros[:, 0], zeros[:, 0]), own

    def _step(
        self, own: Params, theta: Params, state: tuple[Tensor, ...], support: Examples
    ) -> tuple[Params, tuple[Tensor, ...]]:
        gradient = grad(lambda some: self.loss(some, support))(theta)
        flat = torch.cat([value.flatten() for value in gradient.values()]).detach()  # (weights,)
        hidden, cell, mean, square, n_seen = state
        mean = _DECAY * mean + (1 - _DECAY) * flat
        square = _DECAY * square + (1 - _DECAY) * flat**2
        n_seen = _DECAY * n_seen + (1 - _DECAY)  # Adam's correction for running means that started from 0
        size = torch.sqrt(square / n_seen) + _LEAST_SIZE
        momentum = mean / n_seen / size
        inputs = torch.stack([momentum, flat / size, torch.log(size) / 10], dim=1)  # (weights, 3)
        gates = torch.cat([inputs, hidden], dim=1) @ own["lstm.weight"] + own["lstm.bias"]
        enter, forget, leave, new = gates.chunk(4, dim=1)
        cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(new)
        hidden = torch.sigmoid(leave) * torch.tanh(cell)
        stretch, turn = (hidden @ own["out.weight"]).unbind(dim=1)
        change = -self.rate * (momentum + turn) * torch.exp(stretch)
        moved, start = {}, 0
        for name, value in theta.items():
            moved[name] = value + change[start : start + value.numel()].reshape(value.shape)
            start += value.numel()
        return moved, (hidden, cell, mean, square, n_seen)
