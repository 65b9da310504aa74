"""Folds and the use of time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autometa.core.budget import Budget
from autometa.core.task import TaskDescription
from autometa.search.plan import make_plan


@given(
    n_rows=st.integers(2, 10**6),
    n_columns=st.integers(1, 10**4),
    n_classes=st.integers(0, 100),
    seconds=st.floats(0.1, 10**5),
    n_jobs=st.integers(1, 64),
)
def test_every_plan_is_possible(n_rows: int, n_columns: int, n_classes: int, seconds: float, n_jobs: int) -> None:
    plan = make_plan(TaskDescription("multiclass", n_rows, n_columns, n_classes), Budget(seconds), n_jobs)
    assert 2 <= plan.n_splits <= 10
    assert plan.max_members >= 1
    assert 0 <= plan.finish_s + plan.refit_share * seconds < seconds or seconds < 1


def test_small_tables_get_folds_and_large_ones_in_little_time_a_holdout() -> None:
    small, large = TaskDescription("binary", 500, 20, 2), TaskDescription("binary", 50_000, 50, 2)
    assert not make_plan(small, Budget(30), 2).is_holdout
    assert make_plan(large, Budget(30), 2).is_holdout
    assert not make_plan(large, Budget(3600), 2).is_holdout


def test_in_little_time_a_few_thousand_rows_get_folds_sooner_than_more() -> None:
    # Seconds that are enough for as many fits of either.
    plans = [make_plan(TaskDescription("binary", n, 20, 2), Budget(s), 1) for n, s in ((2000, 16.0), (4000, 28.0))]
    assert [plan.is_holdout for plan in plans] == [False, True]
    assert plans[0].n_splits == 3


def test_more_time_gives_at_least_as_many_folds() -> None:
    task = TaskDescription("regression", 4000, 30, 0)
    folds = [make_plan(task, Budget(seconds), 2).n_splits for seconds in (60, 120, 600, 3600)]
    assert folds == sorted(folds)


@pytest.mark.parametrize("n_folds", [2, 7])
def test_the_callers_folds_are_followed(n_folds: int) -> None:
    plan = make_plan(TaskDescription("binary", 50_000, 50, 2), Budget(10), 2, n_folds)
    assert (plan.n_splits, plan.is_holdout) == (n_folds, False)


def test_budgets_too_short_for_workers_do_without() -> None:
    task = TaskDescription("binary", 500, 20, 2)
    assert not make_plan(task, Budget(5), 2).use_workers
    assert make_plan(task, Budget(60), 2).use_workers
    assert make_plan(task, Budget(n_trials=5), 2).use_workers


def test_a_plan_without_a_time_limit_is_the_same_on_every_machine() -> None:
    task = TaskDescription("binary", 3000, 20, 2)
    assert make_plan(task, Budget(n_trials=5), 1) == make_plan(task, Budget(n_trials=5), 8)
