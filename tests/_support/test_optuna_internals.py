"""Optuna's private names mean what the package takes them to mean."""

from __future__ import annotations

import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.samplers import PartialFixedSampler, RandomSampler

from autometa._support import optuna_internals


@pytest.fixture
def study() -> optuna.Study:
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage(), study_name="s")
    study.enqueue_trial({"x": 0.25})
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    return study


def test_ids_are_those_of_the_storage(study: optuna.Study) -> None:
    storage = optuna_internals.storage_of(study)
    assert storage.get_study_id_from_name("s") == optuna_internals.study_id(study)
    assert [storage.get_trial(optuna_internals.trial_id(trial)).number for trial in study.trials] == [0, 1]


def test_current_trials_are_read_again_only_after_they_are_forgotten(study: optuna.Study) -> None:
    optuna_internals.forget_current_trials(study)
    assert len(optuna_internals.current_trials(study)) == 2
    study.add_trial(optuna.create_trial(value=1.0))
    assert len(optuna_internals.current_trials(study)) == 2
    optuna_internals.forget_current_trials(study)
    assert len(optuna_internals.current_trials(study)) == 3
    assert optuna_internals.current_trials(study, states=(optuna.trial.TrialState.RUNNING,)) == []


def test_enqueued_parameters_are_those_of_the_trial(study: optuna.Study) -> None:
    assert [optuna_internals.enqueued_parameters(trial) for trial in study.trials] == [{"x": 0.25}, {}]


def test_fixed_parameters_are_those_of_all_samplers_around() -> None:
    inner = PartialFixedSampler({"x": 1.0, "y": 2.0}, RandomSampler())
    study = optuna.create_study(sampler=PartialFixedSampler({"x": 3.0, "z": 4.0}, inner))
    fixed = optuna_internals.fixed_parameters(study.sampler)
    study.optimize(lambda trial: sum(trial.suggest_float(name, 0, 9) for name in "xyz"), n_trials=1)
    assert fixed == study.trials[0].params
    assert optuna_internals.fixed_parameters(RandomSampler()) == {}


@pytest.mark.parametrize(("value", "is_inside"), [(0.0, True), (0.5, True), (0.3, False), (1.5, False)])
def test_a_number_is_contained_if_it_is_in_the_range_and_on_a_step(value: float, is_inside: bool) -> None:
    assert optuna_internals.contains(FloatDistribution(0, 1, step=0.25), value) is is_inside
    assert optuna_internals.contains(IntDistribution(0, 4, step=1), 4 * value) is (value in (0.0, 0.5))


def test_stop_is_allowed_inside_the_block_alone(study: optuna.Study) -> None:
    with optuna_internals.stop_allowed(study) as was_stopped:
        assert not was_stopped()
        study.stop()
    assert was_stopped()
    with pytest.raises(RuntimeError, match="inside an objective function"):
        study.stop()
    with optuna_internals.stop_allowed(study) as was_stopped:
        pass
    assert not was_stopped()
