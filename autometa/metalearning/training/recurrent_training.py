r"""Training of a recurrent network: first it imitates an oracle, then it follows the gradient of its rewards.

Imitation is online: the episodes are the network's own, and the oracle says at each step what every action would
have been worth, so that the network learns what to do where it gets to itself (DAgger; Ross, Gordon and Bagnell
2011). As the worth is averaged over episodes that look alike to the network, it learns what is good in most of
them, although its oracle knows each. What follows is proximal policy optimisation (PPO; Schulman et al. 2017) over
whole episodes with generalised advantage estimation (Schulman et al. 2016).

=========== ==========================================================================
worth       :math:`w_j \in [0, 1]` of each action to the oracle; imitation raises
            :math:`\log \sum_j p_j w_j` of the network's probabilities
update      one batch of new episodes and the steps of the optimiser on it
return      :math:`\sum_t \gamma^t r_t` from a moment on
advantage   by how much an action did better than the network's value of the state
=========== ==========================================================================
"""

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

# Between two writes of the state, so that an interrupted training loses little.
_SAVE_EVERY_S = 10.0


@dataclass(frozen=True)
class TrainingSettings:
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
        Step sizes of Adam at the start of each phase; they fall linearly to a tenth.
    discount : float
        :math:`\gamma`.
    trace : float
        :math:`\lambda` of the advantages.
    clip : float
        :math:`\epsilon`: how far probabilities may move in one update.
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
    """A network, and how its training went.

    Parameters
    ----------
    arrays : dict of str to ndarray
        Its weights.
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
    settings: TrainingSettings,
    *,
    seed: int = 0,
    arrays: Mapping[str, np.ndarray] | None = None,
    state: Path | None = None,
    max_s: float = math.inf,
    show_progress: bool | None = None,
    name: str = "training",
) -> Trained:
    """Return a network that was trained on episodes.

    Each update draws from a stream of its own, so a training that was interrupted and goes on gives what
    it would have given without a break. One thread is used: the matrices are small.

    Parameters
    ----------
    episodes : Episodes
        What it learns from.
    settings : TrainingSettings
        How.
    seed : int
        Seed of weights, episodes and actions.
    arrays : mapping of str to ndarray, optional
        Weights to begin with; drawn by default.
    state : Path, optional
        A .npz file from which the training goes on if it exists, and which is written every few seconds.
    max_s : float
        Seconds after which no update is begun.
    show_progress : bool or None
        None shows a bar only on a terminal.
    name : str
        What stands before the bar.

    Raises
    ------
    ValueError
        If the file is of a training with other settings, or its weights are of another shape.
    """
    begun_s = saved_s = time.monotonic()
    first = initial_arrays(episodes.shape, np.random.default_rng(child_seed(seed, "weights")))
    learner = _Learner(first if arrays is None else arrays, settings)
    told = json.dumps({"seed": seed, **asdict(settings)}, sort_keys=True)
    if state is not None and state.exists():
        learner.read(state, told)
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
                learner.write(state, told)
                saved_s = time.monotonic()
    if state is not None:
        learner.write(state, told)
    return Trained(learner.arrays(), np.array(learner.rewards), len(learner.rewards) == settings.n_updates)


# ------------------------------------------------------------------------------------------- the two kinds of update


def _imitate(episodes: Episodes, learner: _Learner, update: int, rng: np.random.Generator) -> float:
    """Make one step towards what is worth most to the oracle; return the mean total reward of the episodes."""
    settings, weights = learner.settings, learner.weights
    n = settings.n_episodes
    known, seen = episodes.reset(n, rng)
    hidden, done = start(torch, weights, torch.from_numpy(known)), np.zeros(n, dtype=bool)
    losses, values, rewards, active = [], [], [], []
    while not done.all():
        hidden, logits, value = _look(weights, hidden, seen)
        worth = torch.from_numpy(episodes.worth().astype(np.float32))
        has_best = worth.amax(1) > 0
        # Where the oracle has nothing to say, all is worth the same.
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
    """Episodes that the network played; arrays are of shape (n_steps, n), zero once an episode is done."""

    known: np.ndarray
    seen: Sequence[Observation]
    actions: np.ndarray
    log_probability: np.ndarray
    values: np.ndarray
    rewards: np.ndarray
    active: np.ndarray

    def advantages(self, discount: float, trace: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the advantage of each action and the return that its state is estimated to have."""
        # What comes after the last step has no value.
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
    """Return log-probabilities of a batch's actions, values and entropies under the weights as they are now."""
    hidden = start(torch, weights, torch.from_numpy(batch.known))
    chosen, values, entropies = [], [], []
    for observation, action in zip(batch.seen, batch.actions, strict=True):
        hidden, logits, value = _look(weights, hidden, observation)
        logs = torch.log_softmax(logits, 1)
        chosen.append(logs.gather(1, torch.from_numpy(action)[:, None])[:, 0])
        entropies.append(-(logs.exp() * logs).sum(1))
        values.append(value)
    # Once an episode is done its probabilities must not move, or their ratio could overflow.
    is_active = torch.from_numpy(batch.active)
    return torch.stack(chosen) * is_active, torch.stack(values), torch.stack(entropies)


def _look(
    weights: Mapping[str, torch.Tensor], hidden: torch.Tensor, seen: Observation
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return hidden state, logits and value after an observation."""
    hidden = step(torch, weights, hidden, torch.from_numpy(seen.action), torch.from_numpy(seen.inputs))
    return hidden, *judge(torch, weights, hidden, torch.from_numpy(seen.options), torch.from_numpy(seen.mask))


def _returns(rewards: np.ndarray, discount: float) -> np.ndarray:
    """Return discounted sums of what comes from each step on; steps are the first axis."""
    sums = np.zeros(rewards.shape, dtype=np.float32)
    following = np.zeros(rewards.shape[1])
    for place in reversed(range(len(rewards))):
        following = rewards[place] + discount * following
        sums[place] = following
    return sums


# ------------------------------------------------------------------------------------------- weights and optimiser


class _Learner:
    """Weights, Adam, and the rewards so far; can be written and read without pickle."""

    def __init__(self, arrays: Mapping[str, np.ndarray], settings: TrainingSettings) -> None:
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
        """Write everything that a training goes on from; a reader finds the old file or the new one."""
        arrays: dict[str, Any] = {"settings": np.array(settings), "rewards": np.array(self.rewards)}
        for name, weight in self.weights.items():
            arrays[f"weight {name}"] = weight.detach().numpy()
            for key, value in self._adam.state[weight].items():
                arrays[f"{key} {name}"] = value.numpy()
        with replaced(path) as stream:
            np.savez(stream, **arrays)

    def read(self, path: Path, settings: str) -> None:
        """Go on from a file.

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
                    key: torch.from_numpy(arrays[place]) for key, place in kept.items() if place in arrays
                }
