"""Fits on all rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from autometa.core.budget import Deadline
from autometa.core.evaluation import Evaluation
from autometa.core.space import Configuration
from autometa.evaluation.jobs import Job, Outcome
from autometa.evaluation.workspace import ALL_ROWS
from autometa.search.refit import refit
from autometa.search.trial_records import TrialRecord
from tests.helpers.searches import InstantEvaluator

# With five folds each trains on four fifths of the rows.
GROWTH = 1.25


class Refits(InstantEvaluator):
    """Cuts the fits of some trials short, and fails in the preparation of a strategy."""

    def __init__(self, cut_short: set[int] | None = None, error: BaseException | None = None) -> None:
        super().__init__()
        self.cut_short = cut_short or set()
        self.error = error
        self.prepared: list[tuple[str, int]] = []

    def prepare(self, strategy: str, fold: int) -> None:
        if self.error is not None and self.prepared:
            raise self.error
        self.prepared.append((strategy, fold))

    def preparation_s(self, strategy: str, fold: int) -> float:
        return 4.0 if strategy == "slow" else 0.0

    def outcome(self, job: Job) -> Outcome:
        outcome = super().outcome(job)
        evaluation = replace(outcome.evaluation, is_cut_short=job.trial in self.cut_short)
        return replace(outcome, evaluation=evaluation, predictions=None)


def record(number: int, strategy: str = "a", seconds: float = 1.0, n_iterations: tuple[int, ...] = ()) -> TrialRecord:
    configuration = Configuration(strategy, {"x": 0.1 * number})
    return TrialRecord(
        number,
        configuration,
        [Evaluation(configuration, 1.0, 0, 0.5, seconds, 0.0)],
        {0: np.zeros(3)},
        dict(enumerate(n_iterations)),
        status="ok",
    )


def refitted(records: list[TrialRecord], evaluator: Refits, remaining_s: float = 1e6, **changes: Any) -> set[int]:
    deadline = Deadline.after(remaining_s, lambda: 0.0)
    arguments: dict[str, Any] = {"growth": GROWTH, "deadline": deadline, "n_jobs": 1, "n_threads": 1, "seed": 0}
    return refit(records, evaluator=evaluator, **{**arguments, **changes})


@pytest.mark.parametrize("cut_short", [set(), {1}, {0, 1, 2}])
def test_a_model_that_the_deadline_cut_short_does_not_replace_those_of_the_folds(cut_short: set[int]) -> None:
    evaluator = Refits(cut_short)
    assert refitted([record(n) for n in range(3)], evaluator) == {0, 1, 2} - cut_short
    assert [job.fold for job in evaluator.jobs] == [ALL_ROWS] * 3
    assert evaluator.prepared == [("a", ALL_ROWS)] * 3


def test_a_fit_that_would_not_end_in_time_is_left_out_and_later_ones_are_not() -> None:
    # 1.25 times the rows, with a margin of 15%: 10 s become 14.4 s.
    records = [record(0, seconds=10.0), record(1, seconds=1.0), record(2, "slow", seconds=6.0)]
    assert refitted(records, Refits(), remaining_s=14.3) == {1}
    assert refitted(records, Refits(), remaining_s=14.4) == {0, 1, 2}


def test_more_rows_get_more_iterations_than_the_folds_kept() -> None:
    evaluator = Refits()
    refitted([record(0, n_iterations=(90, 110)), record(1)], evaluator)
    assert [job.n_iterations for job in evaluator.jobs] == [round(100 * 1.25**0.5), None]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), MemoryError(), KeyboardInterrupt()])
def test_whatever_ends_it_early_keeps_the_models_that_are_there(error: BaseException) -> None:
    assert refitted([record(n) for n in range(3)], Refits(error=error)) == {0}
