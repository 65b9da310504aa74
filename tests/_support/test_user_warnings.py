"""Warnings point to the line that called the package."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable

import numpy as np

from autometa._support.user_warnings import warn_user
from autometa.tables.inputs import as_frame


def test_a_warning_from_deep_inside_points_to_the_callers_line() -> None:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        as_frame(np.eye(2), names=["u", "v"])
        line = inspect.currentframe().f_lineno - 1  # type: ignore[union-attr]
    assert [(warning.filename, warning.lineno) for warning in heard] == [(__file__, line)]


def test_a_warning_may_be_of_any_kind_and_depth() -> None:
    def deeper(n: int, call: Callable[[], None]) -> None:
        deeper(n - 1, call) if n else call()

    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        deeper(3, lambda: warn_user("text", RuntimeWarning))
    assert [(warning.category, warning.filename) for warning in heard] == [(RuntimeWarning, __file__)]
