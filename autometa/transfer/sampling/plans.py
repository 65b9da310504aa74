"""Announces the configuration of a running trial to all samplers of a study before the trial has asked for it.

A trial gets its parameters one by one while the objective runs. Without its whole plan, samplers of other threads and
processes would suggest the same configuration.
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

from autometa._support.optuna_internals import enqueued_parameters, storage_of, trial_id

_KEY = "autometa:plan"
_LENGTH = 2045  # characters of a system attribute that every database can hold

# By storage, because trials of different storages may have the same ids.
_plans: WeakKeyDictionary[BaseStorage, dict[int, dict[str, Any]]] = WeakKeyDictionary()
_lock = threading.Lock()


def plan_of(study: Study, trial: FrozenTrial) -> dict[str, Any] | None:
    """Return the plan that this process has made for a trial, None if there is none."""
    with _lock:
        return _plans.get(storage_of(study), {}).get(trial_id(trial))


def announce(study: Study, trial: FrozenTrial, plan: dict[str, Any]) -> None:
    """Tell all samplers of a study, also those of other processes, what a trial will ask for."""
    storage = storage_of(study)
    with _lock:
        _plans.setdefault(storage, {})[trial_id(trial)] = plan
    # No other process sees a storage in memory.
    if isinstance(storage, InMemoryStorage):
        return
    text = json.dumps({name: _plain(value) for name, value in plan.items()})
    for number, start in enumerate(range(0, len(text), _LENGTH)):
        part = text[start : start + _LENGTH]
        storage.set_trial_system_attr(trial_id(trial), f"{_KEY}:{number}", part)


def forget(study: Study, trial: FrozenTrial) -> None:
    """Drop the plan of a trial that has ended."""
    with _lock:
        _plans.get(storage_of(study), {}).pop(trial_id(trial), None)


def expected_params(study: Study, trial: FrozenTrial, distributions: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """Return the parameters that a running trial has or will have; empty if none are known."""
    planned = plan_of(study, trial)
    if planned is None:
        planned = {name: _restored(value, distributions.get(name)) for name, value in _announced(trial).items()}
    return {**planned, **enqueued_parameters(trial), **trial.params}


def _announced(trial: FrozenTrial) -> dict[str, Any]:
    parts: list[str] = []
    while (part := trial.system_attrs.get(f"{_KEY}:{len(parts)}")) is not None:
        parts.append(part)
    try:
        # The end of an earlier, longer plan may follow.
        return json.JSONDecoder().raw_decode("".join(parts))[0] if parts else {}
    except json.JSONDecodeError:
        # Another process is still writing it.
        return {}


def _plain(value: Any) -> Any:
    # JSON turns tuples into lists, and has no other objects.
    return value if value is None or isinstance(value, (bool, int, float, str)) else {"text": str(value)}


def _restored(value: Any, distribution: BaseDistribution | None) -> Any:
    if not isinstance(value, dict):
        return value
    choices = getattr(distribution, "choices", ())
    return next((choice for choice in choices if str(choice) == value["text"]), None)
