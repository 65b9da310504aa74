import numpy as np
import pytest
from sklearn.linear_model import ElasticNet, LogisticRegression, Ridge

from autometa.learners.base import FitData
from autometa.learners.linear import ELASTIC_NET, LOGISTIC_REGRESSION, RIDGE
from tests.helpers.fit_data import fit_data

pytestmark = pytest.mark.filterwarnings("error")


def rows(n_classes: int, n_features: int = 6) -> FitData:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, n_features)).astype(np.float32)
    score = X[:, 0] - X[:, 1] + rng.normal(size=200)
    y = score if not n_classes else np.digitize(score, np.quantile(score, np.arange(1, n_classes) / n_classes))
    return fit_data(X, y)


@pytest.mark.parametrize("n_classes", [2, 5])
# 120 columns go past the bound of the Newton solver.
@pytest.mark.parametrize("n_features", [6, 120])
def test_logistic_regression_agrees_with_a_long_run_in_double_precision(n_classes, n_features):
    data = rows(n_classes, n_features)
    reference = LogisticRegression(C=0.1, max_iter=5000, tol=1e-6).fit(data.X.astype(float), data.y)
    model = LOGISTIC_REGRESSION.fit(data, {"C": 0.1})
    np.testing.assert_allclose(model.predict(data.X), reference.predict_proba(data.X), atol=5e-3)


def test_ridge_agrees_with_ridge_on_the_plain_target():
    # The penalty acts on coefficients, so standardising the target only rescales them.
    data = rows(0)
    reference = Ridge(alpha=10.0).fit(data.X, data.y)
    np.testing.assert_allclose(RIDGE.fit(data, {"alpha": 10.0}).predict(data.X), reference.predict(data.X), atol=1e-4)


def test_elastic_net_agrees_with_its_exact_solution():
    data = rows(0)
    deviation = data.y.std()
    reference = ElasticNet(alpha=0.1, l1_ratio=0.5, tol=1e-8).fit(
        data.X.astype(float), (data.y - data.y.mean()) / deviation
    )
    model = ELASTIC_NET.fit(data, {"alpha": 0.1, "l1_ratio": 0.5})
    expected = reference.predict(data.X) * deviation + data.y.mean()
    np.testing.assert_allclose(model.predict(data.X), expected, atol=0.02 * deviation)


def test_a_strong_l1_penalty_leaves_columns_out():
    model = ELASTIC_NET.fit(rows(0), {"alpha": 0.3, "l1_ratio": 1.0})
    assert 0 < np.count_nonzero(model.coefficients) <= 2


@pytest.mark.parametrize("learner", [RIDGE, ELASTIC_NET], ids=lambda learner: learner.name)
def test_ten_times_more_columns_than_rows(learner):
    data = rows(0, 2000)
    assert np.corrcoef(learner.fit(data, {}).predict(data.X), data.y)[0, 1] > 0.9
