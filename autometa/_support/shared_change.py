"""Makes a change of the whole process that overlapping blocks share."""
# Tests: tests/_support/test_numeric_threads.py
# Tests: tests/_support/test_warning_filters.py

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager


class SharedChange(ABC):
    """A change that the first block makes on entry and the last one undoes on exit.

    Saving a value on entry and restoring it on exit works for nested blocks only. Blocks of several threads overlap in
    any order, and the last one to exit would restore the value of another block. Subclasses define the change; their
    methods run under a lock.
    """

    def __init__(self) -> None:
        self._n_inside = 0
        self._renew_lock()
        if hasattr(os, "register_at_fork"):
            # A child that is forked while another thread holds the lock could never acquire it.
            os.register_at_fork(after_in_child=self._renew_lock)

    def _renew_lock(self) -> None:
        # Re-entrant, because a signal handler may enter a block too.
        self._lock = threading.RLock()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Keep the change in place within a block."""
        is_inside = False
        try:
            with self._lock:
                is_inside = True
                self._n_inside += 1
                if self._n_inside == 1:
                    self.begin()
                else:
                    self.join()
            yield
        finally:
            if is_inside:
                with self._lock:
                    self._n_inside -= 1
                    if self._n_inside == 0:
                        self.end()

    @abstractmethod
    def begin(self) -> None:
        """Make the change."""

    def join(self) -> None:  # noqa: B027  # most changes have nothing to do then
        """Called when another block begins, nested or in another thread."""

    @abstractmethod
    def end(self) -> None:
        """Undo the change."""
