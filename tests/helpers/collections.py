"""Small tables to collect on, and a pool that evaluates in the calling process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autometa.catalogue import load_strategies
from autometa.core.strategy import Strategy
from autometa.metadataset.pool import PoolEntry, make_pool
from autometa.metadataset.schema import EVALUATION_KEY
from autometa.metadataset.store import read_collected
from autometa.metalearning.collection import measuring
from autometa.metalearning.collection.collection import collect

Tables = Mapping[str, pd.DataFrame]


def small_tables(n_rows: int = 90) -> dict[str, pd.DataFrame]:
    """Return a table for each problem, with gaps and a category; the target is the column `y`."""
    rng = np.random.default_rng(0)
    tables = {}
    for name in ("numbers", "three", "two"):
        X = rng.normal(size=(n_rows, 3))
        score = X[:, 0] - 2 * X[:, 1] + 0.3 * rng.normal(size=n_rows)
        frame = pd.DataFrame(X, columns=["a", "b", "c"]).mask(rng.random(X.shape) < 0.05)
        frame["kind"] = rng.choice(["red", "green", "blue"], n_rows)
        # Numbers far from 0 and 1, so that a target that is not standardised shows.
        frame["y"] = 1000 + 50 * score if name == "numbers" else pd.qcut(score, 2 if name == "two" else 3, labels=False)
        tables[name] = frame
    tables["two"]["y"] = tables["two"]["y"].map({0: "no", 1: "yes"})
    return tables


def write_tables(folder: Path, tables: Tables, **columns: Sequence[str]) -> Path:
    """Write a folder of tables, in turn as CSV and as Parquet; `columns` go into its ``tasks.csv``."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, frame) in enumerate(tables.items()):
        if number % 2:
            frame.to_parquet(folder / f"{name}.parquet")
        else:
            frame.to_csv(folder / f"{name}.csv", index=False)
    pd.DataFrame({"task_id": list(tables), "target": "y", **columns}).to_csv(folder / "tasks.csv", index=False)
    return folder


class CallingProcess:
    """Stands in for a pool of worker processes: no seconds of starting them, and no limits."""

    active = True

    def __init__(self, n_workers: int, memory_bytes: int) -> None:
        pass

    def schedule(self, function: Callable[..., Any], args: Sequence[Any], timeout: float) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def stop(self) -> None:
        pass

    def join(self) -> None:
        pass


@pytest.fixture
def in_calling_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "process_pool", CallingProcess)


@pytest.fixture
def table_folder(tmp_path: Path) -> Path:
    return write_tables(tmp_path / "tables", small_tables())


@dataclass
class Collection:
    """Arguments of `collect` for small tables and cheap strategies, and what it says and measures."""

    tasks: Path
    out: Path
    strategies: list[Strategy]
    pool: tuple[PoolEntry, ...]
    lines: list[str] = field(default_factory=list)

    def run(self, **arguments: Any) -> Collection:
        given = {"pool": self.pool, "n_jobs": 1, "on_task": self.lines.append, **arguments}
        collect(self.tasks, self.out, self.strategies, **given)
        return self

    @property
    def evaluations(self) -> pd.DataFrame:
        """Evaluations in an order that does not depend on when they were made."""
        return read_collected(self.out)[2].sort_values(KEY, ignore_index=True)


KEY = list(EVALUATION_KEY)
SECONDS = ["fit_s", "predict_s", "fit_cpu_s", "predict_cpu_s", "memory_mb", "machine_speed"]


def cheap_collection(folder: Path, n_configurations: int = 2) -> Collection:
    """Return a collection of three tables and three cheap strategies that is still to be run."""
    strategies = list(load_strategies(["ridge", "nearest_neighbours", "logistic_regression"]))
    pool = make_pool(strategies, {strategy.name: n_configurations for strategy in strategies})
    problems = ["regression", "multiclass", "binary"]
    tasks = write_tables(folder / "tables", small_tables(48), problem=problems, family=["f", "g", "g"])
    return Collection(tasks, folder / "out", strategies, pool)


@pytest.fixture
def cheap(tmp_path: Path, in_calling_process: None) -> Collection:
    return cheap_collection(tmp_path)


@pytest.fixture(scope="session")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """Return a collection that has been run; it is not to be changed."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(measuring, "process_pool", CallingProcess)
        return cheap_collection(tmp_path_factory.mktemp("collected")).run()
