import pickle
from dataclasses import replace

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsRegressor

from autometa.learners import neighbours
from autometa.learners.base import FitData
from autometa.learners.neighbours import fit_nearest_neighbours
from tests.helpers.fit_data import fit_data

pytestmark = pytest.mark.filterwarnings("error")


def rows(n_rows: int = 200) -> FitData:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 3)).astype(np.float32)
    return fit_data(X, X.sum(axis=1).astype(float))


@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("p", [1, 2])
def test_regression_agrees_with_scikit_learn(weights, p):
    data, new = rows(), np.random.default_rng(1).normal(size=(50, 3)).astype(np.float32)
    reference = KNeighborsRegressor(n_neighbors=7, weights=weights, p=p).fit(data.X, data.y)
    model = fit_nearest_neighbours(data, {"n_neighbors": 7, "weights": weights, "p": p})
    np.testing.assert_allclose(model.predict(new), reference.predict(new), rtol=1e-5)


def test_a_known_row_is_its_own_neighbour():
    data = rows()
    np.testing.assert_allclose(fit_nearest_neighbours(data, {}).predict(data.X), data.y, atol=1e-3)


def test_no_class_has_probability_zero():
    data = rows()
    y = (data.y > np.median(data.y)).astype(np.int64)
    model = fit_nearest_neighbours(replace(data, y=y, problem="binary", n_classes=2), {"n_neighbors": 1})
    assert model.predict(data.X).min() > 0
    np.testing.assert_array_equal(model.predict(data.X).argmax(axis=1), y)


def test_large_tables_are_thinned(monkeypatch):
    monkeypatch.setattr(neighbours, "MOST_REFERENCE_VALUES", 4500)
    data = rows(3000)
    model = fit_nearest_neighbours(data, {})
    assert len(model.reference) == 1500
    assert np.corrcoef(model.predict(data.X), data.y)[0, 1] > 0.95


def test_rows_are_predicted_in_any_number(monkeypatch):
    data = rows()
    whole = fit_nearest_neighbours(data, {}).predict(data.X)
    monkeypatch.setattr(neighbours, "_CHUNK_ROWS", 7)
    np.testing.assert_allclose(fit_nearest_neighbours(data, {}).predict(data.X), whole)


def test_the_index_of_the_first_prediction_is_used_again_and_not_kept_in_pickles():
    data = rows()
    model = fit_nearest_neighbours(data, {})
    first = model.predict(data.X)
    index = model._index(1)
    np.testing.assert_array_equal(model.predict(data.X), first)
    assert model._index(1) is index
    again = pickle.loads(pickle.dumps(model))
    assert "_search" not in vars(again)
    np.testing.assert_array_equal(again.predict(data.X), first)
