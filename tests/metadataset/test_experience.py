"""What fits remember: configurations, losses and seconds of a task, never its data."""

from __future__ import annotations

import contextlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autometa.core.evaluation import Evaluation
from autometa.core.space import Configuration
from autometa.core.task import TaskDescription
from autometa.exceptions import MetaDatasetError
from autometa.metadataset.dataset import MetaDataset
from autometa.metadataset.experience import recall, remember
from autometa.metadataset.store import FILE_NAME, Store
from autometa.policy.past_tasks import PastTasks

RIDGE, FOREST = Configuration("ridge", {"alpha": 1.0}), Configuration("random_forest", {"n_estimators": 50})


def description(n_rows: int = 100, metric: str = "rmse", loss_unit: float = 10.0) -> TaskDescription:
    features = {"log_rows": np.log(n_rows), "target_skew": 0.5}
    return TaskDescription("regression", n_rows, 4, 0, metric, loss_unit, features=features)


def evaluations() -> list[Evaluation]:
    return [
        Evaluation(RIDGE, 1.0, 0, 5.0, 0.1, 0.01, fit_cpu_s=0.2, predict_cpu_s=0.02),
        Evaluation(RIDGE, 1.0, 1, 7.0, 0.1, 0.01, fit_cpu_s=0.2, predict_cpu_s=0.02),
        Evaluation(FOREST, 1.0, 0, float("nan"), 3.0, 0.0, "timeout", "killed"),
    ]


def test_what_is_remembered_is_recalled_in_units_of_the_target(tmp_path: Path) -> None:
    remember(tmp_path, description(), evaluations(), seed=1)
    metadataset = recall(tmp_path)
    assert metadataset is not None
    assert metadataset.tasks["problem"].tolist() == ["regression"]
    assert metadataset.tasks["target_skew"].tolist() == [0.5]
    past = PastTasks.from_metadataset(metadataset)
    places = [past.position[RIDGE], past.position[FOREST]]
    assert past.losses["rmse"][0, places] == pytest.approx([0.6, np.nan], nan_ok=True)
    assert past.seconds[0, places[0]] == pytest.approx(0.22)
    assert past.failed[0, places].tolist() == [False, True]


def as_layout_1(folder: Path) -> None:
    """Turn a folder into what the same fits would have left before there were progress and speed."""
    with sqlite3.connect(folder / FILE_NAME) as connection:
        names = [name for _, name, *_ in connection.execute("PRAGMA table_info(evaluations)")]
        kept = ", ".join(name for name in names if name not in ("progress", "machine_speed"))
        key = "task, configuration, anchor, n_iterations, fold, seed"
        connection.execute(f"CREATE TABLE old ({kept}, PRIMARY KEY ({key})) WITHOUT ROWID")
        connection.execute(f"INSERT INTO old SELECT {kept} FROM evaluations")
        connection.execute("DROP TABLE evaluations")
        connection.execute("ALTER TABLE old RENAME TO evaluations")
        connection.execute("UPDATE settings SET value = '1' WHERE name = 'schema_version'")
    connection.close()


def test_experience_of_layout_1_is_recalled_and_goes_on(tmp_path: Path) -> None:
    given = [*evaluations(), Evaluation(FOREST, 0.125, 1, 9.0, 0.1, 0.01)]
    remember(tmp_path, description(), given, seed=1)
    before = recall(tmp_path)
    as_layout_1(tmp_path)
    old = recall(tmp_path)
    remember(tmp_path, description(), given, seed=1)
    same = recall(tmp_path)
    remember(tmp_path, description(n_rows=200), given, seed=1)
    more = recall(tmp_path)
    assert before is not None and old is not None and same is not None and more is not None
    for metadataset in (old, same):
        pd.testing.assert_frame_equal(metadataset.matrix(), before.matrix())
        pd.testing.assert_frame_equal(metadataset.matrix("fit_s", anchor=0.125), before.matrix("fit_s", anchor=0.125))
        assert len(metadataset.evaluations) == len(before.evaluations)
    assert len(more.evaluations) == 2 * len(before.evaluations)
    speeds = more.evaluations.set_index("task")["machine_speed"]
    assert speeds[old.tasks["task"][0]].isna().all() and speeds.notna().sum() == len(given)


def test_fits_of_one_table_are_one_task(tmp_path: Path) -> None:
    for seed in (1, 2, 2):
        remember(tmp_path, description(), evaluations(), seed=seed)
    remember(tmp_path, description(n_rows=200), evaluations(), seed=1)
    metadataset = recall(tmp_path)
    assert metadataset is not None
    assert (metadataset.n_tasks, len(metadataset.evaluations)) == (2, 9)


def test_a_fit_that_was_cut_short_is_no_evidence_of_its_configuration(tmp_path: Path) -> None:
    cut = replace(evaluations()[0], configuration=FOREST, fold=1, is_cut_short=True)
    remember(tmp_path, description(), [*evaluations()[:2], cut], seed=1)
    metadataset = recall(tmp_path)
    assert metadataset is not None
    assert metadataset.configurations["strategy"].tolist() == ["ridge"]
    assert len(metadataset.evaluations) == 2


def test_a_metric_that_is_not_recorded_leaves_seconds_but_no_loss(tmp_path: Path) -> None:
    remember(tmp_path, description(metric="my_metric", loss_unit=1.0), evaluations(), seed=0)
    metadataset = recall(tmp_path)
    assert metadataset is not None
    assert metadataset.evaluations.filter(like="loss_").isna().all().all()
    assert metadataset.matrix("fit_s").notna().to_numpy().any()


def test_fits_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        written = [pool.submit(remember, tmp_path, description(n_rows=100 + n), evaluations(), n) for n in range(8)]
    assert all(future.result() is None for future in written)
    metadataset = recall(tmp_path)
    assert metadataset is not None
    assert (metadataset.n_tasks, len(metadataset.evaluations)) == (8, 24)


def test_a_folder_that_stays_locked_is_not_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remember(tmp_path, description(), evaluations(), seed=0)
    monkeypatch.setattr("autometa.metadataset.experience._PATIENCE_S", 0.0)
    with contextlib.closing(Store(tmp_path, {"kind": "experience"}, finished_fits_only=True)):
        with pytest.raises(MetaDatasetError, match="writing"):
            remember(tmp_path, description(n_rows=200), evaluations(), seed=0)
        assert recall(tmp_path) is not None


def test_nothing_is_recalled_before_the_first_fit(tmp_path: Path) -> None:
    assert recall(tmp_path) is None


def test_a_collection_is_no_experience(tmp_path: Path) -> None:
    remember(tmp_path, description(), evaluations(), seed=0)
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("DELETE FROM settings WHERE name = 'kind'")
    with pytest.raises(MetaDatasetError, match="no experience"):
        recall(tmp_path)


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    remember(tmp_path, description(), evaluations(), seed=0)
    file = tmp_path / FILE_NAME
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(MetaDatasetError, match=FILE_NAME):
        recall(tmp_path)


def test_joined_past_tasks_take_in_configurations_that_several_tasks_share(tmp_path: Path) -> None:
    remember(tmp_path, description(), evaluations(), seed=0)
    remember(tmp_path, description(n_rows=200), evaluations()[:2], seed=0)
    own = recall(tmp_path)
    assert own is not None
    shipped = MetaDataset.from_matrix(pd.DataFrame({"tree": [0.2, 0.4]}, index=["iris", "wine"]))
    joined = PastTasks.from_metadataset(shipped).join(PastTasks.from_metadataset(own))
    assert joined.tasks[:2] == ("iris", "wine")
    # The forest has a result on one task only.
    assert RIDGE in joined.position and FOREST not in joined.position
    assert np.isnan(joined.losses["rmse"][:2]).all()
    assert joined.losses["rmse"][2:, joined.position[RIDGE]] == pytest.approx([0.6, 0.6])
