"""When an iterative learner stops: at its deadline, or when its validation loss no longer falls."""

from __future__ import annotations

import math
import time

from autometa.core.budget import Deadline
from autometa.learners.base import FitData

_NOTABLE = 1e-4
_NOTABLE_AT_ALL = 1e-7
"""Share of the loss, and fall of the loss, that count as progress. On separable classes the log
loss falls by ever smaller amounts for thousands of iterations, and nobody wants to wait for them."""


class EarlyStopping:
    """Says after each iteration whether to stop, and remembers the best one.

    Parameters
    ----------
    patience : int
        Iterations without a notable fall of the validation loss after which to stop.
    deadline : Deadline
        Stop when the next iteration would probably end after it.
    n_wanted : int, optional
        Iterations after which the fit is done whatever the losses.

    Attributes
    ----------
    is_cut_short : bool
        Whether the deadline alone has said to stop, before the iterations that were wanted.
    best_iteration : int
        Number of iterations, from 1, with the lowest validation loss; the latest one
        where no loss was given.
    """

    def __init__(self, patience: int, deadline: Deadline, n_wanted: int | None = None) -> None:
        self.patience = patience
        self.deadline = deadline
        self.n_wanted = n_wanted
        self.is_cut_short = False
        self.best_iteration = 1
        self._best_loss = math.inf
        self._notable_loss = math.inf
        self._notable_iteration = 0
        self._seen_at_s = time.monotonic()
        self._seconds_per_iteration = 0.0

    def stop_after(self, iteration: int, loss: float | None = None) -> bool:
        """Return whether to stop, `iteration` iterations being done with this validation loss."""
        out_of_time, out_of_patience = self._out_of_time(), self._out_of_patience(iteration, loss)
        self.is_cut_short = out_of_time and not out_of_patience and iteration != self.n_wanted
        return out_of_time or out_of_patience

    def _out_of_patience(self, iteration: int, loss: float | None) -> bool:
        if loss is None or math.isnan(loss):
            self.best_iteration = iteration
            return False
        if loss < self._best_loss:
            self._best_loss, self.best_iteration = loss, iteration
        notable = max(_NOTABLE_AT_ALL, _NOTABLE * abs(self._notable_loss))
        if self._notable_iteration == 0 or loss < self._notable_loss - notable:
            self._notable_loss, self._notable_iteration = loss, iteration
        return iteration - self._notable_iteration >= self.patience

    def _out_of_time(self) -> bool:
        now = time.monotonic()
        last_s, self._seen_at_s = now - self._seen_at_s, now
        # Trees grow slower or faster as training goes on, so recent iterations count most.
        self._seconds_per_iteration = max(last_s, 0.7 * self._seconds_per_iteration)
        return self.deadline.remaining_s() <= self._seconds_per_iteration


def iterations_to_do(data: FitData, without_validation: int, at_most: int) -> int:
    """Return the number of iterations to start with: as told, a default, or a limit for early stopping."""
    if data.n_iterations is not None:
        return max(1, data.n_iterations)
    return without_validation if data.X_val is None else at_most


def stops_early(data: FitData) -> bool:
    """Whether the fit is to watch the loss of validation rows."""
    return data.X_val is not None and data.n_iterations is None
