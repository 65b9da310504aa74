import math
import pickle
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import skops.io

from autometa.core.budget import Deadline
from autometa.core.task import PROBLEMS, Problem
from autometa.learners.base import FitData, Learner
from autometa.learners.catboost_fit import CATBOOST, automatic_learning_rate
from autometa.learners.lightgbm_fit import LIGHTGBM
from autometa.learners.screening import MAX_COLUMNS
from autometa.learners.xgboost_fit import XGBOOST
from tests.helpers.fit_data import N_CLASSES, fit_data, mixed_table

pytestmark = pytest.mark.filterwarnings("error")

every_booster = pytest.mark.parametrize(
    "learner", [pytest.param(learner, id=learner.name) for learner in (LIGHTGBM, CATBOOST, XGBOOST)]
)
every_problem = pytest.mark.parametrize("problem", PROBLEMS)


@pytest.fixture(autouse=True, scope="module")
def _libraries() -> None:
    for library in ("lightgbm", "catboost", "xgboost"):
        pytest.importorskip(library)


def refit(data: FitData, n_iterations: int | None = None) -> FitData:
    return replace(data, X_val=None, y_val=None, n_iterations=n_iterations)


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


class CountedDeadline:
    """A deadline that comes after it was asked `n` times."""

    def __init__(self, n: int) -> None:
        self.n = n

    def remaining_s(self) -> float:
        self.n -= 1
        return math.inf if self.n > 0 else 0.0


@every_booster
@every_problem
def test_predictions_are_valid_and_better_than_a_constant(learner: Learner, problem: Problem) -> None:
    data = mixed_table(problem)
    assert data.X_val is not None and data.y_val is not None
    prediction = learner.fit(data, {}).predict(data.X_val)
    assert_valid(prediction, data, len(data.X_val))
    if problem == "regression":
        constant = np.full(len(data.y_val), data.y.mean())
    else:
        constant = np.tile(np.bincount(data.y) / len(data.y), (len(data.y_val), 1))
    assert loss(prediction, data.y_val, problem) < 0.7 * loss(constant, data.y_val, problem)


@every_booster
@every_problem
def test_a_saved_model_predicts_the_same(learner: Learner, problem: Problem) -> None:
    data = mixed_table(problem)
    model = learner.fit(refit(data, 20), {})
    expected = model.predict(data.X)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(data.X), expected)
    saved = skops.io.dumps(model)
    types = skops.io.get_untrusted_types(data=saved)
    assert all(name.startswith("autometa.") for name in types)
    np.testing.assert_array_equal(skops.io.loads(saved, trusted=types).predict(data.X), expected)


@every_booster
def test_predicting_does_not_make_the_saved_model_larger(learner: Learner) -> None:
    model = learner.fit(refit(mixed_table("binary"), 20), {})
    before = len(pickle.dumps(model))
    model.predict(mixed_table("binary").X)
    assert len(pickle.dumps(model)) == before


@every_booster
@every_problem
def test_the_same_seed_gives_the_same_model(learner: Learner, problem: Problem) -> None:
    data = replace(mixed_table(problem), seed=3)
    first, second = (learner.fit(data, {}) for _ in range(2))
    assert first.n_iterations == second.n_iterations
    np.testing.assert_array_equal(first.predict(data.X), second.predict(data.X))


@every_booster
def test_a_given_number_of_iterations_is_kept_exactly(learner: Learner) -> None:
    data = mixed_table("binary")
    assert learner.fit(refit(data, 17), {}).n_iterations == 17
    assert learner.fit(replace(data, n_iterations=17), {}).n_iterations == 17


@every_booster
def test_noise_stops_early(learner: Learner) -> None:
    data = mixed_table("regression")
    assert data.y_val is not None
    y_val, y = np.split(np.random.default_rng(1).normal(size=len(data.y_val) + len(data.y)), [len(data.y_val)])
    n_iterations = learner.fit(replace(data, y=y, y_val=y_val), {}).n_iterations
    assert n_iterations is not None and n_iterations < 60


@every_booster
@every_problem
def test_a_passed_deadline_leaves_one_iteration(learner: Learner, problem: Problem) -> None:
    data = replace(mixed_table(problem), deadline=Deadline.after(-1.0))
    for late in (data, refit(data), refit(data, 50)):
        model = learner.fit(late, {})
        assert model.n_iterations == 1
        assert_valid(model.predict(data.X), data, len(data.X))


@every_booster
def test_a_deadline_in_mid_fit_keeps_the_iterations_before_it(learner: Learner) -> None:
    deadline: Any = CountedDeadline(5)
    assert learner.fit(replace(refit(mixed_table("regression")), deadline=deadline), {}).n_iterations == 5


@every_booster
@pytest.mark.parametrize("factor", [2.0**-33, 2.0**33], ids=["1e-10", "1e10"])
def test_predictions_follow_the_scale_of_the_target(learner: Learner, factor: float) -> None:
    data = refit(mixed_table("regression"), 30)
    expected = learner.fit(data, {}).predict(data.X) * factor
    prediction = learner.fit(replace(data, y=data.y * factor), {}).predict(data.X)
    # A power of two changes no digit, so that even ties between splits fall the same way.
    np.testing.assert_allclose(prediction, expected, rtol=1e-9, atol=1e-9 * expected.std())


@every_booster
@every_problem
def test_unseen_categories_and_empty_rows_are_predicted(learner: Learner, problem: Problem) -> None:
    data = mixed_table(problem)
    X = np.array(data.X[:10])
    X[:5, 1] = 1000.0
    X[5:] = np.nan
    model = learner.fit(refit(data, 20), {})
    assert_valid(model.predict(X), data, 10)


@every_booster
def test_a_missing_category_is_information(learner: Learner) -> None:
    X = np.tile(np.array([[0.0], [np.nan]], dtype=np.float32), (100, 1))
    y = np.tile([0, 1], 100)
    data = fit_data(X, y, categories={0: 1}, n_iterations=50)
    prediction = learner.fit(data, {"learning_rate": 0.3}).predict(X)
    assert prediction[1, 1] - prediction[0, 1] > 0.5


@every_booster
def test_heavier_rows_win(learner: Learner) -> None:
    X = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    y = np.tile([0, 1], 100)
    weight = np.where(y == 1, 1.8, 0.2)
    data = fit_data(X, y, n_iterations=100)
    prediction = learner.fit(replace(data, sample_weight=weight), {}).predict(X)
    assert prediction[:, 1].mean() > 0.7


@every_booster
def test_early_stopping_weighs_the_validation_rows(learner: Learner) -> None:
    # Half of the validation rows follow the training rows, the other half contradict them.
    data = mixed_table("regression")
    assert data.X_val is not None and data.y_val is not None
    X_val, y_val = np.vstack([data.X_val] * 2), np.concatenate([data.y_val, -5.0 * data.y_val])
    agree = np.repeat([1.0, 0.0], len(data.y_val))
    n_agreeing, n_contradicting = (
        learner.fit(replace(data, X_val=X_val, y_val=y_val, sample_weight_val=2 * weight), {}).n_iterations or 0
        for weight in (agree, 1 - agree)
    )
    assert n_agreeing > n_contradicting


@every_booster
def test_validation_rows_may_lack_a_class(learner: Learner) -> None:
    data = mixed_table("multiclass")
    assert data.X_val is not None and data.y_val is not None
    some = data.y_val != 3
    model = learner.fit(replace(data, X_val=data.X_val[some], y_val=data.y_val[some]), {})
    assert_valid(model.predict(data.X), data, len(data.X))


@every_booster
@every_problem
def test_ten_rows_of_constant_columns_are_enough(learner: Learner, problem: Problem) -> None:
    X = np.ones((10, 2), dtype=np.float32)
    X[:, 1] = np.nan
    y = np.arange(10.0) if problem == "regression" else np.arange(10) % N_CLASSES[problem]
    data = fit_data(X, y, problem, categories={1: 1})
    for given in (data, replace(data, X_val=X[:3], y_val=y[:3])):
        prediction = learner.fit(given, {}).predict(X)
        assert_valid(prediction, data, 10)
        if problem == "regression":
            np.testing.assert_allclose(prediction, 4.5, atol=1e-4)


@every_booster
def test_a_constant_target_is_predicted(learner: Learner) -> None:
    data = mixed_table("regression")
    prediction = learner.fit(refit(replace(data, y=np.full(len(data.y), 7.0)), 5), {}).predict(data.X)
    np.testing.assert_allclose(prediction, 7.0)


@every_booster
def test_nothing_is_printed_and_nothing_written(
    learner: Learner, capfd: pytest.CaptureFixture[str], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for problem in PROBLEMS:
            data = mixed_table(problem, n_rows=60)
            learner.fit(data, {}).predict(data.X)
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("problem", "objective"), [("binary", "Logloss"), ("multiclass", "MultiClass"), ("regression", "RMSE")]
)
@pytest.mark.parametrize("n_rows", [200, 2000])
def test_the_learning_rate_is_the_one_that_catboost_would_choose(
    problem: Problem, objective: str, n_rows: int, tmp_path: Any
) -> None:
    import catboost

    class OneIteration:
        def after_iteration(self, info: Any) -> bool:
            return False

    data = mixed_table(problem, n_rows)
    reference = catboost.CatBoost({"loss_function": objective, "logging_level": "Silent", "train_dir": str(tmp_path)})
    reference.fit(data.X, data.y, eval_set=(data.X_val, data.y_val), callbacks=[OneIteration()])
    # CatBoost rounds what it reports to six digits.
    assert automatic_learning_rate(len(data.y), problem) == pytest.approx(reference.learning_rate_, abs=1e-6)


@every_booster
def test_wide_tables_are_fitted_on_their_strongest_columns(learner: Learner) -> None:
    X = np.random.default_rng(0).normal(size=(60, MAX_COLUMNS + 1)).astype(np.float32)
    y = (X[:, 5] > 0).astype(np.int64)
    data = fit_data(X, y, n_iterations=10)
    model: Any = learner.fit(data, {"learning_rate": 0.3} if learner is not CATBOOST else {"learning_rate_factor": 5.0})
    assert len(model.columns) == MAX_COLUMNS
    assert (model.predict(X).argmax(axis=1) == y).mean() > 0.9


def test_catboost_fits_a_target_without_noise_to_the_end() -> None:
    X = np.tile(np.array([[0.0], [1.0]], dtype=np.float32), (50, 1))
    data = fit_data(X, X[:, 0].astype(np.float64))
    model = CATBOOST.fit(replace(data, n_iterations=300), {"learning_rate_factor": 5.0})
    np.testing.assert_allclose(model.predict(X), data.y, atol=1e-6)
