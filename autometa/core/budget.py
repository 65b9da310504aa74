"""Limits on a run: its time, its number of trials, and deadlines on a clock."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from autometa._support.numbers import is_number, is_whole_number

Anchor = float
"""Fraction of the training rows in (0, 1]; 1 is all of them."""


@dataclass(frozen=True)
class Budget:
    """Limits on a whole run.

    Parameters
    ----------
    time_s : float
        Wall-clock seconds, > 0; ``math.inf`` for no limit.
    n_trials : int or None
        Number of trials that may be started, > 0; None for no limit.
    """

    time_s: float = math.inf
    n_trials: int | None = None

    def __post_init__(self) -> None:
        if not is_number(self.time_s):
            raise TypeError(f"time_budget must be a number of seconds, got {self.time_s!r}.")
        if not self.time_s > 0:
            raise ValueError(
                f"time_budget must be a positive number of seconds, got {self.time_s!r}. "
                "Pass None together with n_trials for a run without a time limit."
            )
        if self.n_trials is not None:
            if not is_whole_number(self.n_trials):
                raise TypeError(f"n_trials must be a whole number or None, got {self.n_trials!r}.")
            if self.n_trials <= 0:
                raise ValueError(f"n_trials must be at least 1, got {self.n_trials}.")
        if math.isinf(self.time_s) and self.n_trials is None:
            raise ValueError("A run needs a limit: give time_budget, n_trials, or both.")

    @property
    def has_time_limit(self) -> bool:
        """Whether wall-clock time can end the run; results then depend on the machine."""
        return math.isfinite(self.time_s)


@dataclass(frozen=True)
class Deadline:
    """A time on the monotonic clock of this process; pass seconds, not deadlines, to other processes.

    Parameters
    ----------
    at_s : float
        The time; ``math.inf`` for no deadline.
    clock : callable
        Returns the current time in seconds; a replay of recorded results passes a simulated clock.
    """

    at_s: float
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def after(cls, seconds: float, clock: Callable[[], float] = time.monotonic) -> Deadline:
        """Return the deadline `seconds` from now."""
        return cls(clock() + seconds, clock)

    def remaining_s(self) -> float:
        """Return the seconds left, 0 once the deadline has passed."""
        return max(0.0, self.at_s - self.clock())

    def passed(self) -> bool:
        """Whether the deadline has passed."""
        return self.clock() >= self.at_s

    def sooner(self, seconds: float) -> Deadline:
        """Return the deadline `seconds` earlier on the same clock."""
        return Deadline(self.at_s - seconds, self.clock)
