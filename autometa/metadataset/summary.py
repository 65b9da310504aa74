"""Count tasks, configurations and evaluations for the datasheet of a meta-dataset."""

# Tests: tests/metadataset/test_dataset.py

from __future__ import annotations

import numpy as np
import pandas as pd

from autometa.metadataset.schema import STATUSES

_AT_LEAST = (1, 30, 60, 100, 120, 300)


def summarise(
    tasks: pd.DataFrame, configurations: pd.DataFrame, rows: pd.DataFrame, losses: pd.DataFrame, measured: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """Return counts by problem, strategy, status and number of tasks; see `MetaDataset.summary`.

    Parameters
    ----------
    tasks, configurations : DataFrame
        Tables of a meta-dataset.
    rows : DataFrame
        Evaluations with their task and configuration, from `MetaDataset.to_pandas`.
    losses, measured : DataFrame of shape (n_tasks, n_configurations)
        Mean losses, and a mask of what was measured, which includes failures.
    """
    return {
        "problem": _by_problem(tasks, rows, measured),
        "strategy": _by_strategy(configurations, rows, losses),
        "status": _by_status(rows),
        "coverage": _coverage(measured),
    }


def _by_problem(tasks: pd.DataFrame, rows: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    of_task = tasks.assign(n_configurations=measured.sum(axis=1).reindex(tasks["task"]).to_numpy())
    counts = of_task.groupby("problem").agg(
        n_tasks=("task", "size"),
        n_families=("family", "nunique"),
        rows_least=("n_rows", "min"),
        rows_median=("n_rows", "median"),
        rows_most=("n_rows", "max"),
        columns_median=("n_columns", "median"),
        configurations_least=("n_configurations", "min"),
        configurations_median=("n_configurations", "median"),
        configurations_most=("n_configurations", "max"),
    )
    return counts.join(_evaluations(rows, "problem")).fillna({"n_evaluations": 0}).astype({"n_evaluations": "int64"})


def _by_strategy(configurations: pd.DataFrame, rows: pd.DataFrame, losses: pd.DataFrame) -> pd.DataFrame:
    counts = configurations.groupby("strategy").agg(n_configurations=("configuration", "size"))
    counts = counts.join(_evaluations(rows, "strategy")).join(pd.crosstab(rows["strategy"], rows["status"]))
    whole = rows[(rows["anchor"] == 1) & (rows["progress"] == 1) & rows["fit_cpu_s"].notna()]
    counts["fit_cpu_s_median"] = _cpu_s(whole).groupby(whole["strategy"], observed=True).median()
    counts["cpu_h"] = _cpu_s(rows).groupby(rows["strategy"], observed=True).sum() / 3600
    strategies = configurations.set_index("configuration")["strategy"]
    best = losses.dropna(how="all").idxmin(axis=1).map(strategies) if losses.notna().any(axis=None) else pd.Series()
    counts["n_best"] = best.value_counts()
    whole_numbers = ["n_evaluations", *STATUSES, "n_best"]
    counts = counts.reindex(columns=["n_configurations", "n_evaluations", "share_ok", *STATUSES, *counts.columns[-3:]])
    return counts.fillna(dict.fromkeys(whole_numbers, 0)).astype(dict.fromkeys(whole_numbers, "int64"))


def _by_status(rows: pd.DataFrame) -> pd.DataFrame:
    counts = rows["status"].value_counts(sort=False).to_frame("n_evaluations")
    return counts.assign(share=counts["n_evaluations"] / max(len(rows), 1))


def _coverage(measured: pd.DataFrame) -> pd.DataFrame:
    of_configuration, of_task = measured.sum(axis=0), measured.sum(axis=1)
    counts = {
        "n_configurations": [int((of_configuration >= least).sum()) for least in _AT_LEAST],
        "n_tasks": [int((of_task >= least).sum()) for least in _AT_LEAST],
    }
    return pd.DataFrame(counts, index=pd.Index(_AT_LEAST, name="at_least"))


def _cpu_s(rows: pd.DataFrame) -> pd.Series:
    return rows["fit_cpu_s"].fillna(0) + rows["predict_cpu_s"].fillna(0)


def _evaluations(rows: pd.DataFrame, by: str) -> pd.DataFrame:
    is_ok = np.asarray(rows["status"] == STATUSES[0])
    return (
        rows.assign(is_ok=is_ok)
        .groupby(by, observed=True)
        .agg(n_evaluations=("is_ok", "size"), share_ok=("is_ok", "mean"))
    )
