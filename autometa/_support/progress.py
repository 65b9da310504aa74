"""A progress bar for a run that ends by time or by trials."""

from __future__ import annotations

import math
import sys
import time


class ProgressBar:
    """A bar with the incumbent's score and the time left.

    Parameters
    ----------
    show : bool or None
        None shows it only when standard error is a terminal.
    time_s : float
        Seconds that the run may take; ``math.inf`` for no limit.
    n_trials : int or None
        Trials that the run may start.
    """

    def __init__(self, show: bool | None, time_s: float, n_trials: int | None) -> None:
        self._start_s, self._time_s = time.monotonic(), time_s
        self._by_time = n_trials is None
        self._bar = None
        if show or (show is None and sys.stderr.isatty()):
            from tqdm.auto import tqdm

            layout = "{l_bar}{bar}| {elapsed}, {postfix}" if self._by_time else None
            self._bar = tqdm(total=round(time_s, 1) if self._by_time else n_trials, bar_format=layout, desc="autometa")

    def update(self, n_trials: int, incumbent: str) -> None:
        """Show the number of trials that ended and the incumbent's score."""
        if self._bar is None:
            return
        elapsed_s = time.monotonic() - self._start_s
        self._bar.n = min(round(elapsed_s, 1), self._bar.total) if self._by_time else n_trials
        left = "" if math.isinf(self._time_s) else f", {max(0.0, self._time_s - elapsed_s):.0f} s left"
        self._bar.set_postfix_str(f"{n_trials} trials, best {incumbent}{left}", refresh=True)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()


class CountBar:
    """A bar over a known number of steps, with the time left.

    Parameters
    ----------
    show : bool or None
        None shows it only when standard error is a terminal.
    n_steps : int
        Steps to do.
    name : str
        What stands before the bar.
    """

    def __init__(self, show: bool | None, n_steps: int, name: str) -> None:
        self._bar = None
        if show or (show is None and sys.stderr.isatty()):
            from tqdm.auto import tqdm

            self._bar = tqdm(total=n_steps, desc=name, smoothing=0.02)

    def __enter__(self) -> CountBar:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self) -> None:
        """Count one step."""
        if self._bar is not None:
            self._bar.update()
