"""One fit from a cleaned task to a fitted ensemble: plan and search; `ensembling` has the rest."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from optuna.study import Study

from autometa._support.imports import is_installed
from autometa._support.machine import available_bytes
from autometa._support.progress import ProgressBar
from autometa._support.seeds import child_seed
from autometa._support.user_warnings import warn_user
from autometa.core.budget import Budget, Deadline
from autometa.core.evaluation import Evaluation
from autometa.core.proposal import ExplainingPolicy, Policy, Prediction
from autometa.core.space import Configuration
from autometa.core.strategy import Strategy
from autometa.core.task import TaskDescription
from autometa.ensemble.predictor import FittedPredictor
from autometa.ensembling import make_ensemble, warning_about
from autometa.evaluation.metrics import Metric
from autometa.evaluation.resampling import Fold, make_folds
from autometa.evaluation.workers import Workers
from autometa.evaluation.workspace import Workspace
from autometa.exceptions import MetaDatasetError, SearchFailedError
from autometa.learners import learner_named, learner_of
from autometa.metadataset.experience import remember
from autometa.policy.registry import (
    DEFAULT_POLICY,
    PRIOR,
    make_policy,
    policy_in_time,
    strategies_without_records,
)
from autometa.report import opening_line
from autometa.search.engine import Search, StudyCallback
from autometa.search.identity import identify
from autometa.search.plan import make_plan
from autometa.search.resume import recall_study
from autometa.search.search_history import SearchHistory, strategy_rows, trial_rows
from autometa.search.studies import open_study
from autometa.search.trial_records import TrialRecord
from autometa.tables.features import describe
from autometa.tables.preparation import most_cells
from autometa.tables.table_task import Task

logger = logging.getLogger(__name__)

# Cells up to which strategies called quick are.
_MAX_QUICK_CELLS = 300_000


@dataclass(frozen=True)
class Settings:
    """How to fit; see ``AutoMeta`` for the meaning of each field."""

    budget: Budget
    deadline: Deadline
    n_jobs: int
    ensemble_size: int
    memory_bytes: int | None
    cv: int | tuple[Fold, ...] | None
    study: Study | None
    storage: Any
    study_name: str | None
    callbacks: Sequence[StudyCallback]
    progress: bool | None
    seed: int
    policy: str | Path | Policy = DEFAULT_POLICY
    experience: Path | None = None


@dataclass(frozen=True)
class Fitted:
    """What a fit leaves behind."""

    predictor: FittedPredictor
    history: SearchHistory
    study: Study


def fit_task(task: Task, metric: Metric, strategies: Sequence[Strategy], settings: Settings) -> Fitted:
    """Return the ensemble that a search finds for `task`.

    Raises
    ------
    SearchFailedError
        If no strategy suits the task, or no trial gave a usable model.
    ValueError
        If the study, the splitter or the metric does not suit the task.
    """
    start_s = time.monotonic()
    available, reasons = available_strategies(strategies, task)
    wanted = policy_in_time(settings.policy, settings.budget.time_s)
    description = describe_task(task, metric, wanted)
    n_folds = settings.cv if isinstance(settings.cv, int) else None
    plan = make_plan(description, settings.budget, settings.n_jobs, n_folds)
    if isinstance(settings.cv, tuple):
        folds = settings.cv
    else:
        n_kept = 1 if plan.is_holdout else None
        folds = make_folds(task, plan.n_splits, child_seed(settings.seed, "folds"), n_kept=n_kept)
    n_at_a_time = settings.n_jobs if plan.use_workers else 1
    description = replace(
        description,
        fits_in_turn=max(1.0, len(folds) / n_at_a_time),
        train_share=float(np.mean([len(fold.train) for fold in folds])) / task.n_rows,
    )
    identity = identify(task, metric.name)
    study = open_study(
        settings.study,
        settings.storage,
        settings.study_name,
        seed=child_seed(settings.seed, "sampler"),
        strategies=strategies,
        task=identity.task,
    )
    is_small = task.n_rows * task.table.n_columns <= _MAX_QUICK_CELLS
    learners = {strategy.name: learner_of(strategy) for strategy in available}
    if not plan.use_workers:
        alone = {
            name for name, learner in learners.items() if learner.keeps_deadline or (learner.is_quick and is_small)
        }
        for strategy in available:
            if alone and strategy.name not in alone:
                reasons[strategy.name] = "left out: too slow for this time_budget"
        available = [strategy for strategy in available if strategy.name not in reasons]
    earlier = recall_study(study, available, identity.rows, plan.max_members, in_time=settings.budget.has_time_limit)
    if earlier.first:
        logger.info(
            "the study goes on: %d evaluations of these rows are known, %d configurations come first",
            len(earlier.known),
            len(earlier.first),
        )
    policy = make_policy(wanted, available, settings.experience)
    unknown = strategies_without_records(policy, available, description)
    advice = policy.propose(description, (), settings.deadline.remaining_s())
    expected: Mapping[Configuration, Prediction] = {}
    if isinstance(policy, ExplainingPolicy):
        expected = policy.explain(description, (), settings.deadline.remaining_s())
    earlier = recall_study(study, available, identity.rows, plan.max_members)
    if earlier.first:
        logger.info(
            "the study goes on: %d evaluations of these rows are known, %d configurations come first",
            len(earlier.known),
            len(earlier.first),
        )
    budget = settings.budget
    elapsed_s = budget.time_s - settings.deadline.remaining_s() if budget.has_time_limit else 0.0
    bar = ProgressBar(settings.progress, budget.time_s, budget.n_trials, elapsed_s)
    # From here on nothing may fail before the `try` that deletes the folder.
    workspace = Workspace(task, folds, metric, learners, child_seed(settings.seed, "preparation"))
    with_deadline = {name for name, learner in learners.items() if learner.keeps_deadline}
    quick = {name for name, learner in learners.items() if learner.is_quick and is_small}
    memory_bytes = _memory_per_worker(most_cells(task.table), settings)
    workers = Workers(workspace.folder, settings.n_jobs, memory_bytes, with_deadline | quick)

    def prepare(strategy: str, fold: int) -> None:
        workspace.prepare(fold, learners[strategy].view)

    def preparation_s(strategy: str, fold: int) -> float:
        return workspace.expected_s(fold, learners[strategy].view)

    def show(records: Sequence[TrialRecord]) -> None:
        losses = [record.loss for record in records if record.is_complete]
        ended = sum(record.status != "running" for record in records)
        bar.update(ended, f"{metric.score(min(losses)):.5g}" if losses else "–")

    reserve_s = (
        plan.finish_s + plan.refit_share * settings.deadline.remaining_s() if settings.budget.has_time_limit else 0.0
    )
    search = Search(
        task=description,
        policy=policy,
        strategies=strategies,
        evaluator=workers,
        prepare=prepare,
        preparation_s=preparation_s,
        available={strategy.name for strategy in available},
        quick_strategies=quick,
        strategies_with_deadline=with_deadline,
        study=study,
        plan=plan,
        n_folds=len(folds),
        budget=settings.budget,
        deadline=settings.deadline.sooner(reserve_s),
        n_jobs=settings.n_jobs,
        n_threads_inline=settings.n_jobs,
        seed=settings.seed,
        first=earlier.first,
        known=earlier.known,
        rows=identity.rows,
        callbacks=settings.callbacks,
        on_trial=show,
        drop_models=workspace.drop_models,
    )
    try:
        logger.info(opening_line(search, task.table.schema, settings.deadline))
        search.run()
        ensemble = make_ensemble(
            search, workspace, workers, task, metric, size=settings.ensemble_size, deadline=settings.deadline
        )
        bar.complete()
    finally:
        workers.stop()
        workspace.close()
        bar.close()
    search.keep_ensemble(ensemble.weights)
    if text := warning_about(ensemble, search, metric):
        warn_user(text)
    if settings.experience is not None:
        _remember(settings.experience, task, description, search.history, settings.seed)
    probabilities = policy.propose(description, search.history, math.inf).probabilities
    last_expected = {**expected, **search.expected}
    history = SearchHistory(
        metric=metric.name,
        trials=trial_rows(search.records, ensemble.weights, last_expected),
        strategies=strategy_rows(
            [strategy.name for strategy in strategies],
            probabilities,
            reasons | dict.fromkeys(unknown, "no records: tried by exploration"),
            (*advice.configurations, *expected),
            last_expected,
        ),
        ensemble_loss=ensemble.loss,
        stop_reason=search.stop_reason,
        first_model_s=search.first_model_s,
        total_s=time.monotonic() - start_s,
    )
    return Fitted(ensemble.predictor, history, study)


def describe_task(task: Task, metric: Metric, policy: str | Path | Policy) -> TaskDescription:
    """Return the description of a task that the policy is given; the hand-made one looks at sizes alone."""
    spread = 1.0
    if task.problem == "regression":
        # Relative to the largest value, as squares of 1e200 are infinite.
        largest = float(np.abs(task.y).max()) or 1.0
        spread = largest * float(np.std(task.y / largest))
    unit = {"rmse": spread, "mae": spread, "median_absolute_error": spread, "mse": spread * spread}.get(
        metric.name, 1.0
    )
    return replace(
        task.describe(),
        metric=metric.name,
        loss_unit=unit if 0 < unit < math.inf else 1.0,
        features={} if policy == PRIOR else describe(task),
    )


def _remember(
    folder: Path,
    task: Task,
    description: TaskDescription,
    history: Sequence[Evaluation],
    seed: int,
) -> None:
    """Add what was measured to the user's experience; a fit is not lost with it."""
    if not description.features:
        description = replace(description, features=describe(task))
    try:
        remember(folder, description, history, seed)
    except (MetaDatasetError, OSError) as error:
        logger.warning("what this fit has measured was not added to the experience: %s", error)


def available_strategies(strategies: Sequence[Strategy], task: Task) -> tuple[list[Strategy], dict[str, str]]:
    """Return the strategies that suit the task, and why the others do not."""
    description = task.describe()
    reasons: dict[str, str] = {}
    for strategy in strategies:
        reason = strategy.fitness.reason_against(description)
        if not reason and isinstance(strategy.learner, str):
            learner = learner_named(strategy.learner)
            if not is_installed(learner.library):
                reason = f"{learner.library} is not installed"
                if learner.extra:
                    reason += f': pip install "autometa[{learner.extra}]"'
        if reason:
            reasons[strategy.name] = f"left out: {reason}"
    available = [strategy for strategy in strategies if strategy.name not in reasons]
    if not available:
        listed = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise SearchFailedError(f"None of the strategies suits this task. {listed}.")
    return available, reasons


def _memory_per_worker(n_cells: int, settings: Settings) -> int:
    """Return the bytes that one worker may allocate.

    Without a limit of the user's, all workers together may use 2 GiB and ten times the prepared
    table of so many cells, within what the machine has free.
    """
    total = settings.memory_bytes
    if total is None:
        wanted = max(2 * 2**30 + 10 * 4 * n_cells, settings.n_jobs * 768 * 2**20)
        total = min(wanted, int(0.8 * available_bytes()))
    return max(total // settings.n_jobs, 64 * 2**20)
