"""A multilayer perceptron whose weights all tables share at first, and that each table then makes its own.

A `projection` brings a table into the network's slots, the trunk starts from what was meta-learned on other tables,
and the head is fitted to it (see `head_fitting`). From there all of it is trained by mini-batches, the projection
too, so that no column is lost for good; what predicts is the mean of about an epoch's steps. It is done in NumPy,
as loading torch takes longer than a fit to a small table.

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

import numpy as np
from threadpoolctl import threadpool_limits

from autometa._support.seeds import child_seed
from autometa.core.space import Value
from autometa.learners.adam import AdamW
from autometa.learners.base import FitData, Learner
from autometa.learners.epochs import NetworkModel, batch_size, flat_cos, train_by_epochs
from autometa.learners.head_fitting import TableRows, fit_slots_and_head
from autometa.learners.numeric import TargetScale, bounded
from autometa.learners.projection import N_SLOTS
from autometa.learners.shared_arrays import N_FEATURES, N_WAVES, SHAPES, WIDTH, random_arrays, scores, write_gradients
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
        Parameters of `shared_arrays` by name, with ``slots/weight`` (n_features, N_SLOTS) and ``slots/bias``.
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
        return scores(self.arrays, np.asarray(X, dtype=np.float32))


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
    settings = _Settings(**parameters)  # type: ignore[arg-type]
    rng = np.random.default_rng(child_seed(data.seed, "epochs"))
    scale = TargetScale(data.y, data.sample_weight) if data.problem == "regression" else None
    # A training that diverges is reported once, at its end.
    with np.errstate(over="ignore", invalid="ignore"), threadpool_limits(data.n_threads, user_api="blas"):
        network = _Network(data, scale, settings, rng)
        n_epochs = data.n_iterations or _plan_epochs(network.n_operations() * len(data.X), settings.n_epochs)
        patience = max(_LEAST_PATIENCE, math.ceil(_PATIENCE * n_epochs))
        return train_by_epochs(
            network,
            data,
            scale,
            n_epochs,
            rng.permutation,
            lambda epoch, share, best_epoch, best_share: epoch - best_epoch >= patience,
            is_fitted=settings.start != "random",
        )


class _Network:
    """The network in training: its parameters, their running mean, which is what predicts, and their optimiser."""

    def __init__(self, data: FitData, scale: TargetScale | None, settings: _Settings, rng: np.random.Generator) -> None:
        self.settings, self.scale, self.rng = settings, scale, rng
        self.X = bounded(data.X)
        self.y = scale.standardise(data.y).astype(np.float32) if scale else data.y
        self.weight = None if data.sample_weight is None else data.sample_weight.astype(np.float32)
        params = _shared(settings.start, rng)
        if settings.start == "random":
            of_table, self.penalty = _random_of_table(data, rng), 0.0
        else:
            of_table, self.penalty = self._fitted(params, data)
        params = {name: array for name, array in (params | of_table).items() if not name.startswith("penalty/")}
        self.optimiser = AdamW(params, self._factors(params), _decays(params), largest_norm=5.0)
        self.n_averaged = math.ceil(len(self.X) / batch_size(len(self.X)))

    def _fitted(self, shared: dict[str, np.ndarray], data: FitData) -> tuple[dict[str, np.ndarray], float]:
        """Return projection and head fitted to the rows, and the penalty of the head."""
        n_classes = None if self.scale else max(2, data.n_classes)
        rows = TableRows(self.X, self.y, data.problem, n_classes, self.weight)
        if self.weight is not None:
            rows = rows.at(np.flatnonzero(self.weight > 0))
        return fit_slots_and_head(shared, rows, data.seed, data.deadline)

    def _factors(self, params: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Return factors of the learning rate."""
        factors = {name: 0.5 if name.startswith("wave/") or name.endswith("bias") else 1.0 for name in params}
        # A step of Adam moves every entry alike, so a slot of many columns would move by more.
        factors["slots/weight"] = min(1.0, 4.0 / self.X.shape[1] ** 0.5)
        # The gradient of a fitted head is noise, of which Adam makes steps as large as of any other.
        factors["head/weight"] = 1.0 if self.settings.start == "random" else 0.1
        return factors

    def n_operations(self) -> float:
        """Return floating-point operations of training on one row: forward and twice that backward."""
        return 6.0 * (sum(array.size for array in self.optimiser.params.values()) + 2 * N_SLOTS * N_WAVES)

    def step(self, rows: np.ndarray, share: float) -> None:
        """Make one step of the optimiser on some rows."""
        params, gradients = self.optimiser.params, self.optimiser.gradients
        masks, dropped = None, np.float32(self.settings.dropout * flat_cos(share))
        if dropped > 0:
            kept = self.rng.random((2, len(rows), WIDTH), dtype=np.float32) >= dropped
            masks = tuple(kept / (1 - dropped))
        weight = None if self.weight is None else self.weight[rows]
        write_gradients(gradients, params, self.X[rows], self.y[rows], weight, masks)
        # The head keeps the penalty that it was fitted with. Losses of rows are twice those of the fit for numbers.
        factor = 2.0 if self.scale else 1.0
        gradients["head/weight"] += np.float32(factor * self.penalty) * params["head/weight"]
        self.optimiser.step(self.settings.learning_rate * _rate(share), self.settings.weight_decay, self.n_averaged)

    def forward(self, X: np.ndarray) -> np.ndarray:
        """Return the scores of rows by the running mean."""
        return scores(self.optimiser.mean, X)

    def snapshot(self) -> list[np.ndarray]:
        """Return copies of the running mean."""
        return [array.copy() for array in self.optimiser.mean.values()]

    def to_model(self, snapshot: list[np.ndarray], n_epochs: int) -> SharedNetworkModel:
        """Return the model of a snapshot."""
        return SharedNetworkModel(dict(zip(self.optimiser.mean, snapshot, strict=True)), self.scale, n_epochs)


def _decays(params: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return factors of the weight decay."""
    return {name: float(name in ("layer0/weight", "layer1/weight", "head/weight")) for name in params}


def _shared(start: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the parameters that tables share."""
    if start in ("random", "projected"):
        return random_arrays(rng)
    starts = read_starts(shipped_starts_folder(), tuple(SHAPES.items()))
    if start not in starts:
        raise ValueError(f"start must be 'random', 'projected' or one of {sorted(starts)}, got {start!r}.")
    return starts[start]


def _random_of_table(data: FitData, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return a random projection, and a head that gives the mean or the class frequencies."""
    n_features, n_outputs = data.X.shape[1], 1 if data.problem == "regression" else max(2, data.n_classes)
    params = {
        "slots/weight": (rng.normal(size=(n_features, N_SLOTS)) / n_features**0.5).astype(np.float32),
        "slots/bias": np.zeros(N_SLOTS, dtype=np.float32),
        "head/weight": np.zeros((N_FEATURES, n_outputs), dtype=np.float32),
        "head/bias": np.zeros(n_outputs, dtype=np.float32),
    }
    if data.problem != "regression":
        frequencies = np.bincount(data.y, weights=data.sample_weight, minlength=n_outputs) + 1e-3
        params["head/bias"] = np.log(frequencies / frequencies.sum()).astype(np.float32)
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
    library="numpy",
    is_quick=True,
    keeps_deadline=True,
    has_iterations=True,
)
