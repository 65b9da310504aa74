"""The outer loop: it learns, repeats itself, can be stopped and goes on, and says when it fails."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from autometa.exceptions import DivergenceError, MetaWeightsError
from autometa.maml import training
from autometa.maml.evaluation import losses_after
from autometa.maml.gradient import anil, first_order, maml, meta_sgd, pretraining
from autometa.maml.losses import squared_error
from autometa.maml.matching import MatchingNetwork
from autometa.maml.networks import mlp, mlp_features, mlp_params
from autometa.maml.protocol import FewShotTask
from autometa.maml.prototypes import ProtoMAML
from autometa.maml.reptile import Reptile
from autometa.maml.training import OuterSettings, meta_train
from tests.helpers.few_shot_tasks import one_of, sinusoids

LEARNERS = {
    "pretraining": pretraining(mlp, squared_error),
    "maml": maml(mlp, squared_error),
    "first order": first_order(mlp, squared_error),
    "anil": anil(mlp, squared_error, ("layer1",)),
    "meta-sgd": meta_sgd(mlp, squared_error),
    "reptile": Reptile(mlp, squared_error, rate=0.01, n_steps=2, batch_size=5),
    "proto-maml": ProtoMAML(mlp_features, 1, rate=0.01, n_steps=1),
    "matching": MatchingNetwork(lambda params, x: torch.tanh(x @ params["layer0.weight"] + params["layer0.bias"])),
}
MAML = LEARNERS["maml"]


def start(learner=MAML):
    params = mlp_params((1, 16, 1), seed=1)
    return learner.initial({name: value * 0.5 for name, value in params.items()})


@pytest.mark.parametrize("learner", LEARNERS.values(), ids=LEARNERS)
def test_training_lowers_the_loss_of_tasks_it_has_not_seen(learner):
    test = sinusoids(np.random.default_rng(99), n_tasks=200, n_query=20)
    before = losses_after(learner, start(learner), test, [1]).mean()
    trained = meta_train(learner, start(learner), sinusoids, OuterSettings(40, rate=0.01))
    assert losses_after(learner, trained.params, test, [1]).mean() < before
    assert trained.is_complete
    assert np.isfinite(trained.losses).all()


def same(one, other) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_the_same_seed_gives_the_same_parameters_and_another_gives_others():
    one, other, third = (meta_train(MAML, start(), sinusoids, OuterSettings(5), seed=s).params for s in (3, 3, 4))
    assert same(one, other)
    assert not same(one, third)


def stopping_after(n: int):
    """Return a source of tasks during whose n-th draw somebody presses Ctrl-C."""
    calls = []

    def draw(rng: np.random.Generator) -> FewShotTask:
        calls.append(None)
        if len(calls) > n:
            raise KeyboardInterrupt
        return sinusoids(rng)

    return draw


def test_an_interrupted_training_keeps_what_it_learnt_and_goes_on_as_if_nothing_had_been(tmp_path):
    settings, state = OuterSettings(8, last_rate=0.1), tmp_path / "folder" / "state.npz"
    stopped = meta_train(MAML, start(), stopping_after(3), settings, state=state)
    assert (len(stopped.losses), stopped.is_complete) == (3, False)
    assert not same(stopped.params, start())
    resumed = meta_train(MAML, start(), sinusoids, settings, state=state)
    straight = meta_train(MAML, start(), sinusoids, settings)
    assert same(resumed.params, straight.params)
    np.testing.assert_array_equal(resumed.losses, straight.losses)


def test_no_step_is_begun_once_the_seconds_are_over():
    assert len(meta_train(MAML, start(), sinusoids, OuterSettings(5), max_s=0.0).losses) == 0


def test_a_state_of_other_settings_other_parameters_or_no_state_is_refused(tmp_path):
    state = tmp_path / "state.npz"
    meta_train(MAML, start(), sinusoids, OuterSettings(2), state=state)
    with pytest.raises(MetaWeightsError, match="this one has"):
        meta_train(MAML, start(), sinusoids, OuterSettings(3), state=state)
    with pytest.raises(MetaWeightsError, match=f"rate={MAML.rate}.*this one has.*rate=0.5"):
        meta_train(replace(MAML, rate=0.5), start(), sinusoids, OuterSettings(2), state=state)
    with pytest.raises(MetaWeightsError, match="layer0.weight differ|differ"):
        meta_train(MAML, mlp_params((1, 3, 1)), sinusoids, OuterSettings(2), state=state)
    state.write_bytes(b"no archive")
    with pytest.raises(MetaWeightsError, match="does not hold"):
        meta_train(MAML, start(), sinusoids, OuterSettings(2), state=state)


def test_tasks_of_different_shapes_make_one_step_together():
    def mixed(rng):
        few, many = sinusoids(rng, n_tasks=2, n_support=3), sinusoids(rng, n_tasks=1, n_support=9)
        return [one_of(few, 0), one_of(many, 0), one_of(few, 1)]

    trained = meta_train(MAML, start(), mixed, OuterSettings(1))
    tasks = mixed(np.random.default_rng(training.child_seed(0, "outer step", 0)))
    each = [float(MAML.loss(MAML.inner(start(), task.support), task.query)) for task in tasks]
    assert trained.losses[0] == pytest.approx(np.mean(each), rel=1e-5)


def test_steps_that_diverge_are_skipped_and_counted():
    calls = []

    def sometimes_huge(rng):
        calls.append(None)
        tasks = sinusoids(rng)
        if len(calls) == 2:
            huge = tasks.support.with_parts((tasks.support.inputs * 1e30, tasks.support.targets))
            return FewShotTask(huge, tasks.query)
        return tasks

    trained = meta_train(MAML, start(), sometimes_huge, OuterSettings(4))
    assert np.isnan(trained.losses).tolist() == [False, True, False, False]
    assert all(bool(torch.isfinite(value).all()) for value in trained.params.values())


def test_a_training_whose_inner_loops_always_diverge_is_given_up():
    hopeless = maml(mlp, squared_error, rate=1e30, n_steps=3)
    with pytest.raises(DivergenceError, match="in 20 outer steps in a row"):
        meta_train(hopeless, start(), sinusoids, OuterSettings(100))


def test_adam_is_that_of_torch(rng):
    weights = torch.from_numpy(rng.normal(size=4))
    gradients = [torch.from_numpy(rng.normal(size=4)) for _ in range(5)]
    own = training._start({"w": weights}, "cpu")
    theirs = weights.clone().requires_grad_()
    adam = torch.optim.Adam([theirs], lr=0.1)
    for step, gradient in enumerate(gradients):
        own = training._updated(own, {"w": gradient}, 1.0, OuterSettings(5, rate=0.1), step)
        theirs.grad = gradient
        adam.step()
    torch.testing.assert_close(own.params["w"], theirs.detach(), rtol=1e-10, atol=1e-12)


def test_the_rate_falls_by_half_a_cosine():
    settings = OuterSettings(100, rate=2.0, last_rate=0.1)
    assert settings.rate_at(0) == pytest.approx(2.0)
    assert settings.rate_at(50) == pytest.approx(1.1)
    assert settings.rate_at(100) == pytest.approx(0.2)


def test_impossible_settings_are_refused():
    for settings in ({"n_steps": 0}, {"rate": 0.0}, {"last_rate": 2.0}, {"most_norm": -1.0}):
        with pytest.raises(ValueError, match="must be"):
            OuterSettings(**settings)
    with pytest.raises(ValueError, match="drew none"):
        meta_train(MAML, start(), lambda rng: [], OuterSettings(1))
