"""Fit one configuration on one fold and measure its loss."""

from __future__ import annotations

import importlib
import logging
import time
import traceback
from pathlib import Path

import cloudpickle
import numpy as np

from autometa._support.numeric_threads import numeric_threads
from autometa._support.seeds import child_seed
from autometa._support.warning_filters import ignored_warnings
from autometa.core.budget import Deadline
from autometa.core.evaluation import Evaluation, Status
from autometa.core.task import Problem
from autometa.ensemble.class_subset import ClassSubsetModel
from autometa.evaluation.isolation import peak_memory_mb, reset_peak_memory
from autometa.evaluation.jobs import Job, Outcome, failed_outcome
from autometa.evaluation.resampling import subsample
from autometa.evaluation.workspace import ALL_ROWS, PreparedFold, Shared, model_path, read_prepared, read_shared
from autometa.exceptions import AutometaError
from autometa.learners.base import FitData, Learner, Model, StagedModel, was_cut_short
from autometa.learners.constant import ConstantModel

logger = logging.getLogger(__name__)


def evaluate(folder: Path, job: Job) -> Outcome:
    """Return the outcome of a job; a learner that fails gives a failed evaluation instead of an error."""
    shared = read_shared(folder)
    try:
        # Before the clock starts: seconds of importing a library belong to no configuration.
        importlib.import_module(shared.learners[job.configuration.strategy].library)
    except Exception as error:
        # Installed but broken, e.g. without a shared library that it needs.
        return _failed_by(error, job, "failed", 0.0)
    start_s = time.monotonic()
    # Records are measured beside other work, which must not count against the limit.
    clock = time.process_time if job.for_records else time.monotonic
    deadline = Deadline.after(min(job.limit_s, max(0.0, job.ends_at_s - time.time())), clock)
    try:
        # Learners warn about data, which nobody can change here; a failure is recorded with its reason.
        with ignored_warnings(), numeric_threads(job.n_threads):
            return _evaluate(folder, shared, job, deadline)
    except Exception as error:
        logger.debug("trial %d failed:\n%s", job.trial, traceback.format_exc())
        status: Status = "memory" if _is_memory_error(error) else "failed"
        return _failed_by(error, job, status, time.monotonic() - start_s)


def _failed_by(error: BaseException, job: Job, status: Status, fit_s: float) -> Outcome:
    reason, text = described(error)
    return failed_outcome(job, status, reason, fit_s, text)


def described(error: BaseException) -> tuple[str, str]:
    """Return what may be stored of an exception, its type or autometa's own words; and its text, which may not."""
    text = " ".join(str(error).split())[:300]
    return (text, "") if isinstance(error, AutometaError) else (type(error).__name__, text)


class UnusableModelError(AutometaError, ValueError):
    """A model cannot be used; the text holds no data."""


def _evaluate(folder: Path, shared: Shared, job: Job, deadline: Deadline) -> Outcome:
    learner = shared.learners[job.configuration.strategy]
    prepared = read_prepared(folder, job.fold, learner.view)
    X_train, y_train, weight = _train_rows(shared, job, prepared)
    fit_data, seen_classes = _fit_data(shared, job, prepared, X_train, y_train, weight, deadline)
    held_mb = reset_peak_memory() if job.for_records else float("nan")
    start = _Clocks()
    model = _fit(learner, fit_data, job, seen_classes, shared.n_classes)
    fitted = _Clocks()
    predictions, loss = None, float("nan")
    if job.fold != ALL_ROWS:
        predictions = model.predict(prepared.X_validation, job.n_threads)
        _check_predictions(predictions, len(prepared.X_validation), shared.n_classes)
        loss = _validation_loss(shared, job.fold, predictions)
    predicted = _Clocks()
    evaluation = Evaluation(
        job.configuration,
        job.anchor,
        job.fold,
        loss,
        fit_s=fitted.wall_s - start.wall_s,
        predict_s=predicted.wall_s - fitted.wall_s,
        fit_cpu_s=fitted.cpu_s - start.cpu_s,
        predict_cpu_s=predicted.cpu_s - fitted.cpu_s,
        memory_mb=peak_memory_mb() - held_mb if job.for_records else float("nan"),
        is_cut_short=was_cut_short(model),
    )
    if not job.for_records:
        path = model_path(folder, job.trial, job.fold)
        path.parent.mkdir(exist_ok=True)
        # A model may be of a class from the user's script, which plain pickle cannot send.
        path.write_bytes(cloudpickle.dumps(model, protocol=5))
        return Outcome(evaluation, predictions, model.n_iterations)
    stages: tuple[tuple[int, np.ndarray], ...] = ()
    held_out = None
    if job.anchor == 1:
        held_out = model.predict(prepared.X_held_out, job.n_threads)
    if isinstance(model, StagedModel):
        stages = tuple(model.staged_predict(prepared.X_validation, job.n_threads))
    return Outcome(evaluation, predictions, model.n_iterations, stages, held_out)


def _train_rows(shared: Shared, job: Job, prepared: PreparedFold) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return the prepared rows that the job trains on, their targets and their weights."""
    rows = np.arange(len(shared.y)) if job.fold == ALL_ROWS else shared.folds[job.fold].train
    X_train, y_train = prepared.X_train, shared.y[rows]
    if job.anchor < 1:
        kept = subsample(y_train, job.anchor, shared.problem, child_seed(job.seed, "subsample", job.fold))
        X_train, y_train, rows = X_train[kept], y_train[kept], rows[kept]
    weight = None if shared.sample_weight is None else shared.sample_weight[rows]
    if weight is not None and not weight.any():
        raise UnusableModelError("every training row of this fold has weight 0")
    return X_train, y_train, weight


def _validation_loss(shared: Shared, fold: int, predictions: np.ndarray) -> float:
    rows = shared.folds[fold].validation
    weight = None if shared.sample_weight is None else shared.sample_weight[rows]
    loss = shared.metric.loss(shared.y[rows], predictions, weight)
    if not np.isfinite(loss):
        raise UnusableModelError(f"the loss is {loss}")
    return loss


def _fit(learner: Learner, data: FitData, job: Job, seen_classes: list[int] | None, n_classes: int) -> Model:
    """Return a model that predicts all classes, whichever of them the training rows have."""
    if seen_classes is None:
        model: Model = learner.fit(data, job.configuration.parameters)
        return model
    if len(seen_classes) == 1:
        return ConstantModel(np.eye(n_classes)[seen_classes[0]])
    return ClassSubsetModel(learner.fit(data, job.configuration.parameters), seen_classes, n_classes)


class _Clocks:
    """The wall clock and the CPU seconds of this process, now."""

    def __init__(self) -> None:
        self.wall_s, self.cpu_s = time.monotonic(), time.process_time()


def _fit_data(
    shared: Shared,
    job: Job,
    prepared: PreparedFold,
    X_train: np.ndarray,
    y_train: np.ndarray,
    weight: np.ndarray | None,
    deadline: Deadline,
) -> tuple[FitData, list[int] | None]:
    """Return the data of the fit, and the codes of the classes among its rows; None for all classes."""
    problem: Problem = shared.problem
    n_classes, seen_classes = shared.n_classes, None
    X_val = y_val = weight_val = None
    if job.fold != ALL_ROWS:
        validation = shared.folds[job.fold].validation
        X_val, y_val = prepared.X_validation, shared.y[validation]
        weight_val = None if shared.sample_weight is None else shared.sample_weight[validation]
    if n_classes:
        known = np.unique(y_train)
        if len(known) < n_classes:
            # A fold without some of the classes is fitted on those it has: learners expect codes without gaps.
            seen_classes, n_classes = known.tolist(), len(known)
            problem = "binary" if n_classes == 2 else "multiclass"
            y_train = np.searchsorted(known, y_train)
            if X_val is not None and y_val is not None:
                usable = np.isin(y_val, known)
                X_val, y_val = X_val[usable], np.searchsorted(known, y_val[usable])
                weight_val = None if weight_val is None else weight_val[usable]
    if y_val is not None and (len(y_val) == 0 or (weight_val is not None and not weight_val.any())):
        X_val = y_val = weight_val = None
    data = FitData(
        X=X_train,
        y=y_train,
        problem=problem,
        n_classes=n_classes,
        categorical=prepared.categorical,
        n_categories=prepared.n_categories,
        sample_weight=None if weight is None else weight / weight.mean(),
        X_val=X_val,
        y_val=y_val,
        sample_weight_val=weight_val,
        metric=shared.metric.name,
        seed=child_seed(job.seed, "fit", job.fold),
        n_threads=job.n_threads,
        deadline=deadline,
        n_iterations=job.n_iterations,
        keep_stages=job.for_records,
    )
    return data, seen_classes


def _check_predictions(predictions: np.ndarray, n_rows: int, n_classes: int) -> None:
    expected = (n_rows, n_classes) if n_classes else (n_rows,)
    if np.shape(predictions) != expected:
        raise UnusableModelError(f"the learner predicted an array of shape {np.shape(predictions)}, not {expected}")
    if not np.isfinite(predictions).all():
        n_wrong = int((~np.isfinite(predictions)).sum())
        raise UnusableModelError(f"the learner predicted {n_wrong} values that are not finite")
    if n_classes and (np.min(predictions) < -1e-6 or np.abs(predictions.sum(axis=1) - 1).max() > 1e-3):
        raise UnusableModelError("the learner's class probabilities are negative or do not sum to 1")


def _is_memory_error(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or "bad_alloc" in text or "can't allocate memory" in text
