"""A guest in the caller's process: what runs inside leaves its settings as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from autometa._support.numeric_threads import numeric_threads
from autometa._support.warning_filters import kept_warning_filters


@contextmanager
def kept_process_state() -> Iterator[None]:
    """Use one thread in numeric libraries, and leave threads and warning filters as they were.

    Every public function that computes runs in such a block, also several at a time in threads.
    """
    with numeric_threads(), kept_warning_filters():
        yield
