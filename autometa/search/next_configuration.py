"""What a search tries next: what it was told to try first, then what the policy proposes and the time left allows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autometa._support.seeds import child_seed
from autometa.core.budget import Budget
from autometa.core.evaluation import Evaluation
from autometa.core.proposal import ExplainingPolicy, Policy, Prediction
from autometa.core.space import Configuration
from autometa.core.strategy import Strategy
from autometa.core.task import TaskDescription
from autometa.search.plan import Plan
from autometa.search.time_limits import TimeLimits
from autometa.search.trial_records import TrialRecord

# While workers start, further trials of a strategy are made in the calling process up to this length:
# on a single core they take time from the start.
_LONGEST_MEANWHILE_S = 0.2
# A strategy that failed this often on a task, and never succeeded, is not tried again.
_MOST_FAILURES = 3
# Of the time, or of the trials, what an earlier run knows to be good may take at most; the rest is for what is new.
_MOST_SHARE_OF_FIRST = 0.5


@dataclass(frozen=True)
class Situation:
    """Where a search stands when it needs something to try.

    Parameters
    ----------
    records : sequence of TrialRecord
        Its trials, those in progress too.
    history : sequence of Evaluation
        What was measured, in the order the results came.
    remaining_s : float
        Seconds left.
    has_model : bool
        Whether any evaluation has succeeded.
    workers_ready : bool
        Whether worker processes begin at once.
    workers_late : bool
        Whether they take longer to start than waiting for them is worth.
    """

    records: Sequence[TrialRecord]
    history: Sequence[Evaluation]
    remaining_s: float
    has_model: bool
    workers_ready: bool
    workers_late: bool = False


class NextConfiguration:
    """Chooses what to try next.

    Parameters
    ----------
    task : TaskDescription
        Describes the task to the policy.
    policy : Policy
        Proposes.
    strategies : sequence of Strategy
        Every strategy of the study's space.
    plan : Plan
        Whether there are workers.
    budget : Budget
        Limit on the run.
    limits : TimeLimits
        What fits into the time left.
    quick_strategies, strategies_with_deadline : set of str
        Strategies that the calling process can evaluate.
    first : sequence of Configuration
        Tried before anything else, as far as they take no more than half of the search.
    known : sequence of Evaluation
        Measured by earlier runs on the same rows, so that it is not tried again.
    seed : int
        Seed of the run.

    Attributes
    ----------
    expected : dict of Configuration to Prediction
        What the policy expected of each configuration when something was last chosen before it was
        tried; empty where the policy does not say.
    """

    def __init__(
        self,
        task: TaskDescription,
        policy: Policy,
        strategies: Sequence[Strategy],
        plan: Plan,
        budget: Budget,
        limits: TimeLimits,
        quick_strategies: set[str],
        strategies_with_deadline: set[str],
        first: Sequence[Configuration],
        known: Sequence[Evaluation],
        seed: int,
    ) -> None:
        self._task, self._policy, self._strategies = task, policy, strategies
        self._plan, self._budget, self._limits = plan, budget, limits
        self._quick, self._with_deadline = quick_strategies, strategies_with_deadline
        self._known = list(known)
        n_trials = budget.n_trials
        self._first = list(first if n_trials is None else first[: math.ceil(_MOST_SHARE_OF_FIRST * n_trials)])
        self._given_first: set[Configuration] = set()
        self._explains = policy if isinstance(policy, ExplainingPolicy) else None
        self.expected: dict[Configuration, Prediction] = {}
        self._rng = np.random.default_rng(child_seed(seed, "strategy"))

    def choose(self, now: Situation) -> Configuration | str | None:
        """Return a configuration, a strategy whose parameters the study's sampler draws, or None if nothing fits."""
        if (again := self._next_of_first(now)) is not None:
            return again
        running = [Evaluation.running(record.configuration) for record in now.records if record.status == "running"]
        seen = [*self._known, *now.history, *running]
        proposal = self._policy.propose(self._task, seen, now.remaining_s)
        if self._explains is not None:
            # Of what is tried no more is said, so that this remains what was expected of it.
            self.expected |= self._explains.explain(self._task, seen, now.remaining_s)
        given_up = _given_up(now.history)
        for configuration in self._at_once_first(self._cheapest_first(proposal.configurations, now), now):
            if configuration.strategy not in given_up and self._fits_in_time(configuration.strategy, now):
                return configuration
        affordable = {
            strategy.name: proposal.probabilities[strategy.name]
            for strategy in self._strategies
            if strategy.name in proposal.probabilities
            and strategy.name not in given_up
            and strategy.space.distributions
            and self._fits_in_time(strategy.name, now)
        }
        if not affordable:
            return None
        weights = np.array([p / (1 + _n_in_vain(now.records, name)) for name, p in affordable.items()])
        if not weights.sum() > 0:
            # A policy may give nothing to all that is affordable.
            weights = np.ones(len(affordable))
        return str(self._rng.choice(list(affordable), p=weights / weights.sum()))

    def must_be_kept(self, configuration: Configuration) -> bool:
        """Return whether a configuration is one of the first: known to be good, it is not pruned."""
        return configuration in self._given_first

    def _next_of_first(self, now: Situation) -> Configuration | None:
        """Return the next of the first configurations, while they have taken less than half of the search."""
        if now.remaining_s <= (1 - _MOST_SHARE_OF_FIRST) * self._limits.search_s < math.inf:
            self._first.clear()
        for configuration in self._at_once_first(tuple(self._first), now):
            self._first.remove(configuration)
            if self._fits_in_time(configuration.strategy, now):
                self._given_first.add(configuration)
                return configuration
        return None

    def needs_no_worker(self, strategy: str, *, is_first: bool, workers_late: bool) -> bool:
        """Return whether the calling process may evaluate a strategy while workers are not there.

        Parameters
        ----------
        strategy : str
            Its name.
        is_first : bool
            Whether it is the first trial of the search.
        workers_late : bool
            Whether workers take longer to start than waiting for them is worth.
        """
        if strategy in self._quick:
            return True
        # Workers will be there in seconds: only what ends about as soon, and one model for certain.
        waits = self._plan.use_workers and self._budget.has_time_limit and not workers_late
        return strategy in self._with_deadline and (is_first or not waits)

    def why_nothing(self, now: Situation, available: set[str], *, is_late: bool) -> str:
        """Return why no further trial starts although neither seconds nor trials are used up.

        Parameters
        ----------
        now : Situation
            Where the search stands.
        available : set of str
            Names of the strategies that suit the task.
        is_late : bool
            Whether there is hardly any time left.
        """
        left = available - _given_up(now.history)
        if not left:
            return "every strategy kept failing"
        if self._budget.has_time_limit and (is_late or not all(self._fits_in_time(name, now) for name in left)):
            return "the time left is too short for another trial"
        return "there is nothing more to try"

    def _fits_in_time(self, strategy: str, now: Situation) -> bool:
        # As long as there is no model, anything is tried.
        return not now.has_model or self._limits.fits(strategy)

    def _cheapest_first(self, configurations: Sequence[Configuration], now: Situation) -> Sequence[Configuration]:
        """Return what a policy proposes; when time runs and a trial ended without a model, by strategies' costs."""
        has_time = not self._budget.has_time_limit or now.has_model
        if has_time or all(record.status == "running" for record in now.records):
            return configurations
        costs = {strategy.name: strategy.cost for strategy in self._strategies}
        return sorted(configurations, key=lambda configuration: costs.get(configuration.strategy, math.inf))

    def _at_once_first(self, configurations: Sequence[Configuration], now: Situation) -> Sequence[Configuration]:
        """Return what is proposed; while workers start, first new strategies that need none, then short trials."""
        if now.workers_ready or not (self._plan.use_workers and self._budget.has_time_limit):
            return configurations
        tried = {record.configuration.strategy for record in now.records}

        def wait(configuration: Configuration) -> tuple[bool, bool]:
            name, is_first = configuration.strategy, not now.records
            is_short = name not in tried or self._limits.of_trial_s(name) <= _LONGEST_MEANWHILE_S
            at_once = is_short and self.needs_no_worker(name, is_first=is_first, workers_late=now.workers_late)
            return not at_once, at_once and name in tried

        return sorted(configurations, key=wait)


def _n_in_vain(records: Sequence[TrialRecord], strategy: str) -> int:
    """Return how many trials of a strategy ended since its best one."""
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
