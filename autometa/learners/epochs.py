"""Training of neural networks by epochs: the loop, its progress, batches and losses, in NumPy and torch."""

# Tests: tests/learners/test_neural.py
# Tests: tests/learners/test_staged.py

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

import numpy as np

from autometa.learners.base import FitData, stages_before
from autometa.learners.numeric import TargetScale, bounded, outputs

CHUNK_ROWS = 2048
"""Rows of one forward pass without gradients."""


class NetworkModel(ABC):
    """A trained network that predicts without torch, and may keep its stages after fewer epochs."""

    scale: TargetScale | None
    is_cut_short: bool = False
    # A class attribute, because a pickled model has lost its stages and finds this None.
    _stages: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_stages"}

    def predict(self, X: np.ndarray, n_threads: int = 1) -> np.ndarray:
        """Return (n_rows, n_classes) probabilities, or (n_rows,) values within the range seen in training."""
        scores = np.empty((len(X), self._n_outputs()))
        for i in range(0, len(X), CHUNK_ROWS):
            scores[i : i + CHUNK_ROWS] = self._forward(bounded(X[i : i + CHUNK_ROWS]))
        return outputs(scores, None) if self.scale is None else self.scale.restore(scores[:, 0], margin=0.0)

    def staged_predict(self, X: np.ndarray, n_threads: int = 1) -> Iterator[tuple[int, np.ndarray]]:
        """Yield n and the predictions of the training if stopped after n epochs, for n = 1, 2, 4, ….

        Schedules are those of the whole training, unlike those of a fit of n epochs.

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

    @abstractmethod
    def _n_outputs(self) -> int:
        """Return the number of scores of a row."""

    @abstractmethod
    def _forward(self, X: np.ndarray) -> np.ndarray:
        """Return the scores of bounded rows, (n_rows, n_outputs)."""


Model = TypeVar("Model", bound=NetworkModel)
ModelOut = TypeVar("ModelOut", bound=NetworkModel, covariant=True)


class Trainable(Protocol[ModelOut]):
    """A network in training."""

    def step(self, rows: Any, share: float) -> None:
        """Make one step on the rows at some indices, at a share of the training."""

    def forward(self, X: np.ndarray) -> np.ndarray:
        """Return the scores of bounded rows, as they would be predicted now."""

    def snapshot(self) -> Any:
        """Return copies of the arrays behind `forward`; an iterable of arrays."""

    def to_model(self, snapshot: Any, n_epochs: int) -> ModelOut:
        """Return the model of a snapshot."""


Stop = Callable[[int, float, int, float], bool]
"""Epochs done, share of the training done, best epoch, its share → whether to end the training."""


def train_by_epochs(
    network: Trainable[Model],
    data: FitData,
    scale: TargetScale | None,
    n_epochs: int,
    permutation: Callable[[int], Any],
    stop: Stop,
    *,
    is_fitted: bool = False,
) -> Model:
    """Train a network and return its model; with validation rows that of its best epoch.

    Parameters
    ----------
    network : Trainable
        Network to be trained.
    data : FitData
        Rows, deadline, validation rows, and whether stages are kept.
    scale : TargetScale or None
        How a regression target was standardised.
    n_epochs : int
        Passes over the rows; training ends earlier if it has taken 95% of the time until the deadline.
    permutation : callable
        Number of rows → their indices in a random order, as `Trainable.step` takes them.
    stop : callable
        See `Stop`; called after each epoch if there are validation rows.
    is_fitted : bool
        Whether the network has already been fitted to the rows, which counts as its first epoch.

    Raises
    ------
    FloatingPointError
        If the training diverged.
    """
    n_batch = batch_size(len(data.X))
    n_steps = (n_epochs - is_fitted) * math.ceil(len(data.X) / n_batch)
    progress = Progress(max(1, n_steps), 0.95 * data.deadline.remaining_s())
    monitor = Monitor(data, scale) if data.X_val is not None and data.n_iterations is None else None
    best, best_loss, best_epoch, best_share = network.snapshot(), math.inf, 1, 0.0
    stages: dict[int, Model] = {}
    epoch = 0
    while epoch < n_epochs and not (epoch and progress.share() >= 1.0):
        epoch += 1
        if epoch > 1 or not is_fitted:
            order = permutation(len(data.X))
            for start in range(0, len(order), n_batch):
                network.step(order[start : start + n_batch], progress.share())
                progress.step()
                if progress.finished():
                    break
        if monitor is not None:
            loss = monitor.loss(network.forward)
            # The later of equal epochs is kept, because it is further in the schedule.
            if loss <= best_loss:
                best, best_loss, best_epoch, best_share = network.snapshot(), loss, epoch, progress.share()
        if data.keep_stages and epoch.bit_count() == 1:
            snapshot, n_trained = (network.snapshot(), epoch) if monitor is None else (best, best_epoch)
            stages[epoch] = network.to_model(snapshot, n_trained)
        if monitor is not None and stop(epoch, progress.share(), best_epoch, best_share):
            break
    if monitor is None:
        best, best_epoch = network.snapshot(), max(epoch, 1)
    if not all(np.isfinite(array).all() for array in best):
        raise FloatingPointError("The training diverged; learning_rate is too large here.")
    model = network.to_model(best, best_epoch)
    model.is_cut_short = n_steps > 0 and progress.was_hurried()
    if data.keep_stages:
        model._stages = {n: stages[n] for n in stages_before(best_epoch)}
    return model


class Progress:
    """The progress of a training, by steps and by the clock."""

    def __init__(self, n_steps: int, time_s: float) -> None:
        self.n_steps = n_steps
        self.time_s = max(time_s, 1e-9)
        self.n_done = 0
        self.started_s = time.monotonic()

    def step(self) -> None:
        """Count a step as done."""
        self.n_done += 1

    def share(self) -> float:
        """Return the share of the training that is done, in [0, 1]."""
        return min(1.0, max(self.n_done / self.n_steps, (time.monotonic() - self.started_s) / self.time_s))

    def was_hurried(self) -> bool:
        """Return whether the clock is ahead of the steps, so that schedules follow the clock."""
        return self.n_done < self.n_steps * self.share()

    def finished(self) -> bool:
        """Return whether all steps are made, or time is up."""
        # At least one step is made, so that a fit past its deadline still returns a model.
        return self.n_done > 0 and self.share() >= 1.0


class Monitor:
    """The loss on the validation rows, similar to the metric of the run."""

    def __init__(self, data: FitData, scale: TargetScale | None) -> None:
        assert data.X_val is not None and data.y_val is not None
        # Copied once, because torch warns about read-only arrays.
        self.X = np.array(bounded(data.X_val), dtype=np.float32)
        self.y = data.y_val if scale is None else scale.standardise(data.y_val)
        weight = data.sample_weight_val
        self.weight = weight if weight is not None and weight.sum() > 0 else None
        self.metric = data.metric
        self.problem = data.problem

    def loss(self, forward: Callable[[np.ndarray], np.ndarray]) -> float:
        """Return the loss of a function from rows to scores."""
        parts = [forward(self.X[i : i + CHUNK_ROWS]) for i in range(0, len(self.X), CHUNK_ROWS)]
        scores = np.concatenate(parts)
        if self.problem == "regression":
            error = np.abs(scores[:, 0] - self.y)
            return float(np.average(error if self.metric == "mae" else error**2, weights=self.weight))
        if self.problem == "binary" and self.metric == "roc_auc":
            return area_above_curve(scores[:, 1] - scores[:, 0], self.y)
        log_loss = float(
            np.average(-_log_softmax(scores.astype(np.float64))[np.arange(len(self.y)), self.y], weights=self.weight)
        )
        if self.metric != "accuracy":
            return log_loss
        # The log loss decides between equal error rates.
        return float(np.average(scores.argmax(axis=1) != self.y, weights=self.weight)) + 1e-3 * log_loss


class Dropout:
    """Dropout masks, cut from one long sequence of random numbers.

    Drawing every mask anew would take a fifth of the training time.
    """

    _LENGTH = 1 << 20

    def __init__(self, generator: Any) -> None:
        import torch

        self.rate = 0.0
        self.generator = generator
        self.uniform = torch.rand(self._LENGTH, generator=generator)

    def mask(self, n_rows: int, n_units: int) -> Any:
        """Return zeros and 1 / (1 − rate) of shape (n_rows, n_units)."""
        import torch

        start = int(torch.randint(self._LENGTH - n_rows * n_units, (1,), generator=self.generator))
        kept = self.uniform[start : start + n_rows * n_units].view(n_rows, n_units) >= self.rate
        return kept * (1.0 / (1.0 - self.rate))


def batch_size(n_rows: int) -> int:
    """Return the rows of one step; small tables need small batches to have enough steps in an epoch."""
    if n_rows <= 256:
        return 32
    if n_rows <= 2000:
        return 128
    return 256 if n_rows <= 20_000 else 512


def planned_epochs(operations_per_epoch: float, most_operations: float, fewest_epochs: int, n_epochs: int) -> int:
    """Return the number of epochs of a training without a deadline: `n_epochs`, or fewer within `most_operations`."""
    return min(n_epochs, max(fewest_epochs, int(most_operations / operations_per_epoch)))


def row_losses(scores: Any, y: Any, label_smoothing: float) -> Any:
    """Return the loss of each row: squared error for one column of scores, else cross-entropy."""
    import torch.nn.functional as F

    if scores.shape[1] == 1:
        return F.mse_loss(scores[:, 0], y, reduction="none")
    return F.cross_entropy(scores, y, reduction="none", label_smoothing=label_smoothing)


def flat_cos(t: float) -> float:
    """Return the factor of the regularisation at progress `t`."""
    return 1.0 if t < 0.5 else 0.5 * (1 + math.cos(math.pi * (2 * t - 1)))


def area_above_curve(score: np.ndarray, y: np.ndarray) -> float:
    """Return 1 minus the area under the ROC curve; 0.5 if a class is missing."""
    n_positive = int(y.sum())
    n_negative = len(y) - n_positive
    if not n_positive or not n_negative:
        return 0.5
    _, index, count = np.unique(score, return_inverse=True, return_counts=True)
    # Equal scores get the mean of their ranks.
    ranks = (np.cumsum(count) - (count - 1) / 2)[index]
    return 1.0 - (ranks[y == 1].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


def _log_softmax(scores: np.ndarray) -> np.ndarray:
    shifted = scores - scores.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
