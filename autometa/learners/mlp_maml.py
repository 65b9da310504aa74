"""A multilayer perceptron whose weights all tables share at first, and that each table then makes its own.

A `projection` brings a table into the network's slots, the trunk starts from what was meta-learned on other tables,
and the head is fitted to it (see `head_fitting`). From there all of it is trained by mini-batches, the projection
too, so that no column is lost for good; what predicts is the mean of about an epoch's steps. What is kept is numpy
arrays, and predicting needs no torch.

============ =====================================================================================================
start        what the network starts from
============ =====================================================================================================
fitted_head  meta-learned so that a fitted head does well on new rows; the default
projected    random trunk, fitted projection and head
random       random weights everywhere
============ =====================================================================================================

The first epoch of every start but the last is the fit of projection and head.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autometa.core.space import Value
from autometa.learners.base import FitData, Learner
from autometa.learners.epochs import Dropout, NetworkModel, as_tensor, batch_size, flat_cos, row_losses, train_by_epochs
from autometa.learners.numeric import TargetScale, torch_threads
from autometa.learners.projection import LARGEST_SLOT, N_SLOTS
from autometa.learners.starts import read_starts, shipped_starts_folder

MOST_OPERATIONS = 1.0e11
"""Floating-point operations of a training without a deadline: some seconds of one core."""

FEWEST_EPOCHS = 8
"""Trained for even when that exceeds `MOST_OPERATIONS`; only a deadline ends training sooner."""

_PATIENCE = 0.25
"""Share of the epochs, and at least `_LEAST_PATIENCE`, without a better one after which training ends."""
_LEAST_PATIENCE = 8
_WARM_UP = 0.05
"""Share of the training in which the learning rate rises: a good start is not to be thrown away by first steps."""


@dataclass(frozen=True)
class _Settings:
    """Hyperparameters; the names are those of the strategy file."""

    start: str = "fitted_head"
    n_epochs: int = 64
    learning_rate: float = 0.002
    weight_decay: float = 0.02
    dropout: float = 0.0


class SharedNetworkModel(NetworkModel):
    """The arrays of a trained network.

    Parameters
    ----------
    arrays : dict of str to ndarray
        Parameters of `shared_network` by name, with ``slots/weight`` (n_features, N_SLOTS) and ``slots/bias``.
    scale : TargetScale or None
        How a regression target was standardised; None for classification.
    n_iterations : int
        Epochs trained until these arrays.
    """

    def __init__(self, arrays: dict[str, np.ndarray], scale: TargetScale | None, n_iterations: int) -> None:
        self.arrays = arrays
        self.scale = scale
        self.n_iterations: int = n_iterations

    def _n_outputs(self) -> int:
        return len(self.arrays["head/bias"])

    def _forward(self, X: np.ndarray) -> np.ndarray:
        a = self.arrays
        slots = np.asarray(X, dtype=np.float32) @ a["slots/weight"] + a["slots/bias"]
        slots = slots / np.sqrt(1 + np.square(slots / np.float32(LARGEST_SLOT)))
        waves = np.cos(slots[:, :, None] * a["wave/frequency"] + a["wave/phase"])
        # One small matrix for each slot: (S, B, W) @ (S, W, M) -> (B, S, M)
        mixed = np.matmul(waves.transpose(1, 0, 2), a["wave/mix"]).transpose(1, 0, 2).reshape(len(X), -1)
        hidden = _silu(np.hstack([slots, mixed]) @ a["layer0/weight"] + a["layer0/bias"])
        hidden = hidden + _silu(hidden @ a["layer1/weight"] + a["layer1/bias"])
        return np.hstack([slots, hidden]) @ a["head/weight"] + a["head/bias"]


def _silu(x: np.ndarray) -> np.ndarray:
    # Half the argument in tanh, which does not overflow as the exponential does.
    return 0.5 * x * (1 + np.tanh(0.5 * x))


def fit_mlp_maml(data: FitData, parameters: Mapping[str, Value]) -> SharedNetworkModel:
    """Return a trained network; with validation rows the one of its best epoch.

    Parameters
    ----------
    data : FitData
        Rows of the numeric view.
    parameters : mapping
        ``start``, ``n_epochs`` (at most; fewer where `MOST_OPERATIONS` or the deadline ask for it),
        ``learning_rate``, ``weight_decay`` and ``dropout``.

    Raises
    ------
    MetaWeightsError
        If the files of the starts are missing or damaged.
    FloatingPointError
        If the training diverged.
    """
    with torch_threads(data.n_threads):
        return _train(data, _Settings(**parameters))  # type: ignore[arg-type]


def _train(data: FitData, settings: _Settings) -> SharedNetworkModel:
    import torch

    generator = torch.Generator().manual_seed(data.seed)
    scale = TargetScale(data.y, data.sample_weight) if data.problem == "regression" else None
    network = _Network(data, scale, settings, generator)
    n_epochs = data.n_iterations or _plan_epochs(network.n_operations() * len(data.X), settings.n_epochs)
    patience = max(_LEAST_PATIENCE, math.ceil(_PATIENCE * n_epochs))
    return train_by_epochs(
        network,
        data,
        scale,
        n_epochs,
        generator,
        lambda epoch, share, best_epoch, best_share: epoch - best_epoch >= patience,
        is_fitted=settings.start != "random",
    )


class _Network:
    """The network in training: its parameters, their running mean, which is what predicts, and their optimiser."""

    def __init__(self, data: FitData, scale: TargetScale | None, settings: _Settings, generator: Any) -> None:
        import torch

        self.settings, self.scale = settings, scale
        self.X = as_tensor(data.X)
        self.y = torch.from_numpy(scale.standardise(data.y).astype(np.float32)) if scale else torch.tensor(data.y)
        weight = data.sample_weight
        self.weight = None if weight is None else torch.from_numpy(weight.astype(np.float32))
        self.params = _shared(settings.start, generator)
        if settings.start == "random":
            self.penalty = 0.0
            self.params |= _random_of_table(data, generator)
        else:
            self.penalty = self._fit(data)
        self.params = {name: tensor for name, tensor in self.params.items() if not name.startswith("penalty/")}
        self.mean = {name: tensor.clone() for name, tensor in self.params.items()}
        self.n_steps, self.n_averaged = 0, math.ceil(len(self.X) / batch_size(len(self.X)))
        for tensor in self.params.values():
            tensor.requires_grad_(True)
        self.optimiser = torch.optim.AdamW(self._groups(), lr=0.0, betas=(0.9, 0.95), fused=True)
        self.dropout = Dropout(generator) if settings.dropout > 0 else None

    def _fit(self, data: FitData) -> float:
        """Fit projection and head to the rows, and return the penalty of the head."""
        from autometa.learners.head_fitting import TableRows, fit_slots_and_head

        n_classes = None if self.scale else max(2, data.n_classes)
        weight = None if self.weight is None else self.weight.numpy()
        rows = TableRows(self.X.numpy(), self.y.numpy(), data.problem, n_classes, weight)
        if weight is not None:
            rows = rows.at(np.flatnonzero(weight > 0))
        of_table, penalty = fit_slots_and_head(self.params, rows, data.seed, data.deadline)
        self.params |= of_table
        return penalty

    def _groups(self) -> list[dict[str, Any]]:
        named = list(self.params.items())
        # A step of Adam moves every entry alike, so a slot of many columns would move by more.
        slots = min(1.0, 4.0 / self.X.shape[1] ** 0.5)
        # The gradient of a fitted head is noise, of which Adam makes steps as large as of any other.
        head = 1.0 if self.settings.start == "random" else 0.1
        return [
            {"params": [self.params["slots/weight"]], "factor": slots, "decay": 0.0},
            {"params": [v for n, v in named if n.startswith("layer") and v.ndim == 2], "factor": 1.0, "decay": 1.0},
            {"params": [self.params["head/weight"]], "factor": head, "decay": 1.0},
            {"params": [v for n, v in named if n.startswith("wave/") or n.endswith("bias")], "factor": 0.5, "decay": 0},
        ]

    def n_operations(self) -> float:
        """Return floating-point operations of training on one row: forward and twice that backward."""
        from autometa.learners.shared_network import N_WAVES

        return 6.0 * (sum(tensor.numel() for tensor in self.params.values()) + 2 * N_SLOTS * N_WAVES)

    def step(self, rows: Any, share: float) -> None:
        """Make one step of the optimiser on some rows."""
        import torch

        from autometa.learners.shared_network import WIDTH

        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * group["factor"] * _rate(share)
            group["weight_decay"] = self.settings.weight_decay * group["decay"]
        masks = None
        if self.dropout is not None:
            self.dropout.rate = self.settings.dropout * flat_cos(share)
            masks = tuple(self.dropout.mask(len(rows), WIDTH) for _ in range(2))
        losses = row_losses(self._scores(self.params, self.X[rows], masks), self.y[rows], 0.0)
        loss = losses.mean() if self.weight is None else (losses * self.weight[rows]).mean()
        # The head keeps the penalty that it was fitted with. Losses of rows are twice those of the fit for numbers.
        factor = 1.0 if self.scale else 0.5
        loss = loss + factor * self.penalty * self.params["head/weight"].square().sum()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.params.values(), 5.0)
        self.optimiser.step()
        self.n_steps += 1
        with torch.no_grad():
            share_of_new = 1 / min(1 + self.n_steps, max(2, self.n_averaged))
            torch._foreach_lerp_(list(self.mean.values()), list(self.params.values()), share_of_new)

    def forward(self, X: Any) -> Any:
        """Return the scores of rows by the running mean."""
        return self._scores(self.mean, X)

    def snapshot(self) -> list[np.ndarray]:
        """Return copies of the running mean."""
        return [tensor.numpy().copy() for tensor in self.mean.values()]

    def to_model(self, snapshot: list[np.ndarray], n_epochs: int) -> SharedNetworkModel:
        """Return the model of a snapshot."""
        return SharedNetworkModel(dict(zip(self.mean, snapshot, strict=True)), self.scale, n_epochs)

    @staticmethod
    def _scores(params: Mapping[str, Any], X: Any, masks: Any = None) -> Any:
        from autometa.learners.shared_network import scores

        return scores(params, X @ params["slots/weight"] + params["slots/bias"], masks)


def _shared(start: str, generator: Any) -> dict[str, Any]:
    """Return the parameters that tables share."""
    import torch

    from autometa.learners.shared_network import SHAPES, random_parameters

    if start in ("random", "projected"):
        return random_parameters(generator)
    starts = read_starts(shipped_starts_folder(), tuple(SHAPES.items()))
    if start not in starts:
        raise ValueError(f"start must be 'random', 'projected' or one of {sorted(starts)}, got {start!r}.")
    return {name: torch.tensor(array) for name, array in starts[start].items()}


def _random_of_table(data: FitData, generator: Any) -> dict[str, Any]:
    """Return a random projection, and a head that gives the mean or the class frequencies."""
    import torch

    from autometa.learners.shared_network import N_FEATURES

    n_features, n_outputs = data.X.shape[1], 1 if data.problem == "regression" else max(2, data.n_classes)
    params = {
        "slots/weight": torch.randn(n_features, N_SLOTS, generator=generator) / n_features**0.5,
        "slots/bias": torch.zeros(N_SLOTS),
        "head/weight": torch.zeros(N_FEATURES, n_outputs),
        "head/bias": torch.zeros(n_outputs),
    }
    if data.problem != "regression":
        frequencies = np.bincount(data.y, weights=data.sample_weight, minlength=n_outputs) + 1e-3
        params["head/bias"] = torch.from_numpy(np.log(frequencies / frequencies.sum()).astype(np.float32))
    return params


def _rate(t: float) -> float:
    """Return the factor of the learning rate at progress `t`: a short rise, then half a cosine down to 0."""
    return min(1.0, (t + 1e-3) / _WARM_UP) * 0.5 * (1 + math.cos(math.pi * min(t, 1.0)))


def _plan_epochs(operations_per_epoch: float, n_epochs: int) -> int:
    """Return the number of epochs that a training without a deadline takes."""
    return min(n_epochs, max(FEWEST_EPOCHS, int(MOST_OPERATIONS / operations_per_epoch)))


MLP_MAML = Learner(
    name="mlp_maml",
    view="numeric",
    fit=fit_mlp_maml,
    library="torch",
    keeps_deadline=True,
    has_iterations=True,
    load_s=1.5,
)
