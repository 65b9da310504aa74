"""The list of the kinds of columns, in the order of a cleaned table."""

# Tests: tests/tables/test_kinds.py

from __future__ import annotations

from autometa.tables.categories import Categories
from autometa.tables.column_kind import ColumnKind
from autometa.tables.moments import Moments
from autometa.tables.numbers import Numbers, PreciseNumbers
from autometa.tables.schema import Schema
from autometa.tables.text import Texts

KINDS: tuple[ColumnKind, ...] = (Numbers(), PreciseNumbers(), Moments(), Categories(), Texts())
"""Each column is of the first kind that recognises it; the last one takes all others."""


def kinds_of(schema: Schema) -> dict[str, str]:
    """Return what each used column is, in the order of the cleaned table: ``"number"``, ``"timedelta"``, …"""
    return {
        name: "timedelta" if schema.formats.get(name) == "timedelta" else kind.name
        for kind in KINDS
        for name in kind.names(schema)
    }
