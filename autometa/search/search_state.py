"""The state of a search that has ended, from which a later search of the same rows goes on."""

# Tests: tests/test_continued_fit.py

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from autometa.core.evaluation import Evaluation
from autometa.core.proposal import Prediction
from autometa.core.space import Configuration
from autometa.search.trial_records import TrialRecord


@dataclass(frozen=True)
class SearchState:
    """The state of a search that has ended.

    Parameters
    ----------
    records : tuple of TrialRecord
        Its trials, with the out-of-fold predictions of those that an ensemble may use.
    history : tuple of Evaluation
        Its evaluations, in the order in which they ended.
    expected : mapping of Configuration to Prediction
        The policy's last predictions before each configuration was tried.
    origins : mapping of Configuration to str
        Where the configurations came from.
    first_model_s : float
        Seconds from the start to the first usable model.
    total_s : float
        Seconds of all fits so far.
    """

    records: tuple[TrialRecord, ...] = ()
    history: tuple[Evaluation, ...] = ()
    expected: Mapping[Configuration, Prediction] = field(default_factory=dict)
    origins: Mapping[Configuration, str] = field(default_factory=dict)
    first_model_s: float = math.nan
    total_s: float = 0.0

    def copied_records(self) -> list[TrialRecord]:
        """Return copies of the trials: a search drops predictions, and a search that fails must not change these."""
        return [replace(record, predictions=dict(record.predictions)) for record in self.records]

    @property
    def models(self) -> list[tuple[int, int]]:
        """Number of the trial and of the fold of each model that an ensemble may use."""
        return [(record.number, fold) for record in self.records for fold in record.folds_with_model]
