from __future__ import annotations

import numpy as np
import pytest

from autometa.transfer.sampling.failures import failure_pattern

N_COLUMNS = 3
GROUPS = np.arange(N_COLUMNS)


def points(seed: int, n: int) -> np.ndarray:
    return np.random.default_rng(seed).random((n, N_COLUMNS))


def share_with_a_pattern(rule, n: int) -> float:
    found = [failure_pattern(x := points(seed, n), rule(x, seed), GROUPS) for seed in range(30)]
    return np.mean([pattern is not None for pattern in found])


# While the question is open, a pattern is assumed.
@pytest.mark.parametrize(("n", "most"), [(20, 0.5), (60, 0.2)])
@pytest.mark.parametrize("rate", [0.1, 0.3, 0.6])
def test_failures_by_chance_follow_no_pattern(rate, n, most):
    assert share_with_a_pattern(lambda x, seed: np.random.default_rng(seed + 99).random(n) < rate, n) < most


@pytest.mark.parametrize("n", [20, 60])
@pytest.mark.parametrize("rule", [lambda x: x[:, 0] < 0.5, lambda x: (x < 0.8).all(axis=1)], ids=["half", "outside"])
def test_failures_in_a_region_follow_one(rule, n):
    assert share_with_a_pattern(lambda x, seed: rule(x), n) > 0.9


@pytest.mark.parametrize("n", [1, 2, 50])
def test_failures_without_any_success_follow_one(n):
    assert failure_pattern(points(0, n), np.ones(n, dtype=bool), GROUPS) is not None


def test_failures_of_long_ago_count_too():
    inputs = points(0, 1000)
    is_failed = (inputs[:, 0] < 0.5) & (np.arange(1000) < 100)
    kept = is_failed | (inputs[:, 0] >= 0.5)
    assert failure_pattern(inputs[kept], is_failed[kept], GROUPS) is not None


def test_no_failures_follow_none():
    assert failure_pattern(points(0, 9), np.zeros(9, dtype=bool), GROUPS) is None
    assert failure_pattern(points(0, 0), np.zeros(0, dtype=bool), GROUPS) is None


def test_failures_are_expected_where_they_happened():
    inputs, new = points(0, 40), points(1, 200)
    pattern = failure_pattern(inputs, inputs[:, 0] < 0.4, GROUPS)
    assert np.mean((pattern.expected(new) > 0.5) == (new[:, 0] < 0.4)) > 0.85
