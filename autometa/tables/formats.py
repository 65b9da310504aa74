"""Find out whether a column of text holds numbers, dates or spans of time, and in which format."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pandas.tseries.api import guess_datetime_format

from autometa._support.warning_filters import ignored_warnings
from autometa.tables.values import (
    MAGNITUDES,
    MISSING_WORDS,
    TIME_OF_DAY,
    read_moments,
    read_numbers,
    read_spans,
    split_unit,
)

MIN_READABLE = 0.95
"""Share of the non-missing rows that must be readable for text to count as numbers, dates or spans of time."""

_MAX_SENTINELS = 3
_MIN_SENTINEL_READABLE = 0.5
_MIN_SENTINEL_LEVELS = 10
"""Half of the rows need be readable if the others hold at most `_MAX_SENTINELS` words for a missing value."""

_SAMPLE = 200
_TRUTH_OR_INFINITE = frozenset({"True", "False", "inf", "-inf"})
_NUMBER_LIKE = re.compile(r"[+\-(]?[$€£¥₹\s]*[+\-]?[\d.,\s\u00a0\u202f']*\d[\d.,]*([eE][+\-]?\d+)?[%\s$€£¥₹)]*")
_DATE_LIKE = re.compile(
    r"\d{1,4}[-/. ]\s?\w{1,9}[-/., ]\s?\d{1,4}|[A-Za-z]{3,9}\.? \d{1,2}|\d{4}-\d{2}|\d{4}-?Q\d|\d{1,2}:\d{2}"
)
_SHORT_YEAR = re.compile(r"\d{1,2}/\d{1,2}/\d\d")
_CLOCK_LIKE = re.compile(r"\d{1,2}(:[0-5]\d){1,2}(\.\d+)?(\s?[ap]\.?m\.?)?|\d{1,2}\s?[ap]\.?m\.?", re.IGNORECASE)
_SPAN_LIKE = re.compile(
    r"-?P\w+|-?\d+ days?\b.*|\d+(:[0-5]\d){1,2}(\.\d+)?|(\d+(\.\d+)?\s*[a-z]{1,7}[\s,]*)+", re.IGNORECASE
)


@dataclass(frozen=True)
class TextFormat:
    """How the text of a column is read.

    Parameters
    ----------
    kind : {"number", "datetime", "timedelta"}
        Kind of the values.
    style : str
        As for ``read_numbers`` and ``read_moments``; ``"timedelta"`` for spans of time.
    sentinels : tuple of str
        Labels of words that stand for a missing value.
    is_ambiguous : bool
        Whether every date can be read with the day first and with the month first.
    """

    kind: Literal["number", "datetime", "timedelta"]
    style: str
    sentinels: tuple[str, ...] = ()
    is_ambiguous: bool = False


class _Levels:
    """Distinct labels except words for a missing value, the rows of each, and a sample of them."""

    def __init__(self, labels: Sequence[str], counts: np.ndarray) -> None:
        considered = [i for i, text in enumerate(labels) if text.lower() not in MISSING_WORDS]
        self.labels = [labels[i] for i in considered]
        self.counts = counts[considered]
        self.sample = self.labels[:: max(1, len(considered) // _SAMPLE)]

    def may_be(self, is_likely: Callable[[str], object]) -> bool:
        """Whether enough of the sample looks right; if not, the other labels need not be read."""
        n_unlikely = sum(not is_likely(text) for text in self.sample)
        n_allowed = 2 * (1 - MIN_READABLE) * len(self.sample)
        if len(self.sample) >= _MIN_SENTINEL_LEVELS:
            n_allowed = max(n_allowed, _MAX_SENTINELS)
        return n_unlikely <= n_allowed

    def readable_share(self, is_readable: np.ndarray) -> tuple[float, tuple[str, ...]]:
        """Return the share of readable rows, and the words of the others if they are few.

        The share is 1 if those few words stand for a missing value.
        """
        others = [self.labels[i] for i in np.flatnonzero(~is_readable)]
        share = self.counts[is_readable].sum() / max(1, self.counts.sum())
        if len(others) > _MAX_SENTINELS or any(re.search("[1-9]", text) for text in others):
            return share, ()
        if share < _MIN_SENTINEL_READABLE or np.count_nonzero(is_readable) < _MIN_SENTINEL_LEVELS:
            return share, tuple(others) if share >= MIN_READABLE else ()
        return 1.0, tuple(others)


def find_format(labels: Sequence[str], counts: np.ndarray) -> TextFormat | None:
    """Return how to read text, or None if it holds neither numbers nor dates nor spans of time.

    `labels` are distinct; `counts` are the rows of each.
    """
    levels = _Levels(labels, counts)
    if not levels.labels:
        return None
    for find in (_find_numbers, _find_moments, _find_units, _find_spans):
        if (found := find(levels)) is not None:
            return found
    return None


def _find_numbers(levels: _Levels) -> TextFormat | None:
    is_truth = np.array([text in _TRUTH_OR_INFINITE for text in levels.labels])
    if is_truth.all() or not levels.may_be(lambda text: text in _TRUTH_OR_INFINITE or _NUMBER_LIKE.fullmatch(text)):
        return None
    for style in ("plain", "grouped", "decimal comma"):
        is_readable = ~np.isnan(read_numbers(levels.labels, style))
        share, sentinels = levels.readable_share(is_readable | is_truth)
        if share >= MIN_READABLE and not is_truth[is_readable].all():
            return TextFormat("number", style, sentinels)
    return None


def _find_units(levels: _Levels) -> TextFormat | None:
    """Return a format of numbers with a unit, or with factors such as k and M."""
    if not levels.may_be(split_unit):
        return None
    parts = [split_unit(text) for text in levels.labels]
    rows: dict[str, int] = {}
    for part, count in zip(parts, levels.counts.tolist(), strict=True):
        if part is not None:
            rows[part[1]] = rows.get(part[1], 0) + count
    if not (units := {unit: count for unit, count in rows.items() if unit != "|"}):
        return None
    common = max(units, key=lambda unit: units[unit])
    before = common.partition("|")[0]
    suffixes = {after for (start, _, after) in (unit.partition("|") for unit in units) if start in ("", before)}
    # m alone may be metres or minutes; beside k it is a million.
    if suffixes - {""} <= set(MAGNITUDES) and suffixes - {"", "m"}:
        common = f"{before}|×"
    for style in ("grouped", "decimal comma"):
        share, sentinels = levels.readable_share(~np.isnan(read_numbers(levels.labels, f"{style}|{common}")))
        if share >= MIN_READABLE:
            return TextFormat("number", f"{style}|{common}", sentinels)
    return None


def _find_moments(levels: _Levels) -> TextFormat | None:
    if levels.may_be(_CLOCK_LIKE.fullmatch):
        share, sentinels = levels.readable_share(~np.isnat(read_moments(levels.labels, TIME_OF_DAY)))
        if share >= MIN_READABLE:
            return TextFormat("datetime", TIME_OF_DAY, sentinels)
    if not levels.may_be(lambda text: len(text) < 40 and _DATE_LIKE.search(text)):
        return None
    styles = _guessed_styles(levels.sample)
    n_readable = [np.count_nonzero(~np.isnat(read_moments(levels.sample, style))) for style in styles]
    best: tuple[float, tuple[str, ...], str] = (0.0, (), "")
    shares: dict[str, float] = {}
    for i in np.argsort(-np.array(n_readable), kind="stable"):
        if n_readable[i] < max(n_readable):
            break
        share, sentinels = levels.readable_share(~np.isnat(read_moments(levels.labels, styles[i])))
        shares[styles[i]] = share
        if share > best[0]:
            best = (share, sentinels, styles[i])
    share, sentinels, style = best
    if share < MIN_READABLE:
        return None
    other = _swapped(style)
    is_ambiguous = shares.get(other) == share and not np.array_equal(
        read_moments(levels.labels, style), read_moments(levels.labels, other), equal_nan=True
    )
    return TextFormat("datetime", style, sentinels, is_ambiguous)


def _guessed_styles(sample: Sequence[str]) -> list[str]:
    styles = ["ISO8601"]
    dated = [text for text in sample if re.search(r"\d", text)]
    for text in dated[:5]:
        # Dates with dots have the day first nearly everywhere.
        for dayfirst in (True, False) if re.search(r"\d\.\d", text) else (False, True):
            # If the year comes first, pandas warns that dayfirst has no effect.
            with ignored_warnings():
                guess = guess_datetime_format(text, dayfirst=dayfirst)
            if guess is None and _SHORT_YEAR.fullmatch(text):
                guess = "%d/%m/%y" if dayfirst else "%m/%d/%y"
            if guess is not None and guess not in styles:
                styles.append(guess)
    return styles


def _swapped(style: str) -> str:
    """Return the format with day and month exchanged, or an empty text if their order is clear."""
    match = re.match(r"(%[dm])(.)(%[dm])", style)
    return f"{match[3]}{match[2]}{match[1]}{style[5:]}" if match else ""


def _find_spans(levels: _Levels) -> TextFormat | None:
    if not levels.may_be(lambda text: len(text) < 40 and _SPAN_LIKE.fullmatch(text)):
        return None
    share, sentinels = levels.readable_share(~np.isnan(read_spans(levels.labels)))
    # Playing cards (5h, 7d) and sizes look alike, so some labels must have two parts or a word.
    is_clear = any(re.search(r"\d\D+\d|[A-Za-z]{3}", text) for text in levels.labels if text not in sentinels)
    return TextFormat("timedelta", "timedelta", sentinels) if share >= MIN_READABLE and is_clear else None
