"""Define the episodes that a recurrent network is trained on, and play them in batches."""

# Tests: tests/policy/recurrent/test_policy.py

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from autometa.policy.recurrent.network import Shape, judge, start, step


@dataclass(frozen=True)
class Observation:
    """Inputs of the network for a batch of episodes, before their next actions.

    Parameters
    ----------
    action : ndarray of shape (n,), int64
        Places of the last actions; -1 before the first.
    inputs : ndarray of shape (n, n_inputs), float32
        Results of these actions.
    options : ndarray of shape (n, n_actions, n_options), float32
        Current description of each action.
    mask : ndarray of shape (n, n_actions), bool
        Actions that can be taken.
    """

    action: np.ndarray
    inputs: np.ndarray
    options: np.ndarray
    mask: np.ndarray


class Episodes(Protocol):
    """A source of episodes that run in parallel; actions in finished episodes have no effect."""

    shape: Shape

    def reset(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, Observation]:
        """Start `n` new episodes; return the inputs known beforehand, of shape (n, n_start), and the first ones."""
        ...

    def step(self, action: np.ndarray) -> tuple[Observation, np.ndarray, np.ndarray]:
        """Take actions; return the next inputs, the rewards, and a mask of finished episodes."""
        ...

    def worth(self) -> np.ndarray:
        """Return the worth of each action to the oracle, of shape (n, n_actions): 1 for the best, 0 for none.

        The oracle may use information that no policy has. A row of zeros teaches nothing.
        """
        ...


def draw(logits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an action for each row, drawn from the softmax of the logits (the Gumbel-max trick)."""
    return np.argmax(logits + rng.gumbel(size=logits.shape), axis=1)


def play(episodes: Episodes, arrays: Mapping[str, np.ndarray], n: int, rng: np.random.Generator) -> np.ndarray:
    """Return the total reward of each of `n` new episodes in which a network takes its most probable actions.

    Parameters
    ----------
    episodes : Episodes
        Source of the episodes.
    arrays : mapping of str to ndarray
        Weights of the network.
    n : int
        Number of episodes.
    rng : Generator
        Draws the episodes.
    """
    known, seen = episodes.reset(n, rng)
    hidden, total, done = start(np, arrays, known), np.zeros(n), np.zeros(n, dtype=bool)
    while not done.all():
        hidden = step(np, arrays, hidden, seen.action, seen.inputs)
        logits, _ = judge(np, arrays, hidden, seen.options, seen.mask)
        was_done = done
        seen, reward, done = episodes.step(logits.argmax(axis=1))
        total += np.where(was_done, 0.0, reward)
    return total
