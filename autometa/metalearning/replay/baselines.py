"""Baseline policies for comparison, and the oracle, which no policy can beat."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import rankdata

from autometa._support.seeds import child_seed
from autometa.core.evaluation import Evaluation
from autometa.core.proposal import Proposal
from autometa.core.space import Configuration
from autometa.core.task import TaskDescription
from autometa.metalearning.replay.replay import metric_of
from autometa.metalearning.training.portfolio import Gains, IncumbentGains, gains_on, greedy_order, regrets
from autometa.policy.past_tasks import PastTasks

Order = Callable[[PastTasks], Sequence[int]]
"""Returns the indices of configurations in the order in which they should be tried, given past tasks."""

_SHARES_OF_TRY = (0.2, 0.4)


@dataclass
class StaticPolicy:
    """Tries configurations in a fixed order made from past tasks of the problem.

    Parameters
    ----------
    past : PastTasks
        Past tasks; all of them are used if none is of the problem.
    order : callable
        Makes the order.
    """

    past: PastTasks
    order: Order
    _orders: dict[str, tuple[Configuration, ...]] = field(default_factory=dict, init=False, repr=False)

    def propose(self, description: TaskDescription, history: Sequence[Evaluation], remaining_s: float) -> Proposal:
        """Return the untried configurations in order."""
        problem = description.problem
        if problem not in self._orders:
            rows = [row for row, kind in enumerate(self.past.problems) if kind == problem]
            of_problem = self.past.select(rows) if rows else self.past
            self._orders[problem] = tuple(self.past.configurations[index] for index in self.order(of_problem))
        return _proposal(_untried(self._orders[problem], history))


def average_rank(past: PastTasks) -> list[int]:
    """Return configurations in the order of their mean rank over the tasks; a missing loss ranks last."""
    ranks = rankdata(regrets(past), axis=1).mean(axis=0)
    return _measured(past, np.argsort(ranks, kind="stable"))


def greedy(past: PastTasks) -> list[int]:
    """Return configurations in the order in which each lowers the mean regret most, whatever its seconds."""
    return _greedy(past, IncumbentGains(regrets(past)), per_second=False)


def greedy_per_second(past: PastTasks) -> list[int]:
    """Return configurations in the order in which each lowers the mean regret most per second."""
    return _greedy(past, IncumbentGains(regrets(past)), per_second=True)


def greedy_ensemble(past: PastTasks) -> list[int]:
    """Return configurations in the order in which each lowers the mean regret of the ensemble most."""
    return _greedy(past, gains_on(past), per_second=False)


def greedy_ensemble_per_second(past: PastTasks) -> list[int]:
    """Return configurations in the order in which each lowers the mean regret of the ensemble most per second."""
    return _greedy(past, gains_on(past), per_second=True)


STATIC_ORDERS: Mapping[str, Order] = {
    "greedy": greedy,
    "greedy_per_second": greedy_per_second,
    "greedy_ensemble": greedy_ensemble,
    "greedy_ensemble_per_second": greedy_ensemble_per_second,
}
"""Orders that a learnt policy has to beat; portfolios for a budget (Salinas and Erickson 2024) are `"portfolio"`."""


@dataclass
class RandomPolicy:
    """Tries the recorded configurations in a random order, a new one in each search.

    Parameters
    ----------
    past : PastTasks
        Past tasks with the configurations.
    seed : int
        Seed of the orders.
    """

    past: PastTasks
    seed: int = 0

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(child_seed(self.seed, "random order"))
        self._order: list[Configuration] = []

    def propose(self, description: TaskDescription, history: Sequence[Evaluation], remaining_s: float) -> Proposal:
        """Return the untried configurations in order."""
        if not history:
            order = self._rng.permutation(len(self.past.configurations))
            self._order = [self.past.configurations[index] for index in order]
        return _proposal(_untried(self._order, history))


@dataclass
class Oracle:
    """Knows the losses and seconds on the task itself.

    It first tries the best configuration that takes at most a fifth of the seconds left, then two
    fifths, then any: these are the limits of a search for the first evaluation and the later ones.

    Parameters
    ----------
    past : PastTasks
        Tasks including the one to search on, which is recognised by its description. If several match,
        their mean regret and median seconds are used.
    """

    past: PastTasks

    def __post_init__(self) -> None:
        self._regrets = regrets(self.past)

    def propose(self, description: TaskDescription, history: Sequence[Evaluation], remaining_s: float) -> Proposal:
        """Return configurations that are better than the incumbent and end in time, the best first."""
        same = self._recognised(description)
        regret = self._regrets[same].mean(axis=0)
        seconds = np.nan_to_num(np.median(self.past.seconds[same], axis=0), nan=0.0)
        found = [self.past.position[e.configuration] for e in history if e.status == "ok"]
        better = regret < regret[found].min() if found else np.ones(len(regret), dtype=bool)
        late = sum((seconds > share * remaining_s).astype(int) for share in _SHARES_OF_TRY)
        order = np.lexsort((regret, late))
        possible = better & (seconds <= remaining_s)
        fitting = (self.past.configurations[index] for index in order if possible[index])
        return _proposal(_untried(fitting, history))

    def _recognised(self, description: TaskDescription) -> np.ndarray:
        given = np.array([description.features.get(name, np.nan) for name in self.past.feature_names])
        rows = np.flatnonzero(((self.past.features == given) | (np.isnan(self.past.features) & np.isnan(given))).all(1))
        same = [row for row in rows if self.past.problems[row] == description.problem]
        if not same:
            raise ValueError(
                "The oracle knows only recorded tasks, and none of them has these meta-features. "
                "Make it of the past tasks that it is asked about."
            )
        return np.array(same)


def _greedy(past: PastTasks, gains: Gains, *, per_second: bool) -> list[int]:
    first = greedy_order(gains, past.seconds, per_second=per_second)
    chosen = set(first)
    # Configurations without a gain follow by their mean regret.
    rest = [index for index in np.argsort(regrets(past).mean(axis=0), kind="stable").tolist() if index not in chosen]
    return _measured(past, [*first, *rest])


def _measured(past: PastTasks, indices: Iterable[int]) -> list[int]:
    """Return the indices of configurations that have a loss on any of the tasks."""
    metrics = [metric_of(past, task) for task in range(len(past.tasks))]
    found = np.array([past.losses[metric][task] for task, metric in enumerate(metrics)])
    known = np.isfinite(found).any(axis=0)
    return [int(index) for index in indices if known[index]]


def _untried(order: Iterable[Configuration], history: Sequence[Evaluation]) -> tuple[Configuration, ...]:
    tried = {evaluation.configuration for evaluation in history}
    return tuple(configuration for configuration in order if configuration not in tried)


def _proposal(configurations: tuple[Configuration, ...]) -> Proposal:
    names = dict.fromkeys(configuration.strategy for configuration in configurations)
    return Proposal({name: 1 / len(names) for name in names}, configurations)
