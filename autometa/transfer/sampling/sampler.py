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
from optuna.samplers import BaseSampler, PartialFixedSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from autometa._support.numeric_threads import one_blas_thread
from autometa._support.seeds import checked_seed, child_seed
from autometa.core.space import is_valid
from autometa.transfer.archive.archive import StudyArchive
from autometa.transfer.sampling.experts import OwnKernel
from autometa.transfer.sampling.past_studies import Past, checked_archive, checked_names
from autometa.transfer.sampling.plans import announce, expected_params, forget, plan_of
from autometa.transfer.sampling.situation import Situation, finished_trials, own_space, situation_of
from autometa.transfer.space.encoding import drawn_value

logger = logging.getLogger(__name__)

_HEDGE = 3  # once the past is given up, every third trial is what Optuna's default suggests
_MOST_AWAITED = 16  # trials that have begun and not chosen yet, whose choices are foretold


class MetaSampler(BaseSampler):
    """Suggest configurations from what past studies learnt, and from the study's own trials.

    Past studies are put on one scale and into the study's space, and give a distribution of loss
    functions; with each trial of the study it narrows down. Experts that ignore the past compete
    with it and take over when they predict the study better, as they do when the past misleads.

    Parameters
    ----------
    archive : StudyArchive
        Past studies. An empty archive means a cold start, which is said once at INFO.
    names : mapping of str to str or None, default=None
        Past name → name in the study, for parameters that were renamed.
    seed : int or None, default=None
        Seed of all draws. With a seed, one worker and the same archive the suggestions repeat.

    Notes
    -----
    Studies with several objectives are searched with Optuna's ``TPESampler``. Parameters that
    neither the archive nor an earlier trial of the study knows are drawn at random.

    Pruned trials rank behind complete ones, by the step and the value that they reached, and failed
    trials (exceptions, NaN) behind those. Failures that come by chance, whatever is tried, are left
    out; their configurations count as tried all the same.

    Running trials count as if they had given what is expected of them, with all parameters that they
    will ask for: these are kept in the storage, as a system attribute of the trial, so that
    ``n_jobs`` and several processes do not repeat each other.

    Suggestions are computed with one BLAS thread, which is the limit of the whole process meanwhile.

    The archive is learnt from when the sampler is made: some tenth of a second for at most 64 studies,
    those that share most parameters with the new one. It is learnt from again when it has grown, or
    when the study has parameters, types, scales or conditions that the past did not make expect. Where
    only ranges and choices have changed, what was learnt is moved into the new space.

    Raises
    ------
    TypeError
        If `archive`, `names` or `seed` is something else.
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
        self, archive: StudyArchive, *, names: Mapping[str, str] | None = None, seed: int | None = None
    ) -> None:
        self._archive = checked_archive(archive)
        self._names = checked_names(names, archive.sources)
        self._seed = secrets.randbits(31) if seed is None else checked_seed(seed)
        self._default = TPESampler(seed=child_seed(self._seed, "default"))
        self._past = Past()
        self._own_kernel = OwnKernel()
        self._lock = threading.Lock()
        self._is_cold_said = False
        # Nothing is known of a space yet, and most often it will be the past's: so the first suggestion need not learn.
        self._past.learn(archive.sources, {}, self._names, [])

    # Samplers travel to worker processes; a lock cannot.
    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def reseed_rng(self) -> None:
        """Draw a new seed for studies with several objectives; all else is seeded by the trial's number."""
        self._default.reseed_rng()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Say once that there is nothing to learn from."""
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
        """Return the parameters that trials of the study have had, each as it was last."""
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
        # A parameter that should not be active gets a value too: the objective may ask for it all the same.
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
        # By number and name: samplers of one seed in several processes draw different values.
        return drawn_value(
            distribution, np.random.default_rng(child_seed(self._seed, "independent", trial.number, name))
        )

    def _plan(self, study: Study, trial: FrozenTrial, space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
        """Return the configuration for a trial: of `space`, and of what past studies say may come too."""
        known = plan_of(study, trial)
        if known is not None and all(
            name in known and is_valid(distribution, known[name]) for name, distribution in space.items()
        ):
            return known
        fixed = {**fixed_around(study.sampler), **trial.system_attrs.get("fixed_params", {}), **trial.params}
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
        study._thread_local.cached_all_trials = None
        finished = finished_trials(study)
        study_key = (ref(study._storage), study._study_id)
        learnt = self._past.learn(self._archive.sources, space, self._names, finished, study_key)
        now = situation_of(study, learnt, self._own_kernel)
        running = study._get_trials(deepcopy=False, states=(TrialState.RUNNING,), use_cache=True)
        others = {t.number: expected_params(study, t, now.encoding.distributions) for t in running}
        others.pop(trial.number, None)
        now = now.with_running([params for params in others.values() if params])
        # Trials that began a moment before this one are about to choose: what they will choose is what this
        # sampler would in their place.
        choosing = sorted(number for number, params in others.items() if not params and number < trial.number)
        for number in choosing[:_MOST_AWAITED]:
            now = now.with_running([self._chosen(now, number, {})])
        if now.is_past_useless and now.n_tried % _HEDGE == 0 and finished:
            # The past has nothing to say: what Optuna does by default has its share.
            plan = {**self._suggested_by_default(study, trial, space), **fixed}
            if now.is_worth_trying(plan):
                return plan
        return self._chosen(now, trial.number, fixed)

    def _chosen(self, now: Situation, number: int, fixed: Mapping[str, Any]) -> dict[str, Any]:
        """Return the configuration for the trial of that number."""
        decided = now.columns(fixed)
        rng = np.random.default_rng(child_seed(self._seed, "plan", number, len(decided)))
        return now.encoding.configuration(now.next_point(rng, decided))

    def _suggested_by_default(
        self, study: Study, trial: FrozenTrial, space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return what Optuna's default sampler suggests, which begins with random values."""
        default = TPESampler(seed=child_seed(self._seed, "default", trial.number))
        relative = default.infer_relative_search_space(study, trial)
        # It divides by zero where a range has more steps than floats can tell apart.
        with np.errstate(all="ignore"):
            found = default.sample_relative(study, trial, relative)
        return {
            name: found[name] if name in found and is_valid(d, found[name]) else self._drawn(trial, name, d)
            for name, d in space.items()
        }


def fixed_around(sampler: BaseSampler) -> dict[str, Any]:
    """Return the values that `PartialFixedSampler`s around a study's sampler give instead of it."""
    fixed: dict[str, Any] = {}
    while isinstance(sampler, PartialFixedSampler):
        fixed = {**sampler._fixed_params, **fixed}
        sampler = sampler._base_sampler
    return fixed
