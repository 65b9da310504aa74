"""Ignores warnings in one thread alone, and restores the filters of the process when all threads are done.

``warnings.catch_warnings`` replaces the filters of the whole process and restores the list that it found. If such
blocks of several threads overlap, the last one to exit restores the list of another, often with a filter that ignores
everything from then on. scikit-learn and pandas use it in many functions.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from autometa._support.shared_change import SharedChange

_thread_state = threading.local()


class _IgnoredHere(type):
    """Metaclass for which the categories that the calling thread ignores are subclasses."""

    def __subclasscheck__(cls, category: type) -> bool:
        return any(issubclass(category, ignored) for ignored in getattr(_thread_state, "ignored", ()))


class IgnoredInThisThread(Warning, metaclass=_IgnoredHere):
    """Category of the one filter that all threads share."""


# In the form of `warnings.simplefilter`; scikit-learn reads the parts when it passes filters to its threads.
_FILTER = ("ignore", None, IgnoredInThisThread, None, 0)


class _KeptFilters(SharedChange):
    """The filters of the process, with `_FILTER` before them within a block.

    Filters that blocks of several threads left behind are removed. If such blocks overlap, changes by other threads are
    undone too, because those of libraries look the same.
    """

    def begin(self) -> None:
        self._filters: list[Any] = warnings.filters  # type: ignore[assignment]
        self._before = [item for item in self._filters if item != _FILTER]
        self._thread, self._is_shared = threading.get_ident(), False
        warnings.simplefilter("ignore", IgnoredInThisThread)

    def join(self) -> None:
        self._is_shared |= threading.get_ident() != self._thread
        if warnings.filters[:1] != [_FILTER]:
            warnings.simplefilter("ignore", IgnoredInThisThread)

    def end(self) -> None:
        if self._is_shared:
            self._filters[:] = self._before
            warnings.filters = self._filters
        while _FILTER in warnings.filters:
            warnings.filters.remove(_FILTER)  # type: ignore[attr-defined]
        del self._filters, self._before


kept_warning_filters = _KeptFilters()
"""Context manager that restores the filters when the last block of any thread ends."""


@contextmanager
def ignored_warnings(*categories: type[Warning]) -> Iterator[None]:
    """Ignore warnings of some categories, by default all, in the calling thread alone."""
    with kept_warning_filters():
        before = getattr(_thread_state, "ignored", ())
        _thread_state.ignored = (*before, *(categories or (Warning,)))
        try:
            yield
        finally:
            _thread_state.ignored = before
