from __future__ import annotations

import pickle
import warnings

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from autometa.transfer.archive.sources import SourceStudy, SourceTrial
from autometa.transfer.sampling.past_studies import Past, checked_names, chosen_sources
from autometa.transfer.study_archive import StudyArchive

optuna.logging.set_verbosity(optuna.logging.ERROR)


def objective(trial: optuna.Trial) -> float:
    value = (trial.suggest_float("x", 0, 1) - 0.3) ** 2
    if trial.suggest_categorical("kind", ["a", "b"]) == "b":
        value += trial.suggest_float("y", 0, 1)
    return value


@pytest.fixture(scope="module")
def archive() -> StudyArchive:
    found = StudyArchive()
    for seed in range(3):
        study = optuna.create_study(study_name=f"old-{seed}", sampler=RandomSampler(seed=seed))
        study.optimize(objective, n_trials=15)
        found.add(study)
    return found


@pytest.fixture(scope="module")
def finished() -> list[optuna.trial.FrozenTrial]:
    study = optuna.create_study(sampler=RandomSampler(seed=9))
    study.optimize(objective, n_trials=1)
    return study.trials


def small_study(name: str, parameters: str) -> SourceStudy:
    trial = SourceTrial(0, TrialState.COMPLETE, dict.fromkeys(parameters, 0.5), (1.0,))
    return SourceStudy(name, {}, ("minimize",), {p: FloatDistribution(0, 1) for p in parameters}, (trial,))


def test_space_that_the_past_made_expect_is_learnt_once(archive, finished):
    past = Past()
    before = past.learn(archive.sources, {}, {}, [])
    assert past.learn(archive.sources, finished[0].distributions, {}, finished).population is before.population


def test_space_with_another_range_is_learnt_anew(archive, finished):
    past = Past()
    before = past.learn(archive.sources, {}, {}, [])
    space = {**finished[0].distributions, "x": FloatDistribution(0, 2)}
    after = past.learn(archive.sources, space, {}, finished)
    assert after.encoding.distributions["x"].high == 2
    assert after.population is not before.population


def test_archive_that_has_grown_is_learnt_anew(archive):
    past = Past()
    assert len(past.learn(archive.sources[:2], {}, {}, []).usable) == 2
    assert len(past.learn(archive.sources, {}, {}, []).usable) == 3


def test_studies_that_share_most_parameters_are_looked_at():
    sources = [small_study(f"{number}", "xyz" if number % 5 == 0 else "xw") for number in range(200)]
    chosen = chosen_sources(sources, dict.fromkeys("xyz", FloatDistribution(0, 1)), {})
    assert len(chosen) == 64
    assert {source.name for source in sources if "y" in source.distributions} <= {source.name for source in chosen}
    assert [int(source.name) for source in chosen] == sorted(int(source.name) for source in chosen)
    assert chosen == chosen_sources(sources, dict.fromkeys("xyz", FloatDistribution(0, 1)), {})


def test_renamed_parameters_are_shared_ones():
    sources = [small_study(f"{number}", "a" if number % 4 == 0 else "b") for number in range(100)]
    chosen = chosen_sources(sources, {"x": FloatDistribution(0, 1)}, {"a": "x"})
    assert sum("a" in source.distributions for source in chosen) == 25


def test_studies_that_cannot_be_learnt_from_take_no_place():
    empty = SourceStudy("empty", {}, ("minimize",), {}, ())
    double = SourceStudy("double", {}, ("minimize", "minimize"), {}, small_study("x", "x").trials)
    assert chosen_sources([empty, double, small_study("x", "x")], {}, {}) == (small_study("x", "x"),)


def test_report_says_of_studies_that_were_not_looked_at():
    archive = StudyArchive()
    archive.sources = tuple(small_study(f"{number}", "xy") for number in range(70))
    table = archive.report(optuna.create_study())
    assert table["used"].sum() == 64
    assert table.loc[~table["used"], "reason"].str.contains("others are learnt from").all()


def conditional(trial: optuna.Trial) -> float:
    value = trial.suggest_float("x", 0, 1)
    return value + (trial.suggest_float("y", 0, 1) if trial.suggest_categorical("kind", ["a", "b"]) == "a" else 0.0)


def always(trial: optuna.Trial) -> float:
    kind = trial.suggest_categorical("kind", ["a", "b"])
    return trial.suggest_float("x", 0, 1) + trial.suggest_float("y", 0, 1) + (kind == "a")


def test_studies_of_one_space_keep_their_own_conditions():
    past = Past()
    found = []
    for objective in (conditional, always):
        study = optuna.create_study(sampler=RandomSampler(seed=0))
        study.optimize(objective, n_trials=10)
        space = {name: d for trial in study.trials for name, d in trial.distributions.items()}
        found.append(past.learn((), space, {}, study.trials, study.study_name).encoding)
    assert [bool(encoding.conditions) for encoding in found] == [True, False]


def test_conditions_are_not_read_from_trials_that_failed_half_way():
    study = optuna.create_study(sampler=RandomSampler(seed=0))

    def objective(trial: optuna.Trial) -> float:
        if trial.suggest_float("x", 0, 1) > 0.5:
            raise ValueError
        return trial.suggest_float("y", 0, 1)

    study.optimize(objective, n_trials=10, catch=ValueError)
    space = {name: FloatDistribution(0, 1) for name in "xy"}
    assert not Past().learn((), space, {}, study.trials).encoding.conditions


def test_what_was_learnt_travels_without_its_studies(archive, finished):
    past = Past()
    past.learn(archive.sources, {}, {}, [])
    past.learn(archive.sources, finished[0].distributions, {}, finished, study=lambda: "cannot be pickled")
    travelled = pickle.loads(pickle.dumps(past))
    found = travelled.learn(archive.sources, finished[0].distributions, {}, finished)
    np.testing.assert_array_equal(found.population.mean, past.learn(archive.sources, {}, {}, []).population.mean)


@pytest.mark.parametrize("names", [{"x": "z", "y": "z"}, {"x": "y"}])
def test_two_parameters_of_a_study_cannot_get_one_name(archive, names):
    with pytest.raises(ValueError, match=r"the parameters \['x', 'y'\] of the past study 'old-0'"):
        checked_names(names, archive.sources)


def test_parameters_of_different_studies_may_get_one_name():
    sources = [small_study("one", "a"), small_study("two", "b")]
    assert checked_names({"a": "x", "b": "x"}, sources) == {"a": "x", "b": "x"}


def test_name_that_no_past_study_has_is_warned_of(archive):
    with pytest.warns(UserWarning, match=r"names renames \['lr'\], which no study of the archive has"):
        assert checked_names({"lr": "x"}, archive.sources) == {"lr": "x"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checked_names({"x": "lr"}, archive.sources)
        checked_names({"lr": "x"}, ())
