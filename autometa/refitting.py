"""Fits the ensemble of a fitted estimator again on other rows, without a search."""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import _check_sample_weight

from autometa._support.user_warnings import warn_user
from autometa.catalogue import load_strategies
from autometa.core.budget import Budget, Deadline
from autometa.core.evaluation import Evaluation
from autometa.core.space import Configuration
from autometa.core.strategy import Strategy
from autometa.ensemble.class_subset import ClassSubsetModel
from autometa.ensemble.predictor import FittedPredictor, Member
from autometa.evaluation.workers import Workers
from autometa.evaluation.workspace import ALL_ROWS, Workspace
from autometa.exceptions import SearchFailedError
from autometa.fit_inputs import warn_if_reordered
from autometa.fitting import memory_per_worker
from autometa.learners import learner_of
from autometa.parameters import read_settings
from autometa.search.refit import refit
from autometa.search.trial_records import TrialRecord
from autometa.tables.cleaning import check_names, clean, fit_schema
from autometa.tables.inputs import as_frame
from autometa.tables.preparation import most_cells
from autometa.tables.table_task import Task
from autometa.tables.target import read_codes, read_values

# Fits that take longer than this together run in worker processes, which take seconds to start.
_MOST_INLINE_S = 3.0
_MOST_START_S = 20.0


def refitted_model(model: Any, X: Any, y: Any, sample_weight: Any, time_budget: float | None) -> Any:
    """Return a copy of a fitted estimator whose ensemble is fitted on other rows; see ``AutoMeta.refit``."""
    deadline = Deadline(time.monotonic() + (math.inf if time_budget is None else Budget(time_budget).time_s))
    task = _read_task(model, X, y, sample_weight)
    records = [_record(model, member, task.n_rows) for member in _members(model)]
    strategies = _known_strategies(model, {record.configuration.strategy for record in records})
    weights = {member.trial: member.weight for member in model.predictor_.members}
    predictor = _fit(model, task, records, strategies, weights, deadline)
    kept = {member.trial: member.weight for member in predictor.members}
    if lost := len(weights) - len(kept):
        share = sum(weights[trial] for trial in kept)
        warn_user(
            f"{lost} of {len(weights)} members of the ensemble could not be fitted again"
            f"{'' if time_budget is None else f' within {time_budget:g} s'}; the others, which had {share:.0%} of the "
            "weight, share it now. Give refit more time_budget, or None for no limit."
        )
    new = copy.copy(model)
    new._schema, new.predictor_ = task.table.schema, predictor
    new._n_rows = len(task.y)
    forget_rows(new)
    if model._member_predictions is not None:
        new._member_predictions = model._member_predictions.of(list(kept))
    new.history_ = replace(
        model.history_,
        trials=[{**trial, "weight": kept.get(trial["number"], 0.0)} for trial in model.history_.trials],
        notes=[*model.history_.notes, f"fitted again on {task.n_rows} rows without a search (refit)"],
    )
    return new


def forget_rows(model: Any) -> None:
    """Drop what a fitted estimator knows of the rows of its fit, which says nothing of other models."""
    model._out_of_fold = model._held_out = model._targets = model._score_estimate = model._warm_start = None


def _members(model: Any) -> Sequence[Member]:
    if not model.history_.trials:
        raise ValueError("There is nothing to fit again: y was constant in fit. Call fit with the new rows.")
    return model.predictor_.members


def read_new_rows(model: Any, X: Any, y: Any) -> tuple[pd.DataFrame, np.ndarray]:
    """Return rows with the columns of the fit, and their class codes or values.

    Raises
    ------
    ValueError
        If used columns are missing, or y has unknown classes.
    """
    schema = model._schema
    frame = as_frame(X, schema.columns, model.n_features_in_, owner=type(model).__name__)
    check_names(frame, schema)
    # Columns that the fit left out may be missing; they keep their place, for tables that are matched by position.
    frame = frame.reindex(columns=pd.Index(schema.columns, dtype=object))
    warn_if_reordered(X, y, "y")
    classes = getattr(model, "classes_", None)
    if classes is None:
        return frame, read_values(y, len(frame), getattr(model, "_number_format", None))
    codes = read_codes(y, len(frame), classes)
    if unknown := int((codes < 0).sum()):
        raise ValueError(
            f"y has labels in {unknown} rows that are none of the classes of the fit, {classes.tolist()}. "
            "Leave these rows out, or call fit, which learns new classes."
        )
    return frame, codes


def _read_task(model: Any, X: Any, y: Any, sample_weight: Any) -> Task:
    """Return the new rows as a task with the columns and classes of the fit."""
    frame, target = read_new_rows(model, X, y)
    n_rows, classes = len(frame), getattr(model, "classes_", None)
    if n_rows < 2:
        raise ValueError(f"refit needs at least 2 rows, got n_samples = {n_rows}.")
    warn_if_reordered(X, sample_weight, "sample_weight")
    weight, used = None, np.ones(n_rows, dtype=bool)
    if sample_weight is not None:
        weight = _check_sample_weight(sample_weight, frame, dtype=np.float64, ensure_non_negative=True)
        used = weight > 0
        weight = weight[used] / weight[used].mean() if used.any() else weight[used]
    values = target[used]
    if len(np.unique(values)) < 2:
        raise ValueError(
            f"refit needs rows of at least 2 different {'values' if classes is None else 'classes'} in y with a "
            f"positive weight, got {len(np.unique(values))} in {len(values)} rows. Add rows of the others."
        )
    frame = frame[used]
    table = clean(frame, fit_schema(frame))
    return Task(table, values, model.problem_, 0 if classes is None else len(classes), weight, classes=classes)


def _record(model: Any, member: Member, n_rows: int) -> TrialRecord:
    """Return the record of a member's trial, with the seconds that the new rows should take."""
    trial = next(trial for trial in model.history_.trials if trial["number"] == member.trial)
    configuration = Configuration(trial["strategy"], trial["parameters"])
    measured = [e for e in trial["evaluations"] if e["anchor"] == 1 and math.isfinite(e["fit_s"] + e["predict_s"])]
    evaluations = [
        Evaluation(configuration, 1.0, e["fold"], math.nan, e["fit_s"], e["predict_s"]) for e in measured
    ] or [Evaluation(configuration, 1.0, 0, math.nan, 0.0, 0.0)]
    inner = [m.model if isinstance(m, ClassSubsetModel) else m for m in member.models]
    iterations = {k: n for k, m in enumerate(inner) if (n := getattr(m, "n_iterations", None))}
    return TrialRecord(member.trial, configuration, evaluations, n_iterations=iterations, status="ok")


def _growth(model: Any, n_rows: int) -> float:
    """Return the new rows divided by those that a model of the ensemble was fitted on."""
    n_models = max(len(member.models) for member in model.predictor_.members)
    share = 1.0 if n_models == 1 else (n_models - 1) / n_models
    # Files of earlier versions do not tell the number of rows.
    return n_rows / (share * getattr(model, "_n_rows", n_rows))


def _known_strategies(model: Any, names: set[str]) -> Mapping[str, Strategy]:
    known = {strategy.name: strategy for strategy in load_strategies(model.strategies)}
    if unknown := sorted(names - known.keys()):
        raise ValueError(
            f"The ensemble has configurations of {', '.join(unknown)}, which a saved file does not keep. Give the "
            "Strategy objects first: model.set_params(strategies=[…])."
        )
    return {name: known[name] for name in names}


def _fit(
    model: Any,
    task: Task,
    records: Sequence[TrialRecord],
    strategies: Mapping[str, Strategy],
    weights: Mapping[int, float],
    deadline: Deadline,
) -> FittedPredictor:
    settings = read_settings(model, time.monotonic())
    growth = _growth(model, task.n_rows)
    learners = {name: learner_of(strategy) for name, strategy in strategies.items()}
    needed_s = sum(record.refit_s(growth, 0.0) for record in records)
    with contextlib.ExitStack() as stack:
        workspace = Workspace(task, (), model._metric, learners, settings.seed)
        stack.callback(workspace.close)
        workers = Workers(
            workspace, settings.n_jobs, memory_per_worker(most_cells(task.table), settings), frozenset(learners)
        )
        stack.callback(workers.stop)
        if needed_s > _MOST_INLINE_S and deadline.remaining_s() > _MOST_INLINE_S:
            _wait_for(workers, Deadline.after(min(_MOST_START_S, deadline.remaining_s() / 4)))
        refitted = refit(
            records,
            evaluator=workers,
            growth=growth,
            deadline=deadline,
            n_jobs=settings.n_jobs,
            n_threads=1,
            seed=settings.seed,
        )
        if not refitted:
            raise SearchFailedError(
                f"None of the {len(records)} members of the ensemble could be fitted again; they need about "
                f"{needed_s:.1f} s. Give refit more time_budget, or None for no limit. This model is unchanged."
            )
        return _predictor([r for r in records if r.number in refitted], weights, workspace, learners, task.n_classes)


def _wait_for(workers: Workers, deadline: Deadline) -> None:
    workers.start()
    while not workers.ready and not deadline.passed():
        time.sleep(0.05)


def _predictor(
    records: Sequence[TrialRecord],
    weights: Mapping[int, float],
    workspace: Workspace,
    learners: Mapping[str, Any],
    n_classes: int,
) -> FittedPredictor:
    total = sum(weights[record.number] for record in records)
    views = [learners[record.configuration.strategy].view for record in records]
    used = list(dict.fromkeys(views))
    members = [
        Member(
            record.number,
            weights[record.number] / total,
            [workspace.load_model(record.number, ALL_ROWS)],
            [used.index(view)],
        )
        for record, view in zip(records, views, strict=True)
    ]
    return FittedPredictor(members, [workspace.prepare(ALL_ROWS, view) for view in used], n_classes)
