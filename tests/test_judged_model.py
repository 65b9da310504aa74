"""What a fitted estimator says about itself: expected score, importances, metrics, its best trial."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score, make_scorer, mean_absolute_error, roc_auc_score

from autometa import AutoMetaClassifier, AutoMetaRegressor, load

QUICK: dict[str, Any] = {"n_trials": 3, "random_state": 0, "n_jobs": 1, "progress": False}
LINEAR = {**QUICK, "strategies": ["logistic_regression", "discriminant_analysis"]}


def classes(n_rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Return rows of two classes with a useful date, a useful text, a useless number and a constant."""
    rng = np.random.default_rng(seed)
    month, day = rng.integers(1, 13, n_rows), rng.integers(1, 28, n_rows)
    X = pd.DataFrame(
        {
            "when": pd.to_datetime(pd.DataFrame({"year": 2024, "month": month, "day": day})),
            "useless": rng.normal(size=n_rows),
            "kind": rng.choice(["x", "y"], n_rows),
            "same": 1.0,
        }
    )
    chance = 1 / (1 + np.exp(2 - 0.9 * (month - 6) - 2 * (X["kind"] == "x")))
    return X, np.where(rng.random(n_rows) < chance, "yes", "no")


def values(n_rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n_rows, 3)), columns=list("abc"))
    return X, (10 * X["a"] + 3 * X["b"] + rng.normal(size=n_rows)).to_numpy()


@pytest.fixture(scope="module")
def classifier() -> AutoMetaClassifier:
    return AutoMetaClassifier(metric="f1", **LINEAR).fit(*classes(400, 0))


@pytest.fixture(scope="module")
def regressor() -> AutoMetaRegressor:
    return AutoMetaRegressor(strategies=["ridge", "elastic_net"], **QUICK).fit(*values(300, 0))


@pytest.fixture(scope="module")
def loaded(regressor: AutoMetaRegressor, tmp_path_factory: pytest.TempPathFactory) -> AutoMetaRegressor:
    return load(regressor.save(tmp_path_factory.mktemp("models") / "m.autometa"))


# ----------------------------------------------------------------------------------- expected score


def test_expected_score_lies_in_its_interval_and_below_the_validation_score(classifier: AutoMetaClassifier):
    found = classifier.expected_score()
    assert found.name == "f1"
    assert found["low"] < found["score"] < found["high"]
    assert found["score"] == pytest.approx(found["validation_score"] - found["optimism"])
    assert found["optimism"] >= 0
    narrow = classifier.expected_score(confidence=0.5)
    assert found["low"] < narrow["low"] < narrow["high"] < found["high"]


def test_expected_score_of_a_loss_is_in_its_units_and_holds_that_of_new_rows(regressor: AutoMetaRegressor):
    found = regressor.expected_score(0.99)
    X, y = values(5000, 1)
    error = float(np.sqrt(np.mean((regressor.predict(X) - y) ** 2)))
    assert found["score"] == pytest.approx(found["validation_score"] + found["optimism"])
    assert found["low"] < error < found["high"]


def test_expected_score_survives_saving(regressor: AutoMetaRegressor, loaded: AutoMetaRegressor):
    pd.testing.assert_series_equal(loaded.expected_score(), regressor.expected_score())


def test_a_constant_target_has_no_expected_score():
    X, _ = values(40, 0)
    with pytest.warns(UserWarning, match="in every row"):
        model = AutoMetaRegressor(**QUICK).fit(X, np.ones(40))
    with pytest.raises(ValueError, match="y was constant.*evaluate"):
        model.expected_score()
    with pytest.raises(ValueError, match="Give X and y"):
        model.feature_importances()
    with pytest.raises(AttributeError, match="no best trial"):
        _ = model.best_score_


@pytest.mark.parametrize("confidence", [0, 1, 1.5, "0.9", True])
def test_a_confidence_outside_0_and_1_is_refused(regressor: AutoMetaRegressor, confidence: Any):
    with pytest.raises(ValueError, match="confidence must be"):
        regressor.expected_score(confidence)


# -------------------------------------------------------------------------------------- importances


@pytest.mark.parametrize("with_rows", [False, True])
def test_importances_are_by_raw_column_and_tell_useful_ones(classifier: AutoMetaClassifier, with_rows: bool):
    rows = classes(300, 1) if with_rows else ()
    found = classifier.feature_importances(*rows)
    assert found["column"].tolist()[0] == "when"
    by_name = found.set_index("column")
    assert set(by_name.index) == {"when", "useless", "kind", "same"}
    assert by_name.loc["when", "low"] > 0.05
    assert by_name.loc["useless", "low"] <= 0.01 and abs(by_name.loc["useless", "importance"]) < 0.03
    assert by_name.loc["same"].tolist() == [0, 0, 0]
    assert (found["low"] <= found["importance"]).all() and (found["importance"] <= found["high"]).all()


def test_importance_is_the_rise_of_the_loss_in_its_units(regressor: AutoMetaRegressor):
    X, y = values(800, 1)
    found = regressor.feature_importances(X, y).set_index("column")
    rng = np.random.default_rng(0)

    def rmse(frame: pd.DataFrame) -> float:
        return float(np.sqrt(np.mean((regressor.predict(frame) - y) ** 2)))

    for name in "abc":
        rise = rmse(X.assign(**{name: rng.permutation(X[name])})) - rmse(X)
        assert found.loc[name, "importance"] == pytest.approx(rise, rel=0.15, abs=0.05)


def test_rows_of_the_fit_are_predicted_by_models_that_were_not_fitted_on_them(regressor: AutoMetaRegressor):
    held_out, out_of_fold = regressor._held_out, regressor._out_of_fold
    assert held_out is not None and out_of_fold is not None
    again = out_of_fold.predict(regressor._cleaned(held_out.frame), held_out.folds)
    np.testing.assert_allclose(again, out_of_fold.predictions, rtol=1e-4, atol=1e-4)


def test_models_of_a_holdout_are_kept_where_members_were_fitted_again():
    X, y = values(300, 0)
    rows = np.arange(300)
    model = AutoMetaRegressor(strategies=["ridge"], time_budget=60, cv=[(rows[:200], rows[200:])], **QUICK)
    model.fit(X, y)
    held_out, out_of_fold = model._held_out, model._out_of_fold
    assert held_out is not None and out_of_fold is not None
    again = out_of_fold.predict(model._cleaned(held_out.frame), held_out.folds)
    np.testing.assert_allclose(again, out_of_fold.predictions, rtol=1e-4, atol=1e-4)
    assert model.feature_importances()["column"][0] == "a"


def test_rows_of_weight_0_are_not_among_those_of_importances():
    X, y = values(200, 0)
    weight = np.where(np.arange(200) < 50, 0.0, 1.0)
    y = np.where(weight > 0, y, 1e6)
    model = AutoMetaRegressor(strategies=["ridge"], **QUICK).fit(X, y, sample_weight=weight)
    assert model._held_out is not None and model._held_out.y.max() < 1e3
    assert model.feature_importances(n_repeats=1)["column"][0] == "a"


def test_importances_after_pickling_are_the_same(regressor: AutoMetaRegressor):
    again = pickle.loads(pickle.dumps(regressor))
    pd.testing.assert_frame_equal(again.feature_importances(n_repeats=1), regressor.feature_importances(n_repeats=1))


def test_importances_need_both_x_and_y_and_a_loaded_model_needs_rows(
    regressor: AutoMetaRegressor, loaded: AutoMetaRegressor
):
    X, y = values(50, 1)
    with pytest.raises(ValueError, match="X came without y"):
        regressor.feature_importances(X)
    with pytest.raises(ValueError, match="y came without X"):
        regressor.feature_importances(y=y)
    with pytest.raises(ValueError, match="Give X and y"):
        loaded.feature_importances()
    with pytest.raises(ValueError, match="n_repeats"):
        regressor.feature_importances(n_repeats=0)
    assert loaded.feature_importances(X, y)["column"][0] == "a"


# ------------------------------------------------------------------------------------ evaluate


def test_evaluate_gives_what_scikit_learn_does(classifier: AutoMetaClassifier):
    X, y = classes(500, 2)
    own = make_scorer(accuracy_score)
    found = classifier.evaluate(X, y, metrics=["roc_auc", "f1", "accuracy", own]).set_index("metric")
    labels, chance = classifier.predict(X), classifier.predict_proba(X)[:, 1]
    assert found.loc["roc_auc", "score"] == pytest.approx(roc_auc_score(y == "yes", chance))
    assert found.loc["f1", "score"] == pytest.approx(f1_score(y, labels, pos_label="yes"))
    assert found["score"].iloc[2] == found["score"].iloc[3] == pytest.approx(accuracy_score(y, labels))
    assert (found["low"] < found["score"]).all() and (found["score"] < found["high"]).all()


def test_evaluate_by_default_begins_with_the_metric_of_the_fit(
    classifier: AutoMetaClassifier, loaded: AutoMetaRegressor
):
    assert classifier.evaluate(*classes(200, 2))["metric"].tolist()[:3] == ["f1", "roc_auc", "average_precision"]
    X, y = values(200, 2)
    found = loaded.evaluate(X, y).set_index("metric")
    assert found.index.tolist() == ["rmse", "mae", "median_absolute_error", "r2"]
    assert found.loc["mae", "score"] == pytest.approx(mean_absolute_error(y, loaded.predict(X)))


def test_confusion_counts_what_predict_returns(classifier: AutoMetaClassifier, regressor: AutoMetaRegressor):
    X, y = classes(200, 2)
    found = classifier.confusion(X, y)
    expected = pd.crosstab(pd.Series(y, name="true"), pd.Series(classifier.predict(X), name="predicted"))
    pd.testing.assert_frame_equal(found, expected, check_names=False, check_index_type=False, check_column_type=False)
    assert not hasattr(regressor, "confusion")


def test_bad_arguments_of_evaluate_are_named(classifier: AutoMetaClassifier):
    X, y = classes(50, 2)
    with pytest.raises(TypeError, match="must be a list"):
        classifier.evaluate(X, y, metrics="f1")
    with pytest.raises(ValueError, match="metrics is empty"):
        classifier.evaluate(X, y, metrics=[])
    with pytest.raises(ValueError, match="does not fit"):
        classifier.evaluate(X, y, metrics=["rmse"])
    with pytest.raises(ValueError, match="labels that were not in fit"):
        classifier.evaluate(X, np.where(y == "no", "never", y))
    with pytest.raises(ValueError, match="sample_weight"):
        classifier.evaluate(X, y, sample_weight=[1.0])


# ------------------------------------------------------------------------------ best trial, summary


def test_best_trial_is_the_first_of_the_leaderboard(regressor: AutoMetaRegressor):
    first = regressor.leaderboard(full=True).iloc[0]
    assert regressor.best_score_ == pytest.approx(-first["loss"])
    assert regressor.best_params_ == {"strategy": first["strategy"], **first["configuration"]}
    assert not hasattr(AutoMetaRegressor(), "best_score_")


def test_print_shows_the_fit_and_repr_the_parameters(regressor: AutoMetaRegressor, loaded: AutoMetaRegressor):
    new = AutoMetaRegressor(time_budget=10)
    assert str(new) == repr(new) == "AutoMetaRegressor(time_budget=10)"
    shown = str(regressor)
    assert shown.startswith("AutoMetaRegressor: regression, 300 rows, 3 columns, 5 folds")
    for part in ("3 trials in", "best trial:  rmse", "ensemble:    rmse", "expected"):
        assert part in shown
    assert repr(regressor).startswith("AutoMetaRegressor(n_jobs=1")
    assert str(loaded) == shown
    html = regressor._repr_mimebundle_()["text/html"]
    assert "best trial:  rmse" in html and "sk-top-container" in html
    assert "best trial" not in new._repr_mimebundle_()["text/html"]


def test_old_files_load_and_say_what_they_lack():
    path = next((Path(__file__).parent / "saved_models").glob("format_1_*.autometa"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about versions
        model = load(path)
    assert type(model).__name__ in str(model)
    with pytest.raises(ValueError, match="earlier version"):
        model.expected_score()
