"""Train the recurrent policy on simulated searches on past tasks.

An episode simulates the search of `replay`: an evaluation ends when its time is up, and one that takes too large a
fraction of the search is cut off. For more variety from few past tasks, an episode may be on a mixture of two tasks
of a problem, on a machine of another speed, and with some of the strategies only.

============ ======================================================================
fall         reduction of the normalised regret by a trial; the regret starts at 1
reward       the fall, times a weight from 1 at the start of a search to 1/2 at its end
oracle       knows all losses and seconds; the worth of an action grows with its fall per second
============ ======================================================================
"""

# Tests: tests/policy/recurrent/test_policy.py

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autometa._support.seeds import child_seed
from autometa.metalearning.replay.replay import metric_of
from autometa.metalearning.training.recurrent_episodes import Observation
from autometa.policy.cost_model import seconds_model
from autometa.policy.past_tasks import PastTasks
from autometa.policy.recurrent.inputs import (
    LEAST_S,
    LossScale,
    corrected,
    feature_scale,
    options,
    shape_for,
    start_features,
    step_inputs,
)
from autometa.policy.recurrent.network import EMBEDDING, initial_arrays

if TYPE_CHECKING:
    from autometa.metalearning.training.recurrent_training import RecurrentSettings, Trained

_SHARPNESS = 4
"""The worth to the oracle is this power of the relative fall: half the fall is worth a sixteenth."""

# Fractions of the budget that the search allows one evaluation, before and after the first result; at least a second.
_SHARE_OF_FIRST_TRIAL, _SHARE_OF_ONE_TRIAL = 0.2, 0.4


@dataclass(frozen=True)
class EpisodeSettings:
    """Distribution of the searches that a network is trained on.

    Parameters
    ----------
    budgets_s : (float, float)
        Seconds of a search with a time limit, drawn log-uniformly.
    counts : (int, int)
        Most trials of a search, drawn log-uniformly.
    share_limited : float
        Fraction of the searches with a time limit.
    share_mixed : float
        Fraction of the episodes on mixtures of two tasks.
    share_restricted : float
        Fraction of the episodes with some strategies only.
    speed : float
        Standard deviation of the logarithm of the speed of the machine.
    """

    budgets_s: tuple[float, float] = (1.0, 600.0)
    counts: tuple[int, int] = (3, 40)
    share_limited: float = 0.5
    share_mixed: float = 0.5
    share_restricted: float = 0.3
    speed: float = 0.5

    def __post_init__(self) -> None:
        for name, (low, high) in {"budgets_s": self.budgets_s, "counts": self.counts}.items():
            if not 0 < low <= high:
                raise ValueError(f"{name} must be two positive numbers, the smaller one first, got {(low, high)}.")


class TuningEpisodes:
    """Simulated searches on past tasks, with losses in the first recorded metric.

    Parameters
    ----------
    past : PastTasks
        Past tasks; those without a loss are skipped.
    settings : EpisodeSettings, optional
        Distribution of the searches.

    Attributes
    ----------
    tasks : ndarray of shape (n,)
        Index of the task of each search, among those with a loss.
    budget_s, counts : ndarray of shape (n,)
        Limits of each search: seconds (inf without a time limit) and trials.

    Raises
    ------
    ValueError
        If no past task has a loss.
    """

    def __init__(self, past: PastTasks, settings: EpisodeSettings | None = None) -> None:
        self.settings = settings or EpisodeSettings()
        self.shape = shape_for(past)
        self._records = _Records.of(past)
        _, self._strategy = np.unique(past.strategies, return_inverse=True)
        self.tasks: np.ndarray = np.empty(0, dtype=np.int64)
        self.budget_s: np.ndarray = np.empty(0)
        self.counts: np.ndarray = np.empty(0)

    # ------------------------------------------------------------------------------------- the protocol

    def reset(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, Observation]:
        """Start searches on tasks drawn at random, with budgets drawn at random."""
        settings, records = self.settings, self._records
        self.tasks = task = rng.integers(len(records.values), size=n)
        other, share = records.partners(task, rng), rng.uniform(0.5, 1.0, size=n)
        share = np.where(rng.uniform(size=n) < settings.share_mixed, share, 1.0)[:, None]
        self._values = share * records.values[task] + (1 - share) * records.values[other]
        self._mask = self._allowed(records.is_recorded[task], rng)
        losses = np.where(records.has_loss[task] & self._mask, records.losses(self._values, task), np.nan)
        self._values[np.isnan(losses)] = np.nan
        self._regrets = _regrets(losses)
        self._expected = records.expected[task]

        self._log_s = records.log_s[task] + settings.speed * rng.standard_normal((n, 1))
        self._expected_log_s, self._deviation = records.expected_log_s[task], records.deviation[task]
        is_limited = (rng.uniform(size=n) < settings.share_limited) & records.is_timed[task]
        self.budget_s = np.where(is_limited, _log_uniform(*settings.budgets_s, n, rng), math.inf)
        self.counts = np.round(_log_uniform(*settings.counts, n, rng))

        self._left_s, self._n_tried = self.budget_s.copy(), np.zeros(n)
        self._first, self._best = np.full(n, np.nan), np.full(n, np.nan)
        self._current, self._done = np.ones(n), np.zeros(n, dtype=bool)
        self._gaps = np.zeros(n)
        nothing = np.full(n, np.nan)
        known = share * records.start[task] + (1 - share) * records.start[other]
        return known.astype(np.float32), self._observe(np.full(n, -1), nothing, nothing, nothing, nothing)

    def step(self, action: np.ndarray) -> tuple[Observation, np.ndarray, np.ndarray]:
        """Try a configuration in each search."""
        rows, active = np.arange(len(action)), ~self._done
        seconds, limit_s = np.exp(self._log_s[rows, action]), self._limit_s()
        in_time = seconds < limit_s
        took_s = np.maximum(np.minimum(seconds, limit_s), LEAST_S)
        value = np.where(in_time, self._values[rows, action], np.nan)
        regret = np.where(in_time, self._regrets[rows, action], 1.0)
        first, best = self._first, self._best

        self._left_s = np.where(active, self._left_s - took_s, self._left_s)
        self._n_tried += active
        self._gaps += np.where(active, np.log(took_s) - self._expected_log_s[rows, action], 0.0)
        current = np.where(active, np.minimum(self._current, regret), self._current)
        share_left = np.clip(np.minimum(self._share_left(), 1 - self._n_tried / self.counts), 0.0, 1.0)
        reward = (self._current - current) * (1 + share_left) / 2
        self._current = current
        self._first = np.where(active & np.isnan(first), value, first)
        self._best = np.where(active, np.fmin(best, value), best)
        self._mask = self._mask.copy()
        self._mask[rows[active], action[active]] = False
        self._done = (
            (self._n_tried >= self.counts) | (self._left_s <= 0) | (current <= 0) | ~self._mask.any(axis=1) | ~active
        )
        return self._observe(action, value, first, best, took_s), reward, self._done

    def worth(self) -> np.ndarray:
        """Return powers of the relative falls of configurations, per second where time is limited."""
        fall = np.where(self._mask, np.maximum(self._current[:, None] - self._regrets, 0.0), 0.0)
        is_limited = np.isfinite(self.budget_s)[:, None]
        seconds = np.exp(self._log_s)
        fall = np.where(is_limited, np.where(seconds < self._limit_s()[:, None], fall / seconds, 0.0), fall)
        largest = fall.max(axis=1, keepdims=True)
        return (fall / np.where(largest > 0, largest, 1.0)) ** _SHARPNESS

    # ------------------------------------------------------------------------------------- parts

    def _observe(
        self, action: np.ndarray, value: np.ndarray, first: np.ndarray, best: np.ndarray, took_s: np.ndarray
    ) -> Observation:
        rows = np.arange(len(action))
        before = action < 0
        inputs = step_inputs(
            value=value,
            expected=np.where(before, np.nan, self._expected[rows, action]),
            first=first,
            best=best,
            log_s=np.log(took_s),
            expected_log_s=np.where(before, np.nan, self._expected_log_s[rows, action]),
            left_s=np.maximum(self._left_s, 0.0),
            share_left=self._share_left(),
            n_tried=self._n_tried,
        )
        log_s = corrected(self._expected_log_s, self._gaps, self._n_tried)
        return Observation(action, inputs, options(log_s, self._deviation, self._left_s), self._mask)

    def _share_left(self) -> np.ndarray:
        """Return the fraction of the time that is left; 1 without a time limit."""
        is_limited = np.isfinite(self.budget_s)
        return np.where(is_limited, np.maximum(self._left_s, 0.0), 1.0) / np.where(is_limited, self.budget_s, 1.0)

    def _limit_s(self) -> np.ndarray:
        """Return the seconds that the next evaluation may take."""
        share = np.where(np.isnan(self._best), _SHARE_OF_FIRST_TRIAL, _SHARE_OF_ONE_TRIAL)
        return np.minimum(self._left_s, np.maximum(share * self.budget_s, 1.0))

    def _allowed(self, is_recorded: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return a mask of the actions: recorded configurations, in some searches of some strategies only."""
        n, n_strategies = len(is_recorded), int(self._strategy.max()) + 1
        restricted = rng.uniform(size=(n, 1)) < self.settings.share_restricted
        kept = (rng.uniform(size=(n, n_strategies)) < 0.7)[:, self._strategy] & is_recorded
        return np.where(restricted & kept.any(axis=1, keepdims=True), kept, is_recorded)


@dataclass(frozen=True)
class _Records:
    """Records that episodes look up; rows are past tasks.

    Parameters
    ----------
    scales : tuple of LossScale
        Scales, one for each problem and metric.
    scale_of : ndarray of shape (n_tasks,)
        Index of each task's scale.
    values, expected : ndarray of shape (n_tasks, n_configurations)
        Values on the task's scale (gaps are filled), and expected values.
    has_loss, is_recorded : ndarray of shape (n_tasks, n_configurations), bool
        Whether a loss was recorded; whether a loss or a failure was recorded.
    log_s, expected_log_s, deviation : ndarray of shape (n_tasks, n_configurations)
        Logarithms of recorded seconds, their expectation by the size of the task, and its standard deviation.
    is_timed : ndarray of shape (n_tasks,), bool
        Whether seconds were recorded.
    start : ndarray of shape (n_tasks, n_start)
        Inputs known before a search.
    """

    scales: tuple[LossScale, ...]
    scale_of: np.ndarray
    values: np.ndarray
    expected: np.ndarray
    has_loss: np.ndarray
    is_recorded: np.ndarray
    log_s: np.ndarray
    expected_log_s: np.ndarray
    deviation: np.ndarray
    is_timed: np.ndarray
    start: np.ndarray

    @classmethod
    def of(cls, past: PastTasks) -> _Records:
        arrays = feature_scale(past.features)
        has_any = np.any([np.isfinite(losses).any(axis=1) for losses in past.losses.values()], axis=0)
        if not has_any.any():
            raise ValueError("No past task has a loss, so there is nothing to train on. Give results that ended well.")
        past = past.select(np.flatnonzero(has_any))
        tasks = range(len(past.tasks))
        kinds = [(past.problems[task], metric_of(past, task)) for task in tasks]
        scales = {kind: LossScale.learn(past, *kind) for kind in dict.fromkeys(kinds)}
        indices = {kind: index for index, kind in enumerate(scales)}
        losses = np.array([past.losses[metric][task] for task, (_, metric) in enumerate(kinds)])
        usable = np.array([scales[kind].usable for kind in kinds])
        costs = seconds_model(past)
        medians, deviations = zip(*(costs.predict(past.sizes[task], {}) for task in tasks), strict=True)
        is_timed = np.isfinite(past.seconds).any(axis=1)
        middle = [np.nanmedian(past.seconds[task]) if is_timed[task] else 1.0 for task in tasks]
        seconds = np.where(np.isnan(past.seconds), np.array(middle)[:, None], past.seconds)
        return cls(
            scales=tuple(scales.values()),
            scale_of=np.array([indices[kind] for kind in kinds]),
            values=np.array([scales[kind].values[task] for task, kind in enumerate(kinds)]),
            expected=np.array([scales[kind].expected for kind in kinds]),
            has_loss=np.isfinite(losses) & usable,
            is_recorded=(np.isfinite(losses) | past.failed) & usable,
            log_s=np.log(np.maximum(seconds, LEAST_S)),
            expected_log_s=np.log(medians),
            deviation=np.array(deviations),
            is_timed=is_timed,
            start=np.array([start_features(past.features[t], past.problems[t], arrays) for t in tasks]),
        )

    def losses(self, values: np.ndarray, tasks: np.ndarray) -> np.ndarray:
        """Return the losses whose values on the scales of some tasks are given."""
        losses = np.empty_like(values)
        for index, scale in enumerate(self.scales):
            mask = self.scale_of[tasks] == index
            losses[mask] = scale.to_losses(values[mask])
        return losses

    def partners(self, tasks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return for each task a random one on the same scale."""
        same = self.scale_of[tasks][:, None] == self.scale_of
        return np.argmax(same * rng.uniform(0.5, 1.0, size=same.shape), axis=1)


def train_recurrent(
    past: PastTasks,
    settings: RecurrentSettings,
    *,
    seed: int = 0,
    state: Path | None = None,
    max_s: float = math.inf,
    show_progress: bool | None = None,
) -> Trained:
    """Return the weights of a recurrent policy for the configurations of `past`, trained on its tasks.

    The embeddings of configurations start from the first principal components of their values on past
    tasks, their biases from the frequencies with which the oracle chooses them first.

    Parameters
    ----------
    past : PastTasks
        Training tasks, without those that the policy is assessed on.
    settings : RecurrentSettings
        Settings of the training.
    seed, state, max_s, show_progress
        As in `recurrent_training.train`.
    """
    # torch takes seconds to import, and a trained policy does not need it.
    from autometa.metalearning.training.recurrent_training import train

    episodes = TuningEpisodes(past)
    trained = train(
        episodes,
        settings,
        seed=seed,
        arrays=_initial(episodes, seed),
        state=state,
        max_s=max_s,
        show_progress=show_progress,
        name="recurrent policy",
    )
    kept = {name: values.astype(np.float32) for name, values in feature_scale(past.features).items()}
    return replace(trained, arrays={**trained.arrays, **kept})


def _initial(episodes: TuningEpisodes, seed: int) -> dict[str, np.ndarray]:
    records = episodes._records
    arrays = initial_arrays(episodes.shape, np.random.default_rng(child_seed(seed, "weights")))
    _, sizes, components = np.linalg.svd(records.values - records.expected, full_matrices=False)
    n = min(EMBEDDING, int((sizes > 1e-6 * max(sizes[0], 1e-6)).sum()))
    weights = 0.5 * math.sqrt(components.shape[1]) * np.sqrt(sizes[:n] / max(sizes[0], 1e-6))
    arrays["embedding"][:, :n] = (components[:n] * weights[:, None]).T
    losses = records.losses(records.values, np.arange(len(records.values)))
    best = (1 - np.nan_to_num(_regrets(np.where(records.has_loss, losses, np.nan)), nan=1.0)) ** _SHARPNESS
    chosen = best / np.maximum(best.sum(axis=1, keepdims=True), 1e-12)
    arrays["bias"] = np.log(chosen.mean(axis=0) + 1e-3 / len(arrays["bias"])).astype(np.float32)
    # Initially the logit falls with the logarithm of the seconds, and with that of the probability to be late.
    arrays["option_bias"] = np.array([-1.0, 1.0], dtype=np.float32)
    return arrays


def _regrets(losses: np.ndarray) -> np.ndarray:
    """Return normalised regrets within each row: 1 without a loss, 0 where all losses are equal."""
    low = np.min(losses, axis=1, keepdims=True, where=~np.isnan(losses), initial=math.inf)
    high = np.max(losses, axis=1, keepdims=True, where=~np.isnan(losses), initial=-math.inf)
    return np.nan_to_num((losses - low) / np.where(high > low, high - low, 1.0), nan=1.0)


def _log_uniform(low: float, high: float, n: int, rng: np.random.Generator) -> np.ndarray:
    return np.exp(rng.uniform(math.log(low), math.log(high), size=n))
