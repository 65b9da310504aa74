"""Choose strategies by their hand-made scores, costs and portfolios, updated by what was measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import softmax

from autometa.core.evaluation import Evaluation
from autometa.core.proposal import Proposal
from autometa.core.strategy import Strategy
from autometa.core.task import TaskDescription
from autometa.search.time_limits import ObservedSeconds

_DISCOUNT_PER_ENTRY = 1.0
"""Each further entry of a strategy's portfolio has a score lower by this."""

_PRICE = 2.0
"""Reduction of the score of a trial that is expected to take all of the seconds left; proportional to the seconds."""

_HIGHEST_PRICE = 3.0
"""Upper bound of that reduction."""

_RANK_WEIGHT = 0.75
"""A strategy's rank on this task moves its score between minus this (worst) and plus this (best)."""


class PriorPolicy:
    """Softmax over the scores in the strategy files, updated by the strategies' ranks on the task.

    Parameters
    ----------
    strategies : sequence of Strategy
        Strategies to choose from; all fit the task.
    """

    def __init__(self, strategies: Sequence[Strategy]) -> None:
        self._strategies = tuple(strategies)

    def propose(self, description: TaskDescription, history: Sequence[Evaluation], remaining_s: float) -> Proposal:
        """Return the probabilities of the strategies and the untried entries of their portfolios, best score first."""
        if not self._strategies:
            return Proposal({})
        scores = {strategy.name: strategy.score for strategy in self._strategies}
        best = _best_losses(history)
        if len(best) > 1:
            ranked = sorted(best, key=lambda name: best[name])
            for position, name in enumerate(ranked):
                scores[name] += _RANK_WEIGHT * (1 - 2 * position / (len(ranked) - 1))
        prices = self._prices(history, remaining_s)
        tried = {evaluation.configuration for evaluation in history}
        queue = [
            (scores[strategy.name] - prices[strategy.name] - _DISCOUNT_PER_ENTRY * position, configuration)
            for strategy in self._strategies
            for position, configuration in enumerate(strategy.portfolio)
            if configuration not in tried
        ]
        queue.sort(key=lambda item: -item[0])
        probabilities = softmax(np.array(list(scores.values())))
        return Proposal(
            dict(zip(scores, map(float, probabilities), strict=True)),
            tuple(configuration for _, configuration in queue),
        )

    def _prices(self, history: Sequence[Evaluation], remaining_s: float) -> dict[str, float]:
        """Return by how much the expected seconds of a trial reduce each strategy's score."""
        observed = ObservedSeconds({strategy.name: strategy.cost for strategy in self._strategies}, history)
        n_folds = 1 + max((evaluation.fold for evaluation in history), default=0)
        prices = {}
        for strategy in self._strategies:
            seconds = (observed.predict(strategy.name, 1.0) or 0.0) * n_folds
            prices[strategy.name] = min(_HIGHEST_PRICE, _PRICE * seconds / max(remaining_s, 1e-3))
        return prices


def _best_losses(history: Sequence[Evaluation]) -> dict[str, float]:
    """Return each strategy's lowest loss on the first fold at anchor 1, which all complete trials share."""
    best: dict[str, float] = {}
    for evaluation in history:
        if evaluation.status == "ok" and evaluation.anchor == 1 and evaluation.fold == 0:
            name = evaluation.configuration.strategy
            best[name] = min(best.get(name, np.inf), evaluation.loss)
    return best
