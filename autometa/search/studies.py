"""The Optuna study of a search: opened or created, and checked that it suits the task."""

# Tests: tests/search/test_engine.py
# Tests: tests/search/test_resume.py

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

from autometa._support.warning_filters import ignored_warnings
from autometa.core.space import Configuration
from autometa.core.strategy import Strategy
from autometa.search.pruner import EnsemblePruner

STRATEGY = "strategy"
"""Name of the parameter that holds the strategy."""

_TASK_ATTRIBUTE = "autometa:task"


def open_study(
    study: Study | None,
    storage: str | BaseStorage | None,
    study_name: str | None,
    *,
    seed: int,
    strategies: Sequence[Strategy],
    task: dict[str, Any],
) -> Study:
    """Return the study to search in: the given one, the stored one of that name, or a new one.

    Parameters
    ----------
    study : optuna.Study or None
        Study of the caller.
    storage : str, BaseStorage or None
        Storage of a new or an old study; a URL is opened with heartbeats, so that trials of a
        killed process are noticed.
    study_name : str or None
        Name of the study in the storage.
    seed : int
        Seed of a new study's sampler.
    strategies : sequence of Strategy
        Every strategy of the study's space.
    task : dict
        Plain values that must be equal in every run of the study; older studies may lack some.

    Raises
    ------
    ValueError
        If the study belongs to another task or space, maximises, or has several objectives.
    """
    if study is None:
        study = _create(storage, study_name, seed, str(task.get("metric", "")))
    elif storage is not None or study_name is not None:
        raise ValueError("Give either study, or storage and study_name: a study has its storage already.")
    elif not isinstance(study, Study):
        raise TypeError(f"study must be an optuna.Study, got {type(study).__name__}.")
    if len(study.directions) != 1 or study.direction != StudyDirection.MINIMIZE:
        raise ValueError(
            f"autometa minimises one loss, but study {study.study_name!r} has directions "
            f"{[d.name.lower() for d in study.directions]}. Create it with direction='minimize'."
        )
    stored = study.user_attrs.get(_TASK_ATTRIBUTE, {})
    changed = [key for key, value in task.items() if stored.get(key, value) != value]
    if changed:
        listed = "; ".join(
            "other names of columns" if key == "columns" else f"{key}: {stored[key]!r} then, {task[key]!r} now"
            for key in changed
        )
        raise ValueError(
            f"Study {study.study_name!r} belongs to another task ({listed}), whose configurations need not suit this "
            "one. Use another study_name, or the same target, metric and columns as before; the rows may be others."
        )
    _check_space(study, strategies)
    if stored != task:
        study.set_user_attr(_TASK_ATTRIBUTE, task)
    with ignored_warnings(optuna.exceptions.ExperimentalWarning):
        optuna.storages.fail_stale_trials(study)
    return study


def configuration_of(trial: FrozenTrial, strategies: Mapping[str, Strategy]) -> Configuration | None:
    """Return the configuration of a trial, None if it belongs to none of the strategies."""
    strategy = strategies.get(trial.params.get(STRATEGY, ""))
    if strategy is None:
        return None
    prefix = f"{strategy.name}."
    own = {name[len(prefix) :]: value for name, value in trial.params.items() if name.startswith(prefix)}
    return Configuration(strategy.name, strategy.space.complete(own))


def _create(storage: str | BaseStorage | None, study_name: str | None, seed: int, metric: str) -> Study:
    if isinstance(storage, str):
        # Several fits may write to one SQLite file: wait for its lock instead of failing.
        arguments = {"connect_args": {"timeout": 60}} if storage.startswith("sqlite") else {}
        try:
            with ignored_warnings(optuna.exceptions.ExperimentalWarning):
                storage = RDBStorage(storage, engine_kwargs=arguments, heartbeat_interval=20, grace_period=60)
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"The storage {storage!r} could not be opened ({type(error).__name__}: {reason}). "
                "Expected a database URL such as 'sqlite:///study.db' that can be written to."
            ) from error
    # group=True models each strategy's parameters jointly; Optuna marks it experimental.
    with ignored_warnings(optuna.exceptions.ExperimentalWarning):
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=8, multivariate=True, group=True)
    return optuna.create_study(
        storage=storage,
        study_name=study_name,
        sampler=sampler,
        pruner=EnsemblePruner(metric),
        direction="minimize",
        load_if_exists=study_name is not None,
    )


def _check_space(study: Study, strategies: Sequence[Strategy]) -> None:
    """Refuse a study with trials from another space, before Optuna fails in mid-search."""
    names = tuple(sorted(strategy.name for strategy in strategies))
    spaces = {f"{s.name}.{name}": d for s in strategies for name, d in s.space.distributions.items()}
    spaces[STRATEGY] = CategoricalDistribution(names)
    for trial in study.get_trials(deepcopy=False):
        for name, distribution in trial.distributions.items():
            if name in spaces:
                try:
                    optuna.distributions.check_distribution_compatibility(distribution, spaces[name])
                except ValueError as error:
                    raise ValueError(
                        f"Study {study.study_name!r} was searched with other choices for {name!r}: {distribution} "
                        f"then, {spaces[name]} now. Use another study_name, or the same strategies as before."
                    ) from error
