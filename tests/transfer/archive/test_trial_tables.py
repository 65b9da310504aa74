from __future__ import annotations

import optuna
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from autometa import MetaSampler, StudyArchive

optuna.logging.set_verbosity(optuna.logging.ERROR)


def objective(trial: optuna.Trial) -> float:
    rate = trial.suggest_float("rate", 1e-4, 1.0, log=True)
    if trial.number == 3:
        raise optuna.TrialPruned
    return rate + (trial.suggest_int("k", 1, 9) if trial.suggest_categorical("kind", ["a", "b"]) == "a" else 0)


@pytest.fixture
def study() -> optuna.Study:
    found = optuna.create_study(study_name="old", sampler=RandomSampler(seed=0))
    found.optimize(objective, n_trials=15)
    return found


def test_optunas_table_of_trials_is_read(study, tmp_path):
    path = tmp_path / "trials.csv"
    study.trials_dataframe().to_csv(path, index=False)
    archive = StudyArchive()
    archive.add_table(path, "old", tags={"from": "csv"})
    (source,) = archive
    assert source.tags == {"from": "csv"} and len(source.trials) == 15
    for read, trial in zip(source.trials, study.trials, strict=True):
        assert read.state == trial.state
        assert read.params == pytest.approx(trial.params) if "kind" not in trial.params else True
        assert set(read.params) == set(trial.params)
    assert isinstance(source.distributions["k"], IntDistribution)
    assert source.distributions["rate"].log and isinstance(source.distributions["kind"], CategoricalDistribution)


def test_table_of_an_archive_comes_back_as_it_was(study):
    archive = StudyArchive()
    archive.add(study)
    table = archive.trials_dataframe()
    assert list(table["study"].unique()) == ["old"] and len(table) == 15
    again = StudyArchive()
    again.add_table(table, "old", space=archive["old"].distributions)
    for read, trial in zip(again["old"].trials, archive["old"].trials, strict=True):
        assert (read.state, dict(read.params), read.values) == (trial.state, dict(trial.params), trial.values)


def test_any_table_with_values_will_do():
    table = pd.DataFrame({"lr": [0.1, 0.2, 0.3], "depth": [1, 2, 4], "auc": [0.7, 0.9, None]})
    archive = StudyArchive()
    archive.add_table(table, "mine", value="auc", direction="maximize", space={"lr": FloatDistribution(0, 1)})
    (source,) = archive
    assert source.directions == ("maximize",) and source.distributions["lr"] == FloatDistribution(0, 1)
    assert [trial.state for trial in source.trials] == [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.FAIL]
    archive.add_table(table, "mine", value="auc", direction="maximize")
    assert len(archive) == 1
    optuna.create_study(sampler=MetaSampler(archive, seed=0)).optimize(
        lambda trial: trial.suggest_float("lr", 0, 1), n_trials=2
    )


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"value": "loss"}, ValueError, "no column 'loss'"),
        ({"direction": "up"}, ValueError, "direction must be"),
        ({"space": {"z": FloatDistribution(0, 1)}}, ValueError, r"no column of the parameter \['z'\]"),
        ({"space": {"x": FloatDistribution(0, 1)}}, ValueError, "Row 1 has x=2.0, which is not in"),
        ({"table": [1]}, TypeError, "table must be"),
        ({"name": None}, TypeError, "name must be"),
    ],
)
def test_wrong_tables_are_named(arguments, error, text):
    table = pd.DataFrame({"x": [0.5, 2.0], "value": [1.0, 2.0]})
    with pytest.raises(error, match=text):
        StudyArchive().add_table(**{"table": table, "name": "t", **arguments})
