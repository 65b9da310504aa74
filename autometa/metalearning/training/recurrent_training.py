r"""Train a recurrent network: first by imitation of an oracle, then by policy gradients.

Imitation is online: the network plays the episodes, and the oracle rates every action at each step, so that the
network learns in the states that it reaches itself (DAgger; Ross, Gordon and Bagnell 2011). The oracle knows each
episode; the network learns what is good on average over episodes that it cannot tell apart. The second phase is
proximal policy optimisation (PPO; Schulman et al. 2017) over whole episodes, with generalised advantage estimation
(Schulman et al. 2016).

=========== ==========================================================================
worth       :math:`w_j \in [0, 1]` of each action to the oracle; imitation raises
            :math:`\log \sum_j p_j w_j` of the network's probabilities
update      one batch of new episodes and the steps of the optimiser on it
return      :math:`\sum_t \gamma^t r_t` from a moment on
advantage   estimated return of an action minus the network's value of the state
=========== ==========================================================================
"""

# Tests: tests/policy/recurrent/test_policy.py

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autometa._support.files import replaced
from autometa._support.progress import CountBar
from autometa._support.seeds import child_seed
from autometa.learners.numeric import torch_threads
from autometa.metalearning.training.recurrent_episodes import Episodes, Observation, draw
from autometa.policy.recurrent.network import initial_arrays, judge, start, step

_SAVE_EVERY_S = 10.0
"""Least seconds between two writes of the state."""


@dataclass(frozen=True)
class RecurrentSettings:
    r"""How a network is trained.

    Parameters
    ----------
    n_imitation, n_reinforcement : int
        Updates by imitation, and by the policy gradient after it.
    n_episodes : int
        Episodes of an update by imitation.
    n_episodes_reinforcement : int
        Episodes of an update by the policy gradient, which needs more of them.
    imitation_rate, reinforcement_rate : float
        Learning rates of Adam at the start of each phase; they fall linearly to a tenth.
    discount : float
        :math:`\gamma`.
    trace : float
        :math:`\lambda` of the advantages.
    clip : float
        :math:`\epsilon`: bound on the relative change of probabilities in one update.
    n_passes : int
        Steps of the optimiser on one batch of PPO.
    entropy : float
        Weight of the entropy of the actions, which keeps the network trying; falls to a tenth.
    value : float
        Weight of the squared error of the values.
    """

    n_imitation: int = 300
    n_reinforcement: int = 300
    n_episodes: int = 64
    n_episodes_reinforcement: int = 256
    imitation_rate: float = 1e-2
    reinforcement_rate: float = 5e-4
    discount: float = 0.99
    trace: float = 0.95
    clip: float = 0.2
    n_passes: int = 4
    entropy: float = 0.01
    value: float = 0.5

    def __post_init__(self) -> None:
        for name in ("n_imitation", "n_reinforcement"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}.")
        for name in ("n_episodes", "n_episodes_reinforcement", "n_passes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")

    @property
    def n_updates(self) -> int:
        """Number of updates of both phases."""
        return self.n_imitation + self.n_reinforcement

    def falling(self, update: int) -> float:
        """Return a factor that falls from 1 to 0.1 over each phase."""
        if update < self.n_imitation:
            return 1 - 0.9 * update / self.n_imitation
        return 1 - 0.9 * (update - self.n_imitation) / self.n_reinforcement


@dataclass(frozen=True)
class Trained:
    """A trained network, and the course of its training.

    Parameters
    ----------
    arrays : dict of str to ndarray
        Weights of the network.
    rewards : ndarray of shape (n_updates,)
        Mean total reward of the episodes of each update that was done.
    is_complete : bool
        Whether all updates were done.
    """

    arrays: dict[str, np.ndarray]
    rewards: np.ndarray
    is_complete: bool


def train(
    episodes: Episodes,
    settings: RecurrentSettings,
    *,
    seed: int = 0,
    arrays: Mapping[str, np.ndarray] | None = None,
    state: Path | None = None,
    max_s: float = math.inf,
    show_progress: bool | None = None,
    name: str = "training",
) -> Trained:
    """Return a network that was trained on episodes.

    Each update has its own random stream, so a resumed training gives the same result as one without a
    break. One thread is used, as the matrices are small.

    Parameters
    ----------
    episodes : Episodes
        Source of the episodes.
    settings : RecurrentSettings
        Number of updates, learning rates and so on.
    seed : int
        Seed of weights, episodes and actions.
    arrays : mapping of str to ndarray, optional
        Initial weights; random by default.
    state : Path, optional
        A .npz file that is written every few seconds; if it exists, the training is resumed from it.
    max_s : float
        Seconds after which no update starts.
    show_progress : bool or None
        None shows a bar only on a terminal.
    name : str
        Label of the bar.

    Raises
    ------
    ValueError
        If the file is of a training with other settings, or its weights are of another shape.
    """
    begun_s = saved_s = time.monotonic()
    first = initial_arrays(episodes.shape, np.random.default_rng(child_seed(seed, "weights")))
    learner = _Learner(first if arrays is None else arrays, settings)
    settings_json = json.dumps({"seed": seed, **asdict(settings)}, sort_keys=True)
    if state is not None and state.exists():
        learner.read(state, settings_json)
    episodes.shape.check(learner.arrays())
    with CountBar(show_progress, settings.n_updates - len(learner.rewards), name) as bar, torch_threads(1):
        while len(learner.rewards) < settings.n_updates and time.monotonic() - begun_s < max_s:
            update = len(learner.rewards)
            rng = np.random.default_rng(child_seed(seed, "update", update))
            if update < settings.n_imitation:
                reward = _imitate(episodes, learner, update, rng)
            else:
                reward = _reinforce(episodes, learner, update, rng)
            learner.rewards.append(reward)
            bar.advance()
            if state is not None and time.monotonic() - saved_s > _SAVE_EVERY_S:
                learner.write(state, settings_json)
                saved_s = time.monotonic()
    if state is not None:
        learner.write(state, settings_json)
    return Trained(learner.arrays(), np.array(learner.rewards), len(learner.rewards) == settings.n_updates)


# ------------------------------------------------------------------------------------------- the two kinds of update


def _imitate(episodes: Episodes, learner: _Learner, update: int, rng: np.random.Generator) -> float:
    """Make one step of imitation; return the mean total reward of the episodes."""
    settings, weights = learner.settings, learner.weights
    n = settings.n_episodes
    known, seen = episodes.reset(n, rng)
    hidden, done = start(torch, weights, torch.from_numpy(known)), np.zeros(n, dtype=bool)
    losses, values, rewards, active = [], [], [], []
    while not done.all():
        hidden, logits, value = _look(weights, hidden, seen)
        worth = torch.from_numpy(episodes.worth().astype(np.float32))
        has_best = worth.amax(1) > 0
        # Where no action has any worth, all are worth the same.
        expected = torch.log_softmax(logits, 1) + torch.log(torch.where(has_best[:, None], worth, 1.0))
        losses.append(-torch.logsumexp(expected, 1))
        values.append(value)
        active.append(~done)
        seen, reward, done = episodes.step(draw(logits.detach().numpy(), rng))
        rewards.append(np.where(active[-1], reward, 0.0))
    is_active = torch.from_numpy(np.array(active, dtype=np.float32))
    returns = torch.from_numpy(_returns(np.array(rewards), settings.discount))
    error = (torch.stack(values) - returns) ** 2
    loss = torch.stack(losses) + settings.value * error
    learner.descend((loss * is_active).sum() / is_active.sum(), update, settings.imitation_rate)
    return float(np.sum(rewards) / n)


def _reinforce(episodes: Episodes, learner: _Learner, update: int, rng: np.random.Generator) -> float:
    """Make the steps of PPO on one batch of episodes; return their mean total reward."""
    settings = learner.settings
    batch = _collect(episodes, learner, rng)
    advantages, returns = batch.advantages(settings.discount, settings.trace)
    n_active = batch.active.sum()
    mean = advantages[batch.active].mean()
    deviation = advantages[batch.active].std()
    scaled = torch.from_numpy(((advantages - mean) / (deviation + 1e-8)).astype(np.float32))
    is_active = torch.from_numpy(batch.active.astype(np.float32))
    aim, old = torch.from_numpy(returns), torch.from_numpy(batch.log_probability)
    for _ in range(settings.n_passes):
        new, values, entropy = _recall(learner.weights, batch)
        ratio = torch.exp(new - old)
        kept = torch.clamp(ratio, 1 - settings.clip, 1 + settings.clip)
        gain = torch.minimum(ratio * scaled, kept * scaled) + settings.entropy * settings.falling(update) * entropy
        loss = settings.value * (values - aim) ** 2 - gain
        learner.descend((loss * is_active).sum() / float(n_active), update, settings.reinforcement_rate)
    return float(batch.rewards.sum() / settings.n_episodes_reinforcement)


@dataclass(frozen=True)
class _Batch:
    """Episodes played by the network; arrays are of shape (n_steps, n), zero once an episode is finished."""

    known: np.ndarray
    seen: Sequence[Observation]
    actions: np.ndarray
    log_probability: np.ndarray
    values: np.ndarray
    rewards: np.ndarray
    active: np.ndarray

    def advantages(self, discount: float, trace: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the advantage of each action, and the estimated return of its state."""
        # The value after the last step is 0.
        following = np.vstack([self.values[1:], np.zeros_like(self.values[:1])])
        surprise = self.rewards + discount * following - self.values
        advantages = _returns(surprise, discount * trace)
        return advantages, advantages + self.values


def _collect(episodes: Episodes, learner: _Learner, rng: np.random.Generator) -> _Batch:
    n = learner.settings.n_episodes_reinforcement
    known, observation = episodes.reset(n, rng)
    done = np.zeros(n, dtype=bool)
    seen, actions, log_probability, values, rewards, active = [], [], [], [], [], []
    with torch.no_grad():
        hidden = start(torch, learner.weights, torch.from_numpy(known))
        while not done.all():
            hidden, logits, value = _look(learner.weights, hidden, observation)
            action = draw(logits.numpy(), rng)
            chosen = torch.log_softmax(logits, 1).numpy()[np.arange(n), action]
            seen.append(observation)
            actions.append(action)
            active.append(~done)
            log_probability.append(np.where(done, 0.0, chosen))
            values.append(np.where(done, 0.0, value.numpy()))
            observation, reward, done = episodes.step(action)
            rewards.append(np.where(active[-1], reward, 0.0))
    return _Batch(
        known=known,
        seen=seen,
        actions=np.array(actions),
        log_probability=np.array(log_probability, dtype=np.float32),
        values=np.array(values, dtype=np.float32),
        rewards=np.array(rewards, dtype=np.float32),
        active=np.array(active),
    )


def _recall(weights: Mapping[str, torch.Tensor], batch: _Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return log-probabilities of a batch's actions, values and entropies under the current weights."""
    hidden = start(torch, weights, torch.from_numpy(batch.known))
    chosen, values, entropies = [], [], []
    for observation, action in zip(batch.seen, batch.actions, strict=True):
        hidden, logits, value = _look(weights, hidden, observation)
        logs = torch.log_softmax(logits, 1)
        chosen.append(logs.gather(1, torch.from_numpy(action)[:, None])[:, 0])
        entropies.append(-(logs.exp() * logs).sum(1))
        values.append(value)
    # Probabilities after the end of an episode are masked, or their ratio could overflow.
    is_active = torch.from_numpy(batch.active)
    return torch.stack(chosen) * is_active, torch.stack(values), torch.stack(entropies)


def _look(
    weights: Mapping[str, torch.Tensor], hidden: torch.Tensor, seen: Observation
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return hidden state, logits and value after an observation."""
    hidden = step(torch, weights, hidden, torch.from_numpy(seen.action), torch.from_numpy(seen.inputs))
    return hidden, *judge(torch, weights, hidden, torch.from_numpy(seen.options), torch.from_numpy(seen.mask))


def _returns(rewards: np.ndarray, discount: float) -> np.ndarray:
    """Return the discounted sums of rewards from each step on; steps are the first axis."""
    sums = np.zeros(rewards.shape, dtype=np.float32)
    following = np.zeros(rewards.shape[1])
    for index in reversed(range(len(rewards))):
        following = rewards[index] + discount * following
        sums[index] = following
    return sums


# ------------------------------------------------------------------------------------------- weights and optimiser


class _Learner:
    """Weights, optimiser and rewards so far; written and read without pickle."""

    def __init__(self, arrays: Mapping[str, np.ndarray], settings: RecurrentSettings) -> None:
        self.settings = settings
        self.weights = {
            name: torch.from_numpy(np.array(values, dtype=np.float32)).requires_grad_()
            for name, values in arrays.items()
        }
        self.rewards: list[float] = []
        self._adam = torch.optim.Adam(self.weights.values())

    def arrays(self) -> dict[str, np.ndarray]:
        return {name: weight.detach().numpy().copy() for name, weight in self.weights.items()}

    def descend(self, loss: torch.Tensor, update: int, rate: float) -> None:
        """Make one step of the optimiser."""
        for group in self._adam.param_groups:
            group["lr"] = rate * self.settings.falling(update)
        self._adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.weights.values(), 1.0)
        self._adam.step()

    def write(self, path: Path, settings: str) -> None:
        """Write the state of the training; a reader finds the old file or the new one."""
        arrays: dict[str, Any] = {"settings": np.array(settings), "rewards": np.array(self.rewards)}
        for name, weight in self.weights.items():
            arrays[f"weight {name}"] = weight.detach().numpy()
            for key, value in self._adam.state[weight].items():
                arrays[f"{key} {name}"] = value.numpy()
        with replaced(path) as stream:
            np.savez(stream, **arrays)

    def read(self, path: Path, settings: str) -> None:
        """Resume from a file.

        Raises
        ------
        ValueError
            If it is of a training with other settings.
        """
        with np.load(path, allow_pickle=False) as arrays:
            if str(arrays["settings"]) != settings:
                raise ValueError(
                    f"{path} is the state of a training with the settings {arrays['settings']}, but these are "
                    f"{settings}. Delete the file, or name another one."
                )
            self.rewards = arrays["rewards"].tolist()
            for name in self.weights:
                weight = torch.from_numpy(arrays[f"weight {name}"]).requires_grad_()
                self.weights[name] = weight
            self._adam = torch.optim.Adam(self.weights.values())
            for name, weight in self.weights.items():
                kept = {key: f"{key} {name}" for key in ("step", "exp_avg", "exp_avg_sq")}
                self._adam.state[weight] = {
                    key: torch.from_numpy(arrays[index]) for key, index in kept.items() if index in arrays
                }
