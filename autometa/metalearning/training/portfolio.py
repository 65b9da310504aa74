r"""Static portfolios: configurations in the order in which each adds most to those before it.

================ =====================================================================
value            regret on a past task of what has been chosen so far; 1 before the first
gain             by how much a configuration lowers the value of a task
score            mean gain over the tasks on which it ends in time, per second
================ =====================================================================

The greedy choice is that of Feurer et al. (2022), *Auto-sklearn 2.0*, section 3.1.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from autometa.metalearning.replay.regret import normalised_regret
from autometa.metalearning.replay.replay import metric_of
from autometa.metalearning.replay.stored_predictions import StoredPredictions, read_stored_predictions
from autometa.policy.past_tasks import PastTasks

PORTFOLIO_BUDGETS_S = (10.0, 60.0, 600.0)
_N_PORTFOLIO = 32
# Share of a task's measured configurations whose predictions must be there for its ensembles to count.
_LEAST_KEPT = 0.9
# Shares of a newcomer in the ensemble that stands for a selection anew with it.
_SHARES = (0.5, 0.2)


class Gains(Protocol):
    """Gains of a configuration on each past task, given those that were chosen before."""

    def of(self, index: int) -> np.ndarray:
        """Return the gain on each task, of shape (n_tasks,), non-negative."""
        ...

    def add(self, index: int) -> None:
        """Choose a configuration."""
        ...


class IncumbentGains:
    """Gains of the best single configuration.

    Parameters
    ----------
    regret : ndarray of shape (n_tasks, n_configurations)
        As in `regrets`.
    """

    def __init__(self, regret: np.ndarray) -> None:
        self._regret = regret
        self._values = np.ones(len(regret))

    def of(self, index: int) -> np.ndarray:
        """Return the gain on each task, of shape (n_tasks,), non-negative."""
        return np.maximum(self._values - self._regret[:, index], 0.0)

    def add(self, index: int) -> None:
        """Choose a configuration."""
        self._values = np.minimum(self._values, self._regret[:, index])


class EnsembleGains:
    """Gains of the ensemble that is selected from what was chosen.

    It is selected on some rows of a task and judged on others, see `StoredPredictions.split`.

    Parameters
    ----------
    tasks : sequence of StoredPredictions
        Past tasks.
    """

    def __init__(self, tasks: Sequence[StoredPredictions]) -> None:
        self._tasks = [task.split() for task in tasks]
        self._members: list[list[int]] = [[] for _ in tasks]
        self._ensembles: list[np.ndarray | None] = [None] * len(tasks)
        self._values = np.ones(len(tasks))

    def of(self, index: int) -> np.ndarray:
        """Return the gain on each task, of shape (n_tasks,), non-negative."""
        gains = np.zeros(len(self._tasks))
        for number, ((_, judged_on), ensemble) in enumerate(zip(self._tasks, self._ensembles, strict=True)):
            new = judged_on.predictions.get(index)
            if new is not None:
                mixed = [new] if ensemble is None else [(1 - share) * ensemble + share * new for share in _SHARES]
                gains[number] = self._values[number] - min(judged_on.regret(predictions) for predictions in mixed)
        return np.maximum(gains, 0.0)

    def add(self, index: int) -> None:
        """Choose a configuration."""
        for number, (chosen_on, judged_on) in enumerate(self._tasks):
            if index in chosen_on.predictions:
                weights = chosen_on.weights([*self._members[number], index])
                # Members without weight are not considered again, or the selection would take ever longer.
                self._members[number] = [member for member, weight in weights.items() if weight > 0]
                self._ensembles[number] = ensemble = judged_on.mix(weights)
                self._values[number] = judged_on.regret(ensemble)


def learn_portfolios(
    past: PastTasks, predictions: Path | None = None
) -> tuple[dict[str, dict[float, tuple[int, ...]]], str]:
    """Return a portfolio for each kind of problem and each of `PORTFOLIO_BUDGETS_S`, and what judged them.

    Parameters
    ----------
    past : PastTasks
        Past tasks, each with a loss.
    predictions : Path, optional
        Folder of the collection that kept predictions.

    Returns
    -------
    portfolios : dict of str to dict of float to tuple of int
        Places of configurations in the order in which they are to be tried, by problem and seconds.
    judged_by : str
        "ensembles", on the tasks that have predictions of nearly all configurations; where none has, the
        best single ones, "incumbents".
    """
    found: dict[str, dict[float, tuple[int, ...]]] = {}
    judges = set()
    for problem in dict.fromkeys(past.problems):
        rows = [row for row, kind in enumerate(past.problems) if kind == problem]
        kept = {row: read_stored_predictions(predictions, past, row) for row in rows} if predictions is not None else {}
        tasks = {row: task for row, task in kept.items() if task is not None and _is_whole(task, past, row)}
        judges.add("ensembles" if tasks else "incumbents")
        of_problem = past.select(list(tasks) or rows)
        regret = regrets(of_problem)
        found[problem] = {}
        for budget_s in PORTFOLIO_BUDGETS_S:
            gains: Gains = EnsembleGains(list(tasks.values())) if tasks else IncumbentGains(regret)
            order = greedy_order(gains, of_problem.seconds, budget_s=budget_s, n=_N_PORTFOLIO)
            found[problem][budget_s] = tuple(order)
    return found, " and ".join(sorted(judges))


def _is_whole(kept: StoredPredictions, past: PastTasks, task: int) -> bool:
    """Whether predictions are there of nearly all that was measured: what has none could never be chosen."""
    n_measured = int(np.isfinite(past.losses[metric_of(past, task)][task]).sum())
    return len(kept.predictions) >= _LEAST_KEPT * n_measured


def greedy_order(
    gains: Gains, seconds: np.ndarray, *, budget_s: float = math.inf, per_second: bool = True, n: int | None = None
) -> list[int]:
    """Return configurations in the order of their scores, each given those before it.

    Parameters
    ----------
    gains : Gains
        What a configuration adds.
    seconds : ndarray of shape (n_tasks, n_configurations)
        Of an evaluation; NaN where unknown, which then takes what it takes on the other tasks.
    budget_s : float
        Seconds for all; what ends later on a task gains nothing there.
    per_second : bool
        Whether scores are divided by the geometric mean of the seconds.
    n : int, optional
        Most configurations; left out, as long as one gains anything.
    """
    seconds = _filled(seconds)
    prices = np.exp(np.log(seconds).mean(axis=0)) if per_second else np.ones(seconds.shape[1])
    elapsed = np.zeros(len(seconds))

    def score(index: int) -> float:
        in_time = elapsed + seconds[:, index] <= budget_s
        return float((gains.of(index) * in_time).mean() / prices[index])

    # A gain only falls as more is chosen, so an old score is a bound, and most need no second look
    # (Minoux 1978, accelerated greedy algorithms).
    bounds = [(-score(index), index) for index in range(seconds.shape[1])]
    heapq.heapify(bounds)
    order: list[int] = []
    while bounds and (n is None or len(order) < n):
        _, index = heapq.heappop(bounds)
        current = score(index)
        if bounds and -current > bounds[0][0]:
            heapq.heappush(bounds, (-current, index))
        elif current <= 0:
            break
        else:
            order.append(index)
            gains.add(index)
            elapsed += seconds[:, index]
    return order


def regrets(past: PastTasks) -> np.ndarray:
    """Return the regret of each configuration on each past task, in the task's metric; 1 where it has none.

    Raises
    ------
    ValueError
        If a task has no results at all.
    """
    rows = [past.losses[metric_of(past, task)][task] for task in range(len(past.tasks))]
    return np.array([normalised_regret(losses, losses) for losses in rows]).reshape(len(rows), len(past.configurations))


def _filled(seconds: np.ndarray) -> np.ndarray:
    """Return seconds without gaps: a configuration's median over the tasks, or that of all."""
    known = ~np.isnan(seconds)
    if not known.any():
        return np.ones_like(seconds)
    overall = float(np.median(seconds[known]))
    medians = [
        float(np.median(column[seen])) if seen.any() else overall
        for column, seen in zip(seconds.T, known.T, strict=True)
    ]
    return np.maximum(np.where(known, seconds, medians), 1e-3)
