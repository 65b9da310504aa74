from __future__ import annotations

import math
import pickle
import sqlite3
import threading
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial

from autometa.exceptions import ArchiveError
from autometa.transfer.archive.sources import merged_distributions
from autometa.transfer.study_archive import StudyArchive

optuna.logging.set_verbosity(optuna.logging.WARNING)

SPACE = {
    "lr": FloatDistribution(1e-4, 1.0, log=True),
    "depth": IntDistribution(1, 9, step=2),
    "kind": CategoricalDistribution(["a", None, 3, 0.5, True]),
}


def make_study(name: str = "old", storage=None, n: int = 3, **options) -> optuna.Study:
    study = optuna.create_study(study_name=name, storage=storage, **options)
    for number in range(n):
        params = {"lr": 10.0 ** -(number % 5), "depth": 1 + 2 * (number % 5), "kind": SPACE["kind"].choices[number % 5]}
        values = [float(number)] * len(study.directions)
        study.add_trial(
            create_trial(params=params, distributions=SPACE, values=values, intermediate_values={1: 2.0, 5: math.nan})
        )
    return study


@pytest.fixture(params=["memory", "file"])
def archive(request, tmp_path) -> StudyArchive:
    return StudyArchive() if request.param == "memory" else StudyArchive(tmp_path / "studies.db")


def test_study_comes_back_as_it_was_added(archive):
    study = make_study(directions=["minimize", "maximize"])
    archive.add(study, name="churn", tags={"model": "lgbm"})
    (source,) = archive.sources
    assert (source.name, dict(source.tags), source.directions) == ("churn", {"model": "lgbm"}, ("minimize", "maximize"))
    assert dict(source.distributions) == SPACE
    for before, after in zip(study.trials, source.trials, strict=True):
        assert after.params == before.params
        assert [type(value) for value in after.params.values()] == [type(value) for value in before.params.values()]
        assert list(after.values) == before.values
        assert list(after.intermediate) == [1, 5]
        assert after.intermediate[1] == 2.0 and math.isnan(after.intermediate[5])
        assert after.state == TrialState.COMPLETE


def test_file_holds_what_memory_holds(tmp_path):
    in_memory, in_file = StudyArchive(), StudyArchive(tmp_path / "studies.db")
    study = make_study()
    in_memory.add(study)
    in_file.add(study)
    reopened = StudyArchive(str(tmp_path / "studies.db"))
    assert repr(reopened.sources) == repr(in_memory.sources)  # NaN equals nothing, its text does
    assert len(reopened) == 1


def test_study_added_again_is_brought_up_to_date_and_keeps_its_place_and_tags(archive):
    first, second = make_study("first"), make_study("second")
    archive.add(first, tags={"k": "v"})
    archive.add(second)
    first.add_trial(create_trial(params={"lr": 0.5}, distributions={"lr": SPACE["lr"]}, value=9.0))
    archive.add(first)
    assert [source.name for source in archive.sources] == ["first", "second"]
    assert len(archive.sources[0].trials) == 4
    assert archive.sources[0].tags == {"k": "v"}


def test_another_study_of_the_same_name_is_kept_beside_it(archive):
    archive.add(make_study("same"))
    archive.add(make_study("same", n=2))
    assert [(source.name, len(source.trials)) for source in archive.sources] == [("same", 3), ("same (2)", 2)]


def test_only_finished_trials_are_kept_and_the_study_is_left_alone(archive):
    study = make_study()
    study.ask()
    study.enqueue_trial({"lr": 0.1})
    study.tell(study.ask(), state=TrialState.FAIL)
    pruned = study.ask()
    pruned.report(0.3, 7)
    study.tell(pruned, state=TrialState.PRUNED)
    before = study.trials
    archive.add(study)
    assert study.trials == before
    states = [trial.state for trial in archive.sources[0].trials]
    assert states == [TrialState.COMPLETE] * 3 + [TrialState.FAIL, TrialState.PRUNED]
    assert archive.sources[0].trials[-1].intermediate == {7: 0.3}
    assert archive.sources[0].trials[-1].values is None


def test_constraints_that_do_not_hold_are_remembered(archive):
    study = optuna.create_study()
    for number in range(2):
        trial = study.ask()
        trial.set_constraint("memory", number - 0.5)
        study.tell(trial, 1.0)
    archive.add(study)
    assert [trial.feasible for trial in archive.sources[0].trials] == [True, False]


def test_study_without_trials_can_be_added(archive):
    archive.add(optuna.create_study(study_name="empty"))
    assert archive.sources[0].trials == () and archive.sources[0].distributions == {}


def test_sources_are_a_new_tuple_when_something_changed(archive):
    before = archive.sources
    archive.add(make_study())
    assert before == () and archive.sources is not before
    assert archive.sources is archive.sources


def test_select_by_name_and_tags(archive):
    archive.add(make_study("lgbm-1"), tags={"model": "lgbm", "task": "churn"})
    archive.add(make_study("lgbm-2"), tags={"model": "lgbm"})
    archive.add(make_study("mlp-1"))
    assert [s.name for s in archive.select("lgbm-*").sources] == ["lgbm-1", "lgbm-2"]
    assert [s.name for s in archive.select(tags={"task": "churn"}).sources] == ["lgbm-1"]


def test_removed_study_is_gone(archive):
    archive.add(make_study("a"))
    archive.add(make_study("b"))
    archive.remove("a")
    assert [source.name for source in archive.sources] == ["b"]
    archive.reload()
    assert [source.name for source in archive.sources] == ["b"]
    with pytest.raises(KeyError, match="no study 'a'"):
        archive.remove("a")


def test_what_another_process_added_is_seen_after_reload(tmp_path):
    here, there = StudyArchive(tmp_path / "s.db"), StudyArchive(tmp_path / "s.db")
    there.add(make_study("theirs"))
    assert len(here) == 0
    here.reload()
    assert len(here) == 1


def test_writers_at_the_same_time_lose_nothing(tmp_path):
    studies = [make_study("same", n=1) for _ in range(6)]
    archives = [StudyArchive(tmp_path / "s.db") for _ in studies]
    threads = [threading.Thread(target=a.add, args=(s,)) for a, s in zip(archives, studies, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({source.name for source in StudyArchive(tmp_path / "s.db").sources}) == 6


def test_archive_travels_to_other_processes(archive):
    archive.add(make_study())
    copy = pickle.loads(pickle.dumps(archive))
    copy.add(make_study("more"))
    assert len(copy) == 2 and len(archive) == 1


@pytest.mark.parametrize("kind", ["storage", "sqlite url", "journal path", "journal storage"])
def test_storage_is_added_by_pattern_and_not_changed(kind, tmp_path, archive):
    path = tmp_path / "old"
    storages = {
        "storage": InMemoryStorage,
        "sqlite url": lambda: f"sqlite:///{path}",
        "journal path": lambda: JournalStorage(JournalFileBackend(str(path))),
        "journal storage": lambda: JournalStorage(JournalFileBackend(str(path))),
    }
    storage = storages[kind]()
    for name in ("lgbm-1", "lgbm-2", "mlp-1"):
        make_study(name, storage=storage)
    content = path.read_bytes() if path.exists() else b""
    found = archive.add_storage(str(path) if kind == "journal path" else storage, pattern="lgbm-*", tags={"k": "v"})
    assert found == ("lgbm-1", "lgbm-2")
    assert [(s.name, len(s.trials), dict(s.tags)) for s in archive.sources] == [(n, 3, {"k": "v"}) for n in found]
    assert (path.read_bytes() if path.exists() else b"") == content
    archive.add_storage(str(path) if kind == "journal path" else storage)
    assert len(archive) == 3


def test_pattern_without_a_match_is_said(archive, caplog):
    assert archive.add_storage(InMemoryStorage(), pattern="x*") == ()
    assert "No study matches 'x*'" in caplog.text


# ---- bad input ----------------------------------------------------------------------------------------------------


def other_sqlite(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE things (x)")
    connection.close()


def damaged(path: Path) -> None:
    StudyArchive(path).add(make_study(n=200))
    content = bytearray(path.read_bytes())
    content[4096:] = b"\x17" * (len(content) - 4096)
    path.write_bytes(content)


def newer(path: Path) -> None:
    StudyArchive(path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 9")
    connection.close()


def bad_row(path: Path) -> None:
    StudyArchive(path).add(make_study())
    connection = sqlite3.connect(path)
    connection.execute("UPDATE trials SET params = '{'")
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda path: path.write_text("no database at all, but long enough to be looked at" * 20), "damaged"),
        (other_sqlite, "no archive of studies; it was left as it is"),
        (lambda path: make_study(storage=f"sqlite:///{path}"), "add_storage"),
        (damaged, "damaged"),
        (newer, "layout 9"),
        (bad_row, "a row cannot be read"),
        (lambda path: path.mkdir(), "is a folder"),
    ],
    ids=["text", "other database", "Optuna's storage", "damaged", "newer layout", "bad row", "folder"],
)
def test_file_that_is_no_archive_is_refused_and_left_alone(spoil, text, tmp_path):
    path = tmp_path / "studies.db"
    spoil(path)
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(ArchiveError, match=text):
        StudyArchive(path)
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(ArchiveError, match="there is no folder"):
        StudyArchive(tmp_path / "absent" / "studies.db")


def test_locked_archive_is_said_and_unchanged(tmp_path, monkeypatch):
    monkeypatch.setattr("autometa.transfer.archive.archive_file._LOCK_WAIT_S", 0.05)
    archive = StudyArchive(tmp_path / "studies.db")
    archive.add(make_study("a"))
    other = sqlite3.connect(tmp_path / "studies.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(ArchiveError, match="is locked"):
        archive.add(make_study("b"))
    other.close()
    assert [source.name for source in archive.sources] == ["a"]
    archive.add(make_study("b"))
    assert len(archive) == 2


def test_choice_that_no_file_can_hold_is_refused_before_anything_is_written(tmp_path):
    study = optuna.create_study()
    with pytest.warns(UserWarning, match="persistent storage"):
        study.optimize(lambda trial: trial.suggest_categorical("f", [len, max]) is len, n_trials=2)
    archive = StudyArchive(tmp_path / "studies.db")
    with pytest.raises(ArchiveError, match="categorical choice"):
        archive.add(study)
    archive.reload()
    assert len(archive) == 0
    in_memory = StudyArchive()
    in_memory.add(study)
    assert len(in_memory) == 1


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda folder: f"sqlite:///{folder}/absent.db", "There is no file"),
        (lambda folder: f"{folder}/absent.log", "no journal file"),
        (lambda folder: "nonsense://", "no URL|cannot be read"),
        (lambda folder: "sqlite://", "names no file"),
    ],
    ids=["sqlite", "journal", "nonsense", "memory"],
)
def test_missing_storage_is_named_and_not_made(make, text, tmp_path):
    with pytest.raises(ArchiveError, match=text):
        StudyArchive().add_storage(make(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_damaged_storages_are_named(tmp_path):
    (tmp_path / "bad.db").write_text("nothing" * 200)
    with pytest.raises(ArchiveError, match="cannot be read"):
        StudyArchive().add_storage(f"sqlite:///{tmp_path}/bad.db")
    other_sqlite(tmp_path / "other.db")
    before = (tmp_path / "other.db").read_bytes()
    with pytest.raises(ArchiveError, match="no storage of Optuna"):
        StudyArchive().add_storage(f"sqlite:///{tmp_path}/other.db")
    assert (tmp_path / "other.db").read_bytes() == before
    (tmp_path / "bad.log").write_text('{"op_code": 0, "worker_id"\n{}\n')
    with pytest.raises(ArchiveError, match="journal is damaged|cannot be read"):
        StudyArchive().add_storage(str(tmp_path / "bad.log"))


def test_storage_of_another_version_of_optuna_is_named(tmp_path):
    make_study(storage=f"sqlite:///{tmp_path}/old.db")
    connection = sqlite3.connect(tmp_path / "old.db")
    connection.execute("UPDATE alembic_version SET version_num = 'v0.9.0.a'")
    connection.commit()
    connection.close()
    with pytest.raises(ArchiveError, match="another version of Optuna.*optuna storage upgrade"):
        StudyArchive().add_storage(f"sqlite:///{tmp_path}/old.db")


def test_locked_storage_is_said(tmp_path):
    make_study(storage=f"sqlite:///{tmp_path}/old.db")
    other = sqlite3.connect(tmp_path / "old.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(ArchiveError, match="locked"):
        StudyArchive().add_storage(f"sqlite:///{tmp_path}/old.db?timeout=0.05")
    other.close()


def test_password_is_not_shown():
    with pytest.raises((ArchiveError, ImportError)) as caught:
        StudyArchive().add_storage("postgresql://me:secret@localhost:1/none")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("argument", [None, "old", 3])
def test_what_is_no_study_is_refused(argument, archive):
    with pytest.raises(TypeError, match=r"must be an optuna\.Study"):
        archive.add(argument)


def test_bad_tags_and_names_are_refused(archive):
    with pytest.raises(TypeError, match="tags must map"):
        archive.add(make_study(), tags={"model": 3})
    with pytest.raises(TypeError, match="name must be"):
        archive.add(make_study(), name="")


@pytest.mark.parametrize(
    ("path", "error", "text"),
    [
        ("sqlite:///opt.db", ArchiveError, r"is a URL.*StudyArchive\('opt.db'\).*add_storage\('sqlite:///opt.db'\)"),
        ("sqlite:////data/opt.db", ArchiveError, r"StudyArchive\('/data/opt.db'\)"),
        (Path("sqlite:///opt.db"), ArchiveError, "is a URL"),
        ("postgresql://me:secret@host/db", ArchiveError, r"me:\*\*\*@host.*StudyArchive\('studies.db'\)"),
        (3, TypeError, "path must be the path of the archive's file or None, got int"),
        (True, TypeError, "got bool"),
        (b"studies.db", TypeError, "got bytes"),
        (["studies.db"], TypeError, "got list"),
        (optuna.create_study(), TypeError, r"got Study\. Studies are added with add\(study\)"),
        (":memory:", ArchiveError, r"StudyArchive\(\) without a path"),
        ("\ud800.db", ArchiveError, "cannot be the name of a file"),
        ("a\0b.db", ArchiveError, "cannot be the name of a file"),
        ("absent/studies.db", ArchiveError, "there is no folder .*absent"),
    ],
    ids=str,
)
def test_what_is_no_path_is_named_and_nothing_is_made(path, error, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=text) as caught:
        StudyArchive(path)
    assert list(tmp_path.iterdir()) == []
    assert "secret" not in str(caught.value)


CHOICES = {
    "lists": [[1, 2], [3]],
    "tuples": [(1, 2), (3,)],
    "nested": [[(1, [2])], ()],
    "mappings": [{"a": (1,)}, {2: [3]}],
    "NaN and infinity": [math.nan, math.inf, -math.inf, 1.0],
    "large integers": [2**100, -(2**64)],
    "lone surrogates": ["\ud800", "x\0y"],
    "NumPy scalars": [np.int64(3), np.float64(0.5), np.bool_(True)],
}


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution")
@pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)
def test_choices_of_any_kind_come_back_as_they_were(choices, tmp_path):
    study = optuna.create_study(study_name="any")
    space = {"c": CategoricalDistribution(choices)}
    for choice in choices:
        study.add_trial(create_trial(params={"c": choice}, distributions=space, value=1.0))
    archive = StudyArchive(tmp_path / "s.db")
    archive.add(study)
    (source,) = StudyArchive(tmp_path / "s.db").sources
    plain = [choice.item() if isinstance(choice, np.generic) else choice for choice in choices]
    assert repr(source.distributions["c"].choices) == repr(tuple(plain))
    assert repr([trial.params["c"] for trial in source.trials]) == repr(plain)
    before = archive.sources
    archive.add(study)
    assert len(archive) == 1 and repr(archive.sources) == repr(before)


def test_numbers_of_any_size_come_back_as_they_were(archive):
    study = optuna.create_study(study_name="numbers")
    space = {"n": IntDistribution(0, 2**100), "x": FloatDistribution(-1e308, 1e308)}
    for value in (math.inf, -math.inf, 5e-324, 1.7e308):
        curve = {0: math.nan, 2**40: math.inf}
        study.add_trial(
            create_trial(params={"n": 2**99, "x": 1e-320}, distributions=space, value=value, intermediate_values=curve)
        )
    archive.add(study)
    archive.reload()
    (source,) = archive.sources
    assert [trial.values for trial in source.trials] == [(math.inf,), (-math.inf,), (5e-324,), (1.7e308,)]
    assert source.trials[0].params == {"n": 2**99, "x": 1e-320} and source.distributions == space
    assert repr(source.trials[0].intermediate) == repr({0: math.nan, 2**40: math.inf})


def test_names_and_tags_may_be_any_text(archive, caplog):
    for text in ("\ud800", "", "a\0b", "'; DROP TABLE studies; --", "\U0001f600", "churn (2)"):
        study = optuna.create_study(study_name=text)
        study.add_trial(create_trial(params={text: 0.5}, distributions={text: FloatDistribution(0, 1)}, value=1.0))
        archive.add(study, tags={text: text})
        archive.add(study)
        again = optuna.create_study(study_name=text)
        archive.add(again)
        archive.reload()
        assert [source.name for source in archive.select(tags={text: text}).sources] == [text]
        assert archive.sources[-2].trials[0].params == {text: 0.5}
        archive.remove(archive.sources[-1].name)
    assert len(archive) == 6


def test_attributes_and_texts_of_errors_are_not_stored(tmp_path):
    study = optuna.create_study(study_name="churn")
    study.set_user_attr("note", "SECRET")
    secret = {"fail_reason": "could not convert 'SECRET' to float"}
    study.add_trial(create_trial(state=TrialState.FAIL, user_attrs=secret, system_attrs=secret))
    study.add_trial(create_trial(value=1.0, user_attrs=secret, system_attrs=secret))
    archive = StudyArchive(tmp_path / "s.db")
    archive.add(study)
    assert [trial.state for trial in archive.sources[0].trials] == [TrialState.FAIL, TrialState.COMPLETE]
    assert b"SECRET" not in (tmp_path / "s.db").read_bytes()
    assert "SECRET" not in repr(archive.sources)


def test_address_of_a_storage_is_not_stored(tmp_path):
    make_study(storage=f"sqlite:///{tmp_path}/host-and-folder.db", n=1)
    archive = StudyArchive(tmp_path / "s.db")
    archive.add_storage(f"sqlite:///{tmp_path}/host-and-folder.db")
    assert b"host-and-folder" not in (tmp_path / "s.db").read_bytes()


@pytest.mark.parametrize("kind", ["Optuna's SQLite", "archive", "archive by its URL", "CSV", "JSON", "bytes", "folder"])
def test_file_that_is_no_journal_is_named(kind, tmp_path):
    path, storage = tmp_path / "file", str(tmp_path / "file")
    match kind:
        case "Optuna's SQLite":
            make_study(storage=f"sqlite:///{path}")
            text = f"is an SQLite file, not a journal.*add_storage\\('sqlite:///{path}'\\)"
        case "archive" | "archive by its URL":
            StudyArchive(path)
            text = rf"is an archive of past studies.*StudyArchive\('{path}'\)"
            storage = storage if kind == "archive" else f"sqlite:///{path}"
        case "CSV":
            path.write_text("rate,loss\n0.1,0.5\n")
            text = "no journal of Optuna.*its first line"
        case "JSON":
            path.write_text('{"trials": []}\n')
            text = "no journal of Optuna"
        case "bytes":
            path.write_bytes(bytes(range(256)) * 9)
            text = "no journal of Optuna"
        case "folder":
            path.mkdir()
            text = "is a folder"
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(ArchiveError, match=text):
        StudyArchive().add_storage(storage)
    assert (path.read_bytes() if path.is_file() else b"") == before
    assert [found for found in tmp_path.iterdir() if found.suffix != ".db-journal"] == [path]


def test_empty_journal_has_no_studies(tmp_path):
    (tmp_path / "old.log").touch()
    assert StudyArchive().add_storage(str(tmp_path / "old.log")) == ()


class Away(InMemoryStorage):
    """A storage whose server is away: each library has an error of its own for it."""

    error: Exception = RuntimeError()

    def get_all_studies(self):
        raise self.error

    def get_all_trials(self, *arguments, **options):
        raise self.error


class CallError(Exception):
    """What gRPC raises: its text is long, and what counts is in its details."""

    def details(self) -> str:
        return "failed to connect to all addresses"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            CallError("<_InactiveRpcError of RPC that terminated with:\n status = …"),
            "failed to connect to all addresses",
        ),
        (ConnectionError("refused"), "refused"),
        (RuntimeError("no answer\nparameters: SECRET"), r"no answer\)\. It is missing, cannot be reached"),
        (KeyError("Record does not exist."), "has no such study any more"),
        (Exception(), "Exception"),
    ],
    ids=["gRPC", "connection", "several lines", "key", "no text"],
)
def test_storage_that_is_away_is_named(error, text, archive):
    storage = Away()
    study = optuna.create_study(storage=storage)
    storage.error = error
    for use in (lambda: archive.add_storage(storage), lambda: archive.add(study)):
        with pytest.raises(ArchiveError, match=rf"The storage \(Away\) cannot be read \(.*{text}") as caught:
            use()
        assert "SECRET" not in str(caught.value)
    assert len(archive) == 0


def test_changed_ranges_and_choices_are_merged():
    found = merged_distributions(
        [
            {"x": FloatDistribution(0, 1), "c": CategoricalDistribution(["a", "b"]), "k": IntDistribution(1, 5)},
            {"x": FloatDistribution(-1, 0.5), "c": CategoricalDistribution(["b", "c"]), "k": FloatDistribution(0, 1)},
        ]
    )
    assert found == {
        "x": FloatDistribution(-1, 1),
        "c": CategoricalDistribution(["a", "b", "c"]),
        "k": FloatDistribution(0, 1),
    }


def test_choice_nan_is_merged_once():
    spaces = [{"c": CategoricalDistribution([float("nan"), "a"])}, {"c": CategoricalDistribution([float("nan"), "b"])}]
    assert repr(merged_distributions(spaces)["c"].choices) == "(nan, 'a', 'b')"
