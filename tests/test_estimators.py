"""The estimators on raw tables: accepted and refused input, parameters, results."""

from __future__ import annotations

import logging
import pickle
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import numpy as np
import optuna
import pandas as pd
import pytest
import scipy.sparse
from optuna.distributions import FloatDistribution
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier, is_regressor
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.metrics import log_loss, make_scorer, mean_absolute_error
from sklearn.model_selection import GridSearchCV, GroupKFold, TimeSeriesSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from autometa import AutoMeta, AutoMetaClassifier, AutoMetaRegressor, Strategy
from autometa.exceptions import SearchFailedError
from autometa.search.resume import Earlier, recall_study

QUICK: dict[str, Any] = {"n_trials": 1, "cv": 2, "random_state": 0, "n_jobs": 1}
LINEAR_C = {**QUICK, "strategies": ["logistic_regression"]}
LINEAR_R = {**QUICK, "strategies": ["ridge"]}


def make_frame(n_rows: int = 120, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "number": rng.normal(size=n_rows),
            "whole": rng.integers(0, 9, n_rows),
            "flag": rng.integers(0, 2, n_rows).astype(bool),
            "color": pd.Categorical(rng.choice(["red", "green", "blue"], n_rows)),
            "city": rng.choice(["Rome", "Oslo", "Lima"], n_rows),
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 900, n_rows), unit="D"),
            "nullable": pd.array(rng.integers(0, 5, n_rows), dtype="Int64"),
        }
    )
    frame.loc[::7, "number"] = np.nan
    frame.loc[::9, "city"] = None
    return frame


def make_labels(frame: pd.DataFrame) -> np.ndarray:
    return np.where((frame["whole"] > 4) ^ (frame["color"] == "red"), "yes", "no")


def make_values(frame: pd.DataFrame) -> np.ndarray:
    return (frame["whole"] * 2 + frame["flag"] * 3 + frame["number"].fillna(0) * 0.5).to_numpy(float) + 0.25


# ---------------------------------------------------------------- results


@pytest.fixture(scope="module")
def fitted() -> AutoMeta:
    X = make_frame()
    return AutoMeta(n_trials=4, cv=3, random_state=0, n_jobs=1, strategies=["logistic_regression", "lightgbm"]).fit(
        X, make_labels(X)
    )


def test_labels_come_back_in_their_own_dtype_and_order(fitted: AutoMeta) -> None:
    X = make_frame(50, seed=1)
    probabilities = fitted.predict_proba(X)
    assert fitted.classes_.tolist() == ["no", "yes"]
    assert probabilities.shape == (50, 2)
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert (fitted.predict(X) == fitted.classes_[probabilities.argmax(axis=1)]).all()


def test_new_rows_are_predicted_better_than_by_a_guess(fitted: AutoMeta) -> None:
    X = make_frame(1000, seed=1)
    labels = make_labels(X)
    share_of_the_majority = max((labels == name).mean() for name in ("yes", "no"))
    assert fitted.score(X, labels) > share_of_the_majority + 0.1


def test_the_leaderboard_has_a_row_per_trial_and_weights_that_sum_to_one(fitted: AutoMeta) -> None:
    table = fitted.leaderboard(full=True)
    assert len(table) == 4
    assert table["weight"].sum() == pytest.approx(1)
    assert {"trial", "strategy", "configuration", "loss", "status", "time_s", "loss_fold0", "loss_fold2"} <= set(table)
    complete = table[table["status"] == "ok"]
    folds = complete[["loss_fold0", "loss_fold1", "loss_fold2"]].mean(axis=1)
    assert np.allclose(folds, complete["loss"])
    assert complete["loss"].is_monotonic_increasing


def test_the_report_has_a_row_per_strategy_and_probabilities_that_sum_to_one(fitted: AutoMeta) -> None:
    table = fitted.report()
    assert sorted(table["strategy"]) == ["lightgbm", "logistic_regression"]
    assert table["probability"].sum() == pytest.approx(1)
    assert table["n_trials"].sum() == 4
    assert table["weight"].sum() == pytest.approx(1)
    # The ensemble's loss is of all folds together, which the mean over the folds is not exactly.
    assert 0 <= fitted.history_.ensemble_loss <= table["best_loss"].min() + 0.01


def test_columns_are_matched_by_name(fitted: AutoMeta) -> None:
    X = make_frame(30, seed=2)
    expected = fitted.predict_proba(X)
    shuffled = X[list(reversed(X.columns))].assign(extra=1)
    assert np.array_equal(fitted.predict_proba(shuffled), expected)


def test_a_missing_column_is_named(fitted: AutoMeta) -> None:
    with pytest.raises(ValueError, match="city"):
        fitted.predict(make_frame().drop(columns="city"))


def test_unseen_categories_and_missing_values_are_predicted(fitted: AutoMeta) -> None:
    X = make_frame(10, seed=3)
    X["color"] = "violet"
    X["city"] = None
    X["number"] = np.inf
    assert np.isfinite(fitted.predict_proba(X)).all()


def test_predictions_do_not_depend_on_the_other_rows(fitted: AutoMeta) -> None:
    X = make_frame(40, seed=4)
    whole = fitted.predict_proba(X)
    assert np.allclose(np.vstack([fitted.predict_proba(X.iloc[[i]]) for i in range(0, 40, 8)]), whole[::8])


def test_the_frame_is_not_changed() -> None:
    X = make_frame()
    before = X.copy(deep=True)
    AutoMetaClassifier(**LINEAR_C).fit(X, make_labels(X)).predict(X)
    pd.testing.assert_frame_equal(X, before)


@pytest.mark.parametrize(
    "convert",
    [
        lambda X: X[["number", "whole"]].to_numpy(),
        lambda X: X[["number", "whole"]].to_numpy().tolist(),
        lambda X: scipy.sparse.csr_matrix(X[["whole", "flag"]].to_numpy(float)),
        lambda X: X.set_axis([("a", i) for i in range(X.shape[1])], axis=1),
        lambda X: X.set_axis(["[x]", "x", "x", "{y}", "", "a:b", 'q"'], axis=1),
        lambda X: X.set_axis(range(X.shape[1]), axis=1),
        lambda X: X.astype(object),
    ],
    ids=["array", "lists", "sparse", "tuples as names", "odd and duplicate names", "integer names", "objects"],
)
def test_every_usual_kind_of_table_is_accepted(convert: Any) -> None:
    frame = make_frame()
    X = convert(frame)
    model = AutoMetaClassifier(**{**LINEAR_C, "strategies": ["lightgbm", "logistic_regression"], "n_trials": 2})
    assert model.fit(X, make_labels(frame)).predict(X).shape == (120,)


def test_regression_returns_floats_and_the_usual_score() -> None:
    X = make_frame()
    y = make_values(X)
    model = AutoMetaRegressor(**LINEAR_R).fit(X, y)
    assert model.predict(X).dtype == np.float64
    assert model.score(X, y) > 0.9
    assert not hasattr(model, "predict_proba")


def test_a_constant_regression_target_gives_a_constant_model_and_a_warning() -> None:
    X = make_frame()
    with pytest.warns(UserWarning, match="predicts 7 for every row"):
        model = AutoMetaRegressor(**LINEAR_R).fit(X, np.full(120, 7.0))
    assert (model.predict(X) == 7).all()
    assert model.leaderboard().empty
    assert (model.report()["note"] == "left out: y is constant").all()


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"time_budget": 0}, ValueError, "time_budget must be a positive"),
        ({"time_budget": -3}, ValueError, "time_budget must be a positive"),
        ({"time_budget": "fast"}, TypeError, "time_budget must be a number"),
        ({"n_trials": 0}, ValueError, "n_trials must be at least 1"),
        ({"n_trials": 2.5}, TypeError, "n_trials must be a whole number"),
        ({"metric": "accurracy"}, ValueError, "accuracy"),
        ({"metric": "rmse"}, ValueError, "rmse"),
        ({"strategies": ["lightbgm"]}, ValueError, "lightgbm"),
        ({"strategies": []}, ValueError, "strateg"),
        ({"cv": 1}, ValueError, "cv must be at least 2"),
        ({"cv": "five"}, TypeError, "cv must be"),
        ({"ensemble_size": 0}, ValueError, "ensemble_size must be at least 1"),
        ({"n_jobs": 0}, ValueError, "n_jobs must not be 0"),
        ({"memory_limit": -1}, ValueError, "memory_limit must be a positive"),
        ({"callbacks": ["print"]}, TypeError, "callbacks must be callable"),
        ({"progress": "yes"}, TypeError, "progress must be"),
        ({"study": "mine"}, TypeError, "optuna.Study"),
        ({"study": optuna.create_study(), "storage": "sqlite://"}, ValueError, "Give either study"),
        ({"storage": "sqlite:////no/such/folder/x.db"}, ValueError, "could not be opened"),
    ],
    ids=str,
)
def test_bad_parameters_are_refused(parameters: dict[str, Any], error: type[Exception], message: str) -> None:
    X = make_frame()
    with pytest.raises(error, match=message):
        AutoMetaClassifier(**{**LINEAR_C, **parameters}).fit(X, make_labels(X))


def test_a_problem_that_is_unknown_is_refused() -> None:
    X = make_frame()
    with pytest.raises(ValueError, match="problem must be one of"):
        AutoMeta("ranking", **LINEAR_C).fit(X, make_labels(X))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fit_arguments", "message"),
    [
        ({"sample_weight": -np.ones(120)}, "[Nn]egative"),
        ({"sample_weight": np.zeros(120)}, "sample_weight is 0 for every row|zero"),
        ({"sample_weight": np.ones(5)}, "sample_weight"),
        ({"groups": np.ones(5)}, "groups must have one entry per row"),
        ({"groups": np.ones(120)}, "one group only"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_bad_weights_and_groups_are_refused(fit_arguments: dict[str, Any], message: str) -> None:
    X = make_frame()
    with pytest.raises(ValueError, match=message):
        AutoMetaClassifier(**{**LINEAR_C, "cv": None}).fit(X, make_labels(X), **fit_arguments)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (pd.DataFrame(), "0 sample|0 feature|minimum of 1"),
        (pd.DataFrame({"a": [1] * 10, "b": [None] * 10}), "no usable column"),
        (np.zeros((10, 2, 2)), "dim"),
        (np.arange(10.0), "Reshape your data"),
    ],
    ids=["empty", "constant and missing", "3-d", "1-d"],
)
def test_bad_tables_are_refused(X: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AutoMetaClassifier(**LINEAR_C).fit(X, [0, 1] * (len(X) // 2))


def test_predict_before_fit_is_refused() -> None:
    with pytest.raises(NotFittedError):
        AutoMeta().predict(make_frame())
    with pytest.raises(NotFittedError):
        AutoMeta().report()


def test_predict_with_another_number_of_columns_is_refused() -> None:
    X = np.random.default_rng(0).normal(size=(60, 3))
    model = AutoMetaRegressor(**LINEAR_R).fit(X, X[:, 0])
    with pytest.raises(ValueError, match="X has 2 features, but AutoMetaRegressor is expecting 3 features"):
        model.predict(X[:, :2])


# ---------------------------------------------------------------- odd sizes


@pytest.mark.parametrize("n_rows", [4, 10])
@pytest.mark.parametrize("strategies", [["lightgbm"], pytest.param(None, marks=pytest.mark.slow)], ids=["one", "all"])
def test_a_handful_of_rows_is_enough(n_rows: int, strategies: list[str] | None) -> None:
    X = make_frame(n_rows)
    labels = np.array(["a", "b"] * (n_rows // 2))
    arguments: dict[str, Any] = {"n_trials": 14 if strategies is None else 2, "strategies": strategies, "n_jobs": 1}
    model = AutoMetaClassifier(**arguments, random_state=0).fit(X, labels)
    assert model.predict_proba(X).shape == (n_rows, 2)
    values = AutoMetaRegressor(**arguments, random_state=0).fit(X, np.arange(n_rows) + 0.5)
    assert np.isfinite(values.predict(X)).all()


def test_sixty_classes_with_few_rows_each() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(60), 5)
    X = np.column_stack([y + rng.normal(size=300) * 0.1, rng.normal(size=300)])
    model = AutoMetaClassifier(n_trials=2, strategies=["lightgbm", "logistic_regression"], random_state=0, n_jobs=1)
    probabilities = model.fit(X, y).predict_proba(X)
    assert probabilities.shape == (300, 60)
    assert np.allclose(probabilities.sum(axis=1), 1)


def test_a_class_with_one_row_keeps_its_column() -> None:
    X = make_frame()
    y = make_labels(X).astype(object)
    y[0] = "maybe"
    model = AutoMetaClassifier(**{**LINEAR_C, "cv": None}).fit(X, y)
    assert model.classes_.tolist() == ["maybe", "no", "yes"]
    assert model.predict_proba(X).shape == (120, 3)


def test_ten_thousand_columns() -> None:
    X = np.random.default_rng(0).normal(size=(60, 10_000)).astype(np.float32)
    model = AutoMetaClassifier(**{**QUICK, "strategies": ["lightgbm"]}, time_budget=6).fit(X, (X[:, 0] > 0).astype(int))
    assert model.predict(X).shape == (60,)


# ---------------------------------------------------------------- parameters at work


def test_the_same_seed_and_trials_give_the_same_predictions(seed: int) -> None:
    X = make_frame()

    def probabilities() -> np.ndarray:
        strategies = ["logistic_regression", "lightgbm", "extra_trees"]
        model = AutoMetaClassifier(n_trials=6, cv=3, random_state=seed, n_jobs=1, strategies=strategies)
        return model.fit(X, make_labels(X)).predict_proba(X)

    assert np.array_equal(probabilities(), probabilities())


@pytest.mark.parametrize(
    "metric", ["mae", "neg_mean_absolute_error", make_scorer(mean_absolute_error, greater_is_better=False)]
)
def test_names_and_scorers_mean_the_same_metric(metric: Any) -> None:
    X = make_frame()
    y = make_values(X)
    model = AutoMetaRegressor(**LINEAR_R, metric=metric).fit(X, y)
    assert model.score(X, y) == pytest.approx(-mean_absolute_error(y, model.predict(X)))


@pytest.mark.parametrize("cv", [3, GroupKFold(3), TimeSeriesSplit(3), [(np.arange(60), np.arange(60, 120))]], ids=str)
def test_cv_is_followed(cv: Any) -> None:
    X = make_frame()
    model = AutoMetaClassifier(**{**LINEAR_C, "cv": cv}).fit(X, make_labels(X), groups=np.arange(120) % 6)
    folds = [column for column in model.leaderboard(full=True) if column.startswith("loss_fold")]
    assert len(folds) == (1 if isinstance(cv, list) else 3)


def test_zero_weight_is_absence() -> None:
    X = make_frame()
    y = make_values(X)
    weight = np.ones(120)
    weight[60:] = 0
    weighted = AutoMetaRegressor(**LINEAR_R).fit(X, y, sample_weight=weight)
    absent = AutoMetaRegressor(**LINEAR_R).fit(X[:60], y[:60])
    assert np.allclose(weighted.predict(X), absent.predict(X))


def test_the_ensemble_of_size_one_is_the_best_trial() -> None:
    X = make_frame()
    model = AutoMetaRegressor(
        n_trials=4, cv=2, strategies=["ridge", "lightgbm"], ensemble_size=1, random_state=0, n_jobs=1
    )
    table = model.fit(X, make_values(X)).leaderboard()
    assert table["weight"].tolist()[0] == 1


def test_a_given_study_is_searched_in() -> None:
    X = make_frame()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    model = AutoMetaRegressor(**{**LINEAR_R, "n_trials": 3}, study=study).fit(X, make_values(X))
    assert model.study_ is study
    assert len(study.trials) == 3
    assert study.best_value == pytest.approx(model.leaderboard()["loss"].min())


def test_a_stored_study_is_resumed(tmp_path: Any) -> None:
    X = make_frame()
    arguments = {**LINEAR_R, "n_trials": 3, "storage": f"sqlite:///{tmp_path}/s.db", "study_name": "mine"}
    first = AutoMetaRegressor(**arguments).fit(X, make_values(X))
    second = AutoMetaRegressor(**arguments).fit(X, make_values(X))
    assert len(second.study_.trials) == 6
    members = first.leaderboard(full=True).sort_values("weight", ascending=False)["configuration"]
    tried = second.leaderboard(full=True).sort_values("trial")["configuration"].tolist()
    assert tried[0] == members.iloc[0]
    # Half of the trials fit the best again; the others are new.
    assert not any(
        configuration in first.leaderboard(full=True)["configuration"].tolist() for configuration in tried[2:]
    )


def test_where_time_is_limited_a_resumed_fit_orders_members_by_weight_per_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[bool] = []

    def listening(*arguments: Any, in_time: bool) -> Earlier:
        asked.append(in_time)
        return recall_study(*arguments, in_time=in_time)

    monkeypatch.setattr("autometa.fitting.recall_study", listening)
    X = make_frame()
    for time_budget in (None, 60):
        AutoMetaRegressor(**LINEAR_R, time_budget=time_budget).fit(X, make_values(X))
    assert asked == [False, True]


def test_a_stored_study_serves_new_rows_of_the_same_table_and_no_other_table(tmp_path: Any) -> None:
    X = make_frame()
    arguments = {**LINEAR_R, "n_trials": 3, "storage": f"sqlite:///{tmp_path}/s.db", "study_name": "mine"}
    first = AutoMetaRegressor(**arguments).fit(X[:90], make_values(X)[:90])
    second = AutoMetaRegressor(**arguments).fit(X, make_values(X))
    best = first.leaderboard(full=True).sort_values("weight", ascending=False).iloc[0]["configuration"]
    assert second.leaderboard(full=True).sort_values("trial").iloc[0]["configuration"] == best
    with pytest.raises(ValueError, match="belongs to another task"):
        AutoMetaRegressor(**arguments).fit(X.rename(columns={X.columns[0]: "renamed"}), make_values(X))


def test_callbacks_see_every_trial_and_can_stop() -> None:
    X = make_frame()
    seen: list[int] = []

    def callback(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        seen.append(trial.number)
        if len(seen) == 2:
            study.stop()

    AutoMetaRegressor(**{**LINEAR_R, "n_trials": 9}, callbacks=[callback]).fit(X, make_values(X))
    assert seen == [0, 1]


def test_ctrl_c_keeps_the_best_ensemble_so_far() -> None:
    X = make_frame()

    def interrupt(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        raise KeyboardInterrupt

    model = AutoMetaRegressor(**{**LINEAR_R, "n_trials": 50}, callbacks=[interrupt]).fit(X, make_values(X))
    assert model.history_.stop_reason == "interrupted"
    assert model.score(X, make_values(X)) > 0.9


def test_progress_is_shown_when_asked_for_and_not_otherwise(capfd: pytest.CaptureFixture[str]) -> None:
    X = make_frame()
    AutoMetaRegressor(**LINEAR_R).fit(X, make_values(X))
    quiet = capfd.readouterr()
    AutoMetaRegressor(**LINEAR_R, progress=True).fit(X, make_values(X))
    assert quiet.out == quiet.err == ""
    assert "best" in capfd.readouterr().err


def test_verbose_logs_for_the_duration_of_the_fit(capfd: pytest.CaptureFixture[str]) -> None:
    X = make_frame()
    AutoMetaRegressor(**LINEAR_R, verbose=1).fit(X, make_values(X))
    lines = capfd.readouterr().err.splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d INFO autometa\.", line) for line in lines)
    assert lines[0].endswith("fit: 120 rows, 7 columns; regression, rmse; 2 folds, 1 worker; at most 1 trial")
    assert re.search(r"fitted: ensemble of \d of \d trials?, rmse \S+ \(out of fold.*\), \S+ s$", lines[-1])
    assert lines[1].endswith("columns: 4 numbers, 1 date, 2 categories")
    assert any("search ended: all trials are done" in line for line in lines)
    assert not logging.getLogger("autometa").handlers


def test_a_fit_that_fails_leaves_the_fit_before_it_as_it_was() -> None:
    X = make_frame()
    model = AutoMetaClassifier(**LINEAR_C).fit(X, make_labels(X))
    before = model.predict(X)
    with pytest.raises(ValueError, match="gave no fold"):
        model.set_params(cv=[]).fit(X[["whole"]], np.arange(120) % 3)
    assert (model.predict(X) == before).all()


def test_rows_of_zero_weight_do_not_shift_the_callers_folds() -> None:
    X = make_frame()
    weight = np.ones(120)
    weight[:60] = 0
    folds = [(np.arange(30, 90), np.arange(90, 120))]
    model = AutoMetaRegressor(**{**LINEAR_R, "cv": folds}).fit(X, make_values(X), sample_weight=weight)
    assert model.leaderboard()["status"].tolist() == ["ok"]
    with pytest.raises(ValueError, match="rows that X does not have"):
        AutoMetaRegressor(**{**LINEAR_R, "cv": [([0, 1, 2], [500])]}).fit(X, make_values(X))


def test_a_scorer_that_needs_every_class_does_not_cost_the_fit() -> None:
    X = make_frame()
    y = np.array(["rare"] * 4 + ["a", "b"] * 58)
    scorer = make_scorer(log_loss, greater_is_better=False, response_method="predict_proba")
    model = AutoMetaClassifier(**{**LINEAR_C, "n_trials": 2}, metric=scorer).fit(X, y)
    assert model.predict_proba(X).shape == (120, 3)


def test_trials_that_others_queued_for_strategies_left_out_are_passed_over() -> None:
    X = make_frame()
    study = optuna.create_study()
    study.enqueue_trial({"strategy": "logistic_regression"})
    arguments = {**QUICK, "n_trials": 2, "strategies": ["ridge", "logistic_regression"]}
    model = AutoMetaRegressor(**arguments, study=study).fit(X, make_values(X))
    assert set(model.leaderboard()["strategy"]) == {"ridge"}


# ---------------------------------------------------------------- own strategies


# Worker processes need not find this module: another library may have a `tests` of its own.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


class Broken(ClassifierMixin, BaseEstimator):
    """Fails in the way that it is told to."""

    def __init__(self, how: str = "raise") -> None:
        self.how = how

    def fit(self, X: np.ndarray, y: np.ndarray) -> Broken:
        if self.how == "raise":
            raise RuntimeError("the flux capacitor is empty")
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.zeros(len(X))

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return np.full((len(X), 2), np.nan) if self.how == "nan" else np.ones((len(X), 5)) / 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "message"), [("raise", "flux capacitor"), ("nan", "not finite"), ("shape", "shape")], ids=str
)
def test_a_broken_estimator_fails_alone_and_its_reason_is_reported(how: str, message: str) -> None:
    X = make_frame()
    strategies = [Strategy("broken", Broken(how), score=0.9), "logistic_regression"]
    # Learnt policies give strategies without records their turn later.
    model = AutoMetaClassifier(n_trials=3, cv=2, strategies=strategies, policy="prior", random_state=0, n_jobs=1)
    report = model.fit(X, make_labels(X)).report().set_index("strategy")
    assert message in report.loc["broken", "note"]
    assert report.loc["logistic_regression", "weight"] == pytest.approx(1)


@pytest.mark.slow
def test_when_everything_fails_the_error_says_why() -> None:
    X = make_frame()
    with pytest.raises(SearchFailedError, match="flux capacitor"):
        AutoMetaClassifier(**{**QUICK, "strategies": [Strategy("broken", Broken())]}).fit(X, make_labels(X))


@pytest.mark.slow
def test_any_scikit_learn_estimator_can_be_a_strategy() -> None:
    X = make_frame()
    forest = Strategy(
        "forest", RandomForestClassifier(10), {"max_features": FloatDistribution(0.1, 1.0)}, ({}, {"max_features": 0.3})
    )
    model = AutoMetaClassifier(**{**QUICK, "n_trials": 3, "strategies": [forest]}).fit(X, make_labels(X))
    assert (model.leaderboard()["status"] != "failed").all()
    assert model.leaderboard(full=True)["configuration"].map(lambda c: 0.1 <= c.get("max_features", 0.5) <= 1).all()


def test_a_strategy_whose_library_is_missing_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    import autometa.fitting

    installed = autometa.fitting.is_installed
    monkeypatch.setattr(autometa.fitting, "is_installed", lambda name: name != "xgboost" and installed(name))
    X = make_frame()
    model = AutoMetaRegressor(**{**QUICK, "strategies": ["ridge", "xgboost"]}).fit(X, make_values(X))
    note = model.report().set_index("strategy").loc["xgboost", "note"]
    assert "xgboost is not installed" in note and 'pip install "autometa[xgboost]"' in note


def test_an_experience_that_is_no_folder_is_refused_before_the_fit(tmp_path: Path) -> None:
    X = make_frame()
    with pytest.raises(TypeError, match="experience must be the path of a folder or None, got 3"):
        AutoMetaRegressor(**LINEAR_R, experience=3).fit(X, make_values(X))
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match=r"experience must be the path of a folder, and .*file is a file"):
        AutoMetaRegressor(**LINEAR_R, experience=tmp_path / "file").fit(X, make_values(X))


def test_a_strategy_without_records_is_reported_as_explored() -> None:
    X = make_frame()
    strategies = ["ridge", Strategy("mine", Ridge(), {"alpha": FloatDistribution(0.1, 10.0)})]
    model = AutoMetaRegressor(**{**QUICK, "strategies": strategies, "policy": "gaussian"}).fit(X, make_values(X))
    notes = model.report().set_index("strategy")["note"]
    assert notes["ridge"] == "" and "exploration" in notes["mine"]


# ---------------------------------------------------------------- scikit-learn's tools


def test_clone_pipeline_search_and_cross_validation() -> None:
    X = make_frame()[["number", "whole"]].fillna(0)
    y = make_values(make_frame())
    model = AutoMetaRegressor(**LINEAR_R)
    assert clone(model).get_params() == model.get_params()
    pipeline = make_pipeline(StandardScaler(), model).set_output(transform="pandas")
    assert pipeline.fit(X, y).score(X, y) > 0.5
    assert pipeline[-1].feature_names_in_.tolist() == ["number", "whole"]
    assert len(cross_val_score(model, X, y, cv=2)) == 2
    search = GridSearchCV(model, {"ensemble_size": [1, 5]}, cv=2).fit(X, y)
    assert search.best_params_["ensemble_size"] in (1, 5)


def test_the_kind_of_estimator_is_known() -> None:
    assert is_classifier(AutoMetaClassifier()) and is_regressor(AutoMetaRegressor())
    assert not is_classifier(AutoMeta()) and not is_regressor(AutoMeta())
    assert is_classifier(AutoMeta("binary")) and is_regressor(AutoMeta("regression"))


def test_feature_names_are_kept_for_frames_only() -> None:
    X = make_frame()
    assert AutoMetaRegressor(**LINEAR_R).fit(X, make_values(X)).feature_names_in_.tolist() == list(X.columns)
    array = X[["whole", "flag"]].to_numpy(float)
    assert not hasattr(AutoMetaRegressor(**LINEAR_R).fit(array, make_values(X)), "feature_names_in_")


@pytest.mark.parametrize("how", ["pickle", "joblib"])
def test_fitted_models_can_be_pickled(fitted: AutoMeta, how: str, tmp_path: Any) -> None:
    if how == "pickle":
        again = pickle.loads(pickle.dumps(fitted))
    else:
        joblib.dump(fitted, tmp_path / "model.joblib")
        again = joblib.load(tmp_path / "model.joblib")
    X = make_frame(20, seed=5)
    assert np.array_equal(again.predict_proba(X), fitted.predict_proba(X))
    pd.testing.assert_frame_equal(again.leaderboard(full=True), fitted.leaderboard(full=True))


def test_metadata_is_routed() -> None:
    import sklearn

    X = make_frame()[["number", "whole"]].fillna(0)
    y = make_values(make_frame())
    with sklearn.config_context(enable_metadata_routing=True):
        model = AutoMetaRegressor(**LINEAR_R).set_fit_request(sample_weight=True, groups=True)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), model)
        pipeline.fit(X, y, sample_weight=np.linspace(1, 2, 120), groups=np.arange(120) % 5)
    assert pipeline.predict(X).shape == (120,)


def test_the_html_repr_shows_the_estimator(fitted: AutoMeta) -> None:
    assert "AutoMeta" in fitted._repr_html_()
    assert "AutoMeta" in AutoMeta()._repr_html_()


def test_refitting_forgets_the_last_fit() -> None:
    X = make_frame()
    model = AutoMeta(**{**QUICK, "strategies": ["logistic_regression", "ridge"]})
    model.fit(X, make_labels(X))
    model.fit(X[["number", "whole"]], make_values(X))
    assert model.problem_ == "regression"
    assert not hasattr(model, "classes_")
    assert model.n_features_in_ == 2


def test_no_warning_reaches_the_user_of_a_clean_fit() -> None:
    X = make_frame()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AutoMetaClassifier(
            n_trials=3, cv=2, strategies=["lightgbm", "logistic_regression"], random_state=0, n_jobs=1
        ).fit(X, make_labels(X)).predict(X)


def test_predictions_do_not_depend_on_the_type_or_the_batch_in_which_a_column_comes():
    rng = np.random.default_rng(0)
    flag = rng.random(120) < 0.5
    X = pd.DataFrame({"flag": pd.Series([*flag[:-1], "unknown"], dtype=object), "noise": rng.normal(size=120)})
    model = AutoMetaClassifier(**LINEAR_C).fit(X, flag.astype(int))
    expected = model.predict_proba(X)[:100]
    assert model.score(X[:100], flag[:100].astype(int)) == 1
    for column in (flag, flag.astype(int), flag.astype(str), pd.Categorical(flag), pd.array(flag, dtype="boolean")):
        np.testing.assert_array_equal(model.predict_proba(X.assign(flag=column)[:100]), expected)
