"""The next configuration of a search: first those of earlier runs, then proposals that fit into the time left."""

# Tests: tests/search/test_engine.py

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autometa._support.seeds import child_seed
from autometa.core.budget import Budget
from autometa.core.evaluation import Evaluation
from autometa.core.proposal import ExplainingPolicy, Policy, Prediction
from autometa.core.space import Configuration
from autometa.core.strategy import Strategy
from autometa.core.task import TaskDescription
from autometa.evaluation.jobs import Evaluator
from autometa.search.plan import Plan
from autometa.search.resume import Earlier
from autometa.search.time_limits import TimeLimits
from autometa.search.trial_records import TrialRecord

# Longest expected seconds of a further trial of a strategy in the calling process while workers start:
# on a single core it delays their start.
_LONGEST_MEANWHILE_S = 0.2
# A strategy that has failed this often on a task, and never succeeded, is not tried again.
_MOST_FAILURES = 3
# Largest fraction of the time, or of the trials, for the first configurations; the rest is for new ones.
_MOST_SHARE_OF_FIRST = 0.5


@dataclass(frozen=True)
class Situation:
    """Where a search stands when it needs something to try.

    Parameters
    ----------
    records : sequence of TrialRecord
        Its trials, also those that are running.
    history : sequence of Evaluation
        The evaluations, in the order in which they ended.
    remaining_s : float
        Seconds left.
    has_model : bool
        Whether any evaluation has succeeded.
    workers_late : bool
        Whether worker processes take too long to start.
    """

    records: Sequence[TrialRecord]
    history: Sequence[Evaluation]
    remaining_s: float
    has_model: bool
    workers_late: bool = False


class NextConfiguration:
    """Chooses the next configuration.

    Parameters
    ----------
    task, policy, strategies, plan, budget, earlier, seed : as in `Search`
        What may be tried, and within which limits.
    temperature : float
        Positive; probabilities of strategies are raised to the power 1 / temperature and made to sum to 1 again.
    limits : TimeLimits
        Tells what fits into the time left.
    evaluator : Evaluator
        Tells which strategies need no worker, and whether workers are ready.

    Attributes
    ----------
    expected : dict of Configuration to Prediction
        Predictions of the policy for each configuration, the last ones before the configuration was
        tried; empty if the policy predicts nothing.
    probabilities : mapping of str to float
        Probabilities of the strategies that were last acted on; empty before the first proposal.
    origins : dict of Configuration to str
        Where each configuration came from: ``"earlier fits"``, ``"policy"``, or ``"exploration"`` if the policy
        predicts nothing for it. Those of the study's sampler are not in it.
    """

    def __init__(
        self,
        task: TaskDescription,
        policy: Policy,
        strategies: Sequence[Strategy],
        plan: Plan,
        budget: Budget,
        limits: TimeLimits,
        evaluator: Evaluator,
        earlier: Earlier,
        seed: int,
        temperature: float = 1.0,
    ) -> None:
        self._task, self._policy, self._strategies = task, policy, strategies
        self._plan, self._budget, self._limits = plan, budget, limits
        self._evaluator = evaluator
        self._known = earlier.known
        n_trials, first = budget.n_trials, list(earlier.first)
        self._first = first if n_trials is None else first[: math.ceil(_MOST_SHARE_OF_FIRST * n_trials)]
        self._given_first: set[Configuration] = set()
        self._explains = policy if isinstance(policy, ExplainingPolicy) else None
        self.expected: dict[Configuration, Prediction] = {}
        self.probabilities: Mapping[str, float] = {}
        self.origins: dict[Configuration, str] = {}
        self._temperature = temperature
        self._rng = np.random.default_rng(child_seed(seed, "strategy"))

    def choose(self, now: Situation) -> Configuration | str | None:
        """Return a configuration, a strategy whose parameters the study's sampler draws, or None if nothing fits."""
        if (first := self._next_of_first(now)) is not None:
            self.origins[first] = "earlier fits"
            return first
        running = [Evaluation.running(record.configuration) for record in now.records if record.status == "running"]
        seen = [*self._known, *now.history, *running]
        proposal = self._policy.propose(self._task, seen, now.remaining_s)
        self.probabilities = _tempered(proposal.probabilities, self._temperature)
        if self._explains is not None:
            # Policies predict untried configurations only, so that the last prediction before a trial is kept.
            self.expected |= self._explains.explain(self._task, seen, now.remaining_s)
        given_up = _given_up(now.history)
        for configuration in self._at_once_first(self._cheapest_first(proposal.configurations, now), now):
            if configuration.strategy not in given_up and self._fits_in_time(configuration.strategy, now):
                is_predicted = self._explains is None or configuration in self.expected
                self.origins[configuration] = "policy" if is_predicted else "exploration"
                return configuration
        affordable = {
            strategy.name: self.probabilities[strategy.name]
            for strategy in self._strategies
            if strategy.name in self.probabilities
            and strategy.name not in given_up
            and strategy.space.distributions
            and self._fits_in_time(strategy.name, now)
        }
        if not affordable:
            return None
        weights = np.array([p / (1 + _n_in_vain(now.records, name)) for name, p in affordable.items()])
        if not weights.sum() > 0:
            # A policy may give probability 0 to every affordable strategy.
            weights = np.ones(len(affordable))
        return str(self._rng.choice(list(affordable), p=weights / weights.sum()))

    def must_be_kept(self, configuration: Configuration) -> bool:
        """Return whether a configuration is one of the first, which are known to be good and are not pruned."""
        return configuration in self._given_first

    def _next_of_first(self, now: Situation) -> Configuration | None:
        """Return the next of the first configurations, as long as less than half of the search has passed."""
        if now.remaining_s <= (1 - _MOST_SHARE_OF_FIRST) * self._limits.search_s < math.inf:
            self._first.clear()
        for configuration in self._at_once_first(tuple(self._first), now):
            self._first.remove(configuration)
            if self._fits_in_time(configuration.strategy, now):
                self._given_first.add(configuration)
                return configuration
        return None

    def needs_no_worker(self, strategy: str, *, is_first: bool, workers_late: bool) -> bool:
        """Return whether the calling process may evaluate a strategy while workers are not ready."""
        if strategy in self._evaluator.quick:
            return True
        # Workers will be ready in seconds; until then one longer fit makes sure that there is a model.
        waits = self._plan.use_workers and self._budget.has_time_limit and not workers_late
        return strategy in self._evaluator.keeping_deadline and (is_first or not waits)

    def why_nothing(self, now: Situation, available: set[str], *, is_late: bool) -> str:
        """Return why no further trial starts although neither the time nor the trials are used up."""
        left = available - _given_up(now.history)
        if not left:
            return "every strategy kept failing"
        if self._budget.has_time_limit and (is_late or not all(self._fits_in_time(name, now) for name in left)):
            return "the time left is too short for another trial"
        return "there is nothing more to try"

    def _fits_in_time(self, strategy: str, now: Situation) -> bool:
        # Until there is a model, anything is tried.
        return not now.has_model or self._limits.fits(strategy)

    def _cheapest_first(self, configurations: Sequence[Configuration], now: Situation) -> Sequence[Configuration]:
        """Return the proposed configurations; by cost, if time is limited and trials have ended without a model."""
        has_time = not self._budget.has_time_limit or now.has_model
        if has_time or all(record.status == "running" for record in now.records):
            return configurations
        costs = {strategy.name: strategy.cost for strategy in self._strategies}
        return sorted(configurations, key=lambda configuration: costs.get(configuration.strategy, math.inf))

    def _at_once_first(self, configurations: Sequence[Configuration], now: Situation) -> Sequence[Configuration]:
        """Return configurations; while workers start, new strategies that need none come first, then short trials."""
        if self._evaluator.ready or not (self._plan.use_workers and self._budget.has_time_limit):
            return configurations
        tried = {record.configuration.strategy for record in now.records}

        def wait(configuration: Configuration) -> tuple[bool, bool]:
            name, is_first = configuration.strategy, not now.records
            is_short = name not in tried or self._limits.of_trial_s(name) <= _LONGEST_MEANWHILE_S
            at_once = is_short and self.needs_no_worker(name, is_first=is_first, workers_late=now.workers_late)
            return not at_once, at_once and name in tried

        return sorted(configurations, key=wait)


def _tempered(probabilities: Mapping[str, float], temperature: float) -> Mapping[str, float]:
    """Return probabilities raised to the power 1 / temperature, with sum 1."""
    if temperature == 1 or not probabilities:
        return probabilities
    logs = np.log(np.maximum(list(probabilities.values()), 1e-300)) / temperature
    powers = np.exp(logs - logs.max())
    return dict(zip(probabilities, map(float, powers / powers.sum()), strict=True))


def _n_in_vain(records: Sequence[TrialRecord], strategy: str) -> int:
    """Return how many trials of a strategy have ended since its best one."""
    own = [r for r in records if r.configuration.strategy == strategy and r.status != "running"]
    losses = [r.loss if r.is_complete else math.inf for r in own]
    return len(own) - 1 - int(np.argmin(losses)) if own else 0


def _given_up(history: Sequence[Evaluation]) -> set[str]:
    """Return the strategies that failed several times on this task and never succeeded."""
    failures: dict[str, int] = {}
    for evaluation in history:
        name = evaluation.configuration.strategy
        failures[name] = -(10**9) if evaluation.status == "ok" else failures.get(name, 0) + 1
    return {name for name, n in failures.items() if n >= _MOST_FAILURES}
