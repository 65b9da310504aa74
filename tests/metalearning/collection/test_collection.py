"""A collection: what it measures, in which order, and that it goes on where it was stopped."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression

from autometa.core.strategy import Strategy
from autometa.exceptions import MetaDatasetError
from autometa.metadataset.pool import configuration_id, make_pool
from autometa.metadataset.schema import LOSSES
from autometa.metadataset.store import Store, read_collected, read_predictions
from autometa.metalearning.collection import collection as collection_module
from autometa.metalearning.collection import measuring
from autometa.metalearning.collection.collection import collect
from autometa.metalearning.collection.export import export
from autometa.metalearning.collection.measuring import CollectionSettings, Measured
from tests.helpers.collections import KEY, SECONDS, Collection, cheap_collection, small_tables, write_tables


def units(collection: Collection) -> list[tuple[str, str]]:
    """Return task and configuration of each row in the order of `read_collected`, each once."""
    evaluations = collection.evaluations
    return list(dict.fromkeys(zip(evaluations["task"], evaluations["configuration"], strict=True)))


def measured_in(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Return a list that grows by task and configuration whenever one is measured."""
    seen: list[tuple[str, str]] = []
    original = measuring.measure

    def measure(run: Any, table: Any, entry: Any) -> Measured:
        seen.append((table.task, configuration_id(entry.configuration)))
        return original(run, table, entry)

    monkeypatch.setattr(collection_module, "measure", measure)
    return seen


def same_but_seconds(first: pd.DataFrame, second: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(first.drop(columns=SECONDS), second.drop(columns=SECONDS))


# ---------------------------------------------------------------------------------------- what is measured


def test_every_configuration_is_measured_on_every_task_it_is_for(collected: Collection) -> None:
    expected = {
        (task, configuration_id(entry.configuration))
        for entry in collected.pool
        for task in ("numbers", "three", "two")
        if {"ridge": task == "numbers", "logistic_regression": task != "numbers"}.get(
            entry.configuration.strategy, True
        )
    }
    assert set(units(collected)) == expected
    evaluations = collected.evaluations
    assert set(evaluations["status"]) == {"ok"}
    assert not evaluations.duplicated(KEY).any()
    assert set(evaluations["anchor"]) == {0.5, 1.0} and set(evaluations["fold"]) == {0, 1, 2}


def test_each_problem_has_its_losses(collected: Collection) -> None:
    evaluations = collected.evaluations
    for task, problem in {"numbers": "regression", "three": "multiclass", "two": "binary"}.items():
        rows = evaluations[evaluations["task"] == task].filter(like="loss_")
        finite = {f"loss_{metric}" for metric in LOSSES[problem]}  # type: ignore[index]
        assert set(rows.columns[rows.notna().all()]) == finite
        assert set(rows.columns[rows.isna().all()]) == set(rows.columns) - finite


def test_tasks_and_configurations_are_written_down(collected: Collection) -> None:
    tasks, configurations, _, settings = read_collected(collected.out)
    assert dict(zip(tasks["task"], tasks["family"], strict=True)) == {"numbers": "f", "three": "g", "two": "g"}
    assert set(configurations["configuration"]) == {configuration_id(entry.configuration) for entry in collected.pool}
    assert {name: settings[name] for name in ("time_limit_s", "seed")} == {"time_limit_s": 60.0, "seed": 0}


def test_predictions_of_every_configuration_are_kept(collected: Collection) -> None:
    for task, n_classes in {"numbers": 0, "three": 3, "two": 2}.items():
        fold, y, predictions = read_predictions(collected.out, task)
        assert set(predictions) == {configuration for name, configuration in units(collected) if name == task}
        assert len(fold) == len(y) == 48
        for predicted in predictions.values():
            assert predicted.dtype == np.float16
            assert predicted.shape == ((48, n_classes) if n_classes else (48,))


def test_nothing_but_the_file_remains(collected: Collection) -> None:
    assert {path.name for path in collected.out.iterdir()} <= {
        "collected.sqlite",
        "collected.sqlite-wal",
        "collected.sqlite-shm",
        ".lock",
    }


def test_a_block_is_measured_on_all_tasks_before_the_next(cheap: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection_module, "BLOCK_SIZE", 3)
    seen = measured_in(monkeypatch)
    cheap.run()
    names = [configuration_id(entry.configuration) for entry in cheap.pool]
    tasks = ("numbers", "three", "two")
    in_blocks = [(task, name) for block in (names[:3], names[3:]) for task in tasks for name in block]
    # A strategy that turned out to be unfit in the first block is not tried in the second.
    assert seen[:9] == in_blocks[:9]
    assert [unit for unit in seen[9:] if unit in units(cheap)] == [u for u in in_blocks[9:] if u in units(cheap)]
    assert [line.split(":")[0] for line in cheap.lines] == [*tasks, *tasks]
    assert cheap.lines[0].startswith("numbers: 2 configurations in ") and cheap.lines[0].endswith("(2 ok)")


def test_an_unfit_strategy_is_not_tried_again(cheap: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    cheap.run()
    seen = measured_in(monkeypatch)
    cheap.lines.clear()
    cheap.run()
    assert (seen, cheap.lines) == ([], [])


def test_a_task_that_no_strategy_is_for_is_said(cheap: Collection) -> None:
    ridge = [strategy for strategy in cheap.strategies if strategy.name == "ridge"]
    collect(
        cheap.tasks, cheap.out, ridge, pool=make_pool(ridge, {"ridge": 1}), only=["two"], on_task=cheap.lines.append
    )
    assert cheap.lines == ["two: 0 configurations in 0 s of CPU (none is fit for it)"]
    assert cheap.evaluations.empty


def test_only_the_tasks_that_are_named_are_measured(cheap: Collection) -> None:
    assert set(cheap.run(only=["two"]).evaluations["task"]) == {"two"}
    assert set(cheap.run(only=["numbers", "numbers"]).evaluations["task"]) == {"two", "numbers"}


def test_what_was_measured_elsewhere_is_not_measured_again(collected: Collection, cheap: Collection) -> None:
    known = export(collected.tasks, collected.out)
    cheap.run(known=known)
    # Also what is unfit for a task is known: there is nothing left to do, nor to say.
    assert cheap.evaluations.empty and cheap.lines == []
    more = make_pool(cheap.strategies, {strategy.name: 3 for strategy in cheap.strategies})
    seen = set(units(cheap.run(known=known, pool=more)))
    assert seen and seen.isdisjoint(units(collected))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema_version": 1}, "schema_version=1 then, 2 now"),
        ({"max_train_rows": 5}, "max_train_rows=5 then, 10000 now"),
    ],
)
def test_what_was_measured_on_other_folds_or_rows_is_not_taken_as_known(
    collected: Collection, cheap: Collection, changes: dict[str, int], said: str
) -> None:
    known = export(collected.tasks, collected.out)
    changed = {**known.manifest, "settings": {**known.manifest["settings"], **changes}}
    with pytest.raises(MetaDatasetError, match=f"{said}.*Leave it out, or use the same settings"):
        cheap.run(known=replace(known, manifest=changed))
    assert not cheap.out.exists()


def test_a_longer_pool_only_adds(cheap: Collection) -> None:
    before = cheap.run(only=["two"]).evaluations
    more = make_pool(cheap.strategies, {strategy.name: 4 for strategy in cheap.strategies})
    after = cheap.run(pool=more, only=["two"]).evaluations
    assert len(after) == 2 * len(before)
    known = after[after["configuration"].isin(before["configuration"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(known, before)


def test_tables_that_cannot_be_used_are_skipped_with_their_reason(cheap: Collection) -> None:
    names = ["lost", "noise", "numbers", "other_target", "same", "nothing"]
    for name in ("other_target", "same", "nothing"):
        frame = small_tables()["two"].rename(columns={"y": "z" if name == "other_target" else "y"})
        if name != "other_target":
            frame["y"] = "always" if name == "same" else None
        frame.to_csv(cheap.tasks / f"{name}.csv", index=False)
    (cheap.tasks / "noise.parquet").write_bytes(b"PAR1 is how they begin")
    pd.DataFrame({"task_id": names, "target": "y"}).to_csv(cheap.tasks / "tasks.csv", index=False)
    cheap.run()
    said = dict(line.split(": ", 1) for line in cheap.lines)
    assert len(said) == len(cheap.lines) == 6
    assert said.pop("numbers").startswith("4 configurations")
    assert all(reason.startswith("skipped: ") for reason in said.values())
    for name, reason in {
        "lost": "no file lost.parquet",
        "noise": "noise.parquet cannot be read",
        "other_target": "'y' is not a column of other_target.csv",
        "same": "only one class",
        "nothing": "missing in every row",
    }.items():
        assert reason in said[name]
    assert set(cheap.evaluations["task"]) == {"numbers"}


def test_a_table_that_was_mended_is_measured_the_next_time(cheap: Collection) -> None:
    whole = (cheap.tasks / "two.csv").read_bytes()
    (cheap.tasks / "two.csv").unlink()
    assert cheap.run(only=["two"]).evaluations.empty
    (cheap.tasks / "two.csv").write_bytes(whole)
    assert set(cheap.run(only=["two"]).evaluations["task"]) == {"two"}


# ---------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"n_jobs": 0}, "n_jobs must be at least 1, got 0"),
        ({"backend": "ray"}, "backend must be 'local' or 'dask', got 'ray'"),
        ({"only": ["four"]}, r"does not list \['four'\]"),
        ({"pool": make_pool([Strategy("mine", LinearRegression())])}, r"configurations of \['mine'\]"),
    ],
)
def test_impossible_arguments_are_refused_before_anything_is_made(
    cheap: Collection, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        cheap.run(**arguments)
    assert not cheap.out.exists()


def test_two_collections_into_one_folder_are_refused(cheap: Collection) -> None:
    store = Store(cheap.out, {})
    with pytest.raises(MetaDatasetError, match="Another collection is writing"):
        cheap.run()
    store.close()


def test_other_settings_are_refused(cheap: Collection) -> None:
    before = cheap.run(only=["two"]).evaluations
    with pytest.raises(MetaDatasetError, match="max_train_rows=10000 then, 40 now"):
        cheap.run(settings=CollectionSettings(max_train_rows=40))
    pd.testing.assert_frame_equal(cheap.evaluations, before)


def test_a_failing_write_ends_the_collection_and_loses_nothing(
    cheap: Collection, collected: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_the_disk(store: Store) -> None:
        (n_pages,) = store._connection.execute("PRAGMA page_count").fetchone()
        store._connection.execute(f"PRAGMA max_page_count = {n_pages}")

    with monkeypatch.context() as patch:
        after(patch, 3, fill_the_disk)
        with pytest.raises(MetaDatasetError, match="cannot be written.*full.*goes on from there"):
            cheap.run()
    assert 3 <= len(units(cheap)) < len(units(collected))
    same_but_seconds(cheap.run().evaluations, collected.evaluations)


def after(monkeypatch: pytest.MonkeyPatch, n: int, action: Callable[[Store], None]) -> None:
    """Do something once, before the rows of another configuration are written than the first `n`."""
    add, n_written = Store.add, iter(range(10**6))

    def acting(store: Store, rows: Any, predictions: Any) -> None:
        if next(n_written) == n:
            action(store)
        add(store, rows, predictions)

    monkeypatch.setattr(Store, "add", acting)


# ---------------------------------------------------------------------------------------- going on


@pytest.mark.parametrize("n_before", [0, 7])
def test_an_interrupted_collection_goes_on_without_repeating_anything(
    cheap: Collection, collected: Collection, monkeypatch: pytest.MonkeyPatch, n_before: int
) -> None:
    def interrupt(store: Store) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        after(patch, n_before, interrupt)
        with pytest.raises(KeyboardInterrupt):
            cheap.run()
    done = units(cheap)
    assert len(done) == n_before
    assert not (cheap.out / "scratch").exists()
    again = measured_in(monkeypatch)
    same_but_seconds(cheap.run().evaluations, collected.evaluations)
    assert not set(again) & set(done)
    for task in ("numbers", "three", "two"):
        fold, y, predictions = read_predictions(cheap.out, task)
        expected_fold, expected_y, expected = read_predictions(collected.out, task)
        assert np.array_equal(fold, expected_fold) and np.array_equal(y, expected_y)
        assert predictions.keys() == expected.keys()
        assert all(np.array_equal(predictions[name], expected[name]) for name in expected)


def test_what_a_killed_collection_left_is_cleaned(cheap: Collection) -> None:
    left = cheap.out / "scratch" / "autometa-left"
    left.mkdir(parents=True)
    (left / "fold0.npy").write_bytes(b"0")
    cheap.run(only=["two"])
    assert not (cheap.out / "scratch").exists()


def test_two_at_a_time_give_the_same_rows(cheap: Collection, collected: Collection) -> None:
    same_but_seconds(cheap.run(n_jobs=2).evaluations, collected.evaluations)


# ---------------------------------------------------------------------------------------- in real processes


class Rogue(RegressorMixin, BaseEstimator):
    """Misbehaves in `fit` as it is told; notes the process that it was called in."""

    def __init__(self, how: str = "", notes: str = "") -> None:
        self.how, self.notes = how, notes

    def fit(self, X: np.ndarray, y: np.ndarray) -> Rogue:
        if self.notes:
            Path(self.notes, str(os.getpid())).touch()
        match self.how:
            case "hang":
                time.sleep(1000)
            case "exit":
                os._exit(7)
            case "memory":
                self.ballast_ = np.ones(2**36)
            case "raise":
                raise ValueError("as it was told")
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.zeros(len(X))


# Worker processes need not find this module: another library may have a `tests` of its own.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def rogue(how: str, notes: str = "") -> Strategy:
    return Strategy(how or "fine", Rogue(how, notes))


def until(condition: Callable[[], object], what: str) -> None:
    deadline_s = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline_s, f"waited in vain for {what}"
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_a_rogue_configuration_fails_alone_and_is_not_tried_again(tmp_path: Path) -> None:
    tasks = write_tables(tmp_path / "tables", {"numbers": small_tables()["numbers"]})
    rogues = [rogue(how) for how in ("hang", "exit", "memory", "raise", "")]
    settings = CollectionSettings(time_limit_s=1, memory_limit_gb=0.5)
    collect(tasks, tmp_path / "out", rogues, settings=settings)
    evaluations = read_collected(tmp_path / "out")[2]
    statuses = evaluations.groupby(evaluations["configuration"].str.split("-").str[0])["status"].agg(set)
    assert statuses.to_dict() == {
        "hang": {"timeout"},
        "exit": {"failed"},
        "memory": {"memory"},
        "raise": {"failed"},
        "fine": {"ok"},
    }
    errors = evaluations.query("status != 'ok'").groupby("configuration")["error"].first()
    assert sorted(error.split(" ")[0] for error in errors) == ["MemoryError", "ValueError", "its", "killed"]
    # A limit that was hit at a part of the rows is not tried on more of them.
    assert (evaluations["configuration"].str.startswith("hang")).sum() == 1
    lines: list[str] = []
    collect(tasks, tmp_path / "out", rogues, settings=settings, on_task=lines.append)
    assert lines == []
    assert len(read_collected(tmp_path / "out")[2]) == len(evaluations)


@pytest.mark.slow
def test_ctrl_c_ends_what_is_running(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    tasks = write_tables(tmp_path / "tables", {name: small_tables()["numbers"] for name in ("first", "second")})
    notes = tmp_path / "notes"
    notes.mkdir()
    main = threading.get_ident()

    def interrupt() -> None:
        until(lambda: len(list(notes.iterdir())) == 2, "both processes")
        signal.pthread_kill(main, signal.SIGINT)

    # A test run in the background of a shell ignores the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    threads = set(threading.enumerate())
    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        collect(tasks, tmp_path / "out", [rogue("hang", str(notes))], n_jobs=2)
    until(lambda: not any(is_running(int(note.name)) for note in notes.iterdir()), "the end of the processes")
    until(lambda: not set(threading.enumerate()) - threads, "the end of the threads")
    assert not (tmp_path / "out" / "scratch").exists()
    assert read_collected(tmp_path / "out")[2].empty


SCRIPT = """
import os
import sys
import time
from pathlib import Path
from sklearn.linear_model import LinearRegression
from autometa import Strategy
from autometa.catalogue import load_strategies
from autometa.metalearning.collection.collection import collect
from autometa.metadataset.pool import make_pool

class Hanging(LinearRegression):
    def fit(self, X, y):
        Path(notes, str(os.getpid())).touch()
        time.sleep(1000)

tasks, out, how, notes = sys.argv[1:]
cheap = ["ridge", "nearest_neighbours", "logistic_regression"]
strategies = [Strategy("hanging", Hanging())] if how == "hang" else load_strategies(cheap)
pool = make_pool(strategies, {strategy.name: 4 for strategy in strategies})
collect(tasks, out, strategies, pool=pool, n_jobs=2)
"""


def start(collection: Collection, how: str = "", notes: Path = Path()) -> subprocess.Popen[str]:
    script = collection.out.with_suffix(".py")
    script.write_text(SCRIPT.replace("Path(notes,", f"Path({str(notes)!r},"))
    command = [sys.executable, str(script), str(collection.tasks), str(collection.out), how, str(notes)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def children_of(pid: int) -> set[int]:
    """Return the processes that one has started, and those that these have."""
    found, grown = {pid}, True
    while grown:
        grown = False
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                parent = int(stat.read_text().rsplit(")", 1)[1].split()[1])
                if parent in found and int(stat.parent.name) not in found:
                    found.add(int(stat.parent.name))
                    grown = True
    return found - {pid}


def kill(process: subprocess.Popen[str]) -> set[int]:
    """Kill a collector without a warning; return the processes that it leaves behind."""
    left = children_of(process.pid)
    process.kill()
    process.communicate()
    return left


def is_ahead(collection: Collection, before: pd.DataFrame) -> bool:
    with contextlib.suppress(MetaDatasetError):  # it may still be about to begin its file
        return len(collection.evaluations) > len(before)
    return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes in /proc")
def test_a_collection_that_is_killed_again_and_again_ends_as_if_it_had_not_been(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole, killed = cheap_collection(tmp_path, 4), replace(cheap_collection(tmp_path, 4), out=tmp_path / "killed")
    process = start(whole)
    assert process.communicate() == (None, "") and process.returncode == 0
    expected = whole.evaluations
    n_kills, before = 0, pd.DataFrame()
    while True:
        process = start(killed)
        if n_kills % 3:  # at work; the others while it starts
            until(lambda process=process, before=before: process.poll() is not None or is_ahead(killed, before), "rows")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0, 0.3 if n_kills % 3 else 4) if n_kills < 5 else None)
        if process.poll() is not None:
            assert process.communicate() == (None, "") and process.returncode == 0
            break
        left = kill(process)
        n_kills += 1
        until(lambda left=left: not any(map(is_running, left)), "the end of the processes")
        if n_kills > 1:
            # Looked at in a copy: the next collector is to find the file as the killed one left it.
            copy = replace(killed, out=Path(shutil.copytree(killed.out, tmp_path / f"copy{n_kills}")))
            now = copy.evaluations
            # No half rows: what there is of a configuration is all of it. Nothing that was there has changed.
            assert now.groupby(["task", "configuration"]).size().isin([6]).all()
            kept = now.merge(before[KEY]) if n_kills > 2 else before
            pd.testing.assert_frame_equal(kept, before)
            before = now
    assert n_kills >= 2
    same_but_seconds(killed.evaluations, expected)
    assert not (killed.out / "scratch").exists()
    for task in ("numbers", "three", "two"):
        found, wanted = read_predictions(killed.out, task), read_predictions(whole.out, task)
        assert np.array_equal(found[0], wanted[0]) and np.array_equal(found[1], wanted[1])
        assert found[2].keys() == wanted[2].keys()
        assert all(np.array_equal(found[2][name], wanted[2][name]) for name in wanted[2])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes in /proc")
def test_processes_of_a_killed_collection_end_even_while_a_fit_hangs(tmp_path: Path) -> None:
    collection = cheap_collection(tmp_path)
    notes = tmp_path / "notes"
    notes.mkdir()
    process = start(collection, "hang", notes)
    until(lambda: len(list(notes.iterdir())) >= 1, "a fit that hangs")
    left = kill(process)
    assert {int(note.name) for note in notes.iterdir()} <= left
    assert list((collection.out / "scratch").iterdir())
    until(lambda: not any(map(is_running, left)), "the end of the processes")


# ---------------------------------------------------------------------------------------- on a cluster


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Return a Dask cluster of two worker processes with one thread each, as its command makes them: with nannies."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster


# What a library does at its own start and end is not ours to mend.
ignore_dask = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@ignore_dask
@pytest.mark.slow
def test_a_cluster_measures_the_same_on_all_its_workers(cluster: Any, collected: Collection, tmp_path: Path) -> None:
    collection = cheap_collection(tmp_path)
    collection.run(backend="dask", scheduler=cluster.scheduler_address)
    same_but_seconds(collection.evaluations, collected.evaluations)
    assert not (collection.out / "scratch").exists()
    left = [name for name in cluster.scheduler.clients if name.startswith("Client-") and "worker" not in name]
    assert left == []
    with cluster.get_client() as client:
        assert list(client.run(n_pools).values()) == [1, 1]
    processes = children_of(os.getpid())
    cluster.close()
    until(lambda: not any(is_running(pid) for pid in processes if is_worker(pid)), "the end of the processes")


def n_pools() -> int:
    """Return how many pools of processes a worker of the cluster has started."""
    from autometa.metalearning.collection import measuring

    return len(measuring._POOLS)


def is_worker(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"pebble_pool_worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


@ignore_dask
@pytest.mark.slow
def test_a_worker_of_a_cluster_that_is_killed_costs_nothing(
    cluster: Any, collected: Collection, tmp_path: Path
) -> None:
    collection = cheap_collection(tmp_path)
    with cluster.get_client() as client:
        victim, *_ = client.run(os.getpid).values()
    orphans: set[int] = set()

    def on_task(line: str) -> None:
        if not orphans:
            orphans.update(children_of(victim))
            os.kill(victim, signal.SIGKILL)

    collection.run(backend="dask", scheduler=cluster.scheduler_address, on_task=on_task)
    same_but_seconds(collection.evaluations, collected.evaluations)
    assert orphans
    until(lambda: not any(map(is_running, orphans)), "the end of the processes")
