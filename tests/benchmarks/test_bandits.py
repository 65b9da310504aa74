"""The bandits: their oracle, the rules, and that the network learns to play them."""

from __future__ import annotations

import numpy as np
import pytest

from autometa.metalearning.training.recurrent_episodes import play
from autometa.metalearning.training.recurrent_training import RecurrentSettings
from benchmarks.bandits import RULES, Bandits, follow, gittins_indices, learn


def test_an_arms_index_is_its_mean_at_the_last_pull_and_grows_with_the_pulls_left() -> None:
    indices = gittins_indices(6)
    wins, losses = np.ogrid[:3, :3]
    mean = (wins + 1) / (wins + losses + 2)
    # The grid of payments is as fine as that.
    np.testing.assert_allclose(indices[1, :3, :3], mean, atol=1 / 400)
    assert np.all(np.diff(indices[1:4, :2, :2], axis=0) >= 0)
    assert indices[3, 0, 0] > mean[0, 0] + 0.05


def test_with_two_pulls_left_the_index_is_where_trying_once_pays() -> None:
    # A first win (chance 1/2) is followed by another pull worth 2/3: 1/2 - x + 1/2 (2/3 - x) = 0 at x = 5/9.
    assert gittins_indices(2)[2, 0, 0] == pytest.approx(5 / 9, abs=1 / 400)


def test_an_episode_counts_what_every_arm_paid(seed: int) -> None:
    bandits, rng = Bandits(7, 3), np.random.default_rng(seed)
    total = follow(RULES["random"], bandits, 50, rng)
    assert np.array_equal(total, bandits.wins.sum(axis=1))
    assert np.all((bandits.wins + bandits.losses).sum(axis=1) == 7)


def test_rules_are_ranked_as_known(seed: int) -> None:
    means = {
        name: follow(rule, Bandits(10, 5), 4000, np.random.default_rng(seed)).mean() for name, rule in RULES.items()
    }
    # Standard errors are about 0.04.
    assert means["random"] == pytest.approx(5.0, abs=0.2)
    assert means["random"] + 0.5 < means["Thompson"] < means["UCB1"] - 0.3
    assert means["UCB1"] - 0.15 < means["Gittins"] == pytest.approx(6.6, abs=0.2)


def test_what_an_arm_paid_is_seen_at_its_own_place() -> None:
    bandits = Bandits(4, 3)
    _, seen = bandits.reset(50, np.random.default_rng(0))
    assert not seen.inputs.any()
    action = np.arange(50) % 3
    seen, reward, _ = bandits.step(action)
    assert np.array_equal(seen.inputs[np.arange(50), action], 2 * reward - 1)
    assert np.array_equal(np.count_nonzero(seen.inputs, axis=1), np.full(50, 2)) and np.all(seen.inputs[:, -1] == 0.25)


@pytest.mark.slow
def test_the_network_plays_as_well_as_the_best_rule_after_shorter_episodes() -> None:
    bandits = Bandits(20, 5)
    trained = learn(bandits, RecurrentSettings(80, 1, imitation_rate=0.02), 0)
    reward, best = play(bandits, trained.arrays, 5000, np.random.default_rng(1)), RULES["Gittins"]
    # Standard errors are about 0.06.
    assert reward.mean() > follow(best, bandits, 5000, np.random.default_rng(2)).mean() - 0.4
