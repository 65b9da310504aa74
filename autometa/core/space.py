"""Search spaces in Optuna's distributions, and points in them."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

from autometa._support.optuna_internals import contains

Value = None | bool | int | float | str


@dataclass(frozen=True)
class Configuration:
    """One full assignment of a strategy's hyperparameters.

    Parameters
    ----------
    strategy : str
        Name of the strategy.
    parameters : mapping of str to None, bool, int, float or str
        Hyperparameters; those left out keep the learner's default.
    """

    strategy: str
    parameters: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # NumPy scalars become plain values, because they would change the text of the key.
        plain = {name: _plain(value) for name, value in self.parameters.items()}
        object.__setattr__(self, "parameters", MappingProxyType(plain))

    @cached_property
    def key(self) -> str:
        """Text that is equal for equal configurations; the order of the parameters does not matter."""
        return f"{self.strategy} {json.dumps(dict(self.parameters), sort_keys=True, default=str)}"

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Configuration) and self.key == other.key

    def __reduce__(self) -> tuple[Any, ...]:
        # A mapping proxy cannot be pickled, and configurations travel to worker processes.
        return Configuration, (self.strategy, dict(self.parameters))


@dataclass(frozen=True)
class SearchSpace:
    """Names and distributions of a strategy's hyperparameters.

    Parameters
    ----------
    distributions : mapping of str to optuna.distributions.BaseDistribution
        Distribution of each hyperparameter.
    conditions : mapping of str to (str, tuple)
        ``{"gamma": ("kernel", ("rbf", "poly"))}``: `gamma` exists only where `kernel`
        is one of the values. The parent must be categorical and unconditional itself.
    defaults : mapping of str to None, bool, int, float or str
        Values that complete a partial assignment.
    """

    distributions: Mapping[str, BaseDistribution] = field(default_factory=dict)
    conditions: Mapping[str, tuple[str, tuple[Value, ...]]] = field(default_factory=dict)
    defaults: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Copies, so that a space cannot change under the strategy that was checked with it.
        for part in ("distributions", "conditions", "defaults"):
            object.__setattr__(self, part, dict(getattr(self, part)))
        for name, distribution in self.distributions.items():
            if not isinstance(distribution, BaseDistribution):
                raise TypeError(f"{name!r} must be an Optuna distribution, got {type(distribution).__name__}.")
            _check_choices_differ(name, distribution)
        self.check(self.defaults)
        for child, (parent, values) in self.conditions.items():
            if child not in self.distributions:
                raise ValueError(
                    f"The condition names {child!r}, which is not in the space {sorted(self.distributions)}."
                )
            deciding = self.distributions.get(parent)
            if parent in self.conditions or not isinstance(deciding, CategoricalDistribution):
                raise ValueError(
                    f"{child!r} depends on {parent!r}, which must be a categorical parameter without a condition."
                )
            if isinstance(values, str) or not values or not all(is_valid(deciding, value) for value in values):
                raise ValueError(
                    f"{child!r} depends on {parent!r} being one of {values!r}; "
                    f"expected one or more of its choices {list(deciding.choices)}."
                )

    def is_active(self, name: str, parameters: Mapping[str, Value]) -> bool:
        """Whether `name` exists, given the values of the other parameters."""
        if name not in self.conditions:
            return True
        parent, values = self.conditions[name]
        return parent in parameters and any(_same(parameters[parent], value) for value in values)

    def check(self, parameters: Mapping[str, Value]) -> None:
        """Raise ValueError if `parameters` names something unknown or out of range."""
        for name, value in parameters.items():
            if name not in self.distributions:
                raise ValueError(f"{name!r} is not in the search space {sorted(self.distributions)}.")
            if not is_valid(self.distributions[name], value):
                raise ValueError(f"{name}={value!r} is outside {self.distributions[name]}.")

    def complete(self, parameters: Mapping[str, Value]) -> dict[str, Value]:
        """Return `parameters` completed with the defaults, in the order of the space.

        Parameters whose condition does not hold are dropped. Values get the type of their
        distribution (1 becomes 1.0 where a float is searched), so that equal configurations
        have equal keys.
        """
        merged = {**self.defaults, **parameters}
        return {
            name: _canonical(distribution, merged[name])
            for name, distribution in self.distributions.items()
            if name in merged and self.is_active(name, merged)
        }

    def suggest(self, trial: Trial, prefix: str = "") -> dict[str, Value]:
        """Return the parameters that `trial` suggests; each is called ``prefix + name`` in the study."""
        # Parents come first, so that a condition can be decided when its child is reached.
        ordered = sorted(self.distributions, key=lambda name: name in self.conditions)
        chosen: dict[str, Value] = {}
        for name in ordered:
            if self.is_active(name, chosen):
                chosen[name] = _suggest(trial, prefix + name, self.distributions[name])
        return {name: chosen[name] for name in self.distributions if name in chosen}


def is_valid(distribution: BaseDistribution, value: Any) -> bool:
    """Whether `distribution` can produce `value`; a bool is not a number, a whole float is an integer."""
    value = _plain(value)
    if isinstance(distribution, CategoricalDistribution):
        return any(_same(value, choice) for choice in distribution.choices)
    # Optuna raises on NaN, and its own test casts whatever it is given.
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < sys.float_info.max:
        return False
    if isinstance(distribution, IntDistribution) and value != int(value):
        return False
    if getattr(distribution, "log", False) and value <= 0:
        return False
    return contains(distribution, value)


def _canonical(distribution: BaseDistribution, value: Any) -> Any:
    """Return `value` in the type of `distribution`; values that it cannot produce are not changed."""
    value = _plain(value)
    if isinstance(distribution, CategoricalDistribution):
        return next((choice for choice in distribution.choices if _same(value, choice)), value)
    if not is_valid(distribution, value):
        return value
    return int(value) if isinstance(distribution, IntDistribution) else float(value)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _same(value: Any, choice: Any) -> bool:
    """Whether two values of a categorical parameter are the same; True is not 1, NaN is NaN."""
    value, choice = _plain(value), _plain(choice)
    if isinstance(value, bool) != isinstance(choice, bool):
        return False
    if isinstance(value, float) and isinstance(choice, float) and math.isnan(value) and math.isnan(choice):
        return True
    try:
        return bool(value == choice)
    except (TypeError, ValueError):  # arrays and the like, from the parameters of an estimator
        return False


def _check_choices_differ(name: str, distribution: BaseDistribution) -> None:
    if isinstance(distribution, CategoricalDistribution):
        choices = distribution.choices
        for i, choice in enumerate(choices):
            # Optuna finds a choice by ==, so it would take True for 1 and 1.0 for 1.
            if choice in choices[:i]:
                raise ValueError(f"{name!r} has choices that Optuna cannot tell apart: {choice!r} in {list(choices)}.")


def _suggest(trial: Trial, name: str, distribution: BaseDistribution) -> Value:
    match distribution:
        case FloatDistribution(low=low, high=high, log=log, step=step):
            return trial.suggest_float(name, low, high, log=log, step=step)
        case IntDistribution(low=low, high=high, log=log, step=step):
            return trial.suggest_int(name, low, high, log=log, step=step)
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)
    raise TypeError(f"{name!r}: unknown distribution {distribution!r}.")
