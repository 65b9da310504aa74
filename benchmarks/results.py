"""Result files: CSV tables that grow row by row, so that a stopped run can be resumed."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd


def read_results(path: Path) -> pd.DataFrame:
    """Return the rows measured so far; no rows if there is no file."""
    return pd.read_csv(path) if path.exists() and path.stat().st_size else pd.DataFrame()


def append_row(path: Path, fields: Sequence[str], row: Mapping[str, Any]) -> None:
    """Append a row to a result file; missing fields stay empty.

    Raises
    ------
    ValueError
        If the row has another field, or the file has other columns.
    """
    is_new = not path.exists() or not path.stat().st_size
    if not is_new:
        with path.open(newline="", encoding="utf-8") as lines:
            found = next(csv.reader(lines))
        if found != list(fields):
            raise ValueError(f"{path} has other columns ({found}) than this version writes; use another file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, fieldnames=list(fields))
        if is_new:
            writer.writeheader()
        writer.writerow({name: _rounded(value) for name, value in row.items()})


def _rounded(value: Any) -> Any:
    return float(f"{value:.8g}") if isinstance(value, float) else value
