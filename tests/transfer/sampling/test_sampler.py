from __future__ import annotations

import logging
import math
import pickle

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
)
from optuna.trial import TrialState

from autometa.exceptions import ArchiveError
from autometa.transfer.sampling.sampler import MetaSampler
from autometa.transfer.study_archive import StudyArchive
from tests.helpers.past_studies import archive_of

optuna.logging.set_verbosity(optuna.logging.ERROR)


def bowl(trial: optuna.Trial, x: float = 0.7, y: float = -0.3) -> float:
    return (trial.suggest_float("x", -1, 1) - x) ** 2 + (trial.suggest_float("y", -1, 1) - y) ** 2


@pytest.fixture(scope="module")
def bowls() -> StudyArchive:
    return archive_of(bowl, n_studies=4, n_trials=25)


@pytest.fixture(scope="module")
def mixed() -> StudyArchive:
    """Studies with parameters that are called as in Optuna's own tests, of other kinds and ranges."""

    def objective(trial: optuna.Trial) -> float:
        value = trial.suggest_float("x", -5, 20) + trial.suggest_int("y", 1, 8)
        return value + (
            trial.suggest_float("z", 0, 1) if trial.suggest_categorical("category", ["x", "y"]) == "x" else 0
        )

    return archive_of(objective, n_studies=2, n_trials=12)


class TestOptunasKitWithoutAPast(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self):
        return lambda: MetaSampler(StudyArchive(), seed=0)


@pytest.mark.slow
class TestOptunasKitWithAPast(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self, mixed):
        return lambda: MetaSampler(mixed, seed=0)


def best_after(study: optuna.Study, n: int, objective=bowl) -> float:
    study.optimize(objective, n_trials=n)
    return study.best_value


def test_first_trial_is_informed(bowls):
    assert best_after(optuna.create_study(sampler=MetaSampler(bowls, seed=0)), 1) < 0.1


def test_search_goes_on_beyond_the_recorded_configurations(bowls):
    best_recorded = min(trial.values[0] for source in bowls.sources for trial in source.trials)
    assert best_after(optuna.create_study(sampler=MetaSampler(bowls, seed=0)), 20) < 0.5 * best_recorded


@pytest.mark.parametrize("past", ["minimize", "maximize"])
@pytest.mark.parametrize("new", ["minimize", "maximize"])
def test_each_study_says_itself_what_is_better(past, new):
    archive = archive_of(
        lambda trial: bowl(trial) * (1 if past == "minimize" else -1), n_studies=2, n_trials=25, direction=past
    )
    study = optuna.create_study(direction=new, sampler=MetaSampler(archive, seed=0))
    study.optimize(lambda trial: bowl(trial) * (1 if new == "minimize" else -1), n_trials=1)
    assert abs(study.best_value) < 0.25


def test_misleading_past_is_overcome():
    archive = archive_of(lambda trial: -bowl(trial), n_studies=4, n_trials=25)
    studies = [optuna.create_study(sampler=MetaSampler(archive, seed=seed)) for seed in range(3)]
    assert np.median([best_after(study, 20) for study in studies]) < 0.02


def test_past_of_shuffled_losses_is_a_cold_start(caplog):
    caplog.set_level(logging.INFO, "autometa")
    rng = np.random.default_rng(0)

    def noise(trial: optuna.Trial) -> float:
        bowl(trial)
        return float(rng.normal())

    archive = archive_of(noise, n_studies=8, n_trials=25)
    best = {
        name: [best_after(optuna.create_study(sampler=sampler(seed)), 25) for seed in range(3)]
        for name, sampler in (("meta", lambda seed: MetaSampler(archive, seed=seed)), ("random", RandomSampler))
    }
    assert np.mean(best["meta"]) < 0.5 * np.mean(best["random"])
    assert "they are not used" in caplog.text


def test_same_seed_gives_the_same_trials(bowls):
    runs = []
    for _ in range(2):
        study = optuna.create_study(sampler=MetaSampler(bowls, seed=3))
        study.optimize(bowl, n_trials=5)
        runs.append([trial.params for trial in study.trials])
    assert runs[0] == runs[1]
    other = optuna.create_study(sampler=MetaSampler(bowls, seed=4))
    other.optimize(bowl, n_trials=5)
    assert [trial.params for trial in other.trials] != runs[0]


def test_ask_and_tell_with_several_open_trials_gives_different_ones(bowls):
    study = optuna.create_study(sampler=MetaSampler(bowls, seed=0))
    open_trials = [study.ask(bowls.sources[0].distributions) for _ in range(5)]
    assert len({tuple(trial.params.values()) for trial in open_trials}) == 5
    for number, trial in enumerate(open_trials):
        study.tell(trial, float(number))


def test_failed_pruned_and_nan_trials_are_survived(bowls):
    def objective(trial: optuna.Trial) -> float:
        value = bowl(trial)
        if trial.number % 4 == 1:
            raise ValueError("failed")
        if trial.number % 4 == 2:
            raise optuna.TrialPruned
        return math.nan if trial.number % 4 == 3 else value

    study = optuna.create_study(sampler=MetaSampler(bowls, seed=0))
    study.optimize(objective, n_trials=9, catch=ValueError)
    states = [trial.state for trial in study.trials]
    assert [states.count(s) for s in (TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED)] == [3, 4, 2]


def test_infinite_values_are_survived(bowls):
    study = optuna.create_study(sampler=MetaSampler(bowls, seed=0))
    study.optimize(lambda trial: bowl(trial) if trial.number % 2 else math.inf, n_trials=6)
    assert math.isfinite(study.best_value)


def test_enqueued_values_are_kept_and_the_rest_is_chosen_for_them(bowls):
    study = optuna.create_study(sampler=MetaSampler(bowls, seed=0))
    study.enqueue_trial({"x": -0.9})
    study.optimize(bowl, n_trials=1)
    assert study.trials[0].params["x"] == -0.9
    assert abs(study.trials[0].params["y"] + 0.3) < 0.4


def test_threads_share_a_study(bowls):
    study = optuna.create_study(sampler=MetaSampler(bowls, seed=0))
    study.optimize(bowl, n_trials=8, n_jobs=3)
    assert [trial.state for trial in study.trials] == [optuna.trial.TrialState.COMPLETE] * 8
    assert len({tuple(trial.params.values()) for trial in study.trials}) == 8


def test_sampler_travels_to_other_processes(bowls):
    sampler = pickle.loads(pickle.dumps(MetaSampler(bowls, seed=0)))
    assert best_after(optuna.create_study(sampler=sampler), 1) < 0.1


def test_archive_without_usable_studies_is_a_cold_start():
    archive = StudyArchive()
    archive.add(optuna.create_study())
    archive.add(optuna.create_study(directions=["minimize", "maximize"]))
    other = optuna.create_study()
    other.optimize(lambda trial: trial.suggest_float("unrelated", 0, 1), n_trials=2)
    archive.add(other)
    assert best_after(optuna.create_study(sampler=MetaSampler(archive, seed=0)), 15) < 0.5


def test_one_past_study_with_one_trial_is_enough():
    assert (
        best_after(optuna.create_study(sampler=MetaSampler(archive_of(bowl, n_studies=1, n_trials=1), seed=0)), 10)
        < 1.0
    )


def test_renamed_parameters_are_found(bowls):
    study = optuna.create_study(sampler=MetaSampler(bowls, names={"x": "width", "y": "height"}, seed=0))

    def objective(trial: optuna.Trial) -> float:
        return (trial.suggest_float("width", -1, 1) - 0.7) ** 2 + (trial.suggest_float("height", -1, 1) + 0.3) ** 2

    assert best_after(study, 1, objective) < 0.1


def test_changed_ranges_scales_and_types_are_searched_within_the_new_ones(bowls):
    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0.01, 0.6, log=True)
        y = trial.suggest_categorical("y", [-0.5, -0.25, 0.5])
        return (x - 0.7) ** 2 + (y + 0.3) ** 2 + trial.suggest_int("added", 1, 3)

    study = optuna.create_study(sampler=MetaSampler(bowls, seed=0))
    study.optimize(objective, n_trials=10)
    assert study.best_params["y"] == -0.25
    assert study.best_params["x"] > 0.45


def test_conditional_parameters_are_learnt_from():
    def objective(trial: optuna.Trial) -> float:
        if trial.suggest_categorical("kind", ["a", "b"]) == "a":
            return 1 + trial.suggest_float("a_x", 0, 1)
        n = trial.suggest_int("n", 1, 3)
        return sum((trial.suggest_float(f"b_{i}", 0, 1) - 0.5) ** 2 for i in range(n))

    archive = archive_of(objective, n_studies=3, n_trials=30)
    study = optuna.create_study(sampler=MetaSampler(archive, seed=0))
    study.optimize(objective, n_trials=8)
    assert study.trials[0].params["kind"] == "b"
    assert study.best_value < 0.05


def test_study_is_not_modified_beyond_its_trials(bowls):
    study = optuna.create_study(sampler=MetaSampler(bowls, seed=0))
    study.optimize(bowl, n_trials=3)
    assert len(study.trials) == 3
    assert study.user_attrs == {}
    assert all(set(trial.user_attrs) == {"suggested_by"} and trial.system_attrs == {} for trial in study.trials)
    quiet = optuna.create_study(sampler=MetaSampler(bowls, seed=0, annotate=False))
    quiet.optimize(bowl, n_trials=3)
    assert all(trial.user_attrs == {} for trial in quiet.trials)
    assert [trial.params for trial in quiet.trials] == [trial.params for trial in study.trials]


def test_global_random_state_is_left_alone(bowls):
    before = np.random.get_state()[1].copy()
    optuna.create_study(sampler=MetaSampler(bowls, seed=0)).optimize(bowl, n_trials=2)
    assert (np.random.get_state()[1] == before).all()


def test_space_of_single_values_and_steps():
    space = {
        "a": FloatDistribution(1, 1),
        "b": IntDistribution(0, 10, step=5),
        "c": CategoricalDistribution([None]),
        "d": FloatDistribution(0, 1, step=0.25),
    }
    study = optuna.create_study(sampler=MetaSampler(StudyArchive(), seed=0))
    for number in range(6):
        trial = study.ask(space)
        assert trial.params["b"] in (0, 5, 10) and trial.params["d"] * 4 == round(trial.params["d"] * 4)
        study.tell(trial, float(number))


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"archive": 3}, TypeError, r"got int. Make an archive with StudyArchive\(\)"),
        ({"archive": ["studies.db", 3]}, TypeError, "got list of int, str"),
        ({"archive": "nowhere.db"}, ArchiveError, "There is no file nowhere.db"),
        ({"choices": {"x": "y"}}, TypeError, "choices must map a parameter"),
        ({"n_startup_trials": -1}, ValueError, "n_startup_trials must be"),
        ({"independent_sampler": "tpe"}, TypeError, "independent_sampler must be a sampler"),
        ({"names": {1: "x"}}, TypeError, "names must map past names to new ones"),
        ({"names": {"x": "z", "y": "z"}}, ValueError, "would all be 'z'"),
        ({"seed": -1}, ValueError, "seed must be a whole number of at least 0, got -1"),
        ({"seed": 1.5}, TypeError, "seed must be a whole number of at least 0, got 1.5"),
        ({"seed": True}, TypeError, "seed must be"),
        ({"seed": "0"}, TypeError, "seed must be"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, text, bowls):
    with pytest.raises(error, match=text):
        MetaSampler(**{"archive": bowls, **arguments})


@pytest.mark.parametrize("seed", [0, 2**70, np.int64(3)])
def test_any_whole_number_is_a_seed(seed, bowls):
    assert best_after(optuna.create_study(sampler=MetaSampler(bowls, seed=seed)), 1) < 0.1


def test_past_studies_need_no_archive(bowls, tmp_path):
    url = f"sqlite:///{tmp_path / 'old.db'}"
    old = optuna.create_study(study_name="old", storage=url, sampler=RandomSampler(seed=0))
    old.optimize(bowl, n_trials=25)
    kept = StudyArchive(tmp_path / "archive.db")
    kept.add(old)
    for source in (old, [old], url, old._storage, tmp_path / "archive.db", [url, bowls]):
        study = optuna.create_study(sampler=MetaSampler(source, seed=0))
        study.optimize(bowl, n_trials=2)
        assert study.trials[0].user_attrs["suggested_by"].startswith("past")


def test_startup_trials_are_those_of_the_independent_sampler(bowls):
    independent = RandomSampler(seed=5)
    study = optuna.create_study(sampler=MetaSampler(bowls, seed=0, independent_sampler=independent, n_startup_trials=3))
    study.optimize(bowl, n_trials=4)
    plain = optuna.create_study(sampler=RandomSampler(seed=5))
    plain.optimize(bowl, n_trials=3)
    assert [trial.params for trial in study.trials[:3]] == [trial.params for trial in plain.trials]
    assert [trial.user_attrs["suggested_by"] for trial in study.trials[:3]] == ["RandomSampler"] * 3
    assert study.trials[3].user_attrs["suggested_by"].startswith("past")


def test_unknown_parameters_are_those_of_the_independent_sampler(bowls):
    def objective(trial: optuna.Trial) -> float:
        return bowl(trial) + trial.suggest_float("added", 0, 1)

    fixed = optuna.samplers.PartialFixedSampler({"added": 0.25}, RandomSampler())
    study = optuna.create_study(sampler=MetaSampler(bowls, seed=0, independent_sampler=fixed))
    study.optimize(objective, n_trials=1)
    found = optuna.create_study(sampler=MetaSampler(bowls, seed=0))
    found.optimize(objective, n_trials=1)
    assert study.trials[0].params["x"] == found.trials[0].params["x"]


def test_without_probes_no_trial_is_drawn_at_random():
    origins = {}
    # Where the past misleads, the evidence for it is thin.
    negated = archive_of(lambda trial: -bowl(trial), n_studies=4, n_trials=25)
    for probes in (True, False):
        study = optuna.create_study(sampler=MetaSampler(negated, seed=0, probes=probes))
        study.enqueue_trial({"x": 0.0, "y": 0.0})
        study.optimize(bowl, n_trials=8)
        origins[probes] = [trial.user_attrs["suggested_by"] for trial in study.trials]
        assert origins[probes][0] == "the queue"
    assert "a random draw" in origins[True] and "a random draw" not in origins[False]


def test_repr_shows_what_was_given(bowls):
    found = repr(MetaSampler(bowls, names={"x": "z"}, seed=3, probes=False))
    assert found == (
        "MetaSampler(<StudyArchive in memory: 4 studies, 100 trials>, names={'x': 'z'}, seed=3, probes=False)"
    )


def test_renamed_choices_are_learnt_from():
    def objective(trial: optuna.Trial, best: str, choices: list[str]) -> float:
        return float(trial.suggest_categorical("opt", choices) != best) + trial.suggest_float("x", 0, 1)

    archive = archive_of(lambda trial: objective(trial, "adam", ["sgd", "adam"]), n_studies=3, n_trials=20)
    study = optuna.create_study(sampler=MetaSampler(archive, seed=0, choices={"opt": {"adam": "lion"}}))
    study.optimize(lambda trial: objective(trial, "lion", ["ftrl", "lion", "sgd"]), n_trials=3)
    assert study.trials[0].params["opt"] == "lion"
