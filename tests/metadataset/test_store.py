"""What is written is whole or not there; what cannot be read is left as it is."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autometa.core.space import Configuration
from autometa.exceptions import MetaDatasetError
from autometa.metadataset import store as store_module
from autometa.metadataset.pool import PoolEntry, configuration_id
from autometa.metadataset.schema import EVALUATION_COLUMNS, HELD_OUT, SCHEMA_VERSION
from autometa.metadataset.store import FILE_NAME, Store, read_collected, read_predictions

SETTINGS = {"time_limit_s": 60.0, "seed": 0}
TASK = {
    "task": "two",
    "problem": "binary",
    "family": "pairs",
    "n_rows": 90,
    "n_columns": 4,
    "n_classes": 2,
    "n_rows_used": 80,
}


def rows(configuration: str = "a", task: str = "two", folds: int = 3, **values: Any) -> list[dict[str, Any]]:
    given = {
        **dict.fromkeys(EVALUATION_COLUMNS, math.nan),
        "task": task,
        "configuration": configuration,
        "anchor": 1.0,
        "progress": 1.0,
        "n_iterations": 0,
        "seed": 0,
        "loss_roc_auc": 0.25,
        "status": "ok",
        "error": "",
        **values,
    }
    return [{**given, "fold": fold} for fold in range(folds)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path, SETTINGS)
    yield store
    store.close()


def fill(folder: Path, n_configurations: int = 30) -> Path:
    """Return the file of a collection of many pages."""
    store = Store(folder, SETTINGS)
    store.add_task(TASK)
    for number in range(n_configurations):
        store.add(rows(f"configuration-{number}", error="x" * 1000), np.zeros((500, 2)))
    store.close()
    return folder / FILE_NAME


def content(folder: Path) -> dict[str, bytes]:
    """Return what the files hold, without SQLite's notes about who is reading."""
    files = {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.endswith("-shm")}
    return {name: held for name, held in files.items() if held}


def test_what_is_written_is_read_back(tmp_path: Path, store: Store) -> None:
    entry = PoolEntry(Configuration("knn", {"k": 5, "weights": "uniform"}), 0, "default")
    store.add_configurations([entry])
    store.add_task(TASK)
    store.add(rows(configuration_id(entry.configuration), fit_s=1.5), None)
    tasks, configurations, evaluations, settings = read_collected(tmp_path)
    assert tasks.to_dict("records") == [TASK]
    assert configurations.to_dict("records") == [
        {
            "configuration": configuration_id(entry.configuration),
            "strategy": "knn",
            "position": 0,
            "origin": "default",
            "parameters": '{"k": 5, "weights": "uniform"}',
        }
    ]
    assert list(evaluations) == list(EVALUATION_COLUMNS)
    assert list(evaluations["fold"]) == [0, 1, 2]
    assert set(evaluations["fit_s"]) == {1.5}
    assert evaluations["loss_rmse"].isna().all()
    assert settings == {"schema_version": SCHEMA_VERSION, **SETTINGS}


def test_predictions_are_read_back_in_their_shape_at_half_precision(tmp_path: Path, store: Store) -> None:
    rng = np.random.default_rng(0)
    y, fold = rng.integers(0, 2, 30), np.repeat([0, 1, 2], 10)
    probabilities, values = rng.random((30, 2)), rng.normal(size=30)
    store.add_targets("two", 2, fold, y)
    store.add(rows("a"), probabilities)
    store.add_targets("numbers", 0, fold, values)
    store.add(rows("b", "numbers"), values)
    found_fold, found_y, predictions = read_predictions(tmp_path, "two")
    assert np.array_equal(found_fold, fold) and np.array_equal(found_y, y)
    assert predictions.keys() == {"a"}
    assert np.array_equal(predictions["a"], probabilities.astype(np.float16))
    _, found_y, predictions = read_predictions(tmp_path, "numbers")
    assert np.array_equal(found_y, values.astype(np.float32))
    assert np.array_equal(predictions["b"], values.astype(np.float16))


def test_a_task_without_predictions_is_said(tmp_path: Path, store: Store) -> None:
    with pytest.raises(KeyError, match="no predictions for the task 'two'"):
        read_predictions(tmp_path, "two")


def test_the_same_evaluations_again_change_nothing(tmp_path: Path, store: Store) -> None:
    store.add(rows("a"), None)
    store.add(rows("a", loss_roc_auc=0.9), None)
    evaluations = read_collected(tmp_path)[2]
    assert len(evaluations) == 3
    assert set(evaluations["loss_roc_auc"]) == {0.25}
    assert store.done() == {("two", "a")}


def test_rows_that_cannot_all_be_written_are_not_written_at_all(tmp_path: Path, store: Store) -> None:
    class Unwritable:
        pass

    faulty = rows("a")
    faulty[2]["loss_roc_auc"] = Unwritable()
    with pytest.raises(MetaDatasetError, match="cannot be written"):
        store.add(faulty, None)
    assert store.done() == set()
    store.add(rows("a"), None)
    assert len(read_collected(tmp_path)[2]) == 3


def test_a_full_disk_costs_nothing_that_was_written(tmp_path: Path) -> None:
    store = Store(tmp_path, SETTINGS)
    store.add(rows("a"), np.zeros((90, 2)))
    (n_pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {n_pages + 1}")
    with pytest.raises(MetaDatasetError, match="disk is full.*goes on from there"):
        store.add(rows("b", error="x" * 100_000), np.zeros((10_000, 2)))
    store.close()
    store = Store(tmp_path, SETTINGS)
    assert store.done() == {("two", "a")}
    store.add(rows("b"), None)
    store.close()
    assert len(read_collected(tmp_path)[2]) == 6


def test_two_collections_into_one_folder_are_refused(tmp_path: Path, store: Store) -> None:
    with pytest.raises(MetaDatasetError, match="Another collection is writing"):
        Store(tmp_path, SETTINGS)
    store.close()
    Store(tmp_path, SETTINGS).close()


def test_a_collection_that_is_refused_leaves_the_folder_to_others(tmp_path: Path) -> None:
    Store(tmp_path, SETTINGS).close()
    with pytest.raises(MetaDatasetError):
        Store(tmp_path, {**SETTINGS, "seed": 1})
    Store(tmp_path, SETTINGS).close()


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({**SETTINGS, "seed": 1}, "seed=0 then, 1 now"),
        ({"seed": 0}, "time_limit_s=60.0 then, None now"),
        ({**SETTINGS, "weights": True}, "weights=None then, True now"),
    ],
    ids=["another value", "one less", "one more"],
)
def test_other_settings_are_refused_and_named(tmp_path: Path, others: dict[str, Any], said: str) -> None:
    fill(tmp_path, 1)
    before = content(tmp_path)
    with pytest.raises(MetaDatasetError, match=said):
        Store(tmp_path, others)
    assert content(tmp_path) == before


def test_a_file_of_a_layout_of_the_future_is_left_as_it_is(tmp_path: Path) -> None:
    file = fill(tmp_path, 1)
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE settings SET value = '99' WHERE name = 'schema_version'")
        connection.execute("DROP TABLE predictions")
    connection.close()
    before = content(tmp_path)
    with pytest.raises(MetaDatasetError, match="layout 99"):
        Store(tmp_path, SETTINGS)
    assert content(tmp_path) == before
    with pytest.raises(MetaDatasetError, match="layout 99"):
        read_collected(tmp_path)


def fill_layout_1(folder: Path, **settings: Any) -> Path:
    """Return a file as earlier versions wrote it: one fit with two points along it, and one on half of the rows."""
    columns = [name for name in EVALUATION_COLUMNS if name not in ("progress", "machine_speed")]
    key = "task, configuration, anchor, n_iterations, fold, seed"
    points = [
        *(rows("boosting", folds=1, anchor=n / 8, n_iterations=n)[0] for n in (1, 4)),
        rows("boosting", folds=1, n_iterations=8, fit_s=2.0)[0],
        rows("tree", folds=1, anchor=0.5, fit_s=1.0)[0],
        rows("tree", folds=1, fit_s=2.0)[0],
    ]
    with sqlite3.connect(folder / FILE_NAME) as connection:
        connection.executescript(
            f"""
            CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT);
            CREATE TABLE tasks (task TEXT PRIMARY KEY, problem TEXT, family TEXT,
                n_rows INTEGER, n_columns INTEGER, n_classes INTEGER, n_rows_used INTEGER);
            CREATE TABLE features (task TEXT PRIMARY KEY, features TEXT);
            CREATE TABLE configurations
                (configuration TEXT PRIMARY KEY, strategy TEXT, position INTEGER, origin TEXT, parameters TEXT);
            CREATE TABLE evaluations ({", ".join(columns)}, PRIMARY KEY ({key})) WITHOUT ROWID;
            CREATE TABLE targets (task TEXT PRIMARY KEY, n_classes INTEGER, fold BLOB, y BLOB);
            CREATE TABLE predictions (task TEXT, configuration TEXT, predictions BLOB,
                PRIMARY KEY (task, configuration)) WITHOUT ROWID;
            """
        )
        told = {"schema_version": 1, **settings}
        connection.executemany("INSERT INTO settings VALUES (?, ?)", [(k, json.dumps(v)) for k, v in told.items()])
        marks = ", ".join("?" * len(columns))
        values = [tuple(point[name] for name in columns) for point in points]
        connection.executemany(f"INSERT INTO evaluations VALUES ({marks})", values)
        connection.execute("INSERT INTO tasks VALUES (?, ?, ?, ?, ?, ?, ?)", tuple(TASK.values()))
        blobs = np.zeros(3, np.int8).tobytes(), np.zeros(3, np.float32).tobytes()
        connection.execute("INSERT INTO targets VALUES (?, ?, ?, ?)", ("two", 2, *blobs))
    connection.close()
    return folder / FILE_NAME


FRACTIONS = {
    ("boosting", 1): (1.0, 1 / 8),
    ("boosting", 4): (1.0, 4 / 8),
    ("boosting", 8): (1.0, 1.0),
    ("tree", 0): (0.5, 1.0),
}


def test_a_collection_of_layout_1_is_read_in_the_columns_of_today_and_left_as_it_is(tmp_path: Path) -> None:
    fill_layout_1(tmp_path, **SETTINGS)
    before = content(tmp_path)
    tasks, _, evaluations, settings = read_collected(tmp_path)
    assert tasks.to_dict("records") == [TASK]
    assert list(evaluations) == list(EVALUATION_COLUMNS)
    assert settings == {"schema_version": 1, **SETTINGS}
    half = evaluations[~((evaluations["configuration"] == "tree") & (evaluations["anchor"] == 1))]
    found = half.set_index(["configuration", "n_iterations"])[["anchor", "progress"]].T.to_dict("list")
    assert {key: tuple(values) for key, values in found.items()} == FRACTIONS
    assert len(evaluations) == 5 and evaluations["machine_speed"].isna().all()
    fold, _, _ = read_predictions(tmp_path, "two")
    assert HELD_OUT not in fold
    assert content(tmp_path) == before


def test_a_collection_of_layout_1_takes_no_new_rows_and_says_what_to_do(tmp_path: Path) -> None:
    fill_layout_1(tmp_path, **SETTINGS)
    before = content(tmp_path)
    with pytest.raises(MetaDatasetError, match="layout 1.*autometa export.*collect into another folder"):
        Store(tmp_path, SETTINGS)
    assert content(tmp_path) == before


def test_a_file_of_finished_fits_is_brought_to_the_layout_of_today(tmp_path: Path) -> None:
    file = fill_layout_1(tmp_path, **SETTINGS)
    with sqlite3.connect(file) as connection:
        connection.execute("DELETE FROM evaluations WHERE anchor < 1 AND n_iterations > 0")
    connection.close()
    before = read_collected(tmp_path)[2]
    for _ in range(2):  # the second time it is one of today
        Store(tmp_path, SETTINGS, finished_fits_only=True).close()
        _, _, after, settings = read_collected(tmp_path)
        assert settings == {"schema_version": SCHEMA_VERSION, **SETTINGS}
        key = ["configuration", "anchor"]
        pd.testing.assert_frame_equal(
            after.sort_values(key, ignore_index=True), before.sort_values(key, ignore_index=True)
        )
    store = Store(tmp_path, SETTINGS, finished_fits_only=True)
    store.add(rows("new", machine_speed=1.5, progress=1.0, fit_s=3.0), None)
    store.close()
    new = read_collected(tmp_path)[2].query("configuration == 'new'")
    assert set(new["machine_speed"]) == {1.5} and set(new["fit_s"]) == {3.0} and set(new["status"]) == {"ok"}


def test_a_file_of_other_settings_is_not_brought_to_the_layout_of_today(tmp_path: Path) -> None:
    fill_layout_1(tmp_path, **SETTINGS)
    before = content(tmp_path)
    with pytest.raises(MetaDatasetError, match="other settings"):
        Store(tmp_path, {"kind": "experience"}, finished_fits_only=True)
    assert content(tmp_path) == before


def test_an_upgrade_that_is_interrupted_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_layout_1(tmp_path, **SETTINGS)
    before = read_collected(tmp_path)
    monkeypatch.setattr("autometa.metadataset.store._FROM_LAYOUT_1", f"{store_module._FROM_LAYOUT_1} SELECT nothing;")
    with pytest.raises(MetaDatasetError, match="cannot be written"):
        Store(tmp_path, SETTINGS, finished_fits_only=True)
    after = read_collected(tmp_path)
    assert after[3] == before[3]
    pd.testing.assert_frame_equal(after[2], before[2])


@pytest.mark.parametrize("how", ["half of it", "noise within", "no database", "another database"])
def test_a_damaged_file_is_said_and_left_as_it_is(tmp_path: Path, how: str) -> None:
    file = fill(tmp_path)
    whole = file.read_bytes()
    match how:
        case "half of it":
            file.write_bytes(whole[: len(whole) // 2])
        case "noise within":
            middle = len(whole) // 2
            noise = np.random.default_rng(0).bytes(20_000)
            file.write_bytes(whole[:middle] + noise + whole[middle + len(noise) :])
        case "no database":
            file.write_bytes(b"task,loss\n" * 1000)
        case "another database":
            file.unlink()
            with sqlite3.connect(file) as connection:
                connection.execute("CREATE TABLE invoices (number INTEGER)")
            connection.close()
    before = content(tmp_path)
    with pytest.raises(MetaDatasetError, match="cannot be read.*damaged.*left as it is"):
        Store(tmp_path, SETTINGS)
    assert content(tmp_path) == before


def test_a_damaged_file_with_a_journal_is_left_as_it_is(tmp_path: Path) -> None:
    """The journal of a killed collection is not written into a file that is damaged."""
    (tmp_path / "first").mkdir()
    fill(tmp_path / "first")
    store = Store(tmp_path / "first", SETTINGS)
    store.add(rows("one-more"), None)
    killed = tmp_path / "killed"
    killed.mkdir()
    for name in (FILE_NAME, f"{FILE_NAME}-wal"):
        (killed / name).write_bytes((tmp_path / "first" / name).read_bytes())
    store.close()
    whole = (killed / FILE_NAME).read_bytes()
    (killed / FILE_NAME).write_bytes(whole[: len(whole) // 2])
    before = content(killed)
    with pytest.raises(MetaDatasetError, match="damaged"):
        Store(killed, SETTINGS)
    assert content(killed) == before


def test_what_a_killed_collection_had_written_is_there(tmp_path: Path) -> None:
    store = Store(tmp_path / "first", SETTINGS)
    store.add(rows("a"), None)
    # As a killed process leaves them: the journal is not yet in the file.
    killed = tmp_path / "killed"
    killed.mkdir()
    for name in (FILE_NAME, f"{FILE_NAME}-wal"):
        (killed / name).write_bytes((tmp_path / "first" / name).read_bytes())
    store.close()
    assert len(read_collected(killed)[2]) == 3
    store = Store(killed, SETTINGS)
    assert store.done() == {("two", "a")}
    store.close()


def test_an_empty_file_is_begun(tmp_path: Path) -> None:
    """A process may be killed after it has made the file and before it has written to it."""
    (tmp_path / FILE_NAME).touch()
    Store(tmp_path, SETTINGS).close()
    sqlite3.connect(tmp_path / FILE_NAME).close()
    assert read_collected(tmp_path)[3] == {"schema_version": SCHEMA_VERSION, **SETTINGS}


def test_a_file_that_was_begun_without_tables_is_begun_again(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
    assert (tmp_path / FILE_NAME).stat().st_size
    Store(tmp_path, SETTINGS).close()
    assert read_collected(tmp_path)[3] == {"schema_version": SCHEMA_VERSION, **SETTINGS}


def test_a_folder_without_a_collection_is_said(tmp_path: Path) -> None:
    with pytest.raises(MetaDatasetError, match="holds no collection"):
        read_collected(tmp_path)


def test_reading_sees_one_moment(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluations of tasks that are written while it reads would belong to no task."""
    store.add_task(TASK)
    store.add(rows("a"), None)
    read_sql = __import__("pandas").read_sql

    def read_while_another_writes(query: str, connection: sqlite3.Connection) -> Any:
        table = read_sql(query, connection)
        if "FROM tasks" in query:
            store.add_task({**TASK, "task": "later"})
            store.add(rows("a", "later"), None)
        return table

    monkeypatch.setattr("autometa.metadataset.store.pd.read_sql", read_while_another_writes)
    tasks, _, evaluations, _ = read_collected(tmp_path)
    assert set(tasks["task"]) == set(evaluations["task"]) == {"two"}
