"""A multilayer perceptron whose weights all tables share at first, and that each table then makes its own.

A `projection` brings a table into the network's slots, the trunk starts from what was meta-learned on other tables,
and the head from a closed form (see `shared_network`). From there all of it is trained by mini-batches, the
projection too, so that no column is lost for good. What is kept is numpy arrays, and predicting needs no torch.

============ =====================================================================================================
start        what the network starts from
============ =====================================================================================================
closed_form  meta-learned so that a head in closed form does well on new rows; the default
pooled       trained on all tables together, without meta-learning
projected    random trunk, fitted projection and head
random       random weights everywhere
============ =====================================================================================================

The first epoch of every start but the last is the closed form itself: one pass over the rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autometa.core.space import Value
from autometa.learners.base import FitData, Learner, stages_before
from autometa.learners.epochs import CHUNK_ROWS, Dropout, Monitor, Progress, as_tensor, batch_size, flat_cos, row_losses
from autometa.learners.numeric import TargetScale, bounded, outputs, torch_threads
from autometa.learners.projection import N_SLOTS, fit_projection
from autometa.learners.starts import read_starts, shipped_starts_folder

MOST_OPERATIONS = 1.0e11
"""Floating-point operations of a training without a deadline: some seconds of one core."""

FEWEST_EPOCHS = 8
"""Trained for even when that exceeds `MOST_OPERATIONS`; only a deadline ends training sooner."""

_MOST_CLOSED_ROWS = 10_000
"""The closed form takes no more rows, which bounds its memory."""
_PATIENCE = 0.25
"""Share of the epochs, and at least `_LEAST_PATIENCE`, without a better one after which training ends."""
_LEAST_PATIENCE = 8
_WARM_UP = 0.05
"""Share of the training in which the learning rate rises: a good start is not to be thrown away by first steps."""


@dataclass(frozen=True)
class _Settings:
    """Hyperparameters; the names are those of the strategy file."""

    start: str = "closed_form"
    n_epochs: int = 64
    learning_rate: float = 0.002
    weight_decay: float = 0.02
    dropout: float = 0.1


class SharedNetworkModel:
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

    # Not in __init__: a model that was pickled, and so lost its stages, finds this None.
    _stages: dict[int, SharedNetworkModel] | None = None

    def __init__(self, arrays: dict[str, np.ndarray], scale: TargetScale | None, n_iterations: int) -> None:
        self.arrays = arrays
        self.scale = scale
        self.n_iterations: int = n_iterations

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_stages"}

    def predict(self, X: np.ndarray, n_threads: int = 1) -> np.ndarray:
        """Return (n_rows, n_classes) probabilities, or (n_rows,) values within the range seen in training."""
        scores = np.empty((len(X), len(self.arrays["head/bias"])))
        for i in range(0, len(X), CHUNK_ROWS):
            scores[i : i + CHUNK_ROWS] = self._forward(bounded(X[i : i + CHUNK_ROWS]))
        return outputs(scores, None) if self.scale is None else self.scale.restore(scores[:, 0], margin=0.0)

    def staged_predict(self, X: np.ndarray, n_threads: int = 1) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (n, what the training would have returned had it been stopped after n epochs) for n = 1, 2, 4, ….

        Raises
        ------
        ValueError
            If the model kept no stages: fitted without ``keep_stages``, or pickled since.
        """
        if self._stages is None:
            raise ValueError(
                "The network has no stages: they are kept by a fit with FitData.keep_stages=True, "
                "until the model is pickled. Fit it again, and predict with it before it is sent or saved."
            )
        for n_epochs, stage in self._stages.items():
            yield n_epochs, stage.predict(X, n_threads)

    def _forward(self, X: np.ndarray) -> np.ndarray:
        a = self.arrays
        slots = np.asarray(X, dtype=np.float32) @ a["slots/weight"] + a["slots/bias"]
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

    from autometa.learners import shared_network

    generator = torch.Generator().manual_seed(data.seed)
    is_regression = data.problem == "regression"
    scale = TargetScale(data.y, data.sample_weight) if is_regression else None
    X = as_tensor(data.X)
    y = torch.from_numpy(scale.standardise(data.y).astype(np.float32)) if scale else torch.tensor(data.y)
    weight = None if data.sample_weight is None else torch.from_numpy(data.sample_weight.astype(np.float32))
    n_outputs = 1 if is_regression else max(2, data.n_classes)
    params = _start(data, X, y, weight, n_outputs, settings.start, generator)
    for tensor in params.values():
        tensor.requires_grad_(True)
    # A step of Adam moves every entry alike, so a slot of many columns would move by more.
    slot_factor = min(1.0, 4.0 / X.shape[1] ** 0.5)
    groups: list[dict[str, Any]] = [
        {"params": [params["slots/weight"]], "factor": slot_factor, "decay": 0.0},
        {
            "params": [v for n, v in params.items() if n.startswith("layer") and v.ndim == 2],
            "factor": 1.0,
            "decay": 1.0,
        },
        {"params": [params["head/weight"]], "factor": 1.0, "decay": 1.0},
        {
            "params": [v for n, v in params.items() if n.startswith("wave/") or n.endswith("bias")],
            "factor": 0.5,
            "decay": 0.0,
        },
    ]
    optimiser = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.95), fused=True)

    def forward(rows: Any, masks: Any = None) -> Any:
        return shared_network.scores(params, rows @ params["slots/weight"] + params["slots/bias"], masks)

    def snapshot() -> dict[str, np.ndarray]:
        return {name: tensor.detach().numpy().copy() for name, tensor in params.items()}

    n_batch = batch_size(len(X))
    n_multiplied = sum(t.numel() for t in params.values()) + 2 * N_SLOTS * shared_network.N_WAVES
    n_epochs = data.n_iterations or _plan_epochs(6.0 * n_multiplied * len(X), settings.n_epochs)
    is_closed = settings.start != "random"
    # The closed form was the first epoch.
    n_steps = max(1, (n_epochs - is_closed) * math.ceil(len(X) / n_batch))
    progress = Progress(n_steps, 0.95 * data.deadline.remaining_s())
    dropout = Dropout(generator) if settings.dropout > 0 else None
    monitor = Monitor(data, scale) if data.X_val is not None and data.n_iterations is None else None
    best, best_loss, best_epoch = snapshot(), math.inf, 1
    stages: dict[int, SharedNetworkModel] = {}
    patience = max(_LEAST_PATIENCE, math.ceil(_PATIENCE * n_epochs))
    epoch = 0
    while epoch < n_epochs:
        epoch += 1
        if epoch > 1 or not is_closed:
            order = torch.randperm(len(X), generator=generator)
            for start in range(0, len(X), n_batch):
                t = progress.share()
                for group in optimiser.param_groups:
                    group["lr"] = settings.learning_rate * group["factor"] * _rate(t)
                    group["weight_decay"] = settings.weight_decay * group["decay"]
                rows = order[start : start + n_batch]
                masks = None
                if dropout is not None:
                    dropout.rate = settings.dropout * flat_cos(t)
                    masks = tuple(dropout.mask(len(rows), shared_network.WIDTH) for _ in range(2))
                losses = row_losses(forward(X[rows], masks), y[rows], 0.0)
                loss = losses.mean() if weight is None else (losses * weight[rows]).mean()
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(params.values(), 5.0)
                optimiser.step()
                progress.step()
                if progress.finished():
                    break
        if monitor is not None:
            with torch.no_grad():
                val_loss = monitor.loss(forward)
            if val_loss < best_loss:
                best, best_loss, best_epoch = snapshot(), val_loss, epoch
        if data.keep_stages and epoch.bit_count() == 1:
            arrays, n_trained = (snapshot(), epoch) if monitor is None else (best, best_epoch)
            stages[epoch] = SharedNetworkModel(arrays, scale, n_trained)
        if progress.share() >= 1.0 or (monitor is not None and epoch - best_epoch >= patience):
            break
    if monitor is None:
        best, best_epoch = snapshot(), epoch
    if not all(np.isfinite(array).all() for array in best.values()):
        raise FloatingPointError(f"The training diverged; learning_rate={settings.learning_rate} is too large here.")
    model = SharedNetworkModel(best, scale, best_epoch)
    if data.keep_stages:
        model._stages = {n: stages[n] for n in stages_before(best_epoch)}
    return model


def _start(data: FitData, X: Any, y: Any, weight: Any, n_outputs: int, start: str, generator: Any) -> dict[str, Any]:
    """Return the parameters that training starts from, those of the task among them."""
    import torch

    from autometa.learners import shared_network

    if start in ("random", "projected"):
        params = shared_network.random_parameters(generator)
    else:
        starts = read_starts(shipped_starts_folder(), tuple(shared_network.SHAPES.items()))
        if start not in starts:
            raise ValueError(f"start must be 'random', 'projected' or one of {sorted(starts)}, got {start!r}.")
        params = {name: torch.tensor(array) for name, array in starts[start].items()}
    if start == "random":
        params["slots/weight"] = torch.randn(X.shape[1], N_SLOTS, generator=generator) / X.shape[1] ** 0.5
        params["slots/bias"] = torch.zeros(N_SLOTS)
        params["head/weight"] = torch.zeros(shared_network.N_FEATURES, n_outputs)
        params["head/bias"] = torch.zeros(n_outputs)
        if data.problem != "regression":
            frequencies = np.bincount(data.y, weights=data.sample_weight, minlength=n_outputs) + 1e-3
            params["head/bias"] = torch.from_numpy(np.log(frequencies / frequencies.sum()).astype(np.float32))
    else:
        kept = np.arange(len(data.y)) if data.sample_weight is None else np.flatnonzero(data.sample_weight > 0)
        target = y.numpy() if data.problem == "regression" else data.y
        matrix, offset = fit_projection(data.X[kept], target[kept], data.problem, data.seed)
        params["slots/weight"], params["slots/bias"] = torch.from_numpy(matrix), torch.from_numpy(offset)
        rows = torch.randperm(len(X), generator=generator)[:_MOST_CLOSED_ROWS]
        with torch.no_grad():
            params |= shared_network.closed_form_head(
                params,
                X[rows] @ params["slots/weight"] + params["slots/bias"],
                y[rows],
                None if data.problem == "regression" else n_outputs,
                None if weight is None else weight[rows],
            )
    return {name: tensor for name, tensor in params.items() if not name.startswith("closed/")}


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
