"""A user's own estimator is cloned, seeded and weighted, and predicts probabilities in one of three ways."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsRegressor
from sklearn.svm import LinearSVC

from autometa.learners.base import FitData
from autometa.learners.sklearn_estimator import OwnModel, own_learner
from tests.helpers.fit_data import fit_data


def rows(n_classes: int) -> FitData:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3)).astype(np.float32)
    score = X[:, 0] + 0.1 * rng.normal(size=120)
    X.setflags(write=False)
    return fit_data(X, np.digitize(score, np.linspace(-0.5, 0.5, n_classes - 1)) if n_classes else score)


class Labels(ClassifierMixin, BaseEstimator):
    """Predicts labels only."""

    def fit(self, X, y):
        X[:] = X  # not every estimator leaves its rows alone
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return (X[:, 0] > 0).astype(np.int64)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("estimator", [GaussianNB(), LinearSVC(), Labels()], ids=lambda each: type(each).__name__)
def test_probabilities_come_from_what_the_estimator_has(estimator, n_classes):
    data = rows(n_classes)
    predictions = own_learner("own", estimator).fit(data, {}).predict(data.X)
    assert predictions.shape == (120, n_classes)
    np.testing.assert_allclose(predictions.sum(axis=1), 1.0, atol=1e-5)
    fitted = type(estimator)().fit(np.array(data.X), data.y)
    np.testing.assert_array_equal(predictions.argmax(axis=1), fitted.predict(data.X))


def test_a_decision_function_for_each_pair_of_classes_gives_way_to_the_labels():
    class Pairs(Labels):
        def decision_function(self, X):
            return np.zeros((len(X), 6))

    predictions = OwnModel(Pairs(), 4).predict(np.array([[1.0], [-1.0]]))
    np.testing.assert_array_equal(predictions, [[0, 1, 0, 0], [1, 0, 0, 0]])


def test_the_estimator_itself_stays_as_it_was_and_gets_seed_threads_and_parameters():
    estimator = RandomForestClassifier()
    model = own_learner("own", estimator).fit(replace(rows(2), seed=7, n_threads=2), {"n_estimators": 3})
    assert not hasattr(estimator, "estimators_")
    assert estimator.random_state is None
    assert (model.estimator.random_state, model.estimator.n_jobs, model.estimator.n_estimators) == (7, 2, 3)
    seeded = own_learner("own", RandomForestClassifier(n_estimators=2, random_state=1)).fit(rows(2), {})
    assert seeded.estimator.random_state == 1


def test_weights_reach_estimators_that_take_them():
    data = rows(0)
    weight = np.where(np.arange(120) < 60, 2.0, 0.0)
    weighted = own_learner("own", LinearRegression()).fit(replace(data, sample_weight=weight), {})
    half = own_learner("own", LinearRegression()).fit(replace(data, X=data.X[:60], y=data.y[:60]), {})
    np.testing.assert_allclose(weighted.predict(data.X), half.predict(data.X), rtol=1e-4, atol=1e-5)
    ignored = own_learner("own", KNeighborsRegressor()).fit(replace(data, sample_weight=weight), {})
    np.testing.assert_array_equal(
        ignored.predict(data.X), own_learner("own", KNeighborsRegressor()).fit(data, {}).predict(data.X)
    )
