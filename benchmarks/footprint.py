"""How much memory does a fit take, how long does a prediction, and how large is the saved model?

``python -m benchmarks.footprint --corpus FOLDER --out footprint.csv`` fits tables with two workers, each in a fresh
process, and measures the peak memory of the process tree (proportional set size), predictions of 1,000 rows and of
single rows, the size of the saved model, and loading it in a fresh process; ``--report`` prints the results. A default
LightGBM on the same columns is measured beside it. Rows already in the file are skipped. Seconds need an idle machine.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.corpus import load_table, named_tasks, read_tasks
from benchmarks.isolation import run_isolated
from benchmarks.results import append_row, read_results
from benchmarks.systems import versions

logger = logging.getLogger(__name__)

HERE = Path(__file__).parent
# fmt: off
FIELDS = [
    "task", "budget_s", "seed", "problem", "n_rows", "n_features", "frame_mb", "peak_mb", "n_models", "predict_1000_s",
    "row_p50_ms", "row_p95_ms", "model_mb", "load_s", "load_has_torch", "needs_torch", "lightgbm_1000_s",
    "lightgbm_row_ms", "error", "load", "versions",
]
# fmt: on
_N_REPEATS, _N_SINGLE = 5, 100


def measure(corpus: str, task_id: str, budget_s: float, seed: int, file: str) -> dict[str, Any]:
    """Fit AutoMeta on all rows of a table with two workers, save it to `file`, and time its predictions."""
    from autometa import AutoMetaClassifier, AutoMetaRegressor

    X, y, problem = load_table(Path(corpus), task_id)
    kind = AutoMetaRegressor if problem == "regression" else AutoMetaClassifier
    model = kind(time_budget=budget_s, random_state=seed, n_jobs=2).fit(X, y)
    saved = model.save(file)
    rows = _thousand(X)
    singles = [rows.iloc[[i]] for i in range(_N_SINGLE)]
    model.predict(rows)
    seconds = [_seconds(lambda: model.predict(rows)) for _ in range(_N_REPEATS)]
    row_ms = [1000 * _seconds(lambda row=row: model.predict(row)) for row in singles]
    members = model.predictor_.members
    needs_torch = any("Neural" in type(part).__name__ for member in members for part in member.models)
    return {
        "frame_mb": X.memory_usage(deep=True).sum() / 1e6,
        "n_models": sum(len(member.models) for member in members),
        "predict_1000_s": float(np.min(seconds)),
        "row_p50_ms": float(np.percentile(row_ms, 50)),
        "row_p95_ms": float(np.percentile(row_ms, 95)),
        "model_mb": saved.stat().st_size / 1e6,
        "needs_torch": needs_torch,
        "versions": versions("autometa"),
    }


def load(file: str) -> dict[str, Any]:
    """Load a model; seconds include the imports."""
    import sys

    started = time.perf_counter()
    import autometa

    autometa.load(file)
    return {"load_s": time.perf_counter() - started, "load_has_torch": "torch" in sys.modules}


def lightgbm(corpus: str, task_id: str) -> dict[str, Any]:
    """Time predictions of a default LightGBM on the columns as codes and numbers."""
    from lightgbm import LGBMClassifier, LGBMRegressor

    X, y, problem = load_table(Path(corpus), task_id)
    codes = X.apply(lambda c: c if pd.api.types.is_numeric_dtype(c) else pd.factorize(c)[0]).to_numpy(np.float64)
    model = (LGBMRegressor if problem == "regression" else LGBMClassifier)(n_jobs=2, verbose=-1).fit(codes, y)
    rows = _thousand(pd.DataFrame(codes)).to_numpy()
    model.predict(rows)
    seconds = [_seconds(lambda: model.predict(rows)) for _ in range(_N_REPEATS)]
    row_ms = [1000 * _seconds(lambda i=i: model.predict(rows[[i]])) for i in range(_N_SINGLE)]
    return {"lightgbm_1000_s": float(np.min(seconds)), "lightgbm_row_ms": float(np.median(row_ms))}


def _thousand(X: pd.DataFrame) -> pd.DataFrame:
    """Return 1,000 rows, drawn with replacement from smaller tables."""
    return X.sample(1000, replace=len(X) < 1000, random_state=0)


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def run(corpus: Path, out: Path, tasks: Sequence[str], budget_s: float, seed: int) -> None:
    """Measure what `out` does not have yet, and append a row for each fit."""
    described = read_tasks(corpus)
    results = read_results(out)
    key = ["task", "budget_s", "seed"]
    done = set() if results.empty else set(results[key].itertuples(index=False, name=None))
    for task in tasks:
        if (task, budget_s, seed) in done:
            continue
        about = {"corpus": str(corpus.resolve()), "task_id": task}
        load_average = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder, "model.autometa"))
            arguments = {**about, "budget_s": budget_s, "seed": seed, "file": file}
            limit_s = 10 * budget_s + 240
            fit = run_isolated("benchmarks.footprint:measure", arguments, limit_s=limit_s, n_threads=2)
            loaded = run_isolated("benchmarks.footprint:load", {"file": file}, limit_s=240, n_threads=2)
        plain = run_isolated("benchmarks.footprint:lightgbm", about, limit_s=240, n_threads=2)
        row = {
            **dict(zip(key, (task, budget_s, seed), strict=True)),
            **described.loc[task, ["problem", "n_rows", "n_features"]].to_dict(),
            **fit.result,
            **loaded.result,
            **plain.result,
            "peak_mb": fit.peak_mb,
            "error": fit.error or loaded.error,
            "load": load_average,
        }
        append_row(out, FIELDS, row)
        logger.info("%s: peak %.0f MB, model %s MB %s", task, fit.peak_mb, row.get("model_mb"), row["error"])


def report(results: pd.DataFrame) -> str:
    """Return a row per table, and the medians."""
    shown = [name for name in FIELDS if name not in ("error", "versions", "problem", "seed")]
    table = results.set_index("task")[[name for name in shown if name != "task"]]
    numbers = table.select_dtypes("number")
    text = [table.round(3).to_string(), "", "median", numbers.median().round(3).to_string()]
    failed = results[results["error"].notna() & (results["error"] != "")]
    text += [f"\n{len(failed)} of {len(results)} failed", *(f"{row.task}: {row.error}" for row in failed.itertuples())]
    return "\n".join(text)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, help="folder of tables, see benchmarks.corpus")
    parser.add_argument("--out", type=Path, required=True, help="CSV file with a row per fit")
    parser.add_argument("--tasks", default=str(HERE / "tasks24.txt"), help="names joined by commas, or a file")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", action="store_true", help="only print the results")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if not options.report:
        run(options.corpus, options.out, named_tasks(options.tasks), options.seconds, options.seed)
    print(report(read_results(options.out)))


if __name__ == "__main__":
    main()
