"""Show progress bars for runs limited by time, by trials, or by a number of steps."""

from __future__ import annotations

import contextlib
import logging
import math
import sys
import time
from typing import Any, TextIO

from autometa._support.imports import is_installed

_LAYOUT = "{l_bar}{bar}| {elapsed}{postfix}"


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream exists, is open and writes to a terminal.

    Windows services and some servers have no standard error, or one without ``isatty``.
    """
    try:
        return stream is not None and bool(stream.isatty())
    except (AttributeError, ValueError):  # no such method; the stream is closed
        return False


class ProgressBar:
    """A bar with the incumbent's score and the time left.

    Parameters
    ----------
    show : bool or None
        None shows it in a terminal or a notebook only. Without a standard error nothing is shown.
    time_s : float
        Seconds that the run may take; ``math.inf`` for no limit.
    n_trials : int or None
        Trials that the run may start.
    elapsed_s : float, default=0.0
        Seconds of the run before the bar is made.
    """

    def __init__(self, show: bool | None, time_s: float, n_trials: int | None, elapsed_s: float = 0.0) -> None:
        self._start_s, self._time_s = time.monotonic() - elapsed_s, time_s
        self._by_time = n_trials is None
        self._shown = ""
        total = round(time_s, 1) if self._by_time else n_trials
        self._bar = _new_bar(show, total=total, bar_format=_LAYOUT, desc="autometa")
        if self._bar is not None:
            self._bar.start_t -= elapsed_s

    def update(self, n_trials: int, incumbent: str) -> None:
        """Show the number of trials that ended and the incumbent's score."""
        if self._bar is None:
            return
        elapsed_s = time.monotonic() - self._start_s
        self._shown = f"{n_trials} trials, best {incumbent}"
        left = "" if math.isinf(self._time_s) else f", {max(0.0, self._time_s - elapsed_s):.0f} s left"
        self._bar.n = min(round(elapsed_s, 1) if self._by_time else n_trials, self._bar.total)
        self._bar.set_postfix_str(f"{self._shown}{left}", refresh=True)

    def complete(self) -> None:
        """Fill the bar, so that a run that ends before its budget does not look like a failure."""
        if self._bar is not None:
            self._bar.n = self._bar.total
            self._bar.set_postfix_str(self._shown, refresh=True)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()


class CountBar:
    """A bar over a known number of steps, with the time left.

    Parameters
    ----------
    show : bool or None
        None shows it in a terminal or a notebook only. Without a standard error nothing is shown.
    n_steps : int
        Steps to do.
    name : str
        Label before the bar.
    """

    def __init__(self, show: bool | None, n_steps: int, name: str) -> None:
        self._bar = _new_bar(show, total=n_steps, desc=name, smoothing=0.02)

    def __enter__(self) -> CountBar:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self) -> None:
        """Count one step."""
        if self._bar is not None:
            self._bar.update()


class LogHandler(logging.StreamHandler):
    """Writes log records to standard error, above a bar that is shown there."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, and draw the bar again below it."""
        from tqdm.std import tqdm

        with tqdm.external_write_mode(file=self.stream):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Report on standard error that a record cannot be written; if that fails too, continue silently."""
        with contextlib.suppress(Exception):
            super().handleError(record)


def _new_bar(show: bool | None, **settings: Any) -> Any:
    """Return a bar of tqdm that suits where the output goes, or None when nothing is shown."""
    in_notebook = _in_notebook()
    if sys.stderr is None or not (is_terminal(sys.stderr) or in_notebook if show is None else show):
        return None
    # tqdm.auto would warn in a notebook without ipywidgets; there, text does.
    if in_notebook and is_installed("ipywidgets"):
        from tqdm.notebook import tqdm
    else:
        from tqdm.std import tqdm
    return tqdm(**settings)


def _in_notebook() -> bool:
    """Whether the code runs in a Jupyter kernel; its streams say that they are no terminal."""
    get_shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)
    return getattr(get_shell(), "kernel", None) is not None
