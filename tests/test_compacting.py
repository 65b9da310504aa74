"""Smaller models of fitted ones."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from autometa import AutoMeta, load
from tests.test_refitting import SETTINGS, table

STRATEGIES = ["logistic_regression", "discriminant_analysis", "nearest_neighbours", "extra_trees"]


@pytest.fixture(scope="module")
def model() -> AutoMeta:
    return AutoMeta(strategies=STRATEGIES, **{**SETTINGS, "n_trials": 8}).fit(*table(300))


def test_options_have_each_member_alone_and_growing_ensembles(model: AutoMeta) -> None:
    options = model.compact_options()
    trials = [member.trial for member in model.predictor_.members]
    assert len(trials) > 2
    alone = [listed[0] for listed in options["trials"] if len(listed) == 1]
    assert sorted(alone) == sorted(trials)
    assert options["loss"].is_monotonic_increasing
    assert all(sum(weights) == pytest.approx(1) for weights in options["weights"])
    assert (options[["ms", "mb"]] > 0).all(axis=None)
    price = options["loss"] - options["price"]
    assert np.ptp(price) < 1e-9
    for few, many in itertools.permutations(options.itertuples(), 2):
        if set(few.trials) < set(many.trials):
            assert few.mb < many.mb


def test_the_best_option_within_the_limits_is_a_model_that_can_be_saved(model: AutoMeta, tmp_path: Path) -> None:
    options = model.compact_options()
    sizes = np.sort(options["mb"])
    gap = int(np.argmax(np.diff(sizes)))
    # Sizes of dumps vary by some bytes, so the limit is far from each of them.
    limit = sizes[gap : gap + 2].mean()
    small = model.compact(max_mb=limit)
    X, y = table(300, 1500)
    assert small.history_.ensemble_loss == pytest.approx(options[options["mb"] <= limit]["loss"].min())
    assert small.score(X, y) > 0.7
    assert any(note.startswith("compact: ") for note in small.history_.notes)
    weights = {trial["number"]: trial["weight"] for trial in small.history_.trials if trial["weight"]}
    assert weights == pytest.approx({member.trial: member.weight for member in small.predictor_.members})
    path = small.save(tmp_path / "small.autometa")
    assert path.stat().st_size < model.save(tmp_path / "whole.autometa").stat().st_size
    np.testing.assert_array_equal(load(path).predict_proba(X), small.predict_proba(X))


def test_largest_loss_alone_gives_a_model_within_it(model: AutoMeta) -> None:
    limit = model.compact_options()["loss"].median()
    assert model.compact(max_loss=limit).history_.ensemble_loss <= limit


def test_what_is_impossible_is_refused_with_what_is_possible(model: AutoMeta) -> None:
    with pytest.raises(ValueError, match="least of each that is possible alone: .* MB, .* loss; compact_options"):
        model.compact(max_mb=1e-9, max_loss=-1.0)
    with pytest.raises(ValueError, match="needs a limit"):
        model.compact()
    with pytest.raises(TypeError, match="max_ms must be a number"):
        model.compact(max_ms="quick")  # type: ignore[arg-type]


def test_a_loaded_model_needs_rows(model: AutoMeta, tmp_path: Path) -> None:
    loaded = load(model.save(tmp_path / "model.autometa"))
    with pytest.raises(ValueError, match=r"Pass rows that fit has not seen: compact\(X, y"):
        loaded.compact(max_mb=1)
    X, y = table(300, 1000)
    options = loaded.compact_options(X, y)
    assert len(loaded.compact(X, y, max_mb=1.01 * options["mb"].min()).predictor_.members) == 1


def test_one_model_in_place_of_those_of_the_folds_is_smaller(model: AutoMeta) -> None:
    refitted = model.refit(*table(300))
    assert refitted.compact_options()["mb"].min() < model.compact_options()["mb"].min()
