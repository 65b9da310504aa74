"""Predictions that a collection kept, and what is made of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autometa.evaluation.metrics import resolve_metric
from autometa.exceptions import MetaDatasetError
from autometa.metadataset.schema import HELD_OUT
from autometa.metadataset.store import read_predictions
from autometa.metalearning.collection.export import export
from autometa.metalearning.replay.assessment import assess
from autometa.metalearning.replay.baselines import RandomPolicy
from autometa.metalearning.replay.stored_predictions import StoredPredictions, read_stored_predictions
from autometa.metalearning.training.policy_training import train
from autometa.policy.past_tasks import PastTasks
from tests.helpers.collections import Collection


@pytest.fixture(scope="module")
def past(collected: Collection) -> PastTasks:  # noqa: F811
    return PastTasks.from_metadataset(export(collected.tasks, collected.out))


def test_kept_predictions_have_about_the_losses_that_were_recorded(collected: Collection, past: PastTasks) -> None:  # noqa: F811
    for task in range(len(past.tasks)):
        kept = read_stored_predictions(collected.out, past, task)
        assert kept is not None
        recorded = past.losses[kept.metric.name][task]
        assert {place for place in kept.predictions} == set(np.flatnonzero(np.isfinite(recorded)))
        validated, _ = kept.split()
        # All validation rows of these small tables are kept; folds are judged together instead of one by one.
        found = [validated.losses[place] for place in sorted(validated.losses)]
        np.testing.assert_allclose(found, recorded[np.isfinite(recorded)], rtol=0.35, atol=0.03)


def test_ensembles_are_chosen_on_validation_rows_and_judged_on_those_held_out(
    collected: Collection,  # noqa: F811
    past: PastTasks,
) -> None:
    for number, task in enumerate(past.tasks):
        kept = read_stored_predictions(collected.out, past, number)
        assert kept is not None
        fold, y, _ = read_predictions(collected.out, task)
        assert set(fold) == {0, 1, 2, HELD_OUT}
        chosen_on, judged_on = kept.split()
        np.testing.assert_allclose(chosen_on.y, y[fold != HELD_OUT])
        np.testing.assert_allclose(judged_on.y, y[fold == HELD_OUT])
        for index, values in kept.predictions.items():
            np.testing.assert_array_equal(chosen_on.predictions[index], values[fold != HELD_OUT])
            np.testing.assert_array_equal(judged_on.predictions[index], values[fold == HELD_OUT])


def test_without_a_collection_or_predictions_there_is_nothing(tmp_path: Path, past: PastTasks) -> None:
    with pytest.raises(MetaDatasetError, match="holds no collection"):
        read_stored_predictions(tmp_path, past, 0)


def test_an_unknown_task_has_no_predictions(collected: Collection, past: PastTasks) -> None:  # noqa: F811
    renamed = replace(past, tasks=tuple(f"other {name}" for name in past.tasks))
    assert read_stored_predictions(collected.out, renamed, 0) is None


def test_portfolios_are_chosen_by_ensembles_where_predictions_are_kept(collected: Collection) -> None:  # noqa: F811
    weights = train(export(collected.tasks, collected.out), predictions=collected.out, n_replayed=0)
    assert weights.card["portfolios"]["judged_by"] == "ensembles"
    assert all(orders[600.0] for orders in weights.portfolios.values())


def test_a_task_that_kept_predictions_of_some_configurations_only_says_nothing_of_ensembles(
    collected: Collection,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def half(*arguments: Any) -> StoredPredictions:
        kept = read_stored_predictions(*arguments)
        assert kept is not None
        return replace(kept, predictions=dict(list(kept.predictions.items())[::2]))

    monkeypatch.setattr("autometa.metalearning.training.portfolio.read_stored_predictions", half)
    weights = train(export(collected.tasks, collected.out), predictions=collected.out, n_replayed=0)
    assert weights.card["portfolios"]["judged_by"] == "incumbents"


def test_ensembles_are_assessed_where_predictions_are_kept(collected: Collection, past: PastTasks) -> None:  # noqa: F811
    limits = {"budgets_s": (), "counts": (1, 4), "n_folds": 2}
    table = assess(past, {"random": RandomPolicy}, predictions=collected.out, **limits)
    assert table["ensemble_regret"].notna().all()
    plain = assess(past, {"random": RandomPolicy}, **limits)
    pd.testing.assert_series_equal(table["regret"], plain["regret"])
    assert plain["ensemble_regret"].isna().all()


def test_ensembles_are_those_of_a_search_among_what_has_predictions(
    collected: Collection,  # noqa: F811
    past: PastTasks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def two(*arguments: Any) -> StoredPredictions:
        kept = read_stored_predictions(*arguments)
        assert kept is not None
        return replace(kept, predictions=dict(list(kept.predictions.items())[-2:]))

    monkeypatch.setattr("autometa.metalearning.replay.assessment.read_stored_predictions", two)
    limits = {"budgets_s": (), "counts": (2,), "n_folds": 2}
    table = assess(past, {"random": RandomPolicy}, predictions=collected.out, **limits).set_index("task")
    for number, task in enumerate(past.tasks):
        kept = two(collected.out, past, number)
        chosen_on, judged_on = kept.split()
        # Two trials find both of the two, wherever they stand in the order.
        both = judged_on.mix(chosen_on.weights(sorted(kept.predictions, key=chosen_on.losses.__getitem__)))
        assert table.loc[task, "ensemble_regret"] == pytest.approx(judged_on.regret(both))
    plain = assess(past, {"random": RandomPolicy}, **limits)
    assert table["regret"].tolist() == plain["regret"].tolist()


def test_predictions_of_what_was_not_recorded_say_nothing_of_ensembles(
    collected: Collection,  # noqa: F811
    past: PastTasks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def others(*arguments: Any) -> StoredPredictions:
        kept = read_stored_predictions(*arguments)
        assert kept is not None
        unrecorded = np.flatnonzero(~np.isfinite(past.losses[kept.metric.name][arguments[-1]]))
        assert unrecorded.size
        return replace(kept, predictions={int(unrecorded[0]): next(iter(kept.predictions.values()))})

    monkeypatch.setattr("autometa.metalearning.replay.assessment.read_stored_predictions", others)
    limits = {"budgets_s": (), "counts": (1,), "n_folds": 2}
    table = assess(past, {"random": RandomPolicy}, predictions=collected.out, **limits)
    assert table["ensemble_regret"].isna().all()


def three_models(seed: int) -> StoredPredictions:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, 60)
    right = np.clip(0.5 + 0.3 * (2 * y - 1)[None] + 0.4 * rng.normal(size=(3, 60)), 0.01, 0.99)
    return StoredPredictions(
        resolve_metric("log_loss", "binary"), y, {place: np.column_stack([1 - p, p]) for place, p in enumerate(right)}
    )


def test_an_ensemble_is_not_worse_than_its_best_member(seed: int) -> None:
    kept = three_models(seed)
    weights = kept.weights([0, 1, 2])
    assert sum(weights.values()) == pytest.approx(1)
    assert kept.metric.loss(kept.y, kept.mix(weights)) <= min(kept.losses.values())
    assert kept.regret(kept.mix(weights)) <= 0


@pytest.mark.parametrize("is_held_out", [None, np.zeros(60, dtype=bool)], ids=["unknown", "none"])
def test_without_rows_held_out_both_parts_are_halves(seed: int, is_held_out: np.ndarray | None) -> None:
    """Collections of layout 1 have no rows held out."""
    kept = replace(three_models(seed), is_held_out=is_held_out)
    first, second = kept.split()
    np.testing.assert_array_equal(kept.y[::2], first.y)
    np.testing.assert_array_equal(kept.y[1::2], second.y)
    np.testing.assert_array_equal(kept.predictions[1][::2], first.predictions[1])
    np.testing.assert_array_equal(kept.predictions[1][1::2], second.predictions[1])
    assert first.losses != second.losses


def test_any_rows_held_out_are_those_to_judge_on(seed: int) -> None:
    mask = np.random.default_rng(seed).random(60) < 0.2
    kept = replace(three_models(seed), is_held_out=mask)
    chosen_on, judged_on = kept.split()
    for part, rows in ((chosen_on, ~mask), (judged_on, mask)):
        np.testing.assert_array_equal(part.y, kept.y[rows])
        assert all(np.array_equal(part.predictions[k], kept.predictions[k][rows]) for k in kept.predictions)
