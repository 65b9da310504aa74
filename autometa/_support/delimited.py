"""Reads tables from text files; encoding, separator and decimal mark are detected."""

from __future__ import annotations

import bz2
import codecs
import contextlib
import csv
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from autometa._support.imports import import_optional

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = (",", "\t", ";", "|")
COMPRESSED = (".gz", ".bz2", ".xz", ".zip", ".zst")

# The csv module raises on fields above 2**17 characters, so no field of the sample is longer.
_SAMPLE_CHARACTERS = 2**17
_SAMPLE_BYTES = 4096
# UTF-32 comes first, because its mark begins like that of UTF-16.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DAMAGE = (EOFError, lzma.LZMAError, zlib.error, zipfile.BadZipFile)

_EXCEL_HINT = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+)([.,]\d+)?([eE][+-]?\d+)?")
_COMMA_DECIMAL = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+),\d+")
_COMMA_GROUP = re.compile(r"[+-]?\d{1,3},\d{3}")
_COMMAS = re.compile(r"[+-]?\d+(,\d+){2,}")
_POINT_DECIMAL = re.compile(r"[+-]?\d*\.\d+([eE][+-]?\d+)?")
_POINT_GROUP = re.compile(r"[+-]?\d{1,3}(\.\d{3})+")
_WITH_POINT_GROUPS = r"[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?"


@dataclass(frozen=True)
class TextForm:
    """How a table is written as text.

    Parameters
    ----------
    separator : str
        Character between two fields.
    decimal : str
        ``"."`` or ``","``.
    n_skipped : int
        Number of lines before the header; Excel may write ``sep=;``.
    has_spaces : bool
        Whether a space follows each separator.
    has_end : bool
        Whether each row, but not the header, ends with a separator.
    n_columns : int
        Number of fields in the header.
    """

    separator: str = ","
    decimal: str = "."
    n_skipped: int = 0
    has_spaces: bool = False
    has_end: bool = False
    n_columns: int = 0


def read_delimited(
    file: Path,
    *,
    separator: str | None = None,
    decimal: str | None = None,
    as_text: Collection[str] = (),
    **options: Any,
) -> pd.DataFrame:
    """Return the table in a text file, which may be compressed.

    Parameters
    ----------
    file : Path
        UTF-8 or UTF-16, with or without a byte order mark, or UTF-32 with one.
    separator, decimal : str, optional
        Detected unless given.
    as_text : collection of str
        Columns that stay as they are written, such as the key ``007``.
    **options
        Passed on to ``pandas.read_csv``.

    Raises
    ------
    UnicodeDecodeError
        If the text has another encoding.
    ValueError, OSError
        If the file cannot be read as a table.
    """
    import pandas as pd

    if as_text:
        options["dtype"] = dict.fromkeys(as_text, str)
    with _damage_as_error():
        with _opened(file) as stream:
            encoding = _encoding(stream.read(_SAMPLE_BYTES))
        with _opened(file) as stream, io.TextIOWrapper(stream, encoding, newline="") as text:
            sample, is_cut = text.read(_SAMPLE_CHARACTERS), bool(text.read(1))
        candidates = _candidates(file, sample) if separator is None else (separator,)
        form = find_form(sample, is_cut=is_cut, candidates=candidates)
        with _opened(file) as stream, io.TextIOWrapper(stream, encoding, newline="") as text:
            table = pd.read_csv(
                text,
                sep=form.separator,
                decimal=decimal or form.decimal,
                skiprows=form.n_skipped,
                skipinitialspace=form.has_spaces,
                usecols=range(form.n_columns) if form.has_end else None,
                low_memory=False,
                **options,
            )
    return _without_point_groups(table, as_text) if (decimal or form.decimal) == "," else table


def find_form(sample: str, *, is_cut: bool = False, candidates: Sequence[str] = SEPARATORS) -> TextForm:
    """Detect how a table is written, from its first lines.

    A separator must split the rows, outside of quotes, into as many fields as the header. If several do, the one that
    leaves the fewest separators inside fields is chosen; decimal commas do not count.
    The first of equals is chosen. `is_cut` tells whether the text goes on after the sample.
    """
    hint = _EXCEL_HINT.match(sample)
    if hint:
        sample, candidates = sample[hint.end() :], (hint[1],)
    n_skipped = int(hint is not None)
    found = []
    for separator in candidates:
        records = _records(sample, separator, is_cut)
        has_spaces = bool(records) and len(records[0]) > 1 and all(name[:1] == " " for name in records[0][1:])
        if has_spaces:
            records = _records(sample, separator, is_cut, has_spaces=True)
        n_single = sum(len(record) == 1 for record in records)
        # The name of a single column may contain separators.
        if records and len(records[0]) > 1 and n_single <= len(records) / 2:
            found.append((_fit(records, has_spaces), separator, records, has_spaces))
    if not found:
        unused = next((separator for separator in reversed(SEPARATORS) if separator not in sample), ",")
        return TextForm(unused, _decimal(_records(sample, unused, is_cut)[1:], ""), n_skipped, n_columns=1)
    # `max` takes the first of equals.
    _, separator, records, has_spaces = max(found, key=lambda entry: entry[0])
    header, *rows = records
    has_end = bool(rows) and all(len(row) == len(header) + 1 and row[-1].strip() == "" for row in rows)
    return TextForm(separator, _decimal(rows, separator), n_skipped, has_spaces, has_end, len(header))


def _candidates(file: Path, sample: str) -> Sequence[str]:
    """Return the separators that a file may have: only the tab if its name ends in .tsv."""
    is_tsv = ".tsv" in (suffix.lower() for suffix in file.suffixes)
    return ("\t",) if is_tsv and "\t" in sample else SEPARATORS


def _records(sample: str, separator: str, is_cut: bool, *, has_spaces: bool = False) -> list[list[str]]:
    """Return the fields of a sample's rows, without empty lines and the row that is cut."""
    reader = csv.reader(io.StringIO(sample, newline=""), delimiter=separator, skipinitialspace=has_spaces)
    try:
        records = list(reader)
    except csv.Error:
        return []
    if is_cut and len(records) > 1:
        records.pop()
    return [record for record in records if record]


def _fit(records: Sequence[Sequence[str]], has_spaces: bool) -> tuple[float, bool, float, float, bool]:
    """Return a sort key for how well a separator fits, higher is better.

    Its parts are: the fraction of rows with as many fields as the header or one more; whether the former are at least
    as frequent (R writes row names without a header, others end each row with a separator); the fraction of fields
    without another separator, except decimal commas; the fraction of numbers; whether fields begin without a space,
    unlike the parts of a sentence between commas.
    """
    header, *rows = records
    if not rows:
        return 1.0, True, 0.0, 0.0, not has_spaces
    lengths = [len(row) for row in rows]
    exact, longer = (lengths.count(len(header) + extra) / len(rows) for extra in (0, 1))
    cells = [cell.strip() for row in rows for cell in row]
    is_number = [not cell or _NUMBER.fullmatch(cell) is not None for cell in cells]
    is_whole = [
        number or not any(separator in cell for separator in SEPARATORS)
        for number, cell in zip(is_number, cells, strict=True)
    ]
    n_cells = len(cells)
    return max(exact, longer), exact >= longer, sum(is_whole) / n_cells, sum(is_number) / n_cells, not has_spaces


def _decimal(rows: Sequence[Sequence[str]], separator: str) -> str:
    """Return the decimal mark.

    It is a comma if no number has a decimal point or several commas, and either some number surely has a decimal comma
    (``12,5``; ``1,200`` may be grouped) or semicolons separate fields, which is usual with decimal commas.
    """
    cells = {cell.strip() for row in rows for cell in row}
    commas = {cell for cell in cells if _COMMA_DECIMAL.fullmatch(cell)}
    certain = {cell for cell in commas if not _COMMA_GROUP.fullmatch(cell)}
    is_against = any(
        _COMMAS.fullmatch(cell) or (_POINT_DECIMAL.fullmatch(cell) and not _POINT_GROUP.fullmatch(cell))
        for cell in cells
    )
    return "," if not is_against and (certain or (commas and separator == ";")) else "."


def _without_point_groups(table: pd.DataFrame, as_text: Collection[str]) -> pd.DataFrame:
    """Convert text with grouping points and decimal commas (``1.234,5``) to numbers, except in columns `as_text`."""
    from pandas.api.types import is_string_dtype

    for name in table.columns[[is_string_dtype(dtype) for dtype in table.dtypes]]:
        if name in as_text:
            continue
        texts = table[name].str.strip()
        if texts.notna().any() and texts.dropna().str.fullmatch(_WITH_POINT_GROUPS).eq(True).all():
            plain = texts.str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
            table[name] = plain.astype("float64")
    return table


def _encoding(head: bytes) -> str:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return encoding
    # Every other byte of Latin letters in UTF-16 is zero.
    for first, encoding in ((0, "utf-16-be"), (1, "utf-16-le")):
        if head[first::2].count(0) > len(head) / 4 and head[1 - first :: 2].count(0) == 0:
            return encoding
    return "utf-8"


@contextlib.contextmanager
def _damage_as_error() -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise ValueError(f"the file is damaged or no table: {error}") from error


def _opened(file: Path) -> IO[bytes]:
    """Open a file for reading, decompressed."""
    match file.suffix.lower():
        case ".gz":
            return cast(IO[bytes], gzip.open(file, "rb"))
        case ".bz2":
            return bz2.open(file, "rb")
        case ".xz":
            return lzma.open(file, "rb")
        case ".zip":
            return _only_member(zipfile.ZipFile(file))
        case ".zst":
            return import_optional("pyarrow", extra="meta").input_stream(str(file), compression="zstd")
    return file.open("rb")


def _only_member(archive: zipfile.ZipFile) -> IO[bytes]:
    # macOS adds a folder with metadata.
    names = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")]
    if len(names) != 1:
        raise ValueError(f"a zip file has to hold one table, this one holds {len(names)} files")
    return archive.open(names[0])
