"""Where a collection keeps what it has measured: one SQLite file that survives being killed.

Everything measured for a configuration on a task is written in one transaction, so a row is
either whole or not there, and what is there is never measured again.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autometa.core.task import TaskDescription
from autometa.exceptions import MetaDatasetError
from autometa.metadataset.pool import PoolEntry, configuration_id
from autometa.metadataset.schema import EVALUATION_COLUMNS, EVALUATION_KEY, SCHEMA_VERSION, TASK_COLUMNS

FILE_NAME = "collected.sqlite"

_COLUMNS = ", ".join(EVALUATION_COLUMNS)
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS tasks
    (task TEXT PRIMARY KEY, problem TEXT, family TEXT,
     n_rows INTEGER, n_columns INTEGER, n_classes INTEGER, n_rows_used INTEGER);
CREATE TABLE IF NOT EXISTS configurations
    (configuration TEXT PRIMARY KEY, strategy TEXT, position INTEGER, origin TEXT, parameters TEXT);
CREATE TABLE IF NOT EXISTS evaluations ({_COLUMNS}, PRIMARY KEY ({", ".join(EVALUATION_KEY)})) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS targets (task TEXT PRIMARY KEY, n_classes INTEGER, fold BLOB, y BLOB);
CREATE TABLE IF NOT EXISTS predictions
    (task TEXT, configuration TEXT, predictions BLOB, PRIMARY KEY (task, configuration)) WITHOUT ROWID;
"""


class Store:
    """The file of one collection, open for writing by one process.

    Parameters
    ----------
    folder : Path
        Its folder; made if needed.
    settings : mapping
        What must not change while a collection goes on, because rows would not be comparable.

    Raises
    ------
    MetaDatasetError
        If the file is damaged, was begun with other settings or a newer version, or is
        being written by another collection.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / FILE_NAME
        # Two collections into one folder would repeat each other's work; the lock ends with the process.
        self._lock = _locked(folder / ".lock")
        try:
            self._connection = sqlite3.connect(self.file)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.executescript(_SCHEMA)
            self._check({"schema_version": SCHEMA_VERSION, **settings})
        except sqlite3.DatabaseError as error:
            self._lock.close()
            raise MetaDatasetError(
                f"{self.file} is damaged ({error}). It was left as it is: put a copy back, or collect into another "
                "folder."
            ) from error
        except BaseException:
            self._lock.close()
            raise

    def _check(self, settings: Mapping[str, Any]) -> None:
        began_with = {name: json.loads(value) for name, value in self._all("SELECT name, value FROM settings")}
        if not began_with:
            with self._connection:
                rows = [(name, json.dumps(value)) for name, value in settings.items()]
                self._connection.executemany("INSERT INTO settings VALUES (?, ?)", rows)
        elif began_with != dict(settings):
            differing = [
                f"{name}={began_with.get(name)!r} then, {value!r} now"
                for name, value in settings.items()
                if began_with.get(name) != value
            ]
            raise MetaDatasetError(
                f"{self.file} was begun with other settings ({'; '.join(differing)}), and its rows could not be "
                "compared with new ones. Use the same settings, or collect into another folder."
            )

    def _all(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(query, values).fetchall()

    def add_configurations(self, pool: Iterable[PoolEntry]) -> None:
        """Write down what the configurations of a pool are; those known already stay as they are."""
        rows = [
            (
                configuration_id(entry.configuration),
                entry.configuration.strategy,
                entry.position,
                entry.origin,
                json.dumps(dict(entry.configuration.parameters), sort_keys=True),
            )
            for entry in pool
        ]
        with self._connection:
            self._connection.executemany("INSERT OR IGNORE INTO configurations VALUES (?, ?, ?, ?, ?)", rows)

    def add_task(self, row: Mapping[str, Any]) -> TaskDescription:
        """Write down what a task is; return what strategies are fit for or not."""
        with self._connection:
            values = tuple(row[column] for column in TASK_COLUMNS)
            self._connection.execute("INSERT OR REPLACE INTO tasks VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        return self.descriptions()[row["task"]]

    def descriptions(self) -> dict[str, TaskDescription]:
        """Return the tasks that are known, by name."""
        columns = "task, problem, n_rows_used, n_columns, n_classes"
        return {name: TaskDescription(*rest) for name, *rest in self._all(f"SELECT {columns} FROM tasks")}

    def tasks_with_targets(self) -> set[str]:
        """Return the tasks whose kept rows are written."""
        return {name for (name,) in self._all("SELECT task FROM targets")}

    def done(self) -> set[tuple[str, str]]:
        """Return the pairs of task and configuration that are measured."""
        return set(self._all("SELECT DISTINCT task, configuration FROM evaluations"))

    def add(self, rows: Sequence[Mapping[str, Any]], predictions: np.ndarray | None) -> None:
        """Write what was measured for one configuration on one task, all of it or nothing."""
        marks = ", ".join("?" * len(EVALUATION_COLUMNS))
        values = [tuple(row[column] for column in EVALUATION_COLUMNS) for row in rows]
        with self._connection:
            self._connection.executemany(f"INSERT OR IGNORE INTO evaluations VALUES ({marks})", values)
            if predictions is not None:
                blob = predictions.astype(np.float16).tobytes()
                key = (rows[0]["task"], rows[0]["configuration"])
                self._connection.execute("INSERT OR REPLACE INTO predictions VALUES (?, ?, ?)", (*key, blob))

    def add_targets(self, task: str, n_classes: int, fold: np.ndarray, y: np.ndarray) -> None:
        """Write the targets of the rows whose predictions are kept."""
        row = (task, n_classes, fold.astype(np.int8).tobytes(), y.astype(np.float32).tobytes())
        with self._connection:
            self._connection.execute("INSERT OR IGNORE INTO targets VALUES (?, ?, ?, ?)", row)

    def close(self) -> None:
        """Close the file and let others write."""
        self._connection.close()
        self._lock.close()


def read_collected(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Return tasks, configurations, evaluations and settings of a collection, also of one that is under way."""
    with _reading(folder) as connection:
        tasks = pd.read_sql("SELECT * FROM tasks ORDER BY task", connection)
        configurations = pd.read_sql("SELECT * FROM configurations", connection)
        evaluations = pd.read_sql("SELECT * FROM evaluations", connection)
        settings = {name: json.loads(value) for name, value in connection.execute("SELECT name, value FROM settings")}
    return tasks, configurations, evaluations, settings


def read_predictions(folder: Path, task: str) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return the folds and targets of a task's kept rows, and the predictions of each configuration for them.

    Parameters
    ----------
    folder : Path
        The collection's.
    task : str
        Name of the task.

    Returns
    -------
    fold : ndarray of shape (n_kept,), int8
        Fold that each row validates.
    y : ndarray of shape (n_kept,), float32
        Class codes, or standardised values.
    predictions : dict of str to ndarray of shape (n_kept, n_classes) or (n_kept,), float16
        By configuration.

    Raises
    ------
    KeyError
        If nothing is kept for the task.
    """
    with _reading(folder) as connection:
        found = connection.execute("SELECT n_classes, fold, y FROM targets WHERE task = ?", (task,)).fetchone()
        if found is None:
            raise KeyError(f"{folder} keeps no predictions for the task {task!r}.")
        n_classes, fold, y = found
        rows = connection.execute("SELECT configuration, predictions FROM predictions WHERE task = ?", (task,))
        shape = (-1, n_classes) if n_classes else (-1,)
        predictions = {name: np.frombuffer(blob, dtype=np.float16).reshape(shape) for name, blob in rows}
    return np.frombuffer(fold, dtype=np.int8), np.frombuffer(y, dtype=np.float32), predictions


@contextlib.contextmanager
def _reading(folder: Path) -> Any:
    file = folder / FILE_NAME
    if not file.is_file():
        raise MetaDatasetError(f"{folder} holds no collection: there is no {FILE_NAME} in it.")
    connection = sqlite3.connect(file)
    try:
        yield connection
    except (sqlite3.DatabaseError, pd.errors.DatabaseError) as error:
        raise MetaDatasetError(f"{file} cannot be read ({error}): it is damaged, or no collection.") from error
    finally:
        connection.close()


def _locked(file: Path) -> Any:
    """Return an open file that no other process can lock until it is closed."""
    handle = file.open("w")
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # Windows, where SQLite's own locks still keep the file whole
        pass
    except OSError as error:
        handle.close()
        raise MetaDatasetError(f"Another collection is writing to {file.parent}. Wait for it, or stop it.") from error
    return handle
