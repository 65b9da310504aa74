from __future__ import annotations

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from autometa.transfer.archive import StudyArchive
from autometa.transfer.past import Past, chosen_sources
from autometa.transfer.sources import SourceStudy, SourceTrial

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
