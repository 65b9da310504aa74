import math

import numpy as np
import pytest

from autometa.core.budget import Deadline
from autometa.learners.base import FitData
from autometa.learners.early_stopping import EarlyStopping, iterations_to_do, stops_early
from tests.helpers.fit_data import fit_data

NEVER = Deadline(math.inf)


def iterations_until_stop(stopping: EarlyStopping, losses: list[float]) -> int:
    for iteration, loss in enumerate(losses, start=1):
        if stopping.stop_after(iteration, loss):
            return iteration
    return len(losses)


def data(n_iterations: int | None = None, validated: bool = False) -> FitData:
    X, y = np.zeros((2, 1), dtype=np.float32), np.zeros(2)
    aside = {"X_val": X, "y_val": y} if validated else {}
    return fit_data(X, y, n_iterations=n_iterations, **aside)


def test_it_waits_for_its_patience_after_the_best_loss() -> None:
    stopping = EarlyStopping(patience=3, deadline=NEVER)
    assert iterations_until_stop(stopping, [5.0, 4.0, 4.5, 4.5, 4.5, 1.0]) == 5
    assert stopping.best_iteration == 2


def test_a_falling_loss_never_stops() -> None:
    stopping = EarlyStopping(patience=2, deadline=NEVER)
    assert iterations_until_stop(stopping, list(np.linspace(1.0, 0.1, 50))) == 50
    assert stopping.best_iteration == 50


def test_a_loss_that_barely_falls_stops_but_its_best_iteration_is_kept() -> None:
    stopping = EarlyStopping(patience=10, deadline=NEVER)
    stopped = iterations_until_stop(stopping, [1.0 - 1e-7 * i for i in range(100)])
    assert stopped == stopping.best_iteration == 11


def test_slow_progress_adds_up() -> None:
    losses = [1.0 - 5e-5 * i for i in range(100)]
    assert iterations_until_stop(EarlyStopping(patience=10, deadline=NEVER), losses) == 100


def test_negative_losses_are_compared_like_others() -> None:
    stopping = EarlyStopping(patience=3, deadline=NEVER)
    assert iterations_until_stop(stopping, [-1.0, -2.0, -1.9, -1.9, -1.9, -1.9]) == 5
    assert stopping.best_iteration == 2


def test_a_loss_of_zero_stops() -> None:
    assert iterations_until_stop(EarlyStopping(patience=5, deadline=NEVER), [0.0] * 20) == 6


def test_without_losses_the_latest_iteration_is_the_best() -> None:
    stopping = EarlyStopping(patience=2, deadline=NEVER)
    assert not any(stopping.stop_after(iteration) for iteration in range(1, 20))
    assert stopping.best_iteration == 19


def test_losses_that_are_not_numbers_count_as_no_losses() -> None:
    stopping = EarlyStopping(patience=2, deadline=NEVER)
    assert iterations_until_stop(stopping, [math.nan] * 10) == 10
    assert stopping.best_iteration == 10


def test_a_passed_deadline_stops_after_the_first_iteration() -> None:
    stopping = EarlyStopping(patience=10, deadline=Deadline.after(-1.0))
    assert stopping.stop_after(1, 0.5)
    assert stopping.best_iteration == 1


def test_it_stops_before_the_iteration_that_would_end_late(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    stopping = EarlyStopping(patience=1000, deadline=Deadline(10.0, lambda: clock[0]))
    iteration = 0
    while True:
        iteration += 1
        clock[0] += 3.0
        if stopping.stop_after(iteration, 1.0 / iteration):
            break
    assert clock[0] == 9.0


@pytest.mark.parametrize(
    ("n_iterations", "validated", "expected", "early"),
    [(7, True, 7, False), (7, False, 7, False), (None, True, 99, True), (None, False, 10, False)],
)
def test_a_given_number_of_iterations_comes_before_everything(
    n_iterations: int | None, validated: bool, expected: int, early: bool
) -> None:
    given = data(n_iterations, validated)
    assert iterations_to_do(given, without_validation=10, at_most=99) == expected
    assert stops_early(given) is early


def test_only_a_deadline_before_the_last_iteration_cuts_a_fit_short() -> None:
    passed = Deadline.after(-1.0)
    in_time, last, patient, late = (
        EarlyStopping(patience=1, deadline=NEVER, n_wanted=2),
        EarlyStopping(patience=10, deadline=passed, n_wanted=1),
        EarlyStopping(patience=1, deadline=passed, n_wanted=9),
        EarlyStopping(patience=10, deadline=passed, n_wanted=9),
    )
    for stopping, n in ((in_time, 2), (last, 1), (patient, 2), (late, 1)):
        for iteration in range(1, n + 1):
            stopping.stop_after(iteration, 1.0)
    assert [s.is_cut_short for s in (in_time, last, patient, late)] == [False, False, False, True]
