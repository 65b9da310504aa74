"""A study has one entry in an archive, whenever, as often and from wherever it is added."""

from __future__ import annotations

import copy
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial

from autometa.transfer.study_archive import StudyArchive
from tests.transfer.old_archive import dated_study, dated_trial

optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.fixture(params=["memory", "file"])
def archive(request, tmp_path) -> StudyArchive:
    return StudyArchive() if request.param == "memory" else StudyArchive(tmp_path / "studies.db")


def journal(path: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(path)))


STORAGES: dict[str, Callable[[Path], BaseStorage | str]] = {
    "memory": lambda folder: InMemoryStorage(),
    "journal": lambda folder: journal(folder / "journal.log"),
    "sqlite": lambda folder: f"sqlite:///{folder}/optuna.db",
}


# To make the tables of a database takes a second.
@pytest.fixture(params=["memory", "journal", pytest.param("sqlite", marks=pytest.mark.slow)])
def storage(request, tmp_path) -> BaseStorage | str:
    return STORAGES[request.param](tmp_path)


def objective(trial: optuna.Trial) -> float:
    return trial.suggest_float("x", 0, 1)


def entries(archive: StudyArchive) -> list[tuple[str, int]]:
    return [(source.name, len(source.trials)) for source in archive.sources]


# ---- one study ----------------------------------------------------------------------------------------------------


def test_study_that_is_added_before_its_first_trial_has_one_entry(archive, storage):
    study = optuna.create_study(study_name="churn", storage=storage)
    archive.add(study)
    study.optimize(objective, n_trials=3)
    archive.add(study)
    assert entries(archive) == [("churn", 3)]


def test_study_that_is_added_while_trials_wait_or_run_has_one_entry(archive, storage):
    study = optuna.create_study(study_name="queue", storage=storage)
    study.enqueue_trial({"x": 0.5})
    study.add_trial(create_trial(params={"x": 0.1}, distributions={"x": FloatDistribution(0, 1)}, value=0.1))
    archive.add(study)
    assert entries(archive) == [("queue", 1)]
    waited = study.ask()
    archive.add(study)
    study.tell(waited, objective(waited))
    study.optimize(objective, n_trials=1)
    archive.add(study)
    assert entries(archive) == [("queue", 3)]
    assert [trial.number for trial in archive.sources[0].trials] == [0, 1, 2]


def test_study_added_under_a_name_and_again_from_its_storage_counts_once(archive, storage):
    study = optuna.create_study(study_name="churn", storage=storage)
    study.optimize(objective, n_trials=2)
    archive.add(study, name="last year", tags={"k": "v"})
    archive.add_storage(storage)
    archive.add(optuna.load_study(study_name="churn", storage=storage))
    assert entries(archive) == [("last year", 2)]
    assert archive.sources[0].tags == {"k": "v"}


def test_study_that_is_known_gets_the_name_that_is_given(archive):
    other, study = optuna.create_study(study_name="b"), optuna.create_study(study_name="a")
    archive.add(other)
    archive.add(study)
    archive.add(study, name="b")
    assert entries(archive) == [("b", 0), ("b (2)", 0)]
    archive.add(study, name="b")
    archive.add(study)
    assert entries(archive) == [("b", 0), ("b (2)", 0)]


def test_stale_snapshot_takes_nothing_away(archive):
    study = optuna.create_study(study_name="churn")
    study.optimize(objective, n_trials=2)
    stale = [copy.deepcopy(study), pickle.loads(pickle.dumps(study))]
    study.optimize(objective, n_trials=3)
    archive.add(study)
    for earlier in stale:
        archive.add(earlier)
        assert entries(archive) == [("churn", 5)]


@pytest.mark.slow
def test_copy_in_another_storage_counts_once_also_when_it_goes_on(archive, tmp_path):
    here, there = f"sqlite:///{tmp_path}/here.db", journal(tmp_path / "there.log")
    optuna.create_study(study_name="churn", storage=here).optimize(objective, n_trials=2)
    archive.add_storage(here)
    optuna.copy_study(from_study_name="churn", from_storage=here, to_storage=there)
    archive.add_storage(there)
    assert entries(archive) == [("churn", 2)]
    optuna.load_study(study_name="churn", storage=there).optimize(objective, n_trials=2)
    archive.add_storage(there)
    archive.add_storage(here)
    assert entries(archive) == [("churn", 4)]


@pytest.mark.slow
def test_moved_database_is_the_same(archive, tmp_path):
    optuna.create_study(study_name="churn", storage=f"sqlite:///{tmp_path}/a.db").optimize(objective, n_trials=2)
    archive.add_storage(f"sqlite:///{tmp_path}/a.db")
    (tmp_path / "a.db").rename(tmp_path / "b.db")
    archive.add_storage(f"sqlite:///{tmp_path}/b.db")
    assert entries(archive) == [("churn", 2)]


def test_results_that_were_mended_replace_the_old_ones(archive):
    trials = [dated_trial(number, day=1) for number in range(2)]
    for factor in (1.0, 100.0):
        study = optuna.create_study(study_name="churn")
        for trial in trials:
            trial.value = trial.number * factor
        study.add_trials(trials)
        archive.add(study)
    assert entries(archive) == [("churn", 2)]
    assert [trial.values for trial in archive.sources[0].trials] == [(0.0,), (100.0,)]


# ---- several studies ----------------------------------------------------------------------------------------------


def test_two_studies_of_one_name_are_kept_apart_whatever_they_hold(archive, tmp_path):
    places = {"a": InMemoryStorage(), "b": InMemoryStorage(), "c": journal(tmp_path / "journal.log")}
    studies = {key: optuna.create_study(study_name="same", storage=place) for key, place in places.items()}
    for study in studies.values():
        archive.add(study)
    assert entries(archive) == [("same", 0), ("same (2)", 0), ("same (3)", 0)]
    for number, study in enumerate(reversed(studies.values()), start=1):
        study.optimize(objective, n_trials=number)
        archive.add(study)
    assert entries(archive) == [("same", 3), ("same (2)", 2), ("same (3)", 1)]


def test_study_that_was_deleted_and_made_again_is_another_one(archive, storage):
    study = optuna.create_study(study_name="churn", storage=storage)
    study.optimize(objective, n_trials=3)
    archive.add(study)
    optuna.delete_study(study_name="churn", storage=study._storage)
    again = optuna.create_study(study_name="churn", storage=study._storage)
    again.enqueue_trial({"x": 0.5})
    for _ in range(2):
        archive.add(again)
        again.optimize(objective, n_trials=1)
    archive.add(again)
    assert entries(archive) == [("churn", 3), ("churn (2)", 2)]
    assert archive.sources[1].trials[0].params == {"x": 0.5}


def test_copies_that_went_on_by_themselves_lose_nothing(archive):
    study = optuna.create_study(study_name="churn")
    study.optimize(objective, n_trials=2)
    archive.add(study)
    twin = copy.deepcopy(study)
    for number, each in enumerate((study, twin), start=1):
        each.optimize(objective, n_trials=number)
    for _ in range(2):
        archive.add(study)
        archive.add(twin)
    assert entries(archive) == [("churn", 3), ("churn (2)", 4)]


def test_copy_under_another_name_is_a_study_of_its_own(archive, storage):
    study = optuna.create_study(study_name="churn", storage=storage)
    study.optimize(objective, n_trials=2)
    optuna.copy_study(
        from_study_name="churn", from_storage=study._storage, to_storage=study._storage, to_study_name="copy"
    )
    archive.add_storage(storage)
    archive.add_storage(storage)
    assert entries(archive) == [("churn", 2), ("copy", 2)]


def test_study_of_another_direction_is_another_one(archive):
    for direction in ("minimize", "maximize"):
        study = optuna.create_study(study_name="churn", direction=direction)
        study.add_trials([dated_trial(0, day=1)])
        archive.add(study)
    assert entries(archive) == [("churn", 1), ("churn (2)", 1)]


# ---- any course of things -----------------------------------------------------------------------------------------

STEPS = st.lists(
    st.sampled_from(
        [
            *("ask", "enqueue", "tell first", "tell last", "prune", "add", "add", "add from storage"),
            *("remember", "add what was remembered", "reload"),
        ]
    ),
    max_size=25,
)


@pytest.mark.slow
@settings(max_examples=150)
@given(steps=STEPS, is_stored=st.booleans())
def test_a_study_has_one_entry_with_all_trials_that_were_ever_seen(steps, is_stored):
    with TemporaryDirectory() as folder:
        storage = journal(Path(folder) / "journal.log") if is_stored else InMemoryStorage()
        archives = [StudyArchive(), StudyArchive(Path(folder) / "a.db"), StudyArchive(Path(folder) / "a.db")]
        study = optuna.create_study(study_name="churn", storage=storage, sampler=optuna.samplers.RandomSampler(seed=0))
        running: list[optuna.Trial] = []
        remembered = [copy.deepcopy(study)]
        seen: set[int] = set()
        is_added = False

        def add(found: optuna.Study, *, is_stored_too: bool = False) -> None:
            nonlocal is_added
            is_added = True
            seen.update(trial.number for trial in found.trials if trial.state.is_finished())
            for archive in archives:
                archive.add_storage(storage) if is_stored_too else archive.add(found)

        for step in steps:
            match step:
                case "ask":
                    running.append(study.ask({"x": FloatDistribution(0, 1)}))
                case "enqueue":
                    study.enqueue_trial({"x": 0.25})
                case "tell first" | "tell last" if running:
                    study.tell(running.pop(0 if step == "tell first" else -1), 1.0)
                case "prune" if running:
                    study.tell(running.pop(), state=TrialState.PRUNED)
                case "add":
                    add(study)
                case "add from storage":
                    add(study, is_stored_too=True)
                case "remember":
                    remembered.append(copy.deepcopy(study))
                # A copy in memory of what has not begun could be any study of that name.
                case "add what was remembered" if is_added and any(t.datetime_start for t in remembered[-1].trials):
                    add(remembered[-1])
                case "reload":
                    archives[-1].reload()
        for archive in archives:
            archive.reload()
            assert [source.name for source in archive.sources] == ["churn"] * is_added
            assert {trial.number for source in archive.sources for trial in source.trials} == seen
        assert repr(archives[0].sources) == repr(archives[1].sources) == repr(archives[2].sources)


@pytest.mark.slow
@settings(max_examples=60)
@given(
    choices=st.lists(st.sampled_from(["a", None, 3, 0.5, True, (1, 2), [1, 2], float("nan")]), min_size=1, max_size=6),
    n_at_once=st.integers(1, 4),
)
@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution")
def test_trial_by_trial_is_as_good_as_all_at_once(choices, n_at_once):
    with TemporaryDirectory() as folder:
        grown, at_once = StudyArchive(Path(folder) / "grown.db"), StudyArchive()
        study = optuna.create_study(study_name="churn")
        for number, choice in enumerate(choices):
            space = {"c": CategoricalDistribution(choices[: number + 1]), "x": FloatDistribution(-number, 1)}
            study.add_trial(create_trial(params={"c": choice, "x": 0.5}, distributions=space, value=float(number)))
            if number % n_at_once == 0:
                grown.add(study)
        grown.add(study)
        at_once.add(study)
        assert repr(grown.sources) == repr(at_once.sources) == repr(StudyArchive(grown.path).sources)


def test_nothing_new_is_no_change(archive, storage):
    study = optuna.create_study(study_name="churn", storage=storage)
    study.optimize(objective, n_trials=2)
    archive.add(study, tags={"k": "v"})
    before = archive.sources
    archive.add(study)
    archive.add(study, name="churn", tags={"k": "v"})
    archive.add_storage(storage)
    archive.reload()
    assert archive.sources is before


def test_copy_with_nothing_new_is_no_change(archive, tmp_path):
    optuna.create_study(study_name="churn", storage=journal(tmp_path / "a.log")).optimize(objective, n_trials=2)
    archive.add_storage(str(tmp_path / "a.log"))
    before = archive.sources
    shutil.copy(tmp_path / "a.log", tmp_path / "b.log")
    archive.add_storage(str(tmp_path / "b.log"))
    assert archive.sources is before


def test_study_of_another_day_is_told_apart_by_its_first_trial_alone(archive):
    for day in (1, 2):
        study = dated_study("nightly", day, [TrialState.COMPLETE])
        archive.add(study)
    assert entries(archive) == [("nightly", 1), ("nightly (2)", 1)]
