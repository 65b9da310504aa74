"""Columns of categories: indices of levels, encoded as codes for trees and as 0/1 columns for the numeric view."""

# Tests: tests/tables/test_kinds.py

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from autometa.tables.column_kind import ColumnKind, Encoder, IncomingTable, TrainingColumn
from autometa.tables.levels import fit_levels, match_levels
from autometa.tables.reading import Labels, as_labels
from autometa.tables.schema import IDENTIFIER, Schema
from autometa.tables.view import View

_MAX_LEVELS = 30
"""Text of at most this many distinct values is a category."""
_MIN_ROWS_PER_LEVEL = 10
_MAX_WORDS = 4
"""Above `_MAX_LEVELS`, text is a category if each level has `_MIN_ROWS_PER_LEVEL` rows and `_MAX_WORDS` on average."""
_MIN_ROWS_FOR_IDENTIFIER = 30
_IDENTIFIER = re.compile(r"[0-9a-fA-F]{16,}|\{?[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\}?")

_MAX_CODES = 255
"""HistGradientBoosting and LightGBM accept no more values of a category."""
_FEW_LEVELS = 30
"""Categories with more levels than this have a code for other levels and a column for the frequency of the level."""
_MAX_ONE_HOT = 24
"""Levels of a category with a 0/1 column of their own, at most."""
_RARE_SHARE = 0.001
_MAX_RARE = 20
"""A level is rare in fewer rows than `_RARE_SHARE` of all, at least 2 and at most `_MAX_RARE`."""


class Categories(ColumnKind):
    """Categories as int32 indices of their levels: −1 where missing, the number of levels where unseen."""

    field = "categories"
    dtype = np.int32

    def recognise(self, column: TrainingColumn, schema: Schema) -> bool:
        labels = fit_levels(column.labels)
        n_present = int(np.count_nonzero(labels.codes >= 0))
        if not labels.levels:
            schema.dropped[column.name] = "all values are missing"
        elif len(labels.levels) == 1 and n_present == len(labels.codes):
            schema.dropped[column.name] = "constant"
        elif _is_identifier(labels.levels, len(labels.codes)):
            schema.dropped[column.name] = IDENTIFIER
        elif _is_category(labels, n_present):
            # Sorted, so that the order of the rows does not show in the codes.
            schema.categories[column.name] = sorted(labels.levels)
        else:
            return False
        return True

    def read(self, table: IncomingTable, schema: Schema) -> np.ndarray:
        block = np.empty((len(table.frame), len(schema.categories)), dtype=self.dtype, order="F")
        for j, (name, levels) in enumerate(schema.categories.items()):
            match = match_levels(as_labels(table.column(name)), levels)
            block[:, j] = match.codes
            table.unclear += [name] * match.is_unclear
            table.lost += [name] * (match.is_lost and not match.is_unclear)
        return block

    def is_missing(self, block: np.ndarray) -> np.ndarray:
        return block < 0

    def most_columns(self, schema: Schema) -> int:
        return sum(min(len(levels), _MAX_ONE_HOT) + 4 for levels in schema.categories.values())

    def fit_measures(self, block: np.ndarray, schema: Schema, is_cyclic: bool) -> tuple[list[str], Any]:
        """Learn the logarithm of the count of each level of the larger categories, by index of the category.

        The last two entries of a table are for unseen levels, which count like a level seen once, and for
        missing values.
        """
        tables, names = {}, []
        for j, (name, levels) in enumerate(schema.categories.items()):
            if len(levels) > _FEW_LEVELS:
                counts = np.bincount(block[:, j] + 1, minlength=len(levels) + 1)
                tables[j] = np.log(np.maximum([*counts[1:], 1, counts[0]], 1)).astype(np.float32)
                names.append(f"{name} frequency")
        return names, tables

    def measure(self, block: np.ndarray, learnt: dict[int, np.ndarray], is_cyclic: bool) -> np.ndarray:
        columns = [table[block[:, j]] for j, table in learnt.items()]
        return np.stack(columns, axis=1) if columns else np.empty((len(block), 0), dtype=np.float32)

    def fit_encoder(self, block: np.ndarray, schema: Schema, view: View, rng: np.random.Generator) -> Encoder:
        levels, names = list(schema.categories.values()), list(schema.categories)
        return CategoryCodes(block, levels, names) if view == "tree" else OneHot(block, levels, names)

    def saved_types(self) -> tuple[type, ...]:
        return CategoryCodes, OneHot


class CategoryCodes:
    """Codes by descending frequency for each category, float32 with NaN where missing.

    In a category of more than 30 levels, one more code stands for levels seen once, levels beyond the 254
    most frequent ones, and levels unseen in training. In smaller categories an unseen level is missing.

    Parameters
    ----------
    codes : ndarray of shape (n_rows, n_categories), int32
        Indices of the training rows' levels; −1 where missing.
    levels : list of list of str
        Levels of each category in the schema.
    names : list of str
        Name of each category.
    """

    def __init__(self, codes: np.ndarray, levels: list[list[str]], names: list[str]) -> None:
        self._columns: list[int] = []
        self._tables: list[np.ndarray] = []
        self.names: list[str] = []
        sizes, present = [], []
        for j, size in enumerate(map(len, levels)):
            counts = np.bincount(codes[:, j] + 1, minlength=size + 1)
            n_missing, counts = int(counts[0]), counts[1:]
            ranked = _by_frequency(counts)
            if len(ranked) + (n_missing > 0) < 2:
                continue
            named = ranked
            if len(ranked) > _FEW_LEVELS:
                named = ranked[counts[ranked] > 1][: _MAX_CODES - 1]
            has_other = len(ranked) > _FEW_LEVELS
            table = np.full(size + 2, np.nan, dtype=np.float32)
            if has_other:
                table[:-1] = len(named)
            table[named] = np.arange(len(named))
            self._columns.append(j)
            self._tables.append(table)
            self.names.append(names[j])
            sizes.append(len(named) + has_other)
            present.append(1 - n_missing / max(1, len(codes)))
        self.sizes = np.array(sizes, dtype=np.int64)
        self.worth = np.array(present, dtype=np.float64)

    def keep(self, mask: np.ndarray) -> None:
        """Restrict the columns to those of `mask`."""
        chosen = np.flatnonzero(mask)
        self._columns = [self._columns[i] for i in chosen]
        self._tables = [self._tables[i] for i in chosen]
        self.names = [self.names[i] for i in chosen]
        self.sizes, self.worth = self.sizes[mask], self.worth[mask]

    def write(self, codes: np.ndarray, out: np.ndarray) -> None:
        """Write the columns of rows into `out`, (n_rows, n_columns)."""
        for k, (j, table) in enumerate(zip(self._columns, self._tables, strict=True)):
            out[:, k] = table[codes[:, j]]


class OneHot:
    """A 0/1 column for each of the more frequent levels of each category; an unseen level has none.

    At most 24 levels of a category have their own column. In smaller categories the rare levels share one,
    two levels need only one column, and missing values have their own.

    Parameters
    ----------
    codes, levels, names
        As for ``CategoryCodes``.
    """

    def __init__(self, codes: np.ndarray, levels: list[list[str]], names: list[str]) -> None:
        self._tables: list[np.ndarray] = []
        self.names: list[str] = []
        worth: list[float] = []
        n_rows = max(1, len(codes))
        for j, labels in enumerate(levels):
            counts = np.bincount(codes[:, j] + 1, minlength=len(labels) + 1)
            n_missing, counts = int(counts[0]), counts[1:]
            ranked = _by_frequency(counts)
            table = np.full(len(labels) + 2, -1, dtype=np.int64)
            groups: list[tuple[str, np.ndarray]] = []
            if len(ranked) > _MAX_ONE_HOT:
                groups = [(labels[i], np.array([i])) for i in ranked[:_MAX_ONE_HOT]]
            elif len(ranked) == 2:
                groups = [(labels[ranked[1]], ranked[1:])]
            elif len(ranked) > 2:
                is_rare = counts[ranked] < min(_MAX_RARE, max(2.0, _RARE_SHARE * n_rows))
                groups = [(labels[i], np.array([i])) for i in ranked[~is_rare]]
                if is_rare.any():
                    groups.append(("rare", ranked[is_rare]))
            if n_missing and len(ranked):
                groups.append(("missing", np.array([len(labels) + 1])))
            for label, members in groups:
                table[members] = len(self.names)
                self.names.append(f"{names[j]}={label}")
                rows = n_missing if members[0] == len(labels) + 1 else int(counts[members].sum())
                worth.append(2 * min(rows, n_rows - rows) / n_rows)
            self._tables.append(table)
        self.worth = np.array(worth, dtype=np.float64)
        self.sizes = np.zeros(len(worth), dtype=np.int64)

    def keep(self, mask: np.ndarray) -> None:
        """Restrict the columns to those of `mask`."""
        index = np.append(np.where(mask, np.cumsum(mask) - 1, -1), -1)
        self._tables = [index[table] for table in self._tables]
        self.names = [name for name, kept in zip(self.names, mask, strict=True) if kept]
        self.worth, self.sizes = self.worth[mask], self.sizes[mask]

    def write(self, codes: np.ndarray, out: np.ndarray) -> None:
        """Write the columns of rows into `out`, (n_rows, n_columns)."""
        out[:] = 0
        for j, table in enumerate(self._tables):
            column = table[codes[:, j]]
            rows = np.flatnonzero(column >= 0)
            out[rows, column[rows]] = 1


def _by_frequency(counts: np.ndarray) -> np.ndarray:
    """Return the levels that occur by descending frequency; ties keep the order of the schema."""
    ranked = np.argsort(-counts, kind="stable")
    return ranked[counts[ranked] > 0]


def _is_category(labels: Labels, n_present: int) -> bool:
    n_levels = len(labels.levels)
    if n_levels <= _MAX_LEVELS:
        return True
    mean_words = float(np.mean([level.count(" ") + 1 for level in labels.levels]))
    if labels.is_nominal:
        return n_levels < 0.5 * n_present or mean_words < 2
    return n_levels * _MIN_ROWS_PER_LEVEL <= n_present and mean_words <= _MAX_WORDS


def _is_identifier(levels: Sequence[str], n_rows: int) -> bool:
    """Whether every row has a different value, and all look like hashes or numbered keys."""
    if len(levels) < n_rows or n_rows < _MIN_ROWS_FOR_IDENTIFIER:
        return False
    if all(_IDENTIFIER.fullmatch(level) for level in levels):
        return True
    stem = re.fullmatch(r"([A-Za-z_#:.\-]*?)\d+", levels[0])
    if stem is None:
        return False
    numbered = re.compile(re.escape(stem[1]) + r"\d+")
    return all(numbered.fullmatch(level) for level in levels)
