"""What a history says."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autometa.core.space import Configuration
from autometa.policy.observed_history import read_history
from tests.helpers.past_tasks import measured, running

A, B, C = (Configuration("s", {"x": x}) for x in (0.0, 0.5, 1.0))
OTHER = Configuration("t", {"x": 0.0})
POSITION = {A: 0, B: 1, C: 2}


def test_losses_and_seconds_are_means_over_the_folds() -> None:
    history = [
        measured(A, 0.2, 1.0),
        measured(A, 0.4, 3.0, fold=1),
        measured(B, 0.1, 5.0),
        measured(B, 0.1, 7.0, fold=1),
    ]
    seen = read_history(history, POSITION, 1.0)
    assert seen.losses == pytest.approx({0: 0.3, 1: 0.1})
    assert seen.seconds == pytest.approx({0: 2.0, 1: 6.0})
    assert seen.best == pytest.approx(0.1)


def test_a_fit_that_was_cut_short_has_a_loss_and_no_seconds() -> None:
    seen = read_history([replace(measured(A, 0.2, 1.0), is_cut_short=True), measured(B, 0.1, 5.0)], POSITION, 1.0)
    assert seen.losses == pytest.approx({0: 0.2, 1: 0.1})
    assert seen.seconds == pytest.approx({1: 5.0})


def test_order_does_not_matter(seed: int) -> None:
    history = [measured(c, loss, fold=fold) for c in (A, B, OTHER) for fold, loss in enumerate((0.5, 0.25, 0.125))]
    history += [running(C)]
    order = np.random.default_rng(seed).permutation(len(history))
    assert read_history([history[place] for place in order], POSITION, 1.0) == read_history(history, POSITION, 1.0)


@given(
    results=st.lists(
        st.tuples(st.sampled_from([A, B, C, OTHER]), st.integers(0, 2), st.floats(0.01, 1.0)), min_size=1, max_size=10
    ),
    order=st.randoms(use_true_random=False),
)
def test_order_does_not_matter_where_folds_are_missing(results: list[Any], order: random.Random) -> None:
    history = [measured(configuration, loss, fold=fold) for configuration, fold, loss in results]
    one = read_history(history, POSITION, 1.0)
    order.shuffle(history)
    other = read_history(history, POSITION, 1.0)
    assert other.losses == pytest.approx(one.losses)
    assert other.best == pytest.approx(one.best)
    assert other.seconds == pytest.approx(one.seconds)


def test_losses_are_in_units_of_the_task() -> None:
    seen = read_history([measured(A, 50.0), measured(OTHER, 20.0)], POSITION, 10.0)
    assert seen.losses == {0: 5.0}
    assert seen.best_other == 2.0


def test_only_anchor_1_has_losses_and_every_anchor_is_a_try() -> None:
    seen = read_history([measured(A, 0.2, anchor=0.1), measured(B, 0.3), measured(B, 0.9, anchor=0.1)], POSITION, 1.0)
    assert seen.losses == {1: 0.3}
    assert seen.tried == {0, 1}


def test_what_is_under_way_is_tried_and_running_until_it_has_a_loss() -> None:
    seen = read_history([running(A), running(B), measured(B, 0.3), running(OTHER)], POSITION, 1.0)
    assert seen.running == {0}
    assert seen.tried == {0, 1}


@pytest.mark.parametrize("status", ["failed", "timeout", "memory"])
def test_failures_are_tried_and_have_no_loss(status: str) -> None:
    seen = read_history([measured(A, math.nan, status=status, error="no")], POSITION, 1.0)
    assert (seen.losses, seen.seconds, seen.running, seen.tried) == ({}, {}, set(), {0})
    assert seen.best == math.inf


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_losses_that_are_no_numbers_are_passed_over(loss: float) -> None:
    seen = read_history([measured(A, loss), measured(B, 0.5), measured(B, loss, fold=1)], POSITION, 1.0)
    assert seen.losses == {1: 0.5}


def test_unknown_configurations_count_by_their_best_alone() -> None:
    history = [measured(c, loss, fold=fold) for c, loss in ((OTHER, 0.2), (A, 0.5)) for fold in (0, 1)]
    seen = read_history(history, POSITION, 1.0)
    assert seen.losses == pytest.approx({0: 0.5})
    assert seen.best_other == pytest.approx(0.2)
    assert seen.best == pytest.approx(0.2)


def test_seconds_are_of_the_wall_clock_where_they_were_measured_and_else_of_cpu() -> None:
    of_wall = measured(B, 0.1, 2.0, fit_cpu_s=0.5, predict_s=1.0, predict_cpu_s=0.5)
    of_cpu = measured(A, 0.1, math.nan, fit_cpu_s=4.0, predict_cpu_s=1.0)
    assert read_history([of_cpu, of_wall], POSITION, 1.0).seconds == {0: 5.0, 1: 3.0}


def test_a_loss_without_seconds_is_still_a_loss() -> None:
    seen = read_history([measured(A, 0.1, math.nan)], POSITION, 1.0)
    assert seen.losses == {0: 0.1}
    assert seen.seconds == {}


def test_nothing_is_seen_in_an_empty_history() -> None:
    seen = read_history([], POSITION, 1.0)
    assert (seen.losses, seen.seconds, seen.running, seen.tried, seen.best) == ({}, {}, set(), set(), math.inf)


def test_a_fold_that_is_hard_for_all_does_not_count_against_the_one_measured_only_there() -> None:
    # Fold 0 loses twice as much as fold 1: 0.4 there is as good as 0.3 over both.
    history = [measured(A, 0.8), measured(A, 0.4, fold=1), measured(B, 0.4)]
    assert read_history(history, POSITION, 1.0).losses == pytest.approx({0: 0.6, 1: 0.3})
