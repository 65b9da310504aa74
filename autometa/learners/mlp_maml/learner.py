"""Multilayer perceptrons whose weights all tables share at first, and that each table then makes its own.

A `projection` brings a table into the networks' slots, their trunks start from what was meta-learned on other tables
and from random weights, and a head is fitted to each (see `head_fitting`). That is the first epoch. In the later ones
a copy of the first network is trained by mini-batches, its projection too, so that no column is lost for good; the
mean of about an epoch's steps is what it predicts by. The fitted networks keep half of the say, as training alone
overfits after a fitted head (ensembles of a model before and after fine-tuning: WiSE-FT, Wortsman et al. 2022). It is
done in NumPy, as loading torch takes longer than a fit to a small table.

============ =====================================================================================================
start        what the networks start from
============ =====================================================================================================
fitted_head  a trunk meta-learned so that a fitted head does well on new rows, and a random one; the default
projected    two random trunks, fitted projection and heads
random       one network with random weights everywhere, which has no fitted ones beside it
============ =====================================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autometa._support.numeric_threads import one_blas_thread
from autometa._support.seeds import child_seed
from autometa.core.space import Value
from autometa.learners.base import FitData, Learner
from autometa.learners.epochs import NetworkModel, batch_size, flat_cos, train_by_epochs
from autometa.learners.mlp_maml.adam import AdamW
from autometa.learners.mlp_maml.head_fitting import TableRows, fit_slots_and_heads
from autometa.learners.mlp_maml.network import (
    N_FEATURES,
    N_WAVES,
    SHAPES,
    WIDTH,
    random_arrays,
    scores,
    write_gradients,
)
from autometa.learners.mlp_maml.projection import N_SLOTS
from autometa.learners.mlp_maml.starts import read_starts, shipped_starts_folder
from autometa.learners.numeric import TargetScale, bounded

MOST_OPERATIONS = 1.0e11
"""Floating-point operations of a training without a deadline: some seconds of one core."""

FEWEST_EPOCHS = 8
"""Trained for even when that exceeds `MOST_OPERATIONS`; only a deadline ends training sooner."""

_PATIENCE = 0.25
"""Share of the epochs, and at least `_LEAST_PATIENCE`, without a better one after which training ends."""
_LEAST_PATIENCE = 8
_WARM_UP = 0.05
"""Share of the training in which the learning rate rises: a good start is not to be thrown away by first steps."""
_SAY = 0.5
"""Of the trained network, where there are fitted ones beside it."""

_Arrays = dict[str, np.ndarray]
"""Parameters of `shared_arrays` by name, with ``slots/weight`` (n_features, N_SLOTS) and ``slots/bias``."""


@dataclass(frozen=True)
class _Settings:
    """Hyperparameters; the names are those of the strategy file."""

    start: str = "fitted_head"
    n_epochs: int = 64
    learning_rate: float = 0.002
    weight_decay: float = 0.02
    dropout: float = 0.0


class SharedNetworkModel(NetworkModel):
    """The arrays of fitted and trained networks, whose weighted mean predicts.

    Parameters
    ----------
    networks : list of dict of str to ndarray
        Of each network the parameters of `shared_arrays` by name, with ``slots/weight`` (n_features, N_SLOTS) and
        ``slots/bias``.
    weights : list of float
        What the outputs of the networks are multiplied by; their sum is 1.
    scale : TargetScale or None
        How a regression target was standardised; None for classification.
    n_iterations : int
        Epochs trained until these arrays.
    """

    def __init__(
        self, networks: list[_Arrays], weights: list[float], scale: TargetScale | None, n_iterations: int
    ) -> None:
        self.networks = networks
        self.weights = weights
        self.scale = scale
        self.n_iterations: int = n_iterations

    def _n_outputs(self) -> int:
        return len(self.networks[0]["head/bias"])

    def _forward(self, X: np.ndarray) -> np.ndarray:
        return _mean_scores(self.networks, self.weights, np.asarray(X, dtype=np.float32))


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
    with np.errstate(over="ignore", invalid="ignore"), one_blas_thread():
        network = _Network(data, scale, settings, rng)
        n_epochs = data.n_iterations or _plan_epochs(network.n_operations() * len(data.X), settings.n_epochs)
        patience = max(_LEAST_PATIENCE, math.ceil(_PATIENCE * n_epochs))
        model = train_by_epochs(
            network,
            data,
            scale,
            n_epochs,
            rng.permutation,
            lambda epoch, share, best_epoch, best_share: epoch - best_epoch >= patience,
            is_fitted=settings.start != "random",
        )
        model.is_cut_short |= network.is_cut_short
        return model


class _Network:
    """The network in training: its parameters, their running mean, which is what predicts, and their optimiser.

    Beside it are the fitted networks, which predict alone until its first step.
    """

    def __init__(self, data: FitData, scale: TargetScale | None, settings: _Settings, rng: np.random.Generator) -> None:
        self.settings, self.scale, self.rng = settings, scale, rng
        self.X = bounded(data.X)
        self.y = scale.standardise(data.y).astype(np.float32) if scale else data.y
        self.weight = None if data.sample_weight is None else data.sample_weight.astype(np.float32)
        self.fitted: list[_Arrays] = []
        self.penalty = 0.0
        self.is_cut_short = False
        if settings.start == "random":
            params = _without_penalties(random_arrays(rng)) | _random_of_table(data, rng)
        else:
            self.fitted, self.penalty = self._fitted(data)
            params = self.fitted[0]
        self.optimiser = AdamW(params, self._factors(params), _decays(params), largest_norm=5.0)
        self.n_averaged = math.ceil(len(self.X) / batch_size(len(self.X)))

    def _fitted(self, data: FitData) -> tuple[list[_Arrays], float]:
        """Return networks with projection and head fitted to the rows, and the penalty of the first one's head."""
        n_classes = None if self.scale else max(2, data.n_classes)
        rows = TableRows(self.X, self.y, data.problem, n_classes, self.weight)
        if self.weight is not None:
            rows = rows.at(np.flatnonzero(self.weight > 0))
        shared = _shared(self.settings.start, self.rng)
        found, self.is_cut_short = fit_slots_and_heads(shared, rows, data.seed, data.deadline)
        # In a hurry only the first network is fitted.
        fitted = [_without_penalties(params | own) for params, (own, _) in zip(shared, found, strict=False)]
        return fitted, found[0][1]

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
        """Return the scores of rows by the running mean and the fitted networks."""
        networks, weights = self._predicting(self.optimiser.mean, self.optimiser.n_steps > 0)
        return _mean_scores(networks, weights, X)

    def snapshot(self) -> list[np.ndarray]:
        """Return copies of the running mean."""
        return [array.copy() for array in self.optimiser.mean.values()]

    def to_model(self, snapshot: list[np.ndarray], n_epochs: int) -> SharedNetworkModel:
        """Return the model of a snapshot."""
        trained = dict(zip(self.optimiser.mean, snapshot, strict=True))
        # Of fitted networks the first epoch has no steps.
        return SharedNetworkModel(*self._predicting(trained, n_epochs > 1), self.scale, n_epochs)

    def _predicting(self, trained: _Arrays, has_steps: bool) -> tuple[list[_Arrays], list[float]]:
        """Return the networks that predict, and their weights."""
        if not self.fitted:
            return [trained], [1.0]
        each = 1 / len(self.fitted)
        if not has_steps:
            return self.fitted, [each for _ in self.fitted]
        return [*self.fitted, trained], [*((1 - _SAY) * each for _ in self.fitted), _SAY]


def _mean_scores(networks: Sequence[_Arrays], weights: Sequence[float], X: np.ndarray) -> np.ndarray:
    """Return the weighted mean of networks' outputs for rows, (n_rows, n_outputs)."""
    return np.sum([np.float32(w) * scores(arrays, X) for arrays, w in zip(networks, weights, strict=True)], axis=0)


def _without_penalties(params: Mapping[str, np.ndarray]) -> _Arrays:
    return {name: array for name, array in params.items() if not name.startswith("penalty/")}


def _decays(params: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return factors of the weight decay."""
    return {name: float(name in ("layer0/weight", "layer1/weight", "head/weight")) for name in params}


def _shared(start: str, rng: np.random.Generator) -> list[_Arrays]:
    """Return the parameters that tables share, of each network to be fitted."""
    first = random_arrays(rng)
    if start == "projected":
        return [first, random_arrays(rng)]
    starts = read_starts(shipped_starts_folder(), tuple(SHAPES.items()))
    if start not in starts:
        raise ValueError(f"start must be 'random', 'projected' or one of {sorted(starts)}, got {start!r}.")
    learnt = starts[start]
    # How strong penalties usually are was learnt, too.
    penalties = {name: array for name, array in learnt.items() if name.startswith("penalty/")}
    return [learnt, first | penalties]


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
