"""Learnt weights of meta-features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import check_grad

from autometa.metalearning.training import similarity_learning
from autometa.metalearning.training.portfolio import measured_regrets
from autometa.metalearning.training.similarity_learning import learn_similarity, similarity_weights
from autometa.policy.similarity import Similarity
from tests.helpers.past_tasks import made_up_past

TELLING = "landmark_ridge"


def test_the_feature_that_tells_the_kind_of_task_weighs_most(seed: int) -> None:
    past = made_up_past(seed, n_tasks=24)
    weights = similarity_weights(past, "learnt")
    assert past.feature_names[int(np.argmax(weights))] == TELLING


def test_learnt_weights_are_chosen_where_they_predict_best(seed: int) -> None:
    choice = learn_similarity(made_up_past(seed, n_tasks=24), seed=seed)
    assert choice.name == "learnt"
    assert choice.errors["learnt"] == min(choice.errors.values())
    assert (choice.weights > 0).all()


def test_features_that_mislead_get_no_weight() -> None:
    past = made_up_past(n_tasks=24)
    features = np.zeros_like(past.features)
    # Of two neighbours, each is of the other kind.
    features[:, 0] = np.arange(24) // 2
    choice = learn_similarity(replace(past, features=features))
    assert choice.name == "none"
    assert (choice.weights == 0).all()


def test_the_same_records_give_the_same_weights(seed: int) -> None:
    past = made_up_past(seed, missing=0.2)
    np.testing.assert_array_equal(similarity_weights(past, "learnt"), similarity_weights(past, "learnt"))


def test_the_slope_is_that_of_the_error(seed: int) -> None:
    past = made_up_past(seed, missing=0.3)
    similarity = Similarity(past.feature_names, past.features)
    distances = np.array([similarity.squared_differences(row) for row in past.features])
    penalties = np.where(np.eye(len(distances), dtype=bool), np.inf, 0.0)
    regret = measured_regrets(past)

    def part(number: int):
        return lambda weights: similarity_learning._error_and_slope(weights, distances, penalties, regret)[number]

    start = similarity.weights * np.random.default_rng(seed).uniform(0.5, 2, len(similarity.weights))
    assert check_grad(part(0), part(1), start) < 1e-6


@pytest.mark.parametrize("n_tasks", [1, 2])
def test_too_few_families_to_leave_any_out_give_equal_weights(n_tasks: int) -> None:
    choice = learn_similarity(made_up_past(n_tasks=n_tasks))
    assert choice.errors == {}
    assert len(np.unique(choice.weights)) == 1
    assert choice.weights[0] > 0


def test_a_family_is_not_predicted_by_itself() -> None:
    past = made_up_past(n_tasks=8, n_families=4)
    penalties = similarity_learning._penalties(past)
    families = np.array(past.families)
    np.testing.assert_array_equal(np.isinf(penalties), families[:, None] == families)
