"""The kinds of a table's columns, decided once, and every later table brought into the same form.

``Schema.fit`` looks at all training rows; ``Schema.clean`` then works row by row.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from autometa.learners.reading import (
    Reading,
    find_moment_format,
    find_number_format,
    moment_labels,
    number_labels,
    read_column,
    read_moments,
    read_numbers,
    read_spans,
)

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
        −1 where missing, ``len(levels)`` for a level not in it.
    texts : list of str
        Free text, kept as `object` with the empty text where missing.
    formats : dict of str to str
        How a column that came as text is read: a style of numbers or a format of dates;
        ``"timedelta"`` for spans of time.
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
        for i in sorted(set(range(X.shape[1])) - set(plain)):
            schema._add(schema.columns[i], read_column(X.iloc[:, i]))
        if len(schema.dropped) == len(schema.columns):
            named = [f"{name!r} ({reason})" for name, reason in list(schema.dropped.items())[:_MAX_NAMED]]
            raise ValueError(
                f"X has no usable column: {', '.join(named)}{', …' if len(schema.dropped) > _MAX_NAMED else ''}. "
                "Pass at least one column whose values differ between rows."
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
        position = {name: i for i, name in enumerate(X.columns)}
        lost: list[str] = []
        blocks = [
            self._number_block(X, position, self.numbers, np.float32, lost),
            self._number_block(X, position, self.precise, np.float64, lost),
        ]
        moments = np.empty((len(X), len(self.moments)), dtype="datetime64[us]")
        for j, name in enumerate(self.moments):
            reading = read_column(X.iloc[:, position[name]])
            moments[:, j] = self._as_moments(name, reading)
            _note_loss(lost, name, reading, np.isnat(moments[:, j]))
        blocks.append(pd.DataFrame(moments, columns=self.moments))
        codes = np.empty((len(X), len(self.categories)), dtype=np.int32)
        for j, (name, levels) in enumerate(self.categories.items()):
            codes[:, j] = _as_codes(_as_text(read_column(X.iloc[:, position[name]])), levels)
        blocks.append(pd.DataFrame(codes, columns=list(self.categories)))
        texts = np.empty((len(X), len(self.texts)), dtype=object)
        for j, name in enumerate(self.texts):
            reading = _as_text(read_column(X.iloc[:, position[name]]))
            texts[:, j] = np.array([*reading.levels, ""], dtype=object)[reading.values]
        blocks.append(pd.DataFrame(texts, columns=self.texts, dtype=object))
        if lost:
            warnings.warn(
                f"Most values of {_listing(lost)} cannot be read as what they were at fit time and count as missing. "
                "Give these columns the types that they had in the training table.",
                stacklevel=3,
            )
        return pd.concat([block for block in blocks if block.shape[1]], axis=1)

    # What follows is used while the schema is being built or applied.

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

    def _add(self, name: str, reading: Reading) -> None:
        """Decide the kind of a column that is no plain number."""
        if reading.kind in ("number", "timedelta"):
            if reading.kind == "timedelta":
                self.formats[name] = "timedelta"
            self._add_numbers([name], reading.values[:, None])
        elif reading.kind == "datetime":
            self._add_moments(name, reading.values)
        else:
            self._add_text(name, reading)

    def _add_moments(self, name: str, values: np.ndarray) -> None:
        present = values[~np.isnat(values)]
        if len(present) == 0:
            self.dropped[name] = "all values are missing"
        elif len(present) == len(values) and present.min() == present.max():
            self.dropped[name] = "constant"
        else:
            self.moments.append(name)

    def _add_text(self, name: str, reading: Reading) -> None:
        present = reading.values[reading.values >= 0]
        counts = np.bincount(present, minlength=len(reading.levels))
        if len(present) == 0:
            self.dropped[name] = "all values are missing"
            return
        if not reading.nominal:
            if (style := find_number_format(reading.levels, counts)) is not None:
                self.formats[name] = style
                self._add_numbers([name], self._as_numbers(name, reading)[:, None])
                return
            if (style := find_moment_format(reading.levels, counts)) is not None:
                self.formats[name] = style
                self._add_moments(name, self._as_moments(name, reading))
                return
        if len(reading.levels) == 1 and len(present) == len(reading.values):
            self.dropped[name] = "constant"
        elif _is_identifier(reading.levels, len(reading.values)):
            self.dropped[name] = "an identifier: another value in each row"
        elif _is_category(reading, len(present)):
            # Sorted, so that the order of the rows does not show in the codes.
            self.categories[name] = sorted(reading.levels)
        else:
            self.texts.append(name)

    def _number_block(
        self, X: pd.DataFrame, position: dict[str, int], names: list[str], dtype: type[np.floating], lost: list[str]
    ) -> pd.DataFrame:
        where = [position[name] for name in names]
        plain = set(_plain_numbers(X, where))
        block = np.empty((len(X), len(names)), dtype=dtype)
        if plain:
            at_once = [j for j, i in enumerate(where) if i in plain]
            with np.errstate(over="ignore"):
                values = X.iloc[:, [where[j] for j in at_once]].to_numpy(dtype=dtype)
            block[:, slice(None) if len(at_once) == len(names) else at_once] = values
        for j, (i, name) in enumerate(zip(where, names, strict=True)):
            if i not in plain:
                reading = read_column(X.iloc[:, i])
                with np.errstate(over="ignore"):
                    block[:, j] = self._as_numbers(name, reading)
                _note_loss(lost, name, reading, np.isnan(block[:, j]))
        _tame(block, X, where)
        return pd.DataFrame(block, columns=names)

    def _as_numbers(self, name: str, reading: Reading) -> np.ndarray:
        if reading.kind in ("number", "timedelta"):
            return reading.values
        if reading.kind == "datetime":
            return np.full(len(reading.values), np.nan)
        style = self.formats.get(name, "grouped")
        numbers = read_spans(reading.levels) if style == "timedelta" else read_numbers(reading.levels, style)
        return np.append(numbers, np.nan)[reading.values]

    def _as_moments(self, name: str, reading: Reading) -> np.ndarray:
        if reading.kind == "datetime":
            return reading.values
        if reading.kind != "text":
            return np.full(len(reading.values), np.datetime64("NaT"), dtype="datetime64[us]")
        moments = read_moments(reading.levels, self.formats.get(name, "ISO8601"))
        return np.append(moments, np.datetime64("NaT"))[reading.values]

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


def _as_text(reading: Reading) -> Reading:
    if reading.kind in ("number", "timedelta"):
        return number_labels(reading.values)
    return moment_labels(reading.values) if reading.kind == "datetime" else reading


def _as_codes(reading: Reading, levels: Sequence[str]) -> np.ndarray:
    """Return positions in `levels`: −1 where missing, ``len(levels)`` for others."""
    if reading.levels == levels:
        return reading.values
    position = {level: i for i, level in enumerate(levels)}
    codes = [position.get(level, len(levels)) for level in reading.levels]
    return np.array([*codes, -1])[reading.values]


def _is_category(reading: Reading, n_present: int) -> bool:
    n_levels = len(reading.levels)
    if n_levels <= _MAX_LEVELS:
        return True
    mean_words = float(np.mean([level.count(" ") + 1 for level in reading.levels]))
    if reading.nominal:
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


def _note_loss(lost: list[str], name: str, reading: Reading, missing: np.ndarray) -> None:
    """Remember a column of which less than half of the present values could be read."""
    match reading.kind:
        case "text":
            present = reading.values >= 0
        case "datetime":
            present = ~np.isnat(reading.values)
        case _:
            present = ~np.isnan(reading.values)
    if np.count_nonzero(~missing) < 0.5 * np.count_nonzero(present):
        lost.append(name)


def _tame(block: np.ndarray, X: pd.DataFrame, where: Sequence[int]) -> None:
    """Make infinities missing in place; finite numbers too large for float32 are cut instead."""
    infinite = np.isinf(block)
    for j in map(int, np.flatnonzero(infinite.any(axis=0))):
        source = read_column(X.iloc[:, where[j]]).values
        was_finite = infinite[:, j] & np.isfinite(source.astype(np.float64)) if source.dtype.kind == "f" else False
        block[:, j] = np.where(
            infinite[:, j], np.where(was_finite, np.sign(block[:, j]) * _LARGEST, np.nan), block[:, j]
        )


def _listing(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:_MAX_NAMED]) + (", …" if len(names) > _MAX_NAMED else "")
