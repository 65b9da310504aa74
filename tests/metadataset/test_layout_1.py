"""Records of layout 1 say in the columns of today what they said before."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autometa._support.files import shipped_folder
from autometa.exceptions import MetaDatasetError
from autometa.metadataset.checks import upgraded_evaluations
from autometa.metadataset.dataset import MetaDataset
from autometa.metadataset.matrices import COSTS
from autometa.metadataset.schema import EVALUATION_COLUMNS
from autometa.policy.past_tasks import PastTasks
from tests.helpers import layout_1

WRITERS = {"npz": layout_1.write_npz, "parquet": layout_1.write_folder}


def assert_matrix(found: pd.DataFrame, expected: dict[tuple[str, str], float]) -> None:
    known = found.stack().dropna().to_dict()
    assert known.keys() == expected.keys()
    cells = list(expected)
    np.testing.assert_allclose([known[cell] for cell in cells], [expected[cell] for cell in cells], rtol=1e-6)


def assert_curve(metadataset: MetaDataset, tables: layout_1.Tables, task: str, configuration: str) -> None:
    found, expected = metadataset.curve(task, configuration), layout_1.curve(tables, task, configuration)
    columns = ["anchor", "progress", "n_iterations", "loss", "n_evaluations"]
    assert list(found.columns) == columns
    # One column of today is 1 wherever the other is below: their product is the anchor of layout 1.
    assert ((found["anchor"] == 1) | (found["progress"] == 1)).all()
    points = found.assign(anchor=found["anchor"] * found["progress"]).drop(columns="progress").to_numpy()
    np.testing.assert_allclose(points, np.array(expected).reshape(-1, 4), rtol=1e-6)


@pytest.fixture(params=WRITERS)
def path(request: pytest.FixtureRequest, tmp_path: Path, seed: int) -> Path:
    return WRITERS[request.param](layout_1.made_up(seed), tmp_path / f"records.{request.param}")


def test_losses_and_costs_are_read_as_they_were(path: Path, seed: int) -> None:
    metadataset, tables = MetaDataset.load(path), layout_1.made_up(seed)
    for anchor in (1 / 16, 1 / 4, 1.0):
        assert_matrix(metadataset.matrix(anchor=anchor), layout_1.matrix(tables, anchor=anchor))
    for cost in COSTS:
        assert_matrix(metadataset.matrix(cost), layout_1.matrix(tables, cost))


def test_curves_are_read_as_they_were(path: Path, seed: int) -> None:
    metadataset, tables = MetaDataset.load(path), layout_1.made_up(seed)
    for task in ("t1", "t2"):
        for configuration in metadataset.configurations["configuration"]:
            assert_curve(metadataset, tables, task, configuration)


def test_no_row_is_lost_or_changed_but_for_the_fractions(path: Path, seed: int) -> None:
    evaluations, before = MetaDataset.load(path).evaluations, layout_1.made_up(seed)["evaluations"]
    assert list(evaluations.columns) == list(EVALUATION_COLUMNS)
    shared = [name for name in before.columns if name != "anchor"]
    pd.testing.assert_frame_equal(
        evaluations[shared].astype({name: object for name, kind in EVALUATION_COLUMNS.items() if kind == "str"}),
        before[shared].astype({name: object for name, kind in EVALUATION_COLUMNS.items() if kind == "str"}),
    )
    assert (evaluations["anchor"] * evaluations["progress"] == before["anchor"]).all()
    has_seconds = evaluations["fit_s"].notna() | (evaluations["n_iterations"] == 0)
    assert (evaluations["progress"][has_seconds] == 1).all()
    assert (evaluations["anchor"][~has_seconds] == 1).all() and (evaluations["progress"][~has_seconds] < 1).all()
    assert evaluations["machine_speed"].isna().all()


def test_what_is_read_is_written_in_the_layout_of_today_and_read_again(path: Path, tmp_path: Path) -> None:
    metadataset = MetaDataset.load(path)
    assert metadataset.manifest == {"licence": "CC0"}
    file = metadataset.to_npz(tmp_path / "new.npz")
    with np.load(file) as arrays:
        assert json.loads(str(arrays["manifest"]))["schema_version"] == 2
    pd.testing.assert_frame_equal(MetaDataset.load(file).evaluations, metadataset.evaluations)


def test_records_of_both_layouts_are_joined(path: Path) -> None:
    old = MetaDataset.load(path)
    losses = pd.DataFrame({"forest": [0.25]}, index=["new"])
    both = old.concat(MetaDataset.from_matrix(losses))
    assert both.matrix().loc["new", "forest"] == 0.25
    pd.testing.assert_frame_equal(
        both.matrix().loc[old.tasks["task"], old.configurations["configuration"]], old.matrix()
    )


def test_upgrade_leaves_the_given_frame_alone(seed: int) -> None:
    before, given = layout_1.made_up(seed)["evaluations"], layout_1.made_up(seed)["evaluations"]
    upgraded_evaluations(given)
    pd.testing.assert_frame_equal(given, before)


def test_no_evaluations_are_read_as_none(tmp_path: Path, seed: int) -> None:
    tables = layout_1.made_up(seed)
    metadataset = MetaDataset.load(
        layout_1.write_npz({**tables, "evaluations": tables["evaluations"][:0]}, tmp_path / "empty.npz")
    )
    assert metadataset.evaluations.empty and metadataset.matrix().shape == (4, 4)


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("column", ["anchor", "n_iterations", "fit_s", "fold"])
def test_a_file_that_lacks_a_column_is_named(tmp_path: Path, seed: int, form: str, column: str) -> None:
    tables = layout_1.made_up(seed)
    path = WRITERS[form](
        {**tables, "evaluations": tables["evaluations"].drop(columns=column)}, tmp_path / f"records.{form}"
    )
    with pytest.raises(MetaDatasetError, match=rf"records\.{form} does not hold .*lacks the columns '{column}'"):
        MetaDataset.load(path)


@pytest.mark.parametrize("form", WRITERS)
def test_a_file_with_texts_for_numbers_is_named(tmp_path: Path, seed: int, form: str) -> None:
    tables = layout_1.made_up(seed)
    evaluations = tables["evaluations"].assign(anchor="all")
    path = WRITERS[form]({**tables, "evaluations": evaluations}, tmp_path / f"records.{form}")
    with pytest.raises(MetaDatasetError, match=rf"records\.{form} cannot be read as"):
        MetaDataset.load(path)


# ------------------------------------------------------------------------------------------------ what ships


@pytest.fixture(scope="module")
def shipped() -> layout_1.Tables:
    tables = layout_1.read_npz(shipped_folder("datasets") / "metadataset.npz")
    if "progress" in tables["evaluations"]:
        pytest.skip("the meta-dataset that ships has the layout of today")
    return tables


def test_the_shipped_records_are_read_as_they_were(shipped: layout_1.Tables) -> None:
    metadataset = MetaDataset.load()
    assert len(metadataset.evaluations) == len(shipped["evaluations"])
    # Some tasks are enough for the slow way, whose rows are all read.
    names = sorted(metadataset.tasks["task"])[::40]
    part = {**shipped, "evaluations": shipped["evaluations"][shipped["evaluations"]["task"].isin(names)]}
    some = metadataset.select(tasks=names)
    assert_matrix(some.matrix(), layout_1.matrix(part))
    assert_matrix(some.matrix("fit_cpu_s"), layout_1.matrix(part, "fit_cpu_s"))
    measured = some.status_matrix().stack().dropna()
    for task, configuration in measured.index[::60]:
        assert_curve(some, part, task, configuration)


def test_policies_learn_the_same_from_the_shipped_records(shipped: layout_1.Tables) -> None:
    past = PastTasks.from_metadataset(MetaDataset.load())
    finished = shipped["evaluations"][shipped["evaluations"]["anchor"] == 1]
    cells = finished[finished["status"] == "ok"].groupby(["task", "configuration"])
    seconds = (cells["fit_cpu_s"].mean() + cells["predict_cpu_s"].mean()).unstack()
    assert np.isfinite(past.seconds).sum() >= seconds.notna().to_numpy().sum()
    columns = list(MetaDataset.load().configurations["configuration"])
    known = seconds.reindex(index=list(past.tasks), columns=columns).to_numpy()
    ok = np.isfinite(known) & ~past.failed
    np.testing.assert_allclose(past.seconds[ok], known[ok], rtol=1e-5)
