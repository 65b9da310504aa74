from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from autometa.transfer.pruning.calibration import PastCurves, _chance_to_win, learn
from autometa.transfer.pruning.curves import GRID, LastValue


@pytest.mark.parametrize("length", [3, 4, 6])
def test_chance_to_win_is_the_share_of_orders_of_what_follows_in_which_a_trial_is_the_best(length):
    finals = np.array([0.4, 0.3, 0.1, 0.2, 0.6, 0.5])
    orders = [list(order) for order in permutations(range(6)) if list(order[:2]) == [0, 1]]
    won = [finals[order[:length]].argmin() == 1 for order in orders]
    assert _chance_to_win(finals[:2], length, finals) == pytest.approx(np.mean(won))


def test_a_trial_that_is_behind_already_has_no_chance():
    finals = np.array([0.3, 0.4, 0.5, np.inf])
    assert _chance_to_win(finals[:2], 3, finals) == 0.0
    assert _chance_to_win(np.array([0.3, 0.3]), 2, finals) == 0.0


def study(seed: int, n: int = 30) -> PastCurves:
    rng = np.random.default_rng(seed)
    ends = rng.uniform(0, 1, n)
    values = ends[:, None] + np.exp(-6 * GRID) * rng.uniform(0.5, 1.5, (n, 1)) + 0.05 * rng.normal(size=(n, len(GRID)))
    return PastCurves(values, values[:, 0], ends)


@pytest.fixture(scope="module")
def verdict():
    return learn([study(seed) for seed in range(4)], [LastValue()] * 4, rates=[0.2], seed=0)


def test_thresholds_are_in_proportion_to_what_the_next_look_costs(verdict):
    costs = np.diff(GRID, append=1.0)
    np.testing.assert_allclose(verdict.thresholds / costs, verdict.thresholds[0] / costs[0])
    assert 0 < verdict.thresholds[-1] <= 0.5


def test_more_may_be_lost_at_a_higher_rate_and_nothing_at_0():
    past, models = [study(seed, n=20) for seed in range(2)], [LastValue()] * 2
    levels = [learn(past, models, [rate], seed=0).thresholds[0] for rate in (0.0, 0.05, 0.3)]
    assert levels[0] == 0 and (np.diff(levels) > 0).all()


def test_what_is_behind_is_less_probable_to_win(verdict):
    ahead, behind = np.array([0.0, 0.0, -2.0, 3.0, 0.0]), np.array([3.0, 3.0, 2.0, 3.0, 0.0])
    for place in range(4, len(GRID)):
        assert 0 < verdict.probability(behind, place) < verdict.probability(ahead, place) < 1


def test_lowest_rate_that_saves_enough_is_taken():
    past, models = [study(seed, n=20) for seed in range(3)], [LastValue()] * 3
    alone = [learn(past, models, [rate], seed=0) for rate in (0.01, 0.1, 0.4)]
    saved = [found.saved for found in alone]
    assert 0 <= saved[0] <= saved[1] <= saved[2] < 1
    chosen = learn(past, models, (0.01, 0.1, 0.4), seed=0)
    enough = [found.rate for found in alone if found.saved >= 0.2]
    assert chosen.rate == (enough[0] if enough else 0.4)
