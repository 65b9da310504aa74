"""Samplers in threads and processes, several studies of one sampler, and samplers around it."""

from __future__ import annotations

import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.samplers import PartialFixedSampler
from optuna.storages import InMemoryStorage
from threadpoolctl import threadpool_info, threadpool_limits

from autometa import MetaSampler, StudyArchive
from autometa.transfer.sampling import sampler as sampler_module
from tests.helpers.past_studies import archive_of

optuna.logging.set_verbosity(optuna.logging.ERROR)

SPACE = {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1)}


def bowl(trial: optuna.Trial) -> float:
    return (trial.suggest_float("x", 0, 1) - 0.7) ** 2 + (trial.suggest_float("y", 0, 1) - 0.3) ** 2


@pytest.fixture(scope="module")
def bowls() -> StudyArchive:
    return archive_of(bowl, n_studies=3, n_trials=40)


@pytest.fixture(params=["past", "no past"])
def archive(request, bowls) -> StudyArchive:
    return bowls if request.param == "past" else StudyArchive()


@pytest.fixture(params=["memory", "sqlite"])
def storage(request, tmp_path):
    return InMemoryStorage() if request.param == "memory" else f"sqlite:///{tmp_path / 's.db'}"


def distances(study: optuna.Study) -> np.ndarray:
    points = np.array([[trial.params["x"], trial.params["y"]] for trial in study.trials])
    away = np.linalg.norm(points[:, None] - points[None], axis=2)
    return away[np.triu_indices(len(points), 1)]


def test_threads_that_begin_together_try_different_configurations(archive, storage, seed):
    # Nobody ends before all have begun.
    all_began = threading.Barrier(6)

    def objective(trial: optuna.Trial) -> float:
        value = bowl(trial)
        all_began.wait()
        return value

    study = optuna.create_study(sampler=MetaSampler(archive, seed=seed), storage=storage)
    study.optimize(objective, n_trials=6, n_jobs=6)
    assert distances(study).min() > 0.01


def test_samplers_of_one_seed_that_share_a_storage_try_different_configurations(archive, storage, seed):
    optuna.create_study(study_name="s", storage=storage)
    together = threading.Barrier(4)

    def work(_: int) -> None:
        study = optuna.load_study(study_name="s", storage=storage, sampler=MetaSampler(archive, seed=seed))
        together.wait()
        trial = study.ask(SPACE)
        together.wait()
        study.tell(trial, 1.0)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert distances(optuna.load_study(study_name="s", storage=storage)).min() > 0.01


def test_plan_that_another_trial_has_announced_at_the_same_moment_is_given_up(bowls, seed, storage, monkeypatch):
    study = optuna.create_study(storage=storage, sampler=MetaSampler(bowls, seed=seed))
    first, second = study.ask(), study.ask()
    stolen = []
    original = sampler_module.announce

    def announce(study, trial, plan):
        if not stolen:
            stolen.append(plan)
            original(study, study.get_trials(deepcopy=False)[second.number], plan)
        original(study, trial, plan)

    monkeypatch.setattr(sampler_module, "announce", announce)
    value = np.hypot(first.suggest_float("x", 0, 1) - stolen[0]["x"], first.suggest_float("y", 0, 1) - stolen[0]["y"])
    assert value > 0.01


WORKER = """
import pathlib, sys, time
import optuna
from autometa import MetaSampler, StudyArchive
optuna.logging.set_verbosity(optuna.logging.ERROR)
folder, number, seed = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
def bowl(trial):
    return (trial.suggest_float("x", 0, 1) - 0.7) ** 2 + (trial.suggest_float("y", 0, 1) - 0.3) ** 2
def objective(trial):
    value = bowl(trial)
    (folder / f"began-{trial.number}").touch()
    while sum(1 for _ in folder.glob("began-*")) < 4:
        time.sleep(0.01)
    return value
archive = StudyArchive()
for past in range(3 if sys.argv[4] == "past" else 0):
    old = optuna.create_study(study_name=f"old-{past}", sampler=optuna.samplers.RandomSampler(seed=past))
    old.optimize(bowl, n_trials=40)
    archive.add(old)
sampler = MetaSampler(archive, seed=None if seed == "None" else int(seed))
study = optuna.load_study(study_name="s", storage=f"sqlite:///{folder / 's.db'}", sampler=sampler)
(folder / f"ready-{number}").touch()
while sum(1 for _ in folder.glob("ready-*")) < 4:
    time.sleep(0.001)
study.optimize(objective, n_trials=3)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "seed"), [("past", 0), ("past", None), ("no past", 0)])
def test_processes_that_begin_together_try_different_configurations(kind, seed, tmp_path):
    url = f"sqlite:///{tmp_path / 's.db'}"
    optuna.create_study(study_name="s", storage=url)
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path), str(number), str(seed), kind])
        for number in range(4)
    ]
    assert [worker.wait() for worker in workers] == [0] * 4
    study = optuna.load_study(study_name="s", storage=url)
    assert len(study.trials) == 12
    assert distances(study).min() > 1e-3


def test_trial_that_has_begun_and_asked_for_nothing_counts(bowls, seed):
    study = optuna.create_study(sampler=MetaSampler(bowls, seed=seed))
    trials = [study.ask() for _ in range(5)]
    for trial in reversed(trials):
        bowl(trial)
    assert distances(study).min() > 0.01


def test_trial_that_has_asked_for_one_parameter_counts_with_all_of_its_plan(bowls, seed, storage):
    study = optuna.create_study(study_name="s", storage=storage, sampler=MetaSampler(bowls, seed=seed))
    first = study.ask()
    x = first.suggest_float("x", 0, 1)
    other = optuna.load_study(study_name="s", storage=storage, sampler=MetaSampler(bowls, seed=seed))
    second = other.ask(SPACE).params
    assert np.hypot(second["x"] - x, second["y"] - first.suggest_float("y", 0, 1)) > 0.01


def test_running_trial_with_enqueued_nonsense_harms_no_other(bowls, seed):
    study = optuna.create_study(sampler=MetaSampler(bowls, seed=seed))
    study.enqueue_trial({"x": "high"})
    study.ask()
    assert 0 <= study.ask(SPACE).params["x"] <= 1


def test_studies_that_share_a_sampler_have_plans_of_their_own(bowls, seed):
    sampler = MetaSampler(bowls, seed=seed)
    trials = [optuna.create_study(sampler=sampler).ask() for _ in range(2)]
    assert trials[0]._trial_id == trials[1]._trial_id
    trials[0].suggest_float("x", 0, 1)
    # The other study's range leaves out what was planned for the first one.
    x = trials[1].suggest_float("x", 0, 0.2)
    alone = optuna.create_study(sampler=MetaSampler(bowls, seed=seed)).ask()
    assert (x, trials[1].suggest_float("y", 0, 1)) == (alone.suggest_float("x", 0, 0.2), alone.suggest_float("y", 0, 1))


def test_studies_that_share_a_sampler_are_searched_as_if_each_had_its_own(archive, seed):
    def shifted(trial: optuna.Trial) -> float:
        return (trial.suggest_float("x", 0, 1) - 0.1) ** 2 + (trial.suggest_float("y", 0, 1) - 0.9) ** 2

    shared = MetaSampler(archive, seed=seed)
    together = [optuna.create_study(sampler=shared) for _ in range(2)]
    alone = [optuna.create_study(sampler=MetaSampler(archive, seed=seed)) for _ in range(2)]
    for _ in range(12):
        for studies in (together, alone):
            for study, objective in zip(studies, (bowl, shifted), strict=True):
                study.optimize(objective, n_trials=1)
    for one, other in zip(together, alone, strict=True):
        assert [trial.params for trial in one.trials] == [trial.params for trial in other.trials]


# ---- samplers around it -----------------------------------------------------------------------------------------


def kinds(trial: optuna.Trial, fixed_last: bool = False) -> float:
    """Return a loss whose best x depends on the kind."""
    x = trial.suggest_float("x", 0, 1) if fixed_last else None
    kind = trial.suggest_categorical("kind", ["a", "b"])
    x = trial.suggest_float("x", 0, 1) if x is None else x
    y = trial.suggest_float("y", 0, 1) if kind == "a" else 0.5
    return (x - (0.2 if kind == "a" else 0.8)) ** 2 + (y - 0.4) ** 2


@pytest.mark.parametrize("fixed_last", [False, True], ids=["asked for first", "asked for last"])
@pytest.mark.parametrize("has_past", [True, False])
def test_rest_is_chosen_for_what_another_sampler_fixes(fixed_last, has_past, seed):
    archive = archive_of(kinds, n_studies=3, n_trials=40) if has_past else StudyArchive()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        fixed = PartialFixedSampler({"kind": "b"}, MetaSampler(archive, seed=seed))
        nested = PartialFixedSampler({"kind": "b"}, PartialFixedSampler({"z": 1.0}, MetaSampler(archive, seed=seed)))
    for sampler in (fixed, nested):
        study = optuna.create_study(sampler=sampler)
        study.optimize(lambda trial: kinds(trial, fixed_last), n_trials=25)
        assert {trial.params["kind"] for trial in study.trials} == {"b"}
        assert study.best_value < 0.0105
        away = [abs(trial.params["x"] - 0.8) for trial in study.trials]
        assert np.median(away[12:]) < 0.2
        if has_past:
            assert away[0] < 0.25


def test_fixed_value_may_change_between_trials(seed):
    archive = archive_of(kinds, n_studies=3, n_trials=40)
    study = optuna.create_study(sampler=MetaSampler(archive, seed=seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        for kind, best in (("a", 0.2), ("b", 0.8)):
            study.sampler = PartialFixedSampler({"kind": kind}, MetaSampler(archive, seed=seed))
            study.optimize(kinds, n_trials=10)
            trials = [trial for trial in study.trials if trial.params["kind"] == kind]
            assert np.median([abs(trial.params["x"] - best) for trial in trials]) < 0.25


# ---- what it leaves as it was -----------------------------------------------------------------------------------


def test_other_processes_see_a_plan_and_where_it_came_from_and_nothing_else_in_a_trial(bowls, tmp_path):
    study = optuna.create_study(sampler=MetaSampler(bowls, seed=0), storage=f"sqlite:///{tmp_path / 's.db'}")
    study.optimize(bowl, n_trials=2)
    assert all(set(trial.system_attrs) == {"autometa:plan:0"} for trial in study.trials)
    assert all(set(trial.user_attrs) == {"suggested_by"} for trial in study.trials)


def n_blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_suggestions_use_one_blas_thread_and_leave_as_many_as_there_were(bowls, monkeypatch):
    within = []
    original = sampler_module.situation_of

    def situation_of(*arguments):
        within.append(n_blas_threads())
        return original(*arguments)

    monkeypatch.setattr(sampler_module, "situation_of", situation_of)
    with threadpool_limits(2, user_api="blas"):
        study = optuna.create_study(sampler=MetaSampler(bowls, seed=0))
        study.optimize(bowl, n_trials=8, n_jobs=4)
        assert n_blas_threads() == {2}
    assert len(within) >= 8 and all(threads == {1} for threads in within)


class FailingStorage(InMemoryStorage):
    """A storage whose next reading fails where it is asked to."""

    fails = False

    def get_all_trials(self, *arguments, **options):
        if self.fails:
            raise ConnectionError("the database has gone away")
        return super().get_all_trials(*arguments, **options)


def test_error_of_the_storage_passes_and_the_sampler_goes_on_when_it_is_back(bowls):
    storage = FailingStorage()
    study = optuna.create_study(storage=storage, sampler=MetaSampler(bowls, seed=0))
    study.optimize(bowl, n_trials=2)
    threads, trial = n_blas_threads(), study.ask()
    storage.fails = True
    with pytest.raises(ConnectionError, match="has gone away"):
        trial.suggest_float("x", 0, 1)
    assert n_blas_threads() == threads
    storage.fails = False
    study.tell(trial, bowl(trial))
    study.optimize(bowl, n_trials=2)
    assert len(study.trials) == 5


def test_choices_of_any_type_are_planned_for_other_processes(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Optuna advises against lists and tuples
        space = {"c": CategoricalDistribution([[1, 2], (3,), None, "x"]), "x": FloatDistribution(0, 1)}
        study = optuna.create_study(sampler=MetaSampler(StudyArchive(), seed=0))
        for number in range(6):
            study.tell(study.ask(space), float(number))
        assert len(study.trials) == 6
