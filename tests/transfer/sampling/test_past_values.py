"""Past studies of the very same function are recognised by their values, and others are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers import RandomSampler

from autometa import MetaSampler, StudyArchive
from autometa.transfer.sampling.kernel import Kernel
from autometa.transfer.sampling.past_values import PastValues
from autometa.transfer.space.alignment import AlignedStudy
from autometa.transfer.space.encoding import Encoding

optuna.logging.set_verbosity(optuna.logging.ERROR)

ENCODING = Encoding({"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1)}, {})
KERNEL = Kernel(np.array([1.0, 1.0]), 1.0, 0.05)


def loss(points: np.ndarray, level: float) -> np.ndarray:
    return level + 0.1 * ((points - [0.3, 0.7]) ** 2).sum(axis=1)


def study(seed: int, level: float) -> AlignedStudy:
    points = np.random.default_rng(seed).random((30, 2))
    return AlignedStudy(f"level {level}", points, loss(points, level), np.ones(2, dtype=bool), ())


@pytest.fixture(scope="module")
def values() -> PastValues:
    return PastValues([study(1, 0.2), study(2, 0.5), study(3, 0.8)], ENCODING, KERNEL)


def test_values_point_to_a_study_and_prove_nothing(values, seed):
    points = np.random.default_rng(100 + seed).random((3, 2))
    same = values.same_function(points, loss(points, 0.5))
    assert same is not None and set(same.studies) == {"level 0.5"} and not same.is_proven
    assert (np.diff(same.losses) >= 0).all() and len(same.points) == 30


def test_a_repeated_trial_with_its_value_is_a_proof_by_itself(values):
    past = study(2, 0.5)
    same = values.same_function(past.points[:1], past.losses[:1])
    assert same is not None and set(same.studies) == {"level 0.5"} and same.is_proven


def test_a_repeated_trial_with_another_value_clears_its_study(values, seed):
    points = np.concatenate([np.random.default_rng(100 + seed).random((3, 2)), study(2, 0.5).points[:1]])
    losses = loss(points, 0.5)
    assert values.same_function(points, losses) is not None
    losses[-1] += 1e-5
    assert values.same_function(points, losses) is None


def test_coarse_values_prove_nothing():
    coarse = [replace(s, losses=np.round(s.losses, 2)) for s in (study(1, 0.2), study(2, 0.5))]
    past = PastValues(coarse, ENCODING, KERNEL)
    assert past.same_function(coarse[1].points[:5], coarse[1].losses[:5]) is None


@pytest.mark.parametrize("level", [-3.0, 5.0, np.inf])
def test_values_far_from_all_others_are_of_another_function(values, level, seed):
    points = np.random.default_rng(seed).random((4, 2))
    assert values.same_function(points, loss(points, level)) is None


def test_without_trials_or_studies_nothing_is_recognised(values):
    none = np.zeros((0, 2))
    assert values.same_function(none, np.zeros(0)) is None
    assert PastValues([], ENCODING, KERNEL).same_function(np.zeros((1, 2)), np.zeros(1)) is None


def peak(trial: optuna.Trial, at: float, level: float) -> float:
    x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
    return level + abs(x - at) + (y - 0.5) ** 2


def past_study(name: str, at: float, level: float, seed: int) -> optuna.Study:
    found = optuna.create_study(study_name=name, sampler=RandomSampler(seed=seed))
    found.optimize(lambda trial: peak(trial, at, level), n_trials=30)
    return found


def test_best_known_trial_of_the_very_same_function_is_among_the_first_three(seed):
    past = [past_study(f"same-{number}", 0.8, 0.0, number) for number in range(4)]
    new = optuna.create_study(sampler=MetaSampler(past, seed=seed))
    new.optimize(lambda trial: peak(trial, 0.8, 0.0), n_trials=3)
    assert new.best_value <= min(study.best_value for study in past) + 1e-9


def test_the_same_function_is_found_beside_other_functions(seed):
    archive = StudyArchive()
    for number, at in enumerate((0.1, 0.2, 0.3)):
        archive.add(past_study(f"other-{number}", at, 5.0 + 5 * number, number))
    same = past_study("same", 0.9, 0.0, 9)
    archive.add(same)
    new = optuna.create_study(sampler=MetaSampler(archive, seed=seed))
    new.optimize(lambda trial: peak(trial, 0.9, 0.0), n_trials=6)
    assert new.best_value <= same.best_value + 1e-9


def test_similar_functions_are_suspected_in_few_trials_and_continued_in_none(seed):
    past = [past_study(f"like-{number}", 0.5, 0.001 * number, number) for number in range(4)]
    new = optuna.create_study(sampler=MetaSampler(past, seed=seed))
    new.enqueue_trial({"x": 0.1, "y": 0.9})
    new.enqueue_trial({"x": 0.9, "y": 0.2})
    new.optimize(lambda trial: peak(trial, 0.5, 0.0015), n_trials=12)
    origins = [trial.user_attrs["suggested_by"] for trial in new.trials]
    assert 1 <= sum(origin.startswith("past study with like values") for origin in origins) <= 2
    assert "past studies with like values" not in origins


def test_first_trials_of_a_changed_space_are_best_trials_of_past_studies(seed):
    past = [past_study(f"old-{number}", 0.2 + 0.1 * number, 3.0 * number, number) for number in range(4)]
    best = [sorted(study.trials, key=lambda t: t.value)[:3] for study in past]
    known = {(round(t.params["x"], 6), round(t.params["y"], 6)) for trials in best for t in trials}
    new = optuna.create_study(sampler=MetaSampler(past, seed=seed))
    new.optimize(
        lambda trial: (trial.suggest_float("x", 0, 2) - 0.45) ** 2 + trial.suggest_float("y", 0, 1) + 1000.0, n_trials=3
    )
    assert {(round(t.params["x"], 6), round(t.params["y"], 6)) for t in new.trials} <= known


def test_logarithmic_past_does_not_lead_to_the_lower_bound_of_a_linear_range(seed):
    def objective(trial: optuna.Trial, log: bool) -> float:
        return abs(np.log10(trial.suggest_float("rate", 1e-5, 1.0, log=log)) + 1.5)

    past = []
    for number in range(3):
        past.append(optuna.create_study(study_name=f"log-{number}", sampler=RandomSampler(seed=number)))
        past[-1].optimize(lambda trial: objective(trial, True), n_trials=30)
    new = optuna.create_study(sampler=MetaSampler(past, seed=seed))
    new.optimize(lambda trial: objective(trial, False), n_trials=5)
    assert new.trials[0].params["rate"] > 1e-3
    assert new.best_value < 0.3
