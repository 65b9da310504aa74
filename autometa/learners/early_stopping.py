"""Early stopping of iterative learners, by their validation loss and by their deadline."""

from __future__ import annotations

import math
import time

from autometa.core.budget import Deadline
from autometa.learners.base import FitData

_LEAST_RELATIVE_FALL = 1e-4
_LEAST_FALL = 1e-7
"""Falls of the loss that count as progress, relative to the loss and absolute. On separable classes the log loss falls
by ever smaller amounts for thousands of iterations."""


class EarlyStopping:
    """Decides after each iteration whether to stop, and remembers the best one.

    Parameters
    ----------
    patience : int
        Iterations without progress of the validation loss after which to stop.
    deadline : Deadline
        Stop when the next iteration would probably end after it.
    n_wanted : int, optional
        Iterations after which the fit is complete whatever the losses.

    Attributes
    ----------
    is_cut_short : bool
        Whether the deadline alone ended the fit, before the wanted iterations.
    best_iteration : int
        Number of iterations, from 1, with the lowest validation loss; the latest one if no loss was given.
    """

    def __init__(self, patience: int, deadline: Deadline, n_wanted: int | None = None) -> None:
        self.patience = patience
        self.deadline = deadline
        self.n_wanted = n_wanted
        self.is_cut_short = False
        self.best_iteration = 1
        self._best_loss = math.inf
        self._progress_loss = math.inf
        self._progress_iteration = 0
        self._seen_at_s = time.monotonic()
        self._seconds_per_iteration = 0.0

    def stop_after(self, iteration: int, loss: float | None = None) -> bool:
        """Return whether to stop after `iteration` iterations, the last of which had this validation loss."""
        out_of_time, out_of_patience = self._out_of_time(), self._out_of_patience(iteration, loss)
        self.is_cut_short = out_of_time and not out_of_patience and iteration != self.n_wanted
        return out_of_time or out_of_patience

    def _out_of_patience(self, iteration: int, loss: float | None) -> bool:
        if loss is None or math.isnan(loss):
            self.best_iteration = iteration
            return False
        if loss < self._best_loss:
            self._best_loss, self.best_iteration = loss, iteration
        least_fall = max(_LEAST_FALL, _LEAST_RELATIVE_FALL * abs(self._progress_loss))
        if self._progress_iteration == 0 or loss < self._progress_loss - least_fall:
            self._progress_loss, self._progress_iteration = loss, iteration
        return iteration - self._progress_iteration >= self.patience

    def _out_of_time(self) -> bool:
        now = time.monotonic()
        last_s, self._seen_at_s = now - self._seen_at_s, now
        # Iterations get slower or faster during a training, so recent ones count most.
        self._seconds_per_iteration = max(last_s, 0.7 * self._seconds_per_iteration)
        return self.deadline.remaining_s() <= self._seconds_per_iteration


def iterations_to_do(data: FitData, without_validation: int, at_most: int) -> int:
    """Return the number of iterations: the wanted one, else a default, or a bound where the fit stops early."""
    if data.n_iterations is not None:
        return max(1, data.n_iterations)
    return without_validation if data.X_val is None else at_most


def stops_early(data: FitData) -> bool:
    """Return whether the loss on validation rows decides the number of iterations."""
    return data.X_val is not None and data.n_iterations is None
