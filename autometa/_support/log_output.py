"""Controls the log output of single fits, also of fits that run in several threads at once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from autometa._support.shared_change import SharedChange

_thread_state = threading.local()


def _is_loud_enough(record: logging.LogRecord) -> bool:
    return record.levelno >= getattr(_thread_state, "least_level", logging.NOTSET)


class _QuietChildren(SharedChange):
    """A filter on all loggers of a library, by the level that the logging thread asks for."""

    def __init__(self, library: str) -> None:
        super().__init__()
        self._prefix = f"{library}."
        self._loggers: list[logging.Logger] = []

    def begin(self) -> None:
        # The filters of a logger do not apply to records of its children.
        for name, logger in list(logging.root.manager.loggerDict.items()):
            if name.startswith(self._prefix) and isinstance(logger, logging.Logger):
                self._loggers.append(logger)
                logger.addFilter(_is_loud_enough)

    def end(self) -> None:
        while self._loggers:
            self._loggers.pop().removeFilter(_is_loud_enough)


_quiet_optuna = _QuietChildren("optuna")


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Let Optuna log nothing below a warning in the calling thread."""
    with _quiet_optuna():
        before = getattr(_thread_state, "least_level", logging.NOTSET)
        _thread_state.least_level = logging.WARNING
        try:
            yield
        finally:
            _thread_state.least_level = before


class _LowestLevel(SharedChange):
    """The level of a logger, as low as the lowest that any thread asks for."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._logger = logging.getLogger(name)

    def begin(self) -> None:
        self._before = self._now = self._logger.level

    def end(self) -> None:
        # Otherwise somebody else has set another level meanwhile.
        if self._logger.level == self._now:
            self._logger.setLevel(self._before)

    @contextmanager
    def at(self, level: int) -> Iterator[None]:
        """Let records of `level` through within a block."""
        with self():
            with self._lock:
                if self._logger.getEffectiveLevel() > level:
                    self._now = level
                    self._logger.setLevel(level)
            yield


_level = _LowestLevel("autometa")


@contextmanager
def logged_by(handler: logging.Handler, level: int) -> Iterator[None]:
    """Pass autometa's records of the calling thread, from `level` on, to a handler."""
    thread = threading.get_ident()
    handler.setLevel(level)
    handler.addFilter(lambda record: record.thread == thread)
    package = logging.getLogger("autometa")
    with _level.at(level):
        package.addHandler(handler)
        try:
            yield
        finally:
            package.removeHandler(handler)
