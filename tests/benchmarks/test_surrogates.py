"""Spaces and inputs of surrogates; the networks themselves are not needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from autometa.core.space import SearchSpace, Value
from benchmarks.surrogates import Layout, Surrogate, encode, from_unit, read_space, to_unit

LAYOUT = Layout("task", ("kind",), ("rate", "depth", "rows"), fidelity={"rows": 1.0}, output=0)
TEXT: dict[str, Any] = {
    "hyperparameters": [
        {"name": "task", "type": "categorical", "choices": ["7", "9"]},
        {"name": "rows", "type": "uniform_float", "log": False, "lower": 0.1, "upper": 1.0},
        {"name": "depth", "type": "uniform_int", "log": True, "lower": 1, "upper": 64},
        {"name": "kind", "type": "categorical", "choices": ["linear", "tree", "forest"]},
        {"name": "rate", "type": "uniform_float", "log": True, "lower": 1e-4, "upper": 1.0},
    ],
    "conditions": [
        {"child": "depth", "parent": "kind", "type": "IN", "values": ["tree", "forest"]},
        {"child": "rate", "parent": "kind", "type": "EQ", "value": "linear"},
    ],
}
ENCODING = {"task": {"#na#": 0, "9": 1, "7": 2}, "kind": {"#na#": 0, "forest": 1, "linear": 2, "tree": 3}}


@pytest.fixture
def space() -> SearchSpace:
    return read_space(TEXT, LAYOUT)[0]


@pytest.fixture
def surrogate(space: SearchSpace) -> Surrogate:
    def predict(task: str, configurations: Any) -> np.ndarray:
        return encode(task, configurations, LAYOUT, ENCODING)[1].sum(axis=1)

    return Surrogate("stand-in", space, ("7", "9"), predict)


def test_neither_task_nor_fidelity_is_searched() -> None:
    space, tasks = read_space(TEXT, LAYOUT)
    assert tasks == ("7", "9")
    assert space.distributions == {
        "depth": IntDistribution(1, 64, log=True),
        "kind": CategoricalDistribution(("linear", "tree", "forest")),
        "rate": FloatDistribution(1e-4, 1.0, log=True),
    }
    assert space.conditions == {"depth": ("kind", ("tree", "forest")), "rate": ("kind", ("linear",))}


def test_inputs_are_in_the_order_of_the_model_and_inactive_numbers_are_zero() -> None:
    configurations: list[dict[str, Value]] = [{"kind": "tree", "depth": 5}, {"kind": "linear", "rate": 0.5}]
    categories, numbers = encode("9", configurations, LAYOUT, ENCODING)
    assert categories.dtype == np.int32 and numbers.dtype == np.float32
    assert categories.tolist() == [[1, 3], [1, 2]]
    assert numbers.tolist() == [[0, 5, 1], [0.5, 0, 1]]


def test_what_is_drawn_is_in_the_space_and_has_only_active_parameters(surrogate: Surrogate, seed: int) -> None:
    drawn = surrogate.draw(300, np.random.default_rng(seed))
    kinds = {found["kind"] for found in drawn}
    assert kinds == {"linear", "tree", "forest"}
    for found in drawn:
        surrogate.space.check(found)
        assert set(found) == {"kind", "rate" if found["kind"] == "linear" else "depth"}


def test_random_draws_are_distributed_as_those_of_optuna(surrogate: Surrogate, seed: int) -> None:
    drawn = surrogate.draw(1000, np.random.default_rng(seed))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    asked = [surrogate.space.suggest(study.ask()) for _ in range(1000)]
    for name in surrogate.space.distributions:
        ours, theirs = (
            np.sort(
                [to_unit(surrogate.space, found)[list(surrogate.space.distributions).index(name)] for found in part]
            )
            for part in (drawn, asked)
        )
        # Kolmogorov–Smirnov at about one in a million for 1,000 draws each.
        grid = np.linspace(0, 1, 101)
        distance = np.abs(np.searchsorted(ours, grid) - np.searchsorted(theirs, grid)).max() / 1000
        assert distance < 0.12


def test_a_configuration_comes_back_from_the_unit_cube(surrogate: Surrogate, seed: int) -> None:
    for found in surrogate.draw(100, np.random.default_rng(seed)):
        back = from_unit(surrogate.space, to_unit(surrogate.space, found))
        assert back == pytest.approx(found)


def test_the_ends_of_the_unit_cube_are_in_the_space(space: SearchSpace) -> None:
    for corner in (np.zeros(3), np.ones(3)):
        space.check(from_unit(space, corner))


def test_the_objective_asks_for_active_parameters_only(surrogate: Surrogate, seed: int) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    study.optimize(surrogate.objective("9"), n_trials=30)
    for trial in study.trials:
        assert set(trial.params) == {"kind", "rate" if trial.params["kind"] == "linear" else "depth"}
        assert trial.value == surrogate.predict("9", [trial.params])[0]
