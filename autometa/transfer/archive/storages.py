"""Opens storages of Optuna for reading: nothing is created, and errors tell what to do."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from autometa.exceptions import ArchiveError, MissingDependencyError
from autometa.transfer.archive.archive_file import is_archive_file
from autometa.transfer.archive.origins import backend_of


def opened_storage(storage: str | BaseStorage) -> BaseStorage:
    """Return the storage of a URL or of the path of a journal file; a storage comes back as it is.

    Raises ArchiveError if it is missing, cannot be read, or was written by another version of Optuna.
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
            # Otherwise Optuna would create its tables in an empty database.
            return RDBStorage(storage, skip_table_creation=True)
        except ImportError as error:
            raise MissingDependencyError(
                f"The driver of the database {shown_url(storage)} is not installed ({error.__cause__ or error}). For "
                "PostgreSQL: pip install 'psycopg[binary]' (psycopg2-binary with SQLAlchemy below 2.1); for MySQL: "
                "pip install pymysql."
            ) from error
        except RuntimeError as error:
            if isinstance(error, StorageInternalError):
                raise
            raise ArchiveError(
                f"{shown_url(storage)} was written by another version of Optuna. {error} It was left as it is."
            ) from error


@contextlib.contextmanager
def reading_storage(storage: str | BaseStorage) -> Iterator[None]:
    """Raise an `ArchiveError` that tells what is wrong if a storage cannot be read within the block.

    Each kind of storage raises errors of its own: databases, gRPC, Redis, a user's class.
    """
    shown = shown_url(storage) if isinstance(storage, str) else f"The storage ({_about(storage)})"
    try:
        yield
    except (ArchiveError, MissingDependencyError):
        raise
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArchiveError(
            f"{shown} cannot be read ({error}): the journal is damaged, often in a line that a process was killed at "
            "while writing it. Take a copy, remove that line from it, and add the copy."
        ) from error
    except OSError as error:
        raise ArchiveError(f"{shown} cannot be read ({error}). Look whether it is there and may be read.") from error
    except Exception as error:
        raise ArchiveError(f"{shown} cannot be read ({_cause(error)}). It {_what_is_wrong(error)}.") from error


def _cause(error: Exception) -> str:
    """Return the first line of the error of a storage's library; the rest may be SQL statements with their values."""
    cause = getattr(error, "orig", None) or error.__cause__ or error
    details = getattr(cause, "details", None)  # the text of a gRPC error holds the state of the whole call
    text = details() if callable(details) else str(cause)
    lines = str(text or "").strip().splitlines()
    return lines[0] if lines else type(cause).__name__


def _what_is_wrong(error: Exception) -> str:
    if "locked" in _cause(error):
        return "is locked by another process: try again when it is done"
    if isinstance(error, KeyError):
        return "has no such study any more, or is no storage of Optuna"
    return "is missing, cannot be reached, or is no storage of Optuna"


def _about(storage: BaseStorage) -> str:
    """Return the class of a storage, and its address if it has one."""
    known = vars(backend_of(storage))
    if isinstance(known.get("url"), str):
        return shown_url(known["url"])
    if "_host" in known and "_port" in known:
        return f"{type(storage).__name__} at {known['_host']}:{known['_port']}"
    return f"{type(storage).__name__} {known.get('_file_path', '')}".rstrip()


def _opened_journal(path: Path) -> BaseStorage:
    if path.is_dir():
        raise ArchiveError(f"{path} is a folder. Give the path of a journal file in it, or the URL of a database.")
    if not path.is_file():
        raise ArchiveError(
            f"There is no journal file {path}. Give its path, or the URL of a database such as 'sqlite:///old.db'."
        )
    with reading_storage(str(path)):
        _check_is_journal(path)
        return JournalStorage(JournalFileBackend(str(path)))


def _check_is_journal(path: Path) -> None:
    """Raise ArchiveError if a file is not a journal of Optuna; a damaged journal passes."""
    _check_is_no_archive(path)
    with path.open("rb") as file:
        first = file.readline(1 << 20)
    if first.startswith(b"SQLite format 3\0"):
        raise ArchiveError(
            f"{path} is an SQLite file, not a journal. If it is a storage of Optuna, give its URL: "
            f"add_storage({f'sqlite:///{path}'!r})."
        )
    # Each line is a JSON object with this key. An empty file is the journal of a storage without studies.
    if first and not (first.lstrip().startswith(b"{") and b'"op_code"' in first):
        raise ArchiveError(
            f"{path} is no journal of Optuna: its first line is no entry of one. A journal is what "
            "JournalStorage(JournalFileBackend(path)) writes. Give its path, or the URL of a database such as "
            "'sqlite:///old.db'; results in a table are added with study.add_trial(optuna.create_trial(...))."
        )


def _check_is_no_archive(path: Path) -> None:
    if is_archive_file(path):
        raise ArchiveError(
            f"{path} is an archive of past studies, no storage of Optuna: StudyArchive({str(path)!r}) opens it."
        )


def _check_exists(url: str) -> None:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ArchiveError(f"{url!r} is no URL of a database; expected something like 'sqlite:///old.db'.") from error
    if parsed.get_backend_name() != "sqlite":
        return
    # SQLite would create a file that does not exist.
    if not parsed.database or parsed.database == ":memory:":
        raise ArchiveError(f"{url!r} names no file, and a database in memory holds no studies. Add the study itself.")
    if not Path(parsed.database).is_file():
        raise ArchiveError(f"There is no file {parsed.database}, which {url!r} names.")
    _check_is_no_archive(Path(parsed.database))


def shown_url(url: str) -> str:
    """Return a URL without its password; other text is returned as it is."""
    if "://" not in url:
        return url
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url
