"""From a meta-dataset to weights."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from autometa.metadataset.dataset import MetaDataset
from autometa.metalearning.training.policy_training import PORTFOLIO_BUDGETS_S, fingerprint, train
from autometa.policy.weights_file import read_weights
from tests.helpers.past_tasks import MADE_UP_STRATEGIES, made_up_metadataset


def test_what_is_trained_can_be_read_and_tells_where_it_comes_from(tmp_path: Path) -> None:
    metadataset = made_up_metadataset(n_tasks=24)
    weights = train(metadataset, out=tmp_path, n_replayed=0)
    found = read_weights(tmp_path, MADE_UP_STRATEGIES)
    assert found.past.tasks == weights.past.tasks
    assert found.portfolios == weights.portfolios
    card = found.card
    assert card["metadataset_sha256"] == fingerprint(metadataset)
    assert (card["n_tasks"], card["n_configurations"], card["seed"]) == (24, 8, 0)
    assert card["feature_order"] == list(weights.past.feature_names)
    assert card["similarity"]["chosen"] == "learnt"
    assert card["portfolios"]["judged_by"] == "incumbents"


@pytest.mark.slow
def test_training_is_deterministic() -> None:
    first, second = (train(made_up_metadataset(n_tasks=4), n_replayed=1, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.similarity, second.similarity)
    assert first.card == second.card


@pytest.mark.slow
def test_temperatures_and_their_regret_on_tasks_left_out_are_in_the_card() -> None:
    weights = train(made_up_metadataset(n_tasks=8), n_replayed=4)
    assert set(weights.temperatures) == {"attention"}
    left_out = weights.card["regret_left_out"]
    assert left_out["n_tasks"] == 4
    assert all(0 <= left_out[name][limit] <= 1 for name in ("gaussian", "attention") for limit in ("trials", "seconds"))


def test_without_a_replay_temperatures_are_the_usual_ones() -> None:
    weights = train(made_up_metadataset(), n_replayed=0)
    assert weights.temperatures == {"attention": (0.1, 0.3)}
    assert weights.card["regret_left_out"] == {}


def test_a_larger_budget_has_room_for_more() -> None:
    metadataset = made_up_metadataset(n_tasks=24)
    slow = metadataset.evaluations.assign(fit_s=metadataset.evaluations["fit_s"] * 10)
    portfolios = train(MetaDataset(metadataset.tasks, metadataset.configurations, slow), n_replayed=0).portfolios
    sizes = [len(portfolios["multiclass"][budget_s]) for budget_s in PORTFOLIO_BUDGETS_S]
    assert 0 < sizes[0] < sizes[1] <= sizes[2]


def test_one_task_is_enough() -> None:
    weights = train(made_up_metadataset(n_tasks=1))
    assert weights.past.tasks == ("task 0",)
    # Nothing can be added to the best there is.
    best = int(np.argmin(weights.past.losses["balanced_accuracy"][0]))
    assert weights.portfolios["multiclass"][600.0][-1] == best


def test_configurations_that_most_tasks_lack_do_no_harm() -> None:
    weights = train(made_up_metadataset(n_tasks=10, missing=0.8), n_replayed=0)
    assert np.isfinite(weights.similarity).all()
    assert weights.portfolios["multiclass"][600.0]


def test_tasks_without_a_loss_are_left_out_with_a_note(caplog: pytest.LogCaptureFixture) -> None:
    metadataset = made_up_metadataset(n_tasks=6)
    evaluations = metadataset.evaluations
    lost = evaluations["task"] == "task 2"
    evaluations = evaluations.assign(
        loss_balanced_accuracy=evaluations["loss_balanced_accuracy"].mask(lost),
        status=evaluations["status"].astype(str).mask(lost, "failed"),
    )
    with caplog.at_level(logging.INFO, "autometa"):
        weights = train(MetaDataset(metadataset.tasks, metadataset.configurations, evaluations), n_replayed=0)
    assert "task 2" not in weights.past.tasks
    assert "1 tasks without any loss are left out" in caplog.text


def test_without_any_loss_there_is_nothing_to_learn() -> None:
    with pytest.raises(ValueError, match="none of the 12 tasks has any"):
        train(made_up_metadataset(missing=1.0))


def test_the_fingerprint_is_of_the_content_and_not_of_the_files(tmp_path: Path) -> None:
    metadataset = made_up_metadataset()
    assert fingerprint(MetaDataset.load(metadataset.to_npz(tmp_path / "m.npz"))) == fingerprint(metadataset)
    assert fingerprint(MetaDataset.load(metadataset.to_parquet(tmp_path / "m"))) == fingerprint(metadataset)
    changed = metadataset.evaluations.assign(fit_s=metadataset.evaluations["fit_s"] + 1)
    assert fingerprint(MetaDataset(metadataset.tasks, metadataset.configurations, changed)) != fingerprint(metadataset)
