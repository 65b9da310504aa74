r"""The network that tables share: its parameters, its forward pass in NumPy or torch, and the gradients of its loss.

============== =========================================================================================
slots          rows as `projection` gives them, (n_rows, N_SLOTS), bounded smoothly at ±LARGEST_SLOT
waves          :math:`\cos(f z + \phi)` of every slot, mixed to two numbers (PBLD of RealMLP)
features       input of the head: the slots and the trunk's last layer, (n_rows, N_FEATURES)
head           ``head/weight`` (N_FEATURES, n_outputs) and ``head/bias``: fitted to each table, never shared
``d_…``        derivative of the mean loss with respect to …
============== =========================================================================================

A fit uses NumPy alone, because loading torch takes longer than a fit to a small table. Meta-training passes tensors to
`forward` and differentiates it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autometa.learners.mlp_maml.projection import LARGEST_SLOT, N_SLOTS

Array = Any
"""A NumPy array, or a torch tensor in meta-training."""

WIDTH = 256
N_WAVES = 8
N_MIXED = 2
N_FEATURES = N_SLOTS + WIDTH

SHAPES: dict[str, tuple[int, ...]] = {
    "wave/frequency": (N_SLOTS, N_WAVES),
    "wave/phase": (N_SLOTS, N_WAVES),
    "wave/mix": (N_SLOTS, N_WAVES, N_MIXED),
    "layer0/weight": (N_SLOTS * (1 + N_MIXED), WIDTH),
    "layer0/bias": (WIDTH,),
    "layer1/weight": (WIDTH, WIDTH),
    "layer1/bias": (WIDTH,),
    # Logarithms of the head's penalty: times features per row, and the least one.
    "penalty/classes": (2,),
    "penalty/regression": (2,),
}
"""Shapes of the parameters that tables share."""

_DEVIATIONS: dict[str, float] = {
    "wave/frequency": 0.2 * math.pi,
    "wave/mix": N_WAVES**-0.5,
    "layer0/weight": (2 / SHAPES["layer0/weight"][0]) ** 0.5,
    "layer0/bias": 0.5,
    "layer1/weight": (2 / WIDTH) ** 0.5,
    "layer1/bias": 0.5,
}
"""Standard deviations of random parameters with a normal distribution."""

_FIRST_PENALTY = (-3.0, -5.0)
"""Value of the penalty's logarithms before meta-training."""

_CHUNK_ROWS = 512
"""Rows of one forward pass, few enough for the processor's cache."""
_OWN_WAVES = np.repeat(np.eye(N_SLOTS, dtype=np.float32), N_WAVES, axis=1)
"""1 where a wave belongs to a slot, of shape (N_SLOTS, N_SLOTS * N_WAVES)."""


def random_arrays(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return shared parameters before any learning."""
    arrays = {}
    for name, shape in SHAPES.items():
        if name.startswith("penalty/"):
            arrays[name] = np.array(_FIRST_PENALTY, dtype=np.float32)
        elif name == "wave/phase":
            arrays[name] = rng.uniform(-math.pi, math.pi, shape).astype(np.float32)
        else:
            arrays[name] = rng.normal(0.0, _DEVIATIONS[name], shape).astype(np.float32)
    return arrays


@dataclass(frozen=True)
class ForwardPass:
    """The intermediate results of a forward pass.

    Parameters
    ----------
    bound, slots : array of shape (n_rows, N_SLOTS)
        Factors that bound the slots, and the bounded slots.
    angles : array of shape (n_rows, N_SLOTS * N_WAVES)
        Arguments of the waves' cosines.
    inputs : array of shape (n_rows, N_SLOTS * (1 + N_MIXED))
        Input of the first layer.
    hidden : array of shape (n_rows, WIDTH)
        Output of the first layer.
    slopes : pair of arrays of shape (n_rows, WIDTH)
        Derivatives of the two layers' nonlinearities.
    features : array of shape (n_rows, N_FEATURES)
        Input of the head.
    """

    bound: Array
    slots: Array
    angles: Array
    inputs: Array
    hidden: Array
    slopes: tuple[Array, Array]
    features: Array


def forward(params: Mapping[str, Array], slots: Array, masks: tuple[Array, Array] | None = None) -> ForwardPass:
    """Return the forward pass of slots, in the library of its arguments; a pure function.

    Parameters
    ----------
    params : mapping of str to array
        Shared parameters.
    slots : array of shape (n_rows, N_SLOTS)
        Rows before they are bounded.
    masks : pair of arrays of shape (n_rows, WIDTH), optional
        Factors of the two layers (dropout).
    """
    xp = _library_of(slots)
    bound = 1 / xp.sqrt(1 + xp.square(slots / LARGEST_SLOT))
    slots = slots * bound
    angles = slots @ _frequencies(xp, params)
    angles += params["wave/phase"].reshape(-1)
    waves = xp.cos(angles).reshape(-1, N_SLOTS, N_WAVES)
    # One small matrix for each slot: (S, B, W) @ (S, W, M) -> (B, S, M)
    mixed = xp.matmul(waves.swapaxes(0, 1), params["wave/mix"]).swapaxes(0, 1)
    inputs = xp.hstack([slots, mixed.reshape(len(slots), N_SLOTS * N_MIXED)])
    hidden, slope0 = _silu(xp, inputs @ params["layer0/weight"] + params["layer0/bias"])
    if masks is not None:
        hidden = hidden * masks[0]
    last, slope1 = _silu(xp, hidden @ params["layer1/weight"] + params["layer1/bias"])
    last = last + hidden
    if masks is not None:
        last = last * masks[1]
    return ForwardPass(bound, slots, angles, inputs, hidden, (slope0, slope1), xp.hstack([slots, last]))


def outputs(params: Mapping[str, Array], features: Array) -> Array:
    """Return the outputs of the head, (n_rows, n_outputs)."""
    return features @ params["head/weight"] + params["head/bias"]


def features(params: Mapping[str, np.ndarray], slots: np.ndarray) -> np.ndarray:
    """Return the input of the head for slots of rows, (n_rows, N_FEATURES)."""
    return np.concatenate([forward(params, part).features for part in _chunks(slots)])


def scores(params: Mapping[str, np.ndarray], X: np.ndarray) -> np.ndarray:
    """Return the outputs of the head for rows of the table, (n_rows, n_outputs)."""
    parts = [outputs(params, forward(params, to_slots(params, part)).features) for part in _chunks(X)]
    return np.concatenate(parts)


def to_slots(params: Mapping[str, np.ndarray], X: np.ndarray) -> np.ndarray:
    """Return the slots of rows of the table."""
    return X @ params["slots/weight"] + params["slots/bias"]


def row_losses(outputs: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the loss of each row: squared error for one column of outputs, else cross-entropy."""
    if outputs.shape[1] == 1:
        return np.square(outputs[:, 0] - y)
    shifted = outputs - outputs.max(axis=1, keepdims=True)
    return np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(y)), y]


def write_gradients(
    gradients: Mapping[str, np.ndarray],
    params: Mapping[str, np.ndarray],
    X: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray | None = None,
    masks: tuple[np.ndarray, np.ndarray] | None = None,
) -> None:
    """Write the gradients of the mean loss on rows into arrays.

    Parameters
    ----------
    gradients : mapping of str to ndarray
        Arrays to write to, by names of parameters.
    params : mapping of str to ndarray
        Shared parameters, ``slots/…`` and ``head/…``.
    X : ndarray of shape (n_rows, n_features), float32
        Rows of the table.
    y : ndarray of shape (n_rows,)
        Codes of classes, or numbers.
    weight : ndarray of shape (n_rows,), optional
        Factors of the rows' losses.
    masks : pair of ndarray of shape (n_rows, WIDTH), optional
        Factors of the two layers (dropout).
    """
    rows = forward(params, to_slots(params, X), masks)
    d_outputs = _output_gradients(outputs(params, rows.features), y, weight)
    np.matmul(rows.features.T, d_outputs, out=gradients["head/weight"])
    np.sum(d_outputs, axis=0, out=gradients["head/bias"])
    d_features = d_outputs @ params["head/weight"].T
    d_inputs = _write_trunk_gradients(gradients, params, rows, d_features[:, N_SLOTS:], masks)
    d_slots = d_features[:, :N_SLOTS] + d_inputs[:, :N_SLOTS]
    d_slots += _write_wave_gradients(gradients, params, rows, d_inputs[:, N_SLOTS:])
    # The derivative of the bounded slot is the cube of its factor.
    d_slots *= rows.bound**3
    np.matmul(X.T, d_slots, out=gradients["slots/weight"])
    np.sum(d_slots, axis=0, out=gradients["slots/bias"])


def _output_gradients(outputs: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """Return the derivative of the mean loss with respect to the outputs."""
    if outputs.shape[1] == 1:
        d_outputs = 2 * (outputs - y[:, None])
    else:
        d_outputs = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        d_outputs /= d_outputs.sum(axis=1, keepdims=True)
        d_outputs[np.arange(len(y)), y] -= 1
    d_outputs *= np.float32(1 / len(y)) if weight is None else (weight / len(y))[:, None]
    return d_outputs


def _write_trunk_gradients(
    gradients: Mapping[str, np.ndarray],
    params: Mapping[str, np.ndarray],
    rows: ForwardPass,
    d_last: np.ndarray,
    masks: tuple[np.ndarray, np.ndarray] | None,
) -> np.ndarray:
    """Write the gradients of both layers, and return the derivative with respect to the first layer's input."""
    if masks is not None:
        d_last = d_last * masks[1]
    # Derivatives with respect to a layer before its nonlinearity, the second layer first.
    d_linear = d_last * rows.slopes[1]
    np.matmul(rows.hidden.T, d_linear, out=gradients["layer1/weight"])
    np.sum(d_linear, axis=0, out=gradients["layer1/bias"])
    d_hidden = d_last + d_linear @ params["layer1/weight"].T
    if masks is not None:
        d_hidden *= masks[0]
    d_linear = d_hidden * rows.slopes[0]
    np.matmul(rows.inputs.T, d_linear, out=gradients["layer0/weight"])
    np.sum(d_linear, axis=0, out=gradients["layer0/bias"])
    d_inputs: np.ndarray = d_linear @ params["layer0/weight"].T
    return d_inputs


def _write_wave_gradients(
    gradients: Mapping[str, np.ndarray], params: Mapping[str, np.ndarray], rows: ForwardPass, d_mixed: np.ndarray
) -> np.ndarray:
    """Write the gradients of the waves, and return the derivative with respect to the bounded slots."""
    # (B, S * M) -> (S, B, M)
    d_mixed = d_mixed.reshape(-1, N_SLOTS, N_MIXED).transpose(1, 0, 2)
    waves = np.cos(rows.angles).reshape(-1, N_SLOTS, N_WAVES)
    np.matmul(waves.transpose(1, 2, 0), d_mixed, out=gradients["wave/mix"])
    d_waves = np.matmul(d_mixed, params["wave/mix"].transpose(0, 2, 1))  # (S, B, W)
    d_angles = d_waves.transpose(1, 0, 2).reshape(len(rows.slots), -1)
    d_angles *= np.sin(rows.angles)
    np.negative(d_angles, out=d_angles)
    np.sum(d_angles.reshape(-1, N_SLOTS, N_WAVES), axis=0, out=gradients["wave/phase"])
    # One matrix product is faster than many short sums; only its entries for a slot and its own waves count.
    gradients["wave/frequency"][...] = (rows.slots.T @ d_angles)[_OWN_WAVES == 1].reshape(N_SLOTS, N_WAVES)
    d_slots: np.ndarray = d_angles @ _frequencies(np, params).T
    return d_slots


def _frequencies(xp: Any, params: Mapping[str, Array]) -> Array:
    """Return frequencies as a matrix from slots to all waves, (N_SLOTS, N_SLOTS * N_WAVES)."""
    return xp.asarray(_OWN_WAVES) * params["wave/frequency"].reshape(-1)


def _silu(xp: Any, x: Array) -> tuple[Array, Array]:
    """Return SiLU and its derivative."""
    # tanh of half the argument does not overflow as the exponential does.
    sigmoid = xp.tanh(0.5 * x) + 1
    sigmoid *= 0.5
    value = x * sigmoid
    # σ (1 + x (1 − σ)) = σ + x σ (1 − σ)
    return value, sigmoid + value * (1 - sigmoid)


def _library_of(array: Array) -> Any:
    """Return NumPy or torch."""
    if isinstance(array, np.ndarray):
        return np
    import torch

    return torch


def _chunks(rows: np.ndarray) -> list[np.ndarray]:
    """Return the rows in parts, at least one."""
    return [rows[i : i + _CHUNK_ROWS] for i in range(0, max(1, len(rows)), _CHUNK_ROWS)]
