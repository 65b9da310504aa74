import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import RBF, Matern
from sklearn.metrics.pairwise import laplacian_kernel, rbf_kernel
from sklearn.svm import SVR

from autometa.core.budget import Deadline
from autometa.learners import kernels
from autometa.learners.base import FitData
from autometa.learners.kernels import fit_gaussian_process, fit_kernel_svm, kernel_matrix
from tests.helpers.fit_data import fit_data

pytestmark = pytest.mark.filterwarnings("error")


def rows(n_rows: int = 200, n_features: int = 4, noise: float = 0.1, seed: int = 0) -> FitData:
    """Return a smooth target of the first two columns."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features)).astype(np.float32)
    y = np.sin(2 * X[:, 0]) + X[:, 1] ** 2 + noise * rng.normal(size=n_rows)
    return fit_data(X, y)


@pytest.mark.parametrize(
    ("kernel", "reference"),
    [
        ("rbf", lambda A, B: rbf_kernel(A, B, gamma=1.0)),
        ("laplacian", lambda A, B: laplacian_kernel(A, B, gamma=1.0)),
        ("rbf", RBF(1 / math.sqrt(2))),
        ("matern32", Matern(1.0, nu=1.5)),
        ("matern52", Matern(1.0, nu=2.5)),
    ],
)
def test_kernels_agree_with_scikit_learn(kernel, reference):
    A, B = rows(20).X.astype(float), rows(30, seed=1).X.astype(float)
    np.testing.assert_allclose(kernel_matrix(kernel, A, B), reference(A, B), atol=1e-10)


def test_few_rows_are_exact_support_vector_regression():
    data, new = rows(), rows(seed=1).X
    model = fit_kernel_svm(data, {"kernel": "rbf", "C": 5.0, "gamma": 0.7, "epsilon": 0.05})
    mean, deviation = data.y.mean(), data.y.std()
    gamma = float(model.column_scale[0]) ** 2
    reference = SVR(C=5.0, gamma=gamma, epsilon=0.05).fit(data.X, (data.y - mean) / deviation)
    np.testing.assert_allclose(model.predict(new), reference.predict(new) * deviation + mean, atol=0.02)


@pytest.mark.parametrize("kernel", ["rbf", "laplacian"])
def test_many_rows_go_through_landmarks(monkeypatch, kernel):
    monkeypatch.setattr(kernels, "MOST_ROWS_FOR_EXACT_REGRESSION", 100)
    data, new = rows(600), rows(200, seed=1)
    model = fit_kernel_svm(data, {"kernel": kernel, "C": 10.0, "n_landmarks": 150})
    assert len(model.landmarks) == 150
    assert np.mean((model.predict(new.X) - new.y) ** 2) < 0.3 * new.y.var()


@pytest.mark.parametrize("length_scales", ["shared", "by_column"])
@pytest.mark.parametrize("kernel", ["rbf", "matern32", "matern52"])
def test_a_gaussian_process_nearly_reaches_the_noise(kernel, length_scales):
    data, new = rows(), rows(seed=1)
    model = fit_gaussian_process(data, {"kernel": kernel, "length_scales": length_scales})
    assert np.mean((model.predict(new.X) - new.y) ** 2) < 0.2 * new.y.var()


def test_columns_that_do_not_matter_get_long_length_scales():
    model = fit_gaussian_process(rows(), {"length_scales": "by_column"})
    assert model.column_scale[:2].min() > 3 * model.column_scale[2:].max()


def test_length_scales_come_from_a_sample_but_all_rows_count(monkeypatch):
    monkeypatch.setattr(kernels, "MOST_ROWS_FOR_LENGTH_SCALES", 50)
    data, new = rows(400), rows(seed=1)
    model = fit_gaussian_process(data, {})
    assert len(model.landmarks) == 400
    few = fit_gaussian_process(replace(data, X=data.X[:50], y=data.y[:50]), {})
    errors = [np.mean((m.predict(new.X) - new.y) ** 2) for m in (model, few)]
    assert errors[0] < errors[1]


def test_a_gaussian_process_past_its_deadline_returns_its_first_guess():
    data = replace(rows(), deadline=Deadline.after(-1.0))
    assert np.isfinite(fit_gaussian_process(data, {}).predict(data.X)).all()
