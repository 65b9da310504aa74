import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import skops.io

from autometa.core.space import Value
from autometa.core.task import PROBLEMS, Problem
from autometa.learners.base import FitData, Learner, StagedModel, stages_before
from autometa.learners.catboost_fit import CATBOOST
from autometa.learners.lightgbm_fit import LIGHTGBM
from autometa.learners.linear import LOGISTIC_REGRESSION
from autometa.learners.mlp_maml.learner import MLP_MAML
from autometa.learners.neural import NEURAL_NETWORK
from autometa.learners.trees import EXTRA_TREES, HIST_GRADIENT_BOOSTING, RANDOM_FOREST
from autometa.learners.xgboost_fit import XGBOOST
from tests.helpers.fit_data import mixed_table

pytestmark = pytest.mark.filterwarnings("error")

BOOSTERS = (LIGHTGBM, CATBOOST, XGBOOST, HIST_GRADIENT_BOOSTING)


def each(*learners: Learner) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("learner", [pytest.param(learner, id=learner.name) for learner in learners])


every_booster = each(*BOOSTERS)
every_staged_learner = each(*BOOSTERS, NEURAL_NETWORK, MLP_MAML)
every_network = each(NEURAL_NETWORK, MLP_MAML)
every_problem = pytest.mark.parametrize("problem", PROBLEMS)
# Columns and rows are drawn in every iteration, so that a stage shows whether the draws before it were the same.
SAMPLED: dict[str, dict[str, Value]] = {
    "lightgbm": {"bagging_fraction": 0.7, "feature_fraction": 0.6},
    "catboost": {"rsm": 0.6},
    "xgboost": {"subsample": 0.7, "colsample_bytree": 0.6},
    "hist_gradient_boosting": {"max_features": 0.6},
    "neural_network": {"n_epochs": 24, "width": 32},
    # Not the closed form, which is hard to improve on for so few rows: stages need epochs.
    "mlp_maml": {"n_epochs": 24, "start": "random"},
}


@pytest.fixture(autouse=True)
def _library(request: pytest.FixtureRequest) -> None:
    if "learner" in request.fixturenames:
        pytest.importorskip(request.getfixturevalue("learner").library)


def table(learner: Learner, problem: Problem) -> FitData:
    """Return rows whose target follows one number and one category, in the learner's view."""
    data = replace(mixed_table(problem, is_tree_view=learner.view == "tree"), keep_stages=True)
    if problem == "regression":
        assert data.y_val is not None
        # Far from 0 and 1, so that a forgotten scale shows.
        data = replace(data, y=1000.0 + 50.0 * data.y, y_val=1000.0 + 50.0 * data.y_val)
    return data


def fitted(learner: Learner, data: FitData) -> Any:
    return learner.fit(data, SAMPLED[learner.name])


def refit(data: FitData, n_iterations: int) -> FitData:
    return replace(data, X_val=None, y_val=None, n_iterations=n_iterations)


def stages(model: Any, X: np.ndarray) -> dict[int, np.ndarray]:
    return dict(model.staged_predict(X))


@pytest.mark.parametrize("n_iterations", range(1, 70))
def test_stages_double_until_the_next_would_be_the_model_itself(n_iterations: int) -> None:
    expected, n = [], 1
    while n < n_iterations:
        expected.append(n)
        n *= 2
    assert stages_before(n_iterations) == expected


@every_staged_learner
@every_problem
def test_every_stage_predicts_like_a_model(learner: Learner, problem: Problem) -> None:
    data = table(learner, problem)
    assert data.X_val is not None
    model = fitted(learner, data)
    found = stages(model, data.X_val)
    assert model.n_iterations > 2
    assert list(found) == stages_before(model.n_iterations)
    final = model.predict(data.X_val)
    for prediction in found.values():
        assert prediction.shape == final.shape
        assert prediction.dtype == np.float64
        assert np.isfinite(prediction).all()
        if problem == "regression":
            assert 0.5 * final.min() < prediction.mean() < 2.0 * final.max()
        else:
            assert (prediction >= 0).all()
            np.testing.assert_allclose(prediction.sum(axis=1), 1.0, rtol=0, atol=1e-6)


@every_staged_learner
@every_problem
def test_stages_differ_from_each_other_and_leave_the_model_as_it_was(learner: Learner, problem: Problem) -> None:
    data = table(learner, problem)
    model = fitted(learner, refit(data, 9))
    before = model.predict(data.X)
    found = stages(model, data.X)
    assert list(found) == [1, 2, 4, 8]
    np.testing.assert_array_equal(model.predict(data.X), before)
    predictions = [*found.values(), before]
    for earlier, later in zip(predictions, predictions[1:], strict=False):
        assert not np.allclose(earlier, later, rtol=1e-9)


@every_booster
@every_problem
@pytest.mark.parametrize("n_iterations", [1, 8])
def test_a_stage_is_the_fit_of_as_many_iterations(learner: Learner, problem: Problem, n_iterations: int) -> None:
    data = replace(table(learner, problem), seed=5)
    stopped_early = fitted(learner, data)
    exact = fitted(learner, refit(data, n_iterations))
    assert stopped_early.n_iterations > n_iterations == exact.n_iterations
    # The libraries add up in single precision.
    np.testing.assert_allclose(stages(stopped_early, data.X)[n_iterations], exact.predict(data.X), rtol=1e-5, atol=1e-6)


@every_staged_learner
def test_a_single_iteration_has_no_stages(learner: Learner) -> None:
    data = refit(table(learner, "binary"), 1)
    assert stages(fitted(learner, data), data.X) == {}


@every_booster
def test_a_pickled_booster_still_has_its_stages(learner: Learner) -> None:
    data = table(learner, "multiclass")
    model = fitted(learner, data)
    expected = stages(model, data.X)
    found = stages(pickle.loads(pickle.dumps(model)), data.X)
    assert found.keys() == expected.keys()
    for n_iterations, prediction in found.items():
        np.testing.assert_array_equal(prediction, expected[n_iterations])


@pytest.mark.parametrize("validated", [True, False])
@every_problem
@every_network
def test_keeping_stages_does_not_change_the_network(learner: Learner, problem: Problem, validated: bool) -> None:
    data = table(learner, problem)
    if not validated:
        data = replace(data, X_val=None, y_val=None)
    with_stages, without = (fitted(learner, replace(data, keep_stages=keep)) for keep in (True, False))
    # Equal bytes: every array to the last bit, and nothing of the stages in what is sent and saved.
    assert pickle.dumps(with_stages) == pickle.dumps(without)
    assert len(skops.io.dumps(with_stages)) == len(skops.io.dumps(without))


@every_network
def test_stages_of_a_network_are_its_best_epochs_so_far(learner: Learner) -> None:
    data = table(learner, "regression")
    assert data.X_val is not None and data.y_val is not None
    model = fitted(learner, replace(data, metric="rmse"))
    losses = [np.mean((p - data.y_val) ** 2) for p in [*stages(model, data.X_val).values(), model.predict(data.X_val)]]
    assert len(losses) > 2
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("convert", [pickle.dumps, skops.io.dumps], ids=["pickle", "skops"])
@every_network
def test_a_network_that_kept_no_stages_says_so(learner: Learner, convert: Any) -> None:
    data = table(learner, "binary")
    model = fitted(learner, data)
    saved = convert(model)
    trusted = None if convert is pickle.dumps else skops.io.get_untrusted_types(data=saved)
    sent = pickle.loads(saved) if trusted is None else skops.io.loads(saved, trusted=trusted)
    np.testing.assert_array_equal(sent.predict(data.X), model.predict(data.X))
    for without in (sent, fitted(learner, replace(data, keep_stages=False))):
        with pytest.raises(ValueError, match="keep_stages=True"):
            next(without.staged_predict(data.X))


@every_staged_learner
def test_learners_with_iterations_are_staged(learner: Learner) -> None:
    assert isinstance(fitted(learner, refit(table(learner, "binary"), 2)), StagedModel)


@each(LOGISTIC_REGRESSION, RANDOM_FOREST, EXTRA_TREES)
def test_learners_without_iterations_are_not_staged(learner: Learner) -> None:
    data = table(learner, "binary")
    assert not isinstance(learner.fit(replace(data, X=np.nan_to_num(data.X)), {}), StagedModel)
