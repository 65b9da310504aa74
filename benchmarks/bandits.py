"""Bandits whose arms pay with probabilities drawn uniformly: the network of the recurrent policy against known rules.

A table of total rewards of n pulls of k arms, as Table 1 of Duan et al. (2016, "RL²: Fast Reinforcement Learning via
Slow Reinforcement Learning"). There the network learns from rewards alone. Here it first imitates an oracle, as the
recurrent policy does: the Gittins index for the remaining pulls (Kaufmann 2018), which is optimal for one arm against a
known one and nearly optimal for several. With `--reinforcement`, updates by the policy gradient on the rewards follow.

    python -m benchmarks.bandits --pulls 10 --arms 5 --out bandit.npz
    python -m benchmarks.bandits --pulls 100 --arms 5 --out bandit.npz
    python -m benchmarks.bandits --pulls 100 --arms 10 --out bandit.npz

The network imitates the oracle on episodes of at most thirty pulls: they take less time, and a network that plays them
well also plays a hundred pulls well. A stopped training resumes from `--out`, and from files of the short episodes
beside it; `--max-s` limits the seconds of the policy gradient.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from autometa._support.seeds import child_seed
from autometa.metalearning.training.recurrent_episodes import Observation, play
from autometa.metalearning.training.recurrent_training import RecurrentSettings, Trained, train
from autometa.policy.recurrent.network import HIDDEN, Shape, initial_arrays

REFERENCE = {
    (10, 5): {"RL2": 6.7, "UCB1": 6.7, "random": 5.0},
    (100, 5): {"RL2": 78.7, "UCB1": 78.0, "random": 49.9},
    (100, 10): {"RL2": 83.5, "UCB1": 82.4, "random": 49.9},
}
"""Mean total rewards in Table 1, by pulls and arms."""

SHORT = (10, 30)
"""Most pulls of the episodes on which the oracle is imitated."""

Rule = Callable[["Bandits", np.random.Generator], np.ndarray]
"""A score of every arm, of shape (n, n_arms); the arm with the highest is pulled, ties at random."""


class Bandits:
    """Episodes of `n_pulls` pulls of one of `n_arms` arms; a pull pays 0 or 1.

    Each arm has its own input: 1 if the arm was pulled and paid, −1 if it was pulled and did not. A further input is
    the share of pulls that are done. So the network only has to keep sums over time.
    """

    def __init__(self, n_pulls: int, n_arms: int) -> None:
        self.n_pulls = n_pulls
        self.shape = Shape(n_actions=n_arms, n_inputs=n_arms + 1)
        self.wins = self.losses = self._chances = np.empty((0, n_arms))
        self._indices = np.empty(0)
        self.n_pulled = 0

    def reset(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, Observation]:
        self._rng = rng
        self._chances = rng.uniform(size=(n, self.shape.n_actions))
        self.wins, self.losses = np.zeros((2, n, self.shape.n_actions), dtype=np.int64)
        self.n_pulled = 0
        return np.empty((n, 0), dtype=np.float32), self._observe(np.full(n, -1), np.zeros(n))

    def step(self, action: np.ndarray) -> tuple[Observation, np.ndarray, np.ndarray]:
        rows = np.arange(len(action))
        reward = (self._rng.uniform(size=len(action)) < self._chances[rows, action]).astype(np.int64)
        self.wins[rows, action] += reward
        self.losses[rows, action] += 1 - reward
        self.n_pulled += 1
        done = np.full(len(action), self.n_pulled >= self.n_pulls)
        return self._observe(action, reward), reward.astype(np.float64), done

    def worth(self) -> np.ndarray:
        scores = self.indices()
        return (scores == scores.max(axis=1, keepdims=True)).astype(np.float64)

    def indices(self) -> np.ndarray:
        """Return the Gittins index of every arm for the remaining pulls."""
        if not self._indices.size:
            self._indices = gittins_indices(self.n_pulls)
        return self._indices[self.n_pulls - self.n_pulled, self.wins, self.losses]

    def _observe(self, action: np.ndarray, reward: np.ndarray) -> Observation:
        n = len(action)
        inputs = np.zeros((n, self.shape.n_inputs), dtype=np.float32)
        inputs[:, -1] = self.n_pulled / self.n_pulls
        if self.n_pulled:
            inputs[np.arange(n), action] = 2 * reward - 1
        options = np.empty((n, self.shape.n_actions, 0), dtype=np.float32)
        return Observation(action, inputs, options, np.ones((n, self.shape.n_actions), dtype=bool))


def gittins_indices(n_pulls: int, n_levels: int = 400) -> np.ndarray:
    """Return the Gittins index of an arm by pulls left, wins and losses, of shape (n_pulls + 1,) three times.

    The index is the certain payment per pull for which one would give up the arm, under a uniform prior of its chance.
    It is found on a grid of `n_levels`. Entries with more pulls than there are have no meaning.
    """
    level = (np.arange(n_levels, dtype=np.float32) + 0.5) / n_levels
    indices = np.zeros((n_pulls + 1,) * 3, dtype=np.float32)
    # The possible gain over the certain payment, with no pull left.
    gain = np.zeros((n_pulls + 2, n_pulls + 2, n_levels), dtype=np.float32)
    for left in range(1, n_pulls + 1):
        most = n_pulls - left + 1
        wins, losses = np.ogrid[:most, :most]
        chance = ((wins + 1) / (wins + losses + 2)).astype(np.float32)[:, :, None]
        pulled = chance * (1 + gain[1 : most + 1, :most]) + (1 - chance) * gain[:most, 1 : most + 1] - level
        indices[left, :most, :most] = (pulled >= 0).mean(axis=2)
        gain = np.maximum(pulled, 0.0)
    return indices


RULES: dict[str, Rule] = {
    "random": lambda bandits, rng: np.zeros(bandits.wins.shape),
    "Thompson": lambda bandits, rng: rng.beta(bandits.wins + 1, bandits.losses + 1),
    "UCB1": lambda bandits, rng: _upper_bounds(bandits),
    "Gittins": lambda bandits, rng: bandits.indices(),
}


def _upper_bounds(bandits: Bandits, width: float = 0.2) -> np.ndarray:
    """Return the posterior mean of each arm's chance plus a margin, whose width the paper tunes, too."""
    n = bandits.wins + bandits.losses
    mean = (bandits.wins + 1) / (n + 2)
    return mean + width * np.sqrt(2 * math.log(bandits.n_pulled + 1) / (n + 1))


def follow(rule: Rule, bandits: Bandits, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return the total reward of each of `n` episodes played by a rule."""
    bandits.reset(n, rng)
    total, done = np.zeros(n), np.zeros(n, dtype=bool)
    while not done.all():
        scores = rule(bandits, rng)
        ties = scores == scores.max(axis=1, keepdims=True)
        _, reward, done = bandits.step(np.argmax(ties * rng.uniform(0.5, 1.0, size=scores.shape), axis=1))
        total += reward
    return total


def first_arrays(bandits: Bandits, seed: int) -> dict[str, np.ndarray]:
    """Return initial weights with memory: units forget over 1 to `n_pulls` steps (Tallec and Ollivier 2018)."""
    rng = np.random.default_rng(child_seed(seed, "weights"))
    arrays = initial_arrays(bandits.shape, rng)
    arrays["read_bias"][HIDDEN : 2 * HIDDEN] = np.log(rng.uniform(1.0, bandits.n_pulls, HIDDEN))
    return arrays


def learn(
    bandits: Bandits, settings: RecurrentSettings, seed: int, out: Path | None = None, max_s: float = math.inf
) -> Trained:
    """Return a network that imitated the oracle on each kind of short episodes and then learnt from its rewards."""
    arrays = first_arrays(bandits, seed)
    for n_pulls in sorted({min(n_pulls, bandits.n_pulls) for n_pulls in SHORT}):
        state = None if out is None else out.with_name(f"{out.stem}-{n_pulls}{out.suffix}")
        short = Bandits(n_pulls, bandits.shape.n_actions)
        first = replace(settings, n_reinforcement=0)
        arrays = train(short, first, seed=seed, arrays=arrays, state=state, name=f"{n_pulls} pulls").arrays
    then = replace(settings, n_imitation=0)
    return train(bandits, then, seed=seed, arrays=arrays, state=out, max_s=max_s, name=f"{bandits.n_pulls} pulls")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pulls", type=int, default=10)
    parser.add_argument("--arms", type=int, default=5)
    parser.add_argument("--out", type=Path, help="file of the training, .npz")
    parser.add_argument("--imitation", type=int, default=400, help="updates on each kind of short episodes")
    parser.add_argument("--reinforcement", type=int, default=0, help="updates on the episodes themselves")
    parser.add_argument("--episodes", type=int, default=20_000, help="episodes that the table averages over")
    parser.add_argument("--max-s", type=float, default=math.inf)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    bandits = Bandits(args.pulls, args.arms)
    settings = RecurrentSettings(args.imitation, args.reinforcement, imitation_rate=0.02, reinforcement_rate=1e-3)
    begun_s = time.process_time()
    trained = learn(bandits, settings, args.seed, args.out, args.max_s)
    cpu_s = time.process_time() - begun_s

    rng = np.random.default_rng(args.seed + 1)
    totals = {name: follow(rule, bandits, args.episodes, rng) for name, rule in RULES.items()}
    totals["network"] = play(bandits, trained.arrays, args.episodes, rng)
    done = f"{len(trained.rewards)} of {args.reinforcement} updates after imitation"
    print(f"{args.pulls} pulls, {args.arms} arms; {done}, {cpu_s:.0f} CPU s in this go")
    for name, total in totals.items():
        print(f"{name:10} {total.mean():6.2f} ± {1.96 * total.std() / math.sqrt(len(total)):.2f}")
    for name, mean in REFERENCE.get((args.pulls, args.arms), {}).items():
        print(f"{name:10} {mean:6.2f}  (Duan et al. 2016)")


if __name__ == "__main__":
    main()
