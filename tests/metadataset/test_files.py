from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autometa.exceptions import MetaDatasetError, MissingDependencyError
from autometa.metadataset import dataset, files
from autometa.metadataset.dataset import MetaDataset
from autometa.metadataset.schema import EVALUATION_COLUMNS, SCHEMA_VERSION

MANIFEST = {"licence": "CC0", "seed": 3, "hours": 1.5, "versions": {"numpy": "2.0"}, "threads": [1, 2]}


def metadataset_of(losses: pd.DataFrame, manifest: dict[str, object] | None = None) -> MetaDataset:
    imported = MetaDataset.from_matrix(losses)
    tasks = imported.tasks.assign(entropy=np.linspace(0, 1, len(losses)), skew=np.nan)
    return MetaDataset(tasks, imported.configurations, imported.evaluations, manifest or {})


@pytest.fixture
def metadataset(seed: int) -> MetaDataset:
    rng = np.random.default_rng(seed)
    names = ["tree", "forest", "{'algorithm': 'KNN', 'hyperparameters': {'k': 5, 'p': None}}"]
    losses = pd.DataFrame(rng.random((4, 3)), columns=names, index=list("abcd"))
    return metadataset_of(losses.mask(losses < 0.2), MANIFEST)


def assert_same(one: MetaDataset, other: MetaDataset) -> None:
    for name in files.TABLES:
        pd.testing.assert_frame_equal(getattr(one, name), getattr(other, name))
    assert one.manifest == other.manifest


def written(metadataset: MetaDataset, form: str, folder: Path) -> Path:
    if form == "parquet":
        pytest.importorskip("pyarrow")
        return metadataset.to_parquet(folder / "records")
    return metadataset.to_npz(folder / "records.npz")


@pytest.mark.parametrize("form", ["parquet", "npz"])
def test_what_is_written_is_read_again(metadataset, form, tmp_path):
    assert_same(MetaDataset.load(written(metadataset, form, tmp_path)), metadataset)
    assert_same(MetaDataset.load(str(written(metadataset, form, tmp_path))), metadataset)  # over what was there


@pytest.mark.parametrize("form", ["parquet", "npz"])
def test_empty_meta_dataset_is_read_again(metadataset, form, tmp_path):
    empty = MetaDataset(metadataset.tasks[:0], metadataset.configurations[:0], metadataset.evaluations[:0])
    assert_same(MetaDataset.load(written(empty, form, tmp_path)), empty)


def with_curves(metadataset: MetaDataset, seed: int) -> MetaDataset:
    """Return it with points along each fit, and with what a machine tells of itself."""
    rng = np.random.default_rng(seed)
    fits = metadataset.evaluations.assign(n_iterations=12, machine_speed=np.float32(rng.uniform(0.5, 2)), fit_s=0.1)
    points = [
        fits.assign(anchor=anchor, progress=1 / divisor, n_iterations=12 // divisor, fit_s=np.nan)
        for anchor in (1 / 8, 1.0)
        for divisor in (2, 3, 12)
    ]
    parts = pd.concat([fits, fits.assign(anchor=1 / 8), *points], ignore_index=True)
    return MetaDataset(metadataset.tasks, metadataset.configurations, parts, metadataset.manifest)


@pytest.mark.parametrize("form", ["parquet", "npz", "csv"])
def test_curves_and_speeds_are_read_again(metadataset, seed, form, tmp_path):
    whole = with_curves(metadataset, seed)
    assert whole.evaluations["progress"].min() < 0.1 and whole.evaluations["machine_speed"].notna().all()
    if form == "csv":  # by way of the frames alone
        found = {}
        for table in files.TABLES:
            getattr(whole, table).to_csv(tmp_path / f"{table}.csv", index=False)
            read = pd.read_csv(tmp_path / f"{table}.csv")
            found[table] = read.fillna({"error": ""}) if table == "evaluations" else read
        again = MetaDataset(**found, manifest=whole.manifest)
    else:
        again = MetaDataset.load(written(whole, form, tmp_path))
    assert_same(again, whole)
    curve = again.curve("b", "forest")
    assert curve["anchor"].tolist() == [1 / 8] * 4 + [1.0] * 4
    assert curve["progress"].tolist() == pytest.approx([1 / 12, 1 / 3, 1 / 2, 1.0] * 2)


@settings(max_examples=20)
@given(st.lists(st.text(), min_size=1, unique=True), st.floats(0, 1, width=32))
def test_any_text_and_number_survives_the_npz_file(tmp_path_factory, names, loss):
    file = tmp_path_factory.mktemp("records") / "records.npz"
    metadataset = metadataset_of(pd.DataFrame(loss, index=names, columns=names))
    metadataset.to_npz(file)
    assert_same(MetaDataset.load(file), metadataset)


@pytest.mark.parametrize("form", ["parquet", "npz"])
def test_files_that_are_not_complete_leave_no_trace(metadataset, form, tmp_path, monkeypatch):
    path = written(metadataset, form, tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    changed = metadataset.select(tasks=["a"])
    with pytest.raises(MetaDatasetError, match="could not be written: No space left on device"):
        written(changed, form, tmp_path)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before
    assert_same(MetaDataset.load(path), metadataset)


def test_same_content_gives_the_same_bytes(metadataset, tmp_path):
    one, other = metadataset.to_npz(tmp_path / "one.npz"), metadataset.to_npz(tmp_path / "other.npz")
    assert one.read_bytes() == other.read_bytes()


def test_npz_file_has_one_typed_array_per_column(metadataset, tmp_path):
    with np.load(metadataset.to_npz(tmp_path / "records.npz"), allow_pickle=False) as arrays:
        assert arrays["evaluations/fit_s"].dtype == np.float32
        assert arrays["evaluations/fold"].dtype == np.int16
        assert arrays["evaluations/task"].dtype == np.int8  # codes
        assert json.loads(str(arrays["evaluations/task/texts"])) == ["a", "b", "c", "d"]
        columns = {name.split("/")[1] for name in arrays if name.startswith("evaluations/")}
    assert columns == set(EVALUATION_COLUMNS)


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("entry", ["manifest", "tasks/task", "tasks/n_rows", "tasks/task/texts", "evaluations/more"])
@pytest.mark.parametrize("wrapped", [True, False], ids=["array of objects", "bare pickle"])
def test_loading_never_unpickles(metadataset, tmp_path, entry, wrapped):
    file, sprung = metadataset.to_npz(tmp_path / "records.npz"), tmp_path / "sprung"
    buffer = io.BytesIO()
    if wrapped:
        np.save(buffer, np.array([Trap(sprung)], dtype=object), allow_pickle=True)
    else:
        pickle.dump(Trap(sprung), buffer)
    replace_entry(file, f"{entry}.npy", buffer.getvalue())
    with pytest.raises(MetaDatasetError, match="cannot be read as a file of NumPy arrays"):
        MetaDataset.load(file)
    assert not sprung.exists()


def test_bare_pickle_is_not_loaded(tmp_path):
    file, sprung = tmp_path / "records.npz", tmp_path / "sprung"
    file.write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(MetaDatasetError, match="cannot be read as a file of NumPy arrays"):
        MetaDataset.load(file)
    assert not sprung.exists()


def replace_entry(file: Path, name: str, data: bytes) -> None:
    with zipfile.ZipFile(file) as archive:
        content = {entry: archive.read(entry) for entry in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for entry, old in {**content, name: data}.items():
            archive.writestr(entry, data if entry == name else old)


def test_no_changed_byte_of_an_npz_file_goes_unnoticed(metadataset, tmp_path):
    file = metadataset.to_npz(tmp_path / "records.npz")
    whole = file.read_bytes()
    for position in range(0, len(whole), max(1, len(whole) // 100)):
        file.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        try:
            found = MetaDataset.load(file)
        except MetaDatasetError as error:
            assert str(file) in str(error)
        else:  # a byte that means nothing, such as the date of an entry
            assert_same(found, metadataset)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_truncated_npz_file_is_named(metadataset, tmp_path, share):
    file = metadataset.to_npz(tmp_path / "records.npz")
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(MetaDatasetError, match=r"records\.npz cannot be read as .* Load another copy of it"):
        MetaDataset.load(file)


def test_npz_file_of_something_else_is_named(tmp_path):
    np.savez(tmp_path / "other.npz", x=np.arange(3))
    with pytest.raises(MetaDatasetError, match=r"other\.npz cannot be read as .*'manifest'"):
        MetaDataset.load(tmp_path / "other.npz")


def test_npz_file_that_lacks_a_column_is_named(metadataset, tmp_path):
    tables = {name: getattr(metadataset, name) for name in files.TABLES}
    file = files.write_npz({**tables, "tasks": tables["tasks"].drop(columns="n_rows")}, {}, tmp_path / "records.npz")
    with pytest.raises(MetaDatasetError, match=r"records\.npz does not hold .*tasks lacks the columns 'n_rows'"):
        MetaDataset.load(file)


@pytest.mark.parametrize("table", files.TABLES)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-10], "changed or cut off .* expected sha256 [0-9a-f]{64}, got [0-9a-f]{64}"),
        (lambda data: data[:50] + b"x" + data[51:], "changed or cut off .* Load another copy of it"),
        (None, r"There is no file .* Load another copy of it, or collect it again\."),
    ],
    ids=["truncated", "changed", "missing"],
)
def test_damaged_table_in_a_folder_is_named(metadataset, tmp_path, table, change, message):
    file = written(metadataset, "parquet", tmp_path) / f"{table}.parquet"
    data = file.read_bytes()
    file.unlink() if change is None else file.write_bytes(change(data))
    with pytest.raises(MetaDatasetError, match=message) as caught:
        MetaDataset.load(file.parent)
    assert str(file) in str(caught.value)


def changed_manifest(folder: Path, old: str, new: str) -> None:
    file = folder / "manifest.toml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (f"schema_version = {SCHEMA_VERSION}", "schema_version = 99", "has layout 99; this .* Update autometa"),
        (f"schema_version = {SCHEMA_VERSION}", "schema_version = 0", "must be a whole number from 1, got 0"),
        (f"schema_version = {SCHEMA_VERSION}", "", "must be a whole number from 1, got None"),
        ("rows = 12", "rows = 11", r"evaluations\.parquet has 12 rows, expected 11"),
        ("[files.tasks]", "[files.others]", r"manifest\.toml cannot be read as .*'tasks'"),
        ("[files.tasks]", "[files.tasks", r"manifest\.toml cannot be read as TOML"),
    ],
)
def test_wrong_manifest_is_named(metadataset, tmp_path, old, new, message):
    folder = written(metadataset, "parquet", tmp_path)
    changed_manifest(folder, old, new)
    with pytest.raises(MetaDatasetError, match=message):
        MetaDataset.load(folder)


def test_file_that_is_not_parquet_is_named(metadataset, tmp_path):
    folder = written(metadataset, "parquet", tmp_path)
    changed_manifest(
        folder,
        hashlib.sha256((folder / "tasks.parquet").read_bytes()).hexdigest(),
        hashlib.sha256(b"task,rows\n").hexdigest(),
    )
    (folder / "tasks.parquet").write_bytes(b"task,rows\n")
    with pytest.raises(MetaDatasetError, match=r"tasks\.parquet cannot be read as Parquet"):
        MetaDataset.load(folder)


def test_npz_file_from_the_future_is_named(metadataset, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(files, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
        file = metadataset.to_npz(tmp_path / "records.npz")
    with pytest.raises(MetaDatasetError, match=f"has layout {SCHEMA_VERSION + 1}; .* up to {SCHEMA_VERSION}"):
        MetaDataset.load(file)


def test_absent_place_is_named(tmp_path):
    with pytest.raises(MetaDatasetError, match=r"There is no file .*absent; expected a folder with manifest\.toml"):
        MetaDataset.load(tmp_path / "absent")


def test_without_a_path_the_shipped_one_is_loaded(metadataset, tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "shipped_folder", lambda name: tmp_path / name)
    metadataset.to_npz(tmp_path / "datasets" / "metadataset.npz")
    assert_same(MetaDataset.load(), metadataset)


def test_manifest_is_toml_that_tells_what_is_in_the_folder(metadataset, tmp_path):
    text = (written(metadataset, "parquet", tmp_path) / "manifest.toml").read_text(encoding="utf-8")
    assert text.startswith(f'schema_version = {SCHEMA_VERSION}\nlicence = "CC0"\nseed = 3\nhours = 1.5\n')
    assert '[files.evaluations]\nname = "evaluations.parquet"\nsha256 = "' in text


def test_parquet_without_its_library_names_the_extra(metadataset, tmp_path, monkeypatch):
    folder, file = written(metadataset, "parquet", tmp_path), metadataset.to_npz(tmp_path / "records.npz")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    for use in (lambda: MetaDataset.load(folder), lambda: metadataset.to_parquet(tmp_path / "others")):
        with pytest.raises(MissingDependencyError, match=r'pip install "autometa\[meta\]"'):
            use()
    assert_same(MetaDataset.load(file), metadataset)
