r"""Matching Networks, which attend to the support instead of making inner steps.

.. math:: \hat y(x) = \sum_i a(x, x_i)\, y_i, \quad a(x, \cdot) = \operatorname{softmax}_i\, s \cos(f(x), f(x_i)),

over the rows of the support (Vinyals et al. 2016, "Matching Networks for One Shot Learning"). The scale :math:`s` is
meta-learned, unlike in the paper, because a softmax of cosines alone is nearly flat. If :math:`y` is a number, the
prediction is a regression with a learnt kernel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from autometa.maml.losses import squared_error
from autometa.maml.meta_learner import MetaLearner
from autometa.maml.protocol import Examples, Forward, Inputs, Params

LOG_SCALE = "attention.log_scale"
MEMORY = ("memory.keys", "memory.values", "memory.log_weights")
"""Names of adapted parameters: directions of the support's features, targets (classes as indicators), row weights."""

_START_SCALE = 10.0
_LEAST_PROBABILITY = 1e-6


@dataclass(frozen=True)
class MatchingNetwork(MetaLearner):
    """A matching network as a meta-learner, which adapts by storing the support.

    Parameters
    ----------
    features : callable
        The network: rows → features of shape (n_rows, n_features).
    """

    features: Forward

    def initial(self, params: Mapping[str, Tensor], seed: int = 0) -> Params:
        """Return parameters of the network and the scale of the cosines."""
        return {**params, LOG_SCALE: next(iter(params.values())).new_tensor(math.log(_START_SCALE))}

    def inner(self, params: Mapping[str, Tensor], support: Examples, n_steps: int | None = None) -> Params:
        """Return the parameters together with the support, unchecked; `n_steps` has no effect."""
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


def _network(params: Mapping[str, Tensor]) -> Params:
    return {name: value for name, value in params.items() if name != LOG_SCALE and name not in MEMORY}


def _directions(features: Tensor) -> Tensor:
    # The small constant under the root gives a row of zeros a gradient.
    return features / torch.sqrt((features**2).sum(dim=-1, keepdim=True) + 1e-12)
