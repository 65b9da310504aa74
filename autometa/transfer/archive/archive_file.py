"""Reads and writes the file of an archive of past studies: plain values, as JSON in SQLite.

Each write is a row of the table ``changes`` with a revision and a random stamp. Content that was read at a revision
stays valid as long as the file has that revision with that stamp. So only rows of later revisions are read, and only
rows of changed trials are written.
"""

from __future__ import annotations

import contextlib
import json
import operator
import secrets
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from autometa.exceptions import ArchiveError
from autometa.transfer.archive.archive_json import distributions_json, distributions_of, values_json, values_of
from autometa.transfer.archive.archive_layout_1 import read_layout_1
from autometa.transfer.archive.sources import SourceStudy, SourceTrial

_LAYOUT = 2
APPLICATION = 0x6D657461  # "meta": distinguishes an archive from other SQLite files
_LOCK_WAIT_S = 10.0
_N_CHANGES = 1000  # kept in the file; a process that is further behind reads everything again
_SCHEMA = (
    "CREATE TABLE changes (revision INTEGER PRIMARY KEY, stamp TEXT, is_removal INTEGER)",
    "CREATE TABLE studies (id INTEGER PRIMARY KEY, revision INTEGER, name TEXT, study_name TEXT, origin TEXT, "
    "begun TEXT, tags TEXT, directions TEXT, distributions TEXT)",
    "CREATE TABLE trials (study INTEGER, number INTEGER, revision INTEGER, state TEXT, params TEXT, objectives TEXT, "
    "intermediate TEXT, feasible INTEGER, started TEXT, PRIMARY KEY (study, number)) WITHOUT ROWID",
    f"PRAGMA user_version = {_LAYOUT}",
    f"PRAGMA application_id = {APPLICATION}",
)


@dataclass(frozen=True)
class Content:
    """The studies in a file at one revision.

    Parameters
    ----------
    sources : mapping of int to SourceStudy
        The studies by row id, in the order in which they were added.
    revision : int
        The latest change, 0 before anything was read.
    stamp : str
        Stamp of that change.
    """

    sources: Mapping[int, SourceStudy] = field(default_factory=dict)
    revision: int = 0
    stamp: str = ""


def is_archive_file(path: Path) -> bool:
    """Whether a file is an archive of past studies."""
    with path.open("rb") as file:
        header = file.read(100)
    # https://www.sqlite.org/fileformat.html#the_database_header
    return header.startswith(b"SQLite format 3\0") and int.from_bytes(header[68:72]) == APPLICATION


def begin_file(path: Path) -> bool:
    """Create the file of an archive if it does not exist; return whether it was made.

    Raises ArchiveError if something else is there.
    """
    if not path.parent.is_dir():
        raise ArchiveError(f"The archive {path} cannot be made: there is no folder {path.parent}. Make it first.")
    if path.is_dir():
        raise ArchiveError(f"The archive {path} is a folder; give the name of a file in it, such as 'studies.db'.")
    with _connected(path, "rwc") as connection:
        if _pragma(connection, "application_id") == APPLICATION:
            return False
        # Another process may be creating it: whoever has the write lock checks again.
        with _transaction(connection, "IMMEDIATE"):
            if _pragma(connection, "application_id") == APPLICATION:
                return False
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if tables:
                hint = f" It looks like a storage of Optuna: add_storage('sqlite:///{path}') reads it."
                raise ArchiveError(
                    f"{path} is an SQLite file, but no archive of studies; it was left as it is."
                    f"{hint if 'alembic_version' in tables else ''} Give the archive a file of its own."
                )
            _make_tables(connection)
    return True


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection to an archive's file that reads one consistent state."""
    with _connected(path, "rw") as connection, _transaction(connection, "DEFERRED"):
        _check(path, connection)
        yield connection


@contextlib.contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection that alone may write to an archive's file; an error rolls back.

    A file of an earlier layout is upgraded.
    """
    with _connected(path, "rw") as connection:
        # TRUNCATE empties the rollback journal instead of deleting it: a change of the folder takes as long as twenty
        # writes, and a trial is written in a millisecond without it. NORMAL syncs only where the order matters.
        connection.execute("PRAGMA journal_mode = TRUNCATE")
        connection.execute("PRAGMA synchronous = NORMAL")
        with _transaction(connection, "IMMEDIATE"):
            _check(path, connection)
            if _pragma(connection, "user_version") == 1:
                _upgrade(connection)
            yield connection


def read_content(connection: sqlite3.Connection, known: Content) -> Content:
    """Return what the file holds: `known` itself if nothing has changed; otherwise only changed rows are read."""
    with _rows_are_read():
        if _pragma(connection, "user_version") == 1:
            return Content(read_layout_1(connection))
        revision, stamp = connection.execute(
            "SELECT revision, stamp FROM changes ORDER BY revision DESC LIMIT 1"
        ).fetchone()
        if (revision, stamp) == (known.revision, known.stamp):
            return known
        if not _is_still_valid(connection, known):
            known = Content()
        return Content({**known.sources, **_changed_sources(connection, known)}, revision, stamp)


def write_sources(connection: sqlite3.Connection, known: Content, sources: Sequence[SourceStudy]) -> Content:
    """Write the studies that differ from those in the file, within a transaction, and return the new content.

    `sources` are the `known` studies in their order, then new ones. A choice without JSON raises ArchiveError.
    """
    rows = list(known.sources)
    if len(sources) == len(rows) and all(map(operator.is_, sources, known.sources.values())):
        return known
    revision, stamp = _begin_change(connection)
    held = dict(known.sources)
    for number, source in enumerate(sources):
        row = rows[number] if number < len(rows) else None
        before = known.sources[row] if row is not None else None
        if before is not source:
            held[_write_source(connection, row, source, before, revision)] = source
    return Content(held, revision, stamp)


def remove_source(connection: sqlite3.Connection, known: Content, row: int) -> Content:
    """Delete a study within a transaction."""
    revision, stamp = _begin_change(connection, is_removal=True)
    connection.execute("DELETE FROM trials WHERE study = ?", (row,))
    connection.execute("DELETE FROM studies WHERE id = ?", (row,))
    return Content({key: source for key, source in known.sources.items() if key != row}, revision, stamp)


# ---- connections --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _connected(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    """Yield a connection to a file, one per use, because threads must not share one."""
    try:
        # Without an isolation level, sqlite3 begins no transaction of its own.
        with contextlib.closing(
            sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}", timeout=_LOCK_WAIT_S, isolation_level=None, uri=True
            )
        ) as connection:
            yield connection
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or "busy" in str(error):
            raise ArchiveError(
                f"The archive {path} is locked: another process has been writing to it for {_LOCK_WAIT_S:g} s. "
                "Try again when it is done. Nothing was changed."
            ) from error
        if mode == "rw" and not path.exists():
            raise ArchiveError(
                f"There is no archive {path} any more: it was deleted or moved after it was opened. Put it back, or "
                f"begin anew with StudyArchive({str(path)!r}). Nothing was changed."
            ) from error
        raise ArchiveError(
            f"The archive {path} cannot be {'read or written' if path.exists() else 'made'} ({error}). Look whether "
            "you may write there, and whether the disk is full. Nothing was changed."
        ) from error
    except sqlite3.DatabaseError as error:
        raise ArchiveError(
            f"The archive {path} is damaged, or no archive ({error}). It was left as it is: put a copy back, or "
            "begin another file."
        ) from error


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection, kind: str) -> Iterator[None]:
    connection.execute(f"BEGIN {kind}")
    with connection:  # commits, or rolls back
        yield


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)


def _check(path: Path, connection: sqlite3.Connection) -> None:
    if _pragma(connection, "application_id") != APPLICATION:
        raise ArchiveError(f"{path} is no archive of studies any more: it was replaced or emptied. Open it anew.")
    layout = _pragma(connection, "user_version")
    if layout > _LAYOUT:
        raise ArchiveError(
            f"The archive {path} has layout {layout}, and this autometa knows layouts up to {_LAYOUT}. Upgrade "
            "autometa, or begin another file."
        )


# ---- rows ---------------------------------------------------------------------------------------------------------


def _make_tables(connection: sqlite3.Connection) -> None:
    for statement in _SCHEMA:
        connection.execute(statement)
    _begin_change(connection)


def _upgrade(connection: sqlite3.Connection) -> None:
    with _rows_are_read():
        sources = read_layout_1(connection)
    connection.execute("DROP TABLE trials")
    connection.execute("DROP TABLE studies")
    _make_tables(connection)
    write_sources(connection, Content(), list(sources.values()))


def _begin_change(connection: sqlite3.Connection, is_removal: bool = False) -> tuple[int, str]:
    (latest,) = connection.execute("SELECT max(revision) FROM changes").fetchone()
    revision, stamp = (latest or 0) + 1, secrets.token_hex(8)
    connection.execute("INSERT INTO changes VALUES (?, ?, ?)", (revision, stamp, is_removal))
    connection.execute("DELETE FROM changes WHERE revision <= ?", (revision - _N_CHANGES,))
    return revision, stamp


def _is_still_valid(connection: sqlite3.Connection, known: Content) -> bool:
    """Whether the file is the same and studies were only added to it since, none removed."""
    found = connection.execute("SELECT stamp FROM changes WHERE revision = ?", (known.revision,)).fetchone()
    query = "SELECT 1 FROM changes WHERE revision > ? AND is_removal"
    return found == (known.stamp,) and connection.execute(query, (known.revision,)).fetchone() is None


def _changed_sources(connection: sqlite3.Connection, known: Content) -> dict[int, SourceStudy]:
    """Return the studies that changed after the known revision, by row."""
    trials: dict[int, dict[int, SourceTrial]] = {}
    query = (
        "SELECT study, number, state, params, objectives, intermediate, feasible, started "
        # CROSS JOIN scans studies first, so that only trials of changed studies are read.
        "FROM studies CROSS JOIN trials ON study = id WHERE studies.revision > ?1 AND trials.revision > ?1 "
        "ORDER BY study, number"
    )
    for row, number, *values in connection.execute(query, (known.revision,)):
        trials.setdefault(row, {})[number] = _trial(number, *values)
    query = (
        "SELECT id, name, study_name, origin, begun, tags, directions, distributions FROM studies WHERE revision > ? "
        "ORDER BY id"
    )
    found = {}
    for row, name, study_name, origin, begun, tags, directions, distributions in connection.execute(
        query, (known.revision,)
    ):
        every = {trial.number: trial for trial in known.sources[row].trials} if row in known.sources else {}
        every |= trials.get(row, {})
        found[row] = SourceStudy(
            json.loads(name),
            json.loads(tags),
            tuple(json.loads(directions)),
            distributions_of(distributions),
            tuple(every[number] for number in sorted(every)),
            None if begun is None else datetime.fromisoformat(begun),
            json.loads(study_name),
            origin,
        )
    return found


def _trial(
    number: int, state: str, params: str, objectives: str, intermediate: str, feasible: int, started: str | None
) -> SourceTrial:
    values = json.loads(objectives)
    return SourceTrial(
        number,
        TrialState[state],
        values_of(params),
        None if values is None else tuple(values),
        {int(step): value for step, value in json.loads(intermediate).items()},
        bool(feasible),
        None if started is None else datetime.fromisoformat(started),
    )


def _write_source(
    connection: sqlite3.Connection, row: int | None, source: SourceStudy, before: SourceStudy | None, revision: int
) -> int:
    """Write a study and its new trials, and return its row id."""
    known = {trial.number: trial for trial in before.trials} if before is not None else {}
    try:
        trials = [(t.number, revision, *_trial_row(t)) for t in source.trials if known.get(t.number) is not t]
        values = (revision, *_study_row(source))
    except (TypeError, ValueError) as error:
        raise ArchiveError(
            f"Study {source.name!r} has a categorical choice that cannot be written to a file ({error}). Use None, "
            "bool, int, float, str, or lists and tuples of them as choices, or keep the archive in memory: "
            "StudyArchive()."
        ) from error
    # The row id stays, so that an update does not change the order.
    marks = ", ".join("?" * (len(values) + 1))
    row = connection.execute(f"INSERT OR REPLACE INTO studies VALUES ({marks})", (row, *values)).lastrowid
    assert row is not None
    if trials:
        marks = ", ".join("?" * (len(trials[0]) + 1))
        connection.executemany(f"INSERT OR REPLACE INTO trials VALUES ({marks})", [(row, *trial) for trial in trials])
    return row


def _study_row(source: SourceStudy) -> tuple[Any, ...]:
    # Names are JSON, because SQLite cannot store text with lone surrogates.
    return (
        json.dumps(source.name),
        json.dumps(source.study_name),
        source.origin,
        None if source.begun is None else source.begun.isoformat(),
        json.dumps(dict(source.tags)),
        json.dumps(source.directions),
        distributions_json(source.distributions),
    )


def _trial_row(trial: SourceTrial) -> tuple[Any, ...]:
    return (
        trial.state.name,
        values_json(trial.params),
        json.dumps(trial.values),
        json.dumps(dict(trial.intermediate)),
        int(trial.feasible),
        None if trial.started is None else trial.started.isoformat(),
    )


@contextlib.contextmanager
def _rows_are_read() -> Iterator[None]:
    """Turn the errors of a row that cannot be parsed into that of a damaged file."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise sqlite3.DatabaseError(f"a row cannot be read: {error}") from error
