import hashlib
import tomllib

import numpy as np
import pytest

from autometa.exceptions import MetaWeightsError
from autometa.learners.mlp_maml.network import SHAPES as NETWORK_SHAPES
from autometa.learners.mlp_maml.starts import STARTS_VERSION, read_starts, shipped_starts_folder, write_starts

SHAPES = (("a/weight", (3, 2)), ("b", (4,)))


def some_starts(seed: int = 0):
    rng = np.random.default_rng(seed)
    return {s: {n: rng.normal(size=shape).astype(np.float32) for n, shape in SHAPES} for s in ("meta", "other")}


def test_what_is_written_is_read(tmp_path):
    starts = some_starts()
    write_starts(tmp_path, starts, {"tasks": ["iris"], "seed": 0})
    found = read_starts(tmp_path, SHAPES)
    assert found.keys() == starts.keys()
    for start, arrays in starts.items():
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[start][name], array)
    assert tomllib.loads((tmp_path / "mlp_maml.card.toml").read_text())["tasks"] == ["iris"]


def test_a_changed_byte_is_noticed(tmp_path):
    write_starts(tmp_path, some_starts(), {})
    file = tmp_path / "mlp_maml.npz"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(MetaWeightsError, match="does not belong to its card"):
        read_starts(tmp_path, SHAPES)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(MetaWeightsError, match=r"mlp_maml\.npz"):
        read_starts(tmp_path, SHAPES)


@pytest.mark.parametrize("content", [b"", b"no zip at all"])
def test_what_is_no_archive_is_refused_even_with_the_right_checksum(tmp_path, content):
    (tmp_path / "mlp_maml.npz").write_bytes(content)
    card = f'starts_version = {STARTS_VERSION}\nsha256 = "{hashlib.sha256(content).hexdigest()}"\n'
    (tmp_path / "mlp_maml.card.toml").write_text(card)
    with pytest.raises(MetaWeightsError, match="does not hold arrays"):
        read_starts(tmp_path, SHAPES)


def test_pickled_arrays_are_refused_even_with_the_right_checksum(tmp_path):
    file = tmp_path / "mlp_maml.npz"
    np.savez(file, **{"meta/b": np.array([{}, 1, "x", None], dtype=object)})
    card = f'starts_version = {STARTS_VERSION}\nsha256 = "{hashlib.sha256(file.read_bytes()).hexdigest()}"\n'
    (tmp_path / "mlp_maml.card.toml").write_text(card)
    with pytest.raises(MetaWeightsError, match="allow_pickle=False"):
        read_starts(tmp_path, SHAPES)


@pytest.mark.parametrize("fault", ["shape", "nan", "missing"])
def test_arrays_that_do_not_fit_are_refused(tmp_path, fault):
    starts = some_starts()
    if fault == "shape":
        starts["other"]["b"] = starts["other"]["b"][:2]
    elif fault == "nan":
        starts["other"]["b"][0] = np.nan
    else:
        del starts["other"]["b"]
    write_starts(tmp_path, starts, {})
    with pytest.raises(MetaWeightsError, match="'other'"):
        read_starts(tmp_path, SHAPES)


@pytest.mark.parametrize("version", [1, 99])
def test_another_version_is_refused(tmp_path, version):
    write_starts(tmp_path, some_starts(), {})
    card = tmp_path / "mlp_maml.card.toml"
    card.write_text(card.read_text().replace(f"starts_version = {STARTS_VERSION}", f"starts_version = {version}"))
    with pytest.raises(MetaWeightsError, match=str(version)):
        read_starts(tmp_path, SHAPES)


def test_the_starts_that_ship_fit_the_network_and_were_not_trained_on_what_they_are_judged_by():
    folder = shipped_starts_folder()
    starts = read_starts(folder, tuple(NETWORK_SHAPES.items()))
    card = tomllib.loads((folder / "mlp_maml.card.toml").read_text())
    assert sorted(starts) == card["starts"]
    assert "fitted_head" in starts
    assert sum(file.stat().st_size for file in folder.iterdir()) < 10e6
    root = folder.parents[1]
    judged_by = [
        root / "benchmarks" / "tasks24.txt",
        root / "benchmarks" / "tasks60.txt",
        root / "datasets" / "tasks.txt",
    ]
    if not all(file.is_file() for file in judged_by):
        pytest.skip("the lists of tasks are in the checkout only")
    aside = {line.split("#")[0].strip() for file in judged_by for line in file.read_text().splitlines()}
    assert not aside & set(card["tasks"])
