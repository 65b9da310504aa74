"""Neighbours of a fit are started and ended, and its report compares with the idle machine."""

from __future__ import annotations

import pandas as pd
import psutil
import pytest

from benchmarks.busy import busy_neighbours, report, with_shares


def children() -> list[psutil.Process]:
    return psutil.Process().children()


def test_neighbours_run_inside_the_block_alone():
    before = len(children())
    with busy_neighbours(2):
        assert len(children()) == before + 2
    assert len(children()) == before


def results() -> pd.DataFrame:
    fit = {"task": "a", "budget_s": 5.0, "seed": 0, "n_cores": 2, "n_models": 3, "first_model_s": 0.5, "error": None}
    fit |= {"ensemble_loss": 0.1, "predict_s": 0.2}
    rows = [
        fit | {"n_busy": 0, "fit_s": 4.5, "over_s": -0.5, "time_kept": True, "n_trials": 12},
        fit | {"n_busy": 2, "fit_s": 7.5, "over_s": 2.5, "time_kept": False, "n_trials": 3},
        {"task": "a", "budget_s": 5.0, "seed": 0, "n_cores": 2, "n_busy": 1, "error": "no model"},
    ]
    return pd.DataFrame(rows)


def test_trials_are_compared_with_those_of_the_idle_machine():
    shared = with_shares(results()).set_index("n_busy")
    assert shared["share"].to_dict() == {0: 1.0, 2: 0.25, 1: pytest.approx(float("nan"), nan_ok=True)}
    assert shared["fair_share"].to_dict() == {0: 1.0, 2: 0.5, 1: pytest.approx(2 / 3)}


def test_report_counts_fits_without_a_model_and_overruns():
    text = report(results())
    assert "no model" in text
    lines = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line}

    def numbers(name: str) -> list[float]:
        return [float(number) for number in lines[name]]

    assert numbers("without_model") == [0, 1, 0]
    assert numbers("time_kept") == [1, 0, 0]
    assert numbers("fair_share") == [1, 0.667, 0.5]
