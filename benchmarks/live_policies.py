"""Fits under different policies, on tables that none of them has learnt from.

    python -m benchmarks.live_policies FOLDER --out CSV [--policies mixture prior] [--budgets 10 60]
    python -m benchmarks.live_policies FOLDER --out CSV --report

A quarter of each table is kept aside; a row of the CSV is a table, a policy and a budget. Rows that are there already
are not measured again. The tables are chosen by `benchmarks.corpus` among the families that neither the meta-dataset
nor the comparison with other libraries uses.
"""

from __future__ import annotations

import argparse
import csv
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from benchmarks.corpus import choose_tasks, load_table, named_tasks, read_tasks

COLUMNS = ("task", "policy", "budget_s", "seed", "loss", "fit_s", "first_model_s", "n_trials", "n_ok")
N_PER_PROBLEM = 7
USED = ("datasets/tasks.txt", "benchmarks/tasks24.txt")


def fit_row(folder: Path, task: str, policy: str, budget_s: float, seed: int, n_jobs: int) -> dict[str, object]:
    """Return what one fit gives: the loss on the rows kept aside, by the metric that was optimised."""
    from autometa import AutoMeta

    X, y, problem = load_table(folder, task)
    stratify = None if problem == "regression" else y
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=seed, stratify=stratify)
    start_s = time.monotonic()
    model = AutoMeta(problem=problem, time_budget=budget_s, policy=policy, random_state=seed, n_jobs=n_jobs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X_train, y_train)
    fit_s = time.monotonic() - start_s
    metric = model._metric
    truth = y_test.to_numpy(np.float64) if problem == "regression" else model._codes(y_test)
    trials = model.history_.trials
    return {
        "task": task,
        "policy": policy,
        "budget_s": budget_s,
        "seed": seed,
        "loss": metric.loss(truth, model._predict(X_test)),
        "fit_s": round(fit_s, 2),
        "first_model_s": round(model.history_.first_model_s, 2),
        "n_trials": len(trials),
        "n_ok": sum(trial["status"] == "ok" for trial in trials),
    }


def report(table: pd.DataFrame) -> pd.DataFrame:
    """Return, by budget and policy against the last policy: wins, ties, losses and the mean log ratio of the losses.

    The interval is a paired bootstrap over tables.
    """
    from autometa.policy.regret import paired_bootstrap

    rows = []
    baseline = table["policy"].iloc[-1] if "prior" not in set(table["policy"]) else "prior"
    for budget_s, part in table.groupby("budget_s"):
        losses = part.groupby(["task", "policy"])["loss"].mean().unstack().dropna()
        for policy in losses.columns.drop(baseline):
            ratio = np.log(np.maximum(losses[policy], 1e-6) / np.maximum(losses[baseline], 1e-6))
            mean, low, high = paired_bootstrap(ratio.to_numpy())
            better, worse = int((ratio < -1e-9).sum()), int((ratio > 1e-9).sum())
            rows.append((budget_s, policy, len(ratio), better, len(ratio) - better - worse, worse, mean, low, high))
    names = ["budget_s", "policy", "tables", "better", "equal", "worse", "mean_log_ratio", "low", "high"]
    return pd.DataFrame(rows, columns=names)


def main() -> None:
    """Measure what is missing, then print the comparison."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live_policies", description="Compare policies live.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--policies", nargs="+", default=["mixture", "prior"])
    parser.add_argument("--budgets", nargs="+", type=float, default=[10.0, 60.0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--jobs", type=int, default=2, help="cores of a fit")
    parser.add_argument("--tasks", help="names joined by commas, or a file; default: chosen by the rule")
    parser.add_argument("--report", action="store_true", help="only print what is there")
    options = parser.parse_args()
    if not options.report:
        tasks = named_tasks(options.tasks) if options.tasks else _chosen(options.folder)
        done = set()
        if options.out.is_file():
            measured = pd.read_csv(options.out)
            done = set(measured[["task", "policy", "budget_s", "seed"]].itertuples(index=False, name=None))
        with options.out.open("a", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            if not done:
                writer.writeheader()
            for seed in options.seeds:
                for budget_s in options.budgets:
                    for task in tasks:
                        # Policies of one table follow each other, so that a busy machine is busy for all of them.
                        for policy in options.policies:
                            if (task, policy, budget_s, seed) not in done:
                                writer.writerow(fit_row(options.folder, task, policy, budget_s, seed, options.jobs))
                                file.flush()
    print(report(pd.read_csv(options.out)).round(4).to_string(index=False))


def _chosen(folder: Path) -> list[str]:
    used = [task for file in USED for task in named_tasks(file)]
    return choose_tasks(read_tasks(folder), N_PER_PROBLEM, without=used)


if __name__ == "__main__":
    main()
