"""The identity of a study's table, as digests of its columns and of its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from autometa.tables.table_task import Task

# Largest number of rows whose features enter the digest; the targets of all rows do.
_MOST_ROWS = 2000


@dataclass(frozen=True)
class Identity:
    """Digests of a task, which are stored in a study instead of values.

    Parameters
    ----------
    task : dict
        Plain values that must be the same in every run of a study: problem, metric, columns.
    rows : str
        Digest of the rows with their targets, weights and groups; losses on other rows are not compared.
    """

    task: dict[str, Any]
    rows: str


def identify(task: Task, metric: str) -> Identity:
    """Return the identity of a task under a metric.

    Columns count by their names, in any order.
    """
    names = sorted(task.table.names)
    fixed = {"problem": task.problem, "metric": metric, "n_columns": len(names), "columns": _digest(map(repr, names))}
    some = np.linspace(0, task.n_rows - 1, min(task.n_rows, _MOST_ROWS)).astype(np.int64)
    parts = [task.y, *(part for part in (task.sample_weight, task.groups) if part is not None)]
    features = pd.util.hash_pandas_object(task.table.take(some).frame(), index=False).to_numpy()
    return Identity(fixed, _digest([*(_bytes(part) for part in parts), _bytes(features), str(task.n_rows)]))


def digests(task: Task) -> dict[str, str]:
    """Return a digest of each part of a task, from all of its rows; they are equal only if the parts are."""
    parts = {"sample_weight": task.sample_weight, "groups": task.groups, "the order of the rows in time": task.times}
    classes = [] if task.classes is None else task.classes.tolist()
    return {
        "the kinds of the columns of X": _digest([repr(task.table.schema)]),
        "X": _digest([_bytes(pd.util.hash_pandas_object(task.table.frame(), index=False).to_numpy())]),
        "y": _digest([_bytes(task.y), repr(classes)]),
        **{name: _digest([] if part is None else [_bytes(part)]) for name, part in parts.items()},
    }


def _bytes(values: np.ndarray) -> bytes:
    return np.ascontiguousarray(values).tobytes() if values.dtype != object else repr(values.tolist()).encode()


def _digest(parts: Iterable[bytes | str]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        encoded = part.encode() if isinstance(part, str) else part
        # The length keeps different lists of parts from giving the same bytes.
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()
