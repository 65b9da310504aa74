"""Configurations that running trials will ask for, known to all samplers of a study before the trials have them.

A trial gets its parameters one by one while the objective runs. Samplers of other threads and
processes need to know all of them at once, or they suggest the same.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.study import Study
from optuna.trial import FrozenTrial

_KEY = "autometa:plan"
_LENGTH = 2045  # characters; a system attribute may not be longer in some databases

# By storage: trials of different storages have the same ids.
_plans: WeakKeyDictionary[BaseStorage, dict[int, dict[str, Any]]] = WeakKeyDictionary()
_lock = threading.Lock()


def plan_of(study: Study, trial: FrozenTrial) -> dict[str, Any] | None:
    """Return what this process has planned for a trial, None if nothing."""
    with _lock:
        return _plans.get(study._storage, {}).get(trial._trial_id)


def announce(study: Study, trial: FrozenTrial, plan: dict[str, Any]) -> None:
    """Let all samplers of a study know what a trial will ask for, those of other processes too."""
    with _lock:
        _plans.setdefault(study._storage, {})[trial._trial_id] = plan
    # No other process sees a storage in memory.
    if isinstance(study._storage, InMemoryStorage):
        return
    text = json.dumps({name: _plain(value) for name, value in plan.items()})
    for number, start in enumerate(range(0, len(text), _LENGTH)):
        part = text[start : start + _LENGTH]
        study._storage.set_trial_system_attr(trial._trial_id, f"{_KEY}:{number}", part)


def forget(study: Study, trial: FrozenTrial) -> None:
    """Drop the plan of a trial that has ended."""
    with _lock:
        _plans.get(study._storage, {}).pop(trial._trial_id, None)


def expected_params(study: Study, trial: FrozenTrial, distributions: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """Return the parameters that a running trial has or will have; empty if nothing is known of them."""
    planned = plan_of(study, trial)
    if planned is None:
        planned = {name: _restored(value, distributions.get(name)) for name, value in _announced(trial).items()}
    return {**planned, **trial.system_attrs.get("fixed_params", {}), **trial.params}


def _announced(trial: FrozenTrial) -> dict[str, Any]:
    parts: list[str] = []
    while (part := trial.system_attrs.get(f"{_KEY}:{len(parts)}")) is not None:
        parts.append(part)
    try:
        # The end of an earlier, longer plan of the trial may follow.
        return json.JSONDecoder().raw_decode("".join(parts))[0] if parts else {}
    except json.JSONDecodeError:
        # Another process has written a part of it so far.
        return {}


def _plain(value: Any) -> Any:
    # JSON turns a tuple into a list, and knows no other objects.
    return value if value is None or isinstance(value, (bool, int, float, str)) else {"text": str(value)}


def _restored(value: Any, distribution: BaseDistribution | None) -> Any:
    if not isinstance(value, dict):
        return value
    choices = getattr(distribution, "choices", ())
    return next((choice for choice in choices if str(choice) == value["text"]), None)
