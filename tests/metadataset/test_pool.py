"""The pool: which configurations are measured, and in which order."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from autometa.catalogue import load_strategies
from autometa.core.space import Configuration, SearchSpace, is_valid
from autometa.core.strategy import Strategy
from autometa.metadataset.pool import POOL_SIZES, SIZE_OF_OTHERS, PoolEntry, configuration_id, make_pool

ORIGINS = ("default", "published", "portfolio", "sample")
DISTRIBUTIONS: dict[str, BaseDistribution] = {
    "choice": CategoricalDistribution(("a", "b", "c")),
    "whole": IntDistribution(1, 9, step=2),
    "whole_log": IntDistribution(1, 1000, log=True),
    "real": FloatDistribution(-1.0, 1.0),
    "real_log": FloatDistribution(1e-6, 1e3, log=True),
    "real_step": FloatDistribution(0.0, 1.0, step=0.1),
}


def knn(name: str = "knn", **arguments: object) -> Strategy:
    space = SearchSpace({"k": IntDistribution(1, 1000)}, defaults={"k": 5})
    return Strategy(name, "nearest_neighbours", space, **arguments)  # type: ignore[arg-type]


def of_strategy(pool: tuple[PoolEntry, ...], name: str) -> list[PoolEntry]:
    return [entry for entry in pool if entry.configuration.strategy == name]


@pytest.fixture(scope="module")
def shipped() -> tuple[Strategy, ...]:
    return tuple(load_strategies())


@pytest.fixture(scope="module")
def pool(shipped: tuple[Strategy, ...]) -> tuple[PoolEntry, ...]:
    return make_pool(shipped)


def test_the_shipped_pool_is_large_and_holds_nothing_twice(pool: tuple[PoolEntry, ...]) -> None:
    names = {entry.configuration.strategy for entry in pool}
    wanted = dict.fromkeys(names, SIZE_OF_OTHERS) | POOL_SIZES
    assert Counter(entry.configuration.strategy for entry in pool) == wanted
    assert len(pool) >= 200
    assert len({entry.configuration.strategy for entry in pool}) >= 12
    assert len({configuration_id(entry.configuration) for entry in pool}) == len(pool)


def test_every_configuration_is_complete_and_in_its_space(
    shipped: tuple[Strategy, ...], pool: tuple[PoolEntry, ...]
) -> None:
    spaces = {strategy.name: strategy.space for strategy in shipped}
    for entry in pool:
        space, parameters = spaces[entry.configuration.strategy], entry.configuration.parameters
        space.check(parameters)
        assert space.complete(parameters) == dict(parameters)


def test_all_defaults_come_first(shipped: tuple[Strategy, ...], pool: tuple[PoolEntry, ...]) -> None:
    defaults = pool[: len(shipped)]
    assert {entry.configuration for entry in defaults} == {
        Configuration(strategy.name, strategy.space.complete({})) for strategy in shipped
    }
    assert {(entry.position, entry.origin) for entry in defaults} == {(0, "default")}


def test_a_strategy_gives_default_published_portfolio_and_sample_in_this_order(pool: tuple[PoolEntry, ...]) -> None:
    for name in {entry.configuration.strategy for entry in pool}:
        entries = of_strategy(pool, name)
        assert [entry.position for entry in entries] == list(range(len(entries)))
        order = [ORIGINS.index(entry.origin) for entry in entries]
        assert order == sorted(order)


def test_what_strategy_files_name_is_in_the_pool(shipped: tuple[Strategy, ...], pool: tuple[PoolEntry, ...]) -> None:
    held = {entry.configuration for entry in pool}
    for strategy in shipped:
        assert {*strategy.published, *strategy.portfolio} <= held
    assert {entry.origin for entry in pool} == set(ORIGINS)


def test_any_beginning_has_fast_strategies_in_proportion_and_slower_ones_less(
    shipped: tuple[Strategy, ...], pool: tuple[PoolEntry, ...]
) -> None:
    sizes = Counter(entry.configuration.strategy for entry in pool)
    pace = {strategy.name: 1 / math.sqrt(max(strategy.cost, 1.0)) for strategy in shipped}
    for n in range(len(sizes), len(pool) + 1, 20):
        counts = Counter(entry.configuration.strategy for entry in pool[:n])
        fast = [name for name in sizes if pace[name] == 1]
        turn = sum(counts[name] for name in fast) / sum(sizes[name] for name in fast)
        # One configuration more or less, and the defaults, which come before their turn.
        for name, size in sizes.items():
            if turn < 1:
                assert abs(counts[name] / size - turn * pace[name]) <= 1.5 / size + 0.05


@pytest.mark.parametrize("size", [1, 2, 5, 17])
def test_a_longer_pool_begins_with_the_shorter(shipped: tuple[Strategy, ...], size: int) -> None:
    short, long = (make_pool(shipped, dict.fromkeys(names(shipped), n)) for n in (size, 60))
    for name in names(shipped):
        assert of_strategy(short, name) == of_strategy(long, name)[:size]


def names(strategies: tuple[Strategy, ...]) -> list[str]:
    return [strategy.name for strategy in strategies]


def test_other_strategies_in_the_pool_change_nothing(
    shipped: tuple[Strategy, ...], pool: tuple[PoolEntry, ...]
) -> None:
    for strategy in shipped[:3]:
        assert list(make_pool([strategy])) == of_strategy(pool, strategy.name)


def test_a_configuration_that_is_named_twice_is_measured_once() -> None:
    strategy = knn(published=({"k": 5}, {"k": 7}), portfolio=({"k": 7}, {"k": 9}, {"k": 5}))
    pool = make_pool([strategy], {"knn": 4})
    assert [(entry.configuration.parameters["k"], entry.origin) for entry in pool[:3]] == [
        (5, "default"),
        (7, "published"),
        (9, "portfolio"),
    ]
    assert pool[3].origin == "sample"


def test_a_strategy_that_the_sizes_do_not_name_has_24_configurations() -> None:
    assert len(make_pool([knn("mine")])) == 24


def test_a_small_space_gives_all_that_it_has() -> None:
    distributions = {"weights": CategoricalDistribution(("uniform", "distance")), "k": IntDistribution(1, 3)}
    space = SearchSpace(distributions, defaults={"weights": "uniform", "k": 2})
    pool = make_pool([Strategy("knn", "nearest_neighbours", space)], {"knn": 50})
    assert {tuple(entry.configuration.parameters.values()) for entry in pool} == {
        (weights, k) for weights in ("uniform", "distance") for k in (1, 2, 3)
    }


def test_a_strategy_without_hyperparameters_has_one_configuration() -> None:
    (entry,) = make_pool([Strategy("ridge", "ridge", SearchSpace())])
    assert (entry.position, entry.origin, dict(entry.configuration.parameters)) == (0, "default", {})


def test_inactive_hyperparameters_are_left_out(shipped: tuple[Strategy, ...], pool: tuple[PoolEntry, ...]) -> None:
    for strategy in shipped:
        for entry in of_strategy(pool, strategy.name):
            given = dict(entry.configuration.parameters)
            for name in strategy.space.distributions:
                assert (name in given) == strategy.space.is_active(name, given)


def test_the_sample_is_valid_and_spreads_over_the_space() -> None:
    pool = make_pool([Strategy("own", "ridge", SearchSpace(DISTRIBUTIONS))], {"own": 129})
    sample = [entry.configuration.parameters for entry in pool if entry.origin == "sample"]
    for name, distribution in DISTRIBUTIONS.items():
        values = [parameters[name] for parameters in sample]
        assert all(is_valid(distribution, value) for value in values)
        match distribution:
            case CategoricalDistribution(choices=choices):
                assert min(Counter(values)[choice] for choice in choices) >= 0.8 * len(values) / len(choices)
            case IntDistribution(low=low, high=high, log=False):
                assert set(values) == set(range(low, high + 1, 2))
            case _:
                # A low-discrepancy sample has close to half of its points on either side of the middle.
                log = getattr(distribution, "log", False)
                low, high = distribution.low, distribution.high  # type: ignore[attr-defined]
                middle = (low * high) ** 0.5 if log else (low + high) / 2
                assert 0.4 <= sum(value < middle for value in values) / len(values) <= 0.6  # type: ignore[operator]


def test_the_same_configuration_has_the_same_name_everywhere() -> None:
    """Names are in files: the next version must find what this one has measured."""
    assert configuration_id(Configuration("knn", {"k": 5, "p": 1})) == configuration_id(
        Configuration("knn", {"p": 1, "k": 5})
    )
    assert configuration_id(Configuration("ridge", {"alpha": 1.0})) == "ridge-8cc97c015f"


@given(st.lists(st.tuples(st.sampled_from(["ridge", "knn"]), st.integers(0, 50)), min_size=2, max_size=2, unique=True))
def test_other_configurations_have_other_names(pair: list[tuple[str, int]]) -> None:
    first, second = (configuration_id(Configuration(name, {"k": k})) for name, k in pair)
    assert first != second
