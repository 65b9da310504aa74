"""The story of a fit, from a cleaned task to a fitted ensemble: plan, search, ensemble, report."""

# Tests: tests/test_estimators.py

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from optuna.study import Study

from autometa._support.imports import is_installed
from autometa._support.machine import available_bytes
from autometa._support.progress import ProgressBar
from autometa._support.seeds import child_seed
from autometa._support.user_warnings import warn_user
from autometa.continued_fit import Conditions, WarmStart, kept_of
from autometa.core.budget import Budget, Deadline
from autometa.core.evaluation import Evaluation
from autometa.core.proposal import ExplainingPolicy, Forecast, ForecastingPolicy, Policy, Prediction, Proposal
from autometa.core.space import Configuration
from autometa.core.strategy import Strategy
from autometa.core.task import TaskDescription
from autometa.ensemble.out_of_fold import MemberPredictions, OutOfFold
from autometa.ensemble.predictor import FittedPredictor, Member
from autometa.ensembling import Ensemble, make_ensemble, warning_about
from autometa.evaluation.metrics import Metric
from autometa.evaluation.resampling import Fold, make_folds, make_time_folds
from autometa.evaluation.workers import Workers
from autometa.evaluation.workspace import Workspace
from autometa.exceptions import MetaDatasetError, SearchFailedError
from autometa.learners import learner_named, learner_of
from autometa.learners.constant import ConstantModel, NoPreparation
from autometa.metadataset.dataset import MetaDataset
from autometa.metadataset.experience import recall_or_warn, remember
from autometa.policy.recognition import remembered_first, table_family
from autometa.policy.registry import (
    DEFAULT_POLICY,
    PRIOR,
    make_policy,
    policy_in_time,
    strategies_without_records,
)
from autometa.posthoc.adjustments import Adjustments, fit_adjustments, label_loss
from autometa.posthoc.score_estimate import ScoreEstimate, estimate_score
from autometa.report import columns_line, opening_line
from autometa.search.engine import Search, StudyCallback
from autometa.search.identity import identify
from autometa.search.plan import Plan, make_plan
from autometa.search.resume import Earlier, recall_study
from autometa.search.search_history import SearchHistory, strategy_rows, trial_rows
from autometa.search.search_state import SearchState
from autometa.search.studies import open_study
from autometa.search.trial_records import TrialRecord
from autometa.tables.features import describe
from autometa.tables.preparation import most_cells
from autometa.tables.table_task import Task

logger = logging.getLogger(__name__)

# Largest table, in cells, on which the fits of learners called quick take well under a second.
_MAX_QUICK_CELLS = 300_000


_MOST_TIME_PARTS = 5
"""Largest number of parts of rows in time: the first part alone is trained on first, and must not be too small."""

_REFIT_SHARE = 0.2
"""Fraction of the time for the final fits on all rows where folds follow time."""


@dataclass(frozen=True)
class Settings:
    """Settings of a fit; see ``AutoMeta`` for the meaning of each field."""

    budget: Budget
    deadline: Deadline
    n_jobs: int
    ensemble_size: int
    memory_bytes: int | None
    cv: int | str | tuple[Fold, ...] | None
    study: Study | None
    storage: Any
    study_name: str | None
    callbacks: Sequence[StudyCallback]
    progress: bool | None
    seed: int
    policy: str | Path | Policy = DEFAULT_POLICY
    policy_temperature: float = 1.0
    experience: Path | None = None
    calibrate: bool = True
    tune_threshold: bool = True
    refits: bool = True  # whether final models may be fitted on validation rows
    conditions: Conditions | None = None  # of the next warm start; None to keep nothing for it
    warm_start: WarmStart | None = None  # what the last fit kept


@dataclass(frozen=True)
class Fitted:
    """The results of a fit."""

    predictor: FittedPredictor
    history: SearchHistory
    study: Study
    adjustments: Adjustments = Adjustments()
    out_of_fold: OutOfFold | None = None
    score_estimate: ScoreEstimate | None = None
    members: MemberPredictions | None = None
    warm_start: WarmStart | None = None


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
    if task.problem == "regression" and np.ptp(task.y) == 0:
        return _fit_constant(float(task.y[0]), metric, strategies, settings)
    with contextlib.ExitStack() as stack:
        search, workspace, notes = _planned(task, metric, strategies, settings, stack)
        remaining_s = settings.deadline.remaining_s()
        advice, expected = advice_before(search.policy, search.task, remaining_s)
        forecast = forecast_of(search.policy, search.task, remaining_s)
        bar = stack.enter_context(contextlib.closing(_progress_bar(settings)))
        search.on_trial = partial(_show, bar, metric, len(search.records))
        logger.info(opening_line(search, task.table.schema, settings.deadline))
        logger.info(columns_line(task.table.schema))
        search.run()
        ensemble = make_ensemble(
            search, workspace, task, metric, size=settings.ensemble_size, deadline=settings.deadline
        )
        bar.complete()
        kept = kept_of(search, workspace, settings.conditions)
    adjustments = fit_adjustments(
        ensemble.out_of_fold,
        task,
        metric,
        calibrate=settings.calibrate,
        tune_threshold=settings.tune_threshold,
        seed=settings.seed,
        deadline=settings.deadline,
    )
    loss = label_loss(ensemble.loss, adjustments, ensemble.out_of_fold, task, metric, settings.seed)
    ensemble = replace(ensemble, loss=loss)
    estimate = estimate_score(
        loss,
        ensemble.out_of_fold,
        ensemble.parts,
        adjustments,
        task,
        metric,
        seed=settings.seed,
        deadline=settings.deadline,
    )
    search.keep_ensemble(ensemble.weights)
    if text := warning_about(ensemble, search, metric):
        warn_user(text)
    if settings.experience is not None:
        new = search.history[len(search.before.history) :]
        _remember(settings.experience, task, search.task, new, settings.seed)
    history = _history(search, ensemble, metric, strategies, notes, advice, expected)
    history.forecast = {} if forecast is None else forecast.values()
    history.total_s = time.monotonic() - start_s
    return Fitted(
        ensemble.predictor, history, search.study, adjustments, ensemble.out_of_fold, estimate, ensemble.members, kept
    )


def _history(
    search: Search,
    ensemble: Ensemble,
    metric: Metric,
    strategies: Sequence[Strategy],
    notes: Mapping[str, str],
    advice: Proposal,
    expected: Mapping[Configuration, Prediction],
) -> SearchHistory:
    last_expected = {**expected, **search.expected}
    return SearchHistory(
        metric=metric.name,
        trials=trial_rows(search.records, ensemble.weights, last_expected, search.origins),
        strategies=strategy_rows(
            [strategy.name for strategy in strategies],
            search.probabilities or advice.probabilities,
            notes,
            (*advice.configurations, *expected),
            last_expected,
        ),
        ensemble_loss=ensemble.loss,
        ensemble_curve=ensemble.curve,
        stop_reason=search.stop_reason,
        first_model_s=search.first_model_s,
    )


def _planned(
    task: Task,
    metric: Metric,
    strategies: Sequence[Strategy],
    settings: Settings,
    stack: contextlib.ExitStack,
) -> tuple[Search, Workspace, dict[str, str]]:
    """Return a search that can run, its workspace, and notes on strategies that it leaves out or does not know.

    `stack` closes the workspace and ends the workers.
    """
    available, notes = available_strategies(strategies, task)
    wanted = policy_in_time(settings.policy, settings.budget.time_s)
    plan, folds = _plan_and_folds(task, settings)
    description = describe_task(
        task,
        metric,
        wanted,
        fits_in_turn=max(1.0, len(folds) / (settings.n_jobs if plan.use_workers else 1)),
        train_share=float(np.mean([len(fold.train) for fold in folds])) / task.n_rows,
    )
    identity = identify(task, metric.name)
    study = _opened_study(strategies, settings, child_seed(settings.seed, "sampler"), identity.task)
    learners = {strategy.name: learner_of(strategy) for strategy in available}
    is_small = task.n_rows * task.table.n_columns <= _MAX_QUICK_CELLS
    quick = frozenset(name for name, learner in learners.items() if learner.is_quick and is_small)
    if not plan.use_workers:
        alone = quick | {name for name, learner in learners.items() if learner.keeps_deadline}
        too_slow = learners.keys() - alone if alone else set()
        notes |= dict.fromkeys(too_slow, "left out: too slow for this time_budget")
        available = [strategy for strategy in available if strategy.name not in too_slow]
    earlier = Earlier()
    if settings.warm_start is None:
        in_time = settings.budget.has_time_limit
        earlier = recall_study(study, available, identity.rows, plan.max_members, in_time=in_time)
    remembered = recall_or_warn(settings.experience)
    policy = make_policy(wanted, available, remembered)
    if settings.experience is not None and not description.features:
        description = replace(description, features=describe(task))
    if not earlier.first and settings.warm_start is None:
        earlier = replace(earlier, first=_first(task, description, remembered, available, settings))
    unknown = strategies_without_records(policy, available, description)
    kept = None if settings.warm_start is None else settings.warm_start.fits
    workspace = Workspace(task, folds, metric, learners, child_seed(settings.seed, "preparation"), kept=kept)
    stack.callback(workspace.close)
    workers = Workers(workspace, settings.n_jobs, memory_per_worker(most_cells(task.table), settings), quick)
    stack.callback(workers.stop)
    search = Search(
        task=description,
        policy=policy,
        strategies=strategies,
        evaluator=workers,
        available={strategy.name for strategy in available},
        study=study,
        plan=plan,
        n_folds=len(folds),
        budget=settings.budget,
        deadline=settings.deadline.sooner(_reserve_s(plan, settings)),
        n_jobs=settings.n_jobs,
        seed=settings.seed,
        earlier=earlier,
        rows=identity.rows,
        callbacks=settings.callbacks,
        temperature=settings.policy_temperature,
        before=SearchState() if settings.warm_start is None else settings.warm_start.search,
    )
    return search, workspace, notes | dict.fromkeys(unknown, "no records: tried by exploration")


def _first(
    task: Task,
    description: TaskDescription,
    remembered: MetaDataset | None,
    available: Sequence[Strategy],
    settings: Settings,
) -> tuple[Configuration, ...]:
    """Return the best configurations of earlier fits of this table, or of tables with its columns."""
    family = table_family(task.table.schema.columns, task.problem)
    first = remembered_first(remembered, description, family, available, settings.deadline.remaining_s())
    if first:
        logger.info("the table is known from earlier fits: %d configurations come first", len(first))
    return first


def _opened_study(strategies: Sequence[Strategy], settings: Settings, seed: int, task: dict[str, Any]) -> Study:
    study, storage, name = settings.study, settings.storage, settings.study_name
    if settings.warm_start is not None:
        study, storage, name = settings.warm_start.study, None, None
    return open_study(study, storage, name, seed=seed, strategies=strategies, task=task)


def _reserve_s(plan: Plan, settings: Settings) -> float:
    """Return the seconds after the search for the ensemble and the refits."""
    if not settings.budget.has_time_limit:
        return 0.0
    return plan.finish_s + plan.refit_share * settings.deadline.remaining_s()


def _progress_bar(settings: Settings) -> ProgressBar:
    budget = settings.budget
    elapsed_s = budget.time_s - settings.deadline.remaining_s() if budget.has_time_limit else 0.0
    return ProgressBar(settings.progress, budget.time_s, budget.n_trials, elapsed_s)


def _show(bar: ProgressBar, metric: Metric, n_before: int, records: Sequence[TrialRecord]) -> None:
    losses = [record.loss for record in records if record.is_complete]
    ended = sum(record.status != "running" for record in records[n_before:])
    bar.update(ended, f"{metric.score(min(losses)):.5g}" if losses else "–")


def _plan_and_folds(task: Task, settings: Settings) -> tuple[Plan, tuple[Fold, ...]]:
    n_folds = settings.cv if isinstance(settings.cv, int) else None
    warm = settings.warm_start
    plan = make_plan(
        task.describe(), settings.budget, settings.n_jobs, n_folds, kept=None if warm is None else warm.plan
    )
    if not settings.refits:
        plan = replace(plan, refit_share=0.0)
    if isinstance(settings.cv, tuple):
        return plan, settings.cv
    if warm is not None and task.times is None:
        return plan, warm.folds
    n_kept = 1 if plan.is_holdout else None
    if task.times is not None:
        # The models of the folds know early rows only, so that the final ones are fitted on all rows.
        plan = replace(plan, n_splits=min(plan.n_splits, _MOST_TIME_PARTS), refit_share=_REFIT_SHARE)
        return plan, make_time_folds(task, plan.n_splits, n_kept=n_kept)
    return plan, make_folds(task, plan.n_splits, child_seed(settings.seed, "folds"), n_kept=n_kept)


def advice_before(
    policy: Policy, description: TaskDescription, remaining_s: float
) -> tuple[Proposal, Mapping[Configuration, Prediction]]:
    """Return a policy's proposal before anything is tried, and its predictions if it makes any."""
    proposal = policy.propose(description, (), remaining_s)
    if isinstance(policy, ExplainingPolicy):
        return proposal, policy.explain(description, (), remaining_s)
    return proposal, {}


def forecast_of(policy: Policy, description: TaskDescription, remaining_s: float) -> Forecast | None:
    """Return what a policy expects of a search before it begins; None if it predicts none."""
    return policy.forecast(description, remaining_s) if isinstance(policy, ForecastingPolicy) else None


def _fit_constant(value: float, metric: Metric, strategies: Sequence[Strategy], settings: Settings) -> Fitted:
    """Return the model of a regression whose target is `value` in every row."""
    warn_user(f"y is {value:g} in every row, so the model predicts {value:g} for every row. Check the target column.")
    member = Member(0, 1.0, [ConstantModel(value)], [0])
    study = _opened_study(strategies, settings, settings.seed, {"problem": "constant"})
    left_out = [{"name": s.name, "probability": None, "note": "left out: y is constant"} for s in strategies]
    history = SearchHistory(
        metric.name, strategies=left_out, ensemble_loss=0.0, stop_reason="y is constant", first_model_s=0.0
    )
    return Fitted(FittedPredictor([member], [NoPreparation()], 0), history, study)


def describe_task(
    task: Task,
    metric: Metric,
    policy: str | Path | Policy,
    *,
    fits_in_turn: float = 1.0,
    train_share: float = 2 / 3,
) -> TaskDescription:
    """Return the description of a task for a policy, without meta-features for the hand-made one."""
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
        fits_in_turn=fits_in_turn,
        train_share=train_share,
    )


def _remember(
    folder: Path,
    task: Task,
    description: TaskDescription,
    history: Sequence[Evaluation],
    seed: int,
) -> None:
    """Add the evaluations to the user's experience; if that fails, the fit is kept."""
    try:
        remember(folder, description, history, seed, table_family(task.table.schema.columns, task.problem))
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


def memory_per_worker(n_cells: int, settings: Settings) -> int:
    """Return the bytes that one worker may allocate.

    Unless the user sets a limit, all workers together may use 2 GiB plus ten times the prepared
    table of `n_cells`, within 80% of the free memory.
    """
    total = settings.memory_bytes
    if total is None:
        wanted = max(2 * 2**30 + 10 * 4 * n_cells, settings.n_jobs * 768 * 2**20)
        total = min(wanted, int(0.8 * available_bytes()))
    return max(total // settings.n_jobs, 64 * 2**20)
