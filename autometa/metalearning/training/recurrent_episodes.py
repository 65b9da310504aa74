"""What a recurrent network is trained on: batches of episodes, whatever an episode is."""

# Tests: tests/policy/recurrent/test_policy.py

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from autometa.policy.recurrent.network import Shape, judge, start, step


@dataclass(frozen=True)
class Observation:
    """What is seen of a batch of episodes before their next actions.

    Parameters
    ----------
    action : ndarray of shape (n,), int64
        Places of the last actions; -1 before the first.
    inputs : ndarray of shape (n, n_inputs), float32
        What came of them.
    options : ndarray of shape (n, n_actions, n_options), float32
        What is known of each action now.
    mask : ndarray of shape (n, n_actions), bool
        Actions that can be taken.
    """

    action: np.ndarray
    inputs: np.ndarray
    options: np.ndarray
    mask: np.ndarray


class Episodes(Protocol):
    """A source of episodes, which run side by side; an action in one that is done changes nothing."""

    shape: Shape

    def reset(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, Observation]:
        """Start `n` new episodes; return what is known of them, of shape (n, n_start), and what is seen first."""
        ...

    def step(self, action: np.ndarray) -> tuple[Observation, np.ndarray, np.ndarray]:
        """Act; return what is seen, the rewards, and which episodes are done."""
        ...

    def worth(self) -> np.ndarray:
        """Return what each action is worth to the oracle now, of shape (n, n_actions): 1 the best, 0 nothing.

        The oracle may know what no policy can. A row of zeros has nothing to teach.
        """
        ...


def draw(logits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an action of each row, drawn from the softmax of the logits (the Gumbel-max trick)."""
    return np.argmax(logits + rng.gumbel(size=logits.shape), axis=1)


def play(
    episodes: Episodes, arrays: Mapping[str, np.ndarray], n: int, rng: np.random.Generator, *, greedy: bool = True
) -> np.ndarray:
    """Return the total reward of each of `n` new episodes, played by a network.

    Parameters
    ----------
    episodes : Episodes
        Where they come from.
    arrays : mapping of str to ndarray
        Weights of the network.
    n : int
        Number of episodes.
    rng : Generator
        Draws the episodes, and the actions if they are drawn.
    greedy : bool
        Whether to take the most probable action, or one drawn from the softmax.
    """
    known, seen = episodes.reset(n, rng)
    hidden, total, done = start(np, arrays, known), np.zeros(n), np.zeros(n, dtype=bool)
    while not done.all():
        hidden = step(np, arrays, hidden, seen.action, seen.inputs)
        logits, _ = judge(np, arrays, hidden, seen.options, seen.mask)
        action = logits.argmax(axis=1) if greedy else draw(logits, rng)
        was_done = done
        seen, reward, done = episodes.step(action)
        total += np.where(was_done, 0.0, reward)
    return total
