"""Where a study is stored: one text for one study, however its storage is opened."""

from __future__ import annotations

from types import SimpleNamespace

import optuna
import pytest
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from autometa.transfer.archive.origins import kind_of, origin_of

optuna.logging.set_verbosity(optuna.logging.ERROR)


def stored(study_id: int = 1, **address) -> SimpleNamespace:
    """Return a stand-in for a study in a storage with this address."""
    return SimpleNamespace(_study_id=study_id, _storage=SimpleNamespace(_backend=SimpleNamespace(**address)))


SAME = {
    "driver and user": [
        {"url": "postgresql+psycopg://me:secret@host:5432/db"},
        {"url": "postgresql://you@host:5432/db"},
    ],
    "ways to a file": [{"url": "sqlite:////data/x/../optuna.db"}, {"url": "sqlite:////data/optuna.db"}],
    "ways to a journal": [{"_file_path": "/data/old.log"}, {"_file_path": "/data/./old.log"}],
    "password of Redis": [
        {"_redis": None, "_url": "redis://:secret@host:6379/1", "_prefix": ""},
        {"_redis": None, "_url": "redis://host:6379/1", "_prefix": ""},
    ],
}
OTHER = {
    "database": [{"url": "mysql://me@host/a"}, {"url": "mysql://me@host/b"}],
    "host": [{"url": "mysql://me@one/a"}, {"url": "mysql://me@two/a"}],
    "file": [{"url": "sqlite:///a.db"}, {"url": "sqlite:///b.db"}],
    "port of a proxy": [{"_host": "localhost", "_port": 1}, {"_host": "localhost", "_port": 2}],
    "prefix in Redis": [{"_redis": None, "_url": "redis://host/1", "_prefix": p} for p in "ab"],
    "journal": [{"_file_path": "/data/a.log"}, {"_file_path": "/data/b.log"}],
}


@pytest.mark.parametrize("addresses", SAME.values(), ids=SAME)
def test_one_storage_has_one_origin(addresses):
    first, second = (origin_of(stored(**address)) for address in addresses)
    assert first == second != "" and "secret" not in first and "host" not in first


@pytest.mark.parametrize("addresses", OTHER.values(), ids=OTHER)
def test_other_storages_have_other_origins(addresses):
    first, second = (origin_of(stored(**address)) for address in addresses)
    assert first != second and kind_of(first) == kind_of(second) != ""


def test_studies_of_one_storage_have_their_own_origins():
    first, second = (origin_of(stored(number, url="mysql://me@host/a")) for number in (1, 2))
    assert first != second


def test_storage_of_an_unknown_kind_has_none():
    assert origin_of(stored(something="else")) == "" == kind_of("")


def test_journal_that_is_opened_twice_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = ["old.log", str(tmp_path / "old.log")]
    opened = [JournalStorage(JournalFileBackend(path)) for path in paths]
    optuna.create_study(study_name="a", storage=opened[0])
    origins = {origin_of(optuna.load_study(study_name="a", storage=storage)) for storage in opened}
    assert len(origins) == 1 and {kind_of(origin) for origin in origins} == {"journal"}


def test_storages_in_memory_are_themselves():
    storage = InMemoryStorage()
    study = optuna.create_study(study_name="a", storage=storage)
    assert origin_of(study) == origin_of(optuna.load_study(study_name="a", storage=storage))
    assert origin_of(study) != origin_of(optuna.create_study(study_name="a"))
