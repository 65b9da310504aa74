"""Predicts the end of a learning curve by a recurrent network: trained with torch, used with NumPy."""
# Tests: tests/transfer/pruning/test_curves.py
# Tests: tests/transfer/pruning/test_pruner.py

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autometa.transfer.pruning.calibration import PastCurves, centre_and_scale, sigmoid
from autometa.transfer.pruning.curves import GRID

_HIDDEN = 16
_N_STEPS = 600
_BATCH = 128
_CLIP = 10.0  # largest value and move, in units of the study's scale


@dataclass(frozen=True)
class CurveLSTM:
    """A long short-term memory (Hochreiter and Schmidhuber 1997) over the grid, as in Gargiani et al. (2019).

    At each index it reads the value, whether it is missing, whether it diverged, and the relative step. Its output is
    how far the curve still moves, in units of the study's scale.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        Named and ordered as in torch's LSTM and linear layer (gates: input, forget, cell, output).
    """

    arrays: Mapping[str, np.ndarray]

    def predict(self, values: np.ndarray, centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Return the final values predicted at each index of the grid, of shape (n, K)."""
        a = self.arrays
        inputs = _inputs(values, centre, scale)
        hidden = memory = np.zeros((len(inputs), _HIDDEN))
        moves = np.empty(inputs.shape[:2])
        for index in range(inputs.shape[1]):
            gates = inputs[:, index] @ a["weight_ih_l0"].T + hidden @ a["weight_hh_l0"].T
            gates = gates + a["bias_ih_l0"] + a["bias_hh_l0"]
            write, forget, cell, output = np.split(gates, 4, axis=1)
            memory = sigmoid(forget) * memory + sigmoid(write) * np.tanh(cell)
            hidden = sigmoid(output) * np.tanh(memory)
            moves[:, index] = (hidden @ a["weight"].T + a["bias"])[:, 0]
        return np.where(np.isfinite(values), values + scale * moves, values)


def train_curve_lstm(past: Sequence[PastCurves], seed: int) -> CurveLSTM:
    """Return a network trained on past curves; studies have equal weight, and incumbents are drawn at random.

    The absolute error at every index is minimised, so predictions are medians.
    """
    import torch

    rng = np.random.default_rng(seed)
    # torch draws initial weights from its global generator, which is restored.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        lstm, out = torch.nn.LSTM(4, _HIDDEN, batch_first=True), torch.nn.Linear(_HIDDEN, 1)
    optimiser = torch.optim.Adam([*lstm.parameters(), *out.parameters()], lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, _N_STEPS)
    for _ in range(_N_STEPS):
        inputs, moves, known = _batch(past, rng)
        predicted = out(lstm(torch.from_numpy(inputs))[0])[..., 0]
        loss = ((predicted - torch.from_numpy(moves)).abs() * torch.from_numpy(known)).sum() / max(1.0, known.sum())
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(lstm.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    arrays = {**lstm.state_dict(), **out.state_dict()}
    return CurveLSTM({name: tensor.numpy().astype(float) for name, tensor in arrays.items()})


def _batch(past: Sequence[PastCurves], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    study = past[int(rng.integers(len(past)))]
    finals = study.finals
    # The incumbent of a study in progress is the best of a few trials.
    few = rng.choice(len(finals), min(len(finals), int(rng.integers(2, 40))), replace=False)
    finite = few[np.isfinite(finals[few])]
    if not len(finite):
        finite = np.flatnonzero(np.isfinite(finals))
    centre, scale = centre_and_scale(float(finals[finite].min()), study.first[few])
    chosen = rng.choice(len(finals), min(_BATCH, len(finals)), replace=False)
    values = study.values[chosen]
    known = np.isfinite(values) & np.isfinite(finals[chosen])[:, None]
    with np.errstate(invalid="ignore"):
        moves = np.where(known, np.clip((finals[chosen][:, None] - values) / scale, -_CLIP, _CLIP), 0.0)
    inputs = _inputs(values, np.array([[centre]]), np.array([[scale]]))
    return inputs.astype(np.float32), moves.astype(np.float32), known.astype(np.float32)


def _inputs(values: np.ndarray, centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
    missing, diverged = np.isnan(values), np.isinf(values)
    units = np.where(missing | diverged, 0.0, (values - centre) / scale)
    steps = np.broadcast_to(np.log2(GRID[: values.shape[1]]) / 8, values.shape)
    return np.stack([np.clip(units, -_CLIP, _CLIP), missing, diverged, steps], axis=-1)
