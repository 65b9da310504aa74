"""Replay searches on recorded tasks: a policy steers the real search engine, and evaluations are looked up.

The engine and its limits are those of a fit; only the clock is simulated, so an episode of hours takes
milliseconds. Proposals that were not recorded are skipped, and the search ends where a policy leaves
the choice to a sampler. The time that the policy itself takes does not count.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import optuna
from numpy.typing import ArrayLike
from optuna.distributions import IntDistribution

from autometa._support.log_output import quiet_optuna
from autometa.core.budget import Budget, Deadline
from autometa.core.evaluation import Evaluation
from autometa.core.proposal import Policy, Proposal
from autometa.core.space import Configuration, SearchSpace
from autometa.core.strategy import Strategy
from autometa.core.task import Problem, TaskDescription
from autometa.evaluation.jobs import Evaluator, Handle, Job, Outcome, failed_outcome
from autometa.metadataset.schema import LOSSES
from autometa.metalearning.replay.regret import normalised_regret
from autometa.policy.past_tasks import TRAIN_SHARE, PastTasks
from autometa.policy.registry import OVERHEAD_S
from autometa.search.engine import Search
from autometa.search.plan import Plan, make_plan

_INDEX = "index"
"""The only hyperparameter in a replayed study: the index of a configuration among the recorded ones."""

_PLAN = Plan(n_splits=1, is_holdout=True, max_members=1, use_workers=True, finish_s=0.0)
"""One fold for each trial, and no time kept for an ensemble: a search of records from elsewhere."""


@dataclass(frozen=True)
class Episode:
    """Results of a policy on one task, in the order in which they came.

    An evaluation that was cut off by the end of the budget is not included.

    Parameters
    ----------
    task : str
        Name of the task.
    configurations : tuple of Configuration
        Configurations that were tried.
    losses : ndarray of shape (n_results,)
        Recorded losses; NaN where an evaluation failed or ran into a time limit.
    start_s, end_s : ndarray of shape (n_results,)
        Simulated seconds from the start of the search to the begin and end of each evaluation.
    known : ndarray of shape (n_configurations,)
        Recorded losses of all configurations on the task, for regrets; NaN where unknown.
    stop_reason : str
        Why the search ended.
    """

    task: str
    configurations: tuple[Configuration, ...]
    losses: np.ndarray
    start_s: np.ndarray
    end_s: np.ndarray
    known: np.ndarray
    stop_reason: str

    def incumbent_at(self, seconds: ArrayLike) -> np.ndarray:
        """Return the lowest loss found within each of `seconds`; NaN before the first result."""
        return self.incumbent_after(np.searchsorted(self.end_s, np.asarray(seconds), side="right"))

    def incumbent_after(self, n: ArrayLike) -> np.ndarray:
        """Return the lowest loss of the first `n` results, for each count; NaN where none of them has a loss."""
        lowest = np.fmin.accumulate(np.concatenate([[np.nan], self.losses]))
        return lowest[np.clip(n, 0, len(self.losses))]

    def regret_at(self, seconds: ArrayLike) -> np.ndarray:
        """Return the normalised regret at each of `seconds`; 1 before the first result."""
        return normalised_regret(self.incumbent_at(seconds), self.known)

    def regret_after(self, n: ArrayLike) -> np.ndarray:
        """Return the normalised regret after the first `n` results, for each count."""
        return normalised_regret(self.incumbent_after(n), self.known)


def replay(
    policy: Policy,
    past: PastTasks,
    task: int,
    *,
    metric: str | None = None,
    budget: Budget,
    n_jobs: int = 1,
    seed: int = 0,
    as_in_fits: bool = False,
) -> Episode:
    """Return the episode of a policy on a recorded task.

    Parameters
    ----------
    policy : Policy
        Policy to replay. It sees recorded configurations and their evaluations, one fold each.
    past : PastTasks
        Recorded results.
    task : int
        Index of the task to search on, which the policy must not have been trained on.
    metric : str, optional
        Metric of the losses; by default the first one of the task's problem with records.
    budget : Budget
        Limit on the search, in simulated seconds, trials or both. Without a time limit results
        are taken in the order of the trials, as in a fit.
    n_jobs : int
        Number of parallel evaluations.
    seed : int
        Seed of the search.
    as_in_fits : bool
        Whether a trial has as many folds, and the ensemble as much time, as in a fit with this budget. The recorded
        mean over the folds stands for each of them.

    Raises
    ------
    ValueError
        If the task has no results in the metric, or no seconds though the budget limits them.
    """
    if not 0 <= task < len(past.tasks):
        raise ValueError(f"task must be the number of one of the {len(past.tasks)} past tasks, got {task!r}.")
    metric = metric_of(past, task) if metric is None else metric
    description = describe_past(past, task, metric)
    plan, n_folds, search_s = _PLAN, 1, budget.time_s
    if as_in_fits:
        plan = replace(make_plan(description, budget, n_jobs), use_workers=True)
        n_folds = 1 if plan.is_holdout else plan.n_splits
        search_s = budget.time_s * (1 - plan.refit_share) - plan.finish_s
        description = replace(description, fits_in_turn=max(1.0, n_folds / n_jobs))
    evaluator = ReplayEvaluator(
        past,
        task,
        metric,
        has_time_limit=budget.has_time_limit,
        n_folds=n_folds,
        overhead_s=OVERHEAD_S if as_in_fits else 0.0,
    )
    pool = _Pool(policy, past, evaluator.is_recorded)
    search = Search(
        task=description,
        policy=pool,
        strategies=pool.strategies(_relative_seconds(past, task)),
        evaluator=evaluator,
        available=set(pool.aliases.values()),
        study=_study(seed),
        plan=plan,
        n_folds=n_folds,
        budget=budget,
        deadline=Deadline.after(search_s, evaluator.clock),
        n_jobs=n_jobs,
        seed=seed,
    )
    search.run()
    # The engine ends early and keeps its models after an error; a replay has none to keep.
    if pool.error is not None:
        raise pool.error
    if search.stop_reason == "interrupted":
        raise KeyboardInterrupt
    # Evaluations that end with the budget, up to rounding, were cut off by it.
    results = [result for result in evaluator.results if result.end_s < search_s * (1 - 1e-12)]
    results.sort(key=lambda result: result.end_s)
    return Episode(
        task=past.tasks[task],
        configurations=tuple(past.configurations[result.index] for result in results),
        losses=np.array([result.loss for result in results]),
        start_s=np.array([result.start_s for result in results]),
        end_s=np.array([result.end_s for result in results]),
        known=past.losses[metric][task],
        stop_reason=search.stop_reason,
    )


def metric_of(past: PastTasks, task: int) -> str:
    """Return the first metric of the task's problem with results on the task, else any metric with results.

    Raises
    ------
    ValueError
        If the task has no results.
    """
    usual = LOSSES.get(cast(Problem, past.problems[task]), ())
    for metric in (*usual, *past.losses):
        if metric in past.losses and np.isfinite(past.losses[metric][task]).any():
            return metric
    raise ValueError(f"Past task {past.tasks[task]!r} has no results at all; leave it out.")


def describe_past(past: PastTasks, task: int, metric: str) -> TaskDescription:
    """Return the description of a past task, made of its records."""
    rows, columns, classes = np.exp(past.sizes[task])
    problem, n_classes = past.problems[task], round(classes)
    return TaskDescription(
        # Records of Optuna studies have the problem "objective", which the type does not list.
        problem=cast(Problem, problem),
        n_rows=round(rows / TRAIN_SHARE),
        n_columns=round(columns),
        # One class means none: regression, or unknown.
        n_classes=n_classes if n_classes > 1 else 0,
        metric=metric,
        train_share=TRAIN_SHARE,
        features=dict(zip(past.feature_names, past.features[task].tolist(), strict=True)),
    )


@dataclass(frozen=True)
class _Result:
    index: int
    loss: float
    start_s: float
    end_s: float


class ReplayEvaluator(Evaluator):
    """Answers jobs with recorded results, on a clock that advances only while the engine waits.

    An evaluation takes its recorded seconds, or the median of the task's if none were recorded. One
    that exceeds its limit ends as a timeout at the limit.

    Parameters
    ----------
    past : PastTasks
        Recorded results.
    task : int
        Index of the task.
    metric : str
        Metric of the losses.
    has_time_limit : bool
        Whether the budget limits time, so that seconds must have been recorded.
    n_folds : int
        Number of folds of a trial, each with the recorded loss and seconds.
    overhead_s : float
        Seconds of a trial besides its fits.

    Attributes
    ----------
    is_recorded : ndarray of shape (n_configurations,), bool
        Whether a loss or a failure was recorded.
    results : list
        Results so far, one for each trial whose folds have ended or one of which has failed.
    """

    ready = True

    def __init__(
        self,
        past: PastTasks,
        task: int,
        metric: str,
        *,
        has_time_limit: bool,
        n_folds: int = 1,
        overhead_s: float = 0.0,
    ) -> None:
        if metric not in past.losses:
            raise ValueError(f"metric must be one of {', '.join(past.losses)}, which were recorded; got {metric!r}.")
        seconds = past.seconds[task]
        is_timed = ~np.isnan(seconds)
        if has_time_limit and not is_timed.any():
            raise ValueError(
                f"Past task {past.tasks[task]!r} was recorded without seconds, so a budget of time cannot be "
                "replayed. Give the budget n_trials alone."
            )
        self._losses = past.losses[metric][task]
        self._seconds = np.where(is_timed, seconds, np.median(seconds[is_timed]) if is_timed.any() else 0.0)
        self._memory_mb = past.memory_mb[task]
        self.is_recorded = ~np.isnan(self._losses) | past.failed[task]
        if not (self.is_recorded & ~past.failed[task]).any():
            raise ValueError(f"Past task {past.tasks[task]!r} has no losses in {metric!r}; leave it out.")
        self._n_folds, self._overhead_s = n_folds, overhead_s
        self._begun_s: dict[int, float] = {}
        self._n_ended: Counter[int] = Counter()
        self.results: list[_Result] = []
        self._now_s = 0.0

    def clock(self) -> float:
        """Return the simulated seconds since the start."""
        return self._now_s

    def submit(self, job: Job, *, inline: bool, kill_after_s: float | None) -> Handle:
        """Begin an evaluation now."""
        future: Future[Outcome] = Future()
        future.set_result(self._outcome(job, math.inf if kill_after_s is None else kill_after_s))
        return Handle(job, future, submitted_s=self._now_s)

    def wait(self, handles: Sequence[Handle], *, in_order: bool, timeout_s: float) -> list[tuple[Handle, Outcome]]:
        """Advance the clock to the end of the next evaluation, by at most `timeout_s`; return ended ones in order."""
        begun = [(handle, cast("Future[Outcome]", handle.future).result()) for handle in handles]
        ends = [
            (handle.submitted_s + outcome.evaluation.time_s, handle, outcome)
            for handle, outcome in (begun[:1] if in_order else begun)
        ]
        ends.sort(key=lambda end: end[0])
        # The clock never goes back: the oldest job may have ended before another one that was waited for.
        self._now_s = max(self._now_s, min(ends[0][0], self._now_s + timeout_s))
        ended = [end for end in ends if end[0] <= self._now_s]
        for end_s, handle, outcome in ended:
            trial, index = handle.job.trial, cast(int, handle.job.configuration.parameters[_INDEX])
            begun_s = self._begun_s.setdefault(trial, handle.submitted_s)
            self._n_ended[trial] += 1
            if self._n_ended[trial] == self._n_folds or outcome.evaluation.status != "ok":
                self.results.append(_Result(index, outcome.evaluation.loss, begun_s, end_s))
        return [(handle, outcome) for _, handle, outcome in ended]

    def _outcome(self, job: Job, kill_after_s: float) -> Outcome:
        index = cast(int, job.configuration.parameters[_INDEX])
        seconds, loss = float(self._seconds[index]) + self._overhead_s / self._n_folds, float(self._losses[index])
        limit_s = min(job.limit_s, kill_after_s)
        if seconds > limit_s:
            return failed_outcome(job, "timeout", f"recorded as {seconds:.1f} s, allowed {limit_s:.1f} s", limit_s)
        if math.isnan(loss):
            return failed_outcome(job, "failed", "recorded as failed", seconds)
        evaluation = Evaluation(
            job.configuration,
            job.anchor,
            job.fold,
            loss,
            fit_s=seconds,
            predict_s=0.0,
            fit_cpu_s=seconds,
            predict_cpu_s=0.0,
            memory_mb=float(self._memory_mb[index]),
        )
        # The engine needs predictions of a complete trial; they may have no rows.
        return Outcome(evaluation, predictions=np.empty(0))


class _Pool:
    """Adapts a policy, which proposes recorded configurations, to a study over their indices.

    Names and hyperparameters of records from elsewhere may be impossible in an Optuna study (lists,
    types that vary between configurations); an index is always possible.
    """

    def __init__(self, policy: Policy, past: PastTasks, is_recorded: np.ndarray) -> None:
        self._policy = policy
        self._past = past
        names = dict.fromkeys(configuration.strategy for configuration in past.configurations)
        self.aliases = {name: f"s{number}" for number, name in enumerate(names)}
        self._in_study = {
            index: Configuration(self.aliases[past.configurations[index].strategy], {_INDEX: index})
            for index in np.flatnonzero(is_recorded).tolist()
        }
        self.error: Exception | None = None

    def strategies(self, costs: Mapping[str, float]) -> list[Strategy]:
        space = SearchSpace({_INDEX: IntDistribution(0, len(self._past.configurations) - 1)})
        return [
            Strategy(alias, "replay", space, cost=costs.get(name, 1.0), description=name)
            for name, alias in self.aliases.items()
        ]

    def propose(self, description: TaskDescription, history: Sequence[Evaluation], remaining_s: float) -> Proposal:
        """Return the policy's proposals that were recorded on the task and not tried yet."""
        indices = [cast(int, evaluation.configuration.parameters[_INDEX]) for evaluation in history]
        seen = [
            replace(evaluation, configuration=self._past.configurations[index])
            for evaluation, index in zip(history, indices, strict=True)
        ]
        tried = {*indices}
        passed_over: dict[Configuration, Evaluation] = {}
        while True:
            proposed = self._ask(description, [*seen, *passed_over.values()], remaining_s)
            known = {configuration: self._past.position.get(configuration, -1) for configuration in proposed}
            untried = {configuration: index for configuration, index in known.items() if index not in tried}
            found = tuple(self._in_study[index] for index in untried.values() if index in self._in_study)
            new = {c: Evaluation.running(c) for c in untried if c not in passed_over}
            if found or not new:
                # Without probabilities the engine never asks a sampler.
                return Proposal({}, found)
            # A policy that proposes only a few gets to the next ones once these appear to be running.
            passed_over |= new

    def _ask(
        self, description: TaskDescription, history: Sequence[Evaluation], remaining_s: float
    ) -> tuple[Configuration, ...]:
        try:
            return self._policy.propose(description, history, remaining_s).configurations
        except Exception as error:
            # The engine would end the search early and hide the error.
            self.error = error
            raise


def _relative_seconds(past: PastTasks, task: int) -> dict[str, float]:
    """Return each strategy's median seconds on all other tasks, divided by those of the median strategy."""
    others = np.delete(past.seconds, task, axis=0)
    medians = {}
    for name in dict.fromkeys(past.strategies.tolist()):
        seconds = others[:, past.strategies == name]
        seconds = seconds[seconds > 0]
        if seconds.size:
            medians[name] = float(np.median(seconds))
    middle = float(np.median(list(medians.values()))) if medians else 1.0
    return {name: median / middle for name, median in medians.items()}


def _study(seed: int) -> optuna.Study:
    """Return an empty study in memory, created without a log message."""
    with quiet_optuna():
        return optuna.create_study(
            sampler=optuna.samplers.RandomSampler(seed), pruner=optuna.pruners.NopPruner(), direction="minimize"
        )
