"""Matching networks: attention over what is remembered."""

from __future__ import annotations

import pytest
import torch

from autometa.maml.matching import LOG_SCALE, MatchingNetwork
from autometa.maml.networks import mlp, mlp_params
from autometa.maml.protocol import Examples
from tests.helpers.few_shot_tasks import blobs, double, one_of, sinusoids


@pytest.fixture
def learner() -> MatchingNetwork:
    return MatchingNetwork(mlp)


def test_outputs_are_probabilities(learner, rng):
    task = one_of(blobs(rng), 0)
    adapted = learner.adapt(learner.initial(mlp_params((4, 8, 8))), task.support)
    outputs = learner.predict(adapted, task.query.inputs)
    assert bool((outputs >= 0).all())
    torch.testing.assert_close(outputs.sum(dim=1), torch.ones(len(outputs)))


def test_attention_is_a_softmax_of_cosines(learner, rng):
    task = one_of(blobs(rng), 0)
    params = learner.initial(mlp_params((4, 8, 8)))
    keys, queries = mlp(params, task.support.inputs), mlp(params, task.query.inputs)
    cosines = torch.nn.functional.cosine_similarity(queries[:, None], keys[None], dim=2)
    weights = torch.softmax(params[LOG_SCALE].exp() * cosines, dim=1)
    expected = torch.stack([weights[:, task.support.targets == k].sum(dim=1) for k in range(3)], dim=1)
    found = learner.predict(learner.adapt(params, task.support), task.query.inputs)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_the_order_of_the_support_does_not_matter(learner, rng):
    task = one_of(blobs(rng), 0)
    params = learner.initial(mlp_params((4, 8, 8)))
    order = torch.randperm(6)
    shuffled = Examples(task.support.inputs[order], task.support.targets[order], 3)
    one, other = (learner.predict(learner.adapt(params, s), task.query.inputs) for s in (task.support, shuffled))
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_rows_of_weight_zero_are_not_attended_to(learner, rng):
    task = one_of(blobs(rng), 0)
    params = learner.initial(mlp_params((4, 8, 8)))
    some = Examples(task.support.inputs[:4], task.support.targets[:4], 3)
    weighted = Examples(task.support.inputs, task.support.targets, 3, torch.tensor([1.0, 1, 1, 1, 0, 0]))
    one, other = (learner.predict(learner.adapt(params, s), task.query.inputs) for s in (some, weighted))
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_meta_gradient_is_that_of_finite_differences(kind, rng):
    tasks = double(blobs(rng, n_tasks=2) if kind == "classes" else sinusoids(rng, n_tasks=2))
    learner = MatchingNetwork(lambda p, x: torch.tanh(x @ p["w"] + p["b"]))
    params = learner.initial({"w": torch.randn(tasks.support.inputs.shape[-1], 5), "b": torch.randn(5)})
    params = {name: value.double() for name, value in params.items()}
    gradient, _ = learner.meta_gradient(params, tasks)
    direction = {name: torch.from_numpy(rng.normal(size=tuple(value.shape))).double() for name, value in params.items()}

    def loss(step: float) -> float:
        moved = {name: value + step * direction[name] for name, value in params.items()}
        return float(learner.meta_gradient(moved, tasks)[1].mean())

    slope = sum(float((gradient[name] * direction[name]).sum()) for name in params)
    assert slope == pytest.approx((loss(1e-6) - loss(-1e-6)) / 2e-6, rel=1e-4, abs=1e-6)
