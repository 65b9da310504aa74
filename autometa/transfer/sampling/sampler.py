"""MetaSampler: an Optuna sampler that starts from what past studies learnt."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import ref

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from autometa._support.numeric_threads import one_blas_thread
from autometa._support.optuna_internals import (
    current_trials,
    enqueued_parameters,
    fixed_parameters,
    forget_current_trials,
    storage_of,
    study_id,
)
from autometa._support.seeds import checked_seed, child_seed
from autometa.core.space import is_valid
from autometa.transfer.archive.sources import PastStudies, checked_archive
from autometa.transfer.sampling.experts import OwnKernel
from autometa.transfer.sampling.past_studies import Past, checked_names
from autometa.transfer.sampling.plans import announce, expected_params, forget, plan_of
from autometa.transfer.sampling.situation import Situation, situation_of
from autometa.transfer.sampling.study import finished_trials, own_space
from autometa.transfer.space.encoding import drawn_value

logger = logging.getLogger(__name__)

_HEDGE = 3  # while the past is useless, every third trial is suggested by Optuna's default sampler
_MOST_AWAITED = 16  # trials that have begun without a configuration yet, and whose configurations are predicted


class MetaSampler(BaseSampler):
    """Suggest configurations by past studies and by the study's own trials.

    Past studies are brought to one scale and into the study's space. They give a distribution of loss
    functions, which each trial of the study narrows down. Experts that ignore the past compete with it
    and take over when they predict the study better, as they do when the past misleads.

    Parameters
    ----------
    archive : StudyArchive
        Past studies. An empty archive means a cold start, which is logged once at INFO.
    names : mapping of str to str or None, default=None
        Past name → name in the study, for parameters that were renamed.
    seed : int or None, default=None
        Seed of all random draws. With a seed, one worker and the same archive, suggestions repeat.

    Notes
    -----
    Studies with several objectives are searched with Optuna's ``TPESampler``. Parameters that
    neither the archive nor an earlier trial of the study knows are drawn at random.

    Pruned trials rank behind complete ones, by the step and the value that they reached. Failed trials
    (exceptions, NaN) rank behind those. Failures that come by chance, wherever the search is, are left
    out; their configurations still count as tried.

    Running trials count as if they had given their expected scores. The parameters that they will ask
    for are kept in the storage, as a system attribute of the trial, so that ``n_jobs`` and several
    processes do not repeat each other.

    Suggestions are computed with one BLAS thread; meanwhile this limit holds for the whole process.

    The sampler learns from at most 64 studies when it is created, which takes about a tenth of a
    second; studies that share most parameters with the new one come first. It learns again when the
    archive has grown, or when the study has unexpected parameters, types, scales or conditions. Where
    only ranges and choices have changed, what was learnt is moved into the new space.

    Raises
    ------
    TypeError
        If `archive`, `names` or `seed` has another type.
    ValueError
        If `seed` is negative, or `names` gives two parameters of a past study the same name.

    Examples
    --------
    >>> import optuna
    >>> from autometa import MetaSampler, StudyArchive
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> def objective(trial):
    ...     return (trial.suggest_float("x", -1, 1) - 0.5) ** 2
    >>> old = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    >>> old.optimize(objective, n_trials=30)
    >>> archive = StudyArchive()
    >>> archive.add(old)
    >>> study = optuna.create_study(sampler=MetaSampler(archive, seed=0))
    >>> study.optimize(objective, n_trials=1)
    >>> study.best_value < 0.05
    True
    """

    def __init__(
        self, archive: PastStudies, *, names: Mapping[str, str] | None = None, seed: int | None = None
    ) -> None:
        self._archive = checked_archive(archive)
        self._names = checked_names(names, archive.sources)
        self._seed = secrets.randbits(31) if seed is None else checked_seed(seed)
        self._default = TPESampler(seed=child_seed(self._seed, "default"))
        self._past = Past()
        self._own_kernel = OwnKernel()
        self._lock = threading.Lock()
        self._is_cold_said = False
        # The space is not known yet; most often it is that of the past, and then the first suggestion need not learn.
        self._past.learn(archive.sources, {}, self._names, [])

    # Samplers are pickled for worker processes; a lock cannot be.
    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def reseed_rng(self) -> None:
        """Draw a new seed for studies with several objectives; other draws are seeded by the trial's number."""
        self._default.reseed_rng()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Log once that there is nothing to learn from."""
        if not self._archive.sources and not self._is_cold_said:
            self._is_cold_said = True
            logger.info("The archive has no studies: %s starts without a past.", study.study_name)
        if len(study.directions) > 1:
            self._default.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Forget the plan of a finished trial."""
        forget(study, trial)
        if len(study.directions) > 1:
            self._default.after_trial(study, trial, state, values)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters that trials of the study have had, each with its latest distribution."""
        if len(study.directions) > 1:
            return self._default.infer_relative_search_space(study, trial)
        return {name: d for name, d in own_space(study).items() if not d.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return values for all of a space."""
        if len(study.directions) > 1:
            return self._default.sample_relative(study, trial, search_space)
        if not search_space:
            return {}
        plan = self._plan(study, trial, search_space)
        # A parameter that is not expected to be active gets a value too, because the objective may ask for it.
        return {
            name: plan[name] if name in plan else self._drawn(trial, name, distribution)
            for name, distribution in search_space.items()
        }

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Return a value for a parameter that no trial of the study has had, or had in another range."""
        if len(study.directions) > 1:
            return self._default.sample_independent(study, trial, param_name, param_distribution)
        if param_name in self._past.parameters(self._archive.sources, self._names):
            space = {**own_space(study), **trial.distributions, param_name: param_distribution}
            plan = self._plan(study, trial, space)
            if param_name in plan and is_valid(param_distribution, plan[param_name]):
                return plan[param_name]
        return self._drawn(trial, param_name, param_distribution)

    def _drawn(self, trial: FrozenTrial, name: str, distribution: BaseDistribution) -> Any:
        # Seeded by number and name, so that samplers with one seed in several processes draw different values.
        return drawn_value(
            distribution, np.random.default_rng(child_seed(self._seed, "independent", trial.number, name))
        )

    def _plan(self, study: Study, trial: FrozenTrial, space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
        """Return the configuration for a trial: all of `space`, and the parameters that may come in addition."""
        known = plan_of(study, trial)
        if known is not None and all(
            name in known and is_valid(distribution, known[name]) for name, distribution in space.items()
        ):
            return known
        fixed = {**fixed_parameters(study.sampler), **enqueued_parameters(trial), **trial.params}
        space = {**{name: d for name, d in own_space(study).items() if name in fixed and not d.single()}, **space}
        # Samplers of other threads see a plan as soon as the next one is made.
        with self._lock, one_blas_thread():
            plan = self._proposed(study, trial, space, fixed)
            if plan != known:
                announce(study, trial, plan)
        return plan

    def _proposed(
        self, study: Study, trial: FrozenTrial, space: Mapping[str, BaseDistribution], fixed: Mapping[str, Any]
    ) -> dict[str, Any]:
        # Trials may have ended, and others have begun, while the lock was waited for.
        forget_current_trials(study)
        finished = finished_trials(study)
        study_key = (ref(storage_of(study)), study_id(study))
        learnt = self._past.learn(self._archive.sources, space, self._names, finished, study_key)
        now = situation_of(study, learnt, self._own_kernel)
        running = current_trials(study, states=(TrialState.RUNNING,))
        others = {t.number: expected_params(study, t, now.encoding.distributions) for t in running}
        others.pop(trial.number, None)
        now = now.with_running([params for params in others.values() if params])
        # Trials that began shortly before this one are about to choose: they will choose what this sampler would.
        choosing = sorted(number for number, params in others.items() if not params and number < trial.number)
        for number in choosing[:_MOST_AWAITED]:
            now = now.with_running([self._chosen(now, number, {})])
        if now.is_past_useless and now.n_tried % _HEDGE == 0 and finished:
            plan = {**self._suggested_by_default(study, trial, space), **fixed}
            if now.is_worth_trying(plan):
                return plan
        return self._chosen(now, trial.number, fixed)

    def _chosen(self, now: Situation, number: int, fixed: Mapping[str, Any]) -> dict[str, Any]:
        """Return the configuration for the trial of that number."""
        columns = now.columns(fixed)
        rng = np.random.default_rng(child_seed(self._seed, "plan", number, len(columns)))
        return now.encoding.configuration(now.next_point(rng, columns))

    def _suggested_by_default(
        self, study: Study, trial: FrozenTrial, space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the suggestion of Optuna's default sampler, which begins with random values."""
        default = TPESampler(seed=child_seed(self._seed, "default", trial.number))
        relative = default.infer_relative_search_space(study, trial)
        # TPE divides by zero where a range has more steps than floats can distinguish.
        with np.errstate(all="ignore"):
            found = default.sample_relative(study, trial, relative)
        return {
            name: found[name] if name in found and is_valid(d, found[name]) else self._drawn(trial, name, d)
            for name, d in space.items()
        }
