"""The learnt optimiser: it begins as Adam, learns, and sees every weight by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autometa.exceptions import DivergenceError
from autometa.maml.evaluation import losses_after
from autometa.maml.learned_optimiser import OPTIMISER, LearnedOptimiser
from autometa.maml.losses import squared_error
from autometa.maml.protocol import Examples, FewShotTask
from autometa.maml.training import OuterSettings, meta_train
from tests.helpers.few_shot_tasks import double, one_of


def linear(params, inputs):
    return inputs @ params["theta"]


def quadratics(rng: np.random.Generator, n_tasks: int = 16) -> FewShotTask:
    """Return stacked tasks whose loss is a quadratic function of ten weights."""
    matrix, aim = rng.normal(size=(n_tasks, 10, 10)), rng.normal(size=(n_tasks, 10))
    examples = Examples(torch.from_numpy(matrix).float(), torch.from_numpy(aim).float())
    return FewShotTask(examples, examples)


def start(learner: LearnedOptimiser, n: int = 10):
    return learner.initial({"theta": torch.zeros(n)})


def test_before_training_it_is_adam(rng):
    task = one_of(double(quadratics(rng)), 0)
    learner = LearnedOptimiser(linear, squared_error, rate=0.05)
    params = {name: value.double() for name, value in start(learner).items()}
    params[OPTIMISER + "out.weight"] = torch.zeros_like(params[OPTIMISER + "out.weight"])
    theta = torch.zeros(10, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([theta], lr=0.05, betas=(0.95, 0.95), eps=1e-8)
    for _ in range(7):
        adam.zero_grad()
        squared_error(task.support.inputs @ theta, task.support.targets).mean().backward()
        adam.step()
    found = learner.adapt(params, task.support, 7)["theta"]
    torch.testing.assert_close(found, theta.detach(), rtol=1e-5, atol=1e-7)


def test_order_of_the_weights_does_not_matter(rng):
    task = one_of(quadratics(rng), 0)
    learner = LearnedOptimiser(linear, squared_error)
    params = start(learner)
    order = torch.randperm(10)
    permuted = Examples(task.support.inputs[:, order], task.support.targets)
    one, other = (learner.adapt(params, support, 5)["theta"] for support in (task.support, permuted))
    torch.testing.assert_close(one[order], other, rtol=1e-3, atol=1e-6)


def test_one_optimiser_serves_networks_of_any_size(rng):
    learner = LearnedOptimiser(linear, squared_error)
    params = start(learner) | {"theta": torch.zeros(3)}
    support = Examples(torch.randn(6, 3), torch.randn(6))
    assert learner.adapt(params, support, 3)["theta"].shape == (3,)


def test_meta_gradient_is_that_of_a_loop_where_nothing_is_cut(rng):
    tasks = double(quadratics(rng, n_tasks=3))
    learner = LearnedOptimiser(linear, squared_error, n_steps=3, n_unrolled=3, rate=0.1)
    params = {name: value.double() for name, value in start(learner).items()}
    gradient, last = learner.meta_gradient(params, tasks)

    leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
    each = [one_of(tasks, place) for place in range(3)]
    along = torch.stack(
        [
            torch.stack([learner.loss(learner.inner(leaves, task.support, n), task.query) for n in (1, 2, 3)])
            for task in each
        ]
    )
    aim = torch.log(along.mean(dim=0)).mean()
    expected = torch.autograd.grad(aim, list(leaves.values()))
    for name, value in zip(leaves, expected, strict=True):
        torch.testing.assert_close(gradient[name], value, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(last, along[:, -1].detach())


def test_training_makes_it_better_than_it_began():
    learner = LearnedOptimiser(linear, squared_error, n_steps=10, n_unrolled=5, rate=0.05)
    test = quadratics(np.random.default_rng(99), n_tasks=100)
    before = losses_after(learner, start(learner), test, [10]).mean()
    trained = meta_train(learner, start(learner), quadratics, OuterSettings(20, rate=0.01))
    assert losses_after(learner, trained.params, test, [10]).mean() < before


def test_divergence_is_reported_and_impossible_options_are_refused(rng):
    task = one_of(quadratics(rng), 0)
    learner = LearnedOptimiser(linear, squared_error, rate=1e6)
    with pytest.raises(DivergenceError, match="smaller rate"):
        learner.adapt(start(learner), task.support, 3)
    with pytest.raises(ValueError, match="n_unrolled must be at least 1"):
        LearnedOptimiser(linear, squared_error, n_unrolled=0)
