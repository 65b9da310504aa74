"""Measures calibration, tuned thresholds, intervals and sets on rows that `fit` has not seen.

``python -m benchmarks.posthoc --corpus FOLDER --out posthoc.csv`` fits AutoMeta on 75% of each table with ten trials
and judges on the rest; ``--report`` prints what was measured. Every fit runs in a fresh process; rows that the file has
already are skipped. `part` is "tuning" for the tables of ``tasks48.txt``, on which the methods were chosen, and
"judging" for those of ``tasks24.txt`` and ``tasks60.txt``, on which nothing was.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from collections.abc import Sequence
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
LISTS = {"tuning": ("tasks48",), "judging": ("tasks24", "tasks60")}
METRICS = ("accuracy", "balanced_accuracy", "f1", "matthews")
COVERAGES = (0.8, 0.9, 0.95)
MOST_ROWS, N_TRIALS, LIMIT_S = 20_000, 10, 60.0
# fmt: off
FIELDS = [
    "task", "part", "problem", "n_fit", "n_test", "temperature", "log_loss_before", "log_loss",
    *(f"{metric}_{kind}" for metric in METRICS for kind in ("half", "tuned")),
    *(f"{name}_{coverage}" for coverage in COVERAGES for name in ("covered", "size")),
    "relative_width", "fit_s", "error", "versions",
]
# fmt: on


def measure(corpus: str, task_id: str, seed: int) -> dict[str, Any]:
    """Return a row of results for one table.

    ``size_*`` is the mean width of intervals in standard deviations of the test target, or the mean number of classes
    in a set. ``relative_width`` is the Winkler score of 90% intervals, divided by that of intervals of one width.
    """
    from sklearn.model_selection import train_test_split

    from autometa import AutoMetaClassifier, AutoMetaRegressor
    from autometa.tables.target import read_codes

    X, y, problem = load_table(Path(corpus), task_id)
    is_regression = problem == "regression"
    split = train_test_split(X, y, random_state=seed, test_size=0.25, stratify=None if is_regression else y)
    X_fit, X_test, y_fit, y_test = split
    X_fit, y_fit = X_fit.iloc[:MOST_ROWS], y_fit.iloc[:MOST_ROWS]
    kind = AutoMetaRegressor if is_regression else AutoMetaClassifier
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = kind(n_trials=N_TRIALS, time_budget=LIMIT_S, random_state=seed, n_jobs=1).fit(X_fit, y_fit)
        row = {"n_fit": len(X_fit), "n_test": len(X_test), "fit_s": model.history_.total_s}
        if is_regression:
            return row | _judged_values(model, X_test, y_test, model.oof_predictions() - np.asarray(y_fit, dtype=float))
        codes = read_codes(y_test, len(X_test), model.classes_)
        return row | _judged_classes(model, X_test, codes, read_codes(y_fit, len(X_fit), model.classes_))


def _judged_values(model: Any, X: pd.DataFrame, y: Any, errors: np.ndarray) -> dict[str, Any]:
    y = np.asarray(y, dtype=np.float64)
    row: dict[str, Any] = {"versions": versions("autometa")}
    for coverage in COVERAGES:
        low, high = model.predict_interval(X, coverage).T
        row[f"covered_{coverage}"] = np.mean((low <= y) & (y <= high))
        row[f"size_{coverage}"] = np.mean(high - low) / y.std()
    low, high = model.predict_interval(X, 0.9).T
    half = np.nanquantile(np.abs(errors), 0.9)
    middle = (low + high) / 2
    row["relative_width"] = _winkler(y, low, high) / _winkler(y, middle - half, middle + half)
    return row


def _winkler(y: np.ndarray, low: np.ndarray, high: np.ndarray, coverage: float = 0.9) -> float:
    """Return the mean width plus what rows outside cost: twice their distance, divided by 1 - coverage."""
    outside = np.maximum(low - y, 0) + np.maximum(y - high, 0)
    return float(np.mean(high - low + 2 / (1 - coverage) * outside))


def _judged_classes(model: Any, X: pd.DataFrame, y: np.ndarray, y_fit: np.ndarray) -> dict[str, Any]:
    from sklearn.metrics import log_loss

    from autometa.evaluation.metrics import resolve_metric
    from autometa.posthoc.threshold import fit_threshold, labels_at

    after = model.predict_proba(X)
    labels = range(after.shape[1])
    temperature = model._adjustments.temperature
    # The temperature of the inverse undoes the first one.
    before = after**temperature / (after**temperature).sum(axis=1, keepdims=True)
    row: dict[str, Any] = {
        "temperature": temperature,
        "log_loss_before": log_loss(y, before, labels=labels),
        "log_loss": log_loss(y, after, labels=labels),
        "versions": versions("autometa"),
    }
    for coverage in COVERAGES:
        inside = model.predict_set(X, coverage)
        row[f"covered_{coverage}"] = inside[np.arange(len(y)), y].mean()
        row[f"size_{coverage}"] = inside.sum(axis=1).mean()
    held_out = model.oof_predictions()
    known = np.isfinite(held_out[:, 0])
    for name in METRICS if after.shape[1] == 2 else ():
        metric = resolve_metric(name, "binary", model.classes_)
        threshold = fit_threshold(y_fit[known], held_out[known, 1], metric.loss)
        row[f"{name}_half"] = metric.loss(y, after)
        row[f"{name}_tuned"] = metric.loss(y, labels_at(after[:, 1], threshold))
    return row


def run(corpus: Path, out: Path, tasks: Sequence[str] | None, seed: int) -> None:
    """Measure the tables that `out` does not have yet."""
    described = read_tasks(corpus)
    parts = {task: part for part, names in LISTS.items() for n in names for task in named_tasks(str(HERE / f"{n}.txt"))}
    results = read_results(out)
    done = set() if results.empty else set(results["task"])
    for task in tasks or parts:
        if task in done:
            continue
        arguments = {"corpus": str(corpus.resolve()), "task_id": task, "seed": seed}
        outcome = run_isolated("benchmarks.posthoc:measure", arguments, limit_s=10 * LIMIT_S, n_threads=1)
        about = {"task": task, "part": parts.get(task, ""), "problem": described.at[task, "problem"]}
        append_row(out, FIELDS, about | outcome.result | {"error": outcome.error})
        logger.info("%s: %.0f s %s", task, outcome.result.get("fit_s", float("nan")), outcome.error)


def report(results: pd.DataFrame) -> str:
    """Return the tables of the page: log loss, labels, coverage."""
    ok = results[results["error"].isna()]
    parts = [part for part in LISTS if (ok["part"] == part).any()]
    classes, values = ok[ok["problem"] != "regression"], ok[ok["problem"] == "regression"]
    changed = classes.assign(change=classes["log_loss"] - classes["log_loss_before"])
    calibration = changed.groupby(["part", "problem"]).agg(
        tables=("task", "size"),
        scaled=("temperature", lambda t: (t != 1).sum()),
        log_loss_before=("log_loss_before", "mean"),
        log_loss=("log_loss", "mean"),
        lower=("change", lambda c: (c < -1e-9).sum()),
        higher=("change", lambda c: (c > 1e-9).sum()),
    )
    rows = []
    for (part, name), table in ((key, ok[ok["part"] == key[0]]) for key in [(p, m) for p in parts for m in METRICS]):
        half, tuned = table[f"{name}_half"].dropna(), table[f"{name}_tuned"].dropna()
        counts = int((tuned < half - 1e-9).sum()), int((tuned > half + 1e-9).sum())
        rows.append((part, name, len(half), half.mean(), tuned.mean(), *counts))
    columns = ["part", "metric", "tables", "loss at .5", "loss tuned", "lower", "higher"]
    labels = pd.DataFrame(rows, columns=columns).set_index(["part", "metric"])
    covered = []
    for kind, table in (("intervals", values), ("sets", classes)):
        for (part, coverage), some in (((p, c), table[table["part"] == p]) for p in parts for c in COVERAGES):
            got = some[f"covered_{coverage}"].dropna()
            many = some.loc[some["n_test"] >= 300, f"covered_{coverage}"].dropna()
            off = (many - coverage).abs()
            covered.append((kind, part, coverage, len(got), got.mean(), len(many), off.mean(), off.max()))
    columns = ["", "part", "coverage", "tables", "covered", "tables of 300 rows", "mean distance", "largest"]
    coverage_table = pd.DataFrame(covered, columns=columns).set_index(["", "part", "coverage"])
    widths = values.groupby("part")["relative_width"].apply(lambda w: np.exp(np.log(w).mean()))
    texts = [calibration.round(4), labels.round(4), coverage_table.round(3), widths.round(3)]
    return "\n\n".join(text.to_string() for text in texts)


def main() -> None:
    """Measure or report."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    parser = argparse.ArgumentParser(prog="python -m benchmarks.posthoc", description=__doc__.partition("\n")[0])
    parser.add_argument("--corpus", type=Path, help="folder of tables, see benchmarks.corpus")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "posthoc.csv")
    parser.add_argument("--tasks", help="names joined by commas, or a file; all of the lists by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", action="store_true", help="print what was measured")
    options = parser.parse_args()
    if options.report:
        print(report(read_results(options.out)))
    elif options.corpus is None:
        parser.error("--corpus is needed to measure")
    else:
        run(options.corpus, options.out, named_tasks(options.tasks) if options.tasks else None, options.seed)


if __name__ == "__main__":
    main()
