"""Trials that fail, are pruned or return what is no number count as tried and as bad."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from autometa import MetaPruner, MetaSampler, StudyArchive
from tests.helpers.past_studies import archive_of

optuna.logging.set_verbosity(optuna.logging.CRITICAL)

Rule = Callable[[np.ndarray, optuna.Trial], bool]


class OutOfOrderError(Exception):
    pass


def raises() -> float:
    raise OutOfOrderError


def prunes() -> float:
    raise optuna.TrialPruned


BAD = {
    "raises": raises,
    "is pruned": prunes,
    "NaN": lambda: math.nan,
    "infinity": lambda: math.inf,
    "largest float": lambda: sys.float_info.max,
}
every_way_to_be_bad = pytest.mark.parametrize(
    "bad",
    [pytest.param(bad, marks=pytest.mark.slow, id=name) if name != "raises" else bad for name, bad in BAD.items()],
)


def bowl(rule: Rule, centre: float = 0.3, n: int = 2, bad: Callable[[], float] = raises):
    def objective(trial: optuna.Trial) -> float:
        x = np.array([trial.suggest_float(f"x{k}", 0, 1) for k in range(n)])
        return bad() if rule(x, trial) else float(((x - centre) ** 2).sum())

    return objective


def never(x: np.ndarray, trial: optuna.Trial) -> bool:
    return False


def by_chance(x: np.ndarray, trial: optuna.Trial) -> bool:
    return np.random.default_rng(trial.number).random() < 0.3


@pytest.fixture(scope="module")
def bowls() -> StudyArchive:
    return archive_of(bowl(never), n_studies=4, n_trials=50, catch=(OutOfOrderError,))


def run(sampler, objective, n_trials: int = 40, **options) -> optuna.Study:
    study = optuna.create_study(sampler=sampler, **options)
    study.optimize(objective, n_trials=n_trials, catch=OutOfOrderError)
    return study


def good(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return [t for t in study.trials if t.state == TrialState.COMPLETE and abs(t.value) < 1e300]


def n_different(study: optuna.Study) -> int:
    return len({tuple(trial.params.items()) for trial in study.trials})


@every_way_to_be_bad
def test_region_that_always_fails_is_left(bad, seed):
    study = run(MetaSampler(StudyArchive(), seed=seed), bowl(lambda x, trial: x[0] > 0.5, 0.0, 1, bad))
    assert len(good(study)) >= 20
    assert n_different(study) == 40
    assert study.best_value < 1e-3


@every_way_to_be_bad
@pytest.mark.parametrize(
    "rule",
    [lambda x, trial: np.abs(x - 0.3).max() < 0.15, lambda x, trial: x[0] < 0.5],
    ids=["its neighbourhood", "half of the space"],
)
def test_best_region_of_the_past_is_left_where_it_fails_now(rule, bad, bowls, seed):
    study = run(MetaSampler(bowls, seed=seed), bowl(rule, 0.75, bad=bad))
    assert len(good(study)) >= 28
    assert n_different(study) == 40
    assert study.best_value < 2e-3


def test_small_region_that_does_not_fail_is_found_and_searched(bowls, seed):
    study = run(MetaSampler(bowls, seed=seed), bowl(lambda x, trial: not (x > 0.7).all(), 0.85))
    assert len(good(study)) >= 8


@pytest.mark.parametrize("has_past", [False, True])
@every_way_to_be_bad
def test_nothing_is_tried_twice_where_everything_fails(bad, has_past, bowls, seed):
    study = run(MetaSampler(bowls if has_past else StudyArchive(), seed=seed), bowl(lambda x, trial: True, bad=bad), 30)
    assert n_different(study) == 30
    # All quarters of the square are looked at.
    assert len({tuple(value > 0.5 for value in trial.params.values()) for trial in study.trials}) == 4


def test_failures_by_chance_cost_little(bowls, seed):
    study = run(MetaSampler(bowls, seed=seed), bowl(by_chance, 0.35))
    assert study.best_value < 2e-3


def test_choice_that_fails_is_left(seed):
    def objective(trial: optuna.Trial) -> float:
        kind, x = trial.suggest_categorical("kind", "abcd"), trial.suggest_float("x", 0, 1)
        return raises() if kind == "a" else (x - 0.3) ** 2 + "abcd".index(kind) / 10

    study = run(MetaSampler(StudyArchive(), seed=seed), objective)
    assert [trial.params["kind"] for trial in study.trials[20:]].count("a") <= 5
    assert study.best_params["kind"] == "b"


def test_small_space_is_tried_whole_before_anything_is_tried_again_and_failures_are_not(seed):
    def objective(trial: optuna.Trial) -> float:
        kind, n = trial.suggest_categorical("kind", "abcd"), trial.suggest_int("n", 1, 3)
        return raises() if kind == "a" else n + "abcd".index(kind)

    study = run(MetaSampler(StudyArchive(), seed=seed), objective, 40)
    assert len({tuple(trial.params.items()) for trial in study.trials[:13]}) == 12
    assert [trial.params["kind"] for trial in study.trials[14:]].count("a") <= 5


def test_parameters_that_a_trial_did_not_get_as_far_as_make_it_no_other_trial(seed):
    def objective(trial: optuna.Trial) -> float:
        n = trial.suggest_int("n", 0, 5)
        if n > 2:
            raise OutOfOrderError
        return n + trial.suggest_float("x", 0, 1)

    study = run(MetaSampler(StudyArchive(), seed=seed), objective, 30)
    tried = [trial.params["n"] for trial in study.trials if trial.state == TrialState.FAIL]
    assert len(tried) <= 8


def test_failures_of_the_past_are_learnt_from(seed):
    objective = bowl(lambda x, trial: x[0] > 0.5, 1.0)
    study = run(
        MetaSampler(archive_of(objective, n_studies=4, n_trials=50, catch=(OutOfOrderError,)), seed=seed), objective
    )
    assert study.trials[0].state == TrialState.COMPLETE
    assert len(good(study)) >= 22
    assert study.best_value < 0.3  # 0.25 can be had


def test_past_study_without_a_complete_trial_is_no_past(seed):
    archive = archive_of(bowl(lambda x, trial: True), n_studies=2, n_trials=50, catch=(OutOfOrderError,))
    study = run(MetaSampler(archive, seed=seed), bowl(never))
    assert study.best_value < 0.01
    assert set(archive.report(study)["reason"]) == {"no completed trial"}


def curve(trial: optuna.Trial) -> float:
    x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
    for step in range(15):
        value = (x - 0.7) ** 2 + (y - 0.3) ** 2 + 2.0**-step
        trial.report(value, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return value


@pytest.mark.parametrize("rate", [pytest.param(0.05, marks=pytest.mark.slow), 0.2])
def test_sampler_and_pruner_of_one_archive_try_many_configurations(rate, seed):
    archive = archive_of(curve, n_studies=4, n_trials=50, catch=(OutOfOrderError,))
    study = run(MetaSampler(archive, seed=seed), curve, pruner=MetaPruner(archive, rate=rate))
    assert n_different(study) == 40
    assert min((t.params["x"] - 0.7) ** 2 + (t.params["y"] - 0.3) ** 2 for t in study.trials) < 2e-3


def test_pruned_trials_are_ranked_by_how_far_they_came_and_by_their_values(seed):
    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        for step in range(10):
            trial.report(abs(x - 0.2), step)
            if abs(x - 0.2) * 10 > 10 - step:
                raise optuna.TrialPruned
        raise optuna.TrialPruned

    study = run(MetaSampler(StudyArchive(), seed=seed), objective, 30)
    assert np.median([abs(trial.params["x"] - 0.2) for trial in study.trials[15:]]) < 0.15


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
@pytest.mark.parametrize(
    "value",
    [
        sys.float_info.max,
        math.inf,
        *(pytest.param(v, marks=pytest.mark.slow) for v in (-sys.float_info.max, -math.inf, 1e200, -1e200, 5e-324)),
    ],
)
def test_any_value_is_taken_without_a_warning(value, direction, seed):
    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        return value if x > 0.6 else x

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="Cold start")
        study = run(MetaSampler(StudyArchive(), seed=seed), objective, 20, direction=direction)
        archive = StudyArchive()
        archive.add(study)
        again = run(MetaSampler(archive, seed=seed), objective, 12, direction=direction)
        archive.report(again)
    assert n_different(study) == 20 and n_different(again) == 12


@pytest.mark.parametrize(
    ("low", "high", "log"),
    [(-1e200, 1e200, False), (-1.7e308, 1.7e308, False), (1e-300, 1e300, True), (0.0, 1e-310, False)],
)
def test_any_range_is_searched_without_a_warning(low, high, log, seed):
    def objective(trial: optuna.Trial) -> float:
        return abs(trial.suggest_float("x", low, high, log=log) / 2 - high / 8)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="Cold start")
        study = run(MetaSampler(StudyArchive(), seed=seed), objective, 20)
        archive = StudyArchive()
        archive.add(study)
        run(MetaSampler(archive, seed=seed), objective, 5)
    assert n_different(study) == 20


def test_search_with_failures_repeats_itself_with_a_seed(bowls):
    runs = [run(MetaSampler(bowls, seed=3), bowl(lambda x, trial: x[0] < 0.4), 15) for _ in range(2)]
    assert [t.params for t in runs[0].trials] == [t.params for t in runs[1].trials]
