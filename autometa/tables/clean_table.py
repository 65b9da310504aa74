"""A cleaned table: one array for each kind of column, and the schema of the columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from autometa.tables.schema import Schema


@dataclass(frozen=True, eq=False)
class CleanTable:
    """Cleaned rows, from ``cleaning.clean``.

    Parameters
    ----------
    schema : Schema
        Kinds of the columns.
    blocks : dict of str to ndarray of shape (n_rows, n_columns)
        The columns of each kind by its field in `schema`, in the order of ``KINDS``. Columns are contiguous
        in memory, so that sums over rows are always rounded alike.
    """

    schema: Schema
    blocks: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.blocks.values())))

    @property
    def names(self) -> list[str]:
        """Names of the columns, kind by kind."""
        return [name for field in self.blocks for name in getattr(self.schema, field)]

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        return sum(block.shape[1] for block in self.blocks.values())

    def take(self, rows: np.ndarray) -> CleanTable:
        """Return the rows of these indices."""
        return CleanTable(self.schema, {field: block.T.take(rows, axis=1).T for field, block in self.blocks.items()})

    def take_columns(self, indices: Mapping[str, np.ndarray]) -> CleanTable:
        """Return the columns of each kind with these indices in its block, in this order."""
        columns: dict[str, Any] = {}
        for field, chosen in indices.items():
            members = getattr(self.schema, field)
            names = [list(members)[i] for i in chosen]
            columns[field] = {name: members[name] for name in names} if isinstance(members, dict) else names
        schema = replace(self.schema, columns=[name for names in columns.values() for name in names], **columns)
        blocks = {field: block.T.take(indices[field], axis=0).T for field, block in self.blocks.items()}
        return CleanTable(schema, blocks)

    def frame(self) -> pd.DataFrame:
        """Return the columns as a frame."""
        frames = [
            pd.DataFrame(block, columns=list(getattr(self.schema, field)), dtype=block.dtype)
            for field, block in self.blocks.items()
            if block.shape[1]
        ]
        return pd.concat(frames, axis=1)
