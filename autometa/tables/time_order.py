"""The order of rows in time."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd

from autometa._support.hints import did_you_mean
from autometa.tables.cleaning import clean, fit_schema
from autometa.tables.inputs import RawTable

_ORDERED_KINDS = ("number", "datetime", "timedelta")


def time_ranks(raw: RawTable, column: Hashable | None) -> np.ndarray:
    """Return the rank of each row in time, equal for equal times.

    Parameters
    ----------
    raw : RawTable
        The table of a fit.
    column : hashable or None
        Label of the column with the times, or its position in a table without labels; None takes the order of the
        rows.

    Returns
    -------
    ndarray of shape (n_rows,), int64

    Raises
    ------
    ValueError
        If there is no such column, it has gaps, is neither dates nor numbers, or holds one moment only.
    """
    if column is None:
        return np.arange(len(raw.frame))
    values = _values(_column(raw, column), f"time_column={column!r}")
    ranks = np.unique(values, return_inverse=True)[1].astype(np.int64)
    if ranks.max() == 0:
        raise ValueError(f"time_column={column!r} holds one moment only, so there is no later one to validate on.")
    return ranks


def _column(raw: RawTable, column: Hashable) -> pd.Series:
    labels: list[Any] = list(range(raw.n_features)) if raw.labels is None else list(raw.labels)
    if column not in labels or labels.index(column) >= raw.frame.shape[1]:
        hint = did_you_mean(str(column), [str(label) for label in labels])
        raise ValueError(f"X has no column {column!r} to order the rows by (time_column).{hint}")
    return raw.frame.iloc[:, labels.index(column)]


def _values(series: pd.Series, name: str) -> np.ndarray:
    """Return numbers or moments of a column without gaps."""
    if n_missing := int(series.isna().sum()):
        raise ValueError(
            f"{name} is missing in {n_missing} of {len(series)} rows. Fill the times, or leave these rows out."
        )
    if pd.api.types.is_bool_dtype(series):
        raise ValueError(f"{name} holds True and False; expected dates or numbers.")
    if pd.api.types.is_numeric_dtype(series) or pd.api.types.is_datetime64_any_dtype(series):
        return series.to_numpy()
    # Text is read as in the table itself, so that both agree about the format.
    frame = series.to_frame()
    schema = fit_schema(frame)
    kind = schema.kinds.get(str(series.name))
    if kind not in _ORDERED_KINDS:
        raise ValueError(f"{name} cannot be read as dates or numbers; convert it, for example with pandas.to_datetime.")
    values = next(block[:, 0] for block in clean(frame, schema).blocks.values() if block.shape[1])
    if pd.isna(values).any():
        raise ValueError(f"{name} has entries that are no dates or numbers like the others; mend or leave them out.")
    return np.asarray(values)
