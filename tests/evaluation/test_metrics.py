"""Metrics against those of scikit-learn, and custom metrics."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import cloudpickle
import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import get_scorer, make_scorer

from autometa.core.task import PROBLEMS, Problem
from autometa.evaluation.metrics import Metric, kind_of_problem, metric_names, positive_class, resolve_metric

# Both sides add up some hundred float64 numbers, in different orders.
TOLERANCE = 1e-9


class Case(NamedTuple):
    """True and predicted values of one example."""

    y: np.ndarray
    predictions: np.ndarray
    weight: np.ndarray | None


@st.composite
def classified(draw: st.DrawFn, binary: bool = False, complete: bool = False) -> Case:
    """Return codes and probabilities, often tied; every class occurs if `complete`."""
    n_classes = 2 if binary else draw(st.integers(3, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_rows = draw(st.integers(2 * n_classes, 60))
    y = rng.integers(0, n_classes, n_rows)
    if complete:
        y[:n_classes] = np.arange(n_classes)
    probabilities = rng.dirichlet(np.full(n_classes, draw(st.sampled_from([0.05, 1.0, 5.0]))), n_rows)
    if draw(st.booleans()):
        probabilities = np.round(probabilities, 1) + 0.01
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    return Case(y, probabilities, draw(weights(n_rows, n_classes)))


@st.composite
def regressed(draw: st.DrawFn) -> Case:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_rows = draw(st.integers(2, 60))
    y = np.round(rng.normal(5, 3, n_rows), draw(st.integers(0, 6)))
    return Case(np.abs(y), y + np.round(rng.normal(0, 2, n_rows), 1), draw(weights(n_rows, 0)))


@st.composite
def weights(draw: st.DrawFn, n_rows: int, n_positive: int) -> np.ndarray | None:
    """Return weights, some of them 0 but for the first `n_positive`; or none."""
    kind = draw(st.sampled_from(["none", "whole", "real"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if kind == "none":
        return None
    weight = rng.integers(0, 3, n_rows).astype(float) if kind == "whole" else rng.exponential(1, n_rows)
    weight[: max(1, n_positive)] += 1
    return weight


def _labels(function: Callable[..., float], case: Case, **arguments: Any) -> float:
    return function(case.y, case.predictions.argmax(axis=1), sample_weight=case.weight, **arguments)


def _binary_scores(function: Callable[..., float], case: Case, **arguments: Any) -> float:
    return function(case.y, case.predictions[:, 1], sample_weight=case.weight, **arguments)


def _all_scores(function: Callable[..., float], case: Case, **arguments: Any) -> float:
    return function(case.y, case.predictions, sample_weight=case.weight, **arguments)


def _values(function: Callable[..., float], case: Case, **arguments: Any) -> float:
    return function(case.y, case.predictions, sample_weight=case.weight, **arguments)


def _at_least_zero(function: Callable[..., float], case: Case) -> float:
    return function(case.y, np.maximum(case.predictions, 0), sample_weight=case.weight)


LABEL_SCORES: dict[str, Callable[[Case], float]] = {
    "accuracy": partial(_labels, reference.accuracy_score),
    "balanced_accuracy": partial(_labels, reference.balanced_accuracy_score),
    "f1_macro": partial(_labels, reference.f1_score, average="macro", zero_division=0),
    "f1_weighted": partial(_labels, reference.f1_score, average="weighted", zero_division=0),
    "precision_macro": partial(_labels, reference.precision_score, average="macro", zero_division=0),
    "recall_macro": partial(_labels, reference.recall_score, average="macro", zero_division=0),
    "matthews": partial(_labels, reference.matthews_corrcoef),
    "cohen_kappa": partial(_labels, reference.cohen_kappa_score),
}
BINARY: dict[str, Callable[[Case], float]] = LABEL_SCORES | {
    "roc_auc": partial(_binary_scores, reference.roc_auc_score),
    "average_precision": partial(_binary_scores, reference.average_precision_score),
    "log_loss": partial(_all_scores, reference.log_loss),
    "brier": partial(_binary_scores, reference.brier_score_loss),
    "f1": partial(_labels, reference.f1_score, zero_division=0),
    "precision": partial(_labels, reference.precision_score, zero_division=0),
    "recall": partial(_labels, reference.recall_score, zero_division=0),
}
MULTICLASS: dict[str, Callable[[Case], float]] = LABEL_SCORES | {
    "roc_auc": partial(_all_scores, reference.roc_auc_score, multi_class="ovr"),
    "average_precision": partial(_all_scores, reference.average_precision_score),
    "log_loss": partial(_all_scores, reference.log_loss),
    "brier": partial(_all_scores, reference.brier_score_loss),
}
REGRESSION: dict[str, Callable[[Case], float]] = {
    "rmse": partial(_values, reference.root_mean_squared_error),
    "mse": partial(_values, reference.mean_squared_error),
    "mae": partial(_values, reference.mean_absolute_error),
    "median_absolute_error": partial(_values, reference.median_absolute_error),
    "mape": partial(_values, reference.mean_absolute_percentage_error),
    "rmsle": partial(_at_least_zero, reference.root_mean_squared_log_error),
    "msle": partial(_at_least_zero, reference.mean_squared_log_error),
    "r2": partial(_values, reference.r2_score),
}


def check(name: str, problem: Problem, case: Case, expected: Callable[[Case], float]) -> None:
    metric = resolve_metric(name, problem)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = expected(case)
    assert metric.score(metric.loss(*case)) == pytest.approx(value, rel=TOLERANCE, abs=TOLERANCE)


def without_zero_weights(case: Case) -> Case:
    """Return the case without the rows that have no weight, which scikit-learn's label lists still count."""
    if case.weight is None:
        return case
    kept = case.weight > 0
    return Case(case.y[kept], case.predictions[kept], case.weight[kept])


@pytest.mark.parametrize("name", BINARY)
@settings(max_examples=30)
@given(case=classified(binary=True, complete=True))
def test_binary_metric_agrees_with_scikit_learn(name: str, case: Case):
    check(name, "binary", without_zero_weights(case), BINARY[name])


@pytest.mark.parametrize("name", MULTICLASS)
@settings(max_examples=30)
@given(case=classified(complete=True))
def test_multiclass_metric_agrees_with_scikit_learn(name: str, case: Case):
    check(name, "multiclass", without_zero_weights(case), MULTICLASS[name])


@pytest.mark.parametrize("name", REGRESSION)
@settings(max_examples=30)
@given(case=regressed())
def test_regression_metric_agrees_with_scikit_learn(name: str, case: Case):
    if name == "mape":
        assume(case.y.all())  # relative to 2.2e-16 all digits are noise
    if name == "r2":
        # scikit-learn tells a constant target by its weighted mean, which may miss it by a digit.
        assume(np.ptp(case.y if case.weight is None else case.y[case.weight > 0]) > 0)
    check(name, "regression", case, REGRESSION[name])


@settings(max_examples=30)
@given(weight=st.lists(st.floats(0.1, 10), min_size=3, max_size=3).map(np.array), value=st.floats(-10, 10))
def test_r2_of_a_constant_target_is_1_when_it_is_met_and_else_0(weight: np.ndarray, value: float):
    metric, y = resolve_metric("r2", "regression"), np.full(3, value)
    assert metric.score(metric.loss(y, y, weight)) == 1
    assert metric.score(metric.loss(y, y + [0.0, 1.0, 0.0], weight)) == 0


def test_every_listed_metric_is_compared_or_scikit_learns_own():
    for problem, compared in zip(PROBLEMS, (BINARY, MULTICLASS, REGRESSION), strict=True):
        others = set(metric_names(problem)) - set(compared)
        assert others <= set(reference.get_scorer_names())
        for name in others:
            assert resolve_metric(name, problem).name == name


@pytest.mark.parametrize("name", BINARY)
@settings(max_examples=30)
@given(case=classified(binary=True))
def test_weights_count_like_repeated_rows(name: str, case: Case):
    times = np.random.default_rng(len(case.y)).integers(0, 3, len(case.y))
    times[0] = 1
    metric = resolve_metric(name, "binary")
    repeated = metric.loss(np.repeat(case.y, times), np.repeat(case.predictions, times, axis=0))
    weighted = metric.loss(case.y, case.predictions, times.astype(float))
    assert weighted == pytest.approx(repeated, rel=TOLERANCE, abs=TOLERANCE)


@pytest.mark.parametrize("name", MULTICLASS)
@settings(max_examples=30)
@given(case=classified(), code=st.integers(0, 5))
def test_classes_that_do_not_occur_are_no_obstacle(name: str, case: Case, code: int):
    kept = case.y != code
    assume(kept.any())
    y, predictions, weight = without_zero_weights(Case(case.y[kept], case.predictions[kept], None))
    loss = resolve_metric(name, "multiclass").loss(y, predictions, weight)
    assert np.isfinite(loss) and loss >= 0


def test_multiclass_roc_auc_is_the_mean_over_the_classes_that_occur():
    rng = np.random.default_rng(0)
    y, probabilities = rng.choice([0, 2, 3], 50), rng.dirichlet(np.ones(5), 50)
    expected = np.mean([reference.roc_auc_score(y == code, probabilities[:, code]) for code in (0, 2, 3)])
    metric = resolve_metric("roc_auc", "multiclass")
    assert metric.score(metric.loss(y, probabilities)) == pytest.approx(expected)


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("code", [0, 1])
def test_roc_auc_of_a_single_class_is_that_of_knowing_nothing(n_classes: int, code: int):
    metric = resolve_metric("roc_auc", "binary" if n_classes == 2 else "multiclass")
    probabilities = np.random.default_rng(0).dirichlet(np.ones(n_classes), 9)
    assert metric.loss(np.full(9, code), probabilities) == 0.5
    # Also where the other class has no weight.
    y = np.full(9, code)
    y[0] = 1 - code
    assert metric.loss(y, probabilities, (y == code).astype(float)) == 0.5


@pytest.mark.parametrize("name", BINARY)
@settings(max_examples=30)
@given(case=classified(binary=True), swap=st.randoms())
def test_order_of_the_rows_does_not_matter(name: str, case: Case, swap: Any):
    order = list(range(len(case.y)))
    swap.shuffle(order)
    metric = resolve_metric(name, "binary")
    moved = metric.loss(case.y[order], case.predictions[order], None if case.weight is None else case.weight[order])
    assert moved == pytest.approx(metric.loss(*case), rel=TOLERANCE, abs=TOLERANCE)


@pytest.mark.parametrize(
    ("name", "problem"), [(name, problem) for problem in PROBLEMS for name in metric_names(problem)]
)
def test_perfect_predictions_have_no_loss_and_the_best_score(name: str, problem: Problem):
    if problem == "regression":
        y: np.ndarray = np.array([1.0, 2.0, 4.0])
        predictions = y
    else:
        y = np.arange(2 if problem == "binary" else 4).repeat(3)
        predictions = np.eye(y.max() + 1)[y]
    metric = resolve_metric(name, problem)
    loss = metric.loss(y, predictions)
    # scikit-learn's scorers bring no best value: their loss is the negated score.
    best = -1.0 if metric.best == 0 and metric.higher_is_better else 0.0
    assert loss == pytest.approx(best, abs=1e-12)
    assert metric.score(loss) == pytest.approx(1.0 if metric.higher_is_better else 0.0, abs=1e-12)
    assert metric.loss(y, np.roll(predictions, 1, axis=0)) > loss


def test_log_loss_is_finite_whatever_the_probabilities():
    metric = resolve_metric("log_loss", "multiclass")
    y = np.array([0, 1, 2])
    assert metric.loss(y, np.eye(3)[[1, 2, 0]]) == pytest.approx(-np.log(np.finfo(float).eps))
    assert metric.loss(y, np.zeros((3, 3))) == pytest.approx(np.log(3))
    assert metric.loss(y, np.full((3, 3), 0.1)) == pytest.approx(np.log(3))
    assert metric.loss(y, np.eye(3, dtype=np.float32)) == 0


def test_r2_of_a_target_without_spread_is_finite():
    metric = resolve_metric("r2", "regression")
    assert metric.loss(np.ones(3), np.ones(3)) == 0
    assert metric.loss(np.ones(3), np.zeros(3)) == 1
    assert metric.loss(np.array([5.0, 5.0]), np.array([6.3, 5.2]), np.array([4.97804647, 2.01437148])) == 1
    assert metric.loss(np.full(10, 0.1), np.zeros(10)) == 1  # whose plain mean rounds as well
    assert metric.loss(np.array([5.0, 5.0, 7.0]), np.zeros(3), np.array([0.3, 0.4, 0.0])) == 1
    # Squares of differences as small as these are zero.
    assert metric.loss(np.array([0.0, 1e-200]), np.ones(2)) == 1


def test_logarithmic_error_names_negative_targets_and_takes_negative_predictions():
    metric = resolve_metric("rmsle", "regression")
    assert metric.loss(np.array([0.0, 1.0]), np.array([-3.0, 1.0])) == 0
    with pytest.raises(ValueError, match=r"without negative values, got -1\.0"):
        metric.loss(np.array([-1.0, 1.0]), np.array([1.0, 1.0]))


def test_weights_that_are_all_zero_are_ignored():
    metric = resolve_metric("rmse", "regression")
    y, values = np.array([1.0, 2.0]), np.array([1.0, 4.0])
    assert metric.loss(y, values, np.zeros(2)) == metric.loss(y, values)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["roc_auc", "accuracy", "log_loss"])
def test_predictions_that_are_not_finite_are_refused(name: str, wrong: float):
    predictions = np.full((4, 2), 0.5)
    predictions[2, 1] = wrong
    with pytest.raises(ValueError, match="finite"):
        resolve_metric(name, "binary").loss(np.array([0, 1, 0, 1]), predictions)


def test_predictions_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"one row per row of y \(3\), got 1"):
        resolve_metric("rmse", "regression").loss(np.ones(3), np.ones(1))


# -- names --------------------------------------------------------------------------------------


def test_auto_is_a_metric_for_each_problem():
    names = [resolve_metric("auto", problem).name for problem in PROBLEMS]
    assert names == ["roc_auc", "log_loss", "rmse"]


@pytest.mark.parametrize(
    ("alias", "problem", "name"),
    [
        ("neg_log_loss", "multiclass", "log_loss"),
        ("neg_root_mean_squared_error", "regression", "rmse"),
        ("neg_mean_absolute_error", "regression", "mae"),
        ("neg_mean_squared_log_error", "regression", "msle"),
        ("neg_median_absolute_error", "regression", "median_absolute_error"),
        ("neg_brier_score", "binary", "brier"),
        ("roc_auc_ovr", "multiclass", "roc_auc"),
        ("matthews_corrcoef", "binary", "matthews"),
        ("r2_score", "regression", "r2"),
        ("RMSE", "regression", "rmse"),
        ("auc", "binary", "roc_auc"),
        ("neg_max_error", "regression", "neg_max_error"),
    ],
)
def test_other_names_of_a_metric_are_known(alias: str, problem: Problem, name: str):
    assert resolve_metric(alias, problem).name == name


@pytest.mark.parametrize(
    "name",
    [
        "f1_macro",
        "f1_weighted",
        "neg_brier_score",
        "neg_log_loss",
        "neg_max_error",
        "neg_mean_absolute_error",
        "neg_mean_absolute_percentage_error",
        "neg_mean_gamma_deviance",
        "neg_mean_poisson_deviance",
        "neg_mean_squared_error",
        "neg_mean_squared_log_error",
        "neg_median_absolute_error",
        "neg_root_mean_squared_error",
        "neg_root_mean_squared_log_error",
        "recall_macro",
        "recall_micro",
        "recall_weighted",
        "roc_auc_ovr",
    ],
)
def test_scorer_name_of_scikit_learn_has_the_same_meaning(name: str):
    problem: Problem = "regression" if name.startswith(("neg_m", "neg_r")) else "multiclass"
    rng = np.random.default_rng(3)
    y = rng.uniform(1, 5, 40) if problem == "regression" else rng.integers(0, 3, 40)
    predictions = y + rng.uniform(0, 1, 40) if problem == "regression" else rng.dirichlet(np.ones(3), 40)
    named = resolve_metric(name, problem)
    scorer = resolve_metric(get_scorer(name), problem, np.arange(3))
    assert named.best - named.loss(y, predictions) == pytest.approx(-scorer.loss(y, predictions))


@pytest.mark.parametrize(
    ("metric", "problem", "match"),
    [
        ("rmse", "binary", "'rmse' does not fit a binary target. Fitting ones are: auto, accuracy"),
        ("roc_auc", "regression", "does not fit a regression target.*mae"),
        ("f1", "multiclass", "does not fit a multiclass target.*f1_macro"),
        ("roc_acu", "binary", "Unknown metric 'roc_acu'. Did you mean 'roc_auc'\\? For binary there are: auto"),
        ("neg_mean_square_error", "regression", "Did you mean 'mean_squared_error'"),
        ("adjusted_rand_score", "binary", "Unknown metric"),
        ("", "binary", "Unknown metric ''"),
    ],
)
def test_unknown_or_unfit_name_is_refused_with_those_that_fit(metric: str, problem: Problem, match: str):
    with pytest.raises(ValueError, match=match):
        resolve_metric(metric, problem)


@pytest.mark.parametrize("metric", [None, 3, ["roc_auc"]], ids=repr)
def test_metric_that_is_neither_name_nor_callable_is_refused(metric: Any):
    with pytest.raises(TypeError, match="name or a scorer"):
        resolve_metric(metric, "binary")


# -- metrics of users ---------------------------------------------------------------------------

LABELS = np.array(["no", "yes"])
Y = np.array([0, 1, 1, 0, 1, 0])
PROBABILITIES = np.array([[0.9, 0.1], [0.3, 0.7], [0.6, 0.4], [0.2, 0.8], [0.1, 0.9], [0.55, 0.45]])
MARGIN = "decision_function"
WEIGHT = np.array([1.0, 2.0, 0.5, 1.0, 3.0, 1.0])


def cost_loss(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Return the mean cost, a missed "yes" being five times as dear as a false one."""
    return float(np.mean(5 * ((y_true == "yes") & (y_pred == "no")) + ((y_true == "no") & (y_pred == "yes"))))


def yes_score(y_true: np.ndarray, y_pred: np.ndarray, sample_weight: np.ndarray | None = None) -> float:
    return float(np.average((y_pred == "yes") == (y_true == "yes"), weights=sample_weight))


def own_scorer(estimator: Any, X: np.ndarray, y: np.ndarray) -> float:
    assert list(estimator.classes_) == ["no", "yes"]
    return float(np.mean(estimator.predict_proba(X)[np.arange(len(y)), (y == "yes").astype(int)]))


@pytest.mark.parametrize(
    ("metric", "value", "loss", "higher"),
    [
        (cost_loss, 1.0, 1.0, False),
        (make_scorer(cost_loss, greater_is_better=False), 1.0, 1.0, False),
        (yes_score, 4 / 6, -4 / 6, True),
        (make_scorer(yes_score), 4 / 6, -4 / 6, True),
        (own_scorer, PROBABILITIES[np.arange(6), Y].mean(), -PROBABILITIES[np.arange(6), Y].mean(), True),
        (reference.accuracy_score, 4 / 6, -4 / 6, True),
        (reference.hamming_loss, 2 / 6, 2 / 6, False),
        (get_scorer("roc_auc"), reference.roc_auc_score(Y, PROBABILITIES[:, 1]), None, True),
        (get_scorer("neg_log_loss"), reference.log_loss(Y, PROBABILITIES[:, 1]), None, False),
        (make_scorer(reference.f1_score, pos_label="no"), 2 * 2 / (2 * 2 + 2), None, True),
        (make_scorer(reference.hinge_loss, greater_is_better=False, response_method=MARGIN), None, None, False),
    ],
    ids=lambda part: getattr(part, "__name__", "") or (repr(part) if callable(part) else ""),
)
def test_metric_of_a_user_sees_labels_and_points_the_right_way(
    metric: Callable[..., Any], value: float | None, loss: float | None, higher: bool
):
    resolved = resolve_metric(metric, "binary", LABELS)
    assert resolved.higher_is_better is higher
    found = resolved.loss(Y, PROBABILITIES)
    assert loss is None or found == pytest.approx(loss)
    assert value is None or resolved.score(found) == pytest.approx(value)
    assert resolved.loss(Y, np.eye(2)[Y]) < found < resolved.loss(Y, np.eye(2)[1 - Y])


def test_weights_reach_metrics_that_take_them():
    weighted = pytest.approx(-np.average((PROBABILITIES[:, 1] > 0.5) == Y, weights=WEIGHT))
    assert resolve_metric(yes_score, "binary", LABELS).loss(Y, PROBABILITIES, WEIGHT) == weighted
    assert resolve_metric(get_scorer("accuracy"), "binary", LABELS).loss(Y, PROBABILITIES, WEIGHT) == weighted
    cost = resolve_metric(cost_loss, "binary", LABELS)
    assert cost.loss(Y, PROBABILITIES, WEIGHT) == cost.loss(Y, PROBABILITIES)


def test_metric_of_a_user_works_for_values():
    y, values = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 5.0])
    assert resolve_metric(reference.max_error, "regression").loss(y, values) == 2
    assert resolve_metric(get_scorer("neg_max_error"), "regression").loss(y, values) == 2
    assert resolve_metric(lambda model, X, y: -abs(model.predict(X) - y).sum(), "regression").loss(y, values) == 2


def failing_score(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    raise KeyError("price")


def nan_score(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    return float("nan")


def two_numbers_score(y_true: np.ndarray, y_pred: np.ndarray) -> Any:
    return {"a": 1, "b": 2}


def reads_columns(estimator: Any, X: Any, y: np.ndarray) -> float:
    return float(X[:, 0].sum())


def asks_for_some_rows(estimator: Any, X: Any, y: np.ndarray) -> float:
    return float((estimator.predict(X[:3]) == y[:3]).mean())


@pytest.mark.parametrize(
    ("metric", "match"),
    [
        (failing_score, "'failing_score' failed with KeyError: 'price'"),
        (make_scorer(failing_score), "'failing_score' failed with KeyError"),
        (nan_score, "'nan_score' must return a finite number, got nan"),
        (two_numbers_score, "'two_numbers_score' must return a number, got {'a': 1"),
        (reads_columns, "'reads_columns' failed with IndexError"),
        (asks_for_some_rows, "predictions of all 20 rows, not of 3"),
        (make_scorer(reference.f1_score), "pos_label=1 is not a valid label"),
    ],
    ids=str,
)
def test_failing_metric_of_a_user_is_named_before_the_search(metric: Callable[..., Any], match: str):
    with pytest.raises(ValueError, match=match):
        resolve_metric(metric, "binary", LABELS)


@pytest.mark.parametrize(
    ("metric", "match"),
    [
        (lambda y_true, y_pred: 0.0, "'<lambda>' are better is not known.*make_scorer"),
        (lambda y: 0.0, r"must take \(estimator, X, y\)"),
        (print, "must take"),
    ],
    ids=["unclear direction", "one argument", "any arguments"],
)
def test_callable_that_cannot_be_understood_is_refused(metric: Callable[..., Any], match: str):
    with pytest.raises(TypeError, match=match):
        resolve_metric(metric, "binary", LABELS)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_metrics_survive_pickling(problem: Problem):
    for name in metric_names(problem):
        metric = resolve_metric(name, problem)
        assert pickle.loads(pickle.dumps(metric)).name == metric.name


def test_metric_made_of_a_local_function_can_be_sent_to_workers():
    factor = 3.0

    def local_scorer(estimator: Any, X: np.ndarray, y: np.ndarray) -> float:
        return factor * float((estimator.predict(X) == y).mean())

    metric = resolve_metric(local_scorer, "binary", LABELS)
    sent: Metric = pickle.loads(cloudpickle.dumps(metric))
    assert sent.loss(Y, PROBABILITIES) == metric.loss(Y, PROBABILITIES) == pytest.approx(-2.0)


# ---------------------------------------------------------------- the positive class


LABELS = np.array(["no", "yes"])
OF_ONE_CLASS = {
    "f1": partial(_labels, reference.f1_score, zero_division=0),
    "precision": partial(_labels, reference.precision_score, zero_division=0),
    "recall": partial(_labels, reference.recall_score, zero_division=0),
}


@pytest.mark.parametrize("name", OF_ONE_CLASS)
@given(case=classified(binary=True, complete=True))
def test_the_positive_class_of_label_metrics_is_that_of_scikit_learn(name: str, case: Case):
    for code, label in enumerate(LABELS):
        metric = resolve_metric(name, "binary", LABELS, label)
        assert metric.score(metric.loss(*case)) == pytest.approx(
            OF_ONE_CLASS[name](case, pos_label=code), abs=TOLERANCE
        )
    assert resolve_metric(name, "binary", LABELS).loss(*case) == metric.loss(*case)


@given(case=classified(binary=True, complete=True))
def test_average_precision_of_either_class_is_that_of_scikit_learn(case: Case):
    for code, label in enumerate(LABELS):
        metric = resolve_metric("average_precision", "binary", LABELS, label)
        expected = reference.average_precision_score(
            case.y, case.predictions[:, code], pos_label=code, sample_weight=case.weight
        )
        assert metric.score(metric.loss(*case)) == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize("name", sorted(set(metric_names("binary")) - {*OF_ONE_CLASS, "average_precision"}))
@given(case=classified(binary=True, complete=True))
@settings(max_examples=20)
def test_the_positive_class_makes_no_difference_to_other_metrics(name: str, case: Case):
    # Odd numbers of 64ths: neither class is as likely as the other, and both probabilities are exact.
    second = (np.floor(case.predictions[:, 1] * 31) * 2 + 1) / 64
    predictions = np.column_stack([1 - second, second])
    losses = [resolve_metric(name, "binary", LABELS, label).loss(case.y, predictions, case.weight) for label in LABELS]
    swapped = resolve_metric(name, "binary", LABELS).loss(1 - case.y, predictions[:, ::-1], case.weight)
    assert losses[0] == losses[1] == pytest.approx(swapped, abs=TOLERANCE)


def test_the_positive_class_is_named_where_a_metric_has_one():
    f1, auc = (resolve_metric(name, "binary", LABELS) for name in ("f1", "roc_auc"))
    assert positive_class(f1, LABELS) == "yes"
    assert positive_class(f1, LABELS, "no") == "no"
    assert positive_class(auc, LABELS) is None
    assert positive_class(resolve_metric("average_precision", "multiclass"), np.arange(3)) is None


@pytest.mark.parametrize(
    ("classes", "label"), [([0, 1], False), ([False, True], 0), ([0.0, 1.0], 0), (["0", "1"], "0")]
)
def test_equal_labels_are_the_same_positive_class(classes: list[Any], label: Any):
    metric = resolve_metric("recall", "binary", np.array(classes), label)
    assert metric.loss(np.array([0, 0, 1]), np.array([[1.0, 0.0]] * 3)) == 0


@pytest.mark.parametrize(
    ("metric", "problem", "label", "match"),
    [
        ("f1", "binary", "maybe", "pos_label must be one of the classes, 'no' and 'yes', got 'maybe'"),
        ("f1", "binary", 1, "pos_label must be one of the classes, 'no' and 'yes', got 1"),
        ("log_loss", "multiclass", "a", "pos_label='a' is for targets of two classes, and this one is multiclass"),
        ("rmse", "regression", 1, "pos_label=1 is for targets of two classes, and this one is regression"),
        (reference.f1_score, "binary", "no", r"make_scorer\(f1_score, pos_label='no'\)"),
    ],
)
def test_a_positive_class_that_makes_no_sense_is_refused(metric: Any, problem: Problem, label: Any, match: str):
    with pytest.raises(ValueError, match=match):
        resolve_metric(metric, problem, LABELS if problem == "binary" else None, label)


# ---------------------------------------------------------------- which problem a metric is for


@pytest.mark.parametrize("name", sorted({*metric_names("binary"), *metric_names("multiclass")}))
def test_metrics_of_classes_are_for_classification(name: str):
    assert kind_of_problem(name) == "classification"


@pytest.mark.parametrize("name", [*metric_names("regression"), "neg_mean_squared_error", " RMSE "])
def test_metrics_of_numbers_are_for_regression(name: str):
    assert kind_of_problem(name) == "regression"


def _half(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    return 0.5


@pytest.mark.parametrize(
    ("metric", "kind"),
    [
        (reference.mean_absolute_error, "regression"),
        (make_scorer(reference.mean_pinball_loss, alpha=0.9, greater_is_better=False), "regression"),
        (partial(reference.mean_absolute_error, multioutput="uniform_average"), "regression"),
        (get_scorer("r2"), "regression"),
        (reference.f1_score, "classification"),
        (make_scorer(reference.fbeta_score, beta=2), "classification"),
        (get_scorer("roc_auc"), "classification"),
        (make_scorer(_half, response_method="predict_proba"), "classification"),
        (make_scorer(_half), None),
        (_half, None),
        ("auto", None),
        ("no such metric", None),
        (None, None),
    ],
)
def test_a_callable_tells_its_problem_where_scikit_learn_knows_it(metric: Any, kind: str | None):
    assert kind_of_problem(metric) == kind


# ---------------------------------------------------------------- errors of any size


@given(
    case=regressed(), exponent=st.integers(-300, 298), name=st.sampled_from(["rmse", "mae", "median_absolute_error"])
)
def test_errors_keep_their_size_whatever_it_is(case: Case, exponent: int, name: str):
    unit = 10.0**exponent
    metric = resolve_metric(name, "regression")
    expected = metric.loss(*case)
    assert metric.loss(case.y * unit, case.predictions * unit, case.weight) / unit == pytest.approx(expected, rel=1e-6)


@given(case=regressed(), exponent=st.integers(-300, 298))
def test_r2_has_no_units(case: Case, exponent: int):
    assume(np.ptp(case.y) > 0.1)
    metric = resolve_metric("r2", "regression")
    unit = 10.0**exponent
    expected = metric.loss(*case)
    assert metric.loss(case.y * unit, case.predictions * unit, case.weight) == pytest.approx(expected, rel=1e-6)
