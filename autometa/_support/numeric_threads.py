"""Limits the threads of numeric libraries, also for fits that run in several threads at once.

BLAS libraries have one thread pool per process. Their waiting threads spin, which slows everything down as soon as
another process needs the core. OpenMP has a limit per thread.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from autometa._support.shared_change import SharedChange


class _OneBlasThread(SharedChange):
    """Every BLAS library of the process at one thread."""

    def __init__(self) -> None:
        super().__init__()
        self._limited: dict[str, tuple[Any, int]] = {}

    def begin(self) -> None:
        # A library that is loaded later is limited when the next block begins.
        for library in _libraries():
            if _is_process_wide(library) and library.filepath not in self._limited:
                n_threads = library.get_num_threads()
                if n_threads is not None and n_threads > 1:
                    self._limited[library.filepath] = library, n_threads
                    _set_process_wide(library, 1)

    join = begin

    def end(self) -> None:
        for library, n_threads in self._limited.values():
            # Otherwise somebody else has set another value meanwhile.
            if library.get_num_threads() == 1:
                _set_process_wide(library, n_threads)
        self._limited.clear()


one_blas_thread = _OneBlasThread()
"""Context manager that lets BLAS use one thread in the whole process until the last block ends."""


@contextmanager
def openmp_threads(n_threads: int) -> Iterator[None]:
    """Let OpenMP use `n_threads` in the calling thread within the block."""
    before: list[tuple[Any, int]] = []
    try:
        for library in _libraries():
            if library.user_api == "openmp":
                before.append((library, library.get_num_threads()))
                library.set_num_threads(n_threads)
        yield
    finally:
        for library, n_before in before:
            library.set_num_threads(n_before)


@contextmanager
def numeric_threads(n_threads: int = 1) -> Iterator[None]:
    """Let OpenMP use `n_threads` in the calling thread, and BLAS one.

    BLAS threads cost more than they gain on tables, and far more on a busy machine.
    """
    with ExitStack() as stack:
        stack.enter_context(one_blas_thread())
        stack.enter_context(openmp_threads(n_threads))
        yield


_found: tuple[int, list[Any]] = (0, [])


def _libraries() -> list[Any]:
    """Return threadpoolctl's handles of the loaded libraries."""
    global _found
    # The search takes milliseconds. Libraries are loaded by modules, so it is repeated only after an import.
    n_modules = len(sys.modules)
    if _found[0] != n_modules:
        from threadpoolctl import ThreadpoolController

        _found = len(sys.modules), ThreadpoolController().lib_controllers
    return _found[1]


def _is_process_wide(library: Any) -> bool:
    # OpenBLAS on top of OpenMP follows the limit of OpenMP.
    return library.user_api == "blas" and getattr(library, "threading_layer", None) != "openmp"


def _set_process_wide(library: Any, n_threads: int) -> None:
    # From version 3.8 on, threadpoolctl ignores all threads but the first that sets a limit.
    forget = getattr(type(library), "clear_controlling_thread", lambda force: None)
    forget(force=True)
    library.set_num_threads(n_threads)
    forget(force=True)
