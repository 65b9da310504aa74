"""A meta-dataset from a collection: what was measured, and the meta-features of its tasks."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autometa.cli import _parser
from autometa.exceptions import MetaDatasetError
from autometa.metadataset.dataset import MetaDataset
from autometa.metadataset.pool import configuration_id, make_pool
from autometa.metadataset.schema import EVALUATION_COLUMNS, LOSS_COLUMNS
from autometa.metadataset.store import Store, read_collected
from autometa.metalearning.collection.export import export, export_moments
from autometa.metalearning.collection.measuring import CollectionSettings
from autometa.metalearning.collection.task_folder import load_task, read_table_list
from autometa.tables.features import META_FEATURES, describe
from tests.helpers.collections import KEY, Collection


@pytest.fixture(scope="module")
def exported(collected: Collection) -> MetaDataset:
    return export(collected.tasks, collected.out, manifest={"licence": "CC0"}, progress=False)


def test_every_evaluation_is_exported_as_it_was_measured(exported: MetaDataset, collected: Collection) -> None:
    found = exported.evaluations.astype({"task": str, "configuration": str}).sort_values(KEY, ignore_index=True)
    wanted = collected.evaluations.sort_values(KEY, ignore_index=True)
    assert list(found) == list(EVALUATION_COLUMNS)
    for column in KEY:
        assert np.array_equal(found[column], wanted[column])
    assert np.allclose(found[[*LOSS_COLUMNS]], wanted[[*LOSS_COLUMNS]], rtol=1e-6, equal_nan=True)
    assert set(exported.configurations["configuration"]) == {configuration_id(e.configuration) for e in collected.pool}


def test_tasks_have_the_meta_features_of_what_was_measured(exported: MetaDataset, collected: Collection) -> None:
    assert list(exported.tasks["task"]) == ["numbers", "three", "two"]
    for table in read_table_list(collected.tasks):
        loaded = load_task(table, 10_000, 0)
        row = exported.tasks.set_index("task").loc[table.task]
        expected = describe(loaded.task)
        assert np.allclose([row[name] for name in META_FEATURES], list(expected.values()), equal_nan=True)


def test_the_manifest_says_how_and_where_it_was_measured(exported: MetaDataset) -> None:
    assert exported.manifest["licence"] == "CC0"
    assert exported.manifest["settings"]["time_limit_s"] == 60.0
    assert {"python", "scikit-learn"} <= set(exported.manifest["versions"])
    assert exported.manifest["machine"]["cores"] >= 1


def test_the_manifest_says_how_to_rebuild_it_with_the_same_settings(exported: MetaDataset) -> None:
    collecting, exporting = (line.split()[1:] for line in exported.manifest["rebuild"].split("; "))
    given = _parser().parse_args(collecting)
    settings = CollectionSettings(given.time_limit, given.memory_limit, given.max_rows, given.random_state)
    assert asdict(settings).items() <= exported.manifest["settings"].items()
    assert _parser().parse_args(exporting).collection == given.out


def test_it_can_be_written_and_read(exported: MetaDataset, tmp_path: Path) -> None:
    again = MetaDataset.load(exported.to_parquet(tmp_path / "records"))
    pd.testing.assert_frame_equal(again.evaluations, exported.evaluations)
    pd.testing.assert_frame_equal(again.tasks, exported.tasks)


def test_moments_of_errors_have_the_recorded_losses_on_their_diagonal(
    exported: MetaDataset, collected: Collection
) -> None:
    moments = export_moments(collected.out, exported)
    assert moments.tasks == tuple(exported.tasks["task"])
    regression = exported.tasks.index[exported.tasks["problem"] == "regression"][0]
    squared = np.einsum("ii->i", moments.validation[regression])
    recorded = exported.matrix(metric="rmse").to_numpy()[regression] ** 2
    assert np.isfinite(squared).sum() == np.isfinite(recorded).sum() > 1
    known = np.isfinite(recorded)
    np.testing.assert_allclose(squared[known], recorded[known], rtol=0.1)
    held_out = np.einsum("tii->ti", moments.held_out)
    assert (held_out[np.isfinite(held_out)] > 0).all()


def test_a_collection_under_way_is_exported_without_what_is_not_measured_yet(cheap: Collection) -> None:
    cheap.run(only=["two"])
    store = Store(
        cheap.out, {key: value for key, value in read_collected(cheap.out)[3].items() if key != "schema_version"}
    )
    store.add_task({**read_collected(cheap.out)[0].iloc[0].to_dict(), "task": "three"})
    store.add_configurations(make_pool(cheap.strategies, {strategy.name: 4 for strategy in cheap.strategies}))
    found = export(cheap.tasks, cheap.out, progress=False)
    store.close()
    assert list(found.tasks["task"]) == ["two"]
    assert set(found.configurations["strategy"]) == {"logistic_regression", "nearest_neighbours"}
    assert len(found.configurations) == 4


def test_a_collection_without_a_single_evaluation_is_said(cheap: Collection) -> None:
    cheap.run(only=[])
    with pytest.raises(MetaDatasetError, match="nothing has been measured"):
        export(cheap.tasks, cheap.out, progress=False)


def test_a_folder_without_a_collection_is_said(cheap: Collection) -> None:
    with pytest.raises(MetaDatasetError, match="holds no collection"):
        export(cheap.tasks, cheap.tasks, progress=False)


def test_a_task_that_is_not_in_the_folder_any_more_is_named(cheap: Collection) -> None:
    cheap.run(only=["two"])
    listed = pd.read_csv(cheap.tasks / "tasks.csv")
    listed[listed["task_id"] != "two"].to_csv(cheap.tasks / "tasks.csv", index=False)
    with pytest.raises(ValueError, match=r"does not list \['two'\]"):
        export(cheap.tasks, cheap.out, progress=False)
