from __future__ import annotations

import optuna
import pytest
from optuna.samplers import RandomSampler

from autometa.transfer.study_archive import StudyArchive

optuna.logging.set_verbosity(optuna.logging.ERROR)


def bowl(trial: optuna.Trial, sign: float = 1.0) -> float:
    return sign * ((trial.suggest_float("x", -1, 1) - 0.5) ** 2 + 0.01 * trial.suggest_int("k", 1, 5))


@pytest.fixture
def archive() -> StudyArchive:
    archive = StudyArchive()
    for name, sign in (("like", 1.0), ("unlike", -1.0)):
        study = optuna.create_study(study_name=name, sampler=RandomSampler(seed=1))
        study.optimize(lambda trial: bowl(trial, sign), n_trials=25)  # noqa: B023
        archive.add(study, tags={"sign": str(sign)})
    archive.add(optuna.create_study(study_name="empty"))
    archive.add(optuna.create_study(study_name="several", directions=["minimize"] * 2))
    other = optuna.create_study(study_name="unrelated")
    other.optimize(lambda trial: trial.suggest_float("other", 0, 1), n_trials=2)
    archive.add(other)
    return archive


def test_studies_that_agree_stand_out(archive):
    study = optuna.create_study(sampler=RandomSampler(seed=2))
    study.optimize(bowl, n_trials=8)
    table = archive.report(study).set_index("study")
    assert table.loc["like", "agreement"] > 0.8 and table.loc["unlike", "agreement"] < -0.8
    assert table.loc["like", "predicted_score"] < table.loc["unlike", "predicted_score"]
    assert list(table["used"]) == [True, True, False, False, False]
    assert list(table["reason"]) == ["", "", "no completed trial", "several objectives", "no parameter in common"]
    assert sum(table.attrs["experts"].values()) == pytest.approx(1.0)
    assert table.loc["like", "parameters"] == {"x": "same", "k": "same"}
    assert len(study.trials) == 8


def test_what_alignment_did_is_said(archive):
    study = optuna.create_study(sampler=RandomSampler(seed=2))
    study.optimize(
        lambda trial: trial.suggest_float("width", 0.2, 0.6) + trial.suggest_categorical("k", [1, 5]), n_trials=3
    )
    row = archive.report(study, names={"x": "width"}).set_index("study").loc["like"]
    assert row["parameters"]["x"] == "width: renamed, range changed"
    assert row["parameters"]["k"] == "type changed"
    assert row["n_mapped"] > 0 and row["n_dropped"] > 0
    assert row["n_trials"] == 25 - row["n_dropped"]
    assert 0.2 <= row["best"]["width"] <= 0.6 and row["best"]["k"] in (1, 5)


def test_report_before_the_first_trial_and_of_an_empty_archive(archive):
    table = archive.report(optuna.create_study())
    assert table["agreement"].isna().all() and len(table) == 5
    assert len(StudyArchive().report(optuna.create_study())) == 0


def test_several_objectives_are_refused(archive):
    with pytest.raises(ValueError, match="one objective"):
        archive.report(optuna.create_study(directions=["minimize"] * 2))


def test_study_of_any_name_is_reported():
    archive = StudyArchive()
    study = optuna.create_study(study_name="\ud800")
    study.optimize(bowl, n_trials=3)
    archive.add(study)
    assert list(archive.report(optuna.create_study())["study"]) == ["\ud800"]


def test_what_is_no_study_is_refused(archive):
    with pytest.raises(TypeError, match=r"must be an optuna\.Study, got str"):
        archive.report("churn")
