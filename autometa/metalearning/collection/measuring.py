"""Measure one configuration on one task, in a worker of a collection."""

from __future__ import annotations

import logging
import math
import multiprocessing
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

import numpy as np
from pebble import ProcessPool

from autometa._support.seeds import child_seed
from autometa.core.strategy import Strategy
from autometa.core.task import TaskDescription
from autometa.evaluation.evaluator import evaluate
from autometa.evaluation.jobs import Job, Outcome
from autometa.evaluation.metrics import resolve_metric
from autometa.evaluation.workers import outcome_of, process_pool
from autometa.evaluation.workspace import Workspace
from autometa.learners import learner_of
from autometa.learners.base import Learner
from autometa.metadataset.matrices import COSTS
from autometa.metadataset.pool import PoolEntry
from autometa.metadataset.schema import HELD_OUT, LOSSES
from autometa.metadataset.store import evaluation_row
from autometa.metalearning.collection.task_folder import LoadedTask, Table, load_task

logger = logging.getLogger(__name__)

ROW_ANCHORS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
"""Fractions of the training rows on which learners without iterations are measured."""

STAGED_ROW_ANCHORS = (1 / 8, 1.0)
"""Fractions of the training rows for learners with iterations, whose fits give a learning curve each."""

_FEWEST_ROWS = 10
"""Least number of rows in a fraction of the training rows, for learners without iterations."""

_FEWEST_STAGED_ROWS = 100
"""The same for learners with iterations."""

_N_KEPT_ROWS = 1000
"""Validation rows of a task whose predictions are kept, and as many held-out rows."""

_LEAST_SHARE = 1 / 3
"""An evaluation is killed once its wall-clock seconds, times this, exceed its limit of CPU seconds."""

_GRACE_S = 6.0
"""Seconds added to the limits, for the work before and after the fit."""

_TOO_LONG = "took more CPU seconds than the limit"
_CUT_SHORT = "cut short by the limit of seconds: this is what it gave by then"
_ENDED = "the collection was ended while this was measured"


@dataclass(frozen=True)
class CollectionSettings:
    """How configurations are measured: the same for all rows of a collection.

    Parameters
    ----------
    time_limit_s : float
        CPU seconds that one evaluation may take. It is killed after three times as many wall-clock seconds.
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
        Fold that each row validates; `HELD_OUT` for held-out rows.
    y : ndarray of shape (n_kept,)
        Target of each row.
    """

    fold: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Measured:
    """The results of one configuration on one task.

    Parameters
    ----------
    table : Table
        The table.
    entry : PoolEntry
        The configuration.
    rows : list of dict
        Rows of `evaluations`; empty where the strategy does not suit the task.
    predictions : ndarray or None
        Predictions for the kept rows at anchor 1; for held-out rows the mean over the models of all
        folds. None unless all folds succeeded.
    task : dict
        The row of `tasks` without meta-features; empty if the table cannot be used.
    kept : KeptRows or None
        The kept rows of the task.
    fault : str
        Reason why the table cannot be used; empty if it can.
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
        """CPU seconds of all fits."""
        return float(np.nansum([row["fit_cpu_s"] for row in self.rows])) if self.rows else 0.0


@dataclass(frozen=True)
class Run:
    """One run of a collection: what all its measurements have in common.

    Parameters
    ----------
    name : str
        A unique name, as the workers of a Dask cluster can serve several runs.
    settings : CollectionSettings
        Limits and seed.
    strategies : mapping of str to Strategy
        By name.
    scratch : Path or None
        Folder for prepared tables; None is the system's folder for temporary files.
    n_processes : int
        Number of evaluations that a worker may run in parallel.
    """

    name: str
    settings: CollectionSettings
    strategies: Mapping[str, Strategy]
    scratch: Path | None
    n_processes: int


def measure(run: Run, table: Table, entry: PoolEntry) -> Measured:
    """Return the results of one configuration on one task, fold by fold and anchor by anchor.

    A faulty table is reported in the result and raises no error, as the other tables can still be
    measured. Once a fold runs into a limit or fails on all rows, the other folds are skipped.

    Parameters
    ----------
    run : Run
        Settings and strategies.
    table, entry : Table, PoolEntry
        The table and the configuration.
    """
    with _PREPARED.using(run, table) as prepared:
        if isinstance(prepared, str):
            return Measured(table, entry, fault=prepared)
        task = prepared.row()
        configuration = entry.configuration
        strategy = run.strategies[configuration.strategy]
        if strategy.fitness.reason_against(prepared.description):
            return Measured(table, entry, task=task)
        learner = learner_of(strategy)
        rows: list[dict[str, Any]] = []
        predictions: dict[int, np.ndarray] = {}
        held_out: list[np.ndarray] = []
        for fold in range(len(prepared.loaded.folds)):
            if fault := prepared.prepare(fold, learner):
                return Measured(table, entry, fault=fault)
            for anchor in prepared.anchors(fold, learner):
                settings = run.settings
                job = Job(0, configuration, anchor, fold, settings.seed, settings.time_limit_s, for_records=True)
                outcome = _isolated(prepared, job)
                rows += prepared.rows_of(outcome, job)
                status = outcome.evaluation.status
                if status != "ok" and (anchor == 1 or status != "failed"):
                    return Measured(table, entry, rows, task=task)
            assert outcome.predictions is not None and outcome.held_out is not None
            predictions[fold] = outcome.predictions
            held_out.append(outcome.held_out)
        kept = prepared.kept_predictions(predictions, np.mean(held_out, axis=0))
        return Measured(table, entry, rows, kept, task, prepared.kept())


class _Prepared:
    """A loaded task whose folds are prepared when they are needed."""

    def __init__(self, run: Run, table: Table) -> None:
        self.run, self.table = run, table
        self.is_closed = False
        settings = run.settings
        self.loaded: LoadedTask = load_task(table, settings.max_train_rows, settings.seed)
        task = self.loaded.task
        self.description: TaskDescription = replace(task.describe(), n_rows=self.loaded.n_rows_used)
        self._metrics = {name: resolve_metric(name, task.problem, task.classes) for name in LOSSES[task.problem]}
        self._lock = threading.Lock()
        self.workspace = Workspace(
            task,
            self.loaded.folds,
            self._metrics[LOSSES[task.problem][0]],
            {name: learner_of(strategy) for name, strategy in run.strategies.items()},
            child_seed(settings.seed, "preparation"),
            run.scratch,
        )
        validated = np.concatenate([fold.validation for fold in self.loaded.folds])
        rng = np.random.default_rng(child_seed(settings.seed, "kept", table.task))
        self._kept = np.zeros(task.n_rows, dtype=bool)
        for rows in (validated, self.loaded.folds[0].held_out):
            self._kept[rng.choice(rows, min(_N_KEPT_ROWS, len(rows)), replace=False)] = True

    def row(self) -> dict[str, Any]:
        """Return the row of `tasks`, without meta-features."""
        return {
            "task": self.table.task,
            "problem": self.description.problem,
            "family": self.table.family,
            "n_rows": self.loaded.n_rows,
            "n_columns": self.description.n_columns,
            "n_classes": self.description.n_classes,
            "n_rows_used": self.description.n_rows,
        }

    def prepare(self, fold: int, learner: Learner) -> str:
        """Prepare a fold; return the fault of the table, or an empty text."""
        with self._lock:
            try:
                self.workspace.prepare(fold, learner.view)
            except _NOT_THE_TABLES_FAULT:
                raise
            except Exception as error:
                return _reason(error)
        return ""

    def anchors(self, fold: int, learner: Learner) -> tuple[float, ...]:
        """Return the anchors at which a learner is fitted on a fold, without those of too few rows."""
        n_train = len(self.loaded.folds[fold].train)
        fewest = _FEWEST_STAGED_ROWS if learner.has_iterations else _FEWEST_ROWS
        anchors = STAGED_ROW_ANCHORS if learner.has_iterations else ROW_ANCHORS
        return tuple(anchor for anchor in anchors if anchor == 1 or anchor * n_train >= fewest)

    def rows_of(self, outcome: Outcome, job: Job) -> list[dict[str, Any]]:
        """Return the rows of one fit: the points of its curve over the iterations, then the finished fit."""
        evaluation, n_iterations = outcome.evaluation, outcome.n_iterations or 0
        finished = evaluation_row(self.table.task, evaluation, job.seed, self._losses(job, outcome.predictions))
        finished |= {"n_iterations": n_iterations, "error": _CUT_SHORT if evaluation.is_cut_short else evaluation.error}
        # Points of the curve come from the same fit, so they have no costs of their own.
        point = {**finished, **dict.fromkeys(COSTS, math.nan), "status": "ok", "error": ""}
        points = [
            {**point, "progress": n / n_iterations, "n_iterations": n}
            | {f"loss_{metric}": loss for metric, loss in self._losses(job, predictions).items()}
            for n, predictions in outcome.stages
        ]
        return [*points, finished]

    def _losses(self, job: Job, predictions: np.ndarray | None) -> dict[str, float]:
        if predictions is None:
            return {}
        y = self.loaded.task.y[self.loaded.folds[job.fold].validation]
        return {name: metric.loss(y, predictions) for name, metric in self._metrics.items()}

    def kept(self) -> KeptRows:
        """Return folds and targets of the kept rows: fold after fold, then the held-out rows."""
        parts = [*(fold.validation for fold in self.loaded.folds), self.loaded.folds[0].held_out]
        rows = [part[self._kept[part]] for part in parts]
        fold = np.repeat([*range(len(rows) - 1), HELD_OUT], [len(part) for part in rows])
        return KeptRows(fold, self.loaded.task.y[np.concatenate(rows)])

    def kept_predictions(self, predictions: Mapping[int, np.ndarray], held_out: np.ndarray) -> np.ndarray:
        """Return predictions for the kept rows in the order of `kept`.

        Parameters
        ----------
        predictions : mapping of int to ndarray
            Predictions for all validation rows, by fold.
        held_out : ndarray
            Mean predictions for all held-out rows.
        """
        parts = [predictions[k][self._kept[fold.validation]] for k, fold in enumerate(self.loaded.folds)]
        parts.append(held_out[self._kept[self.loaded.folds[0].held_out]])
        # Half precision ends at 65,504; standardised predictions beyond it are equally wrong.
        return np.clip(np.concatenate(parts), -6e4, 6e4).astype(np.float16)

    def close(self) -> None:
        """Delete the prepared folds from disk; running evaluations are discarded."""
        self.is_closed = True
        self.workspace.close()


# A full disk or a missing library is no fault of the table.
_NOT_THE_TABLES_FAULT = (OSError, ImportError)


def _reason(error: Exception) -> str:
    logger.debug("a table cannot be used:\n%s", traceback.format_exc())
    frames = list(traceback.walk_tb(error.__traceback__))
    is_own = frames and frames[-1][0].f_globals.get("__name__", "").startswith("autometa.")
    # Messages of other libraries may quote the data, as may all lines of our own but the first; reasons are logged.
    return str(error).partition("\n")[0] if is_own else f"{type(error).__name__}, whose text is logged at level DEBUG"


class _PreparedTasks:
    """Tasks that this process has prepared; unused ones are deleted when another task is needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tasks: dict[tuple[str, str], _Prepared | str] = {}
        self._users: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def using(self, run: Run, table: Table) -> Iterator[_Prepared | str]:
        """Provide a prepared task, or the fault of its table."""
        key = run.name, table.task
        with self._lock:
            if key not in self._tasks:
                self._forget({other for other in self._tasks if not self._users[other]})
                try:
                    self._tasks[key] = _Prepared(run, table)
                except _NOT_THE_TABLES_FAULT:
                    raise
                except Exception as error:
                    self._tasks[key] = _reason(error)
            prepared = self._tasks[key]
            self._users[key] += 1
        try:
            yield prepared
        finally:
            with self._lock:
                self._users[key] -= 1

    def _forget(self, keys: set[tuple[str, str]]) -> None:
        for key in keys:
            prepared = self._tasks.pop(key)
            if isinstance(prepared, _Prepared):
                prepared.close()

    def close(self) -> None:
        """Delete all prepared tasks."""
        with self._lock:
            self._forget(set(self._tasks))


_PREPARED = _PreparedTasks()
_POOLS: dict[float, ProcessPool] = {}
_POOLS_LOCK = threading.Lock()


def _isolated(prepared: _Prepared, job: Job) -> Outcome:
    """Return the outcome of a job, evaluated in its own process under its limits."""
    settings = prepared.run.settings
    with _POOLS_LOCK:
        if prepared.is_closed:
            raise RuntimeError(_ENDED)
        pool = _POOLS.get(settings.memory_limit_gb)
        if pool is None or not pool.active:
            # Dask's nannies run workers as daemons, which may not start processes, as these could outlive
            # them. Ours end with the process that started them.
            multiprocessing.current_process().daemon = False
            pool = process_pool(prepared.run.n_processes, int(settings.memory_limit_gb * 2**30))
            _POOLS[settings.memory_limit_gb] = pool
        limit_s = settings.time_limit_s / _LEAST_SHARE + _GRACE_S
        submitted_s = time.monotonic()
        future = pool.schedule(evaluate, args=(prepared.workspace.folder, job), timeout=limit_s)
    # A stopped pool never completes its futures.
    while not future.done() and not prepared.is_closed:
        wait([future], timeout=0.5)
    if prepared.is_closed:
        # The outcome of a stopped pool is no result of the configuration.
        raise RuntimeError(_ENDED)
    outcome = outcome_of(future, job, submitted_s)
    evaluation = outcome.evaluation
    if evaluation.fit_cpu_s + evaluation.predict_cpu_s > settings.time_limit_s + _GRACE_S:
        # The learner ignores the deadline.
        return Outcome(replace(evaluation, status="timeout", loss=math.nan, error=_TOO_LONG))
    return outcome


def close() -> None:
    """End all evaluations of this process and delete its prepared tasks."""
    with _POOLS_LOCK:
        _PREPARED.close()
        for pool in _POOLS.values():
            pool.stop()
            pool.join()
        _POOLS.clear()


# Unlike `atexit`, this also runs at the end of processes started by multiprocessing, such as Dask's workers, and
# before they wait for their children.
Finalize(None, close, exitpriority=100)
