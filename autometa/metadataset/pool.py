"""Make the pool of configurations that are measured on every task.

For each strategy it holds its default, published defaults, its portfolio, and a low-discrepancy
sample of its space. The pool can be stopped anywhere: all defaults come first, then the strategies
in proportion to their sizes, slower ones later.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.stats import qmc

from autometa._support.seeds import child_seed
from autometa._support.warning_filters import ignored_warnings
from autometa.core.space import Configuration, SearchSpace, Value
from autometa.core.strategy import Strategy

Origin = Literal["default", "published", "portfolio", "sample"]

POOL_SIZES: dict[str, int] = {
    "lightgbm": 32,
    "catboost": 14,
    "xgboost": 20,
    "hist_gradient_boosting": 8,
    "random_forest": 8,
    "extra_trees": 10,
    "neural_network": 16,
    "mlp_maml": 7,
    "kernel_svm": 26,
    "nearest_neighbours": 18,
    "logistic_regression": 18,
    "discriminant_analysis": 12,
    "ridge": 10,
    "elastic_net": 12,
    "gaussian_process": 5,
}
"""Number of configurations of strategies that ship; strategies whose hyperparameters matter more have more."""

SIZE_OF_OTHERS = 24
"""Number of configurations of a strategy without a number of its own."""

_MOST_ROUNDS = 8
"""Points drawn per wanted configuration, as samples of small discrete spaces repeat themselves."""


@dataclass(frozen=True)
class PoolEntry:
    """One configuration of the pool.

    Parameters
    ----------
    configuration : Configuration
        Configuration to measure.
    position : int
        Its index within its strategy; 0 is the default.
    origin : {"default", "published", "portfolio", "sample"}
        Origin of the configuration.
    """

    configuration: Configuration
    position: int
    origin: Origin


def make_pool(strategies: Sequence[Strategy], sizes: Mapping[str, int] | None = None) -> tuple[PoolEntry, ...]:
    """Return the pool of some strategies, the same on every machine.

    Parameters
    ----------
    strategies : sequence of Strategy
        Strategies of the pool.
    sizes : mapping of str to int, optional
        Number of configurations of each strategy; by default those of `POOL_SIZES`, else `SIZE_OF_OTHERS`.

    Returns
    -------
    tuple of PoolEntry
        Entries in the order of measuring. A strategy with a smaller space contributes all its
        configurations.

    Examples
    --------
    >>> space = SearchSpace({"k": IntDistribution(1, 50)}, defaults={"k": 5})
    >>> pool = make_pool([Strategy("knn", "nearest_neighbours", space)], {"knn": 3})
    >>> [entry.origin for entry in pool], pool[0].configuration.parameters["k"]
    (['default', 'sample', 'sample'], 5)
    """
    wanted = {**POOL_SIZES, **(sizes or {})}
    pools = {s.name: _of_strategy(s, wanted.get(s.name, SIZE_OF_OTHERS)) for s in strategies}
    entries = [entry for pool in pools.values() for entry in pool]
    costs = {strategy.name: strategy.cost for strategy in strategies}

    def turn(entry: PoolEntry) -> tuple[float, str]:
        name = entry.configuration.strategy
        return _turn(entry, len(pools[name]), costs[name])

    return tuple(sorted(entries, key=turn))


def configuration_id(configuration: Configuration) -> str:
    """Return a short name made of the strategy and a digest of the parameters."""
    return f"{configuration.strategy}-{hashlib.blake2b(configuration.key.encode(), digest_size=5).hexdigest()}"


def _of_strategy(strategy: Strategy, size: int) -> list[PoolEntry]:
    default = Configuration(strategy.name, strategy.space.complete({}))
    origins: dict[Configuration, Origin] = {default: "default"}
    for configuration in strategy.published:
        origins.setdefault(configuration, "published")
    for configuration in strategy.portfolio:
        origins.setdefault(configuration, "portfolio")
    points = _sample(strategy.space, size * _MOST_ROUNDS, child_seed(0, "pool", strategy.name))
    for point in points if strategy.space.distributions else ():
        if len(origins) >= size:
            break
        origins.setdefault(Configuration(strategy.name, strategy.space.complete(point)), "sample")
    return [PoolEntry(c, position, origin) for position, (c, origin) in enumerate(list(origins.items())[:size])]


def _turn(entry: PoolEntry, size: int, cost: float) -> tuple[float, str]:
    # Slower strategies come later, by the root of their cost.
    share = 0.0 if entry.position == 0 else entry.position / size * math.sqrt(max(cost, 1.0))
    return share, entry.configuration.strategy


def _sample(space: SearchSpace, n: int, seed: int) -> list[dict[str, Value]]:
    """Return the first `n` points of a scrambled Sobol sequence (Owen 1998) in a space."""
    names = list(space.distributions)
    if not names or n <= 0:
        return []
    # SciPy warns that only powers of two are balanced, which a pool does not need.
    with ignored_warnings(UserWarning):
        unit = qmc.Sobol(len(names), scramble=True, rng=np.random.default_rng(seed)).random(n)
    points = [{name: _value(space.distributions[name], u) for name, u in zip(names, row, strict=True)} for row in unit]
    return [{name: value for name, value in point.items() if space.is_active(name, point)} for point in points]


def _value(distribution: BaseDistribution, u: float) -> Value:
    """Return the value of a distribution at quantile `u` in [0, 1)."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return choices[min(int(u * len(choices)), len(choices) - 1)]
        case IntDistribution(low=low, high=high, log=True):
            # As in Optuna, each whole number stands for the interval of half a step to both sides.
            value = math.exp(math.log(low - 0.5) + u * (math.log(high + 0.5) - math.log(low - 0.5)))
            return min(max(round(value), low), high)
        case IntDistribution(low=low, high=high, step=step):
            return low + step * min(int(u * ((high - low) // step + 1)), (high - low) // step)
        case FloatDistribution(low=low, high=high, log=True):
            return _rounded(math.exp(math.log(low) + u * (math.log(high) - math.log(low))), low, high)
        case FloatDistribution(low=low, high=high, step=None):
            return _rounded(low + u * (high - low), low, high)
        case FloatDistribution(low=low, high=high, step=step):
            assert step is not None
            n_steps = math.floor((high - low) / step + 1e-9)
            return float(low + step * min(int(u * (n_steps + 1)), n_steps))
    raise TypeError(f"unknown distribution {distribution!r}")


def _rounded(value: float, low: float, high: float) -> float:
    """Return a float rounded to four significant digits, which keeps records short."""
    return min(max(float(f"{value:.4g}"), low), high)
