"""How much past tasks resemble a new one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from autometa.policy.similarity import Similarity

NAMES = ("rows", "columns", "skewness")


def random_features(seed: int, n_tasks: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n_tasks, 3))


def named(row: np.ndarray) -> dict[str, float]:
    return dict(zip(NAMES, row.tolist(), strict=True))


def test_a_task_resembles_itself_most_and_nothing_more_than_that(seed: int) -> None:
    features = random_features(seed)
    similarity = Similarity(NAMES, features)
    for row, own in enumerate(features):
        found = similarity.log_similarity(named(own))
        assert found[row] == 0
        assert (np.delete(found, row) < 0).all()


def test_two_tasks_resemble_each_other_equally(seed: int) -> None:
    features = random_features(seed)
    similarity = Similarity(NAMES, features)
    table = np.array([similarity.log_similarity(named(row)) for row in features])
    assert table == pytest.approx(table.T)


def test_units_of_meta_features_do_not_matter(seed: int) -> None:
    features, new = random_features(seed), np.array([0.3, -1.0, 2.0])
    factor, shift = np.array([1000.0, 0.01, 7.0]), np.array([-3.0, 5.0, 100.0])
    one = Similarity(NAMES, features).log_similarity(named(new))
    other = Similarity(NAMES, features * factor + shift).log_similarity(named(new * factor + shift))
    assert other == pytest.approx(one)


def test_a_feature_that_is_further_off_lowers_the_similarity() -> None:
    features = random_features(0)
    similarity = Similarity(NAMES, features)
    found = [similarity.log_similarity({"rows": features[0, 0] + step})[0] for step in (0.0, 0.5, 1.0, 2.0)]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == 4


def test_it_is_minus_half_the_weighted_squares(seed: int) -> None:
    features, weights = random_features(seed), np.array([1.0, 0.0, 3.0])
    new = features[0] + 0.1
    found = Similarity(NAMES, features, weights).log_similarity(named(new))
    differences = (features - new) / features.std(axis=0)
    assert found == pytest.approx(-0.5 * np.clip(differences, -4, 4) ** 2 @ weights)


def test_features_that_were_not_computed_count_nothing(seed: int) -> None:
    features = random_features(seed)
    only_rows = Similarity(NAMES, features, np.array([1.0, 0.0, 0.0])).log_similarity(named(features[0]))
    assert Similarity(NAMES, features, np.ones(3)).log_similarity({"rows": features[0, 0]}) == pytest.approx(only_rows)
    assert (Similarity(NAMES, features).log_similarity({}) == 0).all()


def test_features_that_the_past_lacks_count_nothing() -> None:
    features = random_features(0)
    similarity = Similarity(NAMES, features)
    own = named(features[0])
    assert np.array_equal(similarity.log_similarity({**own, "unheard of": 5.0}), similarity.log_similarity(own))


def test_a_feature_that_is_not_defined_resembles_tasks_that_lack_it_too() -> None:
    features = random_features(0)
    features[:6, 2] = np.nan
    found = Similarity(NAMES, features).log_similarity({"skewness": math.nan})
    assert (found[:6] == 0).all()
    assert (found[6:] < 0).all()


def test_a_feature_that_is_the_same_on_all_past_tasks_says_nothing() -> None:
    features = random_features(0)
    features[:, 1] = 3.0
    assert (Similarity(NAMES, features).log_similarity({"columns": 99.0}) == 0).all()


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 1e100])
def test_odd_values_leave_a_number_for_each_task(value: float) -> None:
    features = random_features(0)
    features[0] = [math.nan, value, -1.0]
    found = Similarity(NAMES, features).log_similarity({"rows": value, "columns": 1.0, "skewness": value})
    assert np.isfinite(found).all()


def test_one_past_task_is_as_similar_as_can_be() -> None:
    assert Similarity(NAMES, random_features(0, 1)).log_similarity({"rows": 7.0}).tolist() == [0.0]


def test_equal_values_speak_for_a_past_task_and_different_ones_do_not() -> None:
    features = np.array([[0.0, 0.0, 0.0], [5.0, 1.0, -1.0], [9.0, 2.0, 3.0], [14.0, -2.0, 8.0]])
    similarity = Similarity(NAMES, features, np.array([2.0, 1.0, 0.0]))
    assert similarity.alike(named(features[0]), 0) == ["rows", "columns"]  # skewness has no weight
    assert similarity.alike(named(features[0]), 0, n=1) == ["rows"]
    assert similarity.alike({"columns": 0.0}, 0) == ["columns"]
    assert similarity.alike(named(features[0]), 3) == []
