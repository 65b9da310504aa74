"""Decide the kinds of the columns of a training table, and clean tables accordingly.

``fit_schema`` looks at all training rows; ``clean`` then works row by row.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from autometa._support.user_warnings import warn_user
from autometa.tables.clean_table import CleanTable
from autometa.tables.column_kind import IncomingTable, TrainingColumn
from autometa.tables.column_names import MAX_NAMED, listing
from autometa.tables.kinds import KINDS
from autometa.tables.numbers import add_numbers, plain_numbers
from autometa.tables.reading import column_of
from autometa.tables.schema import Schema

_CHUNK_CELLS = 2**22
"""Cells of plain numbers that are examined at a time."""


def fit_schema(X: pd.DataFrame) -> Schema:
    """Return the kinds of the columns of `X`, a frame from ``as_frame``.

    Raises
    ------
    ValueError
        If no column can be used.
    """
    schema = Schema(columns=list(X.columns))
    plain = plain_numbers(X)
    for start in range(0, len(plain), step := max(1, _CHUNK_CELLS // len(X))):
        chunk = plain[start : start + step]
        add_numbers(schema, [schema.columns[i] for i in chunk], X.iloc[:, chunk].to_numpy(dtype=np.float64))
    ambiguous: list[str] = []
    for i in sorted(set(range(X.shape[1])) - set(plain)):
        column = TrainingColumn(schema.columns[i], column_of(X, i))
        any(kind.recognise(column, schema) for kind in KINDS)  # stops at the first
        if column.format is not None and column.format.is_ambiguous:
            ambiguous.append(column.name)
    if len(schema.dropped) == len(schema.columns):
        named = [f"{name!r} ({reason})" for name, reason in list(schema.dropped.items())[:MAX_NAMED]]
        raise ValueError(
            f"X has no usable column: {', '.join(named)}{', …' if len(schema.dropped) > MAX_NAMED else ''}. "
            "Pass at least one column whose values differ between rows."
        )
    if ambiguous:
        warn_user(
            f"The dates in {listing(ambiguous)} make sense with the day first and with the month first; they are "
            "read with the month first, between dots with the day first. To say which it is, and to silence this, "
            "pass dates instead of text in fit and in predict: pd.to_datetime(column, dayfirst=True), or False.",
        )
    return schema


def clean(X: pd.DataFrame, schema: Schema) -> CleanTable:
    """Return the used columns of `X`, matched by name, each in the form of its kind.

    Infinities, and values that do not have the kind and format of the fit, are missing.

    Parameters
    ----------
    X : DataFrame of shape (n_rows, n_columns)
        A frame from ``as_frame``; further columns and the order of columns do not matter.
    schema : Schema
        From ``fit_schema``.

    Raises
    ------
    ValueError
        If a used column is missing.
    """
    check_names(X, schema)
    table = IncomingTable(X)
    blocks = {kind.field: kind.read(table, schema) for kind in KINDS}
    _warn_about(table)
    return CleanTable(schema, blocks)


def check_names(X: pd.DataFrame, schema: Schema) -> None:
    """Raise a ValueError if a used column is missing."""
    missing = sorted(set(schema.columns) - set(schema.dropped) - set(X.columns))
    if missing:
        listing = "".join(f"- {name}\n" for name in missing[:MAX_NAMED]) + (
            "- ...\n" if len(missing) > MAX_NAMED else ""
        )
        raise ValueError(
            "The feature names should match those that were passed during fit.\n"
            f"Feature names seen at fit time, yet now missing:\n{listing}"
        )


def _warn_about(table: IncomingTable) -> None:
    """Warn about values that could not be read."""
    if table.lost:
        warn_user(
            f"Most values of {listing(table.lost)} cannot be read as what they were at fit time and count as missing "
            "(in a category: as levels never seen). Give these columns the types that they had in the training table; "
            "warnings.filterwarnings('ignore', 'Most values of') silences this.",
        )
    if table.unclear:
        warn_user(
            f"Numbers in {listing(table.unclear)} stand for several levels, which differ in leading zeros (007 and 7) "
            "or in digits that a float does not hold: they count as the level that is written like them, else as a "
            "new one. Read the column as text, e.g. with pd.read_csv(..., dtype={'column': str}), to tell them apart "
            "and to silence this.",
        )
    if table.shifted:
        warn_user(
            f"Times in {listing(table.shifted)} came with a time zone either in fit or now, and times without one "
            "count as UTC. Give them their zone in both, e.g. with column.dt.tz_localize('Europe/Paris'), which "
            "silences this.",
        )
