r"""Policies that try the configuration with the largest expected gain: the expected fall of the regret, per second.

All of them weigh scenarios (`loss_model`); they differ in how scenarios are made and weighted.

================ =====================================================================
regret           :math:`R_{sj}`, of configuration j in scenario s
current regret   :math:`c_s`, of the incumbent
gain             :math:`\sum_s w_s \max(c_s - R_{sj}, 0)`, the expected fall of the regret if
                 j is tried
score            gain per second, times the probability to end in time; with `variety`, divided
                 by a power of the number of tried configurations of the strategy
================ =====================================================================

Trying them in the order of their gains alone is the greedy portfolio (Feurer et al. 2022).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from autometa.core.evaluation import Evaluation
from autometa.core.proposal import Forecast, Prediction, Proposal
from autometa.core.space import Configuration
from autometa.core.strategy import Strategy
from autometa.core.task import TaskDescription
from autometa.learners import learner_named
from autometa.policy.best_strategy import BestStrategyModel, chances
from autometa.policy.cost_model import memory_model, seconds_model, share_of_time, size_of
from autometa.policy.ensemble_model import ensemble_model, error_slope
from autometa.policy.forecast import ensemble_losses, quantiles
from autometa.policy.gain_settings import GainSettings
from autometa.policy.loss_model import LossModel, Scenarios, class_information, has_records, loss_model
from autometa.policy.observed_history import ObservedHistory, read_history
from autometa.policy.past_tasks import PastTasks
from autometa.policy.prior import PriorPolicy
from autometa.policy.similarity import Similarity
from autometa.search.time_limits import ObservedSeconds

_TIE = 1e-6
"""Weight of the mean regret, which orders configurations once no scenario promises a gain."""

_MARGIN = 0.05
"""A configuration is promising if its regret exceeds that of the incumbent by less: its neighbours may be better."""

_MOST_SHIFT = 3.0
"""Larger corrections of a loss, in log-odds or logarithms, count as this in the gains of ensembles."""

_N_EVIDENCE = 5
_INTERVAL = (0.1, 0.5, 0.9)
_MOST_FORECAST = 30
"""Trials of a search that is played in thought; the tenth model of an ensemble adds little."""

_TRIALS_PER_UNRECORDED = 5
"""Every fifth trial goes to a strategy without records, if it should take at most a fifth of the time left."""


@dataclass(frozen=True)
class Outlook:
    """Expectations of a policy at one moment of a search.

    Parameters
    ----------
    scenarios : Scenarios
        Scenarios of the task.
    gain : ndarray of shape (n_configurations,)
        Expected fall of the regret; 0 for configurations that were tried or cannot be tried.
    score : ndarray of shape (n_configurations,)
        Gain divided by the price and by the penalty for variety.
    promise : ndarray of shape (n_configurations,)
        Gain with a margin, divided by the price, also of tried configurations: what their
        neighbours may still bring. Positive where a configuration is usable.
    seconds, seconds_deviation : ndarray of shape (n_configurations,)
        Median seconds of a fit, and standard deviation of their logarithm.
    trial_s, in_time : ndarray of shape (n_configurations,)
        Seconds of a trial: its fits in turn and, before a strategy's first fit, loading its library; and the
        probability that it ends in the time left, 1 without a time limit.
    """

    scenarios: Scenarios
    gain: np.ndarray
    score: np.ndarray
    promise: np.ndarray
    seconds: np.ndarray
    seconds_deviation: np.ndarray
    trial_s: np.ndarray
    in_time: np.ndarray

    def order(self) -> list[int]:
        """Return the configurations that can be tried, the best score first."""
        return [index for index in np.argsort(-self.score, kind="stable").tolist() if self.score[index] > 0]


@dataclass
class GainPolicy:
    """Tries the configuration with the best score.

    Parameters
    ----------
    past : PastTasks
        Past tasks.
    strategies : sequence of Strategy, optional
        Strategies that may be proposed; all recorded ones by default. Strategies without records
        get their share of the softmax, and every fifth trial if it should take at most a fifth of
        the time left.
    settings : GainSettings
        How scenarios are weighted.
    similarity : Similarity, optional
        Similarity of past tasks; by default all meta-features have equal weights.
    best_strategy : BestStrategyModel, optional
        Chances of the strategies before anything is tried; by default they are equal.
    """

    past: PastTasks
    strategies: Sequence[Strategy] | None = None
    settings: GainSettings = field(default_factory=GainSettings)
    similarity: Similarity | None = None
    best_strategy: BestStrategyModel | None = None

    def __post_init__(self) -> None:
        self._similarity = self.similarity or Similarity(self.past.feature_names, self.past.features)
        self._seconds = seconds_model(self.past)
        load_s = {s.name: learner_named(s.learner).load_s for s in self.strategies or () if isinstance(s.learner, str)}
        self._load_s = np.array([load_s.get(name, 0.0) for name in self.past.strategies.tolist()])
        everything = np.ones(len(self.past.configurations), dtype=bool)
        self._may = everything if self.strategies is None else self.past.is_possible(self.strategies)

    # ------------------------------------------------------------------------------------- the protocol

    def propose(self, description: TaskDescription, history: Sequence[Evaluation], remaining_s: float) -> Proposal:
        """Return all configurations that can be tried, the best score first, and the probabilities of strategies.

        The search takes the first that fits into its time, or that can be evaluated at once.
        """
        possible = self._possible(description)
        if not possible.any():
            # Without records for the problem, the hand-made order decides.
            return PriorPolicy(self.strategies or ()).propose(description, history, remaining_s)
        known = dict.fromkeys(map(str, self.past.strategies[possible]))
        unknown = [strategy for strategy in self.strategies or () if strategy.name not in known]
        seen = read_history(history, self.past.position, description.loss_unit)
        outlook = self.outlook(description, seen, remaining_s)
        configurations = [self.past.configurations[index] for index in outlook.order()]
        tried = {evaluation.configuration for evaluation in history}
        promise = {name: float(outlook.promise[possible & (self.past.strategies == name)].max()) for name in known}
        if self._explores(seen, len(tried)) or not configurations:
            configurations = self._not_recorded(promise, tried)
        if first := next_unrecorded(self._affordable(unknown, description, history, remaining_s), tried):
            configurations.insert(0, first)
        chance = self._chances(description, outlook.scenarios, possible)
        return Proposal(
            _with_unknown(chance, unknown), tuple(configurations), evidence=self._evidence(outlook.scenarios)
        )

    def outlook(self, description: TaskDescription, seen: ObservedHistory, remaining_s: float) -> Outlook:
        """Return the expectations of all configurations, given the observed history."""
        model = self._model(description)
        has_time_limit = math.isfinite(remaining_s)
        uses_losses = self.settings.uses_losses and self._is_comparable(description)
        scenarios = self._scenarios(model, description, seen.losses if uses_losses else {}, has_time_limit)
        regret = scenarios.regret()
        current = self._current(scenarios, regret, seen, uses_losses)
        if self.settings.of_ensemble:
            gain = self._ensemble_gain(model, scenarios, seen)
        else:
            gain = scenarios.weights @ np.maximum(current[:, None] - regret, 0.0)
        gain += _TIE * np.maximum(1.0 - scenarios.weights @ regret, _TIE)
        possible = self._may & model.usable
        possible[list(seen.tried)] = False
        gain = np.where(possible, gain, 0.0)
        size = size_of(description)
        seconds, deviation = self._seconds.predict(size, seen.seconds)
        promise = scenarios.weights @ np.maximum(current[:, None] + _MARGIN - regret, 0.0) + _TIE
        price, in_time = np.ones_like(seconds), np.ones_like(seconds)
        trial_s = seconds * description.fits_in_turn + self._loading_s(seen)
        if self.settings.uses_seconds and has_time_limit:
            # In parallel with other trials, the last fold ends up to one fit later.
            latency_s = trial_s + (seconds if description.fits_in_turn > 1 else 0.0)
            in_time = share_of_time(latency_s, deviation, remaining_s)
            overhead_s = self.settings.overhead_s + self.settings.patience * remaining_s
            price = (trial_s + overhead_s) / np.maximum(in_time, _TIE)
        elif self.settings.uses_seconds:
            # Measured seconds are not used: a repeated fit would differ from the first.
            expected, _ = self._seconds.predict(size, {})
            price += expected / (self.settings.waiting_s + expected[list(seen.tried)].sum())
        promise = np.where(model.usable, promise / price, 0.0)
        score = gain / price**self.settings.price_power / self._n_of_strategy(seen) ** self.settings.variety
        return Outlook(scenarios, gain, score, promise, seconds, deviation, trial_s, in_time)

    def _ensemble_gain(self, model: LossModel, scenarios: Scenarios, seen: ObservedHistory) -> np.ndarray:
        """Return by how much each configuration is expected to lower the regret of the ensemble."""
        ensembles = ensemble_model(self.past)
        # Tasks of experience have no second moments.
        weights = scenarios.weights * ensembles.known.any(axis=1)
        # Trials that run will be members, too.
        members = [*seen.losses, *sorted(seen.running)]
        log_factors = error_slope(self.past, model.metric) * np.clip(scenarios.shift, -_MOST_SHIFT, _MOST_SHIFT)
        return weights @ ensembles.gains(members, log_factors) / max(float(weights.sum()), _TIE)

    def _n_of_strategy(self, seen: ObservedHistory) -> np.ndarray:
        """Return, for each configuration, 1 + the number of tried configurations of its strategy."""
        own = self.past.strategies[:, None] == self.past.strategies[list(seen.tried)]
        return 1.0 + own.sum(axis=1)

    def _loading_s(self, seen: ObservedHistory) -> np.ndarray:
        """Return the seconds that loading a library takes before a strategy's first fit."""
        loaded = set(self.past.strategies[list(seen.seconds)].tolist())
        return np.where(np.isin(self.past.strategies, list(loaded)), 0.0, self._load_s)

    def _scenarios(
        self, model: LossModel, description: TaskDescription, losses: Mapping[int, float], has_time_limit: bool
    ) -> Scenarios:
        log_prior = np.zeros(len(self.past.tasks))
        if self.settings.uses_features:
            # The size is known even where no meta-features were computed.
            rows, columns = max(1, description.n_rows), max(1, description.n_columns)
            by_size = {"log_rows": math.log(rows), "log_columns": math.log(columns)}
            log_prior = self._similarity.log_similarity({**by_size, **description.features})
        # Tasks of other problems count only where no task of the problem is similar.
        same = np.array([problem == description.problem for problem in self.past.problems])
        log_prior = log_prior - 2.0 * ~same
        temperature = self.settings.temperature_in_time if has_time_limit else self.settings.temperature
        return model.scenarios(
            log_prior,
            losses,
            correct=self.settings.corrects,
            temperature=temperature,
            class_information=class_information(description.n_classes, description.features),
        )

    def _current(
        self, scenarios: Scenarios, regret: np.ndarray, seen: ObservedHistory, uses_losses: bool
    ) -> np.ndarray:
        """Return the regret of the incumbent in each scenario."""
        current = np.ones(len(regret))
        shown = list(seen.running)
        if self.settings.corrects and uses_losses and math.isfinite(seen.best):
            low = scenarios.losses.min(axis=1)
            current = np.clip((seen.best - low) / scenarios.span()[:, 0], 0.0, 1.0)
        else:
            # In uncorrected scenarios the incumbent is the best of the tried configurations, whatever their losses.
            shown += list(seen.losses)
        return np.minimum(current, regret[:, shown].min(axis=1)) if shown else current

    # ------------------------------------------------------------------------------------- predictions

    def explain(
        self, description: TaskDescription, history: Sequence[Evaluation], remaining_s: float
    ) -> dict[Configuration, Prediction]:
        """Return predictions for each configuration that can be proposed, the best score first."""
        if not self._possible(description).any():
            return {}
        seen = read_history(history, self.past.position, description.loss_unit)
        outlook = self.outlook(description, seen, remaining_s)
        memory, _ = memory_model(self.past).predict(size_of(description), {})
        scenarios = outlook.scenarios
        default = self._default(description)
        # Ties count half, so that the default beats itself with probability 1/2.
        difference = scenarios.losses - scenarios.losses[:, [default]]
        beats = scenarios.weights @ ((difference < 0) + 0.5 * (difference == 0))
        unit = description.loss_unit if self._is_comparable(description) else math.nan
        found = {}
        for index in outlook.order():
            low, median, high = quantiles(scenarios.losses[:, index], scenarios.weights, _INTERVAL) * unit
            found[self.past.configurations[index]] = Prediction(
                float(median),
                float(low),
                float(high),
                float(outlook.seconds[index]),
                float(memory[index]),
                float(beats[index]),
                float(outlook.gain[index]),
                float(outlook.trial_s[index]),
                float(outlook.in_time[index]),
            )
        return found

    def forecast(self, description: TaskDescription, remaining_s: float) -> Forecast | None:
        """Return the loss of the ensemble that the search is expected to end with; None without records.

        Without a time limit it is that of the first 30 trials.
        """
        if not self._possible(description).any():
            return None
        tried: list[int] = []
        left_s = remaining_s
        outlook = start = self.outlook(description, read_history((), self.past.position, 1.0), left_s)
        while len(tried) < _MOST_FORECAST:
            # The first trial is made in any case.
            order = [index for index in outlook.order() if not tried or outlook.trial_s[index] <= left_s]
            if not order:
                break
            tried.append(order[0])
            left_s -= float(outlook.trial_s[order[0]]) + self.settings.overhead_s
            if left_s <= 0:
                break
            running = [Evaluation.running(self.past.configurations[index]) for index in tried]
            outlook = self.outlook(description, read_history(running, self.past.position, 1.0), left_s)
        scenarios, metric = start.scenarios, self._model(description).metric
        losses = ensemble_losses(self.past, metric, scenarios, tried)
        unit = description.loss_unit if self._is_comparable(description) else math.nan
        low, median, high = (quantiles(losses, scenarios.weights, _INTERVAL) * unit).tolist()
        tasks = {name: self.past.tasks.index(name) for name in self._evidence(scenarios)}
        features = description.features
        alike = {name: tuple(self._similarity.alike(features, index)) for name, index in tasks.items()}
        return Forecast(median, low, high, len(tried), alike)

    def _default(self, description: TaskDescription) -> int:
        """Return the index of the strategy default that is best on average on past tasks of the problem."""
        first: dict[str, int] = {}
        for index in np.flatnonzero(self._possible(description)):
            first.setdefault(str(self.past.strategies[index]), int(index))
        same = np.array([problem == description.problem for problem in self.past.problems])
        losses = self._model(description).prior()[same]
        span = np.maximum(np.ptp(losses, axis=1, keepdims=True), 1e-12)
        regret = ((losses - losses.min(axis=1, keepdims=True)) / span).mean(axis=0)
        return min(first.values(), key=lambda index: regret[index])

    # ------------------------------------------------------------------------------------- parts

    def _model(self, description: TaskDescription) -> LossModel:
        return loss_model(self.past, description.problem, description.metric)

    def _possible(self, description: TaskDescription) -> np.ndarray:
        """Return a mask of the configurations that can be proposed: possible in today's spaces, with records."""
        if not has_records(self.past, description.problem):
            return np.zeros(len(self.past.configurations), dtype=bool)
        return self._may & self._model(description).usable

    def _is_comparable(self, description: TaskDescription) -> bool:
        """Whether the losses of a task are in the metric of the scenarios."""
        return description.metric in ("auto", self._model(description).metric)

    def _chances(self, description: TaskDescription, scenarios: Scenarios, possible: np.ndarray) -> dict[str, float]:
        """Return the chance of each strategy to be the best, given the observed losses."""
        before = self._scenarios(self._model(description), description, {}, has_time_limit=True)
        shares = [_shares_of_best(found, possible, self.past.strategies) for found in (before, scenarios)]
        evidence = {name: (shares[0][name], shares[1][name]) for name in shares[0]}
        model = self.best_strategy
        scores = {} if model is None else model.scores(description.problem, description.features)
        return chances(scores, evidence)

    def _explores(self, seen: ObservedHistory, n_tried: int) -> bool:
        """Whether this trial explores; such trials are spread evenly."""
        # The count includes trials beyond the recorded configurations, or it would stand still.
        n, share = n_tried - self.settings.n_first, self.settings.exploration
        return len(seen.losses) >= self.settings.n_first and math.floor((n + 1) * share) > math.floor(n * share)

    def _not_recorded(self, promise: Mapping[str, float], tried: Collection[Configuration]) -> list[Configuration]:
        """Return untried portfolio entries without records; if there are none, the study's sampler chooses."""
        ordered = sorted(self.strategies or (), key=lambda strategy: -promise.get(strategy.name, 0.0))
        return [
            configuration
            for strategy in ordered
            if strategy.name in promise
            for configuration in strategy.portfolio
            if configuration not in self.past.position and configuration not in tried
        ]

    def _affordable(
        self,
        unknown: Sequence[Strategy],
        description: TaskDescription,
        history: Sequence[Evaluation],
        remaining_s: float,
    ) -> list[Strategy]:
        """Return the strategies without records whose trial should take at most its share of the time left."""
        if not unknown or not math.isfinite(remaining_s):
            return list(unknown)
        costs = {strategy.name: strategy.cost for strategy in self.strategies or ()}
        observed = ObservedSeconds(costs, [e for e in history if e.configuration.strategy in costs])
        expected = {strategy.name: observed.predict(strategy.name, 1.0) for strategy in unknown}
        most_s = remaining_s / _TRIALS_PER_UNRECORDED / description.fits_in_turn
        return [s for s in unknown if (seconds := expected[s.name]) is not None and seconds <= most_s]

    def _evidence(self, scenarios: Scenarios) -> dict[str, float]:
        top = np.argsort(-scenarios.weights, kind="stable")[:_N_EVIDENCE]
        return {self.past.tasks[index]: float(scenarios.weights[index]) for index in top}


def next_unrecorded(unknown: Sequence[Strategy], tried: Collection[Configuration]) -> Configuration | None:
    """Return the next portfolio entry of the strategies without records at every fifth trial, else None."""
    if len(tried) % _TRIALS_PER_UNRECORDED != _TRIALS_PER_UNRECORDED - 1:
        return None
    left = (c for strategy in unknown for c in strategy.portfolio if c not in tried)
    return next(left, None)


def _shares_of_best(scenarios: Scenarios, possible: np.ndarray, strategies: np.ndarray) -> dict[str, float]:
    """Return the weight of the scenarios in which each strategy has the best of the possible configurations."""
    index = np.flatnonzero(possible)
    winners = strategies[index[scenarios.losses[:, index].argmin(axis=1)]]
    return {str(name): float(scenarios.weights[winners == name].sum()) for name in dict.fromkeys(strategies[index])}


def _with_unknown(chance: Mapping[str, float], unknown: Sequence[Strategy]) -> dict[str, float]:
    """Return chances in which each strategy without records has the mean one."""
    share = len(unknown) / (len(unknown) + len(chance))
    known = {name: (1 - share) * value for name, value in chance.items()}
    return known | {strategy.name: share / len(unknown) for strategy in unknown}
