"""Check that arguments are numbers; booleans are none, and NumPy's scalars are."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any


def is_number(value: Any) -> bool:
    """Whether a value is a real number."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_whole_number(value: Any) -> bool:
    """Whether a value is of a type of whole numbers."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def checked_count(name: str, value: Any) -> int:
    """Return a whole number of at least 1 as an int, or raise ValueError."""
    if not is_whole_number(value) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}.")
    return int(value)
