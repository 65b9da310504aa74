r"""Matching Networks: attention over the support, and no inner steps at all.

.. math:: \hat y(x) = \sum_i a(x, x_i)\, y_i, \quad a(x, \cdot) = \operatorname{softmax}_i\, s \cos(f(x), f(x_i)),

over the rows of the support (Vinyals et al. 2016, "Matching Networks for One Shot Learning"). Cosines are at most 1,
and a softmax of them is nearly flat; the scale :math:`s`, which the paper does without, is learnt. With numbers for
:math:`y` the same is a regression by a learnt kernel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from autometa.maml.inner import checked_adapt, differentiated
from autometa.maml.losses import squared_error
from autometa.maml.protocol import Examples, FewShotTask, Forward, Inputs, Params

LOG_SCALE = "attention.log_scale"
MEMORY = ("memory.keys", "memory.values", "memory.log_weights")
"""Of adapted parameters: directions of the support's features, targets (classes as indicators), weights of rows."""

_START_SCALE = 10.0
_LEAST_PROBABILITY = 1e-6


@dataclass(frozen=True)
class MatchingNetwork:
    """A matching network as a meta-learner: to adapt it is to remember the support.

    Parameters
    ----------
    features : callable
        The network: rows → features of shape (n_rows, n_features).
    """

    features: Forward

    def initial(self, params: Mapping[str, Tensor], seed: int = 0) -> Params:
        """Return parameters of the network and the scale of the cosines."""
        return {**params, LOG_SCALE: next(iter(params.values())).new_tensor(math.log(_START_SCALE))}

    def adapt(self, params: Mapping[str, Tensor], support: Examples, n_steps: int | None = None) -> Params:
        """Return parameters that remember the support; see `MetaLearner.adapt`."""
        return checked_adapt(self, params, support, n_steps)

    def inner(self, params: Mapping[str, Tensor], support: Examples, n_steps: int | None = None) -> Params:
        """Return what `adapt` returns, unchecked; there are no steps, so their number changes nothing."""
        keys = _directions(self.features(_network(params), support.inputs))
        if support.n_classes is None:
            values = support.targets.reshape(len(support.targets), -1).to(keys.dtype)
        else:
            values = torch.nn.functional.one_hot(support.targets, support.n_classes).to(keys.dtype)
        weights = keys.new_ones(len(keys)) if support.weights is None else support.weights
        return {**params, MEMORY[0]: keys, MEMORY[1]: values, MEMORY[2]: torch.log(weights.clamp(min=1e-30))}

    def predict(self, params: Mapping[str, Tensor], inputs: Inputs) -> Tensor:
        """Return probabilities of shape (n_rows, n_classes), or values of shape (n_rows, n_outputs)."""
        keys, values, log_weights = (params[name] for name in MEMORY)
        cosines = _directions(self.features(_network(params), inputs)) @ keys.T  # (rows, support)
        return torch.softmax(params[LOG_SCALE].exp() * cosines + log_weights, dim=1) @ values

    def loss(self, params: Mapping[str, Tensor], examples: Examples) -> Tensor:
        """Return the mean log loss of classes, or the mean squared error."""
        outputs = self.predict(params, examples.inputs)
        if examples.n_classes is None:
            return examples.mean(squared_error(outputs, examples.targets))
        chosen = outputs.gather(1, examples.targets[:, None])[:, 0]
        return examples.mean(-torch.log(chosen.clamp(min=_LEAST_PROBABILITY)))

    def meta_gradient(self, params: Mapping[str, Tensor], tasks: FewShotTask) -> tuple[Params, Tensor]:
        """Return the gradient of the mean query loss, and the query losses."""
        return differentiated(lambda some, support, query: self.loss(self.inner(some, support), query), params, tasks)


def _network(params: Mapping[str, Tensor]) -> Params:
    return {name: value for name, value in params.items() if name != LOG_SCALE and name not in MEMORY}


def _directions(features: Tensor) -> Tensor:
    # The small number under the root: a row of zeros has a gradient, too.
    return features / torch.sqrt((features**2).sum(dim=-1, keepdim=True) + 1e-12)
