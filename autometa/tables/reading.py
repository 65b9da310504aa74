"""Read one column of any type as numbers, dates, spans of time or labels.

A column of a number or date type is converted at once; any other by the labels of its distinct values (``values.py``),
which is fast if they are few. Both ways give the same result: it depends on the value and on the format found at
fit, never on the type or the other rows of a table.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from autometa.tables import values
from autometa.tables.values import (
    MISSING_WORDS,
    TIME_OF_DAY,
    label,
    labels_of,
    moment_labels,
    span_labels,
    span_seconds,
)

ColumnType = Literal["number", "datetime", "timedelta", "text", "category", "objects"]

_OBJECT_TYPES: dict[str, ColumnType] = {
    **dict.fromkeys(("empty", "integer", "floating", "mixed-integer-float", "boolean", "decimal"), "number"),
    **dict.fromkeys(("datetime", "datetime64", "date"), "datetime"),
    **dict.fromkeys(("timedelta", "timedelta64"), "timedelta"),
    "string": "text",
}
"""Types of objects as pandas infers them; other columns of objects are read value by value."""

_FIRST_ROWS = 100
"""Rows that are searched for a time with or without a zone."""

_UNREADABLE = 0.5
"""A column has lost its values if fewer than this share of them can be read."""


@dataclass(frozen=True)
class Labels:
    """The values of a column as labels.

    Parameters
    ----------
    codes : ndarray of shape (n_rows,), int64
        Indices of `levels`, −1 where missing.
    levels : list of str
        The distinct labels that occur.
    is_nominal : bool
        Whether the column has a category type.
    are_numbers : bool
        Whether the column has a number type, in which leading zeros are lost.
    """

    codes: np.ndarray
    levels: list[str]
    is_nominal: bool = False
    are_numbers: bool = False

    def counts(self) -> np.ndarray:
        """Return the rows of each level."""
        return np.bincount(self.codes + 1, minlength=len(self.levels) + 1)[1:]


def column_of(X: pd.DataFrame, index: int) -> pd.Series:
    """Return a column of a frame, converted if pandas can do little with its Arrow type.

    Such types are dictionaries, decimals, lists, times, views of text, periods and intervals.
    """
    column = X.iloc[:, index]
    if isinstance(column.dtype, pd.ArrowDtype) and column.dtype.kind == "O":
        try:
            return column.array.__arrow_array__().to_pandas()
        except TypeError:  # categories without a hash: dictionaries of lists or structs
            return pd.Series(column.to_list(), dtype=object)
    return column


def column_type(column: pd.Series) -> ColumnType:
    """Return the kind of the values of a column by their type; for objects, by the type that all of them share."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return "category"
    if pd.api.types.is_datetime64_any_dtype(dtype) or isinstance(dtype, pd.PeriodDtype):
        return "datetime"
    if pd.api.types.is_timedelta64_dtype(dtype) or (isinstance(dtype, pd.ArrowDtype) and dtype.kind == "m"):
        return "timedelta"
    if pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype):
        return "number"
    if not pd.api.types.is_object_dtype(dtype):
        return "text" if pd.api.types.is_string_dtype(dtype) else "objects"
    return _OBJECT_TYPES.get(pd.api.types.infer_dtype(column, skipna=True), "objects")


def as_numbers(column: pd.Series, style: str, missing: Collection[str]) -> tuple[np.ndarray, bool]:
    """Return a column as float64, NaN where missing, infinite or unreadable, and whether most values are unreadable.

    Parameters
    ----------
    column : Series of shape (n_rows,)
        Values of any type.
    style : str
        How text is read: see ``values.read_numbers``; ``"timedelta"`` for spans of time in seconds.
    missing : collection of str
        Labels that stand for a missing value, in addition to `MISSING_WORDS`.
    """
    kind = column_type(column)
    if kind == "number" and style != "timedelta":
        return typed_numbers(column), False
    if kind == "timedelta" and style == "timedelta":
        return span_seconds(typed_spans(column)), False
    # Most texts are numbers already, so their labels are not needed.
    labels = _distinct_texts(column) if kind == "text" and style != "timedelta" else as_labels(column, kind)
    numbers = numbers_of(labels, style)
    return numbers, _is_lost(labels, np.isnan(numbers), missing)


def as_moments(column: pd.Series, style: str, missing: Collection[str]) -> tuple[np.ndarray, bool]:
    """Return a column as ``datetime64[us]`` in UTC, NaT where missing or unreadable, and whether most are unreadable.

    The parameters are those of ``as_numbers``, with the styles of ``values.read_moments``.
    """
    kind = column_type(column)
    if kind == "datetime" and style != TIME_OF_DAY:
        return typed_moments(column), False
    labels = as_labels(column, kind)
    moments = moments_of(labels, style)
    return moments, _is_lost(labels, np.isnat(moments), missing)


def numbers_of(labels: Labels, style: str) -> np.ndarray:
    """Return the rows of `labels` as float64, NaN where missing or unreadable."""
    numbers = values.read_spans(labels.levels) if style == "timedelta" else values.read_numbers(labels.levels, style)
    return np.append(numbers, np.nan)[labels.codes]


def moments_of(labels: Labels, style: str) -> np.ndarray:
    """Return the rows of `labels` as ``datetime64[us]``, NaT where missing or unreadable."""
    moments = values.read_moments(labels.levels, style)
    return np.append(moments, np.datetime64("NaT", "us"))[labels.codes]


def comes_with_zone(column: pd.Series) -> bool | None:
    """Return whether the first time of a column has a zone; None for UTC and for types without that information."""
    dtype = column.dtype
    if isinstance(dtype, (pd.CategoricalDtype, pd.PeriodDtype)):
        return None
    if isinstance(dtype, np.dtype) and dtype.kind == "M":
        return False
    present = column.iloc[:_FIRST_ROWS].dropna()
    return values.has_zone(present.iloc[0]) if len(present) else None


def as_labels(column: pd.Series, kind: ColumnType | None = None) -> Labels:
    """Return the labels of a column of any type; `kind` is its ``column_type``, if known already."""
    match kind or column_type(column):
        case "category":
            return _category_labels(column)
        case "datetime" if not isinstance(column.dtype, pd.PeriodDtype):
            codes, moments = pd.factorize(typed_moments(column))
            return _merged(codes, moment_labels(moments))
        case "timedelta":
            codes, spans = pd.factorize(typed_spans(column))
            return _merged(codes, span_labels(spans))
        case "number":
            codes, numbers = pd.factorize(column)
            # As an array, so that an item of float32 stays one.
            return _merged(codes, labels_of(np.asarray(numbers)), are_numbers=True)
        case "text":
            texts = _distinct_texts(column)
            return _merged(texts.codes, labels_of(texts.levels))
    # Some objects are equal in Python (1 and True) and lists have no hash, so labels are made before duplicates go.
    objects = np.empty(len(column), dtype=object)
    objects[:] = [label(item) for item in column.to_list()]
    codes, labels = pd.factorize(objects)
    return _merged(codes, list(labels))


def _distinct_texts(column: pd.Series) -> Labels:
    codes, texts = pd.factorize(column)
    # As objects, because iterating over Arrow's texts is slow.
    return Labels(codes, np.asarray(texts, dtype=object).tolist())


def _category_labels(column: pd.Series) -> Labels:
    """Return the labels of the categories that occur; the others must have no effect."""
    codes, categories = column.cat.codes.to_numpy().astype(np.int64), column.cat.categories
    occurs = np.zeros(len(categories) + 1, dtype=bool)
    occurs[codes] = True  # the last entry serves the code −1
    if occurs[:-1].all():
        return _merged(codes, labels_of(categories.to_numpy()), is_nominal=True)
    used = np.flatnonzero(occurs[:-1])
    new_codes = np.full(len(categories) + 1, -1, dtype=np.int64)
    new_codes[used] = np.arange(len(used))
    return _merged(new_codes[codes], labels_of(categories[used].to_numpy()), is_nominal=True)


def _merged(codes: np.ndarray, labels: list[str], is_nominal: bool = False, are_numbers: bool = False) -> Labels:
    """Return labels in which equal ones are one level and the empty one is missing."""
    merged = dict.fromkeys(labels, 0)
    if len(merged) == len(labels) and "" not in merged:
        return Labels(codes, labels, is_nominal, are_numbers)
    merged = {}
    new_codes = np.full(len(labels) + 1, -1, dtype=np.int64)  # the last entry serves the code −1
    for i, text in enumerate(labels):
        if text:
            new_codes[i] = merged.setdefault(text, len(merged))
    return Labels(new_codes[codes], list(merged), is_nominal, are_numbers)


def _is_lost(labels: Labels, is_unreadable: np.ndarray, missing: Collection[str]) -> bool:
    """Whether most rows with a value cannot be read; a word for a missing value is not a value."""
    n_readable = np.count_nonzero(~is_unreadable)
    if n_readable >= _UNREADABLE * np.count_nonzero(labels.codes >= 0):
        return False
    texts = labels_of(labels.levels)
    gaps = [i for i, text in enumerate(texts) if text in missing or text.lower() in MISSING_WORDS]
    n_present = np.count_nonzero((labels.codes >= 0) & ~np.isin(labels.codes, gaps))
    return bool(n_readable < _UNREADABLE * n_present)


def typed_numbers(column: pd.Series) -> np.ndarray:
    """Return a column of type number as float64, NaN where missing or infinite."""
    if column.dtype == object:
        try:
            column = pd.to_numeric(column, errors="coerce")
        except OverflowError:  # integers beyond the largest float
            return numbers_of(as_labels(column, "objects"), "plain")
    numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def typed_moments(column: pd.Series) -> np.ndarray:
    """Return a column of type datetime as ``datetime64[us]`` in UTC."""
    if isinstance(column.dtype, pd.PeriodDtype):
        column = column.dt.to_timestamp()
    if isinstance(column.dtype, pd.ArrowDtype):
        if getattr(column.dtype.pyarrow_dtype, "tz", None) is None:
            return column.astype("datetime64[us]").to_numpy()
        return column.to_numpy(dtype="datetime64[us]", na_value=np.datetime64("NaT"))
    if column.dtype == object:
        column = pd.to_datetime(column, utc=True, errors="coerce")
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    return column.to_numpy().astype("datetime64[us]")


def typed_spans(column: pd.Series) -> np.ndarray:
    """Return a column of type timedelta as ``timedelta64[us]``."""
    spans = pd.to_timedelta(column, errors="coerce") if column.dtype == object else column
    return spans.astype("timedelta64[us]").to_numpy()
