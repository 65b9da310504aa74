"""The file of an archive of past studies: plain values, as JSON in SQLite."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    distribution_to_json,
    json_to_distribution,
)
from optuna.trial import TrialState

from autometa.exceptions import ArchiveError
from autometa.transfer.sources import SourceStudy, SourceTrial

_LAYOUT = 1
_APPLICATION = 0x6D657461  # "meta": tells an archive from other SQLite files
_LOCK_WAIT_S = 10.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS studies
    (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, begun TEXT, tags TEXT, directions TEXT, distributions TEXT);
CREATE TABLE IF NOT EXISTS trials
    (study INTEGER, number INTEGER, state TEXT, params TEXT, objectives TEXT, intermediate TEXT, feasible INTEGER,
     PRIMARY KEY (study, number)) WITHOUT ROWID;
"""


def begin_file(path: Path) -> None:
    """Make the file of an archive if it is not there.

    Raises
    ------
    ArchiveError
        If there is no folder for it, or something else is in its place.
    """
    if not path.parent.is_dir():
        raise ArchiveError(f"The archive {path} cannot be made: there is no folder {path.parent}. Make it first.")
    if path.is_dir():
        raise ArchiveError(f"The archive {path} is a folder; give the name of a file in it, such as 'studies.db'.")
    with connected(path, check=False) as connection:
        if connection.execute("PRAGMA application_id").fetchone() == (_APPLICATION,):
            return
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables:
            hint = f" It looks like a storage of Optuna: add_storage('sqlite:///{path}') reads it."
            raise ArchiveError(
                f"{path} is an SQLite file, but no archive of studies; it was left as it is."
                f"{hint if 'alembic_version' in tables else ''} Give the archive a file of its own."
            )
        with connection:
            connection.executescript(
                f"BEGIN; {_SCHEMA} PRAGMA user_version = {_LAYOUT}; PRAGMA application_id = {_APPLICATION}; COMMIT"
            )


@contextlib.contextmanager
def connected(path: Path, check: bool = True) -> Iterator[sqlite3.Connection]:
    """Give a connection to an archive's file; a connection per use, because threads must not share one."""
    try:
        # Transactions are begun by hand.
        with contextlib.closing(sqlite3.connect(path, timeout=_LOCK_WAIT_S, isolation_level=None)) as connection:
            if check:
                _check(path, connection)
            yield connection
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or "busy" in str(error):
            raise ArchiveError(
                f"The archive {path} is locked: another process has been writing to it for {_LOCK_WAIT_S:g} s. "
                "Try again when it is done. Nothing was changed."
            ) from error
        raise ArchiveError(f"The archive {path} cannot be read or written ({error}). Nothing was changed.") from error
    except sqlite3.DatabaseError as error:
        raise ArchiveError(
            f"The archive {path} is damaged, or no archive ({error}). It was left as it is: put a copy back, or "
            "begin another file."
        ) from error


def _check(path: Path, connection: sqlite3.Connection) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (layout,) = connection.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION:
        raise ArchiveError(f"{path} is no archive of studies any more: it was replaced or emptied. Open it anew.")
    if layout > _LAYOUT:
        raise ArchiveError(
            f"The archive {path} has layout {layout}, and this autometa knows layouts up to {_LAYOUT}. Upgrade "
            "autometa, or begin another file."
        )


def read_sources(connection: sqlite3.Connection, with_trials: bool = True) -> Iterator[SourceStudy]:
    """Yield the studies of a file in the order in which they came; without trials it takes no time."""
    trials: dict[int, list[SourceTrial]] = {}
    studies = connection.execute(
        "SELECT id, name, begun, tags, directions, distributions FROM studies ORDER BY id"
    ).fetchall()
    try:
        if with_trials:
            query = (
                "SELECT study, number, state, params, objectives, intermediate, feasible FROM trials "
                "ORDER BY study, number"
            )
            for study, number, state, params, objectives, intermediate, feasible in connection.execute(query):
                values = json.loads(objectives)
                trials.setdefault(study, []).append(
                    SourceTrial(
                        number,
                        TrialState[state],
                        {name: _hashable(value) for name, value in json.loads(params).items()},
                        None if values is None else tuple(values),
                        {int(step): value for step, value in json.loads(intermediate).items()},
                        bool(feasible),
                    )
                )
        for identity, name, begun, tags, directions, distributions in studies:
            yield SourceStudy(
                name,
                json.loads(tags),
                tuple(json.loads(directions)),
                {key: _distribution(text) for key, text in json.loads(distributions).items()},
                tuple(trials.get(identity, ())),
                begun,
            )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise sqlite3.DatabaseError(f"a row cannot be read: {error}") from error


def write_source(connection: sqlite3.Connection, source: SourceStudy) -> None:
    """Write a study within a transaction; one of its name is replaced.

    Raises
    ------
    ArchiveError
        If one of its choices is nothing that JSON knows.
    """
    try:
        distributions = json.dumps({name: distribution_to_json(d) for name, d in source.distributions.items()})
        rows = [
            (
                trial.number,
                trial.state.name,
                json.dumps(dict(trial.params)),
                json.dumps(trial.values),
                json.dumps(dict(trial.intermediate)),
                int(trial.feasible),
            )
            for trial in source.trials
        ]
    except TypeError as error:
        raise ArchiveError(
            f"Study {source.name!r} has a categorical choice that cannot be written to a file ({error}). Use None, "
            "bool, int, float or str as choices, or keep the archive in memory: StudyArchive()."
        ) from error
    about = (source.begun, json.dumps(dict(source.tags)), json.dumps(source.directions), distributions)
    # The place among the studies stays that of the first time, so that an update changes no order.
    known = connection.execute("SELECT id FROM studies WHERE name = ?", (source.name,)).fetchone()
    if known is None:
        query = "INSERT INTO studies (begun, tags, directions, distributions, name) VALUES (?, ?, ?, ?, ?)"
        identity = connection.execute(query, (*about, source.name)).lastrowid
    else:
        (identity,) = known
        query = "UPDATE studies SET begun = ?, tags = ?, directions = ?, distributions = ? WHERE id = ?"
        connection.execute(query, (*about, identity))
        connection.execute("DELETE FROM trials WHERE study = ?", (identity,))
    connection.executemany("INSERT INTO trials VALUES (?, ?, ?, ?, ?, ?, ?)", [(identity, *row) for row in rows])


def forget_source(connection: sqlite3.Connection, name: str) -> None:
    """Begin a transaction and delete a study in it."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("DELETE FROM trials WHERE study IN (SELECT id FROM studies WHERE name = ?)", (name,))
    connection.execute("DELETE FROM studies WHERE name = ?", (name,))


def _distribution(text: str) -> BaseDistribution:
    found = json_to_distribution(text)
    if isinstance(found, CategoricalDistribution):
        return CategoricalDistribution([_hashable(choice) for choice in found.choices])
    return found


def _hashable(value: Any) -> Any:
    # JSON knows no tuples; a choice that was one comes back as what it was.
    return tuple(_hashable(item) for item in value) if isinstance(value, list) else value
