"""AutoMeta against the default models of four libraries, on tables of a folder.

``python -m benchmarks.accuracy --corpus FOLDER --out results.csv`` measures; ``--report`` prints the results.
Every pair of task and system runs in a fresh process; pairs already in the file are skipped.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.comparison import mean_ranks, wins
from benchmarks.corpus import PROBLEMS, load_table, named_tasks, read_tasks
from benchmarks.isolation import run_isolated
from benchmarks.limits import keeps_memory, keeps_time, memory_bound_mb
from benchmarks.results import append_row, read_results
from benchmarks.systems import SYSTEMS, Setting, versions

logger = logging.getLogger(__name__)

# fmt: off
FIELDS = [
    "task", "problem", "system", "seed", "budget_s", "n_rows", "n_features", "metric", "loss", "accuracy",
    "balanced_error", "r2", "fit_s", "predict_s", "peak_mb", "frame_mb", "overrun", "error", "versions",
]
# fmt: on
BUDGETED = "autometa"
TEST_FRACTION = 0.25
# Above the 600 s after which CatBoost stops itself, with time to load, predict and score.
PROCESS_LIMIT_S = 900.0
HERE = Path(__file__).parent


def measure(corpus: str, task_id: str, system_name: str, budget_s: float, n_threads: int, seed: int) -> dict[str, Any]:
    """Fit one system on three quarters of one table and return its losses on the rest, and its seconds.

    Parameters
    ----------
    corpus : str
        The folder of tables.
    task_id, system_name : str
        A task of ``tasks.csv`` and a key of `SYSTEMS`.
    budget_s : float
        Seconds for AutoMeta's `fit`.
    n_threads : int
        Threads or worker processes.
    seed : int
        Seed of the split (stratified by class) and of the system.
    """
    from sklearn.model_selection import train_test_split

    X, y, problem = load_table(Path(corpus), task_id)
    rows_train, rows_test = train_test_split(
        np.arange(len(X)),
        test_size=TEST_FRACTION,
        random_state=seed,
        stratify=None if problem == "regression" else y.astype(str),
    )
    X_train, y_train = X.iloc[rows_train].reset_index(drop=True), y.iloc[rows_train].reset_index(drop=True)
    X_test, y_test = X.iloc[rows_test].reset_index(drop=True), y.iloc[rows_test].reset_index(drop=True)
    # Creating the system imports its library, outside of the measured time; AutoMeta loads its libraries in `fit`.
    system = SYSTEMS[system_name](Setting(problem, budget_s, n_threads, seed))
    started = time.perf_counter()
    system.fit(X_train, y_train)
    fitted = time.perf_counter()
    predictions = system.predict(X_test)
    predicted = time.perf_counter()
    if problem == "regression":
        losses = regression_losses(y_train.to_numpy(dtype=float), y_test.to_numpy(dtype=float), predictions)
    else:
        losses = class_losses(list(y_test), predictions, system.classes_)
    return {
        **losses,
        "fit_s": fitted - started,
        "predict_s": predicted - fitted,
        "frame_mb": float(X_train.memory_usage(deep=True).sum()) / 1e6,
        "versions": versions(system_name),
    }


def class_losses(labels: Sequence[Any], probabilities: np.ndarray, classes: Sequence[Any]) -> dict[str, Any]:
    """Return 1 − ROC AUC (two classes) or log loss (more), the accuracy and 1 − the mean recall of the classes.

    Parameters
    ----------
    labels : sequence of length n_rows
        True labels.
    probabilities : ndarray of shape (n_rows, n_classes)
        Columns in the order of `classes`; rows are scaled to sum to 1.
    classes : sequence of length n_classes
        Labels of the columns.

    Raises
    ------
    ValueError
        If a label is none of the classes, or a probability is not finite.
    """
    from sklearn.metrics import balanced_accuracy_score, log_loss, roc_auc_score

    column_of = {label: column for column, label in enumerate(classes)}
    unknown = set(labels) - set(column_of)
    if unknown:
        raise ValueError(f"the system has no class {sorted(map(str, unknown))}; its classes are {list(classes)}.")
    codes = np.array([column_of[label] for label in labels])
    shares = np.asarray(probabilities, dtype=np.float64)
    if not np.isfinite(shares).all():
        raise ValueError("the system predicted a probability that is not finite.")
    shares = shares / shares.sum(axis=1, keepdims=True)
    guesses = shares.argmax(axis=1)
    if len(classes) == 2:
        metric, loss = "1 - roc_auc", 1 - roc_auc_score(codes == 1, shares[:, 1])
    else:
        metric, loss = "log_loss", log_loss(codes, shares, labels=np.arange(len(classes)))
    return {
        "metric": metric,
        "loss": float(loss),
        "accuracy": float((guesses == codes).mean()),
        "balanced_error": float(1 - balanced_accuracy_score(codes, guesses)),
    }


def regression_losses(y_train: np.ndarray, y_test: np.ndarray, predictions: np.ndarray) -> dict[str, Any]:
    """Return the root mean squared error in standard deviations of the training target, and R2.

    Parameters
    ----------
    y_train, y_test, predictions : ndarray of shape (n_rows,)
        Targets, and the predictions for `y_test`.

    Raises
    ------
    ValueError
        If a prediction is not finite.
    """
    if not np.isfinite(predictions).all():
        raise ValueError("the system predicted a value that is not finite.")
    squared_error = float(np.mean((y_test - predictions) ** 2))
    return {
        "metric": "rmse / std",
        "loss": squared_error**0.5 / float(np.std(y_train)),
        "r2": 1 - squared_error / float(np.var(y_test)),
    }


def run(
    corpus: Path,
    out: Path,
    tasks: Sequence[str],
    systems: Sequence[str],
    *,
    budget_s: float,
    n_threads: int,
    seed: int,
) -> None:
    """Measure every pair of task and system that `out` does not have yet, and append its row."""
    described = read_tasks(corpus)
    missing = [task for task in tasks if task not in described.index]
    if missing:
        raise ValueError(f"{corpus / 'tasks.csv'} has no task {missing}.")
    done = _measured(read_results(out))
    for task in tasks:
        for system in systems:
            if (task, system, seed, budget_s if system == BUDGETED else 0.0) in done:
                continue
            outcome = run_isolated(
                "benchmarks.accuracy:measure",
                {
                    "corpus": str(corpus.resolve()),
                    "task_id": task,
                    "system_name": system,
                    "budget_s": budget_s,
                    "n_threads": n_threads,
                    "seed": seed,
                },
                limit_s=max(PROCESS_LIMIT_S, 4 * budget_s),
                n_threads=n_threads,
            )
            row = {
                "task": task,
                "system": system,
                "seed": seed,
                **described.loc[task, ["problem", "n_rows", "n_features"]].to_dict(),
                **outcome.result,
                "peak_mb": outcome.peak_mb,
                "error": outcome.error,
            }
            if system == BUDGETED:
                row["budget_s"] = budget_s
                row["overrun"] = row["fit_s"] / budget_s if "fit_s" in row else None
            append_row(out, FIELDS, row)
            logger.info("%s %s: loss %s, fit %s s %s", task, system, row.get("loss"), row.get("fit_s"), outcome.error)


def _measured(results: pd.DataFrame) -> set[tuple[Any, ...]]:
    if results.empty:
        return set()
    keys = (results["task"], results["system"], results["seed"], results["budget_s"].fillna(0.0))
    return set(zip(*keys, strict=True))


def report(results: pd.DataFrame, *, seed: int) -> str:
    """Return the table of losses and seconds, ranks, shares of tasks won with intervals, and the limits.

    Ranks and shares use the tasks on which every system in `results` was measured.

    Parameters
    ----------
    results : DataFrame
        Rows of result files, of one seed and one budget.
    seed : int
        Seed of the bootstrap.
    """
    if results.duplicated(["task", "system"]).any():
        raise ValueError("the results hold a task and system twice; give one run per system.")
    problem_of = results.drop_duplicates("task").set_index("task")["problem"]
    systems = [system for system in SYSTEMS if system in set(results["system"])]
    losses = results.pivot(index="task", columns="system", values="loss").reindex(index=problem_of.index)[systems]
    seconds = results.pivot(index="task", columns="system", values="fit_s").reindex(index=problem_of.index)[systems]
    table = losses.round(5).add_prefix("loss ").join(seconds.round(1).add_prefix("fit_s "))
    sizes = results.drop_duplicates("task").set_index("task")[["problem", "n_rows", "n_features"]]
    sections = ["Losses and seconds of fit", sizes.join(table).to_string(float_format=lambda number: f"{number:g}")]

    measured = results.pivot(index="task", columns="system", values="seed").notna()
    shared = measured.index[measured.all(axis=1)]
    shared_losses = losses.loc[losses.index.isin(shared)]
    groups = {"all": shared_losses}
    groups |= {problem: shared_losses[problem_of[shared_losses.index] == problem] for problem in PROBLEMS}
    groups = {name: group for name, group in groups.items() if len(group)}
    ranks = pd.DataFrame({f"{name} ({len(group)})": mean_ranks(group) for name, group in groups.items()})
    if not ranks.empty:
        sections += ["Mean rank (tasks)", ranks.sort_values(ranks.columns[0]).round(2).to_string()]
    resources = results.groupby("system")[["fit_s", "predict_s", "peak_mb"]].agg(["median", "max"]).round(1)
    sections += ["Seconds and memory", resources.loc[systems].to_string()]
    if BUDGETED in systems:
        sections += ["Share of tasks on which AutoMeta is better (ties count half)", _shares(groups, systems, seed)]
        sections += ["Limits kept by AutoMeta", _limits(results[results["system"] == BUDGETED])]
    failed = results[results["error"].notna()]
    if len(failed):
        sections += ["Failures", failed[["task", "system", "error"]].to_string(index=False)]
    return "\n\n".join(sections)


def _shares(groups: dict[str, pd.DataFrame], systems: Sequence[str], seed: int) -> str:
    # Imported here, so that measuring processes do not load what only the report needs.
    from autometa.metalearning.replay.regret import paired_bootstrap

    lines = []
    for rival in systems:
        if rival == BUDGETED:
            continue
        won = {name: wins(group[BUDGETED].to_numpy(), group[rival].to_numpy()) for name, group in groups.items()}
        if "all" not in won:
            return "no task was measured with every system"
        _, low, high = paired_bootstrap(won["all"], seed=seed)
        parts = ", ".join(f"{name} {share.mean():.0%}" for name, share in won.items())
        lines.append(f"{rival:24} {parts}; 95% bootstrap interval over tasks {low:.0%} to {high:.0%}")
    return "\n".join(lines)


def _limits(results: pd.DataFrame) -> str:
    kept = pd.DataFrame(
        {
            "task": results["task"],
            "fit_s": results["fit_s"].round(1),
            "overrun": results["overrun"].round(3),
            "budget kept": np.where(keeps_time(results["fit_s"], results["budget_s"]), "yes", "no"),
            "peak_mb": results["peak_mb"].round(),
            "bound_mb": memory_bound_mb(results["frame_mb"]).round(),
            "memory kept": np.where(keeps_memory(results["peak_mb"], results["frame_mb"]), "yes", "no"),
        }
    )
    shares = (
        f"budget kept {(kept['budget kept'] == 'yes').mean():.0%}, memory {(kept['memory kept'] == 'yes').mean():.0%}"
    )
    return f"{kept.to_string(index=False)}\n{shares}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="result file (CSV); rows are appended")
    parser.add_argument("--corpus", type=Path, help="folder of tables, needed to measure")
    parser.add_argument(
        "--tasks", default=str(HERE / "tasks24.txt"), help="task ids joined by commas, or a file with one per line"
    )
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="systems, joined by commas")
    parser.add_argument("--budget", type=float, default=30.0, help="seconds for AutoMeta's fit")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="seed of the split, the systems and the bootstrap")
    parser.add_argument("--report", action="store_true", help="print the results and measure nothing")
    parser.add_argument("--beside", type=Path, nargs="*", default=[], help="more result files for the report")
    return parser


def main() -> None:
    """Measure or report, as the command line says."""
    parser = _parser()
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    systems = options.systems.split(",")
    unknown = set(systems) - set(SYSTEMS)
    if unknown:
        parser.error(f"unknown systems {sorted(unknown)}; there are {', '.join(SYSTEMS)}")
    if options.report:
        results = pd.concat([read_results(path) for path in (options.out, *options.beside)], ignore_index=True)
        if results.empty:
            parser.error(f"{options.out} holds no results yet")
        chosen = results["task"].isin(named_tasks(options.tasks)) & results["system"].isin(systems)
        print(report(results[chosen], seed=options.seed))
        return
    if options.corpus is None:
        parser.error("--corpus is needed to measure")
    run(
        options.corpus,
        options.out,
        named_tasks(options.tasks),
        systems,
        budget_s=options.budget,
        n_threads=options.threads,
        seed=options.seed,
    )


if __name__ == "__main__":
    main()
