import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from autometa.core.budget import Deadline
from autometa.learners import epochs, neural
from autometa.learners.base import FitData
from autometa.learners.epochs import flat_cos
from autometa.learners.neural import coslog4, fit_neural_network
from autometa.learners.numeric import rounded_weights
from tests.helpers.fit_data import fit_data

pytestmark = pytest.mark.filterwarnings("error")

QUICK = {"n_epochs": 16, "width": 64}


def rows(n_rows: int = 400, n_features: int = 4, seed: int = 0, validate: bool = True) -> FitData:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features)).astype(np.float32)
    y = ((X[:, 0] * X[:, 1] + 0.3 * rng.normal(size=n_rows)) > 0).astype(np.int64)
    y[:2] = 0, 1
    return fit_data(X, y, n_validation=n_rows - n_rows * 3 // 4 if validate else 0, metric="roc_auc")


def as_regression(data: FitData) -> FitData:
    y_val = None if data.y_val is None else data.y_val * 2.0
    return replace(data, y=data.y * 2.0, y_val=y_val, problem="regression", n_classes=0, metric="rmse")


def test_schedules_start_and_end_where_they_should():
    assert coslog4(0.0) == 0.0
    # Four cycles end at (2^k − 1) / 15 with k = 1 … 4, and peak between.
    for end in (1 / 15, 3 / 15, 7 / 15, 1.0):
        assert coslog4(end) == pytest.approx(0.0, abs=1e-9)
    assert coslog4((2**3.5 - 1) / 15) == pytest.approx(1.0)
    assert flat_cos(0.0) == flat_cos(0.4999) == 1.0
    assert flat_cos(1.0) == pytest.approx(0.0)


@pytest.mark.parametrize("activation", ["selu", "mish", "relu"])
@pytest.mark.parametrize("embeddings", ["none", "pbld"])
def test_the_kept_arrays_compute_what_torch_computed(activation, embeddings):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 6)).astype(np.float32)
    X[:, 3:5] = X[:, 3:5] > 0
    settings = neural.NeuralNetworkSettings(width=32, activation=activation, embeddings=embeddings)
    data = fit_data(X, np.arange(50) % 3)
    network = neural._TorchNetwork(data, None, settings, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for tensor in network.tensors():
            tensor.add_(0.1 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1)))
        expected = network.forward(X)
    model = network.to_model([t.detach().numpy() for t in network.tensors()], 1)
    # Hidden layers are rounded by a relative 5e-4.
    np.testing.assert_allclose(model._forward(X), expected, atol=2e-3 * np.abs(expected).max())


def test_one_hot_columns_are_not_embedded():
    X = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    X[:, 1] = X[:, 1] > 0
    embedded, plain = neural._embedded_columns(X, "pbld")
    assert embedded.tolist() == [0, 2, 3]
    assert plain.tolist() == [1]


@pytest.mark.parametrize("n_iterations", [1, 5])
def test_a_given_number_of_epochs_is_trained_exactly(n_iterations):
    data = replace(rows(validate=False), n_iterations=n_iterations)
    assert fit_neural_network(data, QUICK).n_iterations == n_iterations


def test_without_validation_rows_the_last_epoch_is_kept():
    assert fit_neural_network(rows(validate=False), QUICK).n_iterations == QUICK["n_epochs"]


@pytest.mark.parametrize("convert", [lambda data: data, as_regression], ids=["classes", "regression"])
def test_a_passed_deadline_still_gives_a_model(convert):
    data = convert(replace(rows(), deadline=Deadline.after(-1.0)))
    model = fit_neural_network(data, QUICK)
    assert model.n_iterations == 1
    assert np.isfinite(model.predict(data.X)).all()


def test_the_schedule_follows_the_clock_where_time_is_short(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(epochs.time, "monotonic", lambda: now[0])
    progress = epochs.Progress(n_steps=1000, time_s=10.0)
    shares = []
    while not progress.finished():
        now[0] += 1.0
        progress.step()
        shares.append(progress.share())
    assert shares == pytest.approx([0.1 * i for i in range(1, 11)])


def test_the_schedule_follows_the_steps_where_time_is_plenty():
    progress = epochs.Progress(n_steps=4, time_s=math.inf)
    shares = [progress.step() or progress.share() for _ in range(4)]
    assert shares == [0.25, 0.5, 0.75, 1.0]
    assert progress.finished()


def test_training_ends_once_a_whole_cycle_brought_nothing(monkeypatch):
    losses = iter(range(100))
    monkeypatch.setattr(epochs.Monitor, "loss", lambda *args: float(next(losses)))
    assert fit_neural_network(rows(), {"n_epochs": 45, "width": 64}).n_iterations == 1
    # The second cycle ends at 3/15 of 45 epochs.
    assert next(losses) == 9


def test_the_best_epoch_is_kept(monkeypatch):
    losses = iter([3.0, 2.0, 1.0, 0.5, *[4.0] * 100])
    snapshots = []

    def loss(self, forward):
        snapshots.append(forward(self.X))
        return next(losses)

    monkeypatch.setattr(epochs.Monitor, "loss", loss)
    data = rows()
    model = fit_neural_network(data, QUICK)
    assert model.n_iterations == 4
    np.testing.assert_allclose(model._forward(data.X_val), snapshots[3], atol=2e-3 * np.abs(snapshots[3]).max())


def test_predictions_stay_within_the_range_of_the_target():
    data = as_regression(rows())
    prediction = fit_neural_network(data, QUICK).predict(100 * data.X)
    assert prediction.min() >= data.y.min() and prediction.max() <= data.y.max()


def test_the_number_of_torch_threads_is_left_as_it_was():
    before = torch.get_num_threads()
    fit_neural_network(replace(rows(), n_threads=1), QUICK)
    assert torch.get_num_threads() == before


def test_area_above_the_curve_agrees_with_scikit_learn(seed):
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(seed)
    score, y = rng.integers(0, 10, 100).astype(float), rng.integers(0, 2, 100)
    assert epochs.area_above_curve(score, y) == pytest.approx(1 - roc_auc_score(y, score))


def test_many_columns_are_trained_for_fewer_epochs():
    assert [epochs.planned_epochs(n, 2e11, 12, 128) for n in (1e9, 1e10, 1e13)] == [128, 20, 12]


def test_weights_are_rounded_to_half_precision_in_single():
    weights = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    rounded = rounded_weights(weights)
    np.testing.assert_allclose(rounded, weights, rtol=5e-4)
    assert not (rounded.view(np.uint32) & 0x1FFF).any()
    np.testing.assert_array_equal(rounded_weights(rounded), rounded)
