"""Five fits in a row with one folder of experience: does the fifth start better than the first?

    python -m benchmarks.experience FOLDER --out CSV [--trials 10] [--tasks a,b]
    python -m benchmarks.experience FOLDER --out CSV --report

A row of the CSV is a fit; a chain of five fits that was interrupted is measured again as a whole. The situations:

same
    The table itself, with another seed.
rows
    A random half of the rows of the table each time.
siblings
    Tables of one family in turn, a random half of their rows each time.
unrelated
    Another table of the list each time; the fifth fit is of the table itself.

Budgets are numbers of trials, so that the results do not depend on the load of the machine.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from benchmarks.comparison import loss_aside
from benchmarks.corpus import load_table, named_tasks, read_tasks

COLUMNS = ("situation", "task", "fit", "table", "test_loss", "first_loss", "losses", "trial_s", "starts_from_best")
SITUATIONS = ("same", "rows", "siblings", "unrelated")
N_FITS = 5
MOST_ROWS = 4000


def chain(folder: Path, situation: str, task: str, others: Sequence[str], n_trials: int) -> list[dict[str, Any]]:
    """Return the rows of five fits, in order, that share one folder of experience.

    Parameters
    ----------
    folder : Path
        The tables.
    situation : str
        One of `SITUATIONS`.
    task : str
        The table.
    others : sequence of str
        Its siblings, or unrelated tables.
    n_trials : int
        Trials of each fit.
    """
    rows = []
    with tempfile.TemporaryDirectory() as experience:
        best: tuple[str, str] | None = None
        for number in range(1, N_FITS + 1):
            table = task
            if situation == "siblings":
                table = [task, *others][(number - 1) % (1 + len(others))]
            elif situation == "unrelated" and number < N_FITS:
                table = others[(number - 1) % len(others)]
            halves = situation in ("rows", "siblings")
            row, best = _fit(folder, table, number, halves, Path(experience), n_trials, best)
            rows.append({"situation": situation, "task": task, **row})
    return rows


def _fit(
    folder: Path, table: str, number: int, halves: bool, experience: Path, n_trials: int, best: tuple[str, str] | None
) -> tuple[dict[str, Any], tuple[str, str]]:
    from autometa import AutoMeta

    X, y, problem = load_table(folder, table)
    if len(X) > MOST_ROWS:
        chosen = np.random.default_rng(0).choice(len(X), MOST_ROWS, replace=False)
        X, y = X.iloc[chosen], y.iloc[chosen]
    stratify = None if problem == "regression" else y
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, random_state=0, stratify=stratify)
    if halves:
        stratify = None if problem == "regression" else y
        X, _, y, _ = train_test_split(X, y, test_size=0.5, random_state=number, stratify=stratify)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = AutoMeta(
            problem=problem, n_trials=n_trials, n_jobs=1, cv=3, random_state=number, experience=experience
        ).fit(X, y)
    trials = model.history_.trials
    losses = np.array([trial["loss"] if trial["status"] == "ok" else np.nan for trial in trials], dtype=float)
    named = [(trial["strategy"], str(sorted(trial["parameters"].items()))) for trial in trials]
    row = {
        "fit": number,
        "table": table,
        "test_loss": loss_aside(model, X_test, y_test),
        "first_loss": losses[0],
        "losses": " ".join(f"{loss:.6g}" for loss in losses),
        "trial_s": " ".join(f"{trial['time_s']:.3g}" for trial in trials),
        "starts_from_best": "" if best is None else int(named[0] == best),
    }
    return row, named[int(np.nanargmin(losses))]


def report(table: pd.DataFrame) -> pd.DataFrame:
    """Return the results by situation and fit: medians over tables.

    Columns: ``regret``, the test loss less the lowest one of any fit of the table, in units of that; ``any_time``,
    the mean incumbent over the trials, divided by the final one of fit 1 of the same table; ``trials`` and
    ``seconds`` of trials until the incumbent is no worse than that, divided by those of the whole of fit 1, counted
    as 1 where that is never reached; ``starts_from_best``, the rate of fits whose first configuration is the best
    one of the fit before. The reference of ``unrelated`` is fit 1 of ``same``.
    """
    rows = []
    reference = {}
    for row in table.itertuples():
        # The first fit of a table in a situation is the cold one; an unrelated chain begins with other tables.
        reference.setdefault((row.situation, row.table), row)
    for row in table.itertuples():
        if row.situation == "unrelated" and row.fit < N_FITS:
            continue
        cold = reference.get(("same" if row.situation == "unrelated" else row.situation, row.table))
        if cold is None:
            continue
        incumbents, seconds = _incumbents(row.losses), np.cumsum(_numbers(row.trial_s))
        target, total_s = _incumbents(cold.losses)[-1], _numbers(cold.trial_s).sum()
        reached = np.flatnonzero(incumbents <= target + 1e-9)
        is_reached = len(reached) > 0
        lowest = table.loc[table["table"] == row.table, "test_loss"].min()
        rows.append(
            {
                "situation": row.situation,
                "fit": row.fit,
                "regret": (row.test_loss - lowest) / max(lowest, 1e-6),
                "any_time": np.mean(incumbents) / max(target, 1e-6),
                "trials": (reached[0] + 1) / len(incumbents) if is_reached else 1.0,
                "seconds": min(1.0, seconds[reached[0]] / total_s) if is_reached else 1.0,
                "starts_from_best": row.starts_from_best,
            }
        )
    grouped = pd.DataFrame(rows).groupby(["situation", "fit"])
    found = grouped[["regret", "any_time", "trials", "seconds"]].median()
    return found.assign(starts_from_best=grouped["starts_from_best"].mean(), n=grouped.size())


def _numbers(text: str) -> np.ndarray:
    return np.array([float(number) for number in str(text).split()])


def _incumbents(losses: str) -> np.ndarray:
    return np.fmin.accumulate(np.where(np.isnan(values := _numbers(losses)), np.inf, values))


def families(tasks: pd.DataFrame, folder: Path) -> dict[str, list[str]]:
    """Return the tables that have siblings with the same names of columns and the same target, by the first one."""
    found = {}
    for _, part in tasks.groupby("family"):
        by_columns: dict[tuple[str, ...], list[str]] = {}
        for task in part.index if len(part) > 1 else ():
            X, _, problem = load_table(folder, task)
            by_columns.setdefault((problem, *sorted(map(str, X.columns))), []).append(task)
        found |= {same[0]: same[1:] for same in by_columns.values() if len(same) > 1}
    return found


def main() -> None:
    """Measure what is missing, then print the comparison."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.experience", description="Fits that learn from fits.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--situations", nargs="+", choices=SITUATIONS, default=list(SITUATIONS))
    parser.add_argument("--tasks", default=str(Path(__file__).parent / "tasks24.txt"), help="names joined by commas")
    parser.add_argument("--most", type=int, default=8, help="tables of each situation")
    parser.add_argument("--report", action="store_true", help="only print the results")
    options = parser.parse_args()
    if not options.report:
        _measure(options)
    print(report(pd.read_csv(options.out)).round(3).to_string())


def _measure(options: argparse.Namespace) -> None:
    names = named_tasks(options.tasks)[: options.most]
    siblings = families(read_tasks(options.folder), options.folder) if "siblings" in options.situations else {}
    done = set()
    if options.out.is_file() and options.out.stat().st_size:
        done = set(pd.read_csv(options.out)[["situation", "task"]].itertuples(index=False, name=None))
    with options.out.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if not done:
            writer.writeheader()
            file.flush()
        for situation in options.situations:
            for task in list(siblings)[: options.most] if situation == "siblings" else names:
                if (situation, task) in done:
                    continue
                others = siblings.get(task, []) if situation == "siblings" else [n for n in names if n != task]
                # A chain is written as a whole, because its experience is lost when it is stopped.
                writer.writerows(chain(options.folder, situation, task, others, options.trials))
                file.flush()


if __name__ == "__main__":
    main()
