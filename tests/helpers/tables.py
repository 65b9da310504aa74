"""Cleaned tables and tasks made from plain columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from autometa.tables.clean_table import CleanTable
from autometa.tables.cleaning import clean, fit_schema
from autometa.tables.inputs import as_frame
from autometa.tables.schema import Schema
from autometa.tables.table_task import Task


def clean_table(columns: Any) -> CleanTable:
    """Return a table cleaned by a schema of its own."""
    frame = as_frame(columns if isinstance(columns, pd.DataFrame) else pd.DataFrame(columns))
    return clean(frame, fit_schema(frame))


def clean_frame(X: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return the cleaned rows of `X`, a frame from ``as_frame``, as a frame."""
    return clean(X, schema).frame()


def make_task(X: Any, y: Any, n_classes: int = 0, **more: Any) -> Task:
    """Return a task with these columns; without classes it is a regression."""
    y = np.asarray(y, dtype=np.int64 if n_classes else np.float64)
    problem = "regression" if not n_classes else "binary" if n_classes == 2 else "multiclass"
    return Task(clean_table(X), y, problem, n_classes, **more)  # type: ignore[arg-type]  # one of the three problems
