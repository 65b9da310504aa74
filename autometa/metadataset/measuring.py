"""The worker's side of a collection: measure one configuration on one task."""

from __future__ import annotations

import atexit
import math
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pebble import ProcessPool

from autometa._support.seeds import child_seed
from autometa.core.strategy import Strategy
from autometa.core.task import TaskDescription
from autometa.evaluation.evaluator import Job, Outcome, evaluate
from autometa.evaluation.metrics import resolve_metric
from autometa.evaluation.workspace import Workspace
from autometa.learners import learner_named
from autometa.learners.base import Learner
from autometa.learners.own import own_learner
from autometa.metadataset.pool import PoolEntry, configuration_id
from autometa.metadataset.schema import LOSS_COLUMNS, LOSSES
from autometa.metadataset.task_folder import LoadedTask, Table, load_task
from autometa.search.workers import outcome_of, process_pool

ROW_ANCHORS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
"""Fractions of the training rows at which learners without iterations are measured."""

_FEWEST_ROWS = 10  # a smaller part of a fold says nothing
_N_KEPT_ROWS = 500  # rows of a task whose predictions are kept
# Learners that keep the limit themselves are killed only when they are this far over it.
_GRACE_S = 6.0
_IMPORT_S = 2.0


@dataclass(frozen=True)
class Settings:
    """How configurations are measured; the same for all rows of a collection.

    Parameters
    ----------
    time_limit_s : float
        Seconds that one evaluation may take.
    memory_limit_gb : float
        GiB that one evaluation may allocate.
    max_train_rows : int
        Training rows of a fold; larger tables are sampled.
    seed : int
        Seed of samples, folds and fits.
    """

    time_limit_s: float = 60.0
    memory_limit_gb: float = 4.0
    max_train_rows: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("time_limit_s", "memory_limit_gb", "max_train_rows"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)!r}.")


@dataclass(frozen=True)
class KeptRows:
    """The rows of a task whose predictions are kept.

    Parameters
    ----------
    fold : ndarray of shape (n_kept,)
        Fold that each of them validates.
    y : ndarray of shape (n_kept,)
        Their targets.
    """

    fold: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Measured:
    """What was measured of one configuration on one task.

    Parameters
    ----------
    table : Table
        The table.
    entry : PoolEntry
        The configuration.
    rows : list of dict
        Rows of `evaluations`; none where the strategy is not for the task.
    predictions : ndarray or None
        For the kept rows, at anchor 1; None unless every fold gave some.
    task : dict
        What the row of `tasks` says without meta-features; empty if the table cannot be used.
    kept : KeptRows or None
        The kept rows of the task.
    fault : str
        Why the table cannot be used.
    cpu_s : float
        CPU seconds of its evaluations.
    """

    table: Table
    entry: PoolEntry
    rows: list[dict[str, Any]] = field(default_factory=list)
    predictions: np.ndarray | None = None
    task: Mapping[str, Any] = field(default_factory=dict)
    kept: KeptRows | None = None
    fault: str = ""

    @property
    def cpu_s(self) -> float:
        """CPU seconds of its fits."""
        return float(np.nansum([row["fit_cpu_s"] for row in self.rows])) if self.rows else 0.0


def measure(
    settings: Settings,
    strategies: Mapping[str, Strategy],
    scratch: Path | None,
    n_processes: int,
    table: Table,
    entry: PoolEntry,
) -> Measured:
    """Return what one configuration gives on one task, fold by fold and anchor by anchor.

    A fault of the table is said, not raised: the other tables can be measured all the same.
    After a fold that runs into a limit, or fails on all rows, the others are not tried.

    Parameters
    ----------
    settings : Settings
        Limits and seed.
    strategies : mapping of str to Strategy
        By name.
    scratch : Path or None
        Where prepared tables are kept meanwhile; None for the system's place.
    n_processes : int
        Evaluations that this process may run at a time.
    table, entry : Table, PoolEntry
        What to measure.
    """
    with _PREPARED.using(table, settings, strategies, scratch) as prepared:
        if isinstance(prepared, str):
            return Measured(table, entry, fault=prepared)
        task = prepared.row()
        configuration = entry.configuration
        strategy = strategies[configuration.strategy]
        if strategy.fitness.reason_against(prepared.description):
            return Measured(table, entry, task=task)
        learner = learner_of(strategy)
        rows: list[dict[str, Any]] = []
        predictions: dict[int, np.ndarray] = {}
        for fold in range(len(prepared.loaded.folds)):
            prepared.prepare(fold, learner)
            for anchor in prepared.anchors(fold, learner):
                job = Job(0, configuration, anchor, fold, settings.seed, settings.time_limit_s, for_records=True)
                outcome = _isolated(prepared.workspace.folder, job, learner, settings, n_processes)
                rows += prepared.rows_of(outcome, job)
                status = outcome.evaluation.status
                if status != "ok" and (anchor == 1 or status != "failed"):
                    return Measured(table, entry, rows, task=task)
            assert outcome.predictions is not None
            predictions[fold] = outcome.predictions
        return Measured(table, entry, rows, prepared.kept_predictions(predictions), task, prepared.kept())


def learner_of(strategy: Strategy) -> Learner:
    """Return the learner of a strategy."""
    if isinstance(strategy.learner, str):
        return learner_named(strategy.learner)
    return own_learner(strategy.name, strategy.learner)


class _Prepared:
    """A task of which folds are prepared as they are needed."""

    def __init__(
        self, table: Table, settings: Settings, strategies: Mapping[str, Strategy], scratch: Path | None
    ) -> None:
        self.table, self.settings = table, settings
        self.loaded: LoadedTask = load_task(table, settings.max_train_rows, settings.seed)
        task = self.loaded.task
        self.description: TaskDescription = task.describe()
        self._metrics = {name: resolve_metric(name, task.problem, task.classes) for name in LOSSES[task.problem]}
        self._lock = threading.Lock()
        self.workspace = Workspace(
            task,
            self.loaded.schema,
            self.loaded.folds,
            self._metrics[LOSSES[task.problem][0]],
            {name: learner_of(strategy) for name, strategy in strategies.items()},
            child_seed(settings.seed, "preparation"),
            scratch,
        )
        validated = np.concatenate([fold.validation for fold in self.loaded.folds])
        rng = np.random.default_rng(child_seed(settings.seed, "kept", table.task))
        chosen = rng.choice(len(validated), min(_N_KEPT_ROWS, len(validated)), replace=False)
        self._kept = np.zeros(task.n_rows, dtype=bool)
        self._kept[validated[chosen]] = True

    def row(self) -> dict[str, Any]:
        """Return what `tasks` says about it."""
        return {
            "task": self.table.task,
            "problem": self.description.problem,
            "family": self.table.family,
            "n_rows": self.loaded.n_rows,
            "n_columns": self.description.n_columns,
            "n_classes": self.description.n_classes,
            "n_rows_used": self.description.n_rows,
        }

    def prepare(self, fold: int, learner: Learner) -> None:
        with self._lock:
            self.workspace.prepare(fold, learner.view)

    def anchors(self, fold: int, learner: Learner) -> tuple[float, ...]:
        """Return the anchors of a fold; learners with iterations show their curve in one fit."""
        if learner.has_iterations:
            return (1.0,)
        n_train = len(self.loaded.folds[fold].train)
        return tuple(anchor for anchor in ROW_ANCHORS if anchor == 1 or anchor * n_train >= _FEWEST_ROWS)

    def rows_of(self, outcome: Outcome, job: Job) -> list[dict[str, Any]]:
        """Return the points of the curve over iterations, and the evaluation itself."""
        evaluation, rows = outcome.evaluation, []
        n_iterations = outcome.n_iterations or 0
        for n, predictions in outcome.stages:
            rows.append(self._row(job, n / n_iterations, n, predictions))
        measured = {
            "fit_s": evaluation.fit_s,
            "predict_s": evaluation.predict_s,
            "fit_cpu_s": evaluation.fit_cpu_s,
            "predict_cpu_s": evaluation.predict_cpu_s,
            "memory_mb": evaluation.memory_mb,
            "status": evaluation.status,
            "error": evaluation.error,
        }
        return [*rows, {**self._row(job, job.anchor, n_iterations, outcome.predictions), **measured}]

    def _row(self, job: Job, anchor: float, n_iterations: int, predictions: np.ndarray | None) -> dict[str, Any]:
        row: dict[str, Any] = {
            "task": self.table.task,
            "configuration": configuration_id(job.configuration),
            "anchor": anchor,
            "n_iterations": n_iterations,
            "fold": job.fold,
            "seed": job.seed,
            **dict.fromkeys(LOSS_COLUMNS, math.nan),
            **dict.fromkeys(("fit_s", "predict_s", "fit_cpu_s", "predict_cpu_s", "memory_mb"), math.nan),
            "status": "ok",
            "error": "",
        }
        if predictions is not None:
            y = self.loaded.task.y[self.loaded.folds[job.fold].validation]
            row.update({f"loss_{name}": metric.loss(y, predictions) for name, metric in self._metrics.items()})
        return row

    def kept(self) -> KeptRows:
        """Return folds and targets of the kept rows."""
        rows = [fold.validation[self._kept[fold.validation]] for fold in self.loaded.folds]
        number = np.concatenate([np.full(len(part), fold) for fold, part in enumerate(rows)])
        return KeptRows(number, self.loaded.task.y[np.concatenate(rows)])

    def kept_predictions(self, predictions: Mapping[int, np.ndarray]) -> np.ndarray:
        """Return the predictions of the kept rows, fold after fold."""
        parts = [predictions[k][self._kept[fold.validation]] for k, fold in enumerate(self.loaded.folds)]
        # Half precision ends at 65,504; standardised predictions beyond it are all as wrong.
        return np.clip(np.concatenate(parts), -6e4, 6e4).astype(np.float16)


class _PreparedTasks:
    """The tasks that this process has prepared, until nobody uses them and another is asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tasks: dict[str, _Prepared | str] = {}
        self._users: dict[str, int] = {}

    @contextmanager
    def using(
        self, table: Table, settings: Settings, strategies: Mapping[str, Strategy], scratch: Path | None
    ) -> Iterator[_Prepared | str]:
        """Yield a prepared task, or what is wrong with it."""
        with self._lock:
            if table.task not in self._tasks:
                self._forget({name for name in self._tasks if not self._users.get(name)})
                try:
                    self._tasks[table.task] = _Prepared(table, settings, strategies, scratch)
                except (ValueError, TypeError, OSError, MemoryError) as error:
                    self._tasks[table.task] = " ".join(str(error).split()) or type(error).__name__
            self._users[table.task] = self._users.get(table.task, 0) + 1
        try:
            yield self._tasks[table.task]
        finally:
            with self._lock:
                self._users[table.task] -= 1

    def _forget(self, names: set[str]) -> None:
        for name in names:
            prepared = self._tasks.pop(name)
            if isinstance(prepared, _Prepared):
                prepared.workspace.close()

    def close(self) -> None:
        """Delete what is on disk."""
        with self._lock:
            self._forget(set(self._tasks))


_PREPARED = _PreparedTasks()
_POOLS: dict[float, ProcessPool] = {}
_POOLS_LOCK = threading.Lock()


def _isolated(folder: Path, job: Job, learner: Learner, settings: Settings, n_processes: int) -> Outcome:
    """Return the outcome of a job, evaluated in a process of its own under its limits."""
    with _POOLS_LOCK:
        pool = _POOLS.get(settings.memory_limit_gb)
        if pool is None or not pool.active:
            pool = process_pool(n_processes, int(settings.memory_limit_gb * 2**30))
            _POOLS[settings.memory_limit_gb] = pool
    limit_s = settings.time_limit_s + (_GRACE_S if learner.keeps_deadline else _IMPORT_S)
    submitted_s = time.monotonic()
    return outcome_of(pool.schedule(evaluate, args=(folder, job), timeout=limit_s), job, submitted_s)


def close() -> None:
    """End this process's evaluations and delete its prepared tasks."""
    with _POOLS_LOCK:
        for pool in _POOLS.values():
            pool.stop()
            pool.join()
        _POOLS.clear()
    _PREPARED.close()


atexit.register(close)
