"""Does AutoMeta keep its budget and its memory on every table of a folder?

``python -m benchmarks.budget --corpus FOLDER --out budget.csv --budget 10`` fits AutoMeta on all rows of each
table, each in a fresh process; ``--report`` prints the results. Tables already in the file with the same budget and
seed are skipped.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.corpus import load_table, named_tasks, read_tasks
from benchmarks.isolation import run_isolated
from benchmarks.limits import keeps_memory, keeps_time, memory_bound_mb
from benchmarks.results import append_row, read_results
from benchmarks.systems import versions

logger = logging.getLogger(__name__)

# fmt: off
FIELDS = [
    "task", "budget_s", "seed", "problem", "n_rows", "n_features", "fit_s", "first_model_s", "predict_s", "overrun",
    "time_kept", "peak_mb", "frame_mb", "memory_kept", "error", "versions",
]
# fmt: on
# Number of rows to predict, as a check that the fitted model works.
N_PREDICTED = 100


def measure(corpus: str, task_id: str, budget_s: float, n_threads: int, seed: int) -> dict[str, Any]:
    """Fit AutoMeta on all rows of one table and return the seconds of `fit` and the size of the table.

    Parameters
    ----------
    corpus : str
        The folder of tables.
    task_id : str
        A task of ``tasks.csv``.
    budget_s : float
        The budget, in seconds.
    n_threads : int
        Worker processes.
    seed : int
        Random state.

    Returns
    -------
    dict
        ``fit_s``, ``first_model_s`` (seconds until the first usable model), ``predict_s`` (of the first 100
        rows), ``frame_mb`` and ``versions``.
    """
    from autometa import AutoMetaClassifier, AutoMetaRegressor

    X, y, problem = load_table(Path(corpus), task_id)
    kind = AutoMetaRegressor if problem == "regression" else AutoMetaClassifier
    model = kind(time_budget=budget_s, random_state=seed, n_jobs=n_threads)
    started = time.perf_counter()
    model.fit(X, y)
    fitted = time.perf_counter()
    predictions = model.predict(X.head(N_PREDICTED))
    predicted = time.perf_counter()
    if pd.isna(pd.Series(predictions)).any():
        raise ValueError("a prediction is missing.")
    return {
        "fit_s": fitted - started,
        "first_model_s": model.history_.first_model_s,
        "predict_s": predicted - fitted,
        "frame_mb": float(X.memory_usage(deep=True).sum()) / 1e6,
        "versions": versions("autometa"),
    }


def run(corpus: Path, out: Path, tasks: Sequence[str], *, budget_s: float, n_threads: int, seed: int) -> None:
    """Measure every task that `out` does not have yet with this budget and seed, and append its row."""
    described = read_tasks(corpus)
    results = read_results(out)
    done = set()
    if not results.empty:
        done = set(results.loc[(results["budget_s"] == budget_s) & (results["seed"] == seed), "task"])
    for task in tasks:
        if task in done:
            continue
        outcome = run_isolated(
            "benchmarks.budget:measure",
            {
                "corpus": str(corpus.resolve()),
                "task_id": task,
                "budget_s": budget_s,
                "n_threads": n_threads,
                "seed": seed,
            },
            # Far above any overrun worth measuring: a fit that takes longer hangs.
            limit_s=10 * budget_s + 120,
            n_threads=n_threads,
        )
        row = {
            "task": task,
            "budget_s": budget_s,
            "seed": seed,
            **described.loc[task, ["problem", "n_rows", "n_features"]].to_dict(),
            **outcome.result,
            "peak_mb": outcome.peak_mb,
            "error": outcome.error,
        }
        if not outcome.error:
            row["overrun"] = row["fit_s"] / budget_s
            row["time_kept"] = keeps_time(row["fit_s"], budget_s)
            row["memory_kept"] = keeps_memory(row["peak_mb"], row["frame_mb"])
        append_row(out, FIELDS, row)
        logger.info("%s: fit %s s, peak %.0f MB %s", task, row.get("fit_s"), outcome.peak_mb, outcome.error)


def report(results: pd.DataFrame) -> str:
    """Return for each budget how many tables kept the limits, the worst of them, and each table that did not."""
    kept = results.assign(
        bound_mb=memory_bound_mb(results["frame_mb"]),
        # A failed fit kept no limit.
        time_kept=keeps_time(results["fit_s"], results["budget_s"]),
        memory_kept=keeps_memory(results["peak_mb"], results["frame_mb"]),
    )
    summary = kept.groupby("budget_s").agg(
        tables=("task", "size"),
        failed=("error", "count"),
        time_kept=("time_kept", "mean"),
        memory_kept=("memory_kept", "mean"),
        median_fit_s=("fit_s", "median"),
        largest_fit_s=("fit_s", "max"),
        median_first_model_s=("first_model_s", "median"),
        largest_first_model_s=("first_model_s", "max"),
        median_peak_mb=("peak_mb", "median"),
        largest_peak_mb=("peak_mb", "max"),
    )
    sections = ["Limits kept", summary.round(3).T.to_string()]
    broken = kept[~(kept["time_kept"] & kept["memory_kept"])]
    columns = ["task", "budget_s", "problem", "n_rows", "n_features", "fit_s", "peak_mb", "bound_mb", "error"]
    if len(broken):
        sections += ["Not kept", broken[columns].round(1).to_string(index=False)]
    slowest = kept.nlargest(10, "overrun")
    sections += ["Largest overruns", slowest[[*columns[:-1], "overrun"]].round(3).to_string(index=False)]
    return "\n\n".join(sections)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.budget", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="result file (CSV); rows are appended")
    parser.add_argument("--corpus", type=Path, help="folder of tables, needed to measure")
    parser.add_argument("--tasks", help="task ids joined by commas, or a file with one per line; all by default")
    parser.add_argument("--budget", type=float, default=10.0, help="seconds for fit")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", action="store_true", help="print the results and measure nothing")
    return parser


def main() -> None:
    """Measure or report, as the command line says."""
    parser = _parser()
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    if options.report:
        results = read_results(options.out)
        if results.empty:
            parser.error(f"{options.out} holds no results yet")
        print(report(results))
        return
    if options.corpus is None:
        parser.error("--corpus is needed to measure")
    tasks = named_tasks(options.tasks) if options.tasks else list(read_tasks(options.corpus).index)
    run(options.corpus, options.out, tasks, budget_s=options.budget, n_threads=options.threads, seed=options.seed)


if __name__ == "__main__":
    main()
