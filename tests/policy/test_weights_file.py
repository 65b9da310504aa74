"""Weights of policies in files."""

from __future__ import annotations

import logging
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from optuna.distributions import IntDistribution

from autometa._support.toml_text import toml_text
from autometa.core.space import SearchSpace
from autometa.core.strategy import Strategy
from autometa.exceptions import PolicyError
from autometa.metadataset.error_moments import second_moments
from autometa.policy.weights_file import (
    WEIGHTS_VERSION,
    PolicyWeights,
    read_weights,
    select_configurations,
    space_hash,
    write_weights,
)
from tests.helpers.past_tasks import made_up_past


def strategies(high: int = 99, names: str = "012") -> list[Strategy]:
    space = SearchSpace({"place": IntDistribution(0, high)})
    return [Strategy(f"algorithm_{number}", "ridge", space) for number in names]


def made_up_weights() -> PolicyWeights:
    past = made_up_past(missing=0.2)
    return PolicyWeights(
        past,
        np.linspace(0, 1, len(past.feature_names)),
        {"gaussian": (0.1, 0.3)},
        {"multiclass": {10.0: (3, 1), 60.0: (5,)}},
        {"recurrent/gate": np.arange(6, dtype=np.float16).reshape(2, 3)},
        {"seed": 7, "strategies": {"algorithm_0": space_hash(strategies()[0].space)}},
    )


def test_second_moments_are_written_and_read(tmp_path: Path) -> None:
    weights = made_up_weights()
    rng = np.random.default_rng(0)
    m = len(weights.past.configurations)
    moments = np.stack([second_moments(rng.normal(size=(m, 40))) for _ in weights.past.tasks]).astype(np.float32)
    moments[1, 2, :] = moments[1, :, 2] = np.nan
    with_moments = replace(weights, past=replace(weights.past, moments=moments))
    again = read_weights(write_weights(with_moments, tmp_path), strategies())
    np.testing.assert_allclose(again.past.moments, moments, atol=2e-4)
    assert read_weights(write_weights(weights, tmp_path), strategies()).past.moments is None


def assert_same(first: PolicyWeights, second: PolicyWeights) -> None:
    for name in ("tasks", "families", "problems", "configurations", "feature_names"):
        assert getattr(first.past, name) == getattr(second.past, name)
    for name in ("features", "sizes", "seconds", "memory_mb", "failed"):
        np.testing.assert_allclose(getattr(first.past, name), getattr(second.past, name), rtol=1e-6)
    assert first.past.losses.keys() == second.past.losses.keys()
    for metric, matrix in first.past.losses.items():
        np.testing.assert_allclose(matrix, second.past.losses[metric], rtol=1e-6)
    np.testing.assert_allclose(first.similarity, second.similarity, rtol=1e-6)
    assert (first.temperatures, first.portfolios) == (second.temperatures, second.portfolios)
    assert first.arrays.keys() == second.arrays.keys()
    for name, array in first.arrays.items():
        np.testing.assert_array_equal(array, second.arrays[name])
        assert array.dtype == second.arrays[name].dtype


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    weights = made_up_weights()
    found = read_weights(write_weights(weights, tmp_path / "new" / "folder"), strategies())
    assert_same(weights, found)
    assert found.card["seed"] == 7


def test_nothing_is_pickled(tmp_path: Path) -> None:
    with np.load(write_weights(made_up_weights(), tmp_path) / "weights.npz", allow_pickle=False) as arrays:
        assert all(arrays[name].dtype != object for name in arrays)


@pytest.mark.parametrize("damage", ["cut", "other", "card"])
def test_damage_is_refused(tmp_path: Path, damage: str) -> None:
    write_weights(made_up_weights(), tmp_path)
    file = tmp_path / ("card.toml" if damage == "card" else "weights.npz")
    data = file.read_bytes()
    file.write_bytes({"cut": data[:-40], "other": b"nothing", "card": b"= ["}[damage])
    with pytest.raises(PolicyError, match=file.name):
        read_weights(tmp_path, strategies())


def test_a_forged_file_with_the_right_checksum_is_refused(tmp_path: Path) -> None:
    import hashlib

    write_weights(made_up_weights(), tmp_path)
    (tmp_path / "weights.npz").write_bytes(b"nothing")
    change_card(tmp_path, sha256=hashlib.sha256(b"nothing").hexdigest())
    with pytest.raises(PolicyError, match="does not hold policy weights"):
        read_weights(tmp_path, strategies())


def change_card(folder: Path, **entries: object) -> None:
    card = tomllib.loads((folder / "card.toml").read_text())
    (folder / "card.toml").write_text(toml_text({**card, **entries}))


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"card\.toml.*expected weights\.npz and card\.toml"):
        read_weights(tmp_path)


@pytest.mark.parametrize("version, message", [(WEIGHTS_VERSION + 1, "Update autometa"), (0, "from 1"), ("x", "from 1")])
def test_other_versions_are_refused(tmp_path: Path, version: object, message: str) -> None:
    write_weights(made_up_weights(), tmp_path)
    change_card(tmp_path, weights_version=version)
    with pytest.raises(PolicyError, match=message):
        read_weights(tmp_path, strategies())


@pytest.mark.parametrize("change", ["swapped", "unknown"])
def test_other_meta_features_are_refused(tmp_path: Path, change: str) -> None:
    weights = made_up_weights()
    first, second, *rest = weights.past.feature_names
    names = (second, first, *rest) if change == "swapped" else ("moon_phase", second, *rest)
    write_weights(replace(weights, past=replace(weights.past, feature_names=names)), tmp_path)
    with pytest.raises(PolicyError, match="order" if change == "swapped" else "moon_phase"):
        read_weights(tmp_path, strategies())


def test_the_card_of_other_weights_is_refused(tmp_path: Path) -> None:
    weights = made_up_weights()
    first, second, *rest = weights.past.feature_names
    write_weights(replace(weights, card={**weights.card, "feature_order": [second, first, *rest]}), tmp_path)
    with pytest.raises(PolicyError, match="is the card of other weights"):
        read_weights(tmp_path, strategies())


def test_strategies_that_changed_are_named(tmp_path: Path) -> None:
    write_weights(made_up_weights(), tmp_path)
    # Of the places up to 7, algorithm_1 has the last: 1, 4, 7.
    narrower = [*strategies(), *strategies(6)]
    with pytest.raises(PolicyError, match="configurations of algorithm_1 are impossible"):
        read_weights(tmp_path, [narrower[0], narrower[4], narrower[2]])


def test_a_hyperparameter_that_is_new_makes_configurations_impossible(tmp_path: Path) -> None:
    write_weights(made_up_weights(), tmp_path)
    space = SearchSpace({"place": IntDistribution(0, 99), "depth": IntDistribution(1, 3)}, defaults={"depth": 2})
    with pytest.raises(PolicyError, match="algorithm_2"):
        read_weights(tmp_path, [*strategies(names="01"), Strategy("algorithm_2", "ridge", space)])


def test_a_wider_space_is_noticed_and_accepted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_weights(made_up_weights(), tmp_path)
    with caplog.at_level(logging.INFO, "autometa"):
        assert_same(made_up_weights(), read_weights(tmp_path, strategies(200)))
    assert "search space of algorithm_0 has changed" in caplog.text


def test_strategies_that_are_gone_are_dropped_with_a_note(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    weights = made_up_weights()
    write_weights(weights, tmp_path)
    with caplog.at_level(logging.INFO, "autometa"):
        found = read_weights(tmp_path, strategies(names="02"))
    assert "algorithm_1" in caplog.text
    assert set(found.past.strategies) == {"algorithm_0", "algorithm_2"}
    # A portfolio keeps its order, and means the same configurations: place 1 is of the strategy that is gone.
    expected = [weights.past.configurations[3]]
    assert [found.past.configurations[place] for place in found.portfolios["multiclass"][10.0]] == expected


def test_weights_of_unknown_strategies_alone_are_refused(tmp_path: Path) -> None:
    write_weights(made_up_weights(), tmp_path)
    with pytest.raises(PolicyError, match="none of them is among catboost"):
        read_weights(tmp_path)


def test_selected_configurations_keep_their_records() -> None:
    weights = made_up_weights()
    found = select_configurations(weights, [5, 2])
    assert found.past.configurations == (weights.past.configurations[5], weights.past.configurations[2])
    np.testing.assert_array_equal(found.past.seconds, weights.past.seconds[:, [5, 2]])
    assert found.portfolios == {"multiclass": {10.0: (), 60.0: (0,)}}


@pytest.mark.parametrize("part", [{"similarity": np.ones(2)}, {"portfolios": {"binary": {10.0: (99,)}}}])
def test_parts_that_do_not_fit_are_refused(part: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(part))[:9]):
        replace(made_up_weights(), **part)


def test_the_hash_of_a_space_changes_with_it() -> None:
    assert space_hash(strategies(9)[0].space) != space_hash(strategies(10)[0].space)
    assert space_hash(strategies(9)[0].space) == space_hash(strategies(9)[1].space)
