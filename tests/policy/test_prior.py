"""The hand-made policy."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution

from autometa.core.evaluation import Evaluation
from autometa.core.space import Configuration
from autometa.core.strategy import Strategy
from autometa.core.task import TaskDescription
from autometa.policy.prior import PriorPolicy

TASK = TaskDescription("binary", 1000, 10, 2)


def make_strategies(**scores_and_costs: tuple[float, float]) -> list[Strategy]:
    return [
        Strategy(name, "ridge", {"x": FloatDistribution(0, 1)}, ({"x": 0.0}, {"x": 1.0}), score=score, cost=cost)
        for name, (score, cost) in scores_and_costs.items()
    ]


def measured(name: str, loss: float, seconds: float = 1.0, x: float = 0.0) -> Evaluation:
    return Evaluation(Configuration(name, {"x": x}), 1.0, 0, loss, seconds, 0.0)


def order(policy: PriorPolicy, history: Sequence[Evaluation] = (), remaining_s: float = math.inf) -> list[str]:
    return [configuration.strategy for configuration in policy.propose(TASK, history, remaining_s).configurations]


@given(scores=st.lists(st.floats(-3, 3), min_size=1, max_size=8), losses=st.lists(st.floats(0, 9), max_size=8))
def test_probabilities_are_a_distribution(scores: list[float], losses: list[float]) -> None:
    strategies = make_strategies(**{f"s{i}": (score, 1.0) for i, score in enumerate(scores)})
    history = [measured(f"s{i % len(scores)}", loss) for i, loss in enumerate(losses)]
    probabilities = PriorPolicy(strategies).propose(TASK, history, 60.0).probabilities
    assert set(probabilities) == {strategy.name for strategy in strategies}
    assert all(p > 0 for p in probabilities.values())
    assert sum(probabilities.values()) == pytest.approx(1)


def test_higher_scores_come_first_and_second_entries_later() -> None:
    policy = PriorPolicy(make_strategies(low=(0.0, 1.0), high=(0.5, 1.0)))
    assert order(policy) == ["high", "low", "high", "low"]


def test_what_was_tried_is_not_proposed_again() -> None:
    policy = PriorPolicy(make_strategies(a=(0.0, 1.0), b=(0.0, 1.0)))
    proposed = policy.propose(TASK, [measured("a", 0.1)], math.inf).configurations
    assert Configuration("a", {"x": 0.0}) not in proposed
    assert len(proposed) == 3


def test_strategies_that_do_well_here_gain() -> None:
    policy = PriorPolicy(make_strategies(a=(0.0, 1.0), b=(0.0, 1.0)))
    probabilities = policy.propose(TASK, [measured("a", 0.5), measured("b", 0.1)], math.inf).probabilities
    assert probabilities["b"] > probabilities["a"]
    assert order(policy, [measured("a", 0.5), measured("b", 0.1)])[0] == "b"


def test_dear_strategies_wait_when_time_is_short_and_not_when_it_is_long() -> None:
    policy = PriorPolicy(make_strategies(cheap=(0.0, 1.0), dear=(0.4, 20.0)))
    history = [measured("cheap", 0.1, seconds=2.0)]
    assert order(policy, history, remaining_s=30.0)[0] == "cheap"
    assert order(policy, history, remaining_s=1e6)[0] == "dear"
