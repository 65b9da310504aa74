"""Predicted seconds, and the trials that an ensemble may choose from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autometa.core.evaluation import Evaluation
from autometa.core.space import Configuration
from autometa.search.trial_records import ObservedSeconds, TrialRecord, candidates, usable


def evaluation(strategy: str, loss: float, anchor: float = 1.0, fold: int = 0, seconds: float = 1.0) -> Evaluation:
    return Evaluation(Configuration(strategy, {"loss": loss}), anchor, fold, loss, seconds, 0.0)


def record(number: int, strategy: str, loss: float, n_folds: int = 1) -> TrialRecord:
    evaluations = [evaluation(strategy, loss, fold=fold) for fold in range(n_folds)]
    predictions = {fold: np.zeros(3) for fold in range(n_folds)}
    return TrialRecord(number, evaluations[0].configuration, evaluations, predictions, status="ok", loss=loss)


def test_seconds_are_those_of_the_strategy_once_it_was_measured() -> None:
    observed = ObservedSeconds({"a": 1.0, "b": 4.0})
    assert observed.predict("a", 1.0) is None
    observed.add(evaluation("a", 0.1, seconds=2.0))
    assert observed.predict("a", 1.0) == pytest.approx(2)
    assert observed.predict("b", 1.0) == pytest.approx(8)
    observed.add(evaluation("b", 0.1, seconds=3.0))
    assert observed.predict("b", 1.0) == pytest.approx(3)


def test_more_rows_take_longer_but_not_in_proportion() -> None:
    observed = ObservedSeconds({"a": 1.0}, [evaluation("a", 0.1, anchor=0.125, seconds=1.0)])
    full = observed.predict("a", 1.0)
    assert full is not None and 1 < full < 8


def test_a_fit_that_was_cut_short_says_how_long_its_strategy_takes_and_nothing_of_others() -> None:
    cut = replace(evaluation("a", 0.1, seconds=1.0), is_cut_short=True)
    observed = ObservedSeconds({"a": 1.0, "b": 1.0, "c": 2.0}, [cut, evaluation("b", 0.1, seconds=5.0)])
    assert observed.predict("a", 1.0) == pytest.approx(1)
    assert observed.predict("c", 1.0) == pytest.approx(10)
    # Where all were cut short, there is nothing else to go by.
    assert ObservedSeconds({"a": 1.0, "c": 2.0}, [cut]).predict("c", 1.0) == pytest.approx(2)


def test_failures_say_nothing_about_seconds() -> None:
    failure = Evaluation(Configuration("a"), 1.0, 0, float("nan"), 99.0, 0.0, "failed", "why")
    assert ObservedSeconds({"a": 1.0}, [failure]).predict("a", 1.0) is None


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
