"""Budgets check themselves; deadlines come when they should."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autometa.core.budget import Budget, Deadline


@given(st.floats(min_value=1e-9, allow_infinity=False), st.none() | st.integers(1, 10**9))
def test_positive_limits_are_kept_as_they_are(time_s: float, n_trials: int | None):
    budget = Budget(time_s, n_trials)
    assert (budget.time_s, budget.n_trials, budget.has_time_limit) == (time_s, n_trials, True)


@pytest.mark.parametrize("time_s", [0, -1, -math.inf, math.nan])
def test_time_that_is_not_positive_is_refused(time_s: float):
    with pytest.raises(ValueError, match="positive number of seconds"):
        Budget(time_s)


@pytest.mark.parametrize("time_s", ["60", None, True, [60]], ids=repr)
def test_time_that_is_not_a_number_is_refused(time_s: object):
    with pytest.raises(TypeError, match="number of seconds"):
        Budget(time_s)


@pytest.mark.parametrize("n_trials", [1.5, "3", True, 2.0], ids=repr)
def test_number_of_trials_must_be_whole(n_trials: object):
    with pytest.raises(TypeError, match="whole number"):
        Budget(60, n_trials)


@pytest.mark.parametrize("n_trials", [0, -3])
def test_number_of_trials_must_be_positive(n_trials: int):
    with pytest.raises(ValueError, match="at least 1"):
        Budget(60, n_trials)


def test_numpy_numbers_are_numbers():
    assert Budget(np.int64(60), np.int32(5)) == Budget(60, 5)
    assert Budget(np.float32(1.5)).has_time_limit


def test_run_needs_a_limit_and_trials_are_one():
    with pytest.raises(ValueError, match="needs a limit"):
        Budget()
    assert not Budget(n_trials=3).has_time_limit


def test_deadline_passes_when_its_seconds_are_over():
    late, past = Deadline.after(1000), Deadline.after(-1)
    assert not late.passed() and past.passed()
    assert 0 < late.remaining_s() <= 1000
    assert past.remaining_s() == 0
    assert late.sooner(2000).passed()


def test_deadline_at_infinity_never_comes():
    never = Deadline.after(math.inf)
    assert never.remaining_s() == math.inf
    assert not never.sooner(10).passed()
    assert pickle.loads(pickle.dumps(never)) == never


def test_deadline_on_another_clock_comes_when_that_clock_says_so():
    now_s = 5.0
    deadline = Deadline.after(10, clock=lambda: now_s)
    assert deadline.remaining_s() == 10
    now_s = 12.0
    assert (deadline.remaining_s(), deadline.passed()) == (3, False)
    assert (deadline.sooner(2).remaining_s(), deadline.sooner(4).passed()) == (1, True)
