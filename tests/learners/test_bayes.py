from dataclasses import replace

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.naive_bayes import GaussianNB

from autometa.learners.base import FitData
from autometa.learners.bayes import fit_discriminant_analysis
from tests.helpers.fit_data import fit_data

pytestmark = pytest.mark.filterwarnings("error")


def rows(n_rows: int = 3000) -> FitData:
    """Return three normal classes of unlike covariance."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, n_rows)
    X = rng.normal(size=(n_rows, 4)) @ np.array([[2.0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0.5], [0, 0, 0, 1]])
    X = (X * np.array([1.0, 1.5, 0.6])[y][:, None] + y[:, None] * np.array([0.8, 0, -0.5, 0])).astype(np.float32)
    return fit_data(X, y)


@pytest.mark.parametrize(
    ("pooling", "shrinkage", "reference"),
    [
        pytest.param(1.0, 0.0, LinearDiscriminantAnalysis(), id="linear"),
        pytest.param(0.0, 0.0, QuadraticDiscriminantAnalysis(), id="quadratic"),
        pytest.param(0.0, 1.0, GaussianNB(), id="naive Bayes"),
    ],
)
def test_the_corners_are_the_known_methods(pooling, shrinkage, reference):
    data = rows()
    model = fit_discriminant_analysis(data, {"pooling": pooling, "shrinkage": shrinkage})
    model.temperature = 1.0
    # The floor of the variances and priors by weight leave small differences.
    np.testing.assert_allclose(model.predict(data.X), reference.fit(data.X, data.y).predict_proba(data.X), atol=0.01)


def test_pooling_all_but_fully_is_close_to_pooling_fully():
    data = rows()
    almost = fit_discriminant_analysis(data, {"pooling": 0.9999})
    fully = fit_discriminant_analysis(data, {"pooling": 1.0})
    np.testing.assert_allclose(almost.predict(data.X), fully.predict(data.X), atol=0.01)


def test_copies_of_a_column_raise_the_temperature_of_naive_bayes():
    data = rows()
    naive = {"pooling": 0.0, "shrinkage": 1.0}
    assert fit_discriminant_analysis(data, naive).temperature < 2
    copies = replace(data, X=np.tile(data.X, 10))
    assert 5 < fit_discriminant_analysis(copies, naive).temperature < 25


def test_row_weights_count_like_repeated_rows():
    data = rows(90)
    weight = np.tile([1.0, 2.0, 3.0], 30)
    repeated = replace(data, X=data.X.repeat(weight.astype(int), axis=0), y=data.y.repeat(weight.astype(int)))
    weighted = fit_discriminant_analysis(replace(data, sample_weight=weight), {})
    repeated = fit_discriminant_analysis(repeated, {})
    np.testing.assert_allclose(weighted.scores(data.X), repeated.scores(data.X), rtol=1e-6)
