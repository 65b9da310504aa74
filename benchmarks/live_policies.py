"""Fits under different policies, on tables that none of them has learnt from.

    python -m benchmarks.live_policies FOLDER --out CSV [--policies gaussian prior] [--budgets 10 60]
    python -m benchmarks.live_policies FOLDER --out CSV --report

A quarter of each table is held out. A row of the CSV is a table, a policy and a budget; existing rows are not measured
again. `benchmarks.corpus` chooses the tables among the families that nothing that ships has learnt from (the records,
the starts of `mlp_maml`) and that the comparison with other libraries does not use. The report has a separate table of
the tables that are still unseen, because a later version may have learnt from tables that were measured before.
"""

from __future__ import annotations

import argparse
import csv
import time
import tomllib
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from benchmarks.comparison import loss_aside
from benchmarks.corpus import choose_tasks, load_table, named_tasks, read_tasks

COLUMNS = ("task", "policy", "budget_s", "seed", "loss", "fit_s", "first_model_s", "n_trials", "n_ok")
N_PER_PROBLEM = 7
ROOT = Path(__file__).parents[1]
USED = ("datasets/tasks.txt", "benchmarks/tasks24.txt")


def seen_families(tasks: pd.DataFrame) -> set[str]:
    """Return the families that something that ships has learnt from, or that other comparisons use.

    Parameters
    ----------
    tasks : DataFrame
        The tables of a folder, indexed by task id, with a column ``family``.
    """
    names = [task for file in USED for task in named_tasks(str(ROOT / file))]
    families: set[str] = set()
    for card in sorted((ROOT / "strategies" / "starts").glob("*.card.toml")):
        start = tomllib.loads(card.read_text(encoding="utf-8"))
        names += start["tasks"]
        families |= set(start["families"])
    return families | set(tasks["family"].reindex(names).dropna())


def split(folder: Path, task: str, seed: int) -> tuple[list[pd.DataFrame], list[pd.Series], str]:
    """Return features and target of the training rows and of the held-out quarter, and the problem."""
    X, y, problem = load_table(folder, task)
    stratify = None if problem == "regression" else y
    *features, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=seed, stratify=stratify)
    return features, [y_train, y_test], problem


def constant_loss(folder: Path, task: str, seed: int) -> float:
    """Return the loss of a constant on the held-out rows: class frequencies, or the mean."""
    _, (y_train, y_test), problem = split(folder, task, seed)
    if problem == "binary":
        return 0.5
    if problem == "regression":
        return float(np.sqrt(np.mean((y_test.to_numpy(np.float64) - y_train.astype(np.float64).mean()) ** 2)))
    return float(-np.log(y_test.map(y_train.value_counts(normalize=True)).astype(np.float64)).mean())


def fit_row(folder: Path, task: str, policy: str, budget_s: float, seed: int, n_jobs: int) -> dict[str, object]:
    """Return the row of one fit, with the loss on the held-out rows by the optimised metric."""
    from autometa import AutoMeta

    (X_train, X_test), (y_train, y_test), problem = split(folder, task, seed)
    start_s = time.monotonic()
    model = AutoMeta(problem=problem, time_budget=budget_s, policy=policy, random_state=seed, n_jobs=n_jobs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X_train, y_train)
    fit_s = time.monotonic() - start_s
    trials = model.history_.trials
    return {
        "task": task,
        "policy": policy,
        "budget_s": budget_s,
        "seed": seed,
        "loss": loss_aside(model, X_test, y_test),
        "fit_s": round(fit_s, 2),
        "first_model_s": round(model.history_.first_model_s, 2),
        "n_trials": len(trials),
        "n_ok": sum(trial["status"] == "ok" for trial in trials),
    }


def report(table: pd.DataFrame, constant: pd.Series) -> pd.DataFrame:
    """Compare each policy with the last one, by budget.

    Parameters
    ----------
    table : DataFrame
        Rows of the CSV.
    constant : Series
        Loss of a constant, by table and seed.

    Returns
    -------
    DataFrame
        A row per budget and policy: tables on which the mean loss over seeds is lower, equal and higher; the
        difference of the losses normalised by those of a constant, and the logarithm of their ratio, both as means
        over tables with paired 95% bootstrap intervals.
    """
    from autometa.metalearning.replay.regret import paired_bootstrap

    rows = []
    baseline = table["policy"].iloc[-1] if "prior" not in set(table["policy"]) else "prior"
    for budget_s, part in table.groupby("budget_s"):
        losses = part.set_index(["task", "seed", "policy"])["loss"].unstack().dropna()
        normalised = losses.div(constant.reindex(losses.index), axis=0).groupby("task").mean()
        logs = np.log(losses.clip(lower=1e-6)).groupby("task").mean()
        for policy in losses.columns.drop(baseline):
            difference = normalised[policy] - normalised[baseline]
            better, worse = int((difference < -1e-9).sum()), int((difference > 1e-9).sum())
            about = (budget_s, policy, len(difference), len(losses), better, len(difference) - better - worse, worse)
            values = paired_bootstrap(difference), paired_bootstrap(logs[policy] - logs[baseline])
            rows.append((*about, *values[0], *values[1]))
    names = ["budget_s", "policy", "tables", "fits", "better", "equal", "worse"]
    return pd.DataFrame(rows, columns=names + ["normalised", "low", "high", "log_ratio", "log_low", "log_high"])


def main() -> None:
    """Measure what is missing, then print the comparison."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live_policies", description="Compare policies live.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--policies", nargs="+", default=["gaussian", "prior"])
    parser.add_argument("--budgets", nargs="+", type=float, default=[10.0, 60.0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--jobs", type=int, default=2, help="cores of a fit")
    parser.add_argument("--tasks", help="names joined by commas, or a file; default: chosen by the rule")
    parser.add_argument("--report", action="store_true", help="only print the results")
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
                        # Policies of one table run one after the other, so that load affects all of them.
                        for policy in options.policies:
                            if (task, policy, budget_s, seed) not in done:
                                writer.writerow(fit_row(options.folder, task, policy, budget_s, seed, options.jobs))
                                file.flush()
    table = pd.read_csv(options.out)
    families = read_tasks(options.folder)["family"]
    is_seen = table["task"].map(families).isin(seen_families(families.to_frame()))
    fits = table[["task", "seed"]].drop_duplicates().itertuples(index=False, name=None)
    constant = pd.Series({(task, seed): constant_loss(options.folder, task, seed) for task, seed in fits})
    print(report(table, constant).round(4).to_string(index=False))
    if is_seen.any() and not is_seen.all():
        unseen = table[~is_seen]
        print(f"\nOf these, tables of families that nothing that ships has seen: {', '.join(unseen['task'].unique())}")
        print(report(unseen, constant).round(4).to_string(index=False))


def _chosen(folder: Path) -> list[str]:
    tasks = read_tasks(folder)
    return choose_tasks(tasks, [N_PER_PROBLEM] * 3, without_families=seen_families(tasks))


if __name__ == "__main__":
    main()
