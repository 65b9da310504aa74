"""Studies with fixed dates, and the archive ``layout_1.db`` that the build with layout 1 wrote of them.

The file was made, with the sources of that build in the working tree, by

    PYTHONPATH=. python tests/transfer/old_archive.py tests/transfer/layout_1.db
"""

from __future__ import annotations

import math
import sys
import warnings
from datetime import datetime, timedelta
from pathlib import Path

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from autometa.transfer.study_archive import StudyArchive

LAYOUT_1 = Path(__file__).parent / "layout_1.db"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Optuna's of the tuple
    SPACE = {"x": FloatDistribution(0, 1), "c": CategoricalDistribution(["a", None, (1, 2)])}


def dated_trial(number: int, day: int, state: TrialState = TrialState.COMPLETE) -> FrozenTrial:
    """Return a trial that started on a day of 2026, `number` hours after midnight."""
    start = None if state == TrialState.WAITING else datetime(2026, 1, day) + timedelta(hours=number, microseconds=7)
    is_begun = start is not None
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=state,
        value=number / 8 if state == TrialState.COMPLETE else None,
        datetime_start=start,
        datetime_complete=start + timedelta(minutes=1) if start is not None and state.is_finished() else None,
        params={"x": number / 16, "c": SPACE["c"].choices[number % 3]} if is_begun else {},
        distributions=SPACE if is_begun else {},
        user_attrs={},
        system_attrs={},
        intermediate_values={1: 0.5, 3: math.nan} if is_begun else {},
    )


def dated_study(name: str, day: int, states: list[TrialState]) -> optuna.Study:
    """Return a study in memory whose trials started on one day."""
    study = optuna.create_study(study_name=name)
    study.add_trials([dated_trial(number, day, state) for number, state in enumerate(states)])
    return study


def old_studies() -> list[tuple[optuna.Study, dict]]:
    """Return the studies of the file, each as it was when it was added, and how it was added."""
    done = TrialState.COMPLETE
    return [
        (dated_study("churn", 1, [done, TrialState.PRUNED, TrialState.FAIL, done]), {"tags": {"model": "lgbm"}}),
        (dated_study("empty", 2, []), {}),
        (dated_study("queue", 3, [TrialState.WAITING, done]), {}),
        (dated_study("same", 4, [done]), {}),
        (dated_study("same", 5, [done, done]), {}),
        (dated_study("original", 6, [done, done]), {"name": "renamed"}),
    ]


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    archive = StudyArchive(sys.argv[1])
    for study, options in old_studies():
        archive.add(study, **options)
