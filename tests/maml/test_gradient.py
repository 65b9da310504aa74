"""MAML and its kin: their gradients against finite differences and against plain loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from autometa.exceptions import DivergenceError
from autometa.maml.evaluation import losses_after
from autometa.maml.gradient import GradientLearner, anil, first_order, maml, meta_sgd, pretraining
from autometa.maml.losses import cross_entropy, squared_error
from autometa.maml.networks import mlp, mlp_params
from autometa.maml.protocol import Examples, FewShotTask
from tests.helpers.few_shot_tasks import blobs, double, one_of, sinusoids


def smooth(params, inputs):
    """A network with smooth units, whose second derivatives are not 0."""
    return torch.tanh(inputs @ params["body.weight"] + params["body.bias"]) @ params["head.weight"]


def smooth_params(rng, n_inputs=1, n_outputs=1):
    shapes = {"body.weight": (n_inputs, 3), "body.bias": (3,), "head.weight": (3, n_outputs)}
    return {name: torch.from_numpy(rng.normal(size=shape)) for name, shape in shapes.items()}


LEARNERS = {
    "maml": maml(smooth, squared_error, rate=0.05, n_steps=2),
    "anil": anil(smooth, squared_error, ("head",), rate=0.05, n_steps=2),
    "meta_sgd": meta_sgd(smooth, squared_error, rate=0.05, n_steps=2),
}


def mean_query_loss(learner: GradientLearner, params, tasks: FewShotTask) -> float:
    each = (one_of(tasks, place) for place in range(len(tasks.query.targets)))
    return float(torch.stack([learner.loss(learner.inner(params, t.support), t.query) for t in each]).mean())


@pytest.mark.parametrize("learner", LEARNERS.values(), ids=LEARNERS)
def test_meta_gradient_is_that_of_finite_differences(learner, rng):
    tasks = double(sinusoids(rng, n_tasks=2))
    params = learner.initial(smooth_params(rng))
    gradient, _ = learner.meta_gradient(params, tasks)
    step = 1e-6
    for name, value in params.items():
        for place in itertools.product(*map(range, value.shape)):
            moved = []
            for sign in (1, -1):
                other = value.clone()
                other[place] += sign * step
                moved.append(float(losses_after(learner, {**params, name: other}, tasks, [2]).mean()))
            expected = (moved[0] - moved[1]) / (2 * step)
            # Central differences are off by step² and by rounding over step, about 1e-9 each.
            assert float(gradient[name][place]) == pytest.approx(expected, rel=1e-5, abs=1e-6), (name, place)


def by_hand(params, tasks, rate, n_steps, is_first_order):
    """Return the meta-gradient by autograd in a loop over tasks, without `torch.func`."""
    leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
    total = torch.zeros((), dtype=torch.float64)
    for place in range(len(tasks.query.targets)):
        task = one_of(tasks, place)
        some = dict(leaves)
        for _ in range(n_steps):
            loss = squared_error(smooth(some, task.support.inputs), task.support.targets).mean()
            gradients = torch.autograd.grad(loss, list(some.values()), create_graph=not is_first_order)
            some = {name: value - rate * g for (name, value), g in zip(some.items(), gradients, strict=True)}
        total = total + squared_error(smooth(some, task.query.inputs), task.query.targets).mean()
    return dict(zip(leaves, torch.autograd.grad(total / len(tasks.query.targets), list(leaves.values())), strict=True))


@pytest.mark.parametrize("is_first_order", [False, True])
def test_meta_gradient_is_that_of_a_loop_without_vmap(is_first_order, rng):
    tasks = double(sinusoids(rng, n_tasks=4))
    params = smooth_params(rng)
    learner = (first_order if is_first_order else maml)(smooth, squared_error, rate=0.05, n_steps=2)
    gradient, losses = learner.meta_gradient(params, tasks)
    expected = by_hand(params, tasks, 0.05, 2, is_first_order)
    for name, value in expected.items():
        torch.testing.assert_close(gradient[name], value, rtol=1e-10, atol=1e-10)
    assert float(losses.mean()) == pytest.approx(mean_query_loss(learner, params, tasks))


def test_first_order_differs_from_second_order(rng):
    tasks, params = double(sinusoids(rng)), smooth_params(rng)
    second, _ = maml(smooth, squared_error, rate=0.05).meta_gradient(params, tasks)
    first, _ = first_order(smooth, squared_error, rate=0.05).meta_gradient(params, tasks)
    assert not torch.allclose(first["body.weight"], second["body.weight"], rtol=1e-3)


def test_plain_pretraining_follows_the_gradient_of_all_queries_together(rng):
    tasks, params = double(sinusoids(rng)), smooth_params(rng)
    gradient, losses = pretraining(smooth, squared_error).meta_gradient(params, tasks)
    leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
    x, y = tasks.query.inputs.flatten(0, 1), tasks.query.targets.flatten()
    loss = ((smooth(leaves, x)[:, 0] - y) ** 2).mean()
    for name, expected in zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True):
        torch.testing.assert_close(gradient[name], expected)
    assert float(losses.mean()) == pytest.approx(float(loss.detach()))


def test_meta_gradient_of_a_classification_is_that_of_finite_differences(rng):
    tasks = double(blobs(rng, n_tasks=2))
    params = smooth_params(rng, n_inputs=4, n_outputs=3)
    learner = maml(smooth, cross_entropy, rate=0.05, n_steps=2)
    gradient, _ = learner.meta_gradient(params, tasks)
    direction = {name: torch.from_numpy(rng.normal(size=value.shape)) for name, value in params.items()}
    ahead, behind = (
        mean_query_loss(learner, {n: v + s * direction[n] for n, v in params.items()}, tasks) for s in (1e-6, -1e-6)
    )
    slope = sum(float((gradient[name] * direction[name]).sum()) for name in params)
    assert slope == pytest.approx((ahead - behind) / 2e-6, rel=1e-5, abs=1e-6)


def test_adapting_lowers_the_loss_on_the_support(rng):
    task = one_of(sinusoids(rng), 0)
    learner = maml(mlp, squared_error, rate=0.001, n_steps=5)
    params = learner.initial(mlp_params((1, 10, 10, 1)))
    adapted = learner.adapt(params, task.support)
    assert float(learner.loss(adapted, task.support)) < float(learner.loss(params, task.support))
    assert not any(value.requires_grad for value in adapted.values())


def test_anil_moves_nothing_but_the_head(rng):
    task = one_of(sinusoids(rng), 0)
    learner = anil(mlp, squared_error, ("layer2",), rate=0.001, n_steps=2)
    params = learner.initial(mlp_params((1, 10, 10, 1)))
    adapted = learner.adapt(params, task.support)
    moved = {name for name in params if not torch.equal(params[name], adapted[name])}
    assert moved == {"layer2.weight", "layer2.bias"}


def test_meta_sgd_has_a_rate_for_each_weight():
    params = meta_sgd(mlp, squared_error, rate=0.02).initial(mlp_params((1, 4, 1)))
    assert params["rate/layer0.weight"].shape == params["layer0.weight"].shape
    assert float(params["rate/layer1.bias"]) == pytest.approx(0.02)


def test_rows_of_weight_zero_change_nothing(rng):
    task = one_of(sinusoids(rng), 0)
    support = task.support
    padded = Examples(
        torch.cat([support.inputs, torch.full((2, 1), 3.0)]),
        torch.cat([support.targets, torch.full((2,), 9.0)]),
        weights=torch.cat([torch.ones(len(support.targets)), torch.zeros(2)]),
    )
    learner = maml(mlp, squared_error, n_steps=2)
    params = mlp_params((1, 10, 1))
    one, other = learner.adapt(params, support), learner.adapt(params, padded)
    for name in params:
        torch.testing.assert_close(one[name], other[name])


@pytest.mark.parametrize("rate", [1e3, 1e30])
def test_a_diverging_inner_loop_is_reported(rate, rng):
    task = one_of(sinusoids(rng), 0)
    with pytest.raises(DivergenceError, match="smaller rate"):
        maml(mlp, squared_error, rate=rate, n_steps=3).adapt(mlp_params((1, 10, 10, 1)), task.support)


def test_impossible_options_are_refused():
    with pytest.raises(ValueError, match="rate must be positive, got 0"):
        maml(mlp, squared_error, rate=0.0)
    with pytest.raises(ValueError, match="n_steps must be at least 1"):
        maml(mlp, squared_error, n_steps=-1)
    with pytest.raises(ValueError, match="belongs to the head"):
        anil(mlp, squared_error, ("absent",)).initial(mlp_params((1, 1)))


def test_parts_of_examples_must_have_equally_many_rows():
    with pytest.raises(ValueError, match="equally many rows"):
        Examples(torch.zeros(3, 1), torch.zeros(2))
    assert np.isfinite(float(Examples(torch.zeros(2, 1), torch.zeros(2)).mean(torch.ones(2))))
