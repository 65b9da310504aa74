"""Expected seconds, and the limits that a search sets by them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest

from autometa.core.budget import Budget, Deadline
from autometa.core.evaluation import Evaluation
from autometa.core.space import Configuration
from autometa.search.time_limits import ObservedSeconds, TimeLimits
from tests.helpers.searches import PLAN

COSTS = {"a": 1.0, "b": 4.0}


def evaluation(strategy: str, anchor: float = 1.0, seconds: float = 1.0) -> Evaluation:
    return Evaluation(Configuration(strategy), anchor, 0, 0.1, seconds, 0.0)


def observed_seconds(costs: Mapping[str, float], *evaluations: Evaluation) -> ObservedSeconds:
    return ObservedSeconds(costs, evaluations)


def test_seconds_are_those_of_the_strategy_once_it_was_measured() -> None:
    observed = observed_seconds({"a": 1.0, "b": 4.0})
    assert observed.predict("a", 1.0) is None
    observed.add(evaluation("a", seconds=2.0))
    assert observed.predict("a", 1.0) == pytest.approx(2)
    assert observed.predict("b", 1.0) == pytest.approx(8)
    observed.add(evaluation("b", seconds=3.0))
    assert observed.predict("b", 1.0) == pytest.approx(3)


def test_more_rows_take_longer_but_not_in_proportion() -> None:
    observed = observed_seconds({"a": 1.0}, evaluation("a", anchor=0.125, seconds=1.0))
    full = observed.predict("a", 1.0)
    assert full is not None and 1 < full < 8


def test_a_fit_that_was_cut_short_counts_for_its_own_strategy_only() -> None:
    cut = replace(evaluation("a", seconds=1.0), is_cut_short=True)
    observed = observed_seconds({"a": 1.0, "b": 1.0, "c": 2.0}, cut, evaluation("b", seconds=5.0))
    assert observed.predict("a", 1.0) == pytest.approx(1)
    assert observed.predict("c", 1.0) == pytest.approx(10)
    # If all fits were cut short, their seconds count.
    assert observed_seconds({"a": 1.0, "c": 2.0}, cut).predict("c", 1.0) == pytest.approx(2)


def test_failures_say_nothing_about_seconds() -> None:
    failure = Evaluation(Configuration("a"), 1.0, 0, float("nan"), 99.0, 0.0, "failed", "why")
    assert observed_seconds({"a": 1.0}, failure).predict("a", 1.0) is None


class Clock:
    """A clock that a test sets."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def time_limits(
    clock: Clock, budget_s: float = 100.0, *, n_folds: int = 4, n_jobs: int = 1, workers: bool = False
) -> TimeLimits:
    budget = Budget(time_s=budget_s, n_trials=10)
    deadline = Deadline.after(budget_s, clock)
    return TimeLimits(budget, deadline, replace(PLAN, use_workers=workers), n_folds, n_jobs, COSTS)


def test_without_a_time_limit_everything_fits_and_nothing_is_limited() -> None:
    limits = time_limits(Clock(), math.inf)
    limits.add(evaluation("a", seconds=1e6))
    assert limits.fits("a") and limits.fits("b")
    assert limits.of_evaluation("b", has_model=True, has_trial=True) == math.inf


def test_a_trial_fits_if_all_of_its_folds_are_expected_to_end_in_time() -> None:
    clock = Clock()
    limits = time_limits(clock)
    limits.add(evaluation("a", seconds=10.0))
    assert limits.of_trial_s("a") == pytest.approx(40.0)
    # A strategy that was not measured is expected to take its relative cost: 4 folds of 40 s.
    assert limits.fits("a") and not limits.fits("b")
    clock.now_s = 60.0
    assert limits.fits("a")
    clock.now_s = 60.1
    assert not limits.fits("a")


@pytest.mark.parametrize(("n_jobs", "workers", "fits"), [(2, True, True), (2, False, False), (1, True, False)])
def test_folds_side_by_side_take_less_time(n_jobs: int, workers: bool, fits: bool) -> None:
    clock = Clock()
    limits = time_limits(clock, n_jobs=n_jobs, workers=workers)
    limits.add(evaluation("a", seconds=20.0))
    clock.now_s = 50.0
    assert limits.fits("a") is fits


def test_an_evaluation_may_take_a_fraction_of_the_search_and_never_more_than_the_time_left() -> None:
    clock = Clock()
    limits = time_limits(clock)
    limits.add(evaluation("a", seconds=1.0))
    # 20% of 100 s over 4 folds before the first complete trial, 40% after it.
    assert limits.of_evaluation("a", has_model=True, has_trial=False) == pytest.approx(5.0)
    assert limits.of_evaluation("a", has_model=True, has_trial=True) == pytest.approx(10.0)
    clock.now_s = 97.0
    assert limits.of_evaluation("a", has_model=True, has_trial=True) == pytest.approx(3.0)


def test_an_evaluation_that_would_not_end_in_time_starts_only_while_there_is_no_model() -> None:
    clock = Clock()
    limits = time_limits(clock)
    limits.add(evaluation("a", seconds=30.0))
    clock.now_s = 80.0
    assert limits.of_evaluation("a", has_model=True, has_trial=True) is None
    assert limits.of_evaluation("a", has_model=False, has_trial=False) == pytest.approx(5.0)


def test_moving_the_deadline_leaves_less_time() -> None:
    limits = time_limits(Clock())
    limits.add(evaluation("a", seconds=20.0))
    assert limits.fits("a")
    limits.deadline = limits.deadline.sooner(30.0)
    assert not limits.fits("a")
