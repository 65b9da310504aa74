"""Baselines and the oracle."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from autometa.core.budget import Budget
from autometa.core.task import TaskDescription
from autometa.metalearning.replay.baselines import (
    Oracle,
    RandomPolicy,
    StaticPolicy,
    average_rank,
    greedy,
    greedy_per_second,
)
from autometa.metalearning.replay.replay import describe_past, replay
from tests.helpers.past_tasks import made_up_past

METRIC = "balanced_accuracy"
ORDERS = [average_rank, greedy, greedy_per_second]


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: order.__name__)
def test_an_order_has_every_measured_configuration_once(order, seed: int) -> None:
    past = made_up_past(seed)
    assert sorted(order(past)) == list(range(len(past.configurations)))


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: order.__name__)
def test_what_no_task_of_the_problem_has_is_not_proposed(order) -> None:
    past = made_up_past()
    losses = past.losses[METRIC].copy()
    losses[:, 3] = np.nan
    assert 3 not in order(replace(past, losses={METRIC: losses}))


def test_average_rank_begins_with_what_is_best_everywhere() -> None:
    past = made_up_past()
    losses = past.losses[METRIC].copy()
    losses[:, 5] = 0.0
    assert average_rank(replace(past, losses={METRIC: losses}))[0] == 5


def test_the_order_is_that_of_the_tasks_of_the_problem() -> None:
    past = made_up_past()
    odd = [row for row in range(len(past.tasks)) if row % 2]
    past = replace(past, problems=tuple("binary" if row % 2 else "multiclass" for row in range(len(past.tasks))))
    policy = StaticPolicy(past, average_rank)
    proposed = policy.propose(TaskDescription("binary", 100, 5, 2), [], math.inf).configurations
    assert [past.position[c] for c in proposed] == average_rank(past.select(odd))
    # No regression was recorded, so all tasks are asked.
    proposed = policy.propose(TaskDescription("regression", 100, 5, 0), [], math.inf).configurations
    assert [past.position[c] for c in proposed] == average_rank(past)


def test_random_orders_differ_between_searches_and_not_between_seeds(seed: int) -> None:
    past = made_up_past()

    def orders() -> list[tuple]:
        policy = RandomPolicy(past, seed)
        return [replay(policy, past, task, budget=Budget(n_trials=99)).configurations for task in (0, 1)]

    first = orders()
    assert first == orders()
    assert first[0] != first[1]
    assert {*first[0]} == set(past.configurations)


def test_the_oracle_has_no_regret_after_one_result(seed: int) -> None:
    past = made_up_past(seed)
    for task in range(len(past.tasks)):
        assert replay(Oracle(past), past, task, budget=Budget(n_trials=1)).regret_after(1) == 0


def test_the_oracle_finds_the_best_that_ends_in_time(seed: int) -> None:
    past = made_up_past(seed)
    seconds = np.tile(np.array([1.0, 500.0] * 4), (len(past.tasks), 1))
    past = replace(past, seconds=seconds)
    for task in range(len(past.tasks)):
        episode = replay(Oracle(past), past, task, budget=Budget(time_s=100.0))
        assert np.nanmin(episode.losses) == past.losses[METRIC][task, ::2].min()


def test_the_oracle_refuses_a_task_that_it_does_not_know() -> None:
    past = made_up_past()
    description = replace(describe_past(past, 0, METRIC), features={"log_rows": 3.0})
    with pytest.raises(ValueError, match="oracle knows only recorded tasks"):
        Oracle(past).propose(description, [], math.inf)
