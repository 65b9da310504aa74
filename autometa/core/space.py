"""Search spaces in Optuna's distributions, and points in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

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
        object.__setattr__(self, "parameters", MappingProxyType(dict(self.parameters)))

    @property
    def key(self) -> str:
        """Text that is equal for equal configurations, whatever the order of the parameters."""
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
        What each hyperparameter may be.
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
        for name, distribution in self.distributions.items():
            if not isinstance(distribution, BaseDistribution):
                raise TypeError(f"{name!r} must be an Optuna distribution, got {type(distribution).__name__}.")
        self.check(self.defaults)
        for child, (parent, values) in self.conditions.items():
            if child not in self.distributions:
                raise ValueError(f"The condition names {child!r}, which is not in the space {sorted(self.distributions)}.")
            if parent in self.conditions or not isinstance(self.distributions.get(parent), CategoricalDistribution):
                raise ValueError(f"{child!r} depends on {parent!r}, which must be a categorical parameter without a condition.")
            unknown = set(values) - set(self.distributions[parent].choices)  # type: ignore[attr-defined]
            if unknown or not values:
                raise ValueError(f"{child!r} depends on {parent!r} being one of {list(values)}, not among its choices.")

    def is_active(self, name: str, parameters: Mapping[str, Value]) -> bool:
        """Whether `name` exists, given the values of the other parameters."""
        if name not in self.conditions:
            return True
        parent, values = self.conditions[name]
        return parameters.get(parent) in values

    def check(self, parameters: Mapping[str, Value]) -> None:
        """Raise ValueError if `parameters` names something unknown or out of range."""
        for name, value in parameters.items():
            if name not in self.distributions:
                raise ValueError(f"{name!r} is not in the search space {sorted(self.distributions)}.")
            if not is_valid(self.distributions[name], value):
                raise ValueError(f"{name}={value!r} is outside {self.distributions[name]}.")

    def complete(self, parameters: Mapping[str, Value]) -> dict[str, Value]:
        """Return `parameters` with the defaults of what they leave out, in the order of the space."""
        merged = {**self.defaults, **parameters}
        return {name: merged[name] for name in self.distributions if name in merged and self.is_active(name, merged)}

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
    """Whether `distribution` can produce `value`; a bool is not a number."""
    if isinstance(distribution, CategoricalDistribution):
        return any(value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in distribution.choices)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    if isinstance(distribution, IntDistribution) and value != int(value):
        return False
    return bool(distribution._contains(distribution.to_internal_repr(value)))


def _suggest(trial: Trial, name: str, distribution: BaseDistribution) -> Value:
    match distribution:
        case FloatDistribution(low=low, high=high, log=log, step=step):
            return trial.suggest_float(name, low, high, log=log, step=step)
        case IntDistribution(low=low, high=high, log=log, step=step):
            return trial.suggest_int(name, low, high, log=log, step=step)
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)
    raise TypeError(f"{name!r}: unknown distribution {distribution!r}.")
