"""Read a folder of tables with known targets: ``tasks.csv`` and one Parquet or CSV file per task."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from autometa._support.delimited import read_delimited
from autometa._support.imports import import_optional
from autometa._support.seeds import child_seed
from autometa.core.task import PROBLEMS
from autometa.evaluation.resampling import Fold, make_folds
from autometa.tables.cleaning import clean, fit_schema
from autometa.tables.inputs import as_frame
from autometa.tables.table_task import Task
from autometa.tables.target import read_target

N_SPLITS = 3
HOLDOUT_FROM_ROWS = 5000
"""From this number of rows on, only the first of the three folds is measured; held-out rows do not count."""

HELD_OUT_PART = 5
MOST_HELD_OUT_ROWS = 2500
"""One row in `HELD_OUT_PART`, up to this number, is held out: nothing is fitted or selected on it."""

_TASK_LIST = "tasks.csv"


@dataclass(frozen=True)
class Table:
    """One line of ``tasks.csv``.

    Parameters
    ----------
    task : str
        Name of the task and of its file.
    path : Path
        The file.
    target : str
        Column to predict.
    problem : str
        ``"binary"``, ``"multiclass"``, ``"regression"``, or ``"auto"`` to go by the target.
    family : str
        Family of the task; tasks made from related tables share one.
    """

    task: str
    path: Path
    target: str
    problem: str
    family: str


@dataclass(frozen=True)
class LoadedTask:
    """A task that is ready to be measured.

    Parameters
    ----------
    task : Task
        The rows that are used; regression targets are standardised.
    folds : tuple of Fold
        Three folds, or one from 5,000 rows on (held-out rows do not count); all have the same held-out rows.
    n_rows : int
        Rows of the whole table that have a target.
    """

    task: Task
    folds: tuple[Fold, ...]
    n_rows: int

    @property
    def n_rows_used(self) -> int:
        """Number of rows that the folds train on and validate, without the held-out rows."""
        return self.task.n_rows - len(self.folds[0].held_out)


def read_table_list(folder: Path, only: Collection[str] | None = None) -> tuple[Table, ...]:
    """Return the tables that ``tasks.csv`` lists.

    Parameters
    ----------
    folder : Path
        Holds ``tasks.csv`` with the columns ``task_id`` and ``target``, optionally ``problem``
        and ``family``, and a file ``<task_id>.parquet`` or ``<task_id>.csv`` for each line.
    only : collection of str, optional
        Names of the tasks to return, in this order; all by default.

    Raises
    ------
    FileNotFoundError
        If there is no ``tasks.csv``.
    ValueError
        If it lacks a column, names a task twice, or `only` names a task that it does not list.
    """
    file = folder / _TASK_LIST
    if not file.is_file():
        raise FileNotFoundError(
            f"{folder} has no {_TASK_LIST}: expected a folder with a {_TASK_LIST} (columns task_id and target; "
            "optional: problem, family) and one <task_id>.parquet or <task_id>.csv per line."
        )
    try:
        listed = read_delimited(file, dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:
        raise ValueError(f"{file} cannot be read as CSV: {error}") from error
    if missing := {"task_id", "target"} - set(listed.columns):
        raise ValueError(f"{file} lacks the column(s) {sorted(missing)}; it has {list(listed.columns)}.")
    if repeated := sorted(set(listed["task_id"][listed["task_id"].duplicated()])):
        raise ValueError(f"{file} names these tasks more than once: {repeated[:5]}.")
    tables = {row["task_id"]: _table(folder, row) for row in listed.to_dict("records")}
    if only is None:
        return tuple(tables.values())
    if unknown := [name for name in only if name not in tables]:
        raise ValueError(f"{file} does not list {unknown[:5]}.")
    return tuple(tables[name] for name in dict.fromkeys(only))


def _table(folder: Path, row: dict[str, str]) -> Table:
    name = row["task_id"]
    path = next((p for suffix in (".parquet", ".csv") if (p := folder / f"{name}{suffix}").is_file()), None)
    return Table(
        name, path or folder / f"{name}.parquet", row["target"], row.get("problem") or "auto", row.get("family") or name
    )


def load_task(table: Table, max_train_rows: int, seed: int) -> LoadedTask:
    """Return a table as a task with its folds.

    Parameters
    ----------
    table : Table
        Line of ``tasks.csv``.
    max_train_rows : int
        Most training rows of a fold; larger tables are sampled.
    seed : int
        Seed of the sample and of the folds.

    Raises
    ------
    ValueError
        If the file is missing or unreadable, or its target is missing or cannot be learnt.
    """
    frame = _read(table)
    if table.target not in frame.columns:
        raise ValueError(f"the target {table.target!r} is not a column of {table.path.name}")
    if table.problem not in (*PROBLEMS, "auto"):
        raise ValueError(f"the problem {table.problem!r} is none of {PROBLEMS}")
    frame = frame[frame[table.target].notna()]
    n_rows = len(frame)
    if n_rows == 0:
        raise ValueError(f"the target {table.target!r} is missing in every row")
    most = _most_rows(max_train_rows)
    if n_rows > most:
        rng = np.random.default_rng(child_seed(seed, "rows", table.task))
        frame = frame.iloc[np.sort(rng.choice(n_rows, most, replace=False))]
    target = read_target(frame[table.target], len(frame), table.problem)  # type: ignore[arg-type]  # checked above
    X = as_frame(frame.drop(columns=table.target).reset_index(drop=True))
    y = target.values
    if target.problem == "regression":
        if np.ptp(y) == 0:
            raise ValueError(f"the target {table.target!r} has only one value, {y[0]:g}")
        y = (y - np.mean(y)) / np.std(y)
    task = Task(clean(X, fit_schema(X)), y, target.problem, target.n_classes, classes=target.classes)
    return LoadedTask(task, _folds(task, seed), n_rows)


def _most_rows(max_train_rows: int) -> int:
    """Return the number of rows, held-out ones included, with which a fold trains on `max_train_rows`."""
    used = max_train_rows * N_SPLITS // (N_SPLITS - 1)
    return used + min(used // (HELD_OUT_PART - 1), MOST_HELD_OUT_ROWS)


def _folds(task: Task, seed: int) -> tuple[Fold, ...]:
    """Return the folds of a task: some rows are held out, stratified, and the others are split."""
    (split,) = make_folds(task, HELD_OUT_PART, child_seed(seed, "held out"), n_kept=1)
    held_out = split.validation
    if len(held_out) > MOST_HELD_OUT_ROWS:
        rng = np.random.default_rng(child_seed(seed, "fewer held out"))
        held_out = np.sort(rng.choice(held_out, MOST_HELD_OUT_ROWS, replace=False))
    rows = np.setdiff1d(np.arange(task.n_rows), held_out)
    rest = Task(task.table.take(rows), task.y[rows], task.problem, task.n_classes)
    n_kept = 1 if rest.n_rows >= HOLDOUT_FROM_ROWS else None
    folds = make_folds(rest, N_SPLITS, child_seed(seed, "folds"), n_kept=n_kept)
    return tuple(Fold(rows[fold.train], rows[fold.validation], held_out) for fold in folds)


def _read(table: Table) -> pd.DataFrame:
    if not table.path.is_file():
        raise ValueError(f"there is no file {table.path.name} (nor one that ends in .csv)")
    try:
        if table.path.suffix == ".csv":
            return read_delimited(table.path)
        import_optional("pyarrow", extra="meta")
        return pd.read_parquet(table.path)
    except (ValueError, OSError) as error:
        raise ValueError(f"{table.path.name} cannot be read: {' '.join(str(error).split())[:200]}") from error
