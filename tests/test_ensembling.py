"""Warnings about an ensemble that is no better than a constant."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from autometa import AutoMeta
from autometa.core.space import Configuration
from autometa.core.task import Problem, TaskDescription
from autometa.ensemble.out_of_fold import MemberPredictions, OutOfFold
from autometa.ensemble.predictor import FittedPredictor
from autometa.ensembling import Ensemble, warning_about
from autometa.evaluation.metrics import resolve_metric
from autometa.search.engine import Search
from autometa.search.trial_records import TrialRecord, TrialStatus


def search(*statuses: TrialStatus, problem: Problem = "binary") -> Search:
    records = [TrialRecord(n, Configuration("lightgbm"), status=status) for n, status in enumerate(statuses)]
    task = TaskDescription(problem, 100, 3, 2)
    return cast(Search, SimpleNamespace(records=records, task=task, stop_reason="the time budget is used up"))


def ensemble(loss: float, constant_loss: float) -> Ensemble:
    return Ensemble(
        cast(FittedPredictor, None), {0: 1.0}, loss, constant_loss, cast(OutOfFold, None), cast(MemberPredictions, None)
    )


def warned(loss: float, constant_loss: float, *statuses: TrialStatus, metric: str = "f1") -> str:
    return warning_about(ensemble(loss, constant_loss), search(*statuses), resolve_metric(metric, "binary"))


def test_a_model_that_is_better_than_a_constant_gives_no_warning() -> None:
    assert warned(0.2, 0.5, "ok", "pruned") == ""
    assert warned(0.2, 0.5, "cut_short") == ""


@pytest.mark.parametrize("loss", [1.0, 0.5])
def test_a_model_as_bad_as_a_constant_gives_a_warning_with_both_scores(loss: float) -> None:
    text = warned(loss, 0.5, "ok", "failed")
    assert f"its f1 on the validation rows is {1 - loss:.4g}, that of the best constant 0.5" in text
    assert "Complete trials: 1 of 2" in text and "time_budget" in text


def test_a_model_that_makes_no_error_is_not_blamed_for_a_metric_that_a_constant_solves() -> None:
    assert warned(0.0, 0.0, "ok", metric="recall") == ""


def test_losses_below_zero_are_compared_like_others() -> None:
    assert warned(-0.5, -0.4, "ok") == ""
    assert warned(-0.4, -0.5, "ok") != ""


def test_a_search_without_a_complete_trial_gives_a_warning_at_any_loss() -> None:
    text = warned(0.1, 0.5, "stopped", "timeout")
    assert text.startswith("No trial was measured on all validation rows") and "0 of 2" in text


def test_a_metric_that_is_not_defined_for_constants_gives_no_warning() -> None:
    assert warned(0.9, np.inf, "ok") == ""


def test_the_filter_in_the_warning_silences_it() -> None:
    text = warned(1.0, 0.5, "ok")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        exec(text[text.index("warnings.filterwarnings") :].rstrip("."), {"warnings": warnings})
        warnings.warn(text, stacklevel=1)
    assert heard == []


def fit(X: pd.DataFrame, y: Any, **arguments: Any) -> AutoMeta:
    arguments = {"n_trials": 2, "cv": 3, "n_jobs": 1, "random_state": 0} | arguments
    return AutoMeta(**arguments).fit(X, y)


def table(seed: int, n_rows: int = 90) -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(seed).normal(size=(n_rows, 3)), columns=["a", "b", "c"])


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
def test_a_fit_warns_where_the_columns_say_nothing_about_the_target(seed: int, weighted: bool) -> None:
    X, rng = table(seed), np.random.default_rng(seed + 1)
    # Few of one class: every model that finds none of it has an F1 of 0, and a constant has more.
    y = np.where(rng.permutation(len(X)) < 15, "rare", "a_usual_one")
    model = AutoMeta(
        n_trials=1,
        cv=3,
        n_jobs=1,
        random_state=0,
        metric="f1",
        strategies=["logistic_regression"],
        tune_threshold=False,
        progress=False,
    )
    with pytest.warns(UserWarning, match="no better than one that predicts the same for every row") as heard:
        model.fit(X, y, sample_weight=np.ones(len(X)) + rng.random(len(X)) if weighted else None)
    # The line that it names is the one that called `fit`.
    assert {warning.filename for warning in heard if "no better" in str(warning.message)} == {__file__}


@pytest.mark.parametrize("problem", ["binary", "regression"])
def test_a_fit_that_learns_something_gives_no_warning(problem: str, seed: int) -> None:
    X = table(seed)
    y = X["a"] + 0.1 * X["b"]
    y = y if problem == "regression" else y > 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(X, y, strategies=["ridge" if problem == "regression" else "logistic_regression"])
