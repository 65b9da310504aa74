"""A fit with warm_start goes on from the last one, or says why it cannot."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import KFold

import autometa.ensembling
from autometa import AutoMeta, load
from autometa.evaluation.evaluator import evaluate
from autometa.exceptions import SearchFailedError

QUICK: dict[str, Any] = {
    "strategies": ["logistic_regression", "discriminant_analysis", "nearest_neighbours"],
    "n_trials": 3,
    "random_state": 0,
    "n_jobs": 1,
    "progress": False,
}


def table(n_rows: int = 150, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n_rows, 4)), columns=list("abcd"))
    X["level"] = pd.Categorical(rng.choice(list("xyz"), n_rows))
    chance = 1 / (1 + np.exp(-2 * X["a"] - (X["level"] == "x")))
    return X, np.where(rng.random(n_rows) < chance, "yes", "no")


X, Y = table()


@pytest.fixture(scope="module")
def pickled() -> bytes:
    """A model after one fit of three trials, as a pickle, so that no test changes it for the others."""
    return pickle.dumps(AutoMeta(warm_start=True, **QUICK).fit(X, Y))


@pytest.fixture
def model(pickled: bytes) -> AutoMeta:
    fitted: AutoMeta = pickle.loads(pickled)
    return fitted


def trials(model: AutoMeta) -> list[tuple[Any, ...]]:
    return [(t["number"], t["strategy"], t["parameters"], t["loss"]) for t in model.history_.trials]


# ------------------------------------------------------------------------------------------- going on


def test_two_fits_of_three_trials_are_one_fit_of_six(model: AutoMeta):
    # Also after pickling: models, out-of-fold predictions, the sampler and the policy's view are those of one search.
    at_once = AutoMeta(**{**QUICK, "n_trials": 6}).fit(X, Y)
    model.fit(X, Y)
    assert trials(model) == trials(at_once)
    assert [t["weight"] for t in model.history_.trials] == [t["weight"] for t in at_once.history_.trials]
    np.testing.assert_array_equal(model.oof_predictions(), at_once.oof_predictions())
    np.testing.assert_array_equal(model.predict_proba(X), at_once.predict_proba(X))


def test_earlier_trials_are_kept_and_not_fitted_again(model: AutoMeta, monkeypatch: pytest.MonkeyPatch):
    before, seconds = trials(model), model.history_.total_s
    fitted: set[int] = set()

    def listening(folder: Path, job: Any) -> Any:
        fitted.add(job.trial)
        return evaluate(folder, job)

    monkeypatch.setattr("autometa.evaluation.workers.evaluate", listening)
    model.set_params(n_trials=2).fit(X, Y)
    assert trials(model)[:3] == before and len(trials(model)) == 5
    assert fitted <= {3, 4}
    assert model.history_.total_s > seconds
    ended = [trial["ended_s"] for trial in model.history_.trials]
    assert ended == sorted(ended) and ended[3] > seconds
    assert [trial["origin"] for trial in model.history_.trials[:3]] == ["policy"] * 3


def test_models_of_earlier_trials_may_be_in_the_ensemble(model: AutoMeta):
    model.set_params(n_trials=1).fit(X, Y)
    assert min(member.trial for member in model.predictor_.members) < 3


def test_a_third_fit_goes_on_as_well(model: AutoMeta):
    model.set_params(n_trials=1).fit(X, Y).fit(X.copy(), list(Y))
    assert [trial[0] for trial in trials(model)] == [0, 1, 2, 3, 4]


def test_seconds_may_follow_trials(model: AutoMeta):
    # Strategies that are too slow for so few seconds were tried before.
    model.set_params(n_trials=None, time_budget=4.0).fit(X, Y)
    assert len(trials(model)) > 3
    assert "storage" not in model.history_.stop_reason
    assert len(model.study_.trials) == len(trials(model))


def test_models_of_all_rows_are_fitted_once(monkeypatch: pytest.MonkeyPatch):
    given: list[set[int]] = []

    def listening(records: Any, **arguments: Any) -> set[int]:
        given.append({record.number for record in records})
        return refit(records, **arguments)

    refit = autometa.ensembling.refit
    monkeypatch.setattr(autometa.ensembling, "refit", listening)
    model = AutoMeta(cv="time", warm_start=True, **QUICK).fit(X, Y).fit(X, Y)
    first, second = given
    assert first and not first & second
    assert all(len(member.models) == 1 for member in model.predictor_.members)


def test_validation_rows_of_the_caller_are_kept():
    X_val, y_val = table(60, seed=1)
    model = AutoMeta(warm_start=True, **QUICK).fit(X, Y, X_val=X_val, y_val=y_val).fit(X, Y, X_val=X_val, y_val=y_val)
    assert len(trials(model)) == 6
    with pytest.raises(ValueError, match="X and y changed"):
        model.fit(X, Y)


def test_a_study_of_the_caller_holds_the_trials_of_all_fits():
    study = optuna.create_study()
    AutoMeta(study=study, warm_start=True, **QUICK).fit(X, Y).fit(X, Y)
    assert len(study.trials) == 6


def test_a_fit_that_fails_leaves_the_model_and_what_it_keeps(model: AutoMeta, monkeypatch: pytest.MonkeyPatch):
    before = model.predict_proba(X)

    def failing(*arguments: Any, **others: Any) -> Any:
        raise SearchFailedError("no ensemble")

    with monkeypatch.context() as patched:
        patched.setattr("autometa.fitting.make_ensemble", failing)
        with pytest.raises(SearchFailedError):
            model.fit(X, Y)
    np.testing.assert_array_equal(model.predict_proba(X), before)
    assert len(trials(model.fit(X, Y))) == 6


# ------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"metric": "log_loss"}, "metric"),
        ({"cv": 4}, "cv"),
        ({"random_state": 1}, "random_state"),
        ({"strategies": ["logistic_regression", "nearest_neighbours"]}, "strategies"),
        ({"metric": "f1", "pos_label": "no"}, "metric and pos_label"),
    ],
)
def test_parameters_that_trials_depend_on_must_stay(model: AutoMeta, changes: dict[str, Any], named: str):
    before = model.predict_proba(X)
    with pytest.raises(ValueError, match=rf"{named} changed.*clone\(model\)\.fit"):
        model.set_params(**changes).fit(X, Y)
    np.testing.assert_array_equal(model.predict_proba(X), before)


def changed_value() -> pd.DataFrame:
    other = X.copy()
    other.loc[77, "a"] += 1e-3
    return other


@pytest.mark.parametrize(
    ("rows", "y", "named"),
    [
        (changed_value(), Y, "X"),
        (X[::-1], Y, "X"),
        (X.assign(level=X["level"].map({"x": 0.0, "y": 1.0, "z": 2.0}).astype(float)), Y, "the kinds of the columns"),
        (X, np.where(np.arange(150) == 5, np.where(Y == "yes", "no", "yes"), Y), "y"),
        (X, np.where(Y == "yes", "true", "false"), "y"),
        (X.iloc[:100], Y[:100], "X and y"),
    ],
)
def test_other_rows_are_refused(model: AutoMeta, rows: pd.DataFrame, y: np.ndarray, named: str):
    with pytest.raises(ValueError, match=rf"{named}.* changed"):
        model.fit(rows, y)


def test_other_weights_are_refused(model: AutoMeta):
    with pytest.raises(ValueError, match="sample_weight changed"):
        model.fit(X, Y, sample_weight=np.arange(1, 151))


def test_a_splitter_must_give_the_same_folds():
    model = AutoMeta(cv=KFold(3, shuffle=True, random_state=0), warm_start=True, **QUICK).fit(X, Y)
    model.set_params(cv=KFold(3, shuffle=True, random_state=0)).fit(X, Y)
    assert len(trials(model)) == 6
    with pytest.raises(ValueError, match="the folds of cv"):
        model.set_params(cv=KFold(3, shuffle=True)).fit(X, Y)


def test_what_does_not_change_trials_may_change(model: AutoMeta):
    model.set_params(ensemble_size=3, calibrate=False, n_jobs=2, policy="prior", n_trials=1).fit(X, Y)
    assert len(trials(model)) == 4


# ------------------------------------------------------------------------------------------- what forgets


def test_a_clone_starts_afresh(model: AutoMeta):
    assert [trial[0] for trial in trials(clone(model).set_params(n_trials=1).fit(X, Y))] == [0]


def test_without_warm_start_nothing_is_kept(model: AutoMeta):
    model.set_params(warm_start=False, n_trials=1).fit(X, Y)
    assert len(trials(model)) == 1
    assert model._warm_start is None
    with pytest.warns(UserWarning, match="kept no models"):
        model.set_params(warm_start=True).fit(X, Y)
    assert len(trials(model.fit(X, Y))) == 2


def test_a_file_keeps_no_models_for_a_warm_start(model: AutoMeta, tmp_path: Path):
    plain = AutoMeta(**QUICK).fit(X, Y).save(tmp_path / "plain.autometa")
    path = model.save(tmp_path / "warm.autometa")
    assert path.stat().st_size < 1.05 * plain.stat().st_size + 1000
    loaded = load(path)
    assert loaded.warm_start
    with pytest.warns(UserWarning, match="comes from a file"):
        loaded.set_params(n_trials=1).fit(X, Y)
    assert len(trials(loaded)) == 1


def test_a_smaller_model_keeps_none(model: AutoMeta):
    small = model.compact(max_mb=1000)
    assert small._warm_start is None and model._warm_start is not None


@pytest.mark.filterwarnings("ignore:y is 3 in every row")
def test_a_constant_target_can_be_fitted_twice():
    model = AutoMeta(problem="regression", warm_start=True, **{**QUICK, "strategies": ["ridge"]})
    model.fit(X, np.full(150, 3.0)).fit(X, np.full(150, 3.0))
    assert set(model.predict(X)) == {3.0}


def test_warm_start_must_be_true_or_false():
    with pytest.raises(TypeError, match="warm_start must be True or False"):
        AutoMeta(warm_start="yes", **QUICK).fit(X, Y)
