from __future__ import annotations

import warnings

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from autometa.transfer.sampling.plans import announce, expected_params, forget, plan_of

optuna.logging.set_verbosity(optuna.logging.ERROR)

CHOICES = (None, True, 1, 1.5, "1", "a\ud800", (1, 2), [3])
with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)  # Optuna advises against lists and tuples
    KIND = CategoricalDistribution(CHOICES)
SPACE = {"c": KIND, "x": FloatDistribution(0, 1), "n": IntDistribution(0, 9)}


@pytest.fixture
def study(tmp_path) -> optuna.Study:
    return optuna.create_study(study_name="s", storage=f"sqlite:///{tmp_path / 's.db'}")


def running(study: optuna.Study) -> optuna.trial.FrozenTrial:
    """Return the study's last running trial as another process sees it."""
    other = study
    if not isinstance(study._storage, InMemoryStorage):
        other = optuna.load_study(study_name="s", storage=str(study._storage._backend.engine.url))
    return other.get_trials(states=(TrialState.RUNNING,))[-1]


def seen_elsewhere(study: optuna.Study) -> dict:
    other = optuna.load_study(study_name="s", storage=str(study._storage._backend.engine.url))
    return expected_params(other, running(study), SPACE)


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_plan_is_known_in_other_processes(study, choice):
    plan = {"c": choice, "x": 0.1 + 0.2, "n": 3}
    announce(study, study.ask(), plan)
    found = seen_elsewhere(study)
    assert found == plan
    assert type(found["c"]) is type(choice)


def test_long_plan_is_known_whole_and_a_shorter_one_takes_its_place(study):
    trial = study.ask()
    long = {f"parameter_{number:03d}": number / 7 for number in range(300)}
    for plan in (long, {"x": 0.5}):
        announce(study, trial, plan)
        assert seen_elsewhere(study) == plan


def test_values_that_a_trial_has_or_was_given_come_before_its_plan(study):
    study.enqueue_trial({"n": 7})
    trial = study.ask()
    announce(study, trial, {"x": 0.5, "n": 1, "c": "1"})
    trial.suggest_float("x", 0, 0.1)
    found = seen_elsewhere(study)
    assert found == {"x": trial.params["x"], "n": 7, "c": "1"}


def test_nothing_is_known_of_a_trial_without_a_plan(study):
    study.ask()
    assert seen_elsewhere(study) == {}


def test_storage_in_memory_gets_no_attributes_and_every_study_of_it_knows_the_plan():
    storage = InMemoryStorage()
    study = optuna.create_study(study_name="s", storage=storage)
    announce(study, study.ask(), {"x": 0.5})
    other = optuna.load_study(study_name="s", storage=storage)
    assert running(study).system_attrs == {}
    assert expected_params(other, running(study), SPACE) == {"x": 0.5}


def test_trials_of_one_number_in_two_storages_have_plans_of_their_own():
    one, two = optuna.create_study(), optuna.create_study()
    announce(one, one.ask(), {"x": 0.5})
    assert plan_of(two, two.ask()._cached_frozen_trial) is None


def test_plan_of_a_trial_that_has_ended_is_forgotten():
    study = optuna.create_study()
    trial = study.ask()
    announce(study, trial, {"x": 0.5})
    forget(study, trial)
    assert plan_of(study, trial) is None
