r"""The network that tables share, on NumPy arrays: its parameters, what it computes, and the gradients of its loss.

============== =========================================================================================
slots          rows as `projection` gives them, (n_rows, N_SLOTS), bounded smoothly at ±LARGEST_SLOT
waves          :math:`\cos(f z + \phi)` of every slot, mixed to two numbers (PBLD of RealMLP)
features       what heads see: the slots and the trunk's last layer, (n_rows, N_FEATURES)
head           ``head/weight`` (N_FEATURES, n_outputs) and ``head/bias``: of the task, never shared
============== =========================================================================================

No torch: loading it takes longer than a fit to a small table. `shared_network` computes the same with torch, for
meta-learning.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from autometa.learners.mlp_maml.projection import LARGEST_SLOT, N_SLOTS

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
    # Logarithms of: penalty by features per row, and at least.
    "penalty/classes": (2,),
    "penalty/regression": (2,),
}
"""Shapes of what tables share."""

DEVIATIONS: dict[str, float] = {
    "wave/frequency": 0.2 * math.pi,
    "wave/mix": N_WAVES**-0.5,
    "layer0/weight": (2 / SHAPES["layer0/weight"][0]) ** 0.5,
    "layer0/bias": 0.5,
    "layer1/weight": (2 / WIDTH) ** 0.5,
    "layer1/bias": 0.5,
}
"""Of normal random parameters; phases are uniform in ±π, and `FIRST_PENALTY` is no random number."""

FIRST_PENALTY = (-3.0, -5.0)

_CHUNK_ROWS = 512
"""Rows whose features are computed at once; more would not stay near the processor."""
_OF_WAVE = np.repeat(np.arange(N_SLOTS), N_WAVES)
_WAVE = np.arange(N_SLOTS * N_WAVES)


def random_arrays(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return shared parameters before any learning."""
    arrays = {}
    for name, shape in SHAPES.items():
        if name.startswith("penalty/"):
            arrays[name] = np.array(FIRST_PENALTY, dtype=np.float32)
        elif name == "wave/phase":
            arrays[name] = rng.uniform(-math.pi, math.pi, shape).astype(np.float32)
        else:
            arrays[name] = rng.normal(0.0, DEVIATIONS[name], shape).astype(np.float32)
    return arrays


def features(params: Mapping[str, np.ndarray], slots: np.ndarray) -> np.ndarray:
    """Return what heads see of rows, (n_rows, N_FEATURES)."""
    return np.concatenate([_forward(params, part).seen for part in _chunks(slots)])


def scores(params: Mapping[str, np.ndarray], X: np.ndarray) -> np.ndarray:
    """Return the outputs of the head for rows of the table, (n_rows, n_outputs)."""
    return np.concatenate([_outputs(params, _forward(params, to_slots(params, part)).seen) for part in _chunks(X)])


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
        Written to, by names of parameters.
    params : mapping of str to ndarray
        Shared parameters, ``slots/…`` and ``head/…``.
    X : ndarray of shape (n_rows, n_features), float32
        Rows of the table.
    y : ndarray of shape (n_rows,)
        Codes of classes, or numbers.
    weight : ndarray of shape (n_rows,), optional
        What the losses of rows are multiplied by.
    masks : pair of ndarray of shape (n_rows, WIDTH), optional
        What the two layers are multiplied by (dropout).
    """
    seen = _forward(params, to_slots(params, X), masks)
    outputs = _outputs(params, seen.seen)
    if outputs.shape[1] == 1:
        wrong = 2 * (outputs - y[:, None])
    else:
        wrong = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        wrong /= wrong.sum(axis=1, keepdims=True)
        wrong[np.arange(len(y)), y] -= 1
    wrong *= np.float32(1 / len(y)) if weight is None else (weight / len(y))[:, None]

    np.matmul(seen.seen.T, wrong, out=gradients["head/weight"])
    np.sum(wrong, axis=0, out=gradients["head/bias"])
    of_seen = wrong @ params["head/weight"].T
    of_hidden = of_seen[:, N_SLOTS:]
    if masks is not None:
        of_hidden = of_hidden * masks[1]
    # Of the layers before their nonlinearity, the later one first.
    before = of_hidden * seen.slopes[1]
    np.matmul(seen.hidden.T, before, out=gradients["layer1/weight"])
    np.sum(before, axis=0, out=gradients["layer1/bias"])
    of_hidden = of_hidden + before @ params["layer1/weight"].T
    if masks is not None:
        of_hidden *= masks[0]
    before = of_hidden * seen.slopes[0]
    np.matmul(seen.inputs.T, before, out=gradients["layer0/weight"])
    np.sum(before, axis=0, out=gradients["layer0/bias"])
    of_inputs = before @ params["layer0/weight"].T
    of_slots = of_seen[:, :N_SLOTS] + of_inputs[:, :N_SLOTS]

    # (B, S * M) -> (S, B, M)
    of_mixed = of_inputs[:, N_SLOTS:].reshape(-1, N_SLOTS, N_MIXED).transpose(1, 0, 2)
    waves = np.cos(seen.angles).reshape(-1, N_SLOTS, N_WAVES)
    np.matmul(waves.transpose(1, 2, 0), of_mixed, out=gradients["wave/mix"])
    of_waves = np.matmul(of_mixed, params["wave/mix"].transpose(0, 2, 1))  # (S, B, W)
    of_angles = of_waves.transpose(1, 0, 2).reshape(len(X), -1)
    of_angles *= np.sin(seen.angles)
    np.negative(of_angles, out=of_angles)
    np.sum(of_angles.reshape(-1, N_SLOTS, N_WAVES), axis=0, out=gradients["wave/phase"])
    # One matrix product instead of many short sums; of its entries those count that join a slot and its own waves.
    gradients["wave/frequency"][...] = (seen.slots.T @ of_angles)[_OF_WAVE, _WAVE].reshape(N_SLOTS, N_WAVES)
    of_slots += of_angles @ _frequencies(params).T
    # The derivative of the bound is the cube of its factor.
    of_slots *= seen.bound**3
    np.matmul(X.T, of_slots, out=gradients["slots/weight"])
    np.sum(of_slots, axis=0, out=gradients["slots/bias"])


@dataclass(frozen=True)
class _Forward:
    """What a forward pass computes on its way.

    Parameters
    ----------
    bound, slots : ndarray of shape (n_rows, N_SLOTS)
        What slots were multiplied by to bound them, and bounded slots.
    angles : ndarray of shape (n_rows, N_SLOTS * N_WAVES)
        What waves are the cosine of.
    inputs : ndarray of shape (n_rows, N_SLOTS * (1 + N_MIXED))
        Of the first layer.
    hidden : ndarray of shape (n_rows, WIDTH)
        The first layer.
    slopes : pair of ndarray of shape (n_rows, WIDTH)
        Derivatives of the two layers' nonlinearities.
    seen : ndarray of shape (n_rows, N_FEATURES)
        Features.
    """

    bound: np.ndarray
    slots: np.ndarray
    angles: np.ndarray
    inputs: np.ndarray
    hidden: np.ndarray
    slopes: tuple[np.ndarray, np.ndarray]
    seen: np.ndarray


def _forward(
    params: Mapping[str, np.ndarray], slots: np.ndarray, masks: tuple[np.ndarray, np.ndarray] | None = None
) -> _Forward:
    bound = 1 / np.sqrt(1 + np.square(slots / np.float32(LARGEST_SLOT)))
    slots = slots * bound
    angles = slots @ _frequencies(params)
    angles += params["wave/phase"].ravel()
    waves = np.cos(angles).reshape(-1, N_SLOTS, N_WAVES)
    # One small matrix for each slot: (S, B, W) @ (S, W, M) -> (B, S, M)
    mixed = (
        np.matmul(waves.transpose(1, 0, 2), params["wave/mix"])
        .transpose(1, 0, 2)
        .reshape(len(slots), N_SLOTS * N_MIXED)
    )
    inputs = np.hstack([slots, mixed])
    hidden, slope0 = _silu(inputs @ params["layer0/weight"] + params["layer0/bias"])
    if masks is not None:
        hidden *= masks[0]
    last, slope1 = _silu(hidden @ params["layer1/weight"] + params["layer1/bias"])
    last += hidden
    if masks is not None:
        last *= masks[1]
    return _Forward(bound, slots, angles, inputs, hidden, (slope0, slope1), np.hstack([slots, last]))


def _outputs(params: Mapping[str, np.ndarray], seen: np.ndarray) -> np.ndarray:
    return seen @ params["head/weight"] + params["head/bias"]


def _frequencies(params: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return frequencies as a matrix from slots to all waves, (N_SLOTS, N_SLOTS * N_WAVES)."""
    matrix = np.zeros((N_SLOTS, N_SLOTS * N_WAVES), dtype=np.float32)
    matrix[_OF_WAVE, _WAVE] = params["wave/frequency"].ravel()
    return matrix


def _silu(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return SiLU and its derivative."""
    # Half the argument in tanh, which does not overflow as the exponential does.
    share = np.tanh(0.5 * x)
    share += 1
    share *= 0.5
    value = x * share
    # σ (1 + x (1 − σ)) = σ + x σ (1 − σ)
    return value, share + value * (1 - share)


def _chunks(rows: np.ndarray) -> list[np.ndarray]:
    """Return the rows in parts, at least one."""
    return [rows[i : i + _CHUNK_ROWS] for i in range(0, max(1, len(rows)), _CHUNK_ROWS)]
