"""Read one value: make its label, and read the label as a number, a date or a span of time.

A label is a text for the meaning of a value, independent of its type: 1, 1.0, ``"1.00"`` and ``Decimal("1.00")``
have the label ``"1"``; True and ``"TRUE"`` have ``"True"``; a date, its text in ISO 8601 and a timestamp at
midnight have ``"2024-01-31"``. A label depends on its value alone, never on the other rows of a table.
"""

from __future__ import annotations

import datetime
import math
import re
import string
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pandas as pd

GAP_WORDS = frozenset(
    "#N/A|#N/A N/A|#NA|-1.#IND|-1.#QNAN|-NaN|-nan|1.#IND|1.#QNAN|<NA>|N/A|NA|NULL|NaN|NaT|None|n/a|nan|null".split("|")
)
"""Words that stand for a missing value in every column, because pandas reads them from a CSV file as missing."""

MISSING_WORDS = frozenset({"", "?", "-", "--", ".", "n.a.", *(word.lower() for word in GAP_WORDS)})
"""Texts in lower case that stand for a missing value among numbers and dates; in a category they may be levels."""

MAGNITUDES = {
    **dict.fromkeys(("k", "thousand"), 1e3),
    "lakh": 1e5,
    **dict.fromkeys(("m", "mn", "mio", "million"), 1e6),
    "crore": 1e7,
    **dict.fromkeys(("b", "bn", "billion"), 1e9),
    "trillion": 1e12,
}
"""Factors that may follow a number, in lower case."""

TIME_OF_DAY = "time of day"
"""Format of times without a date, which get the date 1900-01-01."""

LARGEST_EXACT = 2**53
"""Float64 does not hold every whole number from here on."""

_ORDINARY_STARTS = frozenset(string.ascii_letters) - frozenset("tTfFiI")
"""An ASCII text that begins with one of these and does not end in a space is its own label."""
_OWN_NUMBER = re.compile(r"\d+|-?(?:[1-9]\d{0,7}|0(?!\.0000))\.\d{0,6}[1-9]|\d{1,4}[-/]\d{1,2}[-/]\d{1,4}", re.ASCII)
"""Numbers, codes and dates that are their own label."""

_MAX_DIGITS = 50
"""Decimals with more digits are written with an exponent."""

_TRUTH = {"true": "True", "false": "False"}
_INFINITE = {
    sign + word: ("-" if sign == "-" else "") + "inf" for sign in ("", "+", "-") for word in ("inf", "infinity")
}
_NUMBER_STARTS = frozenset("0123456789+-.")
# Leading zeros make a code of digits: 007 is not 7.
_NUMBER = re.compile(r"[+-]?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"([+-]?)(\d+)(?:\.0*)?", re.ASCII)
_ZEROS = re.compile(r"([+-]?)(0\d+)(\.\d*)?", re.ASCII)
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(?:\s?(Z|UTC|[+-]\d\d(?::?\d\d)?))?)?", re.ASCII
)
_UTC = frozenset({"Z", "UTC", "UTC+00:00", "+00", "+0000", "+00:00", "Etc/UTC"})
_EPOCH = np.datetime64("1900-01-01", "us")
_CLOCK = re.compile(r"(\d{1,2})(?::(\d\d))?(?::(\d\d(?:\.\d+)?))?(?:\s?([ap])\.?m\.?)?", re.ASCII | re.IGNORECASE)
_QUARTER = re.compile(r"(\d{4})-?Q([1-4])", re.ASCII)
_WEEK = re.compile(r"(\d{4}-\d\d-\d\d)/\d{4}-\d\d-\d\d", re.ASCII)
_SPAN_TEXT = re.compile(
    r"-?\d+ days?(?:,? [+-]?\d+:\d\d:\d\d(?:\.\d+)?)?|\d+:\d\d:\d\d(?:\.\d+)?|-?P[\dDTHMSW.,]+", re.ASCII
)
"""Spans of time as pandas and Python write them."""
_LONG_CLOCK = re.compile(r"(\d+):([0-5]\d)", re.ASCII)
_SPAN_PART = re.compile(
    r"(\d+(?:\.\d+)?)\s*(weeks?|wks?|w|days?|d|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s)(?=[\s\d,]|$)[\s,]*",
    re.ASCII | re.IGNORECASE,
)
_SECONDS = {"w": 604_800.0, "d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}
_SPACES = re.compile(r"[\s\u00a0\u202f']")
_GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?")
_DECIMAL_COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+|\d+),\d+")

_SIGNS = "$€£¥₹"
_CODES = (
    "USD|EUR|GBP|JPY|CNY|INR|CHF|CAD|AUD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|RUB|TRY|BRL|MXN|ZAR|SGD|HKD|KRW|TWD|THB|IDR|MYR"
    "|PHP|VND|AED|SAR|ILS|EGP|NGN|KES|PKR|BDT|Rs|kr|zł"
)
_DOLLARS = "US|HK|NZ|A|C|R|S"
_MAX_WITH_UNIT = 40
_WITH_UNIT = re.compile(
    rf"(?P<before>(?:(?:{_CODES})(?:\.|\b|(?=\d))|(?:{_DOLLARS})(?=\$))?\s*[{_SIGNS}]?)\s*"
    r"(?P<number>[+-]?(?:\d{1,3}(?:[ '\u00a0\u202f]\d{3})+(?:[.,]\d+)?|\d[\d.,]*(?:[eE][+-]?\d+)?))\s*"
    r"(?P<after>[^\d\s.,:/()-](?:[^\d:]{0,14}[^\d\s:])?[23]?)?\.?",
    re.IGNORECASE,
)


# ---------------------------------------------------------------------------------------------- labels


def label(value: Any) -> str:
    """Return the text for the meaning of a value; the empty text for a missing value.

    Examples
    --------
    >>> [label(value) for value in (1.0, "1.00", True, "TRUE", "007", datetime.date(2024, 1, 31), None)]
    ['1', '1', 'True', 'True', '007', '2024-01-31', '']
    """
    if isinstance(value, str):
        return _text_label(value)
    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    if isinstance(value, (bool, np.bool_)):
        return "True" if value else "False"
    if isinstance(value, (int, np.integer)) and not isinstance(value, np.timedelta64):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        return _float_label(value)
    if isinstance(value, (datetime.date, np.datetime64)):
        return moment_labels(np.array([_utc(value)]))[0]
    if isinstance(value, (datetime.timedelta, np.timedelta64)):
        span = pd.Timedelta(value)
        return "" if span is pd.NaT else span_labels(np.array([span.to_timedelta64()]))[0]
    if isinstance(value, Decimal):
        is_short = value.is_finite() and abs(value.adjusted()) < _MAX_DIGITS
        return "" if value.is_nan() else _text_label(format(value, "f") if is_short else str(value))
    if isinstance(value, bytes):
        return _text_label(value.decode("utf-8", errors="replace"))
    return _text_label(str(_plain(value)))


def labels_of(items: Iterable[Any]) -> list[str]:
    """Return the label of each item; ``label`` is not called for texts that are their own label."""
    is_own_number = _OWN_NUMBER.fullmatch
    return [
        item
        if type(item) is str
        and ((item[:1] in _ORDINARY_STARTS and item[-1] > " " and item.isascii()) or is_own_number(item))
        else label(item)
        for item in items
    ]


def moment_labels(moments: np.ndarray) -> list[str]:
    """Return the labels of ``datetime64[us]`` moments: ISO 8601 without what is zero at the end, empty for NaT."""
    texts = np.datetime_as_string(moments).tolist()
    return ["" if text == "NaT" else _iso_label(*text.partition("T")[::2]) for text in texts]


def span_labels(spans: np.ndarray) -> list[str]:
    """Return the labels of ``timedelta64`` spans as pandas writes them, in whole microseconds; empty for NaT."""
    return ["" if np.isnat(span) else str(pd.Timedelta(span)) for span in spans.astype("timedelta64[us]")]


def loose_label(text: str) -> str:
    """Return a label in which digits with leading zeros are a number; for free text, which has no codes."""
    match = _ZEROS.fullmatch(text)
    return _text_label(f"{match[1]}{match[2].lstrip('0') or '0'}{match[3] or ''}") if match else text


def _text_label(text: str) -> str:
    text = text.strip()
    if not text:
        return ""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    if text[0] in _NUMBER_STARTS:
        if _NUMBER.fullmatch(text):
            return _number_label(text)
        if text[4:5] == "-" and (match := _ISO.fullmatch(text)):
            return _moment_label(text, match)
    if len(text) <= len("-infinity"):
        lowered = text.lower()
        return _TRUTH.get(lowered) or _INFINITE.get(lowered) or text
    return text


def _number_label(text: str) -> str:
    if match := _WHOLE.fullmatch(text):
        # Not through a float, which would change the last digits of a long key.
        return match[2] if match[1] != "-" or match[2] == "0" else f"-{match[2]}"
    number = float(text)
    return _float_label(number) if math.isfinite(number) else text


def _float_label(value: float | np.floating) -> str:
    number = float(value)
    if math.isnan(number):
        return ""
    if number.is_integer() and abs(number) < LARGEST_EXACT:
        return str(int(number))
    # A float32 prints its shortest digits: 0.1 rather than 0.10000000149011612.
    digits = str(value) if isinstance(value, (np.float32, np.float16)) else repr(number)
    # The exponent distinguishes a rounded number from a long key, which has all its digits.
    is_long = abs(number) >= LARGEST_EXACT and "e" not in digits
    return np.format_float_scientific(value, trim="-") if is_long else digits


def _moment_label(text: str, match: re.Match[str]) -> str:
    day, clock, seconds, fraction, zone = match.groups()
    if clock is None:
        return day
    clock = f"{clock}:{seconds or '00'}.{(fraction or '')[:6]}"
    if zone is None or zone in ("Z", "UTC"):
        return _iso_label(day, clock)
    try:
        return label(datetime.datetime.fromisoformat(f"{day}T{clock.rstrip('.')}{zone}"))
    except ValueError:
        return text


def _iso_label(day: str, clock: str) -> str:
    """Return a day and a time of day like ``10:30:00.000000`` as one label, to the microsecond."""
    clock = clock[:15]
    if "." in clock:
        clock = clock.rstrip("0").rstrip(".")
    return day if clock in ("", "00:00:00") else f"{day} {clock}"


def _utc(value: datetime.date | np.datetime64) -> np.datetime64:
    moment = pd.Timestamp(value)
    if moment is pd.NaT:
        return np.datetime64("NaT", "us")
    if moment.tzinfo is not None:
        moment = moment.tz_convert("UTC").tz_localize(None)
    return moment.to_datetime64().astype("datetime64[us]")


def _plain(value: Any) -> Any:
    """Return nested values as plain lists and dicts, as files return them."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value.tolist()]
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(item) for item in value), key=str)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


# ---------------------------------------------------------------------------------------------- reading labels


def meaning(text: str) -> Literal["number", "code", "truth", "moment", "span", "nested", "word"]:
    """Return the kind of value behind a label; a code is digits with leading zeros, a list or dict is nested."""
    if text in ("True", "False"):
        return "truth"
    if _NUMBER.fullmatch(text) or text in ("inf", "-inf"):
        return "number"
    if _ZEROS.fullmatch(text):
        return "code"
    if _ISO.fullmatch(text):
        return "moment"
    if text[0] + text[-1] in ("{}", "[]"):
        return "nested"
    return "span" if _SPAN_TEXT.fullmatch(text) else "word"


def read_numbers(texts: Sequence[str], style: str) -> np.ndarray:
    """Return texts as float64 numbers, NaN if unreadable.

    Parameters
    ----------
    texts : sequence of str
        Labels, or texts whose labels are read.
    style : str
        ``"plain"``, ``"grouped"`` (1,234.5) or ``"decimal comma"`` (1.234,5); after a ``|`` the unit that numbers may
        have, or ``×`` if they may have factors such as k and M.
    """
    style, _, unit = style.partition("|")
    values = pd.to_numeric(pd.Series(list(texts), dtype=object), errors="coerce").to_numpy(np.float64, copy=True)
    for i in np.flatnonzero(np.isnan(values)).tolist():
        text = label(texts[i])
        values[i] = _number(text, style)
        if unit and np.isnan(values[i]):
            values[i] = _number_with_unit(text, style, unit)
    return np.where(np.isfinite(values), values, np.nan)


def split_unit(text: str) -> tuple[str, str] | None:
    """Return the digits of a number and its unit as ``before|after`` in lower case, or None if there is no number.

    Examples
    --------
    >>> [split_unit(text) for text in ("12 km", "USD 1.2k", "2 hours", "user_12")]
    [('12', '|km'), ('1.2', 'usd|k'), ('2', '|hour'), None]
    """
    match = _WITH_UNIT.fullmatch(text) if len(text) <= _MAX_WITH_UNIT else None
    if match is None:
        return None
    after = (match["after"] or "").lower()
    # One year, two years.
    after = after[:-1] if len(after) > 2 and after.endswith("s") and after.isalpha() else after
    return match["number"], f"{match['before'].lower().strip(' .')}|{after}"


def _number_with_unit(text: str, style: str, unit: str) -> float:
    """Return a number whose `unit` is ``before|after``, or ``before|×`` for numbers with factors."""
    parts = split_unit(text)
    if parts is None:
        return np.nan
    digits, found = parts
    before, _, after = found.partition("|")
    expected, _, expected_after = unit.partition("|")
    if before not in ("", expected):
        return np.nan
    if expected_after == "×":
        return _number(digits, style) * (MAGNITUDES.get(after, np.nan) if after else 1.0)
    return _number(digits, style) if after in ("", expected_after) else np.nan


def _number(text: str, style: str) -> float:
    if text in ("True", "False"):
        return float(text == "True")
    negative = text.startswith("(") and text.endswith(")")
    text = _SPACES.sub("", text.strip("()")).strip("%").strip(_SIGNS)
    if text[:1] in "+-" and text[1:2] in _SIGNS and len(text) > 2:
        text = text[0] + text[2:]
    if style == "grouped" and _GROUPED.fullmatch(text):
        text = text.replace(",", "")
    elif style == "decimal comma" and _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(".", "").replace(",", ".")
    try:
        # float() also accepts underscores, which no table uses for grouping.
        value = float(text) if "_" not in text else np.nan
    except ValueError:
        return np.nan
    return -value if negative else value


def read_moments(labels: Sequence[str], style: str) -> np.ndarray:
    """Return labels as ``datetime64[us]`` in UTC, NaT if unreadable.

    Parameters
    ----------
    labels : sequence of str
        From ``label``.
    style : str
        A format of ``strptime``, ``"ISO8601"`` or ``TIME_OF_DAY``. Dates in ISO 8601 are read under every
        format, because they are not ambiguous.
    """
    if len(labels) == 0:
        return np.empty(0, dtype="datetime64[us]")
    moments = _parsed(labels, "ISO8601" if style == TIME_OF_DAY else style)
    if style == TIME_OF_DAY:
        moments = _EPOCH + (moments - moments.astype("datetime64[D]"))
    lost = np.flatnonzero(np.isnat(moments))
    if style not in (TIME_OF_DAY, "ISO8601") and len(lost):
        moments[lost] = _parsed([labels[i] for i in lost.tolist()], "ISO8601")
        lost = lost[np.isnat(moments[lost])]
    for i in lost.tolist():
        moments[i] = _time_of_day(labels[i]) if style == TIME_OF_DAY else _start_of_period(labels[i])
    return moments


def _parsed(labels: Sequence[str], style: str) -> np.ndarray:
    moments = pd.to_datetime(pd.Series(list(labels), dtype=object), format=style, errors="coerce", utc=True)
    return moments.dt.tz_localize(None).to_numpy().astype("datetime64[us]")


def _time_of_day(text: str) -> np.datetime64:
    match = _CLOCK.fullmatch(text)
    if match is None or (match[2] is None and match[4] is None):
        return np.datetime64("NaT", "us")
    hour, minute, second = int(match[1]), int(match[2] or 0), float(match[3] or 0)
    if match[4] is not None:
        if not 1 <= hour <= 12:
            return np.datetime64("NaT", "us")
        hour = hour % 12 + (12 if match[4].lower() == "p" else 0)
    if hour > 23 or minute > 59 or second >= 60:
        return np.datetime64("NaT", "us")
    return _EPOCH + np.timedelta64(round((hour * 3600 + minute * 60 + second) * 1e6), "us")


def _start_of_period(text: str) -> np.datetime64:
    """Return the first day of a quarter (2024Q1) or of a week (2024-01-01/2024-01-07), as pandas writes periods."""
    if match := _QUARTER.fullmatch(text):
        return np.datetime64(f"{match[1]}-{3 * int(match[2]) - 2:02}-01", "us")
    if match := _WEEK.fullmatch(text):
        return _parsed([match[1]], "ISO8601")[0]
    return np.datetime64("NaT", "us")


def has_zone(value: Any) -> bool | None:
    """Return whether a time has a zone other than UTC; None for UTC and for values that are not times."""
    if isinstance(value, str):
        match = _ISO.fullmatch(value.strip())
        zone = None if match is None else match[5]
        return None if match is None or zone in _UTC else zone is not None
    if isinstance(value, (datetime.date, np.datetime64)):
        zone = getattr(value, "tzinfo", None)
        return None if str(zone) in _UTC else zone is not None
    return None


def read_spans(labels: Sequence[str]) -> np.ndarray:
    """Return labels as float64 seconds, NaN if unreadable; a bare number is not a span of time."""
    texts = pd.Series([text if _SPAN_TEXT.fullmatch(text) else None for text in labels], dtype=object)
    seconds = span_seconds(pd.to_timedelta(texts, errors="coerce").to_numpy())
    for i in map(int, np.flatnonzero(np.isnan(seconds))):
        seconds[i] = _span(labels[i])
    return seconds


def span_seconds(spans: np.ndarray) -> np.ndarray:
    """Return ``timedelta64`` spans as float64 seconds, to the microsecond; NaN for NaT."""
    ticks = spans.astype("timedelta64[us]")
    return np.where(np.isnat(ticks), np.nan, ticks.astype(np.int64) / 1e6)


def _span(text: str) -> float:
    """Return the seconds of ``36:15`` (hours and minutes) or ``1 hr 30 mins``, which pandas does not read."""
    if match := _LONG_CLOCK.fullmatch(text):
        return int(match[1]) * 3600.0 + int(match[2]) * 60.0
    parts = _SPAN_PART.findall(text)
    if not parts or _SPAN_PART.sub("", text):
        return np.nan
    return float(sum(float(amount) * _SECONDS[unit[0].lower()] for amount, unit in parts))
