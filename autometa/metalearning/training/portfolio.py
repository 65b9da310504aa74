r"""Build static portfolios: configurations in the order in which each adds most to those before it.

================ =====================================================================
value            regret on a past task of the configurations chosen so far; 1 before the first
gain             reduction of a task's value by a configuration
score            mean gain per second over the tasks on which the configuration ends in time
================ =====================================================================

The greedy choice is that of Feurer et al. (2022), *Auto-sklearn 2.0*, section 3.1.
"""

from __future__ import annotations

import heapq
import math
from typing import Protocol

import numpy as np

from autometa.metalearning.replay.regret import normalised_regret
from autometa.metalearning.replay.replay import metric_of
from autometa.policy.ensemble_model import EnsembleModel, ensemble_model
from autometa.policy.past_tasks import PastTasks

PORTFOLIO_BUDGETS_S = (10.0, 60.0, 600.0)
_N_PORTFOLIO = 32


class Gains(Protocol):
    """Gains of a configuration on each past task, given the chosen ones."""

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
    """Gains of the ensemble of the chosen configurations, by second moments of errors.

    Parameters
    ----------
    model : EnsembleModel
        Ensembles on the past tasks.
    """

    def __init__(self, model: EnsembleModel) -> None:
        self._model = model
        self._chosen: list[int] = []
        self._gains = model.gains([])

    def of(self, index: int) -> np.ndarray:
        """Return the gain on each task, of shape (n_tasks,), non-negative."""
        return self._gains[:, index]

    def add(self, index: int) -> None:
        """Choose a configuration."""
        self._chosen.append(index)
        self._gains = self._model.gains(self._chosen)


def learn_portfolios(past: PastTasks) -> tuple[dict[str, dict[float, tuple[int, ...]]], str]:
    """Return a portfolio for each problem and each of `PORTFOLIO_BUDGETS_S`, and how they were judged.

    Parameters
    ----------
    past : PastTasks
        Past tasks, each with a loss.

    Returns
    -------
    portfolios : dict of str to dict of float to tuple of int
        Indices of configurations in the order in which they are to be tried, by problem and seconds.
    judged_by : str
        "ensembles" if the past tasks have second moments of errors, else "incumbents": the best single ones.
    """
    found: dict[str, dict[float, tuple[int, ...]]] = {}
    for problem in dict.fromkeys(past.problems):
        of_problem = past.select([row for row, kind in enumerate(past.problems) if kind == problem])
        found[problem] = {
            budget_s: tuple(greedy_order(gains_on(of_problem), of_problem.seconds, budget_s=budget_s, n=_N_PORTFOLIO))
            for budget_s in PORTFOLIO_BUDGETS_S
        }
    return found, "incumbents" if past.moments is None else "ensembles"


def gains_on(past: PastTasks) -> Gains:
    """Return the gains of ensembles on past tasks with second moments of errors, else of single configurations."""
    return IncumbentGains(regrets(past)) if past.moments is None else EnsembleGains(ensemble_model(past))


def greedy_order(
    gains: Gains, seconds: np.ndarray, *, budget_s: float = math.inf, per_second: bool = True, n: int | None = None
) -> list[int]:
    """Return configurations in the order of their scores, each given those before it.

    Parameters
    ----------
    gains : Gains
        Gains of configurations.
    seconds : ndarray of shape (n_tasks, n_configurations)
        Seconds of an evaluation; NaN where unknown, which is filled with the median over the other tasks.
    budget_s : float
        Total seconds; a configuration that ends later on a task has no gain there.
    per_second : bool
        Whether scores are divided by the geometric mean of the seconds.
    n : int, optional
        Most configurations; by default all with a positive score.
    """
    seconds = _filled(seconds)
    prices = np.exp(np.log(seconds).mean(axis=0)) if per_second else np.ones(seconds.shape[1])
    elapsed = np.zeros(len(seconds))

    def score(index: int) -> float:
        in_time = elapsed + seconds[:, index] <= budget_s
        return float((gains.of(index) * in_time).mean() / prices[index])

    # Gains hardly rise as more is chosen, so an old score is an upper bound and is seldom recomputed (Minoux 1978,
    # accelerated greedy algorithms).
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
    """Return the regret of each configuration on each past task, in the task's metric; 1 without a loss.

    Raises
    ------
    ValueError
        If a task has no results at all.
    """
    return np.nan_to_num(measured_regrets(past), nan=1.0)


def measured_regrets(past: PastTasks) -> np.ndarray:
    """Return what `regrets` returns, but NaN without a loss."""
    rows = [past.losses[metric_of(past, task)][task] for task in range(len(past.tasks))]
    found = [np.where(np.isnan(losses), np.nan, normalised_regret(losses, losses)) for losses in rows]
    return np.array(found).reshape(len(rows), len(past.configurations))


def _filled(seconds: np.ndarray) -> np.ndarray:
    """Return seconds with gaps filled by the configuration's median over the tasks, or the overall median."""
    known = ~np.isnan(seconds)
    if not known.any():
        return np.ones_like(seconds)
    overall = float(np.median(seconds[known]))
    medians = [
        float(np.median(column[seen])) if seen.any() else overall
        for column, seen in zip(seconds.T, known.T, strict=True)
    ]
    return np.maximum(np.where(known, seconds, medians), 1e-3)
