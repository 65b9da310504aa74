r"""A recurrent network that chooses actions, as one forward pass for NumPy and for torch.

It reads an episode action by action and updates a hidden state, so that it adapts within an episode
without a change of weights (RL²; Duan et al. 2016).

=========== ==========================================================================
xp          the module `numpy` or `torch`; arrays are of its kind
arrays      the weights: name → array of float32
hidden      state :math:`h`, of shape (n, `HIDDEN`)
action      index of the last action, of shape (n,); -1 before the first
inputs      results of that action, of shape (n, n_inputs)
options     current description of each action, of shape (n, n_actions, n_options)
mask        actions that can be taken, of shape (n, n_actions)
=========== ==========================================================================

The logit of action j is :math:`e_j^\top q(h) + b_j + o_j^\top c(h)`: the embedding :math:`e_j` is the one that
the network reads, and the query q and the coefficients c of the options are linear in the hidden state.
Configurations with similar results on past tasks have similar embeddings, so they share what is learnt.
"""

# Tests: tests/policy/recurrent/test_policy.py

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

HIDDEN = 64
EMBEDDING = 16
_IMPOSSIBLE = -1e9
"""Logit of actions that cannot be taken; finite, so that probability 0 times its logarithm is 0."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a network.

    Parameters
    ----------
    n_actions, n_inputs : int
        Number of actions, and of inputs about the last action.
    n_start : int
        Number of inputs known before an episode.
    n_options : int
        Number of inputs about each action.
    """

    n_actions: int
    n_inputs: int
    n_start: int = 0
    n_options: int = 0

    def of_arrays(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each array of weights."""
        read = EMBEDDING + self.n_inputs
        return {
            "embedding": (self.n_actions, EMBEDDING),
            "bias": (self.n_actions,),
            "start_weight": (self.n_start, HIDDEN),
            "start_bias": (HIDDEN,),
            "read_weight": (read, 3 * HIDDEN),
            "read_bias": (3 * HIDDEN,),
            "keep_weight": (HIDDEN, 3 * HIDDEN),
            "keep_bias": (3 * HIDDEN,),
            "query_weight": (HIDDEN, EMBEDDING),
            "query_bias": (EMBEDDING,),
            "option_weight": (HIDDEN, self.n_options),
            "option_bias": (self.n_options,),
            "value_weight": (HIDDEN, 1),
            "value_bias": (1,),
        }

    def check(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Raise ValueError unless `arrays` are weights of this shape."""
        for name, shape in self.of_arrays().items():
            if name not in arrays:
                raise ValueError(f"The weights lack {name!r}; they have {sorted(arrays)}. Train them anew.")
            if np.shape(arrays[name]) != shape:
                raise ValueError(
                    f"The weight {name!r} must be of shape {shape}, got {np.shape(arrays[name])}: it was trained on "
                    "other configurations or meta-features. Train it anew."
                )


def initial_arrays(shape: Shape, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return initial weights: matrices preserve the scale of their inputs, biases are 0.

    Logits and values start close to 0, so that every action is tried at first.
    """
    arrays = {}
    for name, size in shape.of_arrays().items():
        scale = 0.0 if name.endswith("bias") else 1 / np.sqrt(max(1, size[0]))
        scale *= 0.1 if name in ("query_weight", "option_weight", "value_weight") else 1.0
        # Single rows of an embedding are read, so its scale does not depend on its size.
        scale = 0.5 if name == "embedding" else scale
        arrays[name] = (scale * rng.standard_normal(size)).astype(np.float32)
    return arrays


def start(xp: Any, arrays: Mapping[str, Any], features: Any) -> Any:
    """Return the hidden state before an episode: (n, n_start) → (n, HIDDEN)."""
    return xp.tanh(features @ arrays["start_weight"] + arrays["start_bias"])


def step(xp: Any, arrays: Mapping[str, Any], hidden: Any, action: Any, inputs: Any) -> Any:
    """Return the hidden state after an action and its results: a gated recurrent unit (Cho et al. 2014)."""
    embedded = arrays["embedding"][action] * (action >= 0)[:, None]
    read = xp.concatenate([embedded, inputs], axis=1) @ arrays["read_weight"] + arrays["read_bias"]
    kept = hidden @ arrays["keep_weight"] + arrays["keep_bias"]
    gates = _sigmoid(xp, read[:, : 2 * HIDDEN] + kept[:, : 2 * HIDDEN])
    reset, update = gates[:, :HIDDEN], gates[:, HIDDEN:]
    candidate = xp.tanh(read[:, 2 * HIDDEN :] + reset * kept[:, 2 * HIDDEN :])
    return candidate + update * (hidden - candidate)


def judge(xp: Any, arrays: Mapping[str, Any], hidden: Any, options: Any, mask: Any) -> tuple[Any, Any]:
    """Return the actions' logits, of shape (n, n_actions), and the value of the state, of shape (n,)."""
    query = hidden @ arrays["query_weight"] + arrays["query_bias"]
    logits = query @ arrays["embedding"].T + arrays["bias"]
    if options.shape[-1]:
        coefficients = hidden @ arrays["option_weight"] + arrays["option_bias"]
        logits = logits + (options @ coefficients[:, :, None])[:, :, 0]
    value = (hidden @ arrays["value_weight"] + arrays["value_bias"])[:, 0]
    return xp.where(mask, logits, _IMPOSSIBLE), value


def _sigmoid(xp: Any, values: Any) -> Any:
    # A tanh does not overflow, and both modules have one.
    return 0.5 + 0.5 * xp.tanh(0.5 * values)
