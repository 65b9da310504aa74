from dataclasses import replace

import numpy as np
import pytest

from autometa.core.budget import Deadline
from autometa.exceptions import MetaWeightsError
from autometa.learners import epochs
from autometa.learners.base import FitData
from autometa.learners.mlp_maml import learner as mlp_maml
from autometa.learners.mlp_maml.learner import fit_mlp_maml
from autometa.learners.mlp_maml.starts import write_starts
from tests.helpers.fit_data import fit_data

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("error")

STARTS = ("fitted_head", "projected", "random")


def rows(n_rows: int = 300, n_features: int = 4, validate: bool = True, problem: str = "binary") -> FitData:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, n_features)).astype(np.float32)
    score = X[:, 0] + np.sin(2 * X[:, -1]) + 0.3 * rng.normal(size=n_rows)
    y = 100 + 5 * score if problem == "regression" else (score > 0).astype(np.int64)
    metric = "rmse" if problem == "regression" else "log_loss"
    return fit_data(X, y, problem, n_validation=n_rows - n_rows * 3 // 4 if validate else 0, metric=metric)


@pytest.mark.parametrize("n_iterations", [1, 2, 5])
@pytest.mark.parametrize("start", STARTS)
def test_a_given_number_of_epochs_is_trained_exactly(start, n_iterations):
    data = replace(rows(validate=False), n_iterations=n_iterations)
    assert fit_mlp_maml(data, {"start": start}).n_iterations == n_iterations


def test_the_first_epoch_is_the_fitted_head_whatever_the_learning_rate():
    data = replace(rows(validate=False), n_iterations=1)
    first, second = (fit_mlp_maml(data, {"learning_rate": rate}).predict(data.X) for rate in (0.001, 0.02))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("start", ["fitted_head", "projected"])
def test_one_epoch_asked_for_is_the_first_of_many(start):
    data = replace(rows(), keep_stages=True)
    one, many = (fit_mlp_maml(data, {"start": start, "n_epochs": n}) for n in (1, 16))
    # Nothing comes before a first epoch that stayed the best.
    first = dict(many.staged_predict(data.X)).get(1, many.predict(data.X))
    assert one.n_iterations == 1
    np.testing.assert_array_equal(one.predict(data.X), first)


@pytest.mark.parametrize("start", ["fitted_head", "projected"])
def test_fitted_networks_stay_as_they_are_and_keep_half_of_the_weight(start):
    first, later = (
        fit_mlp_maml(replace(rows(validate=False), n_iterations=n), {"start": start, "learning_rate": 0.02})
        for n in (1, 4)
    )
    assert first.weights == [0.5, 0.5] and later.weights == [0.25, 0.25, 0.5]
    one, other = first.networks
    assert not np.array_equal(one["layer1/weight"], other["layer1/weight"])
    for before, after in zip(first.networks, later.networks, strict=False):
        for name, array in before.items():
            np.testing.assert_array_equal(after[name], array)
    trained = later.networks[-1]
    assert not any(np.array_equal(trained[name], one[name]) for name in ("layer1/weight", "head/weight"))


def test_random_weights_train_alone():
    model = fit_mlp_maml(replace(rows(validate=False), n_iterations=2), {"start": "random"})
    assert len(model.networks) == 1 and model.weights == [1.0]


@pytest.mark.parametrize("problem", ["binary", "regression"])
@pytest.mark.parametrize("start", STARTS)
def test_the_kept_model_predicts_what_the_training_saw(start, problem, monkeypatch):
    seen = []

    def loss(self, forward):
        seen.append(forward(self.X))
        return -float(len(seen))  # ever better: the last epoch is kept

    monkeypatch.setattr(epochs.Monitor, "loss", loss)
    data = rows(problem=problem)
    model = fit_mlp_maml(data, {"start": start, "n_epochs": 3})
    assert model.n_iterations == 3
    # Hidden layers are rounded by a relative 5e-4.
    np.testing.assert_allclose(model._forward(data.X_val), seen[-1], atol=2e-3 * np.abs(seen[-1]).max())


@pytest.mark.parametrize("problem", ["binary", "regression"])
@pytest.mark.parametrize("start", STARTS)
def test_a_passed_deadline_still_gives_a_model(start, problem):
    data = replace(rows(problem=problem), deadline=Deadline.after(-1.0))
    model = fit_mlp_maml(data, {"start": start})
    assert model.n_iterations == 1
    assert np.isfinite(model.predict(data.X)).all()


def test_training_ends_when_epochs_bring_nothing(monkeypatch):
    losses = iter(range(100))
    monkeypatch.setattr(epochs.Monitor, "loss", lambda *args: float(next(losses)))
    assert fit_mlp_maml(rows(), {"n_epochs": 40}).n_iterations == 1
    assert next(losses) == 11  # the first and a patience of a quarter


def test_predictions_stay_within_the_range_of_the_target():
    data = rows(problem="regression")
    prediction = fit_mlp_maml(data, {"n_epochs": 4}).predict(100 * data.X)
    assert prediction.min() >= data.y.min() and prediction.max() <= data.y.max()


@pytest.mark.parametrize("n_features", [1, 500])
@pytest.mark.parametrize("n_rows", [20, 60])
def test_few_rows_of_one_or_many_columns_give_probabilities(n_rows, n_features):
    data = rows(n_rows, n_features)
    prediction = fit_mlp_maml(data, {"n_epochs": 4}).predict(data.X)
    np.testing.assert_allclose(prediction.sum(axis=1), 1.0, atol=1e-12)


def test_an_unknown_start_is_named_with_those_that_there_are():
    with pytest.raises(ValueError, match=r"fitted_head.*got 'noise'"):
        fit_mlp_maml(rows(), {"start": "noise"})


def test_damaged_weights_are_reported_and_random_starts_do_without(tmp_path, monkeypatch):
    monkeypatch.setattr(mlp_maml, "shipped_starts_folder", lambda: tmp_path)
    write_starts(tmp_path, {"fitted_head": {"layer0/bias": np.zeros(3, dtype=np.float32)}}, {})
    with pytest.raises(MetaWeightsError, match="does not fit the network"):
        fit_mlp_maml(rows(), {})
    assert fit_mlp_maml(rows(), {"start": "random", "n_epochs": 2}).n_iterations


def test_the_shipped_start_is_not_changed_by_a_fit():
    data = rows()
    first = fit_mlp_maml(data, {"n_epochs": 4}).predict(data.X)
    fit_mlp_maml(rows(problem="regression"), {"n_epochs": 4})
    np.testing.assert_array_equal(fit_mlp_maml(data, {"n_epochs": 4}).predict(data.X), first)


@pytest.mark.parametrize("problem", ["binary", "regression"])
def test_one_row_is_enough(problem):
    data = rows(n_rows=1, validate=False, problem=problem)
    assert np.isfinite(fit_mlp_maml(data, {"n_epochs": 2}).predict(data.X)).all()
