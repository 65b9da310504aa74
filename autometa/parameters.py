"""The parameters of an estimator as settings of a fit, checked before any work starts."""

# Tests: tests/test_estimators.py

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from autometa._support.machine import jobs_at_a_time
from autometa._support.numbers import is_number, is_whole_number
from autometa.continued_fit import conditions_of, kept_by
from autometa.core.budget import Budget, Deadline
from autometa.core.strategy import Strategy
from autometa.fit_inputs import TIME, FitInputs
from autometa.fitting import Settings
from autometa.policy.registry import checked_policy

DEFAULT_TIME_BUDGET_S = 60.0


def read_settings(model: Any, start_s: float) -> Settings:
    """Return the settings of a fit.

    Parameters
    ----------
    model : AutoMeta
        Estimator with its parameters as they were set.
    start_s : float
        Moment on the monotonic clock at which the budget starts.

    Raises
    ------
    ValueError, TypeError, NotADirectoryError
        If a parameter is not usable; the message names it, its value, and what was expected.
    """
    time_budget = model.time_budget
    if time_budget is None:
        time_budget = DEFAULT_TIME_BUDGET_S if model.n_trials is None else math.inf
    budget = Budget(time_budget, None if model.n_trials is None else _whole("n_trials", model.n_trials))
    if model.memory_limit is not None and not (is_number(model.memory_limit) and model.memory_limit > 0):
        raise ValueError(f"memory_limit must be a positive number of GiB or None, got {model.memory_limit!r}.")
    if model.progress is not None and not isinstance(model.progress, (bool, np.bool_)):
        raise TypeError(f"progress must be True, False or None, got {model.progress!r}.")
    callbacks = list(model.callbacks or ())
    for callback in callbacks:
        if not callable(callback):
            raise TypeError(f"callbacks must be callable as callback(study, trial), got {callback!r}.")
    ensemble_size = _whole("ensemble_size", model.ensemble_size)
    if ensemble_size < 1:
        raise ValueError(f"ensemble_size must be at least 1, got {ensemble_size}.")
    for name in ("calibrate", "tune_threshold", "warm_start"):
        if not isinstance(getattr(model, name, True), (bool, np.bool_)):
            raise TypeError(f"{name} must be True or False, got {getattr(model, name)!r}.")
    if model.time_column is not None and not (isinstance(model.cv, str) and model.cv == TIME):
        raise ValueError(f"time_column={model.time_column!r} orders the rows for cv='time'; got cv={model.cv!r}.")
    temperature = getattr(model, "policy_temperature", 1.0)
    if not (is_number(temperature) and 0 < temperature < math.inf):
        raise ValueError(f"policy_temperature must be a positive number, got {temperature!r}.")
    if model.n_jobs == 0:
        raise ValueError("n_jobs must not be 0: give a number of processes, or -1 for one per core.")
    return Settings(
        budget=budget,
        deadline=Deadline(start_s + budget.time_s),
        n_jobs=jobs_at_a_time(model.n_jobs),
        ensemble_size=ensemble_size,
        memory_bytes=None if model.memory_limit is None else int(model.memory_limit * 2**30),
        cv=_checked_cv(model.cv),
        study=model.study,
        storage=model.storage,
        study_name=model.study_name,
        callbacks=callbacks,
        progress=None if model.progress is None else bool(model.progress),
        seed=int(check_random_state(model.random_state).randint(np.iinfo(np.int32).max)),
        policy=checked_policy(model.policy),
        policy_temperature=float(temperature),
        calibrate=bool(getattr(model, "calibrate", True)),
        tune_threshold=bool(getattr(model, "tune_threshold", True)),
        experience=None if model.experience is None else checked_folder("experience", model.experience),
    )


def with_warm_start(model: Any, settings: Settings, inputs: FitInputs, strategies: Sequence[Strategy]) -> Settings:
    """Return the settings of a fit that may go on from the last one; the same settings unless `warm_start` is set.

    Raises
    ------
    ValueError
        If the trials of the last fit cannot be compared with new ones.
    """
    if not getattr(model, "warm_start", False):
        return settings
    conditions = conditions_of(model, inputs, strategies)
    kept = kept_by(model, conditions)
    if kept is None:
        return replace(settings, conditions=conditions)
    kept = replace(kept, search=replace(kept.search, total_s=model.history_.total_s))
    return replace(settings, conditions=conditions, warm_start=kept, seed=kept.seed)


def _checked_cv(cv: Any) -> Any:
    """Return the number of folds as an int; ``"time"``, a splitter or an iterable of folds unchanged."""
    if is_whole_number(cv):
        if cv < 2:
            raise ValueError(f"cv must be at least 2 folds, a splitter or None, got {cv}.")
        return int(cv)
    if isinstance(cv, str) and cv == TIME:
        return cv
    if isinstance(cv, type):
        raise TypeError(f"cv must be a splitter, not its class: pass {cv.__name__}().")
    if cv is not None and (isinstance(cv, (bool, str, float)) or not (hasattr(cv, "split") or hasattr(cv, "__iter__"))):
        raise TypeError(
            f"cv must be a whole number, 'time', a scikit-learn splitter, (train, validation) rows or None, got {cv!r}."
        )
    return cv


def checked_folder(name: str, given: str | Path) -> Path:
    """Return the path of a folder, which need not exist yet; refuse what cannot be one."""
    if not isinstance(given, (str, Path)):
        raise TypeError(f"{name} must be the path of a folder or None, got {given!r}.")
    if Path(given).exists() and not Path(given).is_dir():
        raise NotADirectoryError(f"{name} must be the path of a folder, and {given} is a file.")
    return Path(given)


def _whole(name: str, value: Any) -> int:
    if not is_whole_number(value):
        raise TypeError(f"{name} must be a whole number, got {value!r}.")
    return int(value)
