"""What trainings by epochs share: their progress, batches, dropout, losses of rows, and the loss on validation rows."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from autometa.learners.base import FitData
from autometa.learners.numeric import TargetScale, bounded

CHUNK_ROWS = 2048
"""Rows that pass a network at once where no gradient is needed."""


class Progress:
    """How far the training is, by steps and by the clock."""

    def __init__(self, n_steps: int, time_s: float) -> None:
        self.n_steps = n_steps
        self.time_s = max(time_s, 1e-9)
        self.n_done = 0
        self.started_s = time.monotonic()

    def step(self) -> None:
        """Count a step as done."""
        self.n_done += 1

    def share(self) -> float:
        """Return the share that is done, in [0, 1]."""
        return min(1.0, max(self.n_done / self.n_steps, (time.monotonic() - self.started_s) / self.time_s))

    def finished(self) -> bool:
        """Return whether steps or time are up."""
        # One step is always made, so that a fit past its deadline still returns a model.
        return self.n_done > 0 and self.share() >= 1.0


class Monitor:
    """The loss on the validation rows, near to the metric of the run."""

    def __init__(self, data: FitData, scale: TargetScale | None) -> None:
        assert data.X_val is not None and data.y_val is not None
        self.X = as_tensor(data.X_val)
        self.y = data.y_val if scale is None else scale.standardise(data.y_val)
        weight = data.sample_weight_val
        self.weight = weight if weight is not None and weight.sum() > 0 else None
        self.metric = data.metric
        self.problem = data.problem

    def loss(self, forward: Callable[[Any], Any]) -> float:
        """Return the loss of a function from rows to scores."""
        import torch

        scores = torch.cat([forward(self.X[i : i + CHUNK_ROWS]) for i in range(0, len(self.X), CHUNK_ROWS)]).numpy()
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
        # The log loss settles ties of a loss that counts rows.
        return float(np.average(scores.argmax(axis=1) != self.y, weights=self.weight)) + 1e-3 * log_loss


class Dropout:
    """Masks of dropped units, cut from one long sequence of random numbers.

    Drawing anew for every mask would take a fifth of the training.
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
    """Return rows of a step: small tables need enough steps in an epoch, large ones need few."""
    if n_rows <= 256:
        return 32
    if n_rows <= 2000:
        return 128
    return 256 if n_rows <= 20_000 else 512


def row_losses(scores: Any, y: Any, label_smoothing: float) -> Any:
    """Return the loss of each row: squared error for one column of scores, else cross-entropy."""
    import torch.nn.functional as F

    if scores.shape[1] == 1:
        return F.mse_loss(scores[:, 0], y, reduction="none")
    return F.cross_entropy(scores, y, reduction="none", label_smoothing=label_smoothing)


def as_tensor(X: np.ndarray) -> Any:
    """Return rows, bounded, as a float32 tensor."""
    import torch

    # Copied: torch warns about read-only arrays.
    return torch.from_numpy(np.array(bounded(X), dtype=np.float32))


def flat_cos(t: float) -> float:
    """Return the factor of the regularisation at progress `t`."""
    return 1.0 if t < 0.5 else 0.5 * (1 + math.cos(math.pi * (2 * t - 1)))


def area_above_curve(score: np.ndarray, y: np.ndarray) -> float:
    """Return 1 − the area under the ROC curve; a half where a class is missing."""
    n_positive = int(y.sum())
    n_negative = len(y) - n_positive
    if not n_positive or not n_negative:
        return 0.5
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    # Equal scores share the mean of their ranks.
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    return 1.0 - (ranks[y == 1].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


def _log_softmax(scores: np.ndarray) -> np.ndarray:
    shifted = scores - scores.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
