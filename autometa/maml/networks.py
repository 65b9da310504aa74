"""Networks as pure functions of their parameters."""

# Tests: tests/maml/test_gradient.py

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.func import functional_call

from autometa.maml.protocol import Forward, Inputs, Params


def functional(module: nn.Module) -> tuple[Forward, Params]:
    """Return a module as a function of its parameters, and copies of the parameters.

    Raises
    ------
    ValueError
        If the module has buffers, e.g. the running means of batch normalisation, which would leak between tasks.
    """
    if buffers := [name for name, _ in module.named_buffers()]:
        raise ValueError(
            f"The module keeps {', '.join(buffers)} beside its parameters, which would leak from task to task. "
            "Use layers without buffers, e.g. LayerNorm for BatchNorm."
        )

    def forward(params: Mapping[str, Tensor], inputs: Inputs) -> Tensor:
        return functional_call(module, dict(params), (inputs,))

    return forward, {name: value.detach().clone() for name, value in module.named_parameters()}


def mlp_params(sizes: Sequence[int], seed: int = 0) -> Params:
    """Return random weights ``layer0.weight``, … and zero biases of a multilayer perceptron (He et al. 2015).

    Parameters
    ----------
    sizes : sequence of int
        Numbers of inputs, of units of each hidden layer, and of outputs.
    seed : int
        Seed of the weights.

    Raises
    ------
    ValueError
        If there is no layer.
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"sizes must name at least inputs and outputs, each at least 1, got {tuple(sizes)}.")
    generator = torch.Generator().manual_seed(seed)
    params: Params = {}
    for layer, (n_inputs, n_units) in enumerate(pairwise(sizes)):
        params[f"layer{layer}.weight"] = torch.randn(n_inputs, n_units, generator=generator) * (2 / n_inputs) ** 0.5
        params[f"layer{layer}.bias"] = torch.zeros(n_units)
    return params


def mlp(params: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
    """Return the outputs of a multilayer perceptron with rectified units between the layers."""
    n_layers = sum(name.startswith("layer") and name.endswith(".weight") for name in params)
    hidden = inputs
    for layer in range(n_layers):
        hidden = hidden @ params[f"layer{layer}.weight"] + params[f"layer{layer}.bias"]
        if layer < n_layers - 1:
            hidden = torch.relu(hidden)
    return hidden


def mlp_features(params: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
    """Return the rectified outputs of the perceptron, as features for a separate head."""
    return torch.relu(mlp(params, inputs))
