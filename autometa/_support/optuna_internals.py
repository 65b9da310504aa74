"""Reads what Optuna keeps private: ids, storages, cached trials, fixed parameters."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # nothing here imports a library
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial, TrialState


def storage_of(study: Study) -> BaseStorage:
    """Return the storage of a study."""
    return study._storage


def study_id(study: Study) -> int:
    """Return the id of a study in its storage; the public way, by its name, asks the database."""
    return study._study_id


@contextmanager
def stop_allowed(study: Study) -> Iterator[Callable[[], bool]]:
    """Allow ``study.stop()`` in a block as if it were inside `optimize`; yield what tells whether it was called.

    Optuna allows it inside `optimize` only, and knows that by two private attributes. A study of another class, or
    another `stop` on this one, would show in callbacks that compare or pickle the study.
    """
    local = study._thread_local
    before = local.in_optimize_loop
    local.in_optimize_loop = True
    study._stop_flag = False
    try:
        yield lambda: study._stop_flag
    finally:
        local.in_optimize_loop = before


def trial_id(trial: FrozenTrial | Trial) -> int:
    """Return the id of a trial, unique in its storage."""
    return trial._trial_id


def current_trials(study: Study, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
    """Return the trials as Optuna read them when the present trial began, which costs no query; not to be changed."""
    return study._get_trials(deepcopy=False, states=states, use_cache=True)


def forget_current_trials(study: Study) -> None:
    """Let the next `current_trials` of this thread read the storage again."""
    study._thread_local.cached_all_trials = None


def fixed_parameters(sampler: BaseSampler) -> dict[str, Any]:
    """Return the values that `PartialFixedSampler`s around a sampler give instead of it."""
    from optuna.samplers import PartialFixedSampler

    fixed: dict[str, Any] = {}
    while isinstance(sampler, PartialFixedSampler):
        fixed = {**sampler._fixed_params, **fixed}
        sampler = sampler._base_sampler
    return fixed


def enqueued_parameters(trial: FrozenTrial) -> dict[str, Any]:
    """Return the values that were enqueued for a trial."""
    return trial.system_attrs.get("fixed_params", {})


def contains(distribution: BaseDistribution, value: float) -> bool:
    """Whether a number lies in the range and on the steps of a float or int distribution."""
    return bool(distribution._contains(distribution.to_internal_repr(value)))
