"""MetaSampler: an Optuna sampler that starts from what past studies learnt."""

from __future__ import annotations

import logging
import math
import secrets
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from autometa._support.seeds import child_seed
from autometa.core.space import is_valid
from autometa.transfer.archive import StudyArchive
from autometa.transfer.encoding import Encoding
from autometa.transfer.experts import Expert, OwnKernel, kept_trials, weights_of
from autometa.transfer.kernel import own_scores
from autometa.transfer.past import Learnt, Past, checked_names
from autometa.transfer.proposals import Seen, beliefs_of, is_probe, proposed

logger = logging.getLogger(__name__)

_HEDGE = 3  # once the past is given up, every third trial is what Optuna's default suggests


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

    Trials that fail, are pruned or return NaN are left out; running trials count as if they had
    given what is expected of them, so that ``n_jobs`` and several processes do not repeat each other.

    The archive is learnt from when the sampler is made: some tenth of a second for at most 64 studies,
    those that share most parameters with the new one. It is learnt from again when it has grown, or
    when the study has parameters, types, scales or conditions that the past did not make expect. Where
    only ranges and choices have changed, what was learnt is moved into the new space.

    Raises
    ------
    TypeError
        If `archive` or `names` is something else.

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
        if not isinstance(archive, StudyArchive):
            raise TypeError(f"archive must be a StudyArchive, got {type(archive).__name__}.")
        self._archive = archive
        self._names = checked_names(names)
        self._seed = secrets.randbits(31) if seed is None else int(seed)
        self._random = RandomSampler(seed=child_seed(self._seed, "independent"))
        self._default = TPESampler(seed=child_seed(self._seed, "default"))
        self._past = Past()
        self._own_kernel = OwnKernel()
        self._plans: dict[int, dict[str, Any]] = {}
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
        """Draw new seeds of the samplers that are fallen back on; plans are seeded by the trial's number."""
        self._random.reseed_rng()
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
        self._plans.pop(trial._trial_id, None)
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
        rng = np.random.RandomState(child_seed(self._seed, "inactive", trial.number))
        drawn = RandomSampler(seed=int(rng.randint(2**31)))
        # A parameter that should not be active gets a value too: the objective may ask for it all the same.
        return {
            name: plan[name] if name in plan else drawn.sample_independent(study, trial, name, distribution)
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
            plan = self._plan(study, trial, space, given=trial.params)
            if param_name in plan and is_valid(param_distribution, plan[param_name]):
                return plan[param_name]
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def _plan(
        self,
        study: Study,
        trial: FrozenTrial,
        space: Mapping[str, BaseDistribution],
        given: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return the configuration for a trial: of `space`, and of what past studies say may come too."""
        known = self._plans.get(trial._trial_id)
        if known is not None and all(
            name in known and is_valid(distribution, known[name]) for name, distribution in space.items()
        ):
            return known
        fixed = {**trial.system_attrs.get("fixed_params", {}), **(given or {})}
        with self._lock:
            plan = self._proposed(study, trial, space, fixed)
        self._plans[trial._trial_id] = plan
        return plan

    def _proposed(
        self, study: Study, trial: FrozenTrial, space: Mapping[str, BaseDistribution], fixed: Mapping[str, Any]
    ) -> dict[str, Any]:
        trials = study._get_trials(deepcopy=False, use_cache=True)
        finished = finished_trials(study)
        running = [t for t in trials if t.state == TrialState.RUNNING and t.number != trial.number and t.params]
        learnt = self._past.learn(self._archive.sources, space, self._names, finished)
        encoding = learnt.encoding
        rows, losses, scores = observed(study, encoding)
        seen = Seen(rows, scores, _filled(encoding, encoding.points([t.params for t in running])))
        beliefs = beliefs_of(encoding, experts_of(learnt, rows, losses, self._own_kernel), seen)
        columns = {name: column for column, name in enumerate(encoding.names)}
        decided = {
            columns[name]: float(encoding.points([{name: value}])[0, columns[name]])
            for name, value in fixed.items()
            if name in columns
        }
        rng = np.random.default_rng(child_seed(self._seed, "plan", trial.number, len(decided)))
        n_tried = len(finished) + len(running)
        if weights_of(beliefs)[-1] > 0.5 and n_tried % _HEDGE == 0 and finished:
            # The past has nothing to say: what Optuna does by default has its share.
            by_default = self._default.infer_relative_search_space(study, trial)
            return {**self._default.sample_relative(study, trial, by_default), **fixed}
        decided = {column: place for column, place in decided.items() if not np.isnan(place)}
        if is_probe(n_tried):
            point = encoding.uniform(rng.random((1, len(columns))))
            for column, place in decided.items():
                point[:, column] = place
            return encoding.configuration(encoding.on_grid(point)[0])
        tops = learnt.population.tops if learnt.population is not None else np.zeros((0, len(columns)))
        return encoding.configuration(proposed(encoding, beliefs, seen, tops, rng, decided))


def finished_trials(study: Study) -> list[FrozenTrial]:
    """Return the trials of a study that say something: complete, with a value and parameters."""
    trials = study._get_trials(deepcopy=False, use_cache=True)
    return [t for t in trials if t.state == TrialState.COMPLETE and t.value is not None and t.params]


def observed(study: Study, encoding: Encoding) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points, losses (lower is better) and scores of the trials of a study that are looked at."""
    finished = finished_trials(study)
    sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
    losses = np.array([sign * t.values[0] if _is_feasible(t) else np.inf for t in finished])
    kept = kept_trials(losses)
    points = _filled(encoding, encoding.points([finished[place].params for place in kept]))
    return points, losses[kept], own_scores(losses[kept])


def experts_of(learnt: Learnt, points: np.ndarray, losses: np.ndarray, own_kernel: OwnKernel) -> list[Expert]:
    """Return the experts for a study with these trials; the last one knows no past."""
    inputs = learnt.encoding.inputs(points)
    own = own_kernel.fitted(inputs, losses, learnt.encoding.groups)
    cold = Expert("no transfer", own)
    if learnt.population is None:
        return [cold]
    population = learnt.population
    alike = population.alike(population.features(inputs), losses)
    return [
        Expert("past", population.kernel, population, has_covariance=True),
        Expert("alike", own, alike, choice_cost=0.0 if alike is population else math.log(population.n_studies)),
        cold,
    ]


def own_space(study: Study) -> dict[str, BaseDistribution]:
    """Return what the study's trials were asked for so far, in the order of first appearance."""
    found: dict[str, BaseDistribution] = {}
    for other in study._get_trials(deepcopy=False, use_cache=True):
        found.update(other.distributions)
    return found


def _filled(encoding: Encoding, points: np.ndarray) -> np.ndarray:
    """Return the points of trials, whose gaps that no condition explains are put into the middle."""
    return encoding.on_grid(points) if len(points) else points


def _is_feasible(trial: FrozenTrial) -> bool:
    return all(value <= 0 for value in trial.constraints.values())
