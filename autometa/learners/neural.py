r"""A multilayer perceptron with good defaults, in torch.

Follows RealMLP (Holzmüller, Grinsztajn and Steinwart 2024, "Better by Default: Strong
Pre-Tuned MLPs and Boosted Trees on Tabular Data"): a learnt factor for every column,
periodic embeddings of numbers (PBLD), the neural tangent parametrisation, learning
rates by kind of parameter, schedules over the whole training, and the epoch that is
best on the validation rows. Preparation clips and scales the columns.

============ ===================================================================
progress     fraction of the training that is done, in [0, 1]: of the planned steps
             or of the time until the deadline, whichever is larger
coslog4      :math:`\frac{1}{2}(1 - \cos(2 \pi \log_2(1 + 15 t)))`, four cycles that
             each take about twice as long as the one before
flat_cos     1 for the first half, then half a cosine down to 0
============ ===================================================================

Because schedules follow progress, they reach their end under a short deadline, too.
A fitted model consists of NumPy arrays, and predicting needs no torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from autometa.core.space import Value
from autometa.learners.base import FitData, Learner
from autometa.learners.epochs import (
    Dropout,
    NetworkModel,
    flat_cos,
    planned_epochs,
    row_losses,
    train_by_epochs,
)
from autometa.learners.numeric import TargetScale, bounded, rounded_weights, target_scale, torch_threads

MOST_OPERATIONS = 2.0e11
"""Floating-point operations of a training without a deadline: about five seconds of one core."""

FEWEST_EPOCHS = 12
"""Epochs of a training without a deadline even if they exceed `MOST_OPERATIONS`."""

_CYCLE_ENDS = (1 / 15, 3 / 15, 7 / 15)
"""Progress at which the learning rate of coslog4 is 0, before the end."""

_REGRESSION_FACTOR = 3.0
"""Factor of the learning rate for regression; 5 in RealMLP."""

_N_FREQUENCIES = 16
_EMBEDDING_SIZE = 3
_MOST_EMBEDDED_COLUMNS = 200


@dataclass(frozen=True)
class NeuralNetworkSettings:
    """Hyperparameters with the names of the strategy file."""

    width: int = 256
    n_layers: int = 3
    activation: str = "selu"
    embeddings: str = "pbld"
    dropout: float = 0.15
    weight_decay: float = 0.02
    learning_rate: float = 0.01
    label_smoothing: float = 0.0
    n_epochs: int = 256


@dataclass(eq=False, repr=False)
class NeuralNetworkModel(NetworkModel):
    """A trained network as NumPy arrays.

    Parameters
    ----------
    weights, biases : list of ndarray
        Parameters of the layers, of shapes (n_inputs, n_units) and (n_units,).
    activation : {"selu", "mish", "relu"}
        Nonlinearity between the layers.
    embedded, plain : ndarray of int
        Columns that go through the embedding, and those that enter as they are.
    embedding : list of ndarray
        Frequencies and phases of shape (n_embedded, 16), the mixing weights
        (n_embedded, 16, 3) and their biases (n_embedded, 3); empty without embedding.
    scale : TargetScale or None
        How a regression target was standardised; None for classification.
    n_iterations : int
        Epochs after which the network had these arrays.
    """

    weights: list[np.ndarray]
    biases: list[np.ndarray]
    activation: str
    embedded: np.ndarray
    plain: np.ndarray
    embedding: list[np.ndarray]
    scale: TargetScale | None
    n_iterations: int

    def _n_outputs(self) -> int:
        return len(self.biases[-1])

    def _forward(self, X: np.ndarray) -> np.ndarray:
        hidden = np.asarray(X, dtype=np.float32)
        if self.embedding:
            frequency, phase, mix, mix_bias = self.embedding
            numbers = hidden[:, self.embedded]  # (B, E)
            waves = np.cos(numbers[:, :, None] * frequency + phase)  # (B, E, 16)
            # One small matrix for each column: (E, B, 16) @ (E, 16, 3) -> (E, B, 3)
            mixed = np.matmul(waves.transpose(1, 0, 2), mix).transpose(1, 0, 2) + mix_bias
            hidden = np.hstack([hidden[:, self.plain], numbers, mixed.reshape(len(X), -1)])
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = hidden @ weight + bias
            if layer < len(self.weights) - 1:
                hidden = _ACTIVATIONS[self.activation](hidden)
        return hidden


def _selu(x: np.ndarray) -> np.ndarray:
    return np.float32(1.0507009873554805) * np.where(
        x > 0, x, np.float32(1.6732632423543772) * np.expm1(np.minimum(x, 0))
    )


def _mish(x: np.ndarray) -> np.ndarray:
    # tanh(log(1 + e^x)) as a ratio of exponentials, which is 1 in float32 for x above 20.
    e = np.exp(np.minimum(x, 20.0))
    squared = np.square(1 + e)
    return x * (squared - 1) / (squared + 1)


def _relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


_ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"selu": _selu, "mish": _mish, "relu": _relu}


class _TorchNetwork:
    """The network in training: its parameters as torch tensors, and their optimiser."""

    def __init__(
        self, data: FitData, scale: TargetScale | None, settings: NeuralNetworkSettings, generator: Any
    ) -> None:
        import torch

        self.settings, self.scale = settings, scale
        # Copied, because torch warns about read-only arrays.
        self.X = X = torch.from_numpy(np.array(bounded(data.X), dtype=np.float32))
        self.y = torch.from_numpy(scale.standardise(data.y).astype(np.float32)) if scale else torch.tensor(data.y)
        weight = data.sample_weight
        self.weight = None if weight is None else torch.from_numpy(weight.astype(np.float32))
        n_outputs = 1 if scale else max(2, data.n_classes)
        n_features = X.shape[1]
        self.embedded, self.plain = _embedded_columns(X.numpy(), settings.embeddings)
        n_inputs = n_features
        self.embedding: list[Any] = []
        if len(self.embedded):
            n_embedded = len(self.embedded)
            n_inputs += n_embedded * _EMBEDDING_SIZE
            frequency = 2 * math.pi * 0.1 * torch.randn(n_embedded, _N_FREQUENCIES, generator=generator)
            phase = math.pi * (2 * torch.rand(n_embedded, _N_FREQUENCIES, generator=generator) - 1)
            mix = torch.randn(n_embedded, _N_FREQUENCIES, _EMBEDDING_SIZE, generator=generator) / _N_FREQUENCIES**0.5
            self.embedding = [frequency, phase, mix, torch.zeros(n_embedded, _EMBEDDING_SIZE)]
        sizes = [n_inputs, *[settings.width] * settings.n_layers, n_outputs]
        self.column_factor = torch.ones(n_inputs)
        self.weights = [torch.randn(a, b, generator=generator) for a, b in pairwise(sizes)]
        self.biases = [torch.zeros(b) for b in sizes[1:]]
        self.plain_index, self.embedded_index = torch.from_numpy(self.plain), torch.from_numpy(self.embedded)
        self._fit_start(X, generator)
        if scale is None:
            frequencies = np.bincount(data.y, weights=data.sample_weight, minlength=data.n_classes) + 1e-3
            self.biases[-1].copy_(torch.from_numpy(np.log(frequencies / frequencies.sum())))
        for tensor in self.tensors():
            tensor.requires_grad_(True)
        groups: list[dict[str, Any]] = [
            {"params": self.weights, "factor": 1.0},
            {"params": self.biases, "factor": 0.1},
            {"params": [self.column_factor], "factor": 6.0},
            {"params": self.embedding, "factor": 0.1},
        ]
        groups = [group for group in groups if group["params"]]
        self.optimiser = torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.95), fused=True)
        self.learning_rate = settings.learning_rate * (_REGRESSION_FACTOR if scale else 1.0)
        self.dropout = Dropout(generator) if settings.dropout > 0 else None

    def tensors(self) -> list[Any]:
        """Return all parameters."""
        return [*self.embedding, self.column_factor, *self.weights, *self.biases]

    def snapshot(self) -> list[np.ndarray]:
        """Return copies of `tensors()`."""
        return [tensor.detach().numpy().copy() for tensor in self.tensors()]

    def _fit_start(self, X: Any, generator: Any) -> None:
        """Give every layer outputs of unit variance and kinks within the data, and set the first scores to 0."""
        import torch

        rows = torch.randperm(len(X), generator=generator)[:256]
        hidden = self._inputs(X[rows])
        for layer, weight in enumerate(self.weights[:-1]):
            before = hidden @ weight / len(weight) ** 0.5
            spread = before.std(dim=0, unbiased=False)
            weight /= torch.where(spread > 1e-3, spread, torch.ones_like(spread))
            before = hidden @ weight / len(weight) ** 0.5
            # The unit is 0 at a random row.
            chosen = torch.randint(len(before), (before.shape[1],), generator=generator)
            self.biases[layer].copy_(-before[chosen, torch.arange(before.shape[1])])
            hidden = self._activate(before + self.biases[layer])
        self.weights[-1].zero_()

    def _inputs(self, X: Any) -> Any:
        import torch

        if not self.embedding:
            return X * self.column_factor
        frequency, phase, mix, mix_bias = self.embedding
        numbers = X[:, self.embedded_index]
        waves = torch.cos(numbers[:, :, None] * frequency + phase)
        mixed = torch.bmm(waves.transpose(0, 1), mix).transpose(0, 1) + mix_bias
        return torch.cat([X[:, self.plain_index], numbers, mixed.flatten(1)], dim=1) * self.column_factor

    def _activate(self, x: Any) -> Any:
        import torch.nn.functional as F

        return {"selu": F.selu, "mish": F.mish, "relu": F.relu}[self.settings.activation](x)

    def forward(self, X: np.ndarray) -> np.ndarray:
        """Return the scores of bounded, writable rows of float32."""
        import torch

        with torch.no_grad():
            return np.asarray(self._scores(torch.from_numpy(X)))

    def _scores(self, X: Any, dropout: Dropout | None = None) -> Any:
        import torch

        hidden = self._inputs(X)
        last = len(self.weights) - 1
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = torch.addmm(bias, hidden, weight, alpha=len(weight) ** -0.5)
            if layer < last:
                hidden = self._activate(hidden)
                if dropout is not None:
                    hidden = hidden * dropout.mask(*hidden.shape)
        return hidden

    def n_operations(self) -> float:
        """Return floating-point operations of training on one row; the backward pass takes two thirds of them."""
        return 6.0 * (sum(w.numel() for w in self.weights) + 4 * sum(e.numel() for e in self.embedding))

    def step(self, rows: Any, share: float) -> None:
        """Make one step of the optimiser on the rows at some indices."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate * group["factor"] * coslog4(share)
            group["weight_decay"] = self.settings.weight_decay * flat_cos(share)
        if self.dropout is not None:
            self.dropout.rate = self.settings.dropout * flat_cos(share)
        scores = self._scores(self.X[rows], self.dropout)
        losses = row_losses(scores, self.y[rows], self.settings.label_smoothing)
        loss = losses.mean() if self.weight is None else (losses * self.weight[rows]).mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()

    def to_model(self, snapshot: list[np.ndarray], n_epochs: int) -> NeuralNetworkModel:
        """Return the model of a snapshot of `tensors()`; its weights include all factors."""
        n_embedding, n_layers = len(self.embedding), len(self.weights)
        embedding, column_factor, layers = snapshot[:n_embedding], snapshot[n_embedding], snapshot[n_embedding + 1 :]
        weights = [w / np.float32(len(w) ** 0.5) for w in layers[:n_layers]]
        weights[0] = weights[0] * column_factor[:, None]
        weights[:-1] = [rounded_weights(w) for w in weights[:-1]]
        activation = self.settings.activation
        return NeuralNetworkModel(
            weights, layers[n_layers:], activation, self.embedded, self.plain, embedding, self.scale, n_epochs
        )


def _embedded_columns(X: np.ndarray, embeddings: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns to embed and the others; columns of two values (one-hot) do not profit from embeddings."""
    every = np.arange(X.shape[1])
    if embeddings == "none":
        return every[:0], every
    sample = X[:1000]
    is_number = np.array([len(np.unique(column)) > 2 for column in sample.T], dtype=bool)
    if not 0 < is_number.sum() <= _MOST_EMBEDDED_COLUMNS:
        return every[:0], every
    return every[is_number], every[~is_number]


def fit_neural_network(data: FitData, parameters: Mapping[str, Value]) -> NeuralNetworkModel:
    """Return a trained network; with validation rows the one of its best epoch.

    Parameters
    ----------
    data : FitData
        Rows of the numeric view.
    parameters : mapping
        ``width``, ``n_layers``, ``activation``, ``embeddings``, ``dropout``, ``weight_decay``,
        ``learning_rate`` (of the weights; three times as large for regression), ``label_smoothing`` and
        ``n_epochs`` (an upper bound; `MOST_OPERATIONS` and the deadline may lower it).
    """
    with torch_threads(data.n_threads):
        return _train(data, NeuralNetworkSettings(**parameters))  # type: ignore[arg-type]


def _train(data: FitData, settings: NeuralNetworkSettings) -> NeuralNetworkModel:
    import torch

    generator = torch.Generator().manual_seed(data.seed)
    scale = target_scale(data)
    network = _TorchNetwork(data, scale, settings, generator)
    n_operations = network.n_operations() * len(data.X)
    n_epochs = data.n_iterations or planned_epochs(n_operations, MOST_OPERATIONS, FEWEST_EPOCHS, settings.n_epochs)
    return train_by_epochs(
        network, data, scale, n_epochs, lambda n: torch.randperm(n, generator=generator), _CycleWithoutGain()
    )


class _CycleWithoutGain:
    """Ends the training after a cycle of the learning rate without an improvement; longer cycles would overfit more."""

    def __init__(self) -> None:
        self._cycles = list(pairwise(_CYCLE_ENDS))

    def __call__(self, epoch: int, share: float, best_epoch: int, best_share: float) -> bool:
        if not self._cycles or share < self._cycles[0][1]:
            return False
        start, _ = self._cycles.pop(0)
        return best_share <= start


def coslog4(t: float) -> float:
    """Return the factor of the learning rate at progress `t`."""
    return 0.5 * (1 - math.cos(2 * math.pi * math.log2(1 + 15 * t)))


NEURAL_NETWORK = Learner(
    name="neural_network",
    view="numeric",
    fit=fit_neural_network,
    library="torch",
    keeps_deadline=True,
    has_iterations=True,
    saved_types=(NeuralNetworkModel, TargetScale),
    load_s=1.5,
)
