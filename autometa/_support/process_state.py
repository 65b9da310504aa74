"""Keeps the settings of the caller's process as they were."""
# Tests: tests/test_process_state.py

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from autometa._support.numeric_threads import numeric_threads
from autometa._support.warning_filters import kept_warning_filters


@contextmanager
def kept_process_state() -> Iterator[None]:
    """Use one thread in numeric libraries within the block, and restore thread limits and warning filters.

    Every public function that computes runs in such a block. Blocks of several threads may overlap.
    """
    with numeric_threads(), kept_warning_filters():
        yield
