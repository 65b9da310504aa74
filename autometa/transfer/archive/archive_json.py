"""Writes values, choices and distributions of past studies as JSON and reads them back with their types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

_TYPES = {cls.__name__: cls for cls in (CategoricalDistribution, FloatDistribution, IntDistribution)}


def values_json(values: Mapping[str, Any]) -> str:
    """Return the JSON of named values; raises TypeError or ValueError if one has none."""
    return json.dumps({name: _packed(value) for name, value in values.items()})


def values_of(text: str) -> dict[str, Any]:
    """Return the values that `values_json` wrote."""
    return {name: _unpacked(value) for name, value in json.loads(text).items()}


def distributions_json(distributions: Mapping[str, BaseDistribution]) -> str:
    """Return the JSON of named distributions; raises as `values_json` does."""
    return json.dumps({name: [type(d).__name__, _packed(d._asdict())] for name, d in distributions.items()})


def distributions_of(text: str) -> dict[str, BaseDistribution]:
    """Return the distributions that `distributions_json` wrote."""
    return {name: _TYPES[kind](**_unpacked(settings)) for name, (kind, settings) in json.loads(text).items()}


# JSON has neither tuples nor keys other than text: an object stands for them.
def _packed(value: Any) -> Any:
    match value:
        case tuple():
            return {"tuple": [_packed(item) for item in value]}
        case list():
            return [_packed(item) for item in value]
        case dict():
            return {"dict": [[_packed(key), _packed(item)] for key, item in value.items()]}
        case np.generic():
            return value.item()
    return value


def _unpacked(value: Any) -> Any:
    match value:
        case {"tuple": items}:
            return tuple(_unpacked(item) for item in items)
        case {"dict": items}:
            return {_unpacked(key): _unpacked(item) for key, item in items}
        case list():
            return [_unpacked(item) for item in value]
    return value
