"""The learner `mlp_maml`: networks that start from shared weights and are fine-tuned on each table.

In the first epoch a `projection` maps the table to the networks' slots, one trunk starts from meta-learned weights and
one from random weights, and a head is fitted to each (see `first_epoch`). In the later epochs a copy of the first
network is trained by mini-batches; its projection is trained as well, so that no column is excluded for good, and it
predicts with a running mean over about one epoch's steps. The fitted networks keep half of the weight, because training
alone overfits after a fitted head (as in WiSE-FT, Wortsman et al. 2022). All is done in NumPy, because loading torch
takes longer than a fit to a small table.

============ =====================================================================================================
start        first weights of the networks
============ =====================================================================================================
fitted_head  a trunk meta-learned so that a fitted head does well on new rows, and a random one; the default
projected    two random trunks, fitted projection and heads
random       one network with random weights everywhere, trained without fitted networks
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
from autometa.learners.epochs import NetworkModel, batch_size, flat_cos, planned_epochs, train_by_epochs
from autometa.learners.mlp_maml.adam import AdamW
from autometa.learners.mlp_maml.first_epoch import TableRows, fit_slots_and_heads
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
from autometa.learners.numeric import TargetScale, bounded, rounded_weights, target_scale

MOST_OPERATIONS = 1.0e11
"""Floating-point operations of a training without a deadline: some seconds of one core."""

FEWEST_EPOCHS = 8
"""Epochs of a training without a deadline even if they exceed `MOST_OPERATIONS`."""

_PATIENCE = 0.25
"""Training ends after this fraction of the epochs, and at least `_LEAST_PATIENCE`, without an improvement."""
_LEAST_PATIENCE = 8
_WARM_UP = 0.05
"""Fraction of the training in which the learning rate rises, so that the first steps do not destroy a good start."""
_TRAINED_WEIGHT = 0.5
"""Weight of the trained network beside the fitted ones."""

_HIDDEN = ("layer0/weight", "layer1/weight")

_Arrays = dict[str, np.ndarray]
"""Parameters of one network by name: those of `network.SHAPES`, ``slots/…`` and ``head/…``."""


@dataclass(frozen=True)
class MlpMamlSettings:
    """Hyperparameters with the names of the strategy file."""

    start: str = "fitted_head"
    n_epochs: int = 64
    learning_rate: float = 0.002
    weight_decay: float = 0.02
    dropout: float = 0.0


@dataclass(eq=False, repr=False)
class SharedNetworkModel(NetworkModel):
    """A weighted mean of fitted and trained networks.

    Parameters
    ----------
    networks : list of dict of str to ndarray
        Parameters of each network by name.
    weights : list of float
        Weights of the networks' outputs; their sum is 1.
    scale : TargetScale or None
        How a regression target was standardised; None for classification.
    n_iterations : int
        Epochs after which the networks had these parameters.
    """

    networks: list[_Arrays]
    weights: list[float]
    scale: TargetScale | None
    n_iterations: int

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
        ``start``, ``n_epochs`` (an upper bound; `MOST_OPERATIONS` and the deadline may lower it),
        ``learning_rate``, ``weight_decay`` and ``dropout``.

    Raises
    ------
    MetaWeightsError
        If the files of the starts are missing or damaged.
    FloatingPointError
        If the training diverged.
    """
    settings = MlpMamlSettings(**parameters)  # type: ignore[arg-type]
    rng = np.random.default_rng(child_seed(data.seed, "epochs"))
    scale = target_scale(data)
    # A diverging training is reported once, at its end.
    with np.errstate(over="ignore", invalid="ignore"), one_blas_thread():
        network = _FineTuning(data, scale, settings, rng)
        n_operations = network.n_operations() * len(data.X)
        n_epochs = data.n_iterations or planned_epochs(n_operations, MOST_OPERATIONS, FEWEST_EPOCHS, settings.n_epochs)
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


class _FineTuning:
    """The network in training, whose running mean predicts, and the fitted networks, which predict alone at first."""

    def __init__(
        self, data: FitData, scale: TargetScale | None, settings: MlpMamlSettings, rng: np.random.Generator
    ) -> None:
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
        decays = {name: float(name in ("layer0/weight", "layer1/weight", "head/weight")) for name in params}
        self.optimiser = AdamW(params, self._rate_factors(params), decays, largest_norm=5.0)
        self.n_averaged = math.ceil(len(self.X) / batch_size(len(self.X)))

    def _fitted(self, data: FitData) -> tuple[list[_Arrays], float]:
        """Return networks with fitted projections and heads, and the penalty of the first head."""
        n_classes = None if self.scale else max(2, data.n_classes)
        rows = TableRows(self.X, self.y, data.problem, n_classes, self.weight)
        if self.weight is not None:
            rows = rows.take(np.flatnonzero(self.weight > 0))
        shared = _shared_parameters(self.settings.start, self.rng)
        found, self.is_cut_short = fit_slots_and_heads(shared, rows, data.seed, data.deadline)
        # Past the deadline only the first network is fitted.
        fitted = [_without_penalties(params | own) for params, (own, _) in zip(shared, found, strict=False)]
        return fitted, found[0][1]

    def _rate_factors(self, params: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Return the factor of the learning rate for each parameter."""
        factors = {name: 0.5 if name.startswith("wave/") or name.endswith("bias") else 1.0 for name in params}
        # A step of Adam moves every entry by about the same amount, so that slots of many columns would move too far.
        factors["slots/weight"] = min(1.0, 4.0 / self.X.shape[1] ** 0.5)
        # The gradient of a fitted head is noise, but Adam's steps are as large as for any other gradient.
        factors["head/weight"] = 1.0 if self.settings.start == "random" else 0.1
        return factors

    def n_operations(self) -> float:
        """Return floating-point operations of training on one row; the backward pass takes two thirds of them."""
        return 6.0 * (sum(array.size for array in self.optimiser.params.values()) + 2 * N_SLOTS * N_WAVES)

    def step(self, rows: np.ndarray, share: float) -> None:
        """Make one step of the optimiser on the rows at some indices."""
        params, gradients = self.optimiser.params, self.optimiser.gradients
        masks, dropped = None, np.float32(self.settings.dropout * flat_cos(share))
        if dropped > 0:
            kept = self.rng.random((2, len(rows), WIDTH), dtype=np.float32) >= dropped
            masks = tuple(kept / (1 - dropped))
        weight = None if self.weight is None else self.weight[rows]
        write_gradients(gradients, params, self.X[rows], self.y[rows], weight, masks)
        # The head keeps the penalty of its fit, where the loss of numbers is half the squared error.
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
        # Without a random start, the first epoch is the fit, which has no steps.
        networks, weights = self._predicting(trained, n_epochs > 1)
        return SharedNetworkModel([_rounded(arrays) for arrays in networks], weights, self.scale, n_epochs)

    def _predicting(self, trained: _Arrays, has_steps: bool) -> tuple[list[_Arrays], list[float]]:
        """Return the networks that predict, and their weights."""
        if not self.fitted:
            return [trained], [1.0]
        weights = [1 / len(self.fitted)] * len(self.fitted)
        if not has_steps:
            return self.fitted, weights
        return [*self.fitted, trained], [*((1 - _TRAINED_WEIGHT) * weight for weight in weights), _TRAINED_WEIGHT]


def _mean_scores(networks: Sequence[_Arrays], weights: Sequence[float], X: np.ndarray) -> np.ndarray:
    """Return the weighted mean of the networks' outputs for rows, (n_rows, n_outputs)."""
    return np.sum([np.float32(w) * scores(arrays, X) for arrays, w in zip(networks, weights, strict=True)], axis=0)


def _without_penalties(params: Mapping[str, np.ndarray]) -> _Arrays:
    return {name: array for name, array in params.items() if not name.startswith("penalty/")}


def _rounded(arrays: _Arrays) -> _Arrays:
    """Return a network with rounded hidden layers, which are nearly all of it."""
    return {name: rounded_weights(array) if name in _HIDDEN else array for name, array in arrays.items()}


def _shared_parameters(start: str, rng: np.random.Generator) -> list[_Arrays]:
    """Return the shared parameters of each network to be fitted."""
    first = random_arrays(rng)
    if start == "projected":
        return [first, random_arrays(rng)]
    starts = read_starts(shipped_starts_folder(), tuple(SHAPES.items()))
    if start not in starts:
        raise ValueError(f"start must be 'random', 'projected' or one of {sorted(starts)}, got {start!r}.")
    learnt = starts[start]
    # The random network uses the learnt strengths of the penalties, too.
    penalties = {name: array for name, array in learnt.items() if name.startswith("penalty/")}
    return [learnt, first | penalties]


def _random_of_table(data: FitData, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return a random projection, and a head that predicts the mean or the class frequencies."""
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


MLP_MAML = Learner(
    name="mlp_maml",
    view="numeric",
    fit=fit_mlp_maml,
    library="numpy",
    is_quick=True,
    keeps_deadline=True,
    has_iterations=True,
    saved_types=(SharedNetworkModel, TargetScale),
)
