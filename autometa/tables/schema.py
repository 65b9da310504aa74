"""The kinds of the columns of a training frame, as plain values that a file can hold."""

# Tests: tests/tables/test_cleaning.py

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, fields

IDENTIFIER = "an identifier: another value in each row"
"""Reason for which a column of keys is not used."""


@dataclass(frozen=True)
class Schema:
    """Kinds of the columns of a training frame.

    Only kinds and names of levels are learnt from all training rows; frequencies, means and scales
    are learnt inside each fold.

    Parameters
    ----------
    columns : list of str
        Names seen at fit time, in order.
    numbers : list of str
        Columns kept as float32: numbers, booleans, spans of time (seconds).
    precise : list of str
        Numbers that need float64, e.g. times in seconds since 1970.
    moments : list of str
        Dates and times, kept as ``datetime64[us]`` in UTC.
    categories : dict of str to list of str
        Levels of each categorical column, kept as int32 indices of this list:
        −1 where missing, ``len(levels)`` for a level not in it. A word for missing values,
        such as ``"None"``, is the level of all gaps.
    texts : list of str
        Free text, kept as `object` with the empty text where missing.
    formats : dict of str to str
        How a column that came as text is read: a style of numbers or a format of dates;
        ``"timedelta"`` for spans of time.
    missing : dict of str to list of str
        Labels of the words that stand for a missing value in a column of numbers or dates.
    zoned : dict of str to bool
        Whether the moments of a column came with a time zone other than UTC, where that is known.
    dropped : dict of str to str
        Unused columns, and the reason.
    """

    columns: list[str] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list, metadata={"kind": "number"})
    precise: list[str] = field(default_factory=list, metadata={"kind": "number"})
    moments: list[str] = field(default_factory=list, metadata={"kind": "datetime"})
    categories: dict[str, list[str]] = field(default_factory=dict, metadata={"kind": "category"})
    texts: list[str] = field(default_factory=list, metadata={"kind": "text"})
    formats: dict[str, str] = field(default_factory=dict)
    missing: dict[str, list[str]] = field(default_factory=dict)
    zoned: dict[str, bool] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)

    @property
    def kinds(self) -> dict[str, str]:
        """Kind of each used column, in the order of the cleaned table: ``"number"``, ``"timedelta"``, …"""
        return {
            name: "timedelta" if self.formats.get(name) == "timedelta" else part.metadata["kind"]
            for part in fields(self)
            if "kind" in part.metadata
            for name in getattr(self, part.name)
        }

    @property
    def identifiers(self) -> list[str]:
        """Columns that are not used because they number or name the rows."""
        return [name for name, reason in self.dropped.items() if reason == IDENTIFIER]

    def note_format(self, name: str, style: str, missing: Collection[str]) -> None:
        """Note how the text of a column is read, while the schema is being built."""
        self.formats[name] = style
        if missing:
            self.missing[name] = list(missing)

    def format_of(self, name: str, default: str) -> tuple[str, Collection[str]]:
        """Return the style of the text in a column and its words for a missing value."""
        return self.formats.get(name, default), self.missing.get(name, ())
