"""The answers of a fitted estimator, from parameters to files."""

from __future__ import annotations

import pickle
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score
from sklearn.model_selection import PredefinedSplit

from autometa import AutoMeta, AutoMetaClassifier, AutoMetaRegressor, load
from autometa.core.budget import Deadline
from autometa.ensemble.out_of_fold import OutOfFold
from autometa.evaluation.metrics import resolve_metric
from autometa.fit_inputs import read_inputs
from autometa.posthoc.adjustments import fit_adjustments
from autometa.posthoc.threshold import fit_threshold, labels_at

QUICK: dict[str, Any] = {"n_trials": 3, "random_state": 0, "n_jobs": 1, "progress": False}
LINEAR = {**QUICK, "strategies": ["logistic_regression", "discriminant_analysis"]}


def rare_classes(n_rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Return rows of which about one in ten is "yes"."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n_rows, 3)), columns=list("abc"))
    X["kind"] = rng.choice(["x", "y"], n_rows)
    chance = 1 / (1 + np.exp(3 - 1.5 * X["a"] - (X["kind"] == "x")))
    return X, np.where(rng.random(n_rows) < chance, "yes", "no")


def noisy_values(n_rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Return values whose noise grows with the first column."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.uniform(1, 5, size=(n_rows, 3)), columns=list("abc"))
    return X, (10 * X["a"] + rng.normal(size=n_rows) * X["a"]).to_numpy()


@pytest.fixture(scope="module")
def classifier() -> AutoMetaClassifier:
    return AutoMetaClassifier(metric="balanced_accuracy", **LINEAR).fit(*rare_classes(500, 0))


@pytest.fixture(scope="module")
def regressor() -> AutoMetaRegressor:
    return AutoMetaRegressor(strategies=["ridge", "elastic_net"], **QUICK).fit(*noisy_values(400, 0))


# ------------------------------------------------------------------------------------------- labels


def test_labels_of_a_rare_class_are_cut_where_the_metric_is_best(classifier: AutoMetaClassifier):
    X, y = rare_classes(2000, 1)
    likeliest = classifier.classes_[classifier.predict_proba(X).argmax(axis=1)]
    tuned = balanced_accuracy_score(y, classifier.predict(X))
    assert tuned > balanced_accuracy_score(y, likeliest) + 0.07
    assert classifier.score(X, y) == pytest.approx(tuned)
    assert any("tune_threshold" in note for note in classifier.history_.notes)


def test_threshold_can_be_turned_off_and_leaves_probabilities_alone(classifier: AutoMetaClassifier):
    X, _ = rare_classes(300, 1)
    plain = AutoMetaClassifier(metric="balanced_accuracy", tune_threshold=False, **LINEAR).fit(*rare_classes(500, 0))
    probabilities = plain.predict_proba(X)
    np.testing.assert_array_equal(probabilities, classifier.predict_proba(X))
    np.testing.assert_array_equal(plain.predict(X), plain.classes_[probabilities.argmax(axis=1)])
    assert not any("tune_threshold" in note for note in plain.history_.notes)


@pytest.mark.parametrize("metric", ["auto", "log_loss", "accuracy"])
def test_other_metrics_keep_the_likeliest_class(metric: str):
    X, y = rare_classes(300, 0)
    model = AutoMetaClassifier(metric=metric, **LINEAR).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), model.classes_[model.predict_proba(X).argmax(axis=1)])


def costs_of_misses_score(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Return minus the cost: a missed "yes" costs ten times as much as a false one."""
    return -float(np.mean(np.where(y_true == "yes", 10.0 * (y_pred != "yes"), y_pred == "yes")))


def test_a_cost_function_of_labels_gets_its_threshold():
    X, y = rare_classes(600, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # with a threshold it is better than a constant
        model = AutoMetaClassifier(metric=costs_of_misses_score, **LINEAR).fit(X, y)
    fresh, truth = rare_classes(2000, 1)
    likeliest = model.classes_[model.predict_proba(fresh).argmax(axis=1)]
    assert model.history_.ensemble_loss < 0.7
    assert costs_of_misses_score(truth, model.predict(fresh)) > costs_of_misses_score(truth, likeliest) + 0.1


def share_of_hits_score(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Return a score that is not defined for fewer than three labels "yes"."""
    if np.sum(y_pred == "yes") < 3:
        raise ZeroDivisionError("too few")
    return float(np.mean(y_true[y_pred == "yes"] == "yes"))


def test_a_metric_that_is_not_defined_for_some_thresholds_costs_no_fit():
    rng = np.random.default_rng(0)
    probability = rng.random(200)
    y = (rng.random(200) < probability).astype(int)
    metric = resolve_metric(share_of_hits_score, "binary", np.array(["no", "yes"]))
    threshold = fit_threshold(y, probability, metric.loss_or_inf, n_samples=1)
    assert np.isfinite(metric.loss(y, labels_at(probability, threshold)))
    assert fit_threshold(y, probability, lambda *_: np.inf) == 0.5


def test_a_metric_too_slow_for_the_time_left_gets_no_threshold_and_a_warning():
    X, y = rare_classes(200, 0)

    def slow_score(y_true: np.ndarray, y_pred: np.ndarray) -> float:
        time.sleep(0.02)
        return balanced_accuracy_score(y_true, y_pred)

    metric = resolve_metric(slow_score, "binary", np.array(["no", "yes"]))
    task = read_inputs(X, y).task
    chances = np.column_stack([1 - X["a"].rank(pct=True), X["a"].rank(pct=True)])
    out_of_fold = OutOfFold(np.arange(200), chances, np.zeros(200))
    switches = {"calibrate": False, "tune_threshold": True, "seed": 0}
    with pytest.warns(UserWarning, match="No threshold was tuned for slow_score"):
        hurried = fit_adjustments(out_of_fold, task, metric, deadline=Deadline.after(0), **switches)
    assert hurried.threshold is None
    quick = resolve_metric("balanced_accuracy", "binary", np.array(["no", "yes"]))
    assert fit_adjustments(out_of_fold, task, quick, deadline=Deadline.after(0), **switches).threshold is not None


# ------------------------------------------------------------------------------------------- probabilities


def test_calibration_lowers_log_loss_and_keeps_labels_and_ranks():
    # Trees of a forest that ask at random are too cautious about what two columns tell for certain.
    few = {**QUICK, "n_trials": 1, "strategies": ["extra_trees"]}
    X, _ = rare_classes(1500, 0)
    fresh, _ = rare_classes(2000, 1)
    y, truth = (np.where(rows["a"] + rows["b"] > 0, "yes", "no") for rows in (X, fresh))
    plain = AutoMetaClassifier(calibrate=False, **few).fit(X, y)
    calibrated = AutoMetaClassifier(**few).fit(X, y)
    before, after = plain.predict_proba(fresh), calibrated.predict_proba(fresh)
    assert calibrated._adjustments.temperature != 1
    assert log_loss(truth, after) < log_loss(truth, before)
    assert roc_auc_score(truth == "yes", after[:, 1]) == pytest.approx(roc_auc_score(truth == "yes", before[:, 1]))
    np.testing.assert_array_equal(after.argmax(axis=1), before.argmax(axis=1))


@pytest.mark.parametrize("name", ["calibrate", "tune_threshold"])
def test_switches_are_true_or_false(name: str):
    X, y = rare_classes(40, 0)
    with pytest.raises(TypeError, match=f"{name} must be True or False, got 'yes'"):
        AutoMetaClassifier(**LINEAR, **{name: "yes"}).fit(X, y)


# ------------------------------------------------------------------------------------------- out of fold


def test_out_of_fold_predictions_are_aligned_and_honest(regressor: AutoMetaRegressor):
    X, y = noisy_values(400, 0)
    held_out = regressor.oof_predictions()
    assert held_out.shape == (400,)
    assert np.isfinite(held_out).all()
    assert np.corrcoef(held_out, y)[0, 1] > 0.9
    assert np.mean((held_out - y) ** 2) > np.mean((regressor.predict(X) - y) ** 2)


def test_rows_of_weight_0_and_rows_that_no_fold_validates_have_no_prediction():
    X, y = noisy_values(200, 0)
    weight = np.where(np.arange(200) % 4 == 0, 0.0, 1.0)
    model = AutoMetaRegressor(strategies=["ridge"], **QUICK).fit(X, y, sample_weight=weight)
    held_out = model.oof_predictions()
    np.testing.assert_array_equal(np.isnan(held_out), weight == 0)
    assert np.corrcoef(held_out[weight > 0], y[weight > 0])[0, 1] > 0.9
    fold = np.where(np.arange(200) < 150, -1, 0)
    holdout = AutoMetaRegressor(strategies=["ridge"], cv=PredefinedSplit(fold), **QUICK).fit(X, y)
    np.testing.assert_array_equal(np.isnan(holdout.oof_predictions()), fold == -1)


def test_out_of_fold_probabilities_have_a_row_each(classifier: AutoMetaClassifier):
    held_out = classifier.oof_predictions()
    assert held_out.shape == (500, 2)
    np.testing.assert_allclose(held_out.sum(axis=1), 1)


# ------------------------------------------------------------------------------------------- intervals and sets


def test_intervals_cover_new_rows_and_widen_with_the_noise(regressor: AutoMetaRegressor):
    X, y = noisy_values(3000, 1)
    low, high = regressor.predict_interval(X, coverage=0.8).T
    assert np.mean((low <= y) & (y <= high)) == pytest.approx(0.8, abs=0.05)
    np.testing.assert_allclose((low + high) / 2, regressor.predict(X))
    width, noise = high - low, X["a"].to_numpy()
    assert width[noise > 4].mean() > 1.3 * width[noise < 2].mean()


def test_sets_cover_new_rows(classifier: AutoMetaClassifier):
    X, y = rare_classes(3000, 1)
    inside = classifier.predict_set(X, coverage=0.95)
    covered = inside[np.arange(3000), np.searchsorted(classifier.classes_, y)]
    assert covered.mean() > 0.93
    assert 1 < inside.sum(axis=1).mean() < 2


def test_intervals_are_for_numbers_and_sets_for_classes(classifier: AutoMetaClassifier, regressor: AutoMetaRegressor):
    assert not hasattr(classifier, "predict_interval")
    assert not hasattr(regressor, "predict_set")
    assert not hasattr(AutoMeta("regression"), "predict_set")


@pytest.mark.parametrize("coverage", [0, 1, 1.5, -0.1, float("nan"), "0.9", None])
def test_impossible_coverage_is_refused(coverage: Any, regressor: AutoMetaRegressor):
    with pytest.raises(ValueError, match="coverage must be a number between 0 and 1"):
        regressor.predict_interval(noisy_values(5, 1)[0], coverage=coverage)


def test_coverage_that_the_rows_cannot_promise_is_refused(regressor: AutoMetaRegressor, classifier: AutoMetaClassifier):
    with pytest.raises(ValueError, match="needs at least 999 rows .* there are 400"):
        regressor.predict_interval(noisy_values(5, 1)[0], coverage=0.999)
    with pytest.raises(ValueError, match="needs at least 999 rows .* there are 500"):
        classifier.predict_set(rare_classes(5, 1)[0], coverage=0.999)


def test_a_constant_target_has_neither():
    X, _ = noisy_values(30, 0)
    with pytest.warns(UserWarning, match="in every row"):
        model = AutoMetaRegressor(**QUICK).fit(X, np.full(30, 2.0))
    with pytest.raises(ValueError, match="y was constant"):
        model.predict_interval(X)
    with pytest.raises(ValueError, match="a constant y"):
        model.oof_predictions()


# ------------------------------------------------------------------------------------------- files and columns


def test_a_file_keeps_all_but_the_out_of_fold_predictions(
    classifier: AutoMetaClassifier, regressor: AutoMetaRegressor, tmp_path: Path
):
    X, _ = rare_classes(50, 1)
    loaded = load(classifier.save(tmp_path / "classes.autometa"))
    np.testing.assert_array_equal(loaded.predict(X), classifier.predict(X))
    np.testing.assert_array_equal(loaded.predict_proba(X), classifier.predict_proba(X))
    np.testing.assert_array_equal(loaded.predict_set(X), classifier.predict_set(X))
    with pytest.raises(ValueError, match="a file written by `save` does not keep them"):
        loaded.oof_predictions()
    X, _ = noisy_values(50, 1)
    loaded = load(regressor.save(tmp_path / "values.autometa"))
    np.testing.assert_array_equal(loaded.predict_interval(X), regressor.predict_interval(X))
    pickled = pickle.loads(pickle.dumps(regressor))
    np.testing.assert_array_equal(pickled.oof_predictions(), regressor.oof_predictions())


def test_a_file_of_an_earlier_format_has_no_intervals():
    folder = Path(__file__).parent / "saved_models"
    model = load(folder / "format_1_regressor.autometa")
    with pytest.raises(ValueError, match="file of an earlier version"):
        model.predict_interval(pd.read_csv(folder / "rows.csv"))


def test_columns_say_what_was_made_of_each():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "number": rng.normal(size=80),
            "constant": 1,
            "price": [f"${value:.2f}" for value in rng.uniform(1, 9, 80)],
            "city": rng.choice(["Rio", "Oslo"], 80),
            "day": pd.date_range("2024-01-01", periods=80),
        }
    )
    table = (
        AutoMetaRegressor(strategies=["ridge"], **QUICK)
        .fit(X, X["number"] + rng.normal(size=80))
        .columns()
        .set_index("column")
    )
    assert table.index.tolist() == list(X.columns)
    assert table["kind"].to_dict() == {
        "number": "number",
        "constant": "left out",
        "price": "number",
        "city": "category",
        "day": "datetime",
    }
    assert table.loc["constant", "note"] == "constant"
    assert table.loc["city", "note"] == "2 levels"
    assert table.loc["price", "note"].startswith("text read as ")
