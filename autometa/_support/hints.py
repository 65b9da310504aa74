"""Suggest names that are close to a misspelt one, for error messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(given: str, known: Iterable[str], n: int = 1, form: str = " Did you mean {}?") -> str:
    """Return `form` with at most `n` known names that are close to `given`, or an empty text without any.

    Examples
    --------
    >>> did_you_mean("log_lss", ["log_loss", "mae"])
    " Did you mean 'log_loss'?"
    >>> did_you_mean("xyz", ["log_loss", "mae"])
    ''
    """
    near = difflib.get_close_matches(given, list(known), n=n)
    return form.format(" or ".join(map(repr, near))) if near else ""
