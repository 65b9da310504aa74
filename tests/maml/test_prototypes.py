"""Proto-MAML: heads of any number of classes."""

from __future__ import annotations

import pytest
import torch

from autometa.exceptions import DivergenceError
from autometa.maml.networks import mlp_features, mlp_params
from autometa.maml.protocol import Examples
from autometa.maml.prototypes import ProtoMAML, prototype_head
from tests.helpers.few_shot_tasks import blobs, double, one_of, sinusoids


def doubled(params):
    return {name: value.double() for name, value in params.items()}


def test_head_is_softmax_over_squared_distances_to_the_class_means(rng):
    features = torch.from_numpy(rng.normal(size=(6, 4)))
    codes = torch.tensor([0, 1, 2, 0, 1, 2])
    weight, bias = prototype_head(features, Examples(features, codes, 3))
    means = torch.stack([features[codes == k].mean(dim=0) for k in range(3)])
    distances = ((features[:, None] - means) ** 2).sum(dim=2) / 4
    torch.testing.assert_close(torch.softmax(features @ weight.T + bias, 1), torch.softmax(-distances, 1))


def test_a_class_without_rows_gets_the_mean_of_all_rows(rng):
    features = torch.from_numpy(rng.normal(size=(4, 3)))
    weight, _ = prototype_head(features, Examples(features, torch.tensor([0, 0, 2, 2]), 3))
    torch.testing.assert_close(weight[1] * 3 / 2, features.mean(dim=0))


@pytest.mark.parametrize("n_classes", [2, 3, 60])
def test_one_set_of_parameters_adapts_to_any_number_of_classes(n_classes, rng):
    task = one_of(blobs(rng, n_classes=n_classes), 0)
    learner = ProtoMAML(mlp_features, 8, rate=0.01, n_steps=2)
    params = learner.initial(mlp_params((4, 8, 8)))
    adapted = learner.adapt(params, task.support)
    assert learner.predict(adapted, task.query.inputs).shape == (2 * n_classes, n_classes)


def test_renaming_the_classes_renames_the_columns(rng):
    task = one_of(blobs(rng), 0)
    learner = ProtoMAML(mlp_features, 8, rate=0.01, n_steps=3)
    params = learner.initial(mlp_params((4, 8, 8)))
    order = torch.tensor([2, 0, 1])
    renamed = Examples(task.support.inputs, order[task.support.targets], 3)
    before = learner.predict(learner.adapt(params, task.support), task.query.inputs)
    after = learner.predict(learner.adapt(params, renamed), task.query.inputs)
    torch.testing.assert_close(after[:, order], before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_meta_gradient_is_that_of_finite_differences(kind, rng):
    tasks = double(blobs(rng, n_tasks=2) if kind == "classes" else sinusoids(rng, n_tasks=2))
    learner = ProtoMAML(lambda p, x: torch.tanh(x @ p["w"]), 5, rate=0.05, n_steps=2)
    params = doubled(learner.initial({"w": torch.randn(tasks.support.inputs.shape[-1], 5)}))
    params = {name: value + 0.1 for name, value in params.items()}
    gradient, _ = learner.meta_gradient(params, tasks)
    direction = {name: torch.from_numpy(rng.normal(size=tuple(value.shape))) for name, value in params.items()}

    def loss(step: float) -> float:
        moved = {name: value + step * direction[name] for name, value in params.items()}
        return float(learner.meta_gradient(moved, tasks)[1].mean())

    slope = sum(float((gradient[name] * direction[name]).sum()) for name in params)
    assert slope == pytest.approx((loss(1e-6) - loss(-1e-6)) / 2e-6, rel=1e-5, abs=1e-6)


def test_without_inner_steps_rows_go_to_the_nearest_prototype(rng):
    task = one_of(blobs(rng), 1)
    learner = ProtoMAML(lambda p, x: x * p["scale"], 4, n_steps=0)
    params = learner.initial({"scale": torch.ones(4)})
    chosen = learner.predict(learner.adapt(params, task.support), task.query.inputs).argmax(1)
    means = torch.stack([task.support.inputs[task.support.targets == k].mean(0) for k in range(3)])
    assert torch.equal(chosen, torch.cdist(task.query.inputs, means).argmin(1))


def test_a_diverging_inner_loop_is_reported(rng):
    learner = ProtoMAML(mlp_features, 8, rate=1e20, n_steps=3)
    with pytest.raises(DivergenceError, match="smaller rate"):
        learner.adapt(learner.initial(mlp_params((4, 8, 8))), one_of(blobs(rng), 0).support)
