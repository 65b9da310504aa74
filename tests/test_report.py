"""Leaderboard and report fit on a screen, hide nothing that was asked for, and say why."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from autometa import AutoMetaClassifier, AutoMetaRegressor
from autometa.report import LEADERBOARD_COLUMNS, REPORT_COLUMNS, columns_line, leaderboard, strategy_report
from autometa.search.search_history import SearchHistory
from autometa.tables.schema import Schema
from tests.test_estimators import QUICK, make_frame, make_labels, make_values


def _trial(number: int, strategy: str, loss: float, status: str = "ok", **changes: Any) -> dict[str, Any]:
    return {
        "number": number,
        "strategy": strategy,
        "parameters": {"learning_rate": 0.012345678, "n_estimators": 1000, "min_samples_leaf": 17},
        "status": status,
        "loss": loss,
        "weight": 1 / 3,
        "time_s": 123.456789,
        "ended_s": 234.567891,
        "error": "",
        "predicted_loss": 0.123456789,
        "predicted_s": 1.23456789,
        "evaluations": [
            {"anchor": anchor, "fold": fold, "loss": loss, "fit_s": 1.0, "predict_s": 0.1, "status": "ok"}
            for anchor in (0.125, 1.0)
            for fold in range(8)
        ],
    } | changes


def _strategy(name: str, probability: float | None, note: str = "") -> dict[str, Any]:
    return {"name": name, "probability": probability, "note": note, "recommended": {"alpha": 0.123456789}}


@pytest.fixture
def history() -> SearchHistory:
    trials = [
        _trial(0, "hist_gradient_boosting", 0.123456789),
        _trial(1, "discriminant_analysis", math.nan, "failed", error="LinAlgError: " + "not positive definite " * 20),
        _trial(2, "lightgbm", 0.0987654321, "timeout"),
        _trial(3, "hist_gradient_boosting", 0.0123456789),
    ]
    strategies = [
        _strategy("xgboost", None, 'left out: xgboost is not installed: pip install "autometa[xgboost]"'),
        _strategy("ridge", None, "left out: not for binary"),
        _strategy("hist_gradient_boosting", 0.123456789),
        _strategy("discriminant_analysis", 0.0234567891),
        _strategy("lightgbm", 0.2345678912),
    ]
    return SearchHistory("roc_auc", trials, strategies)


def test_a_leaderboard_fits_into_a_terminal(history: SearchHistory) -> None:
    with pd.option_context("display.width", 80, "display.max_columns", 0):
        lines = repr(leaderboard(history)).splitlines()
    assert len(lines) == 1 + len(history.trials)
    assert max(map(len, lines)) <= 80
    assert not any("..." in line for line in lines)


def test_a_report_without_notes_fits_into_a_terminal(history: SearchHistory) -> None:
    history.strategies = [dict(row, note="") for row in history.strategies]
    history.trials = history.trials[2:]
    with pd.option_context("display.width", 80, "display.max_columns", 0):
        lines = repr(strategy_report(history)).splitlines()
    assert len(lines) == 1 + len(history.strategies)
    assert max(map(len, lines)) <= 80


def test_notes_of_any_length_leave_a_report_readable(history: SearchHistory) -> None:
    with pd.option_context("display.width", 120, "display.max_columns", 0):
        assert max(map(len, repr(strategy_report(history)).splitlines())) <= 120


def test_the_best_come_first_and_those_without_every_fold_last(history: SearchHistory) -> None:
    table = leaderboard(history)
    assert list(table) == LEADERBOARD_COLUMNS
    assert table["trial"].tolist() == [3, 0, 2, 1]


def test_a_full_leaderboard_has_everything_in_the_same_order(history: SearchHistory) -> None:
    narrow, full = leaderboard(history), leaderboard(history, full=True)
    pd.testing.assert_frame_equal(full[LEADERBOARD_COLUMNS], narrow)
    assert {"configuration", "predicted_loss", "predicted_s", "ended_s", "error"} <= set(full)
    assert {f"loss_fold{fold}{anchor}" for fold in range(8) for anchor in ("", "_anchor0.125")} <= set(full)


def test_strategies_left_out_come_last_and_those_for_other_problems_on_request_only(history: SearchHistory) -> None:
    narrow, full = strategy_report(history), strategy_report(history, full=True)
    tried = ["lightgbm", "hist_gradient_boosting", "discriminant_analysis"]
    assert list(narrow) == REPORT_COLUMNS
    assert narrow["strategy"].tolist() == [*tried, "xgboost"]
    assert narrow.index.tolist() == [0, 1, 2, 3]
    assert full["strategy"].tolist()[:3] == tried
    assert set(full["strategy"].tolist()[3:]) == {"xgboost", "ridge"}


def test_a_full_report_has_the_recommended_configuration_and_the_result(history: SearchHistory) -> None:
    full = strategy_report(history, full=True).set_index("strategy")
    assert full.loc["lightgbm", "recommended"] == {"alpha": 0.123456789}
    assert full.loc["hist_gradient_boosting", "best_configuration"] == history.trials[3]["parameters"]
    assert full.loc["hist_gradient_boosting", "n_ok"] == 2
    assert "LinAlgError" in full.loc["discriminant_analysis", "note"]


@pytest.mark.parametrize("full", [False, True])
def test_a_search_without_trials_has_an_empty_leaderboard(full: bool) -> None:
    table = leaderboard(SearchHistory("rmse"), full=full)
    assert table.empty
    assert set(LEADERBOARD_COLUMNS) <= set(table)


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_a_fit_reports_the_strategies_for_its_problem(kind: str) -> None:
    X = make_frame()
    strategies = ["ridge", "logistic_regression"]
    if kind == "classifier":
        model, own, other = AutoMetaClassifier(**QUICK, strategies=strategies).fit(X, make_labels(X)), *strategies[::-1]
    else:
        model, own, other = AutoMetaRegressor(**QUICK, strategies=strategies).fit(X, make_values(X)), *strategies
    assert model.report()["strategy"].tolist() == [own]
    notes = model.report(full=True).set_index("strategy")["note"]
    assert notes[other].startswith("left out: not for ")


def test_the_line_about_columns_names_every_reason_and_not_every_column() -> None:
    dropped = {f"c{k}": "constant" for k in range(300)} | {"key": "an identifier"}
    line = columns_line(Schema(columns=["a", "day", *dropped], numbers=["a"], moments=["day"], dropped=dropped))
    assert line.startswith("columns: 1 number, 1 date, 301 left out: 'c0', 'c1', ")
    assert line.endswith(", … (constant); 'key' (an identifier)")
    assert len(line) < 150


def test_trials_that_were_cut_short_rank_among_the_complete_ones_and_say_so() -> None:
    trials = [_trial(0, "a", 0.1, "pruned"), _trial(1, "a", 0.3), _trial(2, "b", 0.2, "cut_short")]
    cut = SearchHistory("rmse", trials, [_strategy("a", 0.5), _strategy("b", 0.5)])
    table = leaderboard(cut)
    assert table["trial"].tolist() == [2, 1, 0]
    assert table["status"].tolist() == ["cut_short", "ok", "pruned"]
    report = strategy_report(cut, full=True).set_index("strategy")
    assert report.loc["b", ["n_ok", "best_loss"]].tolist() == [1, 0.2]
