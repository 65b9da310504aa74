"""The kinds of a table's columns, decided once, and every later table brought into the same form.

``Schema.fit`` looks at all training rows; ``Schema.clean`` then works row by row.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypedDict

import numpy as np
import pandas as pd

from autometa._support.user_warnings import warn_user
from autometa.tables.formats import TextFormat, find_format
from autometa.tables.levels import fit_levels, match_levels
from autometa.tables.reading import (
    Labels,
    as_labels,
    as_moments,
    as_numbers,
    column_of,
    column_type,
    comes_with_zone,
    moments_of,
    numbers_of,
    typed_moments,
    typed_numbers,
    typed_spans,
)
from autometa.tables.values import GAP_WORDS, loose_label, span_seconds

Kind = Literal["number", "timedelta", "datetime", "category", "text"]

_CHUNK_CELLS = 2**22
_LARGEST = 1e30
"""Larger float32 values overflow in sums and products; they are cut to this."""
_MIN_FLOAT32_STEPS = 1e5
"""A column keeps float64 if float32 leaves it fewer distinct steps over its range."""
_MAX_NAMED = 5
"""Columns named in a message."""

_MAX_LEVELS = 30
"""Text of at most this many distinct values is a category."""
_MIN_ROWS_PER_LEVEL = 10
_MAX_WORDS = 4
"""Above `_MAX_LEVELS`, text is a category while it repeats itself and is short on average."""
_MIN_ROWS_FOR_IDENTIFIER = 30
_IDENTIFIER = re.compile(r"[0-9a-fA-F]{16,}|\{?[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\}?")


class _Format(TypedDict):
    """How ``as_numbers`` and ``as_moments`` are to read text."""

    style: str
    missing: Collection[str]


@dataclass(frozen=True)
class Schema:
    """Kinds of the columns of a training frame.

    Only kinds and names of levels are learnt from all training rows; whatever weighs values
    (frequencies, means, scales) is learnt inside each fold.

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
        Levels of each categorical column, kept as int32 positions in this list:
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
        Columns without use, and why.
    """

    columns: list[str] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    precise: list[str] = field(default_factory=list)
    moments: list[str] = field(default_factory=list)
    categories: dict[str, list[str]] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)
    formats: dict[str, str] = field(default_factory=dict)
    missing: dict[str, list[str]] = field(default_factory=dict)
    zoned: dict[str, bool] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)

    @classmethod
    def fit(cls, X: pd.DataFrame) -> Schema:
        """Return the kinds of the columns of `X`, a frame from ``as_frame``.

        Raises
        ------
        ValueError
            If no column can be used.
        """
        schema = cls(columns=list(X.columns))
        plain = _plain_numbers(X)
        for start in range(0, len(plain), step := max(1, _CHUNK_CELLS // len(X))):
            chunk = plain[start : start + step]
            schema._add_numbers([schema.columns[i] for i in chunk], X.iloc[:, chunk].to_numpy(dtype=np.float64))
        ambiguous: list[str] = []
        for i in sorted(set(range(X.shape[1])) - set(plain)):
            schema._add(schema.columns[i], column_of(X, i), ambiguous)
        schema._note_zones(X)
        if len(schema.dropped) == len(schema.columns):
            named = [f"{name!r} ({reason})" for name, reason in list(schema.dropped.items())[:_MAX_NAMED]]
            raise ValueError(
                f"X has no usable column: {', '.join(named)}{', …' if len(schema.dropped) > _MAX_NAMED else ''}. "
                "Pass at least one column whose values differ between rows."
            )
        if ambiguous:
            warn_user(
                f"The dates in {_listing(ambiguous)} make sense with the day first and with the month first; they are "
                "read with the month first, between dots with the day first. To say which it is, and to silence this, "
                "pass dates instead of text in fit and in predict: pd.to_datetime(column, dayfirst=True), or False.",
            )
        return schema

    @property
    def kinds(self) -> dict[str, Kind]:
        """Kind of each used column, in the order of the cleaned frame."""
        kinds: dict[str, Kind] = {
            name: "timedelta" if self.formats.get(name) == "timedelta" else "number"
            for name in self.numbers + self.precise
        }
        kinds.update(dict.fromkeys(self.moments, "datetime"))
        kinds.update(dict.fromkeys(self.categories, "category"))
        kinds.update(dict.fromkeys(self.texts, "text"))
        return kinds

    def clean(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the used columns of `X`, matched by name, each in the form of its kind.

        Parameters
        ----------
        X : DataFrame of shape (n_rows, n_columns)
            A frame from ``as_frame``; further columns and the order of columns do not matter.

        Returns
        -------
        DataFrame of shape (n_rows, len(kinds))
            Numbers, precise numbers, moments, categories, texts. Values that cannot be read as
            what they were at fit time, and infinities, are missing.

        Raises
        ------
        ValueError
            If a used column is missing.
        """
        self._check_names(X)
        index = {name: i for i, name in enumerate(X.columns)}
        lost: list[str] = []
        unclear: list[str] = []
        shifted: list[str] = []
        blocks = [
            self._number_block(X, index, self.numbers, np.float32, lost),
            self._number_block(X, index, self.precise, np.float64, lost),
            self._moment_block(X, index, lost, shifted),
            self._category_block(X, index, lost, unclear),
            self._text_block(X, index),
        ]
        _warn_of(lost, unclear, shifted)
        return pd.concat([block for block in blocks if block.shape[1]], axis=1)

    # The methods below are used while the schema is being built or applied.

    def _add_numbers(self, names: list[str], block: np.ndarray) -> None:
        """Sort float64 columns into numbers, precise numbers and dropped ones."""
        finite = np.isfinite(block)
        n_present = finite.sum(axis=0)
        low = np.where(finite, block, np.inf).min(axis=0)
        high = np.where(finite, block, -np.inf).max(axis=0)
        with np.errstate(invalid="ignore", over="ignore"):
            largest = np.maximum(np.abs(low), np.abs(high))
            is_precise = (
                (high - low < largest * 2.0**-24 * _MIN_FLOAT32_STEPS) | (largest < 1 / _LARGEST) | (largest > _LARGEST)
            )
        for name, present, is_constant, precise in zip(names, n_present, low == high, is_precise, strict=True):
            if present == 0:
                self.dropped[name] = "all values are missing"
            elif is_constant and present == len(block):
                self.dropped[name] = "constant"
            else:
                # A constant with gaps says only where the gaps are, whatever its size.
                (self.precise if precise and not is_constant else self.numbers).append(name)

    def _add(self, name: str, column: pd.Series, ambiguous: list[str]) -> None:
        """Decide the kind of a column that is no plain number."""
        match kind := column_type(column):
            case "number":
                self._add_numbers([name], typed_numbers(column)[:, None])
            case "timedelta":
                self.formats[name] = "timedelta"
                self._add_numbers([name], span_seconds(typed_spans(column))[:, None])
            case "datetime":
                self._add_moments(name, typed_moments(column))
            case _:
                self._add_text(name, as_labels(column, kind), ambiguous)

    def _add_moments(self, name: str, values: np.ndarray) -> None:
        present = values[~np.isnat(values)]
        if len(present) == 0:
            self.dropped[name] = "all values are missing"
        elif len(present) == len(values) and present.min() == present.max():
            self.dropped[name] = "constant"
        else:
            self.moments.append(name)

    def _note_zones(self, X: pd.DataFrame) -> None:
        for name in self.moments:
            has_zone = comes_with_zone(column_of(X, self.columns.index(name)))
            if has_zone is not None:
                self.zoned[name] = has_zone

    def _add_text(self, name: str, labels: Labels, ambiguous: list[str]) -> None:
        if not labels.levels:
            self.dropped[name] = "all values are missing"
        elif not labels.is_nominal and (found := find_format(labels.levels, labels.counts())) is not None:
            self._add_formatted(name, labels, found)
            if found.is_ambiguous:
                ambiguous.append(name)
        else:
            self._add_levels(name, fit_levels(labels))

    def _add_formatted(self, name: str, labels: Labels, found: TextFormat) -> None:
        """Add a column of text that holds numbers, dates or spans of time."""
        self.formats[name] = found.style
        if found.sentinels:
            self.missing[name] = list(found.sentinels)
        if found.kind == "datetime":
            self._add_moments(name, moments_of(labels, found.style))
        else:
            self._add_numbers([name], numbers_of(labels, found.style)[:, None])

    def _add_levels(self, name: str, labels: Labels) -> None:
        n_present = int(np.count_nonzero(labels.codes >= 0))
        if len(labels.levels) == 1 and n_present == len(labels.codes):
            self.dropped[name] = "constant"
        elif _is_identifier(labels.levels, len(labels.codes)):
            self.dropped[name] = "an identifier: another value in each row"
        elif _is_category(labels, n_present):
            # Sorted, so that the order of the rows does not show in the codes.
            self.categories[name] = sorted(labels.levels)
        else:
            self.texts.append(name)

    def _format(self, name: str, default: str) -> _Format:
        return {"style": self.formats.get(name, default), "missing": self.missing.get(name, ())}

    def _number_block(
        self, X: pd.DataFrame, index: dict[str, int], names: list[str], dtype: type[np.floating], lost: list[str]
    ) -> pd.DataFrame:
        where = [index[name] for name in names]
        plain = set(_plain_numbers(X, where))
        # A bare number is no span of time.
        is_plain = [i in plain and self.formats.get(name) != "timedelta" for i, name in zip(where, names, strict=True)]
        at_once = [j for j in range(len(names)) if is_plain[j]]
        block = np.empty((len(X), len(names)), dtype=dtype)
        with np.errstate(over="ignore"):
            if at_once:
                values = X.iloc[:, [where[j] for j in at_once]].to_numpy(dtype=dtype)
                block[:, slice(None) if len(at_once) == len(names) else at_once] = values
            for j in (j for j in range(len(names)) if not is_plain[j]):
                block[:, j], is_lost = as_numbers(column_of(X, where[j]), **self._format(names[j], "grouped"))
                lost += [names[j]] * is_lost
        _tame(block, X, where)
        return pd.DataFrame(block, columns=names)

    def _moment_block(
        self, X: pd.DataFrame, index: dict[str, int], lost: list[str], shifted: list[str]
    ) -> pd.DataFrame:
        block = np.empty((len(X), len(self.moments)), dtype="datetime64[us]")
        for j, name in enumerate(self.moments):
            column = column_of(X, index[name])
            block[:, j], is_lost = as_moments(column, **self._format(name, "ISO8601"))
            lost += [name] * is_lost
            if name in self.zoned and not np.isnat(block[:, j]).all():
                shifted += [name] * (comes_with_zone(column) is (not self.zoned[name]))
        return pd.DataFrame(block, columns=self.moments)

    def _category_block(
        self, X: pd.DataFrame, index: dict[str, int], lost: list[str], unclear: list[str]
    ) -> pd.DataFrame:
        block = np.empty((len(X), len(self.categories)), dtype=np.int32)
        for j, (name, levels) in enumerate(self.categories.items()):
            match = match_levels(as_labels(column_of(X, index[name])), levels)
            block[:, j] = match.codes
            unclear += [name] * match.is_unclear
            lost += [name] * (match.is_lost and not match.is_unclear)
        return pd.DataFrame(block, columns=list(self.categories))

    def _text_block(self, X: pd.DataFrame, index: dict[str, int]) -> pd.DataFrame:
        block = np.empty((len(X), len(self.texts)), dtype=object)
        for j, name in enumerate(self.texts):
            block[:, j] = _as_text(as_labels(column_of(X, index[name])))
        return pd.DataFrame(block, columns=self.texts, dtype=object)

    def _check_names(self, X: pd.DataFrame) -> None:
        used = set(self.columns) - set(self.dropped)
        missing = sorted(used - set(X.columns))
        if missing:
            listing = "".join(f"- {name}\n" for name in missing[:_MAX_NAMED]) + (
                "- ...\n" if len(missing) > _MAX_NAMED else ""
            )
            raise ValueError(
                "The feature names should match those that were passed during fit.\n"
                f"Feature names seen at fit time, yet now missing:\n{listing}"
            )


def _plain_numbers(X: pd.DataFrame, where: Sequence[int] | None = None) -> list[int]:
    """Return the positions of columns with a numpy type of numbers, which are read at once."""
    dtypes = list(X.dtypes)
    considered = range(len(dtypes)) if where is None else where
    return [i for i in considered if isinstance(dtypes[i], np.dtype) and dtypes[i].kind in "biuf"]


def _as_text(labels: Labels) -> np.ndarray:
    texts = [text if text[0] not in "0+-" else loose_label(text) for text in labels.levels]
    if not GAP_WORDS.isdisjoint(texts):
        texts = ["" if text in GAP_WORDS else text for text in texts]
    return np.array([*texts, ""], dtype=object)[labels.codes]


def _is_category(labels: Labels, n_present: int) -> bool:
    n_levels = len(labels.levels)
    if n_levels <= _MAX_LEVELS:
        return True
    mean_words = float(np.mean([level.count(" ") + 1 for level in labels.levels]))
    if labels.is_nominal:
        return n_levels < 0.5 * n_present or mean_words < 2
    return n_levels * _MIN_ROWS_PER_LEVEL <= n_present and mean_words <= _MAX_WORDS


def _is_identifier(levels: Sequence[str], n_rows: int) -> bool:
    """Whether every row has another value, all of a form that only machines give: hashes, numbered keys."""
    if len(levels) < n_rows or n_rows < _MIN_ROWS_FOR_IDENTIFIER:
        return False
    if all(_IDENTIFIER.fullmatch(level) for level in levels):
        return True
    stem = re.fullmatch(r"([A-Za-z_#:.\-]*?)\d+", levels[0])
    if stem is None:
        return False
    numbered = re.compile(re.escape(stem[1]) + r"\d+")
    return all(numbered.fullmatch(level) for level in levels)


def _tame(block: np.ndarray, X: pd.DataFrame, where: Sequence[int]) -> None:
    """Make infinities missing in place; finite numbers too large for float32 are cut instead."""
    infinite = np.isinf(block)
    for j in map(int, np.flatnonzero(infinite.any(axis=0))):
        column = X.iloc[:, where[j]]
        is_plain = isinstance(column.dtype, np.dtype) and column.dtype.kind == "f"
        # Whatever is no plain number was read as finite or missing.
        was_finite = np.isfinite(column.to_numpy()) if is_plain else True
        cut = np.where(was_finite, np.sign(block[:, j]) * _LARGEST, np.nan)
        block[:, j] = np.where(infinite[:, j], cut, block[:, j])


def _warn_of(lost: Sequence[str], unclear: Sequence[str], shifted: Sequence[str]) -> None:
    """Say what got lost on the way into ``Schema.clean``."""
    if lost:
        warn_user(
            f"Most values of {_listing(lost)} cannot be read as what they were at fit time and count as missing (in a "
            "category: as levels never seen). Give these columns the types that they had in the training table; "
            "warnings.filterwarnings('ignore', 'Most values of') silences this.",
        )
    if unclear:
        warn_user(
            f"Numbers in {_listing(unclear)} stand for several levels, which differ in leading zeros (007 and 7) or in "
            "digits that a float does not hold: they count as the level that is written like them, else as a new one. "
            "Read the column as text, e.g. with pd.read_csv(..., dtype={'column': str}), to tell them apart and to "
            "silence this.",
        )
    if shifted:
        warn_user(
            f"Times in {_listing(shifted)} came with a time zone either in fit or now, and times without one count as "
            "UTC. Give them their zone in both, e.g. with column.dt.tz_localize('Europe/Paris'), which silences this.",
        )


def _listing(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:_MAX_NAMED]) + (", …" if len(names) > _MAX_NAMED else "")
