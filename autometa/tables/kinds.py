"""The list of the kinds of columns, in the order of a cleaned table."""

# Tests: tests/tables/test_kinds.py

from __future__ import annotations

from autometa.tables.categories import Categories
from autometa.tables.column_kind import ColumnKind
from autometa.tables.moments import Moments
from autometa.tables.numbers import Numbers, PreciseNumbers
from autometa.tables.text import Texts

KINDS: tuple[ColumnKind, ...] = (Numbers(), PreciseNumbers(), Moments(), Categories(), Texts())
"""Each column is of the first kind that recognises it; the last one takes all others."""
