from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from autometa.metadataset.dataset import MetaDataset
from autometa.metadataset.schema import EVALUATION_COLUMNS, STATUSES


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    """Return the tables of a small meta-dataset, with plain text columns as a reader of CSV would have them."""
    losses = pd.DataFrame({"tree": [0.2, 0.3], "forest": [0.1, np.nan]}, index=["iris", "wine"], dtype="float32")
    metadataset = MetaDataset.from_matrix(losses)
    evaluations = metadataset.evaluations.astype(dict.fromkeys(["task", "configuration", "status", "error"], object))
    return {"tasks": metadataset.tasks, "configurations": metadataset.configurations, "evaluations": evaluations}


def test_evaluations_have_the_types_of_the_schema(tables):
    evaluations = MetaDataset(**tables).evaluations
    for name, kind in EVALUATION_COLUMNS.items():
        assert str(evaluations[name].dtype) == ("category" if kind == "str" else kind)


def test_codes_are_the_rows_of_the_other_tables(tables):
    metadataset = MetaDataset(tables["tasks"][::-1], tables["configurations"], tables["evaluations"])
    assert list(metadataset.evaluations["task"].cat.categories) == ["wine", "iris"] == list(metadataset.tasks["task"])
    assert list(metadataset.evaluations["task"]) == list(tables["evaluations"]["task"])
    assert tuple(metadataset.evaluations["status"].cat.categories) == STATUSES


def test_columns_beyond_the_schema_of_tasks_are_meta_features(tables):
    tables["tasks"] = tables["tasks"].assign(entropy=[1, None])
    assert MetaDataset(**tables).tasks["entropy"].dtype == "float64"


def test_given_frames_are_left_alone(tables):
    before = {name: frame.copy() for name, frame in tables.items()}
    metadataset = MetaDataset(**tables)
    metadataset.evaluations.loc[0, "seed"] = 7
    metadataset.tasks.loc[0, "n_rows"] = 7
    for name, frame in before.items():
        pd.testing.assert_frame_equal(tables[name], frame)


@pytest.mark.parametrize("table", ["tasks", "configurations", "evaluations"])
def test_missing_column_is_named(tables, table):
    column = tables[table].columns[2]
    tables[table] = tables[table].drop(columns=column)
    with pytest.raises(ValueError, match=f"{table} lacks the columns '{column}'"):
        MetaDataset(**tables)


@pytest.mark.parametrize("table", ["configurations", "evaluations"])
def test_unknown_column_is_named(tables, table):
    tables[table] = tables[table].assign(colour="red")
    with pytest.raises(ValueError, match=f"{table} has unknown columns 'colour'; expected "):
        MetaDataset(**tables)


@pytest.mark.parametrize(
    ("table", "column", "value", "message"),
    [
        ("evaluations", "status", "pruned", "'status' has 'pruned'; expected one of 'ok', 'timeout'"),
        ("evaluations", "task", "cars", "'task' has 'cars'; expected one of 'iris', 'wine'"),
        ("evaluations", "configuration", "svm", "'configuration' has 'svm'; expected one of 'tree', 'forest'"),
        ("evaluations", "error", None, "'error' must not have missing values, but 1 are missing"),
        ("evaluations", "fold", 0.5, r"'fold' must be whole numbers that fit int16, got 0\.5"),
        ("evaluations", "fold", 70_000, "'fold' must be whole numbers that fit int16, got 70000"),
        ("evaluations", "seed", np.nan, "'seed' must be whole numbers that fit int32, got nan"),
        ("evaluations", "fit_s", "soon", r"'fit_s' must be numbers \(float32\)"),
        ("evaluations", "anchor", 0.0, r"anchor must be in \(0, 1\], got 0\.0"),
        ("evaluations", "anchor", np.nan, r"anchor must be in \(0, 1\], got nan"),
        ("evaluations", "progress", 1.5, r"progress must be in \(0, 1\], got 1\.5"),
        ("evaluations", "progress", 0.0, r"progress must be in \(0, 1\], got 0\.0"),
        ("evaluations", "progress", np.nan, r"progress must be in \(0, 1\], got nan"),
        ("evaluations", "configuration", "forest", r"be unique, but \('iris', 'forest', 1\.0, 1\.0, 0, 0, 0\) occur"),
        ("tasks", "task", "wine", "tasks: task must be unique, but 'wine' occur more than once"),
        ("tasks", "problem", "ranking", "problem must be one of binary, .*, got 'ranking'"),
        ("configurations", "configuration", "forest", "configuration must be unique, but 'forest' occur"),
        ("configurations", "strategy", None, "'strategy' must not have missing values"),
    ],
)
def test_wrong_value_is_named(tables, table, column, value, message):
    frame = tables[table].astype(object)
    frame.loc[0, column] = value
    tables[table] = frame
    with pytest.raises(ValueError, match=message):
        MetaDataset(**tables)


def test_meta_dataset_may_be_empty(tables):
    metadataset = MetaDataset(**{name: frame.iloc[:0] for name, frame in tables.items()})
    assert metadataset.matrix().shape == (0, 0)
    assert metadataset.summary()["status"]["n_evaluations"].sum() == 0
