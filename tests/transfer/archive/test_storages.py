"""An archive and MetaSampler on every kind of storage that Optuna has."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from autometa.exceptions import ArchiveError
from autometa.transfer.sampling.sampler import MetaSampler
from autometa.transfer.sampling.warm_start import warm_start
from autometa.transfer.study_archive import StudyArchive

optuna.logging.set_verbosity(optuna.logging.ERROR)


def objective(trial: optuna.Trial) -> float:
    penalty = 1.0 if trial.suggest_categorical("kind", ["good", "bad"]) == "bad" else 0.0
    return (trial.suggest_float("x", -1, 1) - 0.5) ** 2 + penalty


def check_transfer(storage, place) -> None:
    """From past studies in a storage, through an archive, to a new study in the same storage."""
    for seed in range(2):
        past = optuna.create_study(
            study_name=f"past-{seed}", storage=storage, sampler=optuna.samplers.RandomSampler(seed=seed)
        )
        past.optimize(objective, n_trials=12)
    archive = StudyArchive()
    assert archive.add_storage(place, pattern="past-*") == ("past-0", "past-1")
    assert [len(source.trials) for source in archive.sources] == [12, 12]
    new = optuna.create_study(study_name="new", storage=storage, sampler=MetaSampler(archive, seed=0))
    warm_start(new, archive, n=1)
    new.optimize(objective, n_trials=5)
    assert len(new.trials) == 5
    assert new.best_params["kind"] == "good"
    # Another process would open the study by its name.
    again = optuna.load_study(study_name="new", storage=place, sampler=MetaSampler(archive, seed=1))
    again.optimize(objective, n_trials=2)
    assert len({trial.params["x"] for trial in again.trials}) == 7


def test_storage_in_memory():
    storage = InMemoryStorage()
    check_transfer(storage, storage)


def test_journal(tmp_path):
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "journal")))
    check_transfer(storage, storage)


@pytest.mark.slow
def test_sqlite(tmp_path):
    url = f"sqlite:///{tmp_path}/studies.db"
    check_transfer(url, url)


def postgres_folder() -> Path | None:
    """Return the folder of the newest server's programs: Debian keeps them out of the path."""
    candidates = [folder for folder in Path("/usr/lib/postgresql").glob("*/bin") if (folder / "initdb").exists()]
    if candidates:
        return max(candidates, key=lambda folder: int(folder.parent.name) if folder.parent.name.isdigit() else 0)
    found = shutil.which("initdb")
    return Path(found).parent if found else None


@pytest.fixture(scope="module")
def postgres(tmp_path_factory) -> Iterator[str]:
    """Give the URL of a server that is started for this module, in a folder of its own."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'psycopg[binary]'")
    if sys.platform == "win32" or (programs := postgres_folder()) is None:
        pytest.skip("there is no PostgreSQL server here: apt-get install postgresql")
    folder = Path("/tmp") / f"autometa-postgres-{os.getpid()}"
    folder.mkdir(mode=0o700)
    user = {}
    if os.getuid() == 0:  # the server refuses to run as root
        try:
            entry = pwd.getpwnam("postgres")
        except KeyError:
            folder.rmdir()
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
        os.chown(folder, entry.pw_uid, entry.pw_gid)
        user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def call(program: str, *arguments: str, check: bool = True) -> None:
        command = [str(programs / program), "-D", str(folder / "data"), *arguments]
        # The server inherits what it is given: a pipe would never end.
        with (folder.parent / f"{folder.name}.log").open("a") as log:
            subprocess.run(command, stdout=log, stderr=log, cwd="/", check=check, timeout=120, **user)

    try:
        call("initdb", "-U", "autometa", "--auth=trust", "--no-sync", "--no-locale", "-E", "UTF8")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        call("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
        yield f"postgresql+psycopg://autometa@127.0.0.1:{port}/postgres"
    finally:
        call("pg_ctl", "-w", "-m", "immediate", "stop", check=False)
        shutil.rmtree(folder, ignore_errors=True)
        (folder.parent / f"{folder.name}.log").unlink(missing_ok=True)


@pytest.mark.slow
def test_postgresql(postgres):
    check_transfer(postgres, postgres)


@pytest.mark.slow
def test_postgresql_that_is_away_is_named(postgres):
    with pytest.raises(ArchiveError, match="cannot be read"):
        StudyArchive().add_storage(postgres.replace("/postgres", "/absent"))


@pytest.mark.slow
def test_study_in_postgresql_has_one_entry(postgres, tmp_path):
    archive = StudyArchive(tmp_path / "archive.db")
    study = optuna.create_study(study_name="one", storage=postgres)
    study.enqueue_trial({"x": 0.5, "kind": "good"})
    archive.add(study)
    study.optimize(objective, n_trials=3)
    archive.add(study, name="renamed")
    archive.add_storage(postgres.replace("127.0.0.1", "localhost"), pattern="one")
    copy = f"sqlite:///{tmp_path}/copy.db"
    optuna.copy_study(from_study_name="one", from_storage=postgres, to_storage=copy)
    archive.add_storage(copy)
    assert [(source.name, len(source.trials)) for source in archive.sources] == [("renamed", 3)]
    optuna.delete_study(study_name="one", storage=postgres)
    again = optuna.create_study(study_name="one", storage=postgres)
    archive.add(again)
    again.optimize(objective, n_trials=1)
    archive.add_storage(postgres, pattern="one")
    assert [(source.name, len(source.trials)) for source in archive.sources] == [("renamed", 3), ("one", 1)]
