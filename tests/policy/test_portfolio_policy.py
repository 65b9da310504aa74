"""The policy that tries a trained portfolio in order."""

from __future__ import annotations

import math
from collections.abc import Sequence

from autometa.core.evaluation import Evaluation
from autometa.core.proposal import Proposal
from autometa.core.task import TaskDescription
from autometa.policy.portfolio_policy import PortfolioPolicy
from tests.helpers.past_tasks import describe, make_past, make_strategy, measured

PAST = make_past()
ORDERS = {"binary": {10.0: (2, 0), 600.0: (5, 7, 1)}}


class Afterwards:
    """Proposes three configurations, of which one is in a portfolio."""

    def propose(self, description: TaskDescription, history: Sequence[Evaluation], remaining_s: float) -> Proposal:
        return Proposal({"s0": 1.0}, tuple(PAST.configurations[index] for index in (3, 2, 4)))


def indices(policy: PortfolioPolicy, history: Sequence[Evaluation], remaining_s: float, row: int = 0) -> list[int]:
    proposal = policy.propose(describe(PAST, row), history, remaining_s)
    assert proposal.probabilities == {"s0": 1.0}
    return [PAST.position[configuration] for configuration in proposal.configurations]


def test_the_order_of_the_nearest_budget_comes_first_and_the_rest_after_it():
    policy = PortfolioPolicy(PAST, ORDERS, Afterwards())
    assert indices(policy, [], 20.0) == [2, 0, 3, 4]
    assert indices(policy, [], 300.0) == indices(policy, [], math.inf) == [5, 7, 1, 3, 2, 4]


def test_what_was_tried_is_not_proposed_again():
    history = [measured(PAST.configurations[5], 0.2)]
    assert indices(PortfolioPolicy(PAST, ORDERS, Afterwards()), history, math.inf)[:2] == [7, 1]


def test_a_problem_without_a_portfolio_is_left_to_the_other_policy():
    assert PAST.problems[1] == "regression"
    assert indices(PortfolioPolicy(PAST, ORDERS, Afterwards()), [], 20.0, row=1) == [3, 2, 4]


def test_strategies_that_were_not_given_are_left_out():
    policy = PortfolioPolicy(PAST, ORDERS, Afterwards(), [make_strategy("s1")])
    assert PAST.strategies[[5, 7, 1]].tolist() == ["s1", "s1", "s0"]
    assert indices(policy, [], math.inf)[:2] == [5, 7]
