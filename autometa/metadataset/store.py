"""Store the results of a collection in one SQLite file, which stays whole if the collection is killed.

All results of a configuration on a task are written in one transaction, so they are complete or
absent; complete ones are never measured again.
"""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from autometa.core.evaluation import Evaluation
from autometa.core.task import TaskDescription
from autometa.exceptions import MetaDatasetError
from autometa.metadataset.checks import upgraded_evaluations
from autometa.metadataset.machine_speed import machine_speed
from autometa.metadataset.matrices import COSTS
from autometa.metadataset.pool import PoolEntry, configuration_id
from autometa.metadataset.schema import EVALUATION_COLUMNS, EVALUATION_KEY, LOSS_COLUMNS, SCHEMA_VERSION, TASK_COLUMNS
from autometa.tables.features import META_FEATURES

FILE_NAME = "collected.sqlite"

_VERSION = "schema_version"

_COLUMNS = ", ".join(EVALUATION_COLUMNS)
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS tasks
    (task TEXT PRIMARY KEY, problem TEXT, family TEXT,
     n_rows INTEGER, n_columns INTEGER, n_classes INTEGER, n_rows_used INTEGER);
CREATE TABLE IF NOT EXISTS features (task TEXT PRIMARY KEY, features TEXT);
CREATE TABLE IF NOT EXISTS configurations
    (configuration TEXT PRIMARY KEY, strategy TEXT, position INTEGER, origin TEXT, parameters TEXT);
CREATE TABLE IF NOT EXISTS evaluations ({_COLUMNS}, PRIMARY KEY ({", ".join(EVALUATION_KEY)})) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS targets (task TEXT PRIMARY KEY, n_classes INTEGER, fold BLOB, y BLOB);
CREATE TABLE IF NOT EXISTS predictions
    (task TEXT, configuration TEXT, predictions BLOB, PRIMARY KEY (task, configuration)) WITHOUT ROWID;
"""
_FROM_LAYOUT_1 = f"""
ALTER TABLE evaluations ADD COLUMN progress DEFAULT 1.0;
ALTER TABLE evaluations ADD COLUMN machine_speed;
UPDATE settings SET value = '{SCHEMA_VERSION}' WHERE name = '{_VERSION}';
"""


def evaluation_row(task: str, evaluation: Evaluation, seed: int, losses: Mapping[str, float]) -> dict[str, Any]:
    """Return the row of a finished fit in the table of evaluations.

    Parameters
    ----------
    task : str
        Name of the task.
    evaluation : Evaluation
        Anchor, fold, costs and status.
    seed : int
        Seed of the fit.
    losses : mapping of str to float
        By metric; those of other metrics are NaN.
    """
    return {
        "task": task,
        "configuration": configuration_id(evaluation.configuration),
        "anchor": evaluation.anchor,
        "progress": 1.0,
        "n_iterations": 0,
        "fold": evaluation.fold,
        "seed": seed,
        **dict.fromkeys(LOSS_COLUMNS, math.nan),
        **{f"loss_{metric}": loss for metric, loss in losses.items()},
        **{name: getattr(evaluation, name) for name in COSTS},
        "machine_speed": machine_speed(),
        "status": evaluation.status,
        "error": evaluation.error,
    }


class Store:
    """The file of one collection, open for writing by one process.

    Parameters
    ----------
    folder : Path
        Folder of the file; created if needed.
    settings : mapping
        Settings that must be the same for all rows, so that they can be compared.
    finished_fits_only : bool
        Whether the file holds only finished fits, independent of how rows were split. Such a file of
        layout 1 is converted to the current layout. Other files of layout 1 are refused, as their
        folds differ from today's.

    Raises
    ------
    MetaDatasetError
        If the file is damaged, was begun with other settings or in another layout, or is being
        written by another collection.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], *, finished_fits_only: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / FILE_NAME
        with contextlib.ExitStack() as stack:
            # Two collections in one folder would repeat each other's work; the lock ends with the process.
            stack.enter_context(_locked(folder / ".lock"))
            begun_with = _settings_of(self.file)
            is_upgraded = finished_fits_only and begun_with.get(_VERSION) == 1
            if begun_with:
                if not is_upgraded:
                    _check_layout(self.file, begun_with)
                _check_same(self.file, begun_with, settings)
            self._connection = stack.enter_context(contextlib.closing(sqlite3.connect(self.file)))
            with self._writing():
                self._connection.execute("PRAGMA journal_mode=WAL")
                self._connection.executescript(f"BEGIN; {_FROM_LAYOUT_1 if is_upgraded else ''} {_SCHEMA}")
                if not begun_with:
                    rows = [(name, json.dumps(value)) for name, value in {_VERSION: SCHEMA_VERSION, **settings}.items()]
                    self._connection.executemany("INSERT INTO settings VALUES (?, ?)", rows)
            self._open = stack.pop_all()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Make the writes of a block one transaction."""
        try:
            with self._connection:
                yield
        except sqlite3.Error as error:
            raise MetaDatasetError(
                f"{self.file} cannot be written ({error}). What was written before is kept; the same collection goes "
                "on from there once the file can be written."
            ) from error

    def _all(self, query: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(query).fetchall()

    def add_configurations(self, pool: Iterable[PoolEntry]) -> None:
        """Store the configurations of a pool; known ones are left unchanged."""
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
        with self._writing():
            self._connection.executemany("INSERT OR IGNORE INTO configurations VALUES (?, ?, ?, ?, ?)", rows)

    def add_task(self, row: Mapping[str, Any]) -> TaskDescription:
        """Store the row of a task, and return its description."""
        with self._writing():
            values = tuple(row[column] for column in TASK_COLUMNS)
            self._connection.execute("INSERT OR REPLACE INTO tasks VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        return self.descriptions()[row["task"]]

    def add_features(self, task: str, features: Mapping[str, float]) -> None:
        """Store the meta-features of a task whose table will not be available later."""
        with self._writing():
            self._connection.execute(
                "INSERT OR REPLACE INTO features VALUES (?, ?)", (task, json.dumps(dict(features)))
            )

    def descriptions(self) -> dict[str, TaskDescription]:
        """Return the descriptions of the stored tasks, by name."""
        columns = "task, problem, n_rows_used, n_columns, n_classes"
        return {name: TaskDescription(*rest) for name, *rest in self._all(f"SELECT {columns} FROM tasks")}

    def tasks_with_targets(self) -> set[str]:
        """Return the tasks whose kept rows are stored."""
        return {name for (name,) in self._all("SELECT task FROM targets")}

    def done(self) -> set[tuple[str, str]]:
        """Return the measured pairs of task and configuration."""
        return set(self._all("SELECT DISTINCT task, configuration FROM evaluations"))

    def add(self, rows: Sequence[Mapping[str, Any]], predictions: np.ndarray | None) -> None:
        """Store the results of one configuration on one task, in one transaction."""
        marks = ", ".join("?" * len(EVALUATION_COLUMNS))
        values = [tuple(row[column] for column in EVALUATION_COLUMNS) for row in rows]
        with self._writing():
            # By name: a file that was begun in layout 1 has its columns in another order.
            insert = f"INSERT OR IGNORE INTO evaluations ({_COLUMNS}) VALUES ({marks})"
            self._connection.executemany(insert, values)
            if predictions is not None:
                blob = predictions.astype(np.float16).tobytes()
                key = (rows[0]["task"], rows[0]["configuration"])
                self._connection.execute("INSERT OR REPLACE INTO predictions VALUES (?, ?, ?)", (*key, blob))

    def add_targets(self, task: str, n_classes: int, fold: np.ndarray, y: np.ndarray) -> None:
        """Store the targets of the rows whose predictions are kept."""
        row = (task, n_classes, fold.astype(np.int8).tobytes(), y.astype(np.float32).tobytes())
        with self._writing():
            self._connection.execute("INSERT OR IGNORE INTO targets VALUES (?, ?, ?, ?)", row)

    def close(self) -> None:
        """Close the file and let others write."""
        self._open.close()


def read_collected(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Return tasks, configurations, evaluations and settings of a collection, which may still be running.

    Evaluations of layout 1 are converted to the current columns; the settings hold the version of the layout.

    Raises
    ------
    MetaDatasetError
        If there is no collection in the folder, it is damaged, or was begun by a newer autometa.
    """
    with _reading(folder) as connection:
        settings = _settings(connection)
        if (version := settings.get(_VERSION)) not in (1, SCHEMA_VERSION):
            raise _unknown_layout(folder / FILE_NAME, version)
        tasks = pd.read_sql("SELECT * FROM tasks ORDER BY task", connection)
        configurations = pd.read_sql("SELECT * FROM configurations", connection)
        evaluations = pd.read_sql("SELECT * FROM evaluations", connection)
    if version == 1:
        evaluations = upgraded_evaluations(evaluations)
    # A column without any value would be of objects.
    numbers = {column: "float64" for column, kind in EVALUATION_COLUMNS.items() if kind.startswith("float")}
    return tasks, configurations, evaluations[list(EVALUATION_COLUMNS)].astype(numbers), settings


def read_features(folder: Path) -> dict[str, dict[str, float]]:
    """Return the stored meta-features, by task."""
    with _reading(folder) as connection:
        rows = connection.execute("SELECT task, features FROM features").fetchall()
    return {task: json.loads(text) for task, text in rows}


def read_tables(folder: Path) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Return the three tables of a meta-dataset, with meta-features as far as they are stored, and the settings.

    Raises
    ------
    MetaDatasetError
        As `read_collected`.
    """
    tasks, configurations, evaluations, settings = read_collected(folder)
    features = read_features(folder)
    described = pd.DataFrame([features.get(task, {}) for task in tasks["task"]], columns=list(META_FEATURES))
    tasks = pd.concat([tasks, described.astype("float64")], axis=1)
    tables = {"tasks": tasks, "configurations": configurations, "evaluations": evaluations}
    return tables, {name: value for name, value in settings.items() if name != _VERSION}


def read_predictions(folder: Path, task: str) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return the folds and targets of a task's kept rows, and the predictions of each configuration for them.

    Parameters
    ----------
    folder : Path
        Folder of the collection.
    task : str
        Name of the task.

    Returns
    -------
    fold : ndarray of shape (n_kept,), int8
        Fold that each row validates; `schema.HELD_OUT` for held-out rows, which layout 1 does not have.
    y : ndarray of shape (n_kept,), float32
        Class codes, or standardised targets.
    predictions : dict of str to ndarray of shape (n_kept, n_classes) or (n_kept,), float16
        Predictions by configuration.

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


def _settings(connection: sqlite3.Connection) -> dict[str, Any]:
    return {name: json.loads(value) for name, value in connection.execute("SELECT name, value FROM settings")}


def _settings_of(file: Path) -> dict[str, Any]:
    """Return the settings of a file, or nothing if it is new or empty; refuse a damaged file."""
    if not file.is_file() or not file.stat().st_size:
        return {}
    with _reading(file.parent, mode="ro") as connection:
        (fault,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if fault != "ok":
            raise sqlite3.DatabaseError(" ".join(fault.split()))
        is_begun = connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        return _settings(connection) if is_begun else {}


def _check_layout(file: Path, settings: Mapping[str, Any]) -> None:
    """Raise MetaDatasetError if new rows cannot join those of a file."""
    version = settings.get(_VERSION)
    if version == 1:
        raise MetaDatasetError(
            f"{file} was begun with layout 1, whose folds have no rows held out: new rows, of layout {SCHEMA_VERSION}, "
            "could not be compared with it. It was left as it is, and can still be read, as by `autometa export`: "
            "collect into another folder."
        )
    if version != SCHEMA_VERSION:
        raise _unknown_layout(file, version)


def _unknown_layout(file: Path, version: object) -> MetaDatasetError:
    return MetaDatasetError(
        f"{file} has layout {version!r}, and this autometa knows layouts up to {SCHEMA_VERSION}. It was left as it is: "
        "use the autometa that wrote it, or choose another folder."
    )


def _check_same(file: Path, begun_with: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    names = [name for name in dict.fromkeys([*settings, *begun_with]) if name != _VERSION]
    if changed := _changed(names, begun_with, settings):
        raise MetaDatasetError(
            f"{file} was begun with other settings ({changed}), and its rows could not be compared with new ones. Use "
            "the same settings, or collect into another folder."
        )


def check_comparable(measured_with: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Check that records from elsewhere were measured with these settings.

    Parameters
    ----------
    measured_with : mapping
        Settings in the manifest of the records, as `read_collected` returns them; missing ones are
        not checked.
    settings : mapping
        Settings of the collection.

    Raises
    ------
    MetaDatasetError
        If a setting or the layout differs.
    """
    if changed := _changed(measured_with, measured_with, {_VERSION: SCHEMA_VERSION, **settings}):
        raise MetaDatasetError(
            f"What is given as known was measured with other settings ({changed}), and could not be compared with new "
            "rows. Leave it out, or use the same settings."
        )


def _changed(names: Iterable[str], then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return a text that lists the settings that differ."""
    differing = [name for name in names if then.get(name) != now.get(name)]
    return "; ".join(f"{name}={then.get(name)!r} then, {now.get(name)!r} now" for name in differing)


@contextlib.contextmanager
def _reading(folder: Path, mode: Literal["ro", "rw"] = "rw") -> Iterator[sqlite3.Connection]:
    """Provide a connection that sees the file as it was at its first query.

    With ``"rw"`` SQLite applies the journal of a killed collection to the file; with ``"ro"`` a file
    that may be damaged stays untouched.
    """
    file = folder / FILE_NAME
    if not file.is_file():
        raise MetaDatasetError(f"{folder} holds no collection: there is no {FILE_NAME} in it.")
    try:
        with contextlib.closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode={mode}", uri=True)) as connection:
            connection.execute("BEGIN")
            yield connection
    except (sqlite3.DatabaseError, pd.errors.DatabaseError) as error:
        raise MetaDatasetError(
            f"{file} cannot be read ({error}): it is damaged, or no collection. It was left as it is: put a copy "
            "back, or collect into another folder."
        ) from error


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
