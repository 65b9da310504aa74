"""What every learner of the numeric view keeps to."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import skops.io
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from autometa.learners.base import FitData, Learner
from autometa.learners.bayes import DISCRIMINANT_ANALYSIS
from autometa.learners.kernels import GAUSSIAN_PROCESS, KERNEL_SVM
from autometa.learners.linear import ELASTIC_NET, LOGISTIC_REGRESSION, RIDGE
from autometa.learners.mlp_maml.learner import MLP_MAML
from autometa.learners.neighbours import NEAREST_NEIGHBOURS
from autometa.learners.neural import NEURAL_NETWORK
from autometa.learners.numeric import LARGEST_INPUT, TargetScale, bounded, probabilities
from tests.helpers.fit_data import fit_data

pytestmark = pytest.mark.filterwarnings("error")

CLASSIFIERS = (LOGISTIC_REGRESSION, DISCRIMINANT_ANALYSIS, NEAREST_NEIGHBOURS, KERNEL_SVM, NEURAL_NETWORK, MLP_MAML)
REGRESSORS = (RIDGE, ELASTIC_NET, GAUSSIAN_PROCESS, NEAREST_NEIGHBOURS, KERNEL_SVM, NEURAL_NETWORK, MLP_MAML)
QUICK = {NEURAL_NETWORK.name: {"n_epochs": 16, "width": 64}, MLP_MAML.name: {"n_epochs": 16}}

every_case = pytest.mark.parametrize(
    ("learner", "problem"),
    [
        *(
            pytest.param(learner, p, id=f"{learner.name}-{p}")
            for learner in CLASSIFIERS
            for p in ("binary", "multiclass")
        ),
        *(pytest.param(learner, "regression", id=f"{learner.name}-regression") for learner in REGRESSORS),
    ],
)


def rows(problem: str, n_rows: int, n_features: int = 5, n_classes: int | None = None, seed: int = 0) -> FitData:
    """Return read-only rows, some columns one-hot, whose target follows the first column."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features)).astype(np.float32)
    X[:, 2::3] = X[:, 2::3] > 0
    score = 2 * X[:, 0] + np.sin(2 * X[:, -1]) + 0.3 * rng.normal(size=n_rows)
    n_classes = {"binary": 2, "multiclass": n_classes or 4, "regression": 0}[problem]
    if problem == "regression":
        y = score.astype(np.float64)
    else:
        y = np.digitize(score, np.quantile(score, np.linspace(0, 1, n_classes + 1)[1:-1])).astype(np.int64)
        y[:n_classes] = np.arange(n_classes)
    X.setflags(write=False)
    return fit_data(X, y, problem, n_classes=n_classes, seed=seed)


def fitted(learner: Learner, data: FitData):
    return learner.fit(data, QUICK.get(learner.name, {}))


def assert_valid(prediction: np.ndarray, data: FitData, n_rows: int) -> None:
    assert prediction.dtype == np.float64
    assert np.isfinite(prediction).all()
    if data.problem == "regression":
        assert prediction.shape == (n_rows,)
    else:
        assert prediction.shape == (n_rows, data.n_classes)
        assert (prediction >= 0).all()
        np.testing.assert_allclose(prediction.sum(axis=1), 1.0, rtol=0, atol=1e-12)


def loss(prediction: np.ndarray, data: FitData) -> float:
    if data.problem == "regression":
        return float(np.mean((prediction - data.y) ** 2))
    return float(-np.mean(np.log(np.maximum(prediction[np.arange(len(data.y)), data.y], 1e-15))))


@every_case
def test_new_rows_are_predicted_better_than_by_a_constant(learner, problem, seed):
    data, new = rows(problem, 400, seed=seed), rows(problem, 200, seed=seed + 1)
    prediction = fitted(learner, data).predict(new.X)
    assert_valid(prediction, new, 200)
    if problem == "regression":
        constant = np.full(200, data.y.mean())
    else:
        constant = np.tile(np.bincount(data.y) / 400, (200, 1))
    assert loss(prediction, new) < 0.8 * loss(constant, new)


@every_case
def test_the_same_seed_gives_the_same_model_whatever_the_global_state(learner, problem):
    # ruff: noqa: NPY002 (numpy's global state is what this test is about)
    data = rows(problem, 120, seed=3)
    first = fitted(learner, data).predict(data.X)
    np.random.seed(1)
    torch.manual_seed(1)
    before = np.random.get_state()[1].copy(), torch.random.get_rng_state()
    np.testing.assert_array_equal(fitted(learner, data).predict(data.X), first)
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])
    assert torch.equal(torch.random.get_rng_state(), before[1])


@every_case
def test_a_saved_model_predicts_the_same_and_names_only_own_types(learner, problem):
    data = rows(problem, 80)
    model = fitted(learner, data)
    saved = skops.io.dumps(model)
    types = skops.io.get_untrusted_types(data=saved)
    assert all(name.startswith("autometa.") for name in types)
    loaded = skops.io.loads(saved, trusted=types)
    np.testing.assert_array_equal(loaded.predict(data.X), model.predict(data.X))
    assert loaded.n_iterations == model.n_iterations


@every_case
@pytest.mark.parametrize("n_features", [1, 3])
def test_four_rows_are_enough(learner, problem, n_features):
    data = rows(problem, 4, n_features)
    assert_valid(fitted(learner, data).predict(data.X), data, 4)


@every_case
def test_constant_repeated_and_extreme_columns_do_no_harm(learner, problem, seed):
    data = rows(problem, 60, 6, seed=seed)
    X = data.X.copy()
    X[:, 1] = 7.0
    X[:, 2] = X[:, 0]
    X[:, 3] *= 1e30
    X[:, 4] *= 1e-30
    data = replace(data, X=X)
    model = fitted(learner, data)
    assert_valid(model.predict(X), data, 60)
    assert_valid(model.predict(np.full((3, 6), -3e38, dtype=np.float32)), data, 3)


@every_case
def test_a_single_row_is_predicted_as_among_others(learner, problem):
    data = rows(problem, 90)
    model = fitted(learner, data)
    np.testing.assert_allclose(model.predict(data.X[7:8]), model.predict(data.X)[7:8], rtol=1e-4, atol=1e-5)
    assert len(model.predict(data.X[:0])) == 0


@every_case
def test_rows_without_weight_hardly_matter(learner, problem):
    data = rows(problem, 300)
    misled = np.arange(300) >= 150
    y = data.y.copy()
    y[misled] = -10 * y[misled] if problem == "regression" else data.n_classes - 1 - y[misled]
    weight = np.where(misled, 0.0, 2.0)
    with_weight = fitted(learner, replace(data, y=y, sample_weight=weight)).predict(data.X[:150])
    without = fitted(learner, replace(data, y=y)).predict(data.X[:150])
    target = replace(data, y=data.y[:150])
    assert loss(with_weight, target) < loss(without, target)


@pytest.mark.parametrize("learner", [pytest.param(learner, id=learner.name) for learner in CLASSIFIERS])
def test_sixty_classes_some_of_one_row(learner):
    data = rows("multiclass", 240, n_classes=60)
    y = data.y.copy()
    y[60:] %= 20
    data = replace(data, y=y)
    assert_valid(fitted(learner, data).predict(data.X), data, 240)


@pytest.mark.parametrize("learner", [pytest.param(learner, id=learner.name) for learner in REGRESSORS])
@pytest.mark.parametrize("unit", [1e-10, 1e10])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_predictions_follow_the_unit_of_the_target(learner, unit, offset):
    data = rows("regression", 100)
    plain = fitted(learner, data).predict(data.X)
    moved = fitted(learner, replace(data, y=(data.y + offset) * unit)).predict(data.X)
    np.testing.assert_allclose(moved / unit - offset, plain, rtol=0, atol=0.05)


@pytest.mark.parametrize("learner", [pytest.param(learner, id=learner.name) for learner in REGRESSORS])
def test_a_constant_target_is_predicted_everywhere(learner):
    data = replace(rows("regression", 50), y=np.full(50, 1234.5))
    np.testing.assert_allclose(fitted(learner, data).predict(data.X), 1234.5, rtol=1e-3)


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=30))
@example([0.0, 5e-324])
def test_a_target_is_restored_from_its_standard_form(values):
    y = np.array(values)
    scale = TargetScale(y)
    z = scale.standardise(y)
    assert np.isfinite(z).all()
    np.testing.assert_allclose(scale.restore(z), y, rtol=1e-9, atol=1e-9 * np.abs(y).max() + 1e-300)
    low, high = scale.restore(np.array([-1e6, 1e6]), margin=0.0)
    assert low >= y.min() and high <= y.max()


@settings(max_examples=50)
@given(st.integers(1, 6), st.integers(1, 5), st.floats(0, 1e6), st.integers(0, 1000))
def test_probabilities_sum_to_one_at_any_magnitude(n_outputs, n_rows, magnitude, seed):
    scores = magnitude * np.random.default_rng(seed).normal(size=(n_rows, n_outputs))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        p = probabilities(scores)
    assert p.shape == (n_rows, max(2, n_outputs))
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=0, atol=1e-12)
    if n_outputs > 1:
        largest = scores.argmax(axis=1)[:, None]
        np.testing.assert_array_equal(np.take_along_axis(p, largest, axis=1)[:, 0], p.max(axis=1))


def test_moderate_inputs_are_not_copied():
    X = np.array([[1.0, -LARGEST_INPUT]], dtype=np.float32)
    assert bounded(X) is X
    assert bounded(10 * X).min() == -LARGEST_INPUT
