"""What holds for every search space, whatever it is made of."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from autometa.core.space import Configuration, SearchSpace, is_valid

NAMES = st.text("abcdefgh_", min_size=1, max_size=4)
TEXTS = st.text(max_size=4)


@st.composite
def floats(draw: st.DrawFn) -> FloatDistribution:
    log = draw(st.booleans())
    low = draw(st.floats(1e-6, 10) if log else st.floats(-100, 100))
    if not log and draw(st.booleans()):
        step = draw(st.sampled_from([0.1, 0.25, 0.3, 1.0]))
        low = round(low, 1)
        return FloatDistribution(low, round(low + step * draw(st.integers(0, 9)), 4), step=step)
    return FloatDistribution(
        low, low * (1 + draw(st.floats(0, 100))) if log else low + draw(st.floats(0, 100)), log=log
    )


@st.composite
def integers(draw: st.DrawFn) -> IntDistribution:
    log = draw(st.booleans())
    low = draw(st.integers(1 if log else -50, 50))
    step = 1 if log else draw(st.integers(1, 5))
    return IntDistribution(low, low + step * draw(st.integers(0, 50)), log=log, step=step)


# True and 1 cannot both be choices: Optuna finds a choice by ==.
CHOICES = st.lists(st.none() | st.booleans() | st.integers(2, 9) | TEXTS, min_size=1, max_size=5, unique=True)


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    """Return a space with conditions, and defaults for some of its parameters."""
    distributions: dict[str, BaseDistribution] = draw(
        st.dictionaries(NAMES, st.one_of(floats(), integers(), CHOICES.map(CategoricalDistribution)), max_size=6)
    )
    categorical = [name for name, part in distributions.items() if isinstance(part, CategoricalDistribution)]
    parents = categorical[: draw(st.integers(0, len(categorical)))]
    conditions: dict[str, Any] = {}
    for name in distributions:
        if parents and name not in parents and draw(st.booleans()):
            parent = draw(st.sampled_from(parents))
            values = draw(st.lists(st.sampled_from(distributions[parent].choices), min_size=1))
            conditions[name] = (parent, tuple(values))
    sampled = sample(distributions, draw(st.integers(0, 2**31 - 1)))
    defaults = {name: value for name, value in sampled.items() if draw(st.booleans())}
    return SearchSpace(distributions, conditions, defaults)


def sample(distributions: dict[str, BaseDistribution], seed: int) -> dict[str, Any]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return study.ask(dict(distributions)).params


def ask(space: SearchSpace, seed: int, prefix: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a space suggests, and the parameters as the study has them."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    trial = study.ask()
    return space.suggest(trial, prefix), trial.params


@pytest.fixture(autouse=True, scope="module")
def quiet_optuna():
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(level)


@given(spaces(), st.integers(0, 2**31 - 1))
def test_suggested_parameters_are_valid_and_their_conditions_hold(space: SearchSpace, seed: int):
    suggested, in_study = ask(space, seed, prefix="strategy.")
    space.check(suggested)
    assert set(suggested) == {name for name in space.distributions if space.is_active(name, suggested)}
    assert in_study == {f"strategy.{name}": value for name, value in suggested.items()}


@given(spaces(), st.integers(0, 2**31 - 1))
def test_completing_is_idempotent_and_keeps_what_is_given(space: SearchSpace, seed: int):
    suggested, _ = ask(space, seed)
    assert space.complete(suggested) == suggested
    partial = dict(list(suggested.items())[::2])
    completed = space.complete(partial)
    space.check(completed)
    assert space.complete(completed) == completed
    assert list(completed) == [name for name in space.distributions if name in completed]
    assert all(space.is_active(name, completed) for name in completed)
    assert all(completed[name] == partial[name] for name in partial if name in completed)


@given(spaces())
def test_spaces_survive_pickling(space: SearchSpace):
    assert pickle.loads(pickle.dumps(space)) == space


VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS
PARAMETERS = st.dictionaries(NAMES, VALUES)


@given(PARAMETERS, st.randoms())
def test_order_of_parameters_does_not_matter(parameters: dict[str, Any], random: Any):
    items = list(parameters.items())
    random.shuffle(items)
    one, other = Configuration("s", parameters), Configuration("s", dict(items))
    assert one == other and hash(one) == hash(other) and one.key == other.key
    assert one != Configuration("t", parameters)


@given(PARAMETERS)
def test_configurations_survive_pickling_and_copying(parameters: dict[str, Any]):
    configuration = Configuration("s", parameters)
    for copied in (pickle.loads(pickle.dumps(configuration)), copy.deepcopy(configuration)):
        assert copied == configuration
        assert dict(copied.parameters) == parameters


@given(PARAMETERS, NAMES, VALUES, VALUES)
def test_configurations_are_equal_only_if_their_parameters_are(rest: dict[str, Any], name: str, one: Any, other: Any):
    assume(one != other)
    assert Configuration("s", {**rest, name: one}) != Configuration("s", {**rest, name: other})
    assert Configuration("s", {**rest, name: one}) != Configuration(
        "s", {key: rest[key] for key in rest if key != name}
    )


def test_configuration_does_not_change_with_the_mapping_it_was_made_of():
    parameters = {"alpha": 1.0}
    configuration = Configuration("s", parameters)
    parameters["alpha"] = 2.0
    assert configuration.parameters["alpha"] == 1.0
    with pytest.raises(TypeError):
        configuration.parameters["alpha"] = 3.0


def test_numpy_values_are_the_plain_values():
    numpy_values = {"a": np.float64(0.5), "b": np.int64(3), "c": np.bool_(True), "d": np.str_("x")}
    plain = {"a": 0.5, "b": 3, "c": True, "d": "x"}
    assert Configuration("s", numpy_values) == Configuration("s", plain)
    assert [type(value) for value in Configuration("s", numpy_values).parameters.values()] == [float, int, bool, str]


def test_values_take_the_type_of_their_distribution():
    space = SearchSpace(
        {"x": FloatDistribution(0, 5), "n": IntDistribution(0, 5), "c": CategoricalDistribution([1, "a"])}
    )
    completed = space.complete({"x": 1, "n": 2.0, "c": np.float64(1.0)})
    assert [(type(value), value) for value in completed.values()] == [(float, 1.0), (int, 2), (int, 1)]


@pytest.mark.parametrize(
    ("distribution", "value", "valid"),
    [
        (FloatDistribution(0, 1), 1, True),
        (FloatDistribution(0, 1), np.float32(0.5), True),
        (FloatDistribution(0, 1), np.int64(1), True),
        (FloatDistribution(0, 1), True, False),
        (FloatDistribution(0, 1), np.bool_(True), False),
        (FloatDistribution(0, 1), math.nan, False),
        (FloatDistribution(0, 1), "0.5", False),
        (FloatDistribution(0, 1), None, False),
        (FloatDistribution(0.1, 1, log=True), 0.0, False),
        (FloatDistribution(0.1, 1, log=True), -1, False),
        (FloatDistribution(0, 1, step=0.1), 0.30000000000000004, True),
        (FloatDistribution(0, 1, step=0.1), 0.35, False),
        (IntDistribution(1, 9), 3.0, True),
        (IntDistribution(1, 9), 3.5, False),
        (IntDistribution(1, 9), math.nan, False),
        (IntDistribution(1, 9), math.inf, False),
        (IntDistribution(1, 9), 10**400, False),
        (IntDistribution(1, 9, step=2), 4, False),
        (IntDistribution(1, 9, step=2), np.int8(5), True),
        (CategoricalDistribution([None, "a"]), None, True),
        (CategoricalDistribution([None, "a"]), np.str_("a"), True),
        (CategoricalDistribution([1, "a"]), True, False),
        (CategoricalDistribution([False, "a"]), 0, False),
        (CategoricalDistribution([False, "a"]), np.bool_(False), True),
        (CategoricalDistribution([0.5, "a"]), np.array([0.5, 0.5]), False),
        (CategoricalDistribution([math.nan, 1.0]), math.nan, True),
    ],
    ids=str,
)
def test_only_values_that_a_distribution_can_produce_are_valid(distribution: BaseDistribution, value: Any, valid: bool):
    assert is_valid(distribution, value) is valid


def test_condition_on_false_does_not_hold_for_zero():
    space = SearchSpace(
        {"on": CategoricalDistribution([False, True]), "x": FloatDistribution(0, 1)}, {"x": ("on", (False,))}
    )
    assert space.is_active("x", {"on": False})
    assert not space.is_active("x", {"on": True})
    assert not space.is_active("x", {})


def test_condition_on_none_does_not_hold_where_the_parent_is_missing():
    space = SearchSpace(
        {"kind": CategoricalDistribution([None, "a"]), "x": FloatDistribution(0, 1)}, {"x": ("kind", (None,))}
    )
    assert space.complete({"x": 0.5}) == {}
    assert space.complete({"x": 0.5, "kind": None}) == {"kind": None, "x": 0.5}


KERNEL = CategoricalDistribution(["rbf", "linear"])
GAMMA = FloatDistribution(0, 1)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (({"gamma": GAMMA}, {}, {"gama": 1}), "not in the search space"),
        (({"gamma": GAMMA}, {}, {"gamma": 2}), "outside"),
        (({"gamma": GAMMA}, {"gama": ("kernel", ("rbf",))}), "not in the space"),
        (({"gamma": GAMMA}, {"gamma": ("kernel", ("rbf",))}), "must be a categorical parameter"),
        (({"gamma": GAMMA, "x": GAMMA}, {"gamma": ("x", (0.5,))}), "must be a categorical parameter"),
        (({"gamma": GAMMA, "kernel": KERNEL}, {"gamma": ("kernel", ("poly",))}), "one or more of its choices"),
        (({"gamma": GAMMA, "kernel": KERNEL}, {"gamma": ("kernel", ())}), "one or more of its choices"),
        (({"gamma": GAMMA, "kernel": KERNEL}, {"gamma": ("kernel", "rbf")}), "one or more of its choices"),
        (({"a": KERNEL, "b": KERNEL}, {"a": ("b", ("rbf",)), "b": ("a", ("rbf",))}), "without a condition"),
        (({"flag": CategoricalDistribution([1, True])},), "cannot tell apart"),
    ],
)
def test_impossible_spaces_are_refused(arguments: tuple[Any, ...], match: str):
    with pytest.raises(ValueError, match=match):
        SearchSpace(*arguments)


def test_something_else_than_a_distribution_is_refused():
    with pytest.raises(TypeError, match="Optuna distribution"):
        SearchSpace({"gamma": (0, 1)})
