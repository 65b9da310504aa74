r"""Policies that try what promises the largest fall of regret, per second where time is short.

All of them weigh scenarios (`scenarios`) and differ in what these are and how they are weighted.

================ =====================================================================
regret           :math:`R_{sj}`, of configuration j in scenario s
current regret   :math:`c_s`, of the best that was tried
gain             :math:`\sum_s w_s \max(c_s - R_{sj}, 0)`, by which trying j is expected to
                 lower the regret
score            gain, times the probability that it ends in time, per second
================ =====================================================================

Trying them in the order of their gains alone is the greedy portfolio (Feurer et al. 2022).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from autometa.core.evaluation import Evaluation
from autometa.core.proposal import Prediction, Proposal
from autometa.core.space import Configuration
from autometa.core.strategy import Strategy
from autometa.core.task import TaskDescription
from autometa.policy.costs import CostModel, memory_model, seconds_model, share_of_time, size_of
from autometa.policy.history import Seen, read_history
from autometa.policy.past import TRAIN_SHARE, PastTasks
from autometa.policy.prior import PriorPolicy
from autometa.policy.scenarios import LossModel, Scenarios, has_records
from autometa.policy.similarity import Similarity

# Breaks ties once no scenario promises a gain: the best on average comes first.
_TIE = 1e-6
# A configuration is promising when it is at most this much worse than the best so far: its
# neighbours may be better.
_MARGIN = 0.05
_N_EVIDENCE = 5
_INTERVAL = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class GainSettings:
    """How a policy weighs scenarios.

    Parameters
    ----------
    uses_features : bool
        Whether past tasks that resemble the new one by their meta-features weigh more.
    uses_losses : bool
        Whether losses seen on the new task change the weights.
    corrects : bool
        Whether scenarios are corrected to agree with the losses seen.
    uses_seconds : bool
        Whether gains are taken per second when time is limited.
    temperature, temperature_in_time : float
        Of the weights by losses, without and with a limit of time: small ones trust the most
        likely scenarios alone. Under a limit the first tries are the cheap ones, which tell
        less about the task.
    overhead_s : float
        Seconds that a trial takes besides its fits, counted in its price.
    exploration : float
        Share of the trials, in [0, 1), left to the study's sampler, beyond recorded
        configurations, once `n_first` have a loss.
    n_first : int
        Recorded configurations that come before that.
    n_proposed : int
        Configurations in a proposal; the search takes the first that fits into its time.
    """

    uses_features: bool = True
    uses_losses: bool = True
    corrects: bool = True
    uses_seconds: bool = True
    temperature: float = 0.1
    temperature_in_time: float = 0.3
    overhead_s: float = 0.0
    exploration: float = 0.0
    n_first: int = 12
    n_proposed: int = 20

    def __post_init__(self) -> None:
        for name in ("temperature", "temperature_in_time"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}.")
        if not 0 <= self.exploration < 1:
            raise ValueError(f"exploration must be in [0, 1), got {self.exploration}.")


@dataclass(frozen=True)
class Outlook:
    """What a policy expects at one moment of a search.

    Parameters
    ----------
    scenarios : Scenarios
        What the task may be like.
    gain : ndarray of shape (n_configurations,)
        Expected fall of the regret; 0 for what was tried or cannot be tried.
    score : ndarray of shape (n_configurations,)
        Gain per second in time, or gain.
    promise : ndarray of shape (n_configurations,)
        Like the score, also of what was tried, and with a margin: what configurations near
        this one may still bring. Above 0 where a configuration is usable.
    seconds, seconds_deviation : ndarray of shape (n_configurations,)
        Median seconds of a fit, and standard deviation of their logarithm.
    """

    scenarios: Scenarios
    gain: np.ndarray
    score: np.ndarray
    promise: np.ndarray
    seconds: np.ndarray
    seconds_deviation: np.ndarray


@dataclass
class GainPolicy:
    """Tries the configuration with the best score.

    Parameters
    ----------
    past : PastTasks
        Past tasks.
    strategies : sequence of Strategy, optional
        What may be proposed; all that was recorded by default. Those that were not recorded
        get their share by exploration.
    settings : GainSettings
        How scenarios are weighed.
    similarity : Similarity, optional
        By meta-features; equal weights by default.
    """

    past: PastTasks
    strategies: Sequence[Strategy] | None = None
    settings: GainSettings = field(default_factory=GainSettings)
    similarity: Similarity | None = None

    def __post_init__(self) -> None:
        self._similarity = self.similarity or Similarity(self.past.feature_names, self.past.features)
        self._seconds: CostModel = seconds_model(self.past)
        self._memory: CostModel | None = None
        self._models: dict[tuple[str, str], LossModel] = {}
        recorded = set(self.past.strategies)
        names = recorded if self.strategies is None else {strategy.name for strategy in self.strategies}
        self._may = np.isin(self.past.strategies, list(names))
        self.unknown = [s for s in self.strategies or () if s.name not in recorded]

    # ------------------------------------------------------------------------------------- the protocol

    def propose(self, description: TaskDescription, history: Sequence[Evaluation], remaining_s: float) -> Proposal:
        """Return the configurations with the best scores, and the softmax over strategies."""
        if not has_records(self.past, description.problem) or not self._may.any():
            # What was written by hand is better than nothing.
            return PriorPolicy(self.strategies or ()).propose(description, history, remaining_s)
        seen = read_history(history, self.past.position, description.loss_unit)
        outlook = self.outlook(description, seen, remaining_s)
        order = [int(place) for place in np.argsort(-outlook.score, kind="stable") if outlook.score[place] > 0]
        configurations = [self.past.configurations[place] for place in order[: self.settings.n_proposed]]
        if self._explores(seen):
            configurations = []
        if unknown := self._next_unknown(history, len(seen.tried)):
            configurations.insert(0, unknown)
        return Proposal(
            self._probabilities(outlook),
            tuple(configurations),
            evidence=self._evidence(outlook.scenarios),
        )

    def outlook(self, description: TaskDescription, seen: Seen, remaining_s: float) -> Outlook:
        """Return what is expected of every configuration, given what was seen."""
        model = self._model(description)
        has_time_limit = math.isfinite(remaining_s)
        scenarios = self._scenarios(model, description, seen, has_time_limit)
        regret = scenarios.regret()
        current = self._current(scenarios, regret, seen)
        gain = scenarios.weights @ np.maximum(current[:, None] - regret, 0.0)
        gain += _TIE * (1.0 - scenarios.weights @ regret)
        possible = self._may & model.usable
        possible[list(seen.tried)] = False
        gain = np.where(possible, gain, 0.0)
        size = size_of(description, TRAIN_SHARE)
        seconds, deviation = self._seconds.predict(size, seen.seconds)
        promise = scenarios.weights @ np.maximum(current[:, None] + _MARGIN - regret, 0.0) + _TIE
        price = np.ones_like(seconds)
        if self.settings.uses_seconds and has_time_limit:
            in_time = share_of_time(seconds, deviation, remaining_s)
            price = (seconds + self.settings.overhead_s) / np.maximum(in_time, _TIE)
        promise = np.where(model.usable, promise / price, 0.0)
        return Outlook(scenarios, gain, gain / price, promise, seconds, deviation)

    def _scenarios(self, model: LossModel, description: TaskDescription, seen: Seen, has_time_limit: bool) -> Scenarios:
        log_prior = np.zeros(len(self.past.tasks))
        if self.settings.uses_features:
            # By size, where nothing else was computed.
            by_size = {"log_rows": math.log(description.n_rows), "log_columns": math.log(description.n_columns)}
            log_prior = self._similarity.log_similarity({**by_size, **description.features})
        # Another kind of problem is another world: its tasks count where no other resembles more.
        same = np.array([problem == description.problem for problem in self.past.problems])
        log_prior = log_prior - 2.0 * ~same
        losses = seen.losses if self.settings.uses_losses and description.metric in ("auto", model.metric) else {}
        temperature = self.settings.temperature_in_time if has_time_limit else self.settings.temperature
        return model.scenarios(log_prior, losses, correct=self.settings.corrects, temperature=temperature)

    def _current(self, scenarios: Scenarios, regret: np.ndarray, seen: Seen) -> np.ndarray:
        """Return the regret of the best that was tried, in each scenario."""
        current = np.ones(len(regret))
        shown = list(seen.running)
        if self.settings.corrects and self.settings.uses_losses and math.isfinite(seen.best):
            low = scenarios.losses.min(axis=1)
            current = np.clip((seen.best - low) / scenarios.span()[:, 0], 0.0, 1.0)
        else:
            # Scenarios that stay as they were are judged by what was tried, not by what it gave.
            shown += list(seen.losses)
        return np.minimum(current, regret[:, shown].min(axis=1)) if shown else current

    # ------------------------------------------------------------------------------------- predictions

    def explain(
        self, description: TaskDescription, history: Sequence[Evaluation], remaining_s: float
    ) -> dict[Configuration, Prediction]:
        """Return what is expected of each configuration that can be proposed."""
        if not has_records(self.past, description.problem) or not self._may.any():
            return {}
        seen = read_history(history, self.past.position, description.loss_unit)
        outlook = self.outlook(description, seen, remaining_s)
        if self._memory is None:
            self._memory = memory_model(self.past)
        memory, _ = self._memory.predict(size_of(description, TRAIN_SHARE), {})
        scenarios = outlook.scenarios
        default = self._default(description)
        # As good as the default counts half, so that the default itself is sure of nothing.
        difference = scenarios.losses - scenarios.losses[:, [default]]
        beats = scenarios.weights @ ((difference < 0) + 0.5 * (difference == 0))
        comparable = description.metric in ("auto", self._model(description).metric)
        unit = description.loss_unit if comparable else math.nan
        found = {}
        for place in np.flatnonzero(outlook.gain > 0):
            low, median, high = _quantiles(scenarios.losses[:, place], scenarios.weights) * unit
            found[self.past.configurations[place]] = Prediction(
                float(median),
                float(low),
                float(high),
                float(outlook.seconds[place]),
                float(memory[place]),
                float(beats[place]),
            )
        return found

    def _default(self, description: TaskDescription) -> int:
        """Return the default configuration that is best on average on past tasks of the problem."""
        first: dict[str, int] = {}
        usable = self._model(description).usable & self._may
        for place, strategy in enumerate(self.past.strategies):
            if usable[place]:
                first.setdefault(str(strategy), place)
        same = np.array([problem == description.problem for problem in self.past.problems])
        losses = self._model(description).prior()[same]
        span = np.maximum(np.ptp(losses, axis=1, keepdims=True), 1e-12)
        regret = ((losses - losses.min(axis=1, keepdims=True)) / span).mean(axis=0)
        return min(first.values(), key=lambda place: regret[place])

    # ------------------------------------------------------------------------------------- parts

    def _model(self, description: TaskDescription) -> LossModel:
        key = (description.problem, description.metric)
        if key not in self._models:
            self._models[key] = LossModel(self.past, *key)
        return self._models[key]

    def _explores(self, seen: Seen) -> bool:
        """Whether this trial is left to the study's sampler: every so often, and evenly."""
        n, share = len(seen.losses) - self.settings.n_first, self.settings.exploration
        return n >= 0 and math.floor((n + 1) * share) > math.floor(n * share)

    def _next_unknown(self, history: Sequence[Evaluation], n_tried: int) -> Configuration | None:
        """Return a configuration of a strategy without records: one in five, while its portfolio lasts."""
        if n_tried % 5 != 4:
            return None
        tried = {evaluation.configuration for evaluation in history}
        left = (c for strategy in self.unknown for c in strategy.portfolio if c not in tried)
        return next(left, None)

    def _probabilities(self, outlook: Outlook) -> dict[str, float]:
        """Return the softmax over strategies; a strategy's score is the logarithm of what its best one promises."""
        own = np.where(self._may, outlook.promise, 0.0)
        best = {
            str(name): float(own[self.past.strategies == name].max())
            for name in dict.fromkeys(self.past.strategies[self._may])
        }
        total = sum(best.values())
        share = len(self.unknown) / (len(self.unknown) + len(best))
        known = {name: (1 - share) * value / total for name, value in best.items()}
        return known | {strategy.name: share / len(self.unknown) for strategy in self.unknown}

    def _evidence(self, scenarios: Scenarios) -> dict[str, float]:
        top = np.argsort(-scenarios.weights, kind="stable")[:_N_EVIDENCE]
        total = float(scenarios.weights[top].sum())
        return {self.past.tasks[place]: float(scenarios.weights[place]) / total for place in top}


def _quantiles(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return weighted quantiles of some values."""
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order])
    places = np.searchsorted(cumulative, np.array(_INTERVAL) * cumulative[-1])
    return values[order][np.minimum(places, len(values) - 1)]
