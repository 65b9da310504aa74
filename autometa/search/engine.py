"""The search: ask, evaluate fold by fold, report or prune, tell; until the deadline."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from optuna.study import Study
from optuna.trial import Trial

from autometa.core.budget import Budget, Deadline
from autometa.core.evaluation import Evaluation
from autometa.core.proposal import Policy, Prediction
from autometa.core.space import Configuration
from autometa.core.strategy import Strategy
from autometa.core.task import TaskDescription
from autometa.evaluation.jobs import Evaluator, Handle, Job, Outcome
from autometa.evaluation.workspace import ALL_ROWS
from autometa.search.next_configuration import NextConfiguration, Situation
from autometa.search.plan import Plan
from autometa.search.resume import Earlier
from autometa.search.search_state import SearchState
from autometa.search.study_link import StudyCallback, StudyLink
from autometa.search.time_limits import LONGEST_EVALUATION_S, TimeLimits
from autometa.search.trial_records import TrialRecord, TrialStatus, candidates

logger = logging.getLogger(__name__)

# Seconds over the deadline at which learners that keep it are killed.
_GRACE_S = 6.0
# The other learners are killed at their limit, plus the seconds that the import of a library may take.
_IMPORT_S = 2.0
# The refit of the best trial on all rows takes at most this fraction of the search's time.
_MOST_REFIT_SHARE = 0.5
# Seconds after which workers that are not ready are late; on an idle machine they take two.
_WORKERS_LATE_S = 3.0


@dataclass
class _Running:
    """A trial in progress."""

    trial: Trial
    record: TrialRecord
    n_started: int = 0
    n_in_flight: int = 0
    ends_as: TrialStatus | None = None  # decided while some of its evaluations have not ended


@dataclass
class Search:
    """One run of a study on a task.

    Parameters
    ----------
    task : TaskDescription
        Describes the task to the policy.
    policy : Policy
        Proposes what to try next.
    strategies : sequence of Strategy
        Every strategy of the study's space.
    evaluator : Evaluator
        Runs the evaluations.
    available : set of str
        Names of the strategies that suit the task.
    study : optuna.Study
        Holds the trials.
    plan : Plan
        Folds and use of time.
    n_folds : int
        Number of folds to evaluate.
    budget : Budget
        Limit on the run.
    deadline : Deadline
        When the search must have ended; its clock is the only one that the search reads.
    n_jobs : int
        Evaluations at a time, or threads of each where there are no workers.
    seed : int
        Seed of the run.
    earlier : Earlier
        Results of earlier runs of the study on the same rows, and what to try first.
    rows : str
        Digest of the rows, kept with the trials; empty to keep nothing.
    callbacks : sequence of callable
        Called as ``callback(study, trial)`` after each trial; ``study.stop()`` ends the search.
    temperature : float
        Temperature of the softmax over strategies.
    on_trial : callable
        Called with the records after each trial, for progress.
    before : SearchState
        The search that this one goes on from, with the same study, rows and folds.

    Attributes
    ----------
    records : list of TrialRecord
        The trials, in the order in which they were started; those of `before` come first.
    history : list of Evaluation
        The evaluations, in the order in which they ended.
    first_model_s : float
        Seconds from the start to the first usable model; NaN before.
    """

    task: TaskDescription
    policy: Policy
    strategies: Sequence[Strategy]
    evaluator: Evaluator
    available: set[str]
    study: Study
    plan: Plan
    n_folds: int
    budget: Budget
    deadline: Deadline
    n_jobs: int
    seed: int
    earlier: Earlier = Earlier()
    rows: str = ""
    callbacks: Sequence[StudyCallback] = ()
    temperature: float = 1.0
    on_trial: Callable[[Sequence[TrialRecord]], None] = lambda records: None
    before: SearchState = field(default_factory=SearchState)

    records: list[TrialRecord] = field(default_factory=list, init=False)
    history: list[Evaluation] = field(default_factory=list, init=False)
    first_model_s: float = field(default=math.nan, init=False)

    def __post_init__(self) -> None:
        self._start_s, self._planned_end = self.deadline.clock(), self.deadline
        self.records, self.history = self.before.copied_records(), list(self.before.history)
        self.first_model_s = self.before.first_model_s
        self._running: list[_Running] = []
        costs = {strategy.name: strategy.cost for strategy in self.strategies}
        self._limits = TimeLimits(self.budget, self.deadline, self.plan, self.n_folds, self.n_jobs, costs)
        for evaluation in (*self.earlier.known, *self.history):
            self._limits.add(evaluation)
        self._next = NextConfiguration(
            self.task,
            self.policy,
            self.strategies,
            self.plan,
            self.budget,
            self._limits,
            self.evaluator,
            self.earlier,
            self.seed,
            self.temperature,
        )
        self._link = StudyLink(self.study, self.strategies, self.available, self.callbacks, self.rows)
        self._link.has_model = self.has_model
        self._stop_reason = ""
        # Without a time limit results must not depend on which evaluation ends first.
        self._in_order = not self.budget.has_time_limit

    @property
    def stop_reason(self) -> str:
        """Why the search ended; empty while it goes on."""
        return self._stop_reason or self._link.stop_reason

    @property
    def expected(self) -> Mapping[Configuration, Prediction]:
        """Predictions of the policy for each configuration, the last ones before the configuration was tried."""
        return {**self.before.expected, **self._next.expected}

    @property
    def origins(self) -> Mapping[Configuration, str]:
        """Where configurations came from, but for those of the study's sampler."""
        return {**self.before.origins, **self._next.origins}

    @property
    def probabilities(self) -> Mapping[str, float]:
        """Probabilities of the strategies that the search last acted on; empty before the first proposal."""
        return self._next.probabilities

    @property
    def n_started(self) -> int:
        """Number of trials that this search has started."""
        return len(self.records) - len(self.before.records)

    @property
    def has_model(self) -> bool:
        """Whether any evaluation has succeeded."""
        return not math.isnan(self.first_model_s)

    @property
    def n_threads(self) -> int:
        """Threads of one evaluation: a worker has one, the calling process all."""
        return 1 if self.plan.use_workers else self.n_jobs

    # ------------------------------------------------------------------ the loop

    def run(self) -> None:
        """Search until the budget ends, Ctrl-C, ``study.stop()``, or nothing is left to try."""
        if self.plan.use_workers and not self._in_order:
            self.evaluator.start()
        handles: list[Handle] = []
        try:
            while not self.stop_reason:
                if self.deadline.passed():
                    self._stop_reason = "the time budget is used up"
                    break
                self._fill(handles)
                if not handles:
                    self._stop_reason = self.stop_reason or self._why_nothing_follows()
                    break
                self._link.beat([running.trial for running in self._running], self.deadline.clock())
                for handle, outcome in self.evaluator.wait(
                    handles, in_order=self._in_order, timeout_s=self.deadline.remaining_s()
                ):
                    handles.remove(handle)
                    self._process(handle, outcome)
                if self._in_order and self.plan.use_workers and self.deadline.clock() - self._start_s > 2:
                    self.evaluator.start()
        except KeyboardInterrupt:
            self._stop_reason = "interrupted"
        logger.info("search ended: %s; %d trials", self.stop_reason, len(self.records))
        self._close_running()

    def _fill(self, handles: list[Handle]) -> None:
        # When workers are late, the calling process runs one job itself beside those that wait for them.
        while len(handles) < self.n_jobs + self._workers_are_late() and not self.stop_reason:
            if not self._in_order and any(handle.future is None for handle in handles):
                # The calling process is going to run this one; the next job can wait for it.
                return
            job = self._next_job()
            if job is None:
                return
            keeps_deadline = job.configuration.strategy in self.evaluator.keeping_deadline
            kill_after_s = job.limit_s + (_GRACE_S if keeps_deadline else _IMPORT_S)
            kill_after_s = min(kill_after_s, LONGEST_EVALUATION_S)
            handles.append(self.evaluator.submit(job, inline=self._is_inline(job), kill_after_s=kill_after_s))

    def _why_nothing_follows(self) -> str:
        was_cut = bool(self.records) and self.records[-1].status == "stopped"
        return self._next.why_nothing(self._situation(), self.available, is_late=was_cut or self._is_nearly_over())

    def _is_nearly_over(self) -> bool:
        return self.budget.has_time_limit and self.deadline.remaining_s() < 0.02 * self._limits.search_s

    def _is_inline(self, job: Job) -> bool:
        """Whether the calling process runs a job, because workers are not ready."""
        is_first = job.trial == self.records[0].number
        return not self.evaluator.ready and self._next.needs_no_worker(
            job.configuration.strategy, is_first=is_first, workers_late=self._workers_are_late()
        )

    def _workers_are_late(self) -> bool:
        """Whether worker processes take too long to start, as on a busy machine."""
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
        if running.ends_as is not None or running.n_started >= self.n_folds:
            return False
        # The first fold decides on pruning; the other folds may run side by side.
        return running.n_in_flight == 0 or len(running.record.evaluations) >= 1

    def _job(self, running: _Running) -> Job | None:
        """Return the next step of a trial as a job, None if the time left is too short for it."""
        fold = running.n_started
        configuration = running.record.configuration
        preparation_s = self.evaluator.preparation_s(configuration.strategy, fold)
        if self.has_model and preparation_s > self.deadline.remaining_s():
            return None
        try:
            self.evaluator.prepare(configuration.strategy, fold)
        except (OSError, MemoryError) as error:
            # A full disk, for instance; the models fitted so far are still good. The system's own words quote no data.
            reason = getattr(error, "strerror", None) or type(error).__name__
            logger.warning("the search ends early, the table cannot be prepared: %s", reason)
            running.record.error = reason
            self._stop_reason = self.stop_reason or "the table could not be prepared"
            return None
        has_trial = any(record.is_complete for record in self.records)
        limit_s = self._limits.of_evaluation(configuration.strategy, has_model=self.has_model, has_trial=has_trial)
        if limit_s is None:
            return None
        running.n_started += 1
        running.n_in_flight += 1
        ends_at_s = time.time() + self.deadline.remaining_s()
        return Job(running.record.number, configuration, 1.0, fold, self.seed, limit_s, ends_at_s, self.n_threads)

    # ------------------------------------------------------------------ trials

    def _ask(self) -> _Running | None:
        if self.budget.n_trials is not None and self.n_started >= self.budget.n_trials:
            if not self._running:
                self._stop_reason = "all trials are done"
            return None
        if self.records and self._is_nearly_over():
            return None
        asked = self._link.ask(lambda: self._next.choose(self._situation()))
        if asked is None:
            return None
        trial, configuration = asked
        record = TrialRecord(trial.number, configuration)
        self.records.append(record)
        running = _Running(trial, record)
        self._running.append(running)
        logger.debug("trial %d: %s", trial.number, configuration.key)
        return running

    def _situation(self) -> Situation:
        # An earlier search with more time may have tried strategies that are too slow for this one.
        history = [e for e in self.history if e.configuration.strategy in self.available]
        return Situation(
            self.records,
            history,
            self.deadline.remaining_s(),
            has_model=self.has_model,
            workers_late=self._workers_are_late(),
        )

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
        if outcome.predictions is not None:
            record.predictions[evaluation.fold] = outcome.predictions
            if outcome.n_iterations is not None:
                record.n_iterations[evaluation.fold] = outcome.n_iterations
        if not self.has_model:
            self.first_model_s = self.deadline.clock() - self._start_s
            self._link.has_model = True
        if running.ends_as is not None:
            self._end(running, running.ends_as)
        elif len(record.evaluations) == self.n_folds:
            self._finish(running, "cut_short" if record.is_cut_short else "ok")
        elif self._link.should_prune(
            running.trial, record.mean_loss(), len(record.evaluations)
        ) and not self._next.must_be_kept(record.configuration):
            self._end(running, "pruned")

    def _end(self, running: _Running, status: TrialStatus) -> None:
        """Start no further fold of a trial, and finish it once all folds that were started have ended."""
        running.ends_as = running.ends_as or status
        if running.n_in_flight == 0:
            self._finish(running, running.ends_as)

    def _finish(self, running: _Running, status: TrialStatus) -> None:
        """End a trial here and in the study."""
        self._running.remove(running)
        record = running.record
        record.status, record.ended_s = status, self.before.total_s + self.deadline.clock() - self._start_s
        record.loss = record.mean_loss() if record.predictions else math.nan
        frozen = self._link.tell(running.trial, record)
        if frozen is None:
            return
        if record.is_complete:
            logger.info("trial %d: loss %.6g with %s", record.number, record.loss, record.configuration.key)
        elif record.error:
            logger.info("trial %d %s: %s (%s)", record.number, status, record.error, record.configuration.strategy)
        self._forget_weak_models()
        self._leave_time_for_refit()
        self.on_trial(self.records)
        self._link.call_back(frozen)

    def _leave_time_for_refit(self) -> None:
        """Move the deadline forward if the refit of the best trial on all rows takes longer than the plan leaves.

        Otherwise a slow trial would enter the ensemble with a model of a part of the rows.
        """
        complete = [record for record in self.records if record.is_complete]
        if not (self.plan.refit_share and complete and self.budget.has_time_limit):
            return
        best = min(complete, key=lambda record: (record.loss, record.number))
        whole_s = self._limits.search_s / (1 - self.plan.refit_share)
        preparation_s = self.evaluator.preparation_s(best.configuration.strategy, ALL_ROWS)
        needed_s = best.refit_s(self.plan.growth, preparation_s)
        # How long a fit that was cut short would have taken is unknown.
        is_worth_it = best.status == "ok" and needed_s <= _MOST_REFIT_SHARE * whole_s
        more_s = needed_s - self.plan.refit_share * whole_s if is_worth_it else 0.0
        self._limits.deadline = self._planned_end.sooner(max(0.0, more_s))
        self.deadline = self._limits.deadline

    def keep_ensemble(self, weights: Mapping[int, float]) -> None:
        """Keep the weights of the trials in the ensemble with the study."""
        if self.rows:
            self._link.keep_ensemble(weights)

    def _close_running(self) -> None:
        for running in list(self._running):
            record = running.record
            complete: TrialStatus = "cut_short" if record.is_cut_short else "ok"
            self._finish(running, complete if len(record.predictions) == self.n_folds else "stopped")

    def _forget_weak_models(self) -> None:
        """Delete models that cannot enter the ensemble, so that disk use stays bounded."""
        complete = sorted((r for r in self.records if r.is_complete and r.predictions), key=lambda r: r.loss)
        if not complete:
            return
        kept = {record.number for record in candidates(complete, self.plan.max_members)}
        for record in self.records:
            if record.predictions and record.status != "running" and record.number not in kept:
                record.predictions.clear()
                self.evaluator.drop_models(record.number)
