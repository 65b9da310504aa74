"""Measure every configuration of a pool on every table of a folder.

The pool is measured in blocks, each on all tasks before the next one, so that the records cover all
tasks at any time. A collection that was killed is resumed where it stopped.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import joblib

from autometa._support.imports import import_optional, is_installed
from autometa._support.machine import jobs_at_a_time
from autometa._support.progress import CountBar
from autometa.core.strategy import Strategy
from autometa.core.task import TaskDescription
from autometa.learners import learner_of
from autometa.metadataset.dataset import MetaDataset
from autometa.metadataset.pool import PoolEntry, configuration_id, make_pool
from autometa.metadataset.store import Store, check_comparable
from autometa.metalearning.collection import measuring
from autometa.metalearning.collection.measuring import CollectionSettings, Measured, Run, measure
from autometa.metalearning.collection.task_folder import Table, read_table_list

logger = logging.getLogger(__name__)

BLOCK_SIZE = 20
"""Number of configurations in a block."""


def collect(
    tasks: Path | str,
    out: Path | str,
    strategies: Sequence[Strategy],
    *,
    settings: CollectionSettings | None = None,
    pool: Sequence[PoolEntry] | None = None,
    only: Collection[str] | None = None,
    known: MetaDataset | None = None,
    n_jobs: int = 2,
    backend: Literal["local", "dask"] = "local",
    scheduler: str | None = None,
    progress: bool | None = None,
    on_task: Callable[[str], None] = logger.info,
) -> Path:
    """Measure a pool of configurations on every table of a folder.

    Parameters
    ----------
    tasks : Path or str
        Folder with ``tasks.csv`` (columns ``task_id``, ``target``; optional: ``problem``,
        ``family``) and one Parquet or CSV file per task.
    out : Path or str
        Folder of the collection. An existing collection is resumed.
    strategies : sequence of Strategy
        Strategies of the pool.
    settings : CollectionSettings, optional
        Limits, sizes and seed.
    pool : sequence of PoolEntry, optional
        Configurations in the order in which they are measured; those of `make_pool` by default.
    only : collection of str, optional
        Names of the tasks to use, in this order; all by default.
    known : MetaDataset, optional
        Records measured elsewhere with the same settings. They are not measured again, and not
        copied into the collection.
    n_jobs : int
        Number of parallel evaluations, each with one thread; at most one per core that may be used.
    backend : {"local", "dask"}
        ``"dask"`` measures on all workers of a Dask cluster, one evaluation at a time on each:
        start as many as there are cores with ``dask worker ADDRESS --nthreads 1 --nworkers N``,
        with a nanny or without. They need the same version of autometa, and must see the folder
        `tasks` under the same path. The evaluation of a lost worker is repeated by another one.
    scheduler : str, optional
        Address of the Dask scheduler, e.g. ``"tcp://10.0.0.1:8786"``; by default that of Dask's
        configuration, or else of a cluster that is started on this machine for this collection.
    progress : bool, optional
        Show a bar with the time left; by default in a terminal.
    on_task : callable
        Called with a line of text whenever a block is complete for a task, or a task is skipped.

    Returns
    -------
    Path
        The folder `out`, which `autometa.metalearning.collection.export.export` turns into a meta-dataset.

    Raises
    ------
    FileNotFoundError, ValueError
        If the folder of tables or an argument is not as described.
    MetaDatasetError
        If `out` is damaged, was begun with other settings or in an older layout, or is being
        written by another collection; or if `known` was measured with other settings.
    """
    settings = settings or CollectionSettings()
    out = Path(out)
    # An absolute path, as Dask's workers may have been started in another folder.
    tables = read_table_list(Path(tasks).resolve(), only)
    if n_jobs < 1:
        raise ValueError(f"n_jobs must be at least 1, got {n_jobs}.")
    n_jobs = jobs_at_a_time(n_jobs)
    for learner in map(learner_of, strategies):
        if not is_installed(learner.library):
            import_optional(learner.library, extra=learner.extra or learner.name)
    by_name = {strategy.name: strategy for strategy in strategies}
    pool = make_pool(strategies) if pool is None else pool
    if known is not None:
        check_comparable(known.manifest.get("settings", {}), asdict(settings))
    if unknown := sorted({entry.configuration.strategy for entry in pool} - set(by_name)):
        raise ValueError(f"The pool has configurations of {unknown}, which are not among the strategies.")
    with contextlib.ExitStack() as stack:
        parallel = stack.enter_context(_workers(backend, scheduler, n_jobs))
        store = stack.enter_context(contextlib.closing(Store(out, asdict(settings))))
        store.add_configurations(pool)
        is_local = backend == "local"
        run = Run(
            name=uuid.uuid4().hex,
            settings=settings,
            strategies=by_name,
            # Dask's workers may have another disk, so they use their own temporary folders.
            scratch=stack.enter_context(_scratch(out / "scratch")) if is_local else None,
            n_processes=n_jobs if is_local else 1,
        )
        progress_made = _Progress(store, tables, pool, strategies, known, on_task)
        bar = stack.enter_context(CountBar(progress, progress_made.n_left, "collect"))
        units = (joblib.delayed(measure)(run, *unit) for unit in progress_made.units(bar.advance))
        for measured in stack.enter_context(contextlib.closing(parallel(units))):
            progress_made.take(measured, bar.advance)
    return out


@contextlib.contextmanager
def _workers(backend: str, scheduler: str | None, n_jobs: int) -> Iterator[joblib.Parallel]:
    if backend == "dask":
        with import_optional("distributed", extra="dask").Client(scheduler) as client:
            # joblib accepts this backend only through its configuration.
            with joblib.parallel_config(backend="dask", n_jobs=-1, client=client):
                parallel = joblib.Parallel(return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs")
            yield parallel
    elif backend == "local":
        # The threads only wait: each evaluation runs in its own process under its limits.
        yield joblib.Parallel(
            n_jobs=n_jobs, backend="threading", return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs"
        )
    else:
        raise ValueError(f"backend must be 'local' or 'dask', got {backend!r}.")


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """Create an empty folder for prepared tables; on exit delete it and end the processes that use it."""
    shutil.rmtree(folder, ignore_errors=True)  # left by a collection that was killed
    folder.mkdir()
    try:
        yield folder
    finally:
        measuring.close()
        shutil.rmtree(folder, ignore_errors=True)


class _Progress:
    """Configurations that are left to measure, and counts of those that were measured."""

    def __init__(
        self,
        store: Store,
        tables: Sequence[Table],
        pool: Sequence[PoolEntry],
        strategies: Sequence[Strategy],
        known: MetaDataset | None,
        on_task: Callable[[str], None],
    ) -> None:
        self._store, self._on_task = store, on_task
        self._fitness = {strategy.name: strategy.fitness for strategy in strategies}
        self._stored = store.descriptions()
        self._kept = store.tasks_with_targets()
        self._faulty: set[str] = set()
        self._accounts: dict[tuple[int, str], _Account] = {}
        done, described = store.done(), dict(self._stored)
        if known is not None:
            columns = ["task", "problem", "n_rows_used", "n_columns", "n_classes"]
            for name, *rest in known.tasks[columns].itertuples(index=False, name=None):
                described.setdefault(name, TaskDescription(*rest))
            pairs = known.evaluations[["task", "configuration"]].drop_duplicates()
            done |= set(pairs.itertuples(index=False, name=None))
        self._left: list[tuple[Table, PoolEntry]] = []
        self._block: dict[str, int] = {}
        for start in range(0, len(pool), BLOCK_SIZE):
            for table in tables:
                for entry in pool[start : start + BLOCK_SIZE]:
                    name = configuration_id(entry.configuration)
                    self._block[name] = start // BLOCK_SIZE
                    if (table.task, name) not in done and not self._is_unfit(described.get(table.task), entry):
                        self._left.append((table, entry))
                        account = self._accounts.setdefault((start // BLOCK_SIZE, table.task), _Account())
                        account.n_left += 1

    @property
    def n_left(self) -> int:
        return len(self._left)

    def _is_unfit(self, description: TaskDescription | None, entry: PoolEntry) -> bool:
        return description is not None and bool(self._fitness[entry.configuration.strategy].reason_against(description))

    def units(self, advance: Callable[[], None]) -> Iterator[tuple[Table, PoolEntry]]:
        """Yield tables and configurations that are left, except for tables that turn out to be unusable."""
        for table, entry in self._left:
            if table.task in self._faulty:
                advance()
            else:
                yield table, entry

    def take(self, measured: Measured, advance: Callable[[], None]) -> None:
        """Store one measurement."""
        name = measured.table.task
        if measured.fault:
            if name not in self._faulty:
                self._faulty.add(name)
                self._on_task(f"{name}: skipped: {measured.fault}")
            advance()
            return
        if name not in self._stored:
            self._stored[name] = self._store.add_task(measured.task)
        if measured.kept is not None and name not in self._kept:
            self._store.add_targets(name, self._stored[name].n_classes, measured.kept.fold, measured.kept.y)
            self._kept.add(name)
        if measured.rows:
            self._store.add(measured.rows, measured.predictions)
        account = self._accounts[self._block[configuration_id(measured.entry.configuration)], name]
        account.add(measured)
        if account.n_left == 0:
            self._on_task(f"{name}: {account}")
        advance()


class _Account:
    """Statuses and seconds of the configurations of one block on one task."""

    def __init__(self) -> None:
        self.n_left, self._cpu_s = 0, 0.0
        self._statuses: Counter[str] = Counter()

    def add(self, measured: Measured) -> None:
        self.n_left -= 1
        self._cpu_s += measured.cpu_s
        if measured.rows:
            self._statuses[measured.rows[-1]["status"]] += 1

    def __str__(self) -> str:
        listed = ", ".join(f"{n} {status}" for status, n in sorted(self._statuses.items()))
        return (
            f"{self._statuses.total()} configurations in {self._cpu_s:.0f} s of CPU ({listed or 'none is fit for it'})"
        )
