"""Read and write a meta-dataset: a folder of Parquet files for exchange, or one file of NumPy arrays.

A folder holds ``tasks.parquet``, ``configurations.parquet``, ``evaluations.parquet`` and
``manifest.toml`` with the version of the layout, and the number of rows and checksum of each file.

An ``.npz`` file holds an array ``table/column`` for each column. A text column is an array of
codes, with their texts as a JSON list in ``table/column/texts``. The array ``manifest`` is JSON,
too. Nothing is pickled, and the checksums of the zip format protect the bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autometa._support.array_folder import arrays_in, npz_bytes
from autometa._support.files import replaced
from autometa._support.imports import import_optional
from autometa._support.toml_text import toml_text
from autometa.exceptions import MetaDatasetError, MissingDependencyError
from autometa.metadataset.checks import upgraded_evaluations
from autometa.metadataset.schema import SCHEMA_VERSION

TABLES = ("tasks", "configurations", "evaluations")
MANIFEST = "manifest.toml"
_ADVICE = "Load another copy of it, or collect it again."


def write_folder(tables: Mapping[str, pd.DataFrame], manifest: Mapping[str, Any], folder: Path) -> Path:
    """Write tables and manifest into a folder and return it; the manifest is replaced last."""
    content = {f"{table}.parquet": _parquet(tables[table]) for table in TABLES}
    described = {
        table: {
            "name": f"{table}.parquet",
            "sha256": hashlib.sha256(content[f"{table}.parquet"]).hexdigest(),
            "rows": len(tables[table]),
        }
        for table in TABLES
    }
    text = toml_text({"schema_version": SCHEMA_VERSION, **manifest, "files": described})
    _write(folder, {**content, MANIFEST: text.encode()})
    return folder


def read_folder(folder: Path) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Return the tables and the free entries of the manifest.

    Raises
    ------
    MetaDatasetError
        If a file is missing, is not what the manifest says, or cannot be read.
    """
    data = _bytes(folder / MANIFEST)
    with _reading(folder / MANIFEST, "TOML"):
        manifest = tomllib.loads(data.decode())
        described = {table: (manifest["files"][table]["sha256"], manifest["files"][table]["rows"]) for table in TABLES}
    _check_version(folder / MANIFEST, manifest)
    tables = {}
    for table, (checksum, n_rows) in described.items():
        # The name in the manifest is ignored, as it might point anywhere.
        file = folder / f"{table}.parquet"
        data = _bytes(file)
        if (found := hashlib.sha256(data).hexdigest()) != checksum:
            raise MetaDatasetError(
                f"{file} was changed or cut off after it was written: expected sha256 {checksum}, got {found} "
                f"({len(data):,} bytes). {_ADVICE}"
            )
        with _reading(file, "Parquet"):
            tables[table] = _frame(data)
        if len(tables[table]) != n_rows:
            raise MetaDatasetError(f"{file} has {len(tables[table])} rows, expected {n_rows}. {_ADVICE}")
    with _reading(folder, "tables of layout 1"):
        return _upgraded(tables, manifest), free_entries(manifest)


def write_npz(tables: Mapping[str, pd.DataFrame], manifest: Mapping[str, Any], file: Path) -> Path:
    """Write tables and manifest into one file and return it."""
    arrays = {"manifest": np.array(json.dumps({"schema_version": SCHEMA_VERSION, **manifest}))}
    for table in TABLES:
        for column, values in tables[table].items():
            name = f"{table}/{column}"
            if pd.api.types.is_numeric_dtype(values):
                arrays[name] = values.to_numpy()
            else:
                coded = values.astype("category").cat
                arrays[name] = coded.codes.to_numpy()
                # One JSON text, as arrays of texts drop NUL characters at the end.
                arrays[f"{name}/texts"] = np.array(json.dumps(coded.categories.tolist()))
    _write(file.parent, {file.name: npz_bytes(arrays)})
    return file


def read_npz(file: Path) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Return the tables and the free entries of the manifest.

    Raises
    ------
    MetaDatasetError
        If the file is missing, damaged or of another format.
    """
    data = _bytes(file)
    with _reading(file, "a file of NumPy arrays (.npz)"):
        arrays = arrays_in(data)
        manifest = json.loads(str(arrays.pop("manifest")))
    _check_version(file, manifest)
    columns: dict[str, dict[str, Any]] = {table: {} for table in TABLES}
    with _reading(file, "arrays of tables"):
        for name, values in arrays.items():
            table, column, *rest = name.split("/")
            if not rest:
                texts = arrays.get(f"{name}/texts")
                columns[table][column] = (
                    values if texts is None else pd.Categorical.from_codes(values, json.loads(str(texts)))
                )
        tables = _upgraded({table: pd.DataFrame(columns[table]) for table in TABLES}, manifest)
    return tables, free_entries(manifest)


def _upgraded(tables: dict[str, pd.DataFrame], manifest: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Return tables in the current layout."""
    if manifest["schema_version"] == SCHEMA_VERSION:
        return tables
    return {**tables, "evaluations": upgraded_evaluations(tables["evaluations"])}


def free_entries(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries of a manifest that do not describe its files."""
    return {name: value for name, value in manifest.items() if name not in ("schema_version", "files")}


def _parquet(frame: pd.DataFrame) -> bytes:
    pyarrow, parquet = _pyarrow()
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pandas(frame, preserve_index=False), buffer, compression="zstd")
    return buffer.getvalue()


def _frame(data: bytes) -> pd.DataFrame:
    pyarrow, parquet = _pyarrow()
    return parquet.read_table(pyarrow.BufferReader(data)).to_pandas()


def _pyarrow() -> tuple[Any, Any]:
    return import_optional("pyarrow", extra="meta"), import_optional("pyarrow.parquet", extra="meta")


def _check_version(file: Path, manifest: Mapping[str, Any]) -> None:
    version = manifest.get("schema_version")
    if not isinstance(version, int) or version < 1:
        raise MetaDatasetError(f"{file}: schema_version must be a whole number from 1, got {version!r}. {_ADVICE}")
    if version > SCHEMA_VERSION:
        raise MetaDatasetError(
            f"{file} has layout {version}; this autometa reads layouts up to {SCHEMA_VERSION}. Update autometa."
        )


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError as error:
        raise MetaDatasetError(
            f"There is no file {file}; expected a folder with {MANIFEST} and {', '.join(TABLES)} as .parquet, "
            f"or an .npz file. {_ADVICE}"
        ) from error
    except OSError as error:
        raise MetaDatasetError(f"{file} cannot be read: {error.strerror or error}.") from error


@contextlib.contextmanager
def _reading(file: Path, expected: str) -> Iterator[None]:
    """Turn whatever goes wrong with the bytes of `file` into a MetaDatasetError."""
    try:
        yield
    except (MetaDatasetError, MissingDependencyError, MemoryError):
        raise
    except Exception as error:  # a damaged or forged file can fail anywhere
        raise MetaDatasetError(
            f"{file} cannot be read as {expected} ({type(error).__name__}: {error}). {_ADVICE}"
        ) from error


def _write(folder: Path, content: dict[str, bytes]) -> None:
    """Write files into a folder and replace them, in order, once all are complete."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            # The stack closes its blocks in reverse, so the first file is opened last.
            for name in reversed(content):
                stream = stack.enter_context(replaced(folder / name))
                stream.write(content[name])
                stream.flush()
    except OSError as error:
        raise MetaDatasetError(
            f"{folder / next(iter(content))} could not be written: {error.strerror or error}. "
            "Check the folder, its permissions and the space left, or choose another place."
        ) from error
