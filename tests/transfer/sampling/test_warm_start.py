from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from autometa.exceptions import ArchiveError
from autometa.transfer.sampling.warm_start import warm_start
from autometa.transfer.study_archive import StudyArchive

optuna.logging.set_verbosity(optuna.logging.ERROR)


def two_kinds(trial: optuna.Trial, kind: str) -> float:
    x = trial.suggest_float("x", 0, 1)
    c = trial.suggest_categorical("c", ["a", "b", "z"])
    return abs(x - (0.1 if kind == "left" else 0.9)) + (c == "z")


@pytest.fixture(scope="module")
def archive() -> StudyArchive:
    archive = StudyArchive()
    for seed in range(6):
        study = optuna.create_study(study_name=f"old-{seed}", sampler=RandomSampler(seed=seed))
        study.optimize(lambda trial: two_kinds(trial, "left" if seed % 2 else "right"), n_trials=30)  # noqa: B023
        archive.add(study)
    return archive


def test_enqueued_configurations_are_complementary(archive):
    study = optuna.create_study()
    enqueued = warm_start(study, archive, n=3)
    places = [configuration["x"] for configuration in enqueued]
    assert min(places) < 0.3 and max(places) > 0.7
    assert all(configuration["c"] != "z" for configuration in enqueued)


def test_nothing_but_waiting_trials_is_added(archive):
    study = optuna.create_study()
    enqueued = warm_start(study, archive, n=4)
    assert [trial.state for trial in study.trials] == [TrialState.WAITING] * 4
    study.optimize(lambda trial: two_kinds(trial, "left"), n_trials=5)
    assert [trial.params for trial in study.trials[:4]] == list(enqueued)
    assert study.user_attrs == {}


def test_twice_is_as_good_as_once(archive):
    study = optuna.create_study()
    warm_start(study, archive, n=3)
    warm_start(study, archive, n=3)
    assert len(study.trials) == 3


def test_values_are_clipped_and_choices_mapped_to_the_new_space(archive):
    space = {"rate": FloatDistribution(0.3, 0.6), "c": CategoricalDistribution(["b", "new"])}
    study = optuna.create_study()
    enqueued = warm_start(study, archive, n=4, names={"x": "rate"}, space=space)
    assert enqueued
    for configuration in enqueued:
        assert set(configuration) == {"rate", "c"}
        assert 0.3 <= configuration["rate"] <= 0.6 and configuration["c"] in ("b", "new")


def test_space_of_the_trials_so_far_counts(archive):
    study = optuna.create_study()
    study.optimize(lambda trial: trial.suggest_float("x", 0.4, 0.5), n_trials=2)
    enqueued = warm_start(study, archive, n=2)
    assert all(set(configuration) == {"x"} and 0.4 <= configuration["x"] <= 0.5 for configuration in enqueued)


def test_empty_archive_enqueues_nothing_and_says_so():
    study = optuna.create_study()
    with pytest.warns(UserWarning, match="Cold start of .*the archive is empty.*Nothing is enqueued"):
        assert warm_start(study, StudyArchive()) == ()
    assert study.trials == []


@pytest.mark.slow
def test_policy_advises_in_the_names_and_ranges_of_the_user():
    from sklearn.datasets import load_breast_cancer

    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    study = optuna.create_study()
    space = {"lr": FloatDistribution(0.05, 0.06), "num_leaves": IntDistribution(4, 16)}
    enqueued = warm_start(study, X, y, strategy="lightgbm", names={"learning_rate": "lr"}, n=4, space=space)
    assert enqueued and len(study.trials) == len(enqueued) <= 4
    for configuration in enqueued:
        assert set(configuration) <= {"lr", "num_leaves"} and 0.05 <= configuration["lr"] <= 0.06
    free = optuna.create_study()
    enqueued = warm_start(free, X, y, strategy="lightgbm", names={"learning_rate": "lr"}, n=2)
    assert len(enqueued) == 2 and all("learning_rate" not in configuration for configuration in enqueued)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "text"),
    [
        (("study",), {}, TypeError, "optuna.Study"),
        ((None,), {"n": 0}, ValueError, "n must be"),
        ((None,), {"n": 2.5}, ValueError, "n must be"),
        ((None,), {"strategy": "lightgbm"}, TypeError, "go with a table, got strategy"),
        ((None,), {"y": 4}, TypeError, r"got y\. How many .* by name: warm_start\(study, archive, n=4\)"),
        ((None,), {"seed": 4, "metric": "f1"}, TypeError, r"got seed, metric\.$"),
        ((None,), {"space": {"x": (0, 1)}}, TypeError, r"distributions of Optuna as values, got \(0, 1\) for 'x'"),
        ((None,), {"space": [("x", 1)]}, TypeError, "space must map names"),
        ((None,), {"space": {1: FloatDistribution(0, 1)}}, TypeError, "names of parameters as keys, got 1"),
        ((None,), {"names": {"x": 1}}, TypeError, "names must"),
        (([[1.0]],), {}, TypeError, "Give past studies, or a table"),
    ],
    ids=[*("study", "n", "half", "strategy", "n by position", "options", "range", "pairs", "key"), "names", "table"],
)
def test_wrong_arguments_are_named(arguments, options, error, text):
    study = "study" if arguments[0] == "study" else optuna.create_study()
    source = arguments[0] if isinstance(arguments[0], list) else StudyArchive()
    with pytest.raises(error, match=text):
        warm_start(study, source, **options)


def test_past_studies_need_no_archive(archive):
    old = optuna.create_study(sampler=RandomSampler(seed=0))
    old.optimize(lambda trial: (trial.suggest_float("x", 0, 1) - 0.5) ** 2, n_trials=20)
    for source in (old, [old], [old, archive]):
        assert warm_start(optuna.create_study(), source, n=1)


def test_missing_file_is_said():
    with pytest.raises(ArchiveError, match="There is no file nowhere.db"):
        warm_start(optuna.create_study(), "nowhere.db")


def test_renamed_choices_are_enqueued_by_their_new_names():
    old = optuna.create_study(sampler=RandomSampler(seed=0))
    old.optimize(lambda trial: float(trial.suggest_categorical("opt", ["adam", "sgd"]) == "sgd"), n_trials=20)
    study = optuna.create_study()
    space = {"opt": CategoricalDistribution(["adamw", "sgd"])}
    assert warm_start(study, old, n=1, choices={"opt": {"adam": "adamw"}}, space=space) == ({"opt": "adamw"},)


def in_memory(folder: Path) -> InMemoryStorage:
    return InMemoryStorage()


def in_journal(folder: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(folder / f"{len(list(folder.iterdir()))}.log")))


CHOICES = {
    "lists": [[1, 2], [3]],
    "tuples": [(1, 2), (3,)],
    "nested": [[(1, 2)], [[3]]],
    "mappings": [{"a": 1}, {2: (3,)}],
    "large": [2**70, 1],
    "NaN": [float("nan"), 1.0],
}


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution")
@pytest.mark.parametrize("makes_new", [in_memory, in_journal])
@pytest.mark.parametrize("makes_old", [in_memory, pytest.param(in_journal, marks=pytest.mark.slow)])
@pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)
def test_study_with_choices_of_any_kind_runs_after_a_warm_start(choices, makes_old, makes_new, tmp_path):
    def objective(trial: optuna.Trial) -> float:
        chosen = repr(trial.suggest_categorical("c", choices))
        return trial.suggest_float("x", 0, 1) + [repr(choice) for choice in choices].index(chosen)

    old = optuna.create_study(storage=makes_old(tmp_path), sampler=RandomSampler(seed=0))
    old.optimize(objective, n_trials=15)
    archive = StudyArchive(tmp_path / "archive.db")
    archive.add(old)
    for space in (None, {"c": CategoricalDistribution(choices), "x": FloatDistribution(0, 1)}):
        study = optuna.create_study(storage=makes_new(tmp_path))
        # The second time the study's own trials say what it searches.
        for _ in range(2):
            enqueued = warm_start(study, StudyArchive(archive.path), n=2, space=space)
            assert enqueued and all("x" in configuration for configuration in enqueued)
            study.optimize(objective, n_trials=3)
        is_kept = makes_new is in_memory or choices in (CHOICES["lists"], CHOICES["large"])
        assert not (space and is_kept) or all("c" in configuration for configuration in enqueued)


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution")
def test_choice_that_the_storage_would_change_is_left_to_the_sampler_and_said(tmp_path, caplog):
    old = optuna.create_study(sampler=RandomSampler(seed=0))
    old.optimize(lambda trial: trial.suggest_float("x", 0, 1) + len(trial.suggest_categorical("c", [(1,), ()])), 10)
    archive = StudyArchive()
    archive.add(old)
    (configuration,) = warm_start(optuna.create_study(storage=in_journal(tmp_path)), archive, n=1)
    assert set(configuration) == {"x"} and "'c' is left to the sampler" in caplog.text
    (configuration,) = warm_start(optuna.create_study(), archive, n=1)
    assert set(configuration) == {"x", "c"} and isinstance(configuration["c"], tuple)


def test_several_objectives_are_refused():
    with pytest.raises(ValueError, match="one objective"):
        warm_start(optuna.create_study(directions=["minimize"] * 2), StudyArchive())
