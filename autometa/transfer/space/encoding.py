"""Encodes configurations of a search space as points, and points as the inputs of a kernel.

Notation
--------
points : ndarray of shape (n, n_parameters)
    A row per configuration, a column per parameter in the order of the space, each element a position: for a number
    where it lies in its range (0 is the low end, 1 the high end; logarithmic for a log distribution), for a choice its
    index, NaN for an inactive parameter.
inputs : ndarray of shape (n, n_columns)
    The input of a kernel: a column per number, a column per choice, and for each conditional parameter a column that
    tells whether it is active.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

CHOICE = math.sqrt(0.5)
"""Value of the column of the chosen choice: two choices are as far from each other as the ends of a range."""
_NEUTRAL = 0.5  # input of an inactive number: the middle of its range


@dataclass(frozen=True)
class Condition:
    """When a parameter is active: its parent is active, and its point lies in an interval or a set.

    Parameters
    ----------
    parent : int
        Index of the parent's column.
    low, high : float
        Inclusive bounds of the parent's position.
    values : frozenset of float or None
        Indices of the parent's choices; None for a parent that is a number.
    """

    parent: int
    low: float = -math.inf
    high: float = math.inf
    values: frozenset[float] | None = None

    def holds(self, points: np.ndarray) -> np.ndarray:
        """Return for each point whether the parameter is active, shape (n,)."""
        position = points[:, self.parent]
        if self.values is not None:
            return (position[:, None] == np.array(sorted(self.values))).any(axis=1)
        return (position >= self.low) & (position <= self.high)  # false for NaN


@dataclass(frozen=True)
class Encoding:
    """A search space with the encoding of its configurations.

    Parameters
    ----------
    distributions : mapping of str to optuna.distributions.BaseDistribution
        The parameters.
    conditions : mapping of int to Condition
        Conditions by column; parameters without one are always active.
    """

    distributions: Mapping[str, BaseDistribution]
    conditions: Mapping[int, Condition]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters in the order of the columns."""
        return tuple(self.distributions)

    @cached_property
    def n_choices(self) -> np.ndarray:
        """Number of choices of each parameter, 0 for numbers."""
        return np.array([len(getattr(d, "choices", ())) for d in self.distributions.values()], dtype=int)

    @cached_property
    def groups(self) -> np.ndarray:
        """Index of the parameter that each column of the inputs belongs to, shape (n_columns,)."""
        found = []
        for column, count in enumerate(self.n_choices):
            found += [column] * (max(int(count), 1) + (column in self.conditions))
        return np.array(found, dtype=int)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Columns that have a condition, parents first."""
        done: list[int] = []
        waiting = list(self.conditions)
        while waiting:
            ready = [column for column in waiting if self.conditions[column].parent not in waiting]
            done += ready
            waiting = [column for column in waiting if column not in ready]
        return tuple(done)

    def points(self, configurations: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Return the points of configurations; NaN also for a value that is not a choice or not a number."""
        found = np.full((len(configurations), len(self.names)), np.nan)
        for column, (name, distribution) in enumerate(self.distributions.items()):
            rows = [row for row, configuration in enumerate(configurations) if name in configuration]
            values = [configurations[row][name] for row in rows]
            if isinstance(distribution, CategoricalDistribution):
                found[rows, column] = list(map(position_function(distribution), values))
            else:
                found[rows, column] = positions_of(distribution, _numbers(values))
        return found

    def configuration(self, point: np.ndarray) -> dict[str, Any]:
        """Return the configuration of a point that is on the grid; inactive parameters are left out."""
        return {
            name: value_at(distribution, float(position))
            for (name, distribution), position in zip(self.distributions.items(), point, strict=True)
            if not math.isnan(position)
        }

    def on_grid(self, points: np.ndarray) -> np.ndarray:
        """Return points that the space can produce: clipped, rounded to steps, NaN for inactive parameters."""
        found = points.copy()
        for column, distribution in enumerate(self.distributions.values()):
            values = np.where(
                np.isnan(found[:, column]), _NEUTRAL * max(self.n_choices[column] - 1, 1), points[:, column]
            )
            found[:, column] = _snapped(distribution, values)
        for column in self.order:
            found[~self.conditions[column].holds(found), column] = np.nan
        return found

    def drawn(self, unit: np.ndarray) -> np.ndarray:
        """Return a position for each parameter, active or not, from rows of the unit cube."""
        found = unit.copy()
        for column in np.flatnonzero(self.n_choices):
            count = self.n_choices[column]
            found[:, column] = np.minimum(np.floor(unit[:, column] * count), count - 1)
        return found

    def uniform(self, unit: np.ndarray) -> np.ndarray:
        """Return the points on the grid of rows of the unit cube, shape (n, n_parameters)."""
        return self.on_grid(self.drawn(unit))

    def inputs(self, points: np.ndarray) -> np.ndarray:
        """Return the inputs of a kernel, shape (n, n_columns)."""
        parts = []
        for column, count in enumerate(self.n_choices):
            position = points[:, column]
            is_active = ~np.isnan(position)
            if count:
                parts += [np.where(position == choice, CHOICE, 0.0) for choice in range(count)]
            else:
                parts.append(np.where(is_active, position, _NEUTRAL))
            if column in self.conditions:
                parts.append(np.where(is_active, 1.0, 0.0))
        return np.column_stack(parts) if parts else np.zeros((len(points), 0))


def learnt_conditions(distributions: Mapping[str, BaseDistribution], points: np.ndarray) -> dict[int, Condition]:
    """Return the conditions of a space, learnt from past configurations.

    A define-by-run objective does not declare its conditions. A parent is a parameter whose value separates the
    configurations that have the child from those that do not: a set of choices, or an interval of numbers open at one
    end (``n_layers`` and ``units_3``). The first such parent of the space is taken. A child without one counts as
    always active.
    """
    has = ~np.isnan(points)
    partly = [column for column in range(points.shape[1]) if 0 < has[:, column].sum() < len(points)]
    found: dict[int, Condition] = {}
    for child in partly:
        for parent, distribution in enumerate(distributions.values()):
            if parent == child or _leads_to(found, parent, child):
                continue
            condition = _separating(parent, points[:, parent], has[:, child], distribution)
            if condition is not None:
                found[child] = condition
                break
    return found


def _leads_to(conditions: Mapping[int, Condition], column: int, target: int) -> bool:
    """Whether a column already depends on `target`."""
    while column in conditions:
        column = conditions[column].parent
        if column == target:
            return True
    return False


def _separating(
    parent: int, positions: np.ndarray, has: np.ndarray, distribution: BaseDistribution
) -> Condition | None:
    with_child, without = positions[has], positions[~has]
    if np.isnan(with_child).any():
        return None  # the child occurs without the parent
    without = without[~np.isnan(without)]
    if isinstance(distribution, CategoricalDistribution):
        active = frozenset(np.unique(with_child).tolist())
        return None if np.isin(without, list(active)).any() or not len(without) else Condition(parent, values=active)
    if not len(without):
        return None
    if with_child.min() > without.max():
        return Condition(parent, low=(with_child.min() + without.max()) / 2)
    if with_child.max() < without.min():
        return Condition(parent, high=(with_child.max() + without.min()) / 2)
    return None


def _numbers(values: Sequence[Any]) -> np.ndarray:
    try:
        return np.array(values, dtype=float)
    except (TypeError, ValueError, OverflowError):
        # Any object may have been enqueued for a trial.
        return np.array([value if isinstance(value, (int, float)) else math.nan for value in values], dtype=float)


def halves_of(distribution: FloatDistribution | IntDistribution) -> tuple[float, float]:
    """Return half of the value at position 0 and half of the width, as logarithms for a log distribution.

    The width of the widest range is not a float. Each step owns half a step on both sides, so that the ends are as
    likely as the rest.
    """
    half = 0.5 * (distribution.step or 0) if not distribution.log else 0.0
    if isinstance(distribution, IntDistribution) and distribution.log:
        half = 0.5
    low, high = distribution.low - half, distribution.high + half
    if distribution.log:
        low, high = math.log(low), math.log(high)
    return low / 2, high / 2 - low / 2


def positions_of(distribution: BaseDistribution, values: np.ndarray) -> np.ndarray:
    """Return the positions of numbers in the range of a float or int distribution, NaN where there is none."""
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, width = halves_of(distribution)
    if distribution.log:
        values = np.log(np.where(values > 0, values, np.nan))
    return (values / 2 - low) / (width or 1.0)


def position_function(distribution: BaseDistribution) -> Callable[[Any], float]:
    """Return the function from a value to its position, NaN where there is none."""
    if isinstance(distribution, CategoricalDistribution):
        choices = distribution.choices

        def index(value: Any) -> float:
            try:
                return float(distribution.to_internal_repr(value))
            except ValueError:
                return math.nan

        return index if choices else (lambda value: math.nan)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    return lambda value: float(positions_of(distribution, np.array(float(value))))


def value_at(distribution: BaseDistribution, position: float) -> Any:
    """Return the value of a distribution at a position, clipped to its range and rounded to its steps."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(min(max(round(position), 0), len(distribution.choices) - 1))]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    if not 0.0 <= position <= 1.0:
        return distribution.low if position < 0.0 else distribution.high
    low, width = halves_of(distribution)
    value = 2 * (low + position * width)
    value = math.exp(value) if distribution.log else value
    if distribution.step is not None and not distribution.log:
        n_steps = round((value / 2 - distribution.low / 2) / (distribution.step / 2))
        value = 2 * (distribution.low / 2 + n_steps * (distribution.step / 2))
    value = min(max(value, distribution.low), distribution.high)
    return round(value) if isinstance(distribution, IntDistribution) else float(value)


def _snapped(distribution: BaseDistribution, positions: np.ndarray) -> np.ndarray:
    """Return the positions of the values at `positions`: `value_at` and back, for an array."""
    if isinstance(distribution, CategoricalDistribution):
        return np.clip(np.round(positions), 0, len(distribution.choices) - 1)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, width = halves_of(distribution)
    if isinstance(distribution, FloatDistribution) and (distribution.step is None or distribution.log):
        return np.clip(positions, 0.0, 1.0) if width > 0 else np.zeros_like(positions)
    width = width or 1.0
    values = 2 * (low + np.clip(positions, 0.0, 1.0) * width)
    values = np.exp(values) if distribution.log else values
    step = float(distribution.step or 1)
    n_steps = np.round((values / 2 - distribution.low / 2) / (step / 2))
    values = np.clip(2 * (distribution.low / 2 + n_steps * (step / 2)), distribution.low, distribution.high)
    return ((np.log(values) if distribution.log else values) / 2 - low) / width


def drawn_value(distribution: BaseDistribution, rng: np.random.Generator) -> Any:
    """Return a random value of a distribution."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(rng.integers(len(distribution.choices)))]
    return value_at(distribution, float(rng.random()))
