import math
import pickle
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

from autometa.core.budget import Deadline
from autometa.core.task import PROBLEMS, Problem
from autometa.learners.base import FitData, Learner
from autometa.learners.boosting_iterations import without_encoder
from autometa.learners.numeric import TargetScale
from autometa.learners.packed_trees import unpacked_trees
from autometa.learners.trees import (
    EXTRA_TREES,
    HIST_GRADIENT_BOOSTING,
    RANDOM_FOREST,
    ForestModel,
    Pace,
    affordable_leaves,
)
from tests.helpers.fit_data import N_CLASSES, fit_data, mixed_table

pytestmark = pytest.mark.filterwarnings("error")

FORESTS = [pytest.param(learner, id=learner.name) for learner in (RANDOM_FOREST, EXTRA_TREES)]
every_forest = pytest.mark.parametrize("learner", FORESTS)
every_learner = pytest.mark.parametrize(
    "learner", [pytest.param(HIST_GRADIENT_BOOSTING, id=HIST_GRADIENT_BOOSTING.name), *FORESTS]
)
every_problem = pytest.mark.parametrize("problem", PROBLEMS)


def quickly(learner: Learner) -> dict[str, Any]:
    """Return parameters under which a forest takes no longer than boosting."""
    return {} if learner is HIST_GRADIENT_BOOSTING else {"n_estimators": 30}


def loss(prediction: np.ndarray, y: np.ndarray, problem: Problem) -> float:
    if problem == "regression":
        return float(np.mean((prediction - y) ** 2))
    return float(-np.mean(np.log(np.maximum(prediction[np.arange(len(y)), y], 1e-12))))


def assert_valid(prediction: np.ndarray, data: FitData, n_rows: int) -> None:
    assert prediction.dtype == np.float64
    assert np.isfinite(prediction).all()
    if data.problem == "regression":
        assert prediction.shape == (n_rows,)
    else:
        assert prediction.shape == (n_rows, data.n_classes)
        assert (prediction >= 0).all()
        np.testing.assert_allclose(prediction.sum(axis=1), 1.0, rtol=0, atol=1e-12)


@every_learner
@every_problem
def test_predictions_are_valid_and_better_than_a_constant(learner: Learner, problem: Problem) -> None:
    data = mixed_table(problem)
    assert data.X_val is not None and data.y_val is not None
    prediction = learner.fit(data, quickly(learner)).predict(data.X_val)
    assert_valid(prediction, data, len(data.X_val))
    if problem == "regression":
        constant = np.full(len(data.y_val), data.y.mean())
    else:
        constant = np.tile(np.bincount(data.y) / len(data.y), (len(data.y_val), 1))
    assert loss(prediction, data.y_val, problem) < 0.8 * loss(constant, data.y_val, problem)


@every_learner
@every_problem
def test_a_saved_model_predicts_the_same(learner: Learner, problem: Problem) -> None:
    data = replace(mixed_table(problem), n_iterations=20)
    model: Any = learner.fit(data, quickly(learner))
    expected = model.predict(data.X)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(data.X), expected)
    saved = skops.io.dumps(model)
    types = skops.io.get_untrusted_types(data=saved)
    assert all(name.startswith(("autometa.", "sklearn.", "functools.partial")) for name in types)
    np.testing.assert_array_equal(skops.io.loads(saved, trusted=types).predict(data.X), expected)


@every_learner
@every_problem
def test_the_same_seed_gives_the_same_model(learner: Learner, problem: Problem) -> None:
    data = replace(mixed_table(problem), seed=3)
    first, second = (learner.fit(data, {"max_features": 0.5, **quickly(learner)}) for _ in range(2))
    np.testing.assert_array_equal(first.predict(data.X), second.predict(data.X))


@every_learner
@every_problem
def test_a_passed_deadline_leaves_one_iteration(learner: Learner, problem: Problem) -> None:
    data = replace(mixed_table(problem), deadline=Deadline.after(-1.0))
    model: Any = learner.fit(data, quickly(learner))
    assert len(getattr(model.estimator, "estimators_", [0])) == 1
    assert model.n_iterations == (1 if learner is HIST_GRADIENT_BOOSTING else None)
    assert_valid(model.predict(data.X), data, len(data.X))


@every_learner
@pytest.mark.parametrize("factor", [2.0**-33, 2.0**33], ids=["1e-10", "1e10"])
def test_predictions_follow_the_scale_of_the_target(learner: Learner, factor: float) -> None:
    data = replace(mixed_table("regression"), n_iterations=30)
    expected = learner.fit(data, quickly(learner)).predict(data.X) * factor
    prediction = learner.fit(replace(data, y=data.y * factor), quickly(learner)).predict(data.X)
    # A power of two changes no digit, so that even ties between splits fall the same way.
    np.testing.assert_allclose(prediction, expected, rtol=1e-9, atol=1e-9 * expected.std())


@every_learner
@every_problem
def test_unseen_categories_and_empty_rows_are_predicted(learner: Learner, problem: Problem) -> None:
    data = mixed_table(problem)
    X = np.array(data.X[:10])
    X[:5, 1] = 1000.0
    X[5:] = np.nan
    assert_valid(learner.fit(data, quickly(learner)).predict(X), data, 10)


@every_learner
@every_problem
def test_ten_rows_of_constant_columns_are_enough(learner: Learner, problem: Problem) -> None:
    X = np.ones((10, 2), dtype=np.float32)
    X[:, 1] = np.nan
    X.setflags(write=False)
    y = np.arange(10.0) if problem == "regression" else np.arange(10) % N_CLASSES[problem]
    data = fit_data(X, y, problem, categories={1: 1})
    for given in (data, replace(data, X_val=X[:3], y_val=y[:3])):
        prediction = learner.fit(given, quickly(learner)).predict(X)
        assert_valid(prediction, data, 10)
        if problem == "regression":
            np.testing.assert_allclose(prediction, 4.5, atol=0.5)


@every_learner
def test_heavier_rows_win(learner: Learner) -> None:
    X = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    y = np.tile([0, 1], 100)
    weight = np.where(y == 1, 1.8, 0.2)
    data = fit_data(X, y, sample_weight=weight)
    prediction = learner.fit(replace(data, n_iterations=10), {"min_samples_leaf": 30, **quickly(learner)}).predict(X)
    assert prediction[:, 1].mean() > 0.7


@every_learner
def test_more_categories_than_histograms_have_bins_are_taken_as_numbers(learner: Learner) -> None:
    X = np.arange(600, dtype=np.float32).reshape(-1, 1)
    y = (X[:, 0] > 300).astype(np.int64)
    data = fit_data(X, y, categories={0: 600})
    assert (learner.fit(data, quickly(learner)).predict(X).argmax(axis=1) == y).mean() > 0.95


@every_learner
def test_nothing_is_printed(learner: Learner, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for problem in PROBLEMS:
            data = mixed_table(problem, n_rows=60)
            learner.fit(data, quickly(learner)).predict(data.X)
    assert capfd.readouterr() == ("", "")


@every_problem
def test_hist_gradient_boosting_does_exactly_the_iterations_given(problem: Problem) -> None:
    data = mixed_table(problem)
    for given in (replace(data, n_iterations=17), replace(data, n_iterations=17, X_val=None, y_val=None)):
        model: Any = HIST_GRADIENT_BOOSTING.fit(given, {})
        assert model.n_iterations == model.estimator.n_iter_ == 17


def test_hist_gradient_boosting_keeps_its_best_iteration() -> None:
    data = mixed_table("regression")
    assert data.X_val is not None and data.y_val is not None
    model: Any = HIST_GRADIENT_BOOSTING.fit(data, {})
    longer: Any = HIST_GRADIENT_BOOSTING.fit(replace(data, n_iterations=model.n_iterations + 20), {})
    staged = [longer.scale.restore(values) for values in longer.estimator.staged_predict(data.X_val)]
    losses = [loss(prediction, data.y_val, "regression") for prediction in staged]
    assert np.argmin(losses) + 1 == model.n_iterations


def test_growing_in_chunks_gives_what_one_fit_gives() -> None:
    data = replace(mixed_table("regression"), n_iterations=40)
    reference = HistGradientBoostingRegressor(
        max_iter=40, learning_rate=0.1, min_samples_leaf=5, random_state=0, early_stopping=False
    )
    numbers = np.array(data.X[:, [0, 2, 3]])
    only_numbers = replace(
        data, X=numbers, categorical=np.zeros(3, dtype=bool), n_categories=np.zeros(3, dtype=np.int64)
    )
    model: Any = HIST_GRADIENT_BOOSTING.fit(only_numbers, {"learning_rate": 0.1, "min_samples_leaf": 5})
    expected = reference.fit(numbers, data.y).predict(numbers)
    np.testing.assert_allclose(model.predict(numbers), expected, rtol=0, atol=1e-5)


@every_forest
@every_problem
def test_forests_grow_all_their_trees_when_there_is_time(learner: Learner, problem: Problem) -> None:
    model: Any = learner.fit(mixed_table(problem), {"n_estimators": 37})
    assert len(model.estimator.estimators_) == 37


@every_forest
def test_forests_never_rule_a_class_out(learner: Learner) -> None:
    data = mixed_table("multiclass")
    assert learner.fit(data, quickly(learner)).predict(data.X).min() > 0


def test_trees_become_smaller_as_classes_and_trees_become_more() -> None:
    assert affordable_leaves(300, 60) < affordable_leaves(300, 2) < affordable_leaves(30, 2)
    assert affordable_leaves(10**9, 60) >= 2


def test_the_pace_of_the_first_calls_bounds_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    clock: list[Any] = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    pace = Pace(Deadline(10.0, lambda: clock[0]))
    assert pace.affordable(50) == 1
    clock[0] = 1.5  # one second a call and half a second an iteration
    pace.record(1)
    assert pace.affordable(50) == 5
    clock[0] += 1.0 + 0.5 * 4
    pace.record(4)
    n_next = pace.affordable(50)
    assert 5 <= n_next
    assert clock[0] + 1.0 + 0.5 * n_next <= 10.0


def test_there_is_always_time_without_a_deadline() -> None:
    pace = Pace(Deadline(math.inf))
    pace.record(1)
    assert pace.affordable(1000) == 1000
    assert pace.affordable(0) == 0


@pytest.mark.parametrize("problem", ["binary", "multiclass", "regression"])
def test_forest_predicts_what_scikit_learn_predicts(problem, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(200, 4)).astype(np.float32)
    X[::9, 1] = np.nan
    y = X[:, 0] if problem == "regression" else (X[:, 0] * 2).astype(int) % (2 if problem == "binary" else 3)
    kind = RandomForestRegressor if problem == "regression" else RandomForestClassifier
    forest = kind(13, random_state=seed, min_samples_leaf=3).fit(X, y, rng.random(200))
    if problem == "regression":
        scale = TargetScale(y)
        assert np.allclose(ForestModel(forest, scale).predict(X), scale.restore(forest.predict(X)))
    else:
        mixed = (13 * forest.predict_proba(X) + 1 / forest.n_classes_) / 14
        assert np.allclose(ForestModel(forest, None).predict(X), mixed)


@pytest.mark.parametrize("problem", ["binary", "multiclass", "regression"])
def test_hist_gradient_boosting_predicts_what_scikit_learn_predicts_with_its_encoder(problem: Problem) -> None:
    rng = np.random.default_rng(0)
    n = 300
    X = np.column_stack([rng.normal(size=n), rng.integers(0, 6, n), rng.normal(size=n), rng.integers(0, 3, n)])
    X[rng.random(X.shape) < 0.1] = np.nan
    # Levels that are not 0, 1, 2 …
    X[:, 1] = X[:, 1] * 7 - 3
    y = np.nan_to_num(X[:, 0]) + (np.nan_to_num(X[:, 1]) > 10) - np.nan_to_num(X[:, 3])
    kind = HistGradientBoostingRegressor if problem == "regression" else HistGradientBoostingClassifier
    codes = y if problem == "regression" else np.digitize(y, [0.0] if problem == "binary" else [-1.0, 0.5])
    estimator = kind(categorical_features=[1, 3], max_iter=20, random_state=0).fit(X, codes)
    new = X.copy()
    new[:5, 1] = [99.0, -99.0, 0.5, 4.0, np.nan]
    model, rows = without_encoder(estimator, new)
    predict = "predict" if problem == "regression" else "predict_proba"
    np.testing.assert_array_equal(getattr(model, predict)(rows), getattr(estimator, predict)(new))
    assert estimator._preprocessor is not None


def test_without_categories_there_is_no_encoder_to_leave_out() -> None:
    X = np.random.default_rng(0).normal(size=(60, 2))
    estimator = HistGradientBoostingRegressor(max_iter=3).fit(X, X[:, 0])
    assert without_encoder(estimator, X) == (estimator, X)


@every_problem
@every_forest
def test_a_forest_is_kept_as_a_few_arrays_and_predicts_the_same(learner: Learner, problem: Problem) -> None:
    data = mixed_table(problem)
    model = learner.fit(data, {"n_estimators": 20})
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(data.X), model.predict(data.X))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(again)).predict(data.X), model.predict(data.X))
    assert len(pickle.dumps(model)) < 0.4 * len(pickle.dumps(model.estimator))


def test_arrays_of_a_forest_that_do_not_belong_together_are_refused() -> None:
    packed = RANDOM_FOREST.fit(mixed_table("binary"), {"n_estimators": 5}).__getstate__()["trees"]
    with pytest.raises(ValueError, match="different lengths"):
        unpacked_trees({**packed, "left": packed["left"][1:]})
    with pytest.raises(ValueError, match="points outside"):
        unpacked_trees({**packed, "right": packed["right"] + 1000 * (packed["right"] > 0)})
