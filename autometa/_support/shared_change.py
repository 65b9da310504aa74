"""Changes of the whole process that overlapping blocks share."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class SharedChange:
    """A change that the first block to enter makes and the last one to leave undoes.

    Saving a value on entry and restoring it on exit is right for nested blocks only. Blocks
    of several threads overlap in any order, and the last one to leave would restore what
    another block had set. Subclasses say what is changed; their methods run under a lock.
    """

    def __init__(self) -> None:
        self._n_inside = 0
        self._renew_lock()
        if hasattr(os, "register_at_fork"):
            # A child could be forked while another thread holds the lock, and nobody would release it.
            os.register_at_fork(after_in_child=self._renew_lock)

    def _renew_lock(self) -> None:
        # Re-entrant, since a signal handler may enter a block of its own.
        self._lock = threading.RLock()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Keep the change in place for the length of a block."""
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

    def begin(self) -> None:
        """Make the change."""
        raise NotImplementedError

    def join(self) -> None:
        """Take notice of another block, nested or in another thread."""

    def end(self) -> None:
        """Undo the change."""
        raise NotImplementedError
