"""MetaSampler: an Optuna sampler that starts from what past studies learnt."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import ref

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from autometa._support.numbers import is_whole_number
from autometa._support.numeric_threads import one_blas_thread
from autometa._support.optuna_internals import (
    current_trials,
    enqueued_parameters,
    fixed_parameters,
    forget_current_trials,
    storage_of,
    study_id,
    trial_id,
)
from autometa._support.seeds import checked_seed, child_seed
from autometa.core.space import is_valid
from autometa.transfer.archive.accepted import past_studies
from autometa.transfer.archive.sources import PastStudies, SourceStudy
from autometa.transfer.sampling.cold_start import (
    ColdStarts,
    cause_of_cold_start,
    cause_of_several_objectives,
    cause_without_studies,
)
from autometa.transfer.sampling.experts import OwnKernel
from autometa.transfer.sampling.past_studies import Past, checked_names
from autometa.transfer.sampling.plans import announce, expected_params, forget, plan_of
from autometa.transfer.sampling.situation import Situation, situation_of
from autometa.transfer.sampling.study import finished_trials, own_space
from autometa.transfer.space.choices import Choices, checked_choices, translated
from autometa.transfer.space.encoding import Encoding, drawn_value

ORIGIN = "suggested_by"
"""User attribute of a trial: where its configuration came from."""
_HEDGE = 3  # while the past is useless, every third trial is suggested by Optuna's default sampler
_MOST_AWAITED = 16  # trials that have begun without a configuration yet, and whose configurations are predicted
_N_LOOKS = 3  # times that a trial looks whether another one has announced the same plan at the same moment
_NEAR = 0.01  # fraction of a range by which parameters of different plans differ, at least one of them


class MetaSampler(BaseSampler):
    """Suggest configurations by past studies and by the study's own trials.

    Past studies are brought to one scale and into the study's space. They give a distribution of loss
    functions, which each trial of the study narrows down. Experts that ignore the past compete with it
    and take over when they predict the study better, as they do when the past misleads.

    Parameters
    ----------
    archive : StudyArchive, optuna.Study, optuna.storages.BaseStorage, str, Path, or a list of them
        Past studies. A text is the URL of a storage, or the path of an archive or a journal. All but archives
        are read once, now. A study that can learn nothing from the past begins with a warning that says why.
    names : mapping of str to str or None, default=None
        Past name → name in the study, for parameters that were renamed.
    choices : mapping of str to mapping or None, default=None
        Parameter → past choice → new choice, such as ``{"opt": {"adam": "adamw"}}``, for choices that were renamed.
        Other spellings (``"adam"`` and ``"ADAM"``, True and 1) are found without it.
    seed : int or None, default=None
        Seed of all random draws. With a seed, one worker and the same archive, suggestions repeat.
    independent_sampler : optuna.samplers.BaseSampler or None, default=None
        Chooses the parameters that neither past studies nor an earlier trial had; None draws them at random.
    n_startup_trials : int, default=0
        Number of finished trials before the past and the model are used; until then `independent_sampler` chooses.
    probes : bool, default=True
        Whether the 3rd (or 4th), 6th, 10th, 15th … trial is drawn at random while the evidence for the past is
        thin, to find out whether it misleads.
    annotate : bool, default=True
        Whether the user attribute ``suggested_by`` of each trial says where its configuration came from: past
        studies, with their names, the study's own model, a random draw, or the queue.

    Notes
    -----
    Studies with several objectives are searched with Optuna's ``TPESampler``. Parameters that
    neither the archive nor an earlier trial of the study knows are drawn at random.

    If the space is conditional or has changed, the first three trials are the best ones of past studies that the
    model expects most from. If the values of a past study predict those of the new one, the best of its trials is
    repeated. Where it has the same value again, the study is of the same function: then the best of its other trials
    come next, and its trials count like the study's own.

    Pruned trials rank behind complete ones, by the step and the value that they reached. Failed trials
    (exceptions, NaN) rank behind those. Failures that come by chance, wherever the search is, are left
    out; their configurations still count as tried.

    Running trials count as if they had given their expected scores. The parameters that they will ask
    for are kept in the storage, as a system attribute of the trial, so that ``n_jobs`` and several
    processes do not repeat each other.

    Suggestions are computed with one BLAS thread; meanwhile this limit holds for the whole process.

    The sampler learns from at most 64 studies when it is created, which takes about 0.2 CPU seconds for 100
    studies of 100 trials; studies that share most parameters with the new one come first. It learns again when the
    archive has grown, or when the study has unexpected parameters, types, scales or conditions. Where
    only ranges and choices have changed, what was learnt is moved into the new space.

    Raises
    ------
    TypeError
        If an argument has another type.
    ValueError
        If `seed` or `n_startup_trials` is negative, or `names` gives two parameters of a past study the same name.
    ArchiveError
        If a file or a storage is missing or cannot be read.

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
        self,
        archive: PastStudies | Study | BaseStorage | str | os.PathLike[str] | Sequence[Any],
        *,
        names: Mapping[str, str] | None = None,
        choices: Choices | None = None,
        seed: int | None = None,
        independent_sampler: BaseSampler | None = None,
        n_startup_trials: int = 0,
        probes: bool = True,
        annotate: bool = True,
    ) -> None:
        if independent_sampler is not None and not isinstance(independent_sampler, BaseSampler):
            raise TypeError(f"independent_sampler must be a sampler of Optuna, got {independent_sampler!r}.")
        if not is_whole_number(n_startup_trials) or n_startup_trials < 0:
            raise ValueError(f"n_startup_trials must be a whole number of at least 0, got {n_startup_trials!r}.")
        self._archive = past_studies(archive)
        self._names = checked_names(names, self._archive.sources)
        self._choices = checked_choices(choices, self._archive.sources, self._names)
        self._given = {"names": names, "choices": choices, "seed": seed, "independent_sampler": independent_sampler}
        self._given |= {"n_startup_trials": n_startup_trials or None, "probes": None if probes else False}
        self._given |= {"annotate": None if annotate else False}
        self._seed = secrets.randbits(31) if seed is None else checked_seed(seed)
        self._independent = independent_sampler
        self._n_startup_trials = int(n_startup_trials)
        self._probes, self._annotate = bool(probes), bool(annotate)
        self._default = TPESampler(seed=child_seed(self._seed, "default"))
        self._past = Past()
        self._own_kernel = OwnKernel()
        self._lock = threading.Lock()
        self._cold_starts = ColdStarts()
        self._translated: tuple[tuple[SourceStudy, ...], tuple[SourceStudy, ...]] = ((), ())
        # The space is not known yet; most often it is that of the past, and then the first suggestion need not learn.
        self._past.learn(self._sources, {}, self._names, []).values  # noqa: B018 (kept for the first suggestion)

    def __repr__(self) -> str:
        given = [f"{name}={value!r}" for name, value in self._given.items() if value is not None]
        return f"MetaSampler({', '.join([repr(self._archive), *given])})"

    @property
    def _sources(self) -> tuple[SourceStudy, ...]:
        """The past studies with their choices renamed; a new tuple if the archive has changed."""
        if not self._choices:
            return self._archive.sources
        if self._translated[0] is not self._archive.sources:
            sources = self._archive.sources
            self._translated = (sources, translated(sources, self._choices, self._names))
        return self._translated[1]

    # Samplers are pickled for worker processes; a lock cannot be.
    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def reseed_rng(self) -> None:
        """Draw new seeds for the samplers that are called; other draws are seeded by the trial's number."""
        for sampler in filter(None, (self._default, self._independent)):
            sampler.reseed_rng()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Warn once for each study that there is nothing to learn from."""
        if not self._archive.sources:
            self._cold_starts.warn(study, cause_without_studies(self._archive))
        if self._independent is not None:
            self._independent.before_trial(study, trial)
        if len(study.directions) > 1:
            self._cold_starts.warn(study, cause_of_several_objectives(study))
            self._default.before_trial(study, trial)
        elif enqueued_parameters(trial):
            self._note(study, trial, "the queue")

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Forget the plan of a finished trial."""
        forget(study, trial)
        if self._independent is not None:
            self._independent.after_trial(study, trial, state, values)
        if len(study.directions) > 1:
            self._default.after_trial(study, trial, state, values)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters that trials of the study have had, each with its latest distribution."""
        if len(study.directions) > 1:
            return self._default.infer_relative_search_space(study, trial)
        if self._is_starting(study):
            return {}
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
        if not self._is_starting(study) and param_name in self._past.parameters(self._sources, self._names):
            space = {**own_space(study), **trial.distributions, param_name: param_distribution}
            plan = self._plan(study, trial, space)
            if param_name in plan and is_valid(param_distribution, plan[param_name]):
                return plan[param_name]
        if ORIGIN not in trial.user_attrs:
            self._note(study, trial, "a random draw" if self._independent is None else type(self._independent).__name__)
        if self._independent is not None:
            return self._independent.sample_independent(study, trial, param_name, param_distribution)
        return self._drawn(trial, param_name, param_distribution)

    def _is_starting(self, study: Study) -> bool:
        return self._n_startup_trials > 0 and len(finished_trials(study)) < self._n_startup_trials

    def _note(self, study: Study, trial: FrozenTrial, origin: str) -> None:
        """Note where the configuration of a trial came from."""
        if self._annotate and trial.user_attrs.get(ORIGIN) != origin:
            storage_of(study).set_trial_user_attr(trial_id(trial), ORIGIN, origin)

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
            plan, origin, encoding = self._proposed(study, trial, space, fixed)
            if plan != known:
                announce(study, trial, plan)
            # Samplers in other threads and processes that chose at the same moment did not see this plan, nor this one
            # theirs. Whoever looks last sees both.
            for _ in range(_N_LOOKS):
                if not self._is_taken(study, trial, plan, encoding):
                    break
                plan, origin, encoding = self._proposed(study, trial, space, fixed)
                announce(study, trial, plan)
        if not enqueued_parameters(trial):
            self._note(study, trial, origin)
        return plan

    def _is_taken(self, study: Study, trial: FrozenTrial, plan: Mapping[str, Any], encoding: Encoding) -> bool:
        """Whether another running trial has announced nearly the same plan."""
        if len(current_trials(study, states=(TrialState.RUNNING,))) < 2:
            return False  # trials that have begun since then know what this one chooses
        forget_current_trials(study)
        running = current_trials(study, states=(TrialState.RUNNING,))
        others = [expected_params(study, t, encoding.distributions) for t in running if t.number != trial.number]
        points = encoding.points([plan, *filter(None, others)])
        return bool(np.isclose(points[1:], points[0], rtol=0.0, atol=_NEAR, equal_nan=True).all(axis=1).any())

    def _proposed(
        self, study: Study, trial: FrozenTrial, space: Mapping[str, BaseDistribution], fixed: Mapping[str, Any]
    ) -> tuple[dict[str, Any], str, Encoding]:
        # Trials may have ended, and others have begun, while the lock was waited for.
        forget_current_trials(study)
        finished = finished_trials(study)
        study_key = (ref(storage_of(study)), study_id(study))
        learnt = self._past.learn(self._sources, space, self._names, finished, study_key)
        # The parameters of a study are known after its first trial.
        if finished and (cause := cause_of_cold_start(self._archive, learnt, space, self._names)):
            self._cold_starts.warn(study, cause)
        now = situation_of(study, learnt, self._own_kernel)
        running = current_trials(study, states=(TrialState.RUNNING,))
        others = {t.number: expected_params(study, t, now.encoding.distributions) for t in running}
        others.pop(trial.number, None)
        now = now.with_running([params for params in others.values() if params])
        # Trials that began shortly before this one are about to choose: they will choose what this sampler would.
        choosing = sorted(number for number, params in others.items() if not params and number < trial.number)
        for number in choosing[:_MOST_AWAITED]:
            now = now.with_running([self._chosen(now, number, {})[0]])
        if now.is_past_useless and now.n_tried % _HEDGE == 0 and finished:
            plan = {**self._suggested_by_default(study, trial, space), **fixed}
            if now.is_worth_trying(plan):
                return plan, "Optuna's TPESampler", now.encoding
        return *self._chosen(now, trial.number, fixed), now.encoding

    def _chosen(self, now: Situation, number: int, fixed: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        """Return the configuration for the trial of that number, and where it came from."""
        columns = now.columns(fixed)
        rng = np.random.default_rng(child_seed(self._seed, "plan", number, len(columns)))
        found = now.next_point(rng, columns, self._probes)
        return now.encoding.configuration(found.point), found.origin

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
