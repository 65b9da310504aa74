"""Read the tables, columns and names that the command line gives, and check where results are written."""

# Tests: tests/test_cli.py

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from autometa._support.delimited import COMPRESSED, read_delimited
from autometa._support.hints import did_you_mean
from autometa._support.imports import import_optional

if TYPE_CHECKING:
    import pandas as pd


def read_table(
    file: Path, separator: str | None = None, decimal: str | None = None, as_text: Collection[str] = ()
) -> pd.DataFrame:
    """Return the table in a file.

    Parameters
    ----------
    file : Path
        A text file, which may be compressed, or Parquet.
    separator, decimal : str, optional
        Separator of the fields and decimal mark of a text file; found in the file unless given.
    as_text : collection of str
        Columns of a text file that stay as they are written, such as the key ``007``.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is not there, is of another kind, or cannot be read.
    """
    suffixes = [suffix.lower() for suffix in file.suffixes]
    kind = next((suffix for suffix in reversed(suffixes) if suffix not in COMPRESSED), "")
    if kind not in (".csv", ".tsv", ".txt", ".parquet", ".pq"):
        raise ValueError(
            f"{file} is not a kind of table that can be read: expected .csv, .tsv (also compressed, e.g. .csv.gz) "
            "or .parquet."
        )
    if not file.is_file():
        others = os.listdir(file.parent) if file.parent.is_dir() else []
        raise FileNotFoundError(f"There is no file {file}.{did_you_mean(file.name, others, n=3)}")
    if kind in (".parquet", ".pq"):
        import_optional("pyarrow", extra="meta")
        import pandas as pd

        try:
            return pd.read_parquet(file)
        except (ValueError, OSError) as error:
            raise ValueError(f"{file} cannot be read as Parquet: {error}") from error
    try:
        return read_delimited(file, separator=separator, decimal=decimal, as_text=as_text)
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is neither UTF-8 nor UTF-16 text ({error.reason}). Save it as UTF-8.") from error
    except (ValueError, OSError) as error:
        raise ValueError(f"{file} cannot be read as a table: {error}") from error


def column_of(table: pd.DataFrame, name: str, option: str) -> pd.Series:
    """Return the column that an option names.

    Raises
    ------
    ValueError
        If the table has no such column.
    """
    if name not in table.columns:
        shown = ", ".join(map(str, table.columns[:10])) + (", …" if table.shape[1] > 10 else "")
        hint = did_you_mean(name, map(str, table.columns), n=3) or f" It has: {shown}."
        raise ValueError(f"{option} {name!r} is not a column of the table.{hint}")
    return table[name]


def names_in(file: Path) -> list[str]:
    """Return the names in a text file, one per line; # begins a comment."""
    lines = (line.split("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def check_destination(file: Path) -> None:
    """Raise OSError if a file cannot be written, before any work is done."""
    if file.is_dir():
        raise IsADirectoryError(f"{file} is a folder; name a file.")
    folder = file.parent
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder} to write {file.name} to.")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"The folder {folder} cannot be written to.")
