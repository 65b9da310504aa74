"""Identifies where a study is stored by a short text, the same wherever and whenever the study is opened."""

from __future__ import annotations

import hashlib
import os
import threading
import uuid
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from optuna.storages import BaseStorage, InMemoryStorage
from optuna.study import Study

from autometa._support.optuna_internals import storage_of, study_id

IN_MEMORY = "memory"

_lock = threading.Lock()
_in_memory: WeakKeyDictionary[BaseStorage, str] = WeakKeyDictionary()


def origin_of(study: Study) -> str:
    """Return ``kind:storage:study_id``, or "" for a storage of an unknown kind.

    A storage in memory has no address: it gets a random one for its lifetime. Addresses of other storages are
    hashed, so that an archive does not reveal the names of hosts and folders.
    """
    storage = storage_of(study)
    kind, address = _address(storage)
    if not kind:
        return ""
    if kind == IN_MEMORY:
        with _lock:
            digest = _in_memory.setdefault(storage, uuid.uuid4().hex)
    else:
        digest = hashlib.sha256(address.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"{kind}:{digest}:{study_id(study)}"


def kind_of(origin: str) -> str:
    """Return the kind of storage that an origin names, "" if it is unknown."""
    return origin.partition(":")[0]


def _address(storage: BaseStorage) -> tuple[str, str]:
    """Return the kind and the address of a storage, ("", "") if it is unknown."""
    if isinstance(storage, InMemoryStorage):
        return IN_MEMORY, ""
    match vars(backend_of(storage)):
        case {"url": str(url)}:
            return _database(url)
        case {"_file_path": str(path)}:
            return "journal", os.path.realpath(path)
        case {"_redis": _, "_url": str(url), "_prefix": str(prefix)}:
            return "redis", f"{_without_user(url)} {prefix}"
        case {"_host": str(host), "_port": port}:
            return "grpc", f"{host}:{port}"
    return "", ""


def backend_of(storage: BaseStorage) -> Any:
    """Return what has the address: Optuna wraps databases in a cache, and journals in a storage."""
    return getattr(storage, "_backend", storage)


def _database(url: str) -> tuple[str, str]:
    from sqlalchemy.engine import make_url  # loaded already where there is a database

    parsed = make_url(url)
    kind = parsed.get_backend_name()
    if kind != "sqlite":
        # The driver and the user do not tell which database it is.
        return kind, f"{parsed.host}:{parsed.port}/{parsed.database}"
    if not parsed.database or parsed.database == ":memory:":
        return IN_MEMORY, ""
    return kind, os.path.realpath(parsed.database)


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port}{parts.path}"
