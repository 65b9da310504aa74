"""The search: ask, evaluate anchor by anchor and fold by fold, report or prune, tell; until the deadline."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from autometa._support.seeds import child_seed
from autometa.core.budget import Anchor, Budget, Deadline
from autometa.core.evaluation import Evaluation
from autometa.core.proposal import Policy
from autometa.core.space import Configuration
from autometa.core.strategy import Strategy
from autometa.core.task import TaskDescription
from autometa.evaluation.evaluator import Job, Outcome
from autometa.evaluation.workspace import ALL_ROWS
from autometa.search.plan import Plan
from autometa.search.records import TrialRecord, TrialStatus, candidates
from autometa.search.studies import ask_configuration, enqueue, enqueue_strategy, has_heartbeat, record_heartbeat
from autometa.search.time_limits import LONGEST_EVALUATION_S, TimeLimits
from autometa.search.workers import Handle

logger = logging.getLogger(__name__)

StudyCallback = Callable[[Study, FrozenTrial], Any]

# Learners that keep the deadline are killed only when they are this far over it.
_GRACE_S = 6.0
# The others are killed at their limit, plus what importing a library may take.
_IMPORT_S = 2.0
_HEARTBEAT_S = 15.0
# At most this share of the time of a search is left to fitting its best trial on all rows.
_MOST_REFIT_SHARE = 0.5
# While workers start, further trials of a strategy are made in the calling process up to this length:
# on a single core they take time from the start.
_LONGEST_MEANWHILE_S = 0.2
# Workers that are not there after these seconds are late; on an idle machine they take two.
_WORKERS_LATE_S = 3.0
# A strategy that failed this often on a task, and never succeeded, is not tried again.
_MOST_FAILURES = 3


class Evaluator(Protocol):
    """Runs jobs; the live one fits models, another may look results up."""

    @property
    def ready(self) -> bool:
        """Whether jobs that are not inline begin at once."""
        ...

    def start(self) -> None:
        """Get ready, without waiting for it."""
        ...

    def submit(self, job: Job, *, inline: bool, kill_after_s: float | None) -> Handle:
        """Hand in a job."""
        ...

    def wait(self, handles: Sequence[Handle], *, in_order: bool, timeout_s: float) -> list[tuple[Handle, Outcome]]:
        """Return jobs that are done."""
        ...


@dataclass
class _Running:
    """A trial in progress."""

    trial: Trial
    record: TrialRecord
    steps: list[tuple[Anchor, int]]
    n_started: int = 0
    n_in_flight: int = 0
    ends_as: TrialStatus | None = None  # decided, while some of its evaluations are still under way


@dataclass
class Search:
    """One run of a study on a task.

    Parameters
    ----------
    task : TaskDescription
        Describes the task to the policy.
    policy : Policy
        Says what to try next.
    strategies : sequence of Strategy
        Every strategy of the study's space.
    evaluator : Evaluator
        Runs the evaluations.
    prepare : callable
        ``prepare(strategy, fold)`` makes the arrays that evaluations of a strategy read.
    preparation_s : callable
        Seconds that ``prepare(strategy, fold)`` is expected to take; 0 when it is done.
    available : set of str
        Names of the strategies that suit the task.
    quick_strategies, strategies_with_deadline : set of str
        Strategies whose fits take well under a second, and those that stop by themselves
        in time: the calling process can evaluate them.
    study : optuna.Study
        Holds the trials.
    plan : Plan
        Folds, anchors, use of time.
    n_folds : int
        Number of folds to evaluate.
    budget : Budget
        Limit on the run.
    deadline : Deadline
        When the search must have ended; its clock is the only one that the search reads.
    n_jobs : int
        Evaluations at a time.
    n_threads_inline : int
        Threads of an evaluation in the calling process.
    seed : int
        Seed of the run.
    first : sequence of Configuration
        Tried before anything else, e.g. the best of an earlier run.
    callbacks : sequence of callable
        Called as ``callback(study, trial)`` after each trial; ``study.stop()`` ends the search.
    on_trial : callable
        Called with the records after each trial, for progress.
    drop_models : callable
        Called with the number of a trial whose models are not needed any more.
    """

    task: TaskDescription
    policy: Policy
    strategies: Sequence[Strategy]
    evaluator: Evaluator
    prepare: Callable[[str, int], None]
    preparation_s: Callable[[str, int], float]
    available: set[str]
    quick_strategies: set[str]
    strategies_with_deadline: set[str]
    study: Study
    plan: Plan
    n_folds: int
    budget: Budget
    deadline: Deadline
    n_jobs: int
    n_threads_inline: int
    seed: int
    first: Sequence[Configuration] = ()
    callbacks: Sequence[StudyCallback] = ()
    on_trial: Callable[[Sequence[TrialRecord]], None] = lambda records: None
    drop_models: Callable[[int], None] = lambda trial: None

    records: list[TrialRecord] = field(default_factory=list, init=False)
    history: list[Evaluation] = field(default_factory=list, init=False)
    stop_reason: str = field(default="", init=False)
    first_model_s: float = field(default=math.nan, init=False)

    def __post_init__(self) -> None:
        self._start_s, self._planned_end = self.deadline.clock(), self.deadline
        self._running: list[_Running] = []
        costs = {strategy.name: strategy.cost for strategy in self.strategies}
        self._limits = TimeLimits(self.budget, self.deadline, self.plan, self.n_folds, self.n_jobs, costs)
        self._first = list(self.first)
        self._n_asked = 0
        self._rng = np.random.default_rng(child_seed(self.seed, "strategy"))
        self._last_heartbeat_s = -math.inf
        # Without a time limit results must not depend on which evaluation ends first.
        self._in_order = not self.budget.has_time_limit

    # ------------------------------------------------------------------ the loop

    def run(self) -> None:
        """Search until the budget ends, Ctrl-C, ``study.stop()``, or nothing is left to try."""
        if self.plan.use_workers and not self._in_order:
            self.evaluator.start()
        handles: list[Handle] = []
        try:
            while not self.stop_reason:
                if self.deadline.passed():
                    self.stop_reason = "the time budget is used up"
                    break
                self._fill(handles)
                if not handles:
                    self.stop_reason = self.stop_reason or self._why_nothing_follows()
                    break
                self._beat()
                for handle, outcome in self.evaluator.wait(
                    handles, in_order=self._in_order, timeout_s=self.deadline.remaining_s()
                ):
                    handles.remove(handle)
                    self._process(handle, outcome)
                if self._in_order and self.plan.use_workers and self.deadline.clock() - self._start_s > 2:
                    self.evaluator.start()
        except KeyboardInterrupt:
            self.stop_reason = "interrupted"
        logger.info("search ended: %s; %d trials", self.stop_reason, len(self.records))
        self._close_running()

    def _fill(self, handles: list[Handle]) -> None:
        # Beside jobs that wait for workers which are late, the calling process does one itself.
        while len(handles) < self.n_jobs + self._workers_are_late() and not self.stop_reason:
            if not self._in_order and any(handle.future is None for handle in handles):
                # The calling process is busy with this one; what comes next can wait for it.
                return
            job = self._next_job()
            if job is None:
                return
            keeps_deadline = job.configuration.strategy in self.strategies_with_deadline
            kill_after_s = job.limit_s + (_GRACE_S if keeps_deadline else _IMPORT_S)
            kill_after_s = min(kill_after_s, LONGEST_EVALUATION_S)
            handles.append(self.evaluator.submit(job, inline=self._is_inline(job), kill_after_s=kill_after_s))

    def _why_nothing_follows(self) -> str:
        """Return why no further trial starts although neither seconds nor trials are used up."""
        left = self.available - self._given_up()
        if not left:
            return "every strategy kept failing"
        was_cut = bool(self.records) and self.records[-1].status == "stopped"
        is_late = was_cut or self._is_nearly_over() or not all(self._fits_in_time(name) for name in left)
        if self.budget.has_time_limit and is_late:
            return "the time left is too short for another trial"
        return "there is nothing more to try"

    def _is_nearly_over(self) -> bool:
        return self.budget.has_time_limit and self.deadline.remaining_s() < 0.02 * self._limits.search_s

    def _is_inline(self, job: Job) -> bool:
        """Whether the calling process evaluates a job, because workers are not there (yet)."""
        name = job.configuration.strategy
        return not self.evaluator.ready and self._needs_no_worker(name, is_first=job.trial == self.records[0].number)

    def _needs_no_worker(self, strategy: str, *, is_first: bool) -> bool:
        if strategy in self.quick_strategies:
            return True
        # Workers will be there in seconds: only what ends about as soon, and one model for certain.
        waits = self.plan.use_workers and self.budget.has_time_limit and not self._workers_are_late()
        return strategy in self.strategies_with_deadline and (is_first or not waits)

    def _workers_are_late(self) -> bool:
        """Whether worker processes take longer to start than waiting for them is worth, as on a busy machine."""
        is_started = self.plan.use_workers and self.budget.has_time_limit and not self.evaluator.ready
        return is_started and self.deadline.clock() - self._start_s > _WORKERS_LATE_S

    def _next_job(self) -> Job | None:
        for running in list(self._running):
            if not self._may_start_step(running):
                continue
            job = self._job(running)
            if job is not None:
                return job
            self._end(running, "stopped")
        asked = self._ask()
        if asked is None:
            return None
        job = self._job(asked)
        if job is None:
            self._finish(asked, "stopped")
        return job

    def _may_start_step(self, running: _Running) -> bool:
        if running.ends_as is not None or running.n_started >= len(running.steps):
            return False
        # Steps up to the first fold at anchor 1 decide on pruning, so they go one by one;
        # the other folds may run side by side.
        gates = len(self.plan.anchors)
        return running.n_in_flight == 0 or len(running.record.evaluations) >= gates

    def _job(self, running: _Running) -> Job | None:
        """Return the next step of a trial as a job, None if the time left is too short for it."""
        anchor, fold = running.steps[running.n_started]
        configuration = running.record.configuration
        has_model = not math.isnan(self.first_model_s)
        if has_model and self.preparation_s(configuration.strategy, fold) > self.deadline.remaining_s():
            return None
        try:
            self.prepare(configuration.strategy, fold)
        except (OSError, MemoryError) as error:
            # A full disk, for instance: what was fitted so far is still good.
            logger.warning("the search ends early, the table cannot be prepared: %s", error)
            running.record.error = f"{type(error).__name__}: {error}"
            self.stop_reason = self.stop_reason or "the table could not be prepared"
            return None
        has_trial = any(record.status == "ok" for record in self.records)
        limit_s = self._limits.of_evaluation(configuration.strategy, anchor, has_model=has_model, has_trial=has_trial)
        if limit_s is None:
            return None
        running.n_started += 1
        running.n_in_flight += 1
        n_threads = 1 if self.plan.use_workers else self.n_threads_inline
        ends_at_s = time.time() + self.deadline.remaining_s()
        return Job(running.record.number, configuration, anchor, fold, self.seed, limit_s, ends_at_s, n_threads)

    # ------------------------------------------------------------------ trials

    def _ask(self) -> _Running | None:
        if self.budget.n_trials is not None and self._n_asked >= self.budget.n_trials:
            if not self._running:
                self.stop_reason = "all trials are done"
            return None
        if self._n_asked and self._is_nearly_over():
            return None
        try:
            if not self._enqueue_next():
                return None
            trial, configuration = ask_configuration(self.study, self.strategies)
            while configuration.strategy not in self.available:
                # Queued by somebody else: the user, another machine, a run that was killed.
                self.study.tell(trial, state=TrialState.FAIL)
                trial, configuration = ask_configuration(self.study, self.strategies)
        except Exception as error:
            self._storage_failed(error)
            return None
        record = TrialRecord(trial.number, configuration)
        self.records.append(record)
        self._n_asked += 1
        steps = [(anchor, 0) for anchor in self.plan.anchors]
        steps += [(1.0, fold) for fold in range(1, self.n_folds)]
        running = _Running(trial, record, steps)
        self._running.append(running)
        logger.debug("trial %d: %s", trial.number, configuration.key)
        return running

    def _enqueue_next(self) -> bool:
        """Queue what to try next; False when nothing fits into the time left."""
        if self._first:
            enqueue(self.study, self._first.pop(0))
            return True
        seen = [*self.history, *(placeholder(r.record.configuration) for r in self._running)]
        proposal = self.policy.propose(self.task, seen, self.deadline.remaining_s())
        given_up = self._given_up()
        for configuration in self._at_once_first(self._cheapest_first(proposal.configurations)):
            if configuration.strategy not in given_up and self._fits_in_time(configuration.strategy):
                enqueue(self.study, configuration)
                return True
        affordable = {
            strategy.name: proposal.probabilities[strategy.name]
            for strategy in self.strategies
            if strategy.name in proposal.probabilities
            and strategy.name not in given_up
            and strategy.space.distributions
            and self._fits_in_time(strategy.name)
        }
        if not affordable:
            return False
        weights = np.array([p / (1 + self._n_in_vain(name)) for name, p in affordable.items()])
        if not weights.sum() > 0:
            # A policy may give nothing to all that is affordable.
            weights = np.ones(len(affordable))
        enqueue_strategy(self.study, str(self._rng.choice(list(affordable), p=weights / weights.sum())))
        return True

    def _fits_in_time(self, strategy: str) -> bool:
        # As long as there is no model, anything is tried.
        return math.isnan(self.first_model_s) or self._limits.fits(strategy)

    def _cheapest_first(self, configurations: Sequence[Configuration]) -> Sequence[Configuration]:
        """Return what a policy proposes; when time runs and a trial ended without a model, by strategies' costs."""
        has_time = not self.budget.has_time_limit or not math.isnan(self.first_model_s)
        if has_time or all(record.status == "running" for record in self.records):
            return configurations
        costs = {strategy.name: strategy.cost for strategy in self.strategies}
        return sorted(configurations, key=lambda configuration: costs.get(configuration.strategy, math.inf))

    def _at_once_first(self, configurations: Sequence[Configuration]) -> Sequence[Configuration]:
        """Return what is proposed; while workers start, first new strategies that need none, then short trials."""
        if self.evaluator.ready or not (self.plan.use_workers and self.budget.has_time_limit):
            return configurations
        tried = {record.configuration.strategy for record in self.records}

        def wait(configuration: Configuration) -> tuple[bool, bool]:
            name, is_first = configuration.strategy, not self.records
            is_short = name not in tried or self._limits.of_trial_s(name) <= _LONGEST_MEANWHILE_S
            at_once = is_short and self._needs_no_worker(name, is_first=is_first)
            return not at_once, at_once and name in tried

        return sorted(configurations, key=wait)

    def _n_in_vain(self, strategy: str) -> int:
        """Return how many trials of a strategy ended since its best one."""
        own = [r for r in self.records if r.configuration.strategy == strategy and r.status != "running"]
        losses = [r.loss if r.status == "ok" else math.inf for r in own]
        return len(own) - 1 - int(np.argmin(losses)) if own else 0

    def _given_up(self) -> set[str]:
        """Return the strategies that failed several times on this task and never succeeded."""
        failures: dict[str, int] = {}
        for evaluation in self.history:
            name = evaluation.configuration.strategy
            failures[name] = -(10**9) if evaluation.status == "ok" else failures.get(name, 0) + 1
        return {name for name, n in failures.items() if n >= _MOST_FAILURES}

    def _process(self, handle: Handle, outcome: Outcome) -> None:
        running = next(r for r in self._running if r.record.number == handle.job.trial)
        running.n_in_flight -= 1
        evaluation, record = outcome.evaluation, running.record
        record.evaluations.append(evaluation)
        self.history.append(evaluation)
        if evaluation.status != "ok":
            record.error = evaluation.error
            self._end(running, evaluation.status)
            return
        self._limits.add(evaluation)
        if evaluation.anchor == 1 and outcome.predictions is not None:
            record.predictions[evaluation.fold] = outcome.predictions
            if outcome.n_iterations is not None:
                record.n_iterations[evaluation.fold] = outcome.n_iterations
        if math.isnan(self.first_model_s):
            self.first_model_s = self.deadline.clock() - self._start_s
        if running.ends_as is not None:
            self._end(running, running.ends_as)
        elif len(record.evaluations) == len(running.steps):
            self._finish(running, "ok")
        elif self._should_prune(running, len(record.evaluations)):
            self._end(running, "pruned")

    def _should_prune(self, running: _Running, step: int) -> bool:
        try:
            running.trial.report(running.record.mean_loss(), step)
            return running.trial.should_prune()
        except Exception as error:
            self._storage_failed(error)
            return False

    def _end(self, running: _Running, status: TrialStatus) -> None:
        """Start nothing more of a trial, and finish it once nothing of it is under way."""
        running.ends_as = running.ends_as or status
        if running.n_in_flight == 0:
            self._finish(running, running.ends_as)

    def _finish(self, running: _Running, status: TrialStatus) -> None:
        """End a trial here and in the study."""
        self._running.remove(running)
        record = running.record
        record.status, record.ended_s = status, self.deadline.clock() - self._start_s
        record.loss = record.mean_loss() if record.predictions else math.nan
        state = {"ok": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "stopped": TrialState.PRUNED}.get(
            status, TrialState.FAIL
        )
        if state == TrialState.PRUNED and not record.evaluations:
            state = TrialState.FAIL
        try:
            running.trial.set_user_attr("status", status)
            if record.error:
                running.trial.set_user_attr("error", record.error)
            frozen = self.study.tell(running.trial, record.loss if state == TrialState.COMPLETE else None, state=state)
        except Exception as error:
            self._storage_failed(error)
            return
        if status == "ok":
            logger.info("trial %d: loss %.6g with %s", record.number, record.loss, record.configuration.key)
        elif record.error:
            logger.info("trial %d %s: %s (%s)", record.number, status, record.error, record.configuration.strategy)
        self._forget_weak_models()
        self._leave_time_for_refit()
        self.on_trial(self.records)
        self._call_back(frozen)

    def _leave_time_for_refit(self) -> None:
        """End the search sooner where the best trial needs more time to be fitted on all rows than the plan leaves.

        Without it a trial that takes long would enter the ensemble as the model of a part of the rows.
        """
        complete = [record for record in self.records if record.status == "ok"]
        if not (self.plan.refit_share and complete and self.budget.has_time_limit):
            return
        best = min(complete, key=lambda record: (record.loss, record.number))
        whole_s = self._limits.search_s / (1 - self.plan.refit_share)
        preparation_s = self.preparation_s(best.configuration.strategy, ALL_ROWS)
        needed_s = best.refit_s(self.plan.growth, preparation_s)
        more_s = needed_s - self.plan.refit_share * whole_s if needed_s <= _MOST_REFIT_SHARE * whole_s else 0.0
        self._limits.deadline = self._planned_end.sooner(max(0.0, more_s))
        self.deadline = self._limits.deadline

    def _close_running(self) -> None:
        for running in list(self._running):
            complete = len(running.record.predictions) == self.n_folds
            self._finish(running, "ok" if complete else "stopped")

    def _forget_weak_models(self) -> None:
        """Delete models that cannot enter the ensemble, so that disk use stays bounded."""
        complete = sorted((r for r in self.records if r.status == "ok" and r.predictions), key=lambda r: r.loss)
        if not complete:
            return
        kept = {record.number for record in candidates(complete, self.plan.max_members)}
        for record in self.records:
            if record.predictions and record.status != "running" and record.number not in kept:
                record.predictions.clear()
                self.drop_models(record.number)

    def _call_back(self, frozen: FrozenTrial) -> None:
        if not self.callbacks:
            return
        # Optuna's own callbacks end a study with `study.stop()`, which it allows only while
        # these two private marks are set.
        local = self.study._thread_local
        before = local.in_optimize_loop
        local.in_optimize_loop = True
        self.study._stop_flag = False
        try:
            for callback in self.callbacks:
                callback(self.study, frozen)
        finally:
            local.in_optimize_loop = before
        if self.study._stop_flag:
            self.stop_reason = "stopped by a callback"

    # ------------------------------------------------------------------ storage

    def _beat(self) -> None:
        if not has_heartbeat(self.study) or self.deadline.clock() - self._last_heartbeat_s < _HEARTBEAT_S:
            return
        self._last_heartbeat_s = self.deadline.clock()
        try:
            for running in self._running:
                record_heartbeat(self.study, running.trial)
        except Exception as error:
            self._storage_failed(error)

    def _storage_failed(self, error: Exception) -> None:
        """End the search, keeping its models: a storage that is gone must not cost the user the fit."""
        if isinstance(error, optuna.exceptions.UpdateFinishedTrialError):
            # Another process took this trial for dead, because a long evaluation kept us from
            # sending heartbeats: its result counts here all the same.
            return
        if math.isnan(self.first_model_s) and isinstance(error, (TypeError, ValueError)):
            raise error
        if not self.stop_reason:
            logger.warning("the study's storage failed, so the search ends early: %s: %s", type(error).__name__, error)
            self.stop_reason = "the study's storage failed"


def placeholder(configuration: Configuration) -> Evaluation:
    """Return an evaluation that tells the policy that a configuration is being tried."""
    return Evaluation(configuration, 1.0, 0, math.nan, 0.0, 0.0, "failed", "running")
