"""Fits on all rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autometa.core.budget import Deadline
from autometa.core.evaluation import Evaluation
from autometa.core.space import Configuration
from autometa.evaluation.jobs import Job, Outcome
from autometa.evaluation.workspace import ALL_ROWS
from autometa.search.refit import refit
from autometa.search.trial_records import TrialRecord
from tests.helpers.searches import PLAN, InstantEvaluator


class Refits(InstantEvaluator):
    """Cuts the fits of some trials short."""

    def __init__(self, cut_short: set[int]) -> None:
        super().__init__()
        self.cut_short = cut_short

    def outcome(self, job: Job) -> Outcome:
        outcome = super().outcome(job)
        evaluation = replace(outcome.evaluation, is_cut_short=job.trial in self.cut_short)
        return replace(outcome, evaluation=evaluation, predictions=None)


@pytest.mark.parametrize("cut_short", [set(), {1}, {0, 1, 2}])
def test_a_model_that_the_deadline_cut_short_does_not_replace_those_of_the_folds(cut_short: set[int]) -> None:
    configurations = [Configuration("a", {"x": x}) for x in (0.1, 0.2, 0.3)]
    records = [
        TrialRecord(n, c, [Evaluation(c, 1.0, 0, 0.5, 1.0, 0.0)], {0: np.zeros(3)}, status="ok")
        for n, c in enumerate(configurations)
    ]
    evaluator = Refits(cut_short)
    refitted = refit(
        records,
        evaluator=evaluator,
        plan=PLAN,
        deadline=Deadline.after(1e6),
        n_jobs=1,
        n_threads=1,
        seed=0,
    )
    assert [job.fold for job in evaluator.jobs] == [ALL_ROWS] * 3
    assert refitted == {0, 1, 2} - cut_short
