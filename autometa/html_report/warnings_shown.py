"""Collects the warnings of a block, so that a page can show them."""

# Tests: tests/html_report/test_page.py

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from autometa._support.user_warnings import warn_user


@contextmanager
def recorded_warnings(texts: list[str]) -> Iterator[None]:
    """Append the texts of warnings in the block to `texts`, and warn of them afterwards."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        texts.append(str(warning.message))
        warn_user(str(warning.message), warning.category)
