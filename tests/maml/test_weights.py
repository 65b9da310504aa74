"""Meta-learned parameters in files."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autometa.exceptions import MetaWeightsError
from autometa.maml.networks import mlp_params
from autometa.maml.weights import read_params, write_params


def test_what_is_written_is_read(tmp_path):
    params = {**mlp_params((3, 4, 1)), "scale": torch.tensor(2.0, dtype=torch.float64), "rate/a.b": torch.zeros(0)}
    folder = write_params(params, tmp_path / "deep" / "er", {"trained_on": "sines", "seed": 3})
    found, card = read_params(folder)
    assert set(found) == set(params)
    for name, value in params.items():
        assert torch.equal(found[name], value)
        assert found[name].dtype == value.dtype
    assert card["trained_on"] == "sines"


def test_a_damaged_file_is_refused(tmp_path):
    write_params(mlp_params((1, 1)), tmp_path)
    data = (tmp_path / "weights.npz").read_bytes()
    (tmp_path / "weights.npz").write_bytes(data[:-5])
    with pytest.raises(MetaWeightsError, match="cut off"):
        read_params(tmp_path)


def test_a_pickle_is_refused(tmp_path):
    write_params(mlp_params((1, 1)), tmp_path)
    np.savez(tmp_path / "weights.npz", a=np.array([{}], dtype=object))
    card = (tmp_path / "card.toml").read_text()
    import hashlib

    right = hashlib.sha256((tmp_path / "weights.npz").read_bytes()).hexdigest()
    wrong = card.split('sha256 = "')[1].split('"')[0]
    (tmp_path / "card.toml").write_text(card.replace(wrong, right))
    with pytest.raises(MetaWeightsError, match="allow_pickle=False"):
        read_params(tmp_path)


def test_a_missing_folder_a_newer_layout_and_a_torn_card_are_told(tmp_path):
    with pytest.raises(MetaWeightsError, match="cannot be read"):
        read_params(tmp_path / "absent")
    write_params(mlp_params((1, 1)), tmp_path)
    card = tmp_path / "card.toml"
    text = card.read_text()
    card.write_text(text.replace("layout_version = 1", "layout_version = 99"))
    with pytest.raises(MetaWeightsError, match="Update autometa"):
        read_params(tmp_path)
    card.write_text(text[: len(text) // 2])
    with pytest.raises(MetaWeightsError, match="TOML"):
        read_params(tmp_path)


def test_weights_that_are_not_finite_are_not_written(tmp_path):
    with pytest.raises(MetaWeightsError, match="a of the parameters"):
        write_params({"a": torch.tensor(float("nan"))}, tmp_path)
