"""The values of one column, whatever its type, as numbers, moments or text.

Text is read through its distinct values, so a column of a few levels costs little however long it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from pandas.tseries.api import guess_datetime_format

from autometa._support.warning_filters import ignored_warnings

MISSING_WORDS = frozenset({"", "?", "-", "--", ".", "na", "n/a", "#n/a", "nan", "null", "none", "nat", "<na>"})
"""What stands for a missing value among numbers or dates (lower case); as categories all but ``""`` are kept."""

MIN_READABLE = 0.95
"""Share of the non-missing rows that must be readable before text counts as numbers or dates."""

_SAMPLE = 200
_CURRENCY = "$€£¥₹"
_SPACES = re.compile(r"[\s\u00a0\u202f']")
_NUMBER_LIKE = re.compile(
    rf"[+\-(]?[{_CURRENCY}\s]*[+\-]?[\d.,\s\u00a0\u202f']*\d[\d.,]*([eE][+\-]?\d+)?[%\s{_CURRENCY})]*"
)
_GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?")
_DECIMAL_COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+),\d+")
_WHOLE_FLOAT = re.compile(r"[+-]?\d+\.0+")
_DATE_LIKE = re.compile(r"\d{1,4}[-/. ]\s?\w{1,9}[-/., ]\s?\d{1,4}|[A-Za-z]{3,9}\.? \d{1,2}|\d{4}-\d{2}|\d{1,2}:\d{2}")


@dataclass(frozen=True)
class Reading:
    """The values of one column.

    Parameters
    ----------
    kind : {"number", "datetime", "timedelta", "text"}
        What the values are by their type alone.
    values : ndarray of shape (n_rows,)
        float64 for numbers and timedeltas (seconds), ``datetime64[us]`` in UTC for moments;
        for text int64 positions in `levels`, −1 where missing.
    levels : list of str
        The distinct texts, stripped, none empty.
    nominal : bool
        Whether the column came with a category type.
    """

    kind: Literal["number", "datetime", "timedelta", "text"]
    values: np.ndarray
    levels: list[str]
    nominal: bool = False


def read_column(column: pd.Series) -> Reading:
    """Return the values of a column of any type."""
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        labels = column.cat.categories.astype(object).to_numpy()
        return _text(column.cat.codes.to_numpy().astype(np.int64), labels, nominal=True)
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return _moments(column)
    if pd.api.types.is_timedelta64_dtype(dtype) or (isinstance(dtype, pd.ArrowDtype) and dtype.kind == "m"):
        return _durations(column)
    if pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype):
        return _numbers(column)
    if isinstance(dtype, pd.ArrowDtype) and dtype.kind == "O":
        column = column.astype(object)
        dtype = column.dtype
    if isinstance(dtype, pd.PeriodDtype):
        return _moments(column.dt.to_timestamp())
    if pd.api.types.is_object_dtype(dtype):
        return _read_objects(column)
    return _factorized(column)


def _read_objects(column: pd.Series) -> Reading:
    match pd.api.types.infer_dtype(column, skipna=True):
        case "string":
            return _factorized(column)
        case "empty" | "integer" | "floating" | "mixed-integer-float" | "boolean" | "decimal":
            return _numbers(column)
        case "datetime" | "datetime64" | "date":
            return _moments(column)
        case "timedelta" | "timedelta64":
            return _durations(column)
    plain = column.map(_scalar, na_action="ignore").astype(object)
    codes, labels = pd.factorize(plain)
    return _text(codes, np.asarray(labels, dtype=object))


def _scalar(value: Any) -> Any:
    """Return a hashable stand-in whose kind survives: True and 1 are different levels."""
    return value if isinstance(value, str) else _label(value)


def _numbers(column: pd.Series) -> Reading:
    if column.dtype == object:
        values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return Reading("number", np.where(np.isfinite(values), values, np.nan), [])


def _moments(column: pd.Series) -> Reading:
    if getattr(column.dtype, "kind", "O") == "M" and getattr(column.dtype, "tz", None) is None:
        column = pd.Series(column.array) if isinstance(column.dtype, np.dtype) else pd.to_datetime(column, utc=True)
    else:
        column = pd.to_datetime(column, utc=True, errors="coerce")
    if getattr(column.dtype, "tz", None) is not None:
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    return Reading("datetime", column.to_numpy().astype("datetime64[us]"), [])


def _durations(column: pd.Series) -> Reading:
    moments = pd.to_timedelta(column, errors="coerce") if column.dtype == object else column
    spans = moments.astype("timedelta64[us]").to_numpy()
    seconds = spans.astype(np.int64) / 1e6
    return Reading("timedelta", np.where(np.isnat(spans), np.nan, seconds), [])


def _factorized(column: pd.Series) -> Reading:
    codes, labels = pd.factorize(column)
    return _text(codes, np.asarray(labels, dtype=object))


def _text(codes: np.ndarray, labels: np.ndarray, nominal: bool = False) -> Reading:
    """Return the reading of labels of any type; labels with equal text become one level."""
    texts = [_label(label) for label in labels]
    merged: dict[str, int] = {}
    position = np.full(len(texts) + 1, -1, dtype=np.int64)  # the last entry serves the code −1
    for i, text in enumerate(texts):
        if text:
            position[i] = merged.setdefault(text, len(merged))
    return Reading("text", position[codes], list(merged), nominal)


def _label(value: Any) -> str:
    """Return the text of a value; whole floats are written like the integers they equal."""
    if isinstance(value, str):
        text = value.strip()
        return text.split(".")[0] if text[-2:] == ".0" and _WHOLE_FLOAT.fullmatch(text) else text
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace").strip()
    return str(value).strip()


def number_labels(values: np.ndarray) -> Reading:
    """Return numbers as text levels, for a column that held categories or text before."""
    codes, distinct = pd.factorize(values)
    return _text(codes, np.asarray(distinct).astype(object))


def moment_labels(values: np.ndarray) -> Reading:
    """Return moments as text levels in ISO format."""
    codes, distinct = pd.factorize(values)
    return _text(codes, np.array([str(pd.Timestamp(moment)) for moment in distinct], dtype=object))


def find_number_format(levels: Sequence[str], counts: np.ndarray) -> str | None:
    """Return how to read the levels as numbers: "plain", "grouped", "decimal comma" or None when they are not numbers.

    Parameters
    ----------
    levels : sequence of str
        Distinct texts.
    counts : ndarray of shape (n_levels,)
        Rows of each.
    """
    considered = _not_missing_words(levels)
    sample = [levels[i] for i in considered[:: max(1, len(considered) // _SAMPLE)]]
    if not sample:
        return None
    words = {"true", "false", "inf", "+inf", "-inf", "infinity", "-infinity"}
    likely = sum(text.lower() in words or _NUMBER_LIKE.fullmatch(text) is not None for text in sample)
    if likely < (2 * MIN_READABLE - 1) * len(sample) or all(text.lower() in words for text in sample):
        return None
    chosen = [levels[i] for i in considered]
    total = counts[considered].sum()
    for style in ("plain", "grouped", "decimal comma"):
        readable = ~np.isnan(read_numbers(chosen, style)) | np.array([text.lower() in words for text in chosen])
        if counts[considered][readable].sum() >= MIN_READABLE * total:
            return style
    return None


def read_numbers(levels: Sequence[str], style: str) -> np.ndarray:
    """Return the levels as float64 numbers, NaN where unreadable or infinite."""
    texts = pd.Series(list(levels), dtype=object)
    values = pd.to_numeric(texts, errors="coerce").to_numpy(dtype=np.float64, copy=True)
    for i in map(int, np.flatnonzero(np.isnan(values))):
        values[i] = _read_number(levels[i], style)
    return np.where(np.isfinite(values), values, np.nan)


def _read_number(text: str, style: str) -> float:
    lowered = text.lower()
    if lowered in ("true", "false"):
        return float(lowered == "true")
    negative = text.startswith("(") and text.endswith(")")
    text = _SPACES.sub("", text.strip("()")).strip("%").strip(_CURRENCY)
    if text[:1] in "+-" and text[1:2] in _CURRENCY and len(text) > 2:
        text = text[0] + text[2:]
    if style == "grouped" and _GROUPED.fullmatch(text):
        text = text.replace(",", "")
    elif style == "decimal comma" and _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(".", "").replace(",", ".")
    try:
        # float() also takes underscores, which no table uses for grouping.
        value = float(text) if "_" not in text else np.nan
    except ValueError:
        return np.nan
    return -value if negative else value


def find_moment_format(levels: Sequence[str], counts: np.ndarray) -> str | None:
    """Return the format in which the levels are dates, ``"ISO8601"`` included, or None when they are not."""
    considered = _not_missing_words(levels)
    chosen = considered[:: max(1, len(considered) // _SAMPLE)]
    sample = [levels[i] for i in chosen]
    if not sample:
        return None
    likely = sum(len(text) < 40 and _DATE_LIKE.search(text) is not None for text in sample)
    if likely < (2 * MIN_READABLE - 1) * len(sample):
        return None
    formats = ["ISO8601"]
    for text in sample[:5]:
        for dayfirst in (False, True):
            # A year in front makes pandas remark that dayfirst means nothing.
            with ignored_warnings():
                guess = guess_datetime_format(text, dayfirst=dayfirst)
            if guess is not None and guess not in formats:
                formats.append(guess)
    # Any four digits are a year in ISO 8601; numbers were ruled out before.
    readable = [np.count_nonzero(~np.isnat(read_moments(sample, style))) for style in formats]
    best = int(np.argmax(readable))
    if readable[best] < (2 * MIN_READABLE - 1) * len(sample):
        return None
    everything = [levels[i] for i in considered]
    best_share, best_format = 0.0, None
    for position in np.argsort(-np.array(readable), kind="stable"):
        if readable[position] < readable[best]:
            break
        read = ~np.isnat(read_moments(everything, formats[position]))
        share = counts[considered][read].sum() / counts[considered].sum()
        if share > best_share:
            best_share, best_format = share, formats[position]
    return best_format if best_share >= MIN_READABLE else None


def read_moments(levels: Sequence[str], style: str) -> np.ndarray:
    """Return the levels as ``datetime64[us]`` in UTC, NaT where unreadable."""
    if len(levels) == 0:
        return np.empty(0, dtype="datetime64[us]")
    moments = pd.to_datetime(pd.Series(list(levels), dtype=object), format=style, errors="coerce", utc=True)
    return moments.dt.tz_localize(None).to_numpy().astype("datetime64[us]")


def read_spans(levels: Sequence[str]) -> np.ndarray:
    """Return the levels as float64 seconds, NaN where they are no spans of time."""
    # A bare number would be taken for nanoseconds, a guess that could be silently wrong.
    texts = pd.Series([text if re.search("[A-Za-z:]", text) else None for text in levels], dtype=object)
    return _durations(texts).values


def _not_missing_words(levels: Sequence[str]) -> np.ndarray:
    return np.array([i for i, text in enumerate(levels) if text.lower() not in MISSING_WORDS], dtype=np.int64)
