"""Try a portfolio in the order that was trained for a kind of problem and a budget."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from autometa.core.evaluation import Evaluation
from autometa.core.proposal import Policy, Proposal
from autometa.core.strategy import Strategy
from autometa.core.task import TaskDescription
from autometa.policy.past_tasks import PastTasks


class PortfolioPolicy:
    """Tries a trained portfolio, then what another policy proposes.

    Parameters
    ----------
    past : PastTasks
        Past tasks, which hold the configurations.
    orders : mapping of str to mapping of float to sequence of int
        Indices of configurations, by problem and by the budget in seconds that an order was made
        for. The order with the budget nearest to the seconds left is used, without a time limit
        that of the longest budget.
    afterwards : Policy
        Proposes what comes after the portfolio, and the probabilities of the strategies.
    strategies : sequence of Strategy, optional
        Strategies that may be tried; all by default.
    """

    def __init__(
        self,
        past: PastTasks,
        orders: Mapping[str, Mapping[float, Sequence[int]]],
        afterwards: Policy,
        strategies: Sequence[Strategy] | None = None,
    ) -> None:
        self.past, self._orders, self._afterwards = past, orders, afterwards
        may = np.ones(len(past.configurations), bool) if strategies is None else past.is_possible(strategies)
        self._may = {
            configuration for configuration, possible in zip(past.configurations, may, strict=True) if possible
        }

    def propose(self, description: TaskDescription, history: Sequence[Evaluation], remaining_s: float) -> Proposal:
        """Return the untried part of the order for the seconds left, then the other policy's proposals."""
        proposal = self._afterwards.propose(description, history, remaining_s)
        orders = self._orders.get(description.problem, {})
        if not orders:
            return proposal
        budget_s = min(orders, key=lambda seconds: abs(math.log(seconds) - math.log(max(remaining_s, 1e-3))))
        if math.isinf(remaining_s):
            budget_s = max(orders)
        tried = {evaluation.configuration for evaluation in history}
        order = [self.past.configurations[index] for index in orders[budget_s]]
        left = tuple(c for c in order if c in self._may and c not in tried)
        rest = tuple(c for c in proposal.configurations if c not in left)
        return Proposal(proposal.probabilities, (*left, *rest), proposal.evidence)
