"""The file of an archive: earlier layouts, several writers, and files that are replaced in use."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from autometa.exceptions import ArchiveError
from autometa.transfer.archive import archive_file
from autometa.transfer.study_archive import StudyArchive
from tests.transfer.old_archive import LAYOUT_1, dated_study, dated_trial, old_studies

optuna.logging.set_verbosity(optuna.logging.ERROR)

# Optuna says so wherever a choice is a tuple.
pytestmark = pytest.mark.filterwarnings("ignore:Choices for a categorical distribution")


def entries(archive: StudyArchive) -> list[tuple[str, int]]:
    return [(source.name, len(source.trials)) for source in archive.sources]


def layout_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA user_version").fetchone()[0]


def new_study(name: str, n: int = 1) -> optuna.Study:
    study = optuna.create_study(study_name=name)
    for _ in range(n):
        study.add_trial(create_trial(params={"x": 0.5}, distributions={"x": FloatDistribution(0, 1)}, value=1.0))
    return study


# ---- earlier layouts ----------------------------------------------------------------------------------------------

OLD_ENTRIES = [("churn", 4), ("empty", 0), ("queue", 1), ("same", 1), ("same (2)", 2), ("renamed", 2)]


@pytest.fixture
def old(tmp_path) -> Path:
    return Path(shutil.copy(LAYOUT_1, tmp_path / "old.db"))


def test_file_of_an_earlier_layout_is_read_as_it_is(old):
    archive = StudyArchive(old)
    assert entries(archive) == OLD_ENTRIES
    in_memory = StudyArchive()
    for study, options in old_studies():
        in_memory.add(study, **options)
    for before, after in zip(in_memory.sources, archive.sources, strict=True):
        assert (before.name, before.tags, before.distributions) == (after.name, after.tags, after.distributions)
        for trial, found in zip(before.trials, after.trials, strict=True):
            assert (trial.number, trial.state, trial.params) == (found.number, found.state, found.params)
            assert (trial.values, repr(trial.intermediate)) == (found.values, repr(found.intermediate))
    assert old.read_bytes() == LAYOUT_1.read_bytes()


def test_studies_of_an_earlier_layout_are_known_again(old):
    archive = StudyArchive(old)
    for study, _ in old_studies():
        archive.add(study)
    assert entries(archive) == entries(StudyArchive(old)) == OLD_ENTRIES
    assert archive.sources[0].tags == {"model": "lgbm"}
    assert layout_of(old) == 2


def test_studies_of_an_earlier_layout_go_on(old):
    archive = StudyArchive(old)
    for study, _ in old_studies():
        day = study.trials[-1].datetime_start.day if study.trials else 2
        waiting = [trial for trial in study.trials if trial.state == TrialState.WAITING]
        study.add_trial(dated_trial(len(study.trials), day))
        for trial in waiting:
            study.ask()
            study.tell(trial.number, 0.5)
        archive.add(study)
    extra = {"queue": 2}
    assert entries(archive) == [(name, n + extra.get(name, 1)) for name, n in OLD_ENTRIES]


def test_other_studies_are_none_of_an_earlier_layout(old):
    archive = StudyArchive(old)
    archive.add(dated_study("churn", 9, [TrialState.COMPLETE]))
    archive.add(dated_study("renamed", 9, [TrialState.COMPLETE]))
    assert entries(archive) == [*OLD_ENTRIES, ("churn (2)", 1), ("renamed (2)", 1)]


def test_change_that_fails_leaves_the_earlier_layout(old):
    study = optuna.create_study()
    study.add_trial(create_trial(params={"f": len}, distributions={"f": CategoricalDistribution([len])}, value=1.0))
    archive = StudyArchive(old)
    with pytest.raises(ArchiveError, match="categorical choice"):
        archive.add(study)
    with pytest.raises(KeyError):
        archive.remove("absent")
    assert layout_of(old) == 1
    assert entries(StudyArchive(old)) == entries(archive) == OLD_ENTRIES


def test_whoever_opened_an_earlier_layout_goes_on_when_another_has_changed_it(old):
    here, there = StudyArchive(old), StudyArchive(old)
    there.add(new_study("theirs"))
    here.add(new_study("mine"))
    assert entries(here) == [*OLD_ENTRIES, ("theirs", 1), ("mine", 1)]


def test_study_of_an_earlier_layout_can_be_removed(old):
    archive = StudyArchive(old)
    archive.remove("same")
    assert entries(StudyArchive(old)) == [entry for entry in OLD_ENTRIES if entry[0] != "same"]


# ---- several writers ----------------------------------------------------------------------------------------------


def test_archive_that_is_made_by_another_at_the_same_time_is_opened(tmp_path, monkeypatch):
    path, transaction = tmp_path / "studies.db", archive_file._transaction
    made: list[StudyArchive] = []

    def late(connection, kind):
        # Between the look that finds no archive and the lock for making one, another process makes it.
        if not made:
            made.append(None)
            made.append(StudyArchive(path))
            made[1].add(new_study("theirs"))
        return transaction(connection, kind)

    monkeypatch.setattr(archive_file, "_transaction", late)
    assert entries(StudyArchive(path)) == [("theirs", 1)]


def test_threads_make_and_fill_archives_at_the_same_time(tmp_path):
    barrier, failures = threading.Barrier(4), []

    def work(number: int) -> None:
        for k in range(6):
            barrier.wait()
            try:
                StudyArchive(tmp_path / f"{k}.db").add(new_study(f"study-{number}"))
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for k in range(6):
        assert sorted(entries(StudyArchive(tmp_path / f"{k}.db"))) == [(f"study-{n}", 1) for n in range(4)]


WORKER = """
import sys, time
from pathlib import Path
import optuna
from autometa import StudyArchive
optuna.logging.set_verbosity(optuna.logging.ERROR)
folder, number = Path(sys.argv[1]), sys.argv[2]
(folder / f"ready-{number}").touch()
while len(list(folder.glob("ready-*"))) < 3:
    time.sleep(0.001)
for k in range(20):
    archive = StudyArchive(folder / f"{k}.db")
    study = optuna.create_study(study_name=f"study-{number}")
    study.optimize(lambda t: t.suggest_float("x", 0, 1), n_trials=3, callbacks=[lambda s, t: archive.add(s)])
"""


@pytest.mark.slow
def test_processes_make_and_fill_archives_at_the_same_time(tmp_path):
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path), str(number)], stderr=subprocess.PIPE, text=True)
        for number in range(3)
    ]
    assert ["".join(worker.communicate()[1].splitlines()[-1:]) for worker in workers] == [""] * 3
    for k in range(20):
        assert sorted(entries(StudyArchive(tmp_path / f"{k}.db"))) == [(f"study-{n}", 3) for n in range(3)]


def test_every_writer_sees_what_the_others_wrote(tmp_path):
    here, there = StudyArchive(tmp_path / "s.db"), StudyArchive(tmp_path / "s.db")
    shared, theirs = new_study("shared"), new_study("theirs")
    here.add(shared)
    there.add(theirs, tags={"k": "v"})
    shared.add_trial(create_trial(value=2.0))
    there.add(shared)
    here.add(new_study("mine"))
    assert entries(here) == [("shared", 2), ("theirs", 1), ("mine", 1)]
    there.remove("shared")
    there.add(new_study("more"))
    here.reload()
    assert entries(here) == entries(there) == [("theirs", 1), ("mine", 1), ("more", 1)]
    assert repr(here.sources) == repr(StudyArchive(tmp_path / "s.db").sources)


def test_studies_that_have_not_changed_are_not_read_again(tmp_path):
    here, there = StudyArchive(tmp_path / "s.db"), StudyArchive(tmp_path / "s.db")
    here.add(new_study("a"))
    before = here.sources[0]
    there.add(new_study("b"))
    here.reload()
    assert here.sources[0] is before and entries(here) == [("a", 1), ("b", 1)]


def test_one_new_trial_is_one_new_row(tmp_path, monkeypatch):
    archive, study = StudyArchive(tmp_path / "s.db"), new_study("a", n=50)
    archive.add(study)
    study.add_trial(create_trial(value=2.0))
    rows = []
    trial_row = archive_file._trial_row
    monkeypatch.setattr(archive_file, "_trial_row", lambda trial: rows.append(trial.number) or trial_row(trial))
    archive.add(study)
    assert rows == [50] and entries(StudyArchive(tmp_path / "s.db")) == [("a", 51)]


def test_writer_that_was_away_for_long_reads_all_again(tmp_path, monkeypatch):
    monkeypatch.setattr(archive_file, "_N_CHANGES", 3)
    here, there = StudyArchive(tmp_path / "s.db"), StudyArchive(tmp_path / "s.db")
    here.add(new_study("mine"))
    there.add(new_study("theirs"))
    there.remove("mine")
    for number in range(5):
        there.add(new_study(str(number)))
    here.reload()
    assert entries(here) == [("theirs", 1), *((str(number), 1) for number in range(5))]


# ---- files that are replaced in use -------------------------------------------------------------------------------


@pytest.mark.parametrize("use", [lambda a: a.add(new_study("b")), StudyArchive.reload, lambda a: a.remove("a")])
def test_deleted_file_is_named_and_not_made_again(use, tmp_path):
    archive = StudyArchive(tmp_path / "s.db")
    archive.add(new_study("a"))
    (tmp_path / "s.db").unlink()
    with pytest.raises(ArchiveError, match=r"no archive .*s\.db any more: it was deleted or moved"):
        use(archive)
    assert not (tmp_path / "s.db").exists() and entries(archive) == [("a", 1)]


def test_file_that_was_made_anew_in_place_of_another_is_read(tmp_path):
    archive = StudyArchive(tmp_path / "s.db")
    archive.add(new_study("a"))
    (tmp_path / "s.db").unlink()
    StudyArchive(tmp_path / "s.db")
    archive.add(new_study("b"))
    assert entries(archive) == [("b", 1)]


def test_emptied_file_is_said(tmp_path):
    archive = StudyArchive(tmp_path / "s.db")
    (tmp_path / "s.db").write_bytes(b"")
    with pytest.raises(ArchiveError, match="replaced or emptied"):
        archive.add(new_study("a"))
    assert (tmp_path / "s.db").read_bytes() == b""


def test_earlier_copy_that_was_put_back_and_went_on_is_read_anew(tmp_path):
    path, copy = tmp_path / "s.db", tmp_path / "copy.db"
    archive = StudyArchive(path)
    archive.add(new_study("a"))
    shutil.copy(path, copy)
    archive.add(new_study("b"))
    shutil.copy(copy, path)
    other = StudyArchive(path)
    other.add(new_study("c"))
    other.add(new_study("d"))
    archive.reload()
    assert entries(archive) == [("a", 1), ("c", 1), ("d", 1)]


def test_archive_stays_the_same_file_in_another_working_directory(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    archive = StudyArchive("s.db")
    monkeypatch.chdir(tmp_path / "elsewhere")
    archive.add(new_study("a"))
    assert entries(StudyArchive(tmp_path / "s.db")) == [("a", 1)]
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("name", ["a b?c#d%20e.db", "ünï.db", "a&mode=ro.db"])
def test_file_may_have_any_name(name, tmp_path):
    StudyArchive(tmp_path / name).add(new_study("a"))
    assert entries(StudyArchive(tmp_path / name)) == [("a", 1)]
    assert (tmp_path / name).is_file()
