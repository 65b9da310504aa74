"""The interface of a kind of column: recognise a column at fit, read it later, and encode it for the two views."""

# Tests: tests/tables/test_kinds.py

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np
import pandas as pd

from autometa.tables.formats import TextFormat, find_format
from autometa.tables.reading import ColumnType, Labels, as_labels, column_of, column_type
from autometa.tables.schema import Schema
from autometa.tables.view import View


class TrainingColumn:
    """One column of a training frame; its labels and its format are computed when needed."""

    def __init__(self, name: str, values: pd.Series) -> None:
        self.name = name
        self.values = values

    @cached_property
    def type(self) -> ColumnType:
        """The kind of the values by their type alone."""
        return column_type(self.values)

    @cached_property
    def labels(self) -> Labels:
        """The values as labels."""
        return as_labels(self.values, self.type)

    @cached_property
    def format(self) -> TextFormat | None:
        """Format of text that holds numbers, dates or spans of time; None for everything else."""
        if self.type in ("number", "datetime", "timedelta") or self.labels.is_nominal:
            return None
        return find_format(self.labels.levels, self.labels.counts())


@dataclass
class IncomingTable:
    """A table that is being cleaned, and the columns to warn about."""

    frame: pd.DataFrame
    lost: list[str] = field(default_factory=list)
    """Columns most of whose values cannot be read."""
    unclear: list[str] = field(default_factory=list)
    """Categories in which a number stands for several levels."""
    shifted: list[str] = field(default_factory=list)
    """Moments that came with a time zone only at fit, or only now."""

    def __post_init__(self) -> None:
        self.index = {name: i for i, name in enumerate(self.frame.columns)}

    def column(self, name: str) -> pd.Series:
        """Return a column."""
        return column_of(self.frame, self.index[name])


class Encoder(Protocol):
    """Fitted columns of one kind in one view, beside the measured ones."""

    names: list[str]
    worth: np.ndarray
    """Usefulness of each column; a table that is too wide loses the columns with the least."""
    sizes: np.ndarray
    """Number of category codes of each column; 0 for numbers."""

    def keep(self, mask: np.ndarray) -> None:
        """Restrict the columns to those of `mask`."""
        ...

    def write(self, block: np.ndarray, out: np.ndarray) -> None:
        """Write the columns of rows into `out`, (n_rows, n_columns)."""
        ...


class ColumnKind(ABC):
    """One kind of column; its columns in a cleaned table are one array, its *block*."""

    field: ClassVar[str]
    """Field of ``Schema`` that lists its columns, and key of its block."""
    dtype: ClassVar[Any]
    """Type of its block."""

    def names(self, schema: Schema) -> list[str]:
        """Return the names of its columns."""
        return list(getattr(schema, self.field))

    @abstractmethod
    def recognise(self, column: TrainingColumn, schema: Schema) -> bool:
        """Add a column of this kind to the schema, or drop it there; return False if it is of another kind."""

    @abstractmethod
    def read(self, table: IncomingTable, schema: Schema) -> np.ndarray:
        """Return its block, (n_rows, n_columns)."""

    def is_missing(self, block: np.ndarray) -> np.ndarray:
        """Return a mask of the missing values of its block."""
        return np.isnan(block)

    @abstractmethod
    def most_columns(self, schema: Schema) -> int:
        """Return about how many columns it has in the numeric view, the wider one, at most."""

    @abstractmethod
    def fit_measures(self, block: np.ndarray, schema: Schema, is_cyclic: bool) -> tuple[list[str], Any]:
        """Return the names of what ``measure`` gives, and the plain values that it learns from training rows."""

    @abstractmethod
    def measure(self, block: np.ndarray, learnt: Any, is_cyclic: bool) -> np.ndarray:
        """Return the measured columns of both views, float32 with NaN where missing."""

    def fit_encoder(self, block: np.ndarray, schema: Schema, view: View, rng: np.random.Generator) -> Encoder | None:
        """Return its columns of one view, learnt from training rows; None for a kind that is only measured."""
        return None

    def saved_types(self) -> tuple[type, ...]:
        """Return the classes of its encoders and of their parts, which saved models hold.

        They must run no code on loading, whatever attributes a file gives to their objects.
        """
        return ()
