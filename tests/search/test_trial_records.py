"""The trials that an ensemble may choose from."""

from __future__ import annotations

import numpy as np

from autometa.core.evaluation import Evaluation
from autometa.core.space import Configuration
from autometa.search.trial_records import TrialRecord, candidates, usable


def evaluation(strategy: str, loss: float, anchor: float = 1.0, fold: int = 0, seconds: float = 1.0) -> Evaluation:
    return Evaluation(Configuration(strategy, {"loss": loss}), anchor, fold, loss, seconds, 0.0)


def record(number: int, strategy: str, loss: float, n_folds: int = 1) -> TrialRecord:
    evaluations = [evaluation(strategy, loss, fold=fold) for fold in range(n_folds)]
    predictions = {fold: np.zeros(3) for fold in range(n_folds)}
    return TrialRecord(number, evaluations[0].configuration, evaluations, predictions, status="ok", loss=loss)


def test_trials_on_every_fold_are_preferred_and_otherwise_those_with_the_most() -> None:
    full, partial = record(0, "a", 0.5, n_folds=3), record(1, "b", 0.1, n_folds=1)
    assert usable([full, partial], 3) == [full]
    assert usable([partial], 3) == [partial]
    assert usable([], 3) == []


def test_no_strategy_crowds_out_the_others() -> None:
    records = [record(i, "many", 0.1 + i / 1000) for i in range(30)] + [record(99, "other", 0.9)]
    chosen = candidates(usable(records, 1), 9)
    names = [r.configuration.strategy for r in chosen]
    assert names.count("many") == 3
    assert "other" in names
    assert [r.mean_loss() for r in chosen] == sorted(r.mean_loss() for r in chosen)
