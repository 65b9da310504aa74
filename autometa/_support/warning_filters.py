"""Warnings that are ignored in one thread alone, and filters that are as before when all threads are done.

``warnings.catch_warnings`` replaces the filters of the whole process and puts the list back
that it found. Where such blocks of several threads overlap, the last one to leave puts back
what another had set, often a filter that ignores everything from then on. scikit-learn and
pandas use it in many functions.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from autometa._support.shared_change import SharedChange

_of_thread = threading.local()


class _IgnoredHere(type):
    """Counts those categories as its subclasses that the calling thread ignores."""

    def __subclasscheck__(cls, category: type) -> bool:
        return any(issubclass(category, ignored) for ignored in getattr(_of_thread, "ignored", ()))


class IgnoredInThisThread(Warning, metaclass=_IgnoredHere):
    """Category of the one filter that all threads share."""


# As `warnings.simplefilter` makes it; scikit-learn reads the parts when it hands filters to its threads.
_FILTER = ("ignore", None, IgnoredInThisThread, None, 0)


class _KeptFilters(SharedChange):
    """The filters of the process, with `_FILTER` before them for a while.

    What blocks of several threads left behind is undone. Changes that other threads make
    meanwhile stay, unless blocks of several threads overlap: those of the libraries cannot
    be told from them.
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
"""Context manager: the filters are as before when no thread is in such a block any more."""


@contextmanager
def ignored_warnings(*categories: type[Warning]) -> Iterator[None]:
    """Ignore warnings of some categories, all by default, in the calling thread and nowhere else."""
    with kept_warning_filters():
        before = getattr(_of_thread, "ignored", ())
        _of_thread.ignored = (*before, *(categories or (Warning,)))
        try:
            yield
        finally:
            _of_thread.ignored = before
