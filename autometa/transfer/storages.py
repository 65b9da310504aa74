"""Storages of Optuna, opened to be read: nothing is created where nothing was, and errors say what to do."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from autometa.exceptions import ArchiveError, MissingDependencyError


def opened_storage(storage: str | BaseStorage) -> BaseStorage:
    """Return the storage of a URL or of the path of a journal file; a storage comes back as it is.

    Raises
    ------
    TypeError
        If it is neither.
    ArchiveError
        If it is missing, cannot be read, or was written by another version of Optuna.
    MissingDependencyError
        If the driver of the database is not installed.
    """
    if isinstance(storage, BaseStorage):
        return storage
    if isinstance(storage, Path):
        storage = str(storage)
    if not isinstance(storage, str):
        raise TypeError(
            f"storage must be a URL such as 'sqlite:///old.db', the path of a journal file, or an Optuna storage, "
            f"got {type(storage).__name__}."
        )
    if "://" not in storage:
        return _opened_journal(Path(storage))
    _check_exists(storage)
    with reading_storage(storage):
        try:
            # A storage that is only read must exist already; tables would be made in an empty database.
            return RDBStorage(storage, skip_table_creation=True)
        except ImportError as error:
            raise MissingDependencyError(
                f"The driver of the database {_shown(storage)} is not installed ({error.__cause__ or error}). For "
                "PostgreSQL: pip install 'psycopg[binary]' (psycopg2-binary with SQLAlchemy below 2.1); for MySQL: "
                "pip install pymysql."
            ) from error
        except RuntimeError as error:
            if isinstance(error, StorageInternalError):
                raise
            raise ArchiveError(
                f"{_shown(storage)} was written by another version of Optuna. {error} It was left as it is."
            ) from error


@contextlib.contextmanager
def reading_storage(storage: str | BaseStorage) -> Iterator[None]:
    """Say in an `ArchiveError` what is the matter when a storage cannot be read within."""
    shown = _shown(storage) if isinstance(storage, str) else f"the {type(storage).__name__}"
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = str(getattr(error, "orig", None) or error.__cause__ or error).strip().splitlines()[0]
        what = (
            "is locked by another process: try again when it is done"
            if "locked" in cause
            else "is missing, cannot be reached, or is no storage of Optuna"
        )
        raise ArchiveError(f"{shown} cannot be read ({cause}). It {what}.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArchiveError(
            f"{shown} cannot be read ({error}): the journal is damaged, often in a line that a process was killed at "
            "while writing it. Take a copy, remove that line from it, and add the copy."
        ) from error
    except OSError as error:
        raise ArchiveError(f"{shown} cannot be read ({error}).") from error


def _opened_journal(path: Path) -> BaseStorage:
    if not path.is_file():
        raise ArchiveError(
            f"There is no journal file {path}. Give its path, or the URL of a database such as 'sqlite:///old.db'."
        )
    with reading_storage(str(path)):
        return JournalStorage(JournalFileBackend(str(path)))


def _check_exists(url: str) -> None:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ArchiveError(f"{url!r} is no URL of a database; expected something like 'sqlite:///old.db'.") from error
    if parsed.get_backend_name() != "sqlite":
        return
    # SQLite would make a file that is not there.
    if not parsed.database or parsed.database == ":memory:":
        raise ArchiveError(f"{url!r} names no file, and a database in memory holds no studies. Add the study itself.")
    if not Path(parsed.database).is_file():
        raise ArchiveError(f"There is no file {parsed.database}, which {url!r} names.")


def _shown(url: str) -> str:
    """Return a URL without its password; other text stays as it is."""
    if "://" not in url:
        return url
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url
