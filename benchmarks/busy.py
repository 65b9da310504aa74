"""Does AutoMeta keep its budget, and complete its fair share of trials, beside other processes on the machine?

``python -m benchmarks.busy --corpus FOLDER --out busy.csv`` fits a few tables with budgets of 5, 15 and 60 s on the
machine alone, beside one and beside two busy processes; ``--report`` prints the results. Every fit runs in a fresh
process, the conditions of one table one after the other. Rows already in the file are skipped. Run it on an otherwise
idle machine.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from autometa._support.machine import usable_cores
from benchmarks.corpus import load_table, named_tasks, read_tasks
from benchmarks.isolation import run_isolated
from benchmarks.limits import keeps_time
from benchmarks.results import append_row, read_results
from benchmarks.systems import versions

logger = logging.getLogger(__name__)

# fmt: off
FIELDS = [
    "task", "n_busy", "budget_s", "seed", "n_cores", "problem", "n_rows", "n_features", "fit_s", "over_s",
    "time_kept", "n_trials", "n_models", "first_model_s", "ensemble_loss", "predict_s", "error", "load", "versions",
]
# fmt: on
BUDGETS_S = (5.0, 15.0, 60.0)
N_BUSY = (0, 1, 2)
# From 151 to 20,640 rows; two classes, more classes, regression.
TASKS = ("teaching_assistant", "pro_football_home", "hpc_jobs", "california_housing")

# Pure Python and NumPy, one thread each: typical neighbours.
_LOOPS = (
    "while True: sum(k * k for k in range(10**6))",
    "import numpy as np\nA = np.ones((400, 400))\nwhile True: np.linalg.svd(A @ A)",
)


@contextlib.contextmanager
def busy_neighbours(n: int) -> Iterator[None]:
    """Let `n` processes compute for the length of a block, pure Python and NumPy alternating."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    loops = itertools.islice(itertools.cycle(_LOOPS), n)
    processes = [subprocess.Popen([sys.executable, "-c", loop], env=environment) for loop in loops]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


def measure(corpus: str, task_id: str, budget_s: float, seed: int) -> dict[str, Any]:
    """Fit AutoMeta on all rows of one table, with its default parameters.

    Returns
    -------
    dict
        ``fit_s``, ``n_trials`` (complete trials), ``n_models`` (in the ensemble), ``first_model_s``,
        ``ensemble_loss`` (of the rows that chose the ensemble), ``predict_s`` (of all rows) and ``versions``.
    """
    from autometa import AutoMetaClassifier, AutoMetaRegressor

    X, y, problem = load_table(Path(corpus), task_id)
    kind = AutoMetaRegressor if problem == "regression" else AutoMetaClassifier
    model = kind(time_budget=budget_s, random_state=seed)
    started = time.perf_counter()
    model.fit(X, y)
    fitted = time.perf_counter()
    model.predict(X)
    predicted = time.perf_counter()
    history = model.history_
    return {
        "fit_s": fitted - started,
        # A trial is complete if it was measured on every fold.
        "n_trials": sum(trial["status"] in ("ok", "cut_short") for trial in history.trials),
        "n_models": sum(len(member.models) for member in model.predictor_.members),
        "first_model_s": history.first_model_s,
        "ensemble_loss": history.ensemble_loss,
        "predict_s": predicted - fitted,
        "versions": versions("autometa"),
    }


def run(
    corpus: Path, out: Path, tasks: Sequence[str], budgets_s: Sequence[float], n_busy: Sequence[int], seed: int
) -> None:
    """Measure what `out` does not have yet, and append a row for each fit."""
    described = read_tasks(corpus)
    results = read_results(out)
    key = ["task", "budget_s", "n_busy", "seed"]
    done = set() if results.empty else set(results[key].itertuples(index=False, name=None))
    n_cores = usable_cores()
    for task, budget_s, n in itertools.product(tasks, budgets_s, n_busy):
        if (task, budget_s, n, seed) in done:
            continue
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
        with busy_neighbours(n):
            outcome = run_isolated(
                "benchmarks.busy:measure",
                {"corpus": str(corpus.resolve()), "task_id": task, "budget_s": budget_s, "seed": seed},
                # Far above any overrun worth measuring: a fit that takes longer hangs.
                limit_s=10 * budget_s + 240,
                n_threads=n_cores,
            )
        row = {
            **dict(zip(key, (task, budget_s, n, seed), strict=True)),
            "n_cores": n_cores,
            **described.loc[task, ["problem", "n_rows", "n_features"]].to_dict(),
            **outcome.result,
            "error": outcome.error,
            "load": load,
        }
        if not outcome.error:
            row["over_s"] = row["fit_s"] - budget_s
            row["time_kept"] = keeps_time(row["fit_s"], budget_s)
        append_row(out, FIELDS, row)
        fit_s, n_trials = row.get("fit_s"), row.get("n_trials")
        logger.info("%s, %g s, %d busy: fit %s s, %s trials %s", task, budget_s, n, fit_s, n_trials, outcome.error)


def with_shares(results: pd.DataFrame) -> pd.DataFrame:
    """Return the results with each fit's trials as a share of the idle machine's, and the fair share.

    With as many workers as cores, `n_busy` neighbours leave n_cores / (n_cores + n_busy) of the machine.
    """
    key = ["task", "budget_s", "seed"]
    idle = results.loc[results["n_busy"] == 0].set_index(key)["n_trials"].rename("idle_trials")
    joined = results.join(idle, on=key)
    return joined.assign(
        share=joined["n_trials"] / joined["idle_trials"],
        fair_share=joined["n_cores"] / (joined["n_cores"] + joined["n_busy"]),
    )


def report(results: pd.DataFrame) -> str:
    """Return how budgets were kept under each condition, and every fit."""
    shared = with_shares(results)
    by = shared.groupby(["budget_s", "n_busy"])
    summary = by.agg(
        fits=("task", "size"),
        without_model=("error", "count"),
        time_kept=("time_kept", lambda kept: kept.astype("boolean").fillna(False).mean()),
        median_over_s=("over_s", "median"),
        largest_over_s=("over_s", "max"),
        fewest_trials=("n_trials", "min"),
        median_trials=("n_trials", "median"),
        median_share=("share", "median"),
        least_share=("share", "min"),
        fair_share=("fair_share", "first"),
    )
    columns = ["task", "budget_s", "n_busy", "fit_s", "over_s", "n_trials", "share", "n_models", "first_model_s"]
    columns += ["ensemble_loss", "predict_s", "error"]
    every = shared.sort_values(["budget_s", "task", "n_busy"])[columns]
    return "\n\n".join(["Budgets kept", summary.round(3).T.to_string(), "Fits", every.round(3).to_string(index=False)])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.busy", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="result file (CSV); rows are appended")
    parser.add_argument("--corpus", type=Path, help="folder of tables, needed to measure")
    parser.add_argument("--tasks", help="task ids joined by commas, or a file with one per line")
    parser.add_argument("--budgets", default=",".join(f"{s:g}" for s in BUDGETS_S), help="seconds, joined by commas")
    parser.add_argument("--busy", default=",".join(map(str, N_BUSY)), help="numbers of busy neighbours")
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
    run(
        options.corpus,
        options.out,
        named_tasks(options.tasks) if options.tasks else TASKS,
        [float(text) for text in options.budgets.split(",")],
        [int(text) for text in options.busy.split(",")],
        options.seed,
    )


if __name__ == "__main__":
    main()
