"""A folder of tables with known targets, and the rule that selects tables from it.

The folder holds one ``<task_id>.parquet`` per table and a ``tasks.csv`` with a row per table
(``task_id``, ``problem``, ``target``, ``n_rows``, ``n_categorical``, ``missing_fraction``, ``family``).
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

PROBLEMS = ("binary", "multiclass", "regression")
KINDS = ("numeric", "categorical", "missing", "text")
SMALLEST_ROWS, LARGEST_ROWS = 100, 60_000
# About one step of the grid of eight tables: a table of the wanted kind must not be further away.
KIND_REACH = 2.5


def read_tasks(folder: Path) -> pd.DataFrame:
    """Return the rows of ``tasks.csv``, indexed by task id, with the kind of each table.

    A table is of the first kind that applies: ``text`` with a string column, ``missing`` with at
    least 1% of its cells missing, ``categorical`` with a nominal column, else ``numeric``.
    """
    import pyarrow
    import pyarrow.parquet

    tasks = pd.read_csv(folder / "tasks.csv").set_index("task_id")
    kinds = []
    for task in tasks.itertuples():
        schema = pyarrow.parquet.read_schema(folder / f"{task.Index}.parquet")
        features = (field.type for field in schema if field.name != task.target)
        if any(pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind) for kind in features):
            kinds.append("text")
        elif task.missing_fraction >= 0.01:
            kinds.append("missing")
        else:
            kinds.append("categorical" if task.n_categorical else "numeric")
    return tasks.assign(kind=kinds)


def load_table(folder: Path, task_id: str) -> tuple[pd.DataFrame, pd.Series, str]:
    """Return the features, the target as it is stored, and the problem of one task."""
    tasks = pd.read_csv(folder / "tasks.csv").set_index("task_id")
    if task_id not in tasks.index:
        raise ValueError(f"{folder / 'tasks.csv'} has no task {task_id!r}.")
    table = pd.read_parquet(folder / f"{task_id}.parquet")
    target = tasks.at[task_id, "target"]
    return table.drop(columns=target), table[target], tasks.at[task_id, "problem"]


def choose_tasks(
    tasks: pd.DataFrame,
    n_per_problem: Sequence[int],
    *,
    without: Collection[str] = (),
    without_families: Collection[str] = (),
) -> list[str]:
    """Return task ids spread over problems, rows and kinds, by a rule that sees no result.

    For each problem the wanted rows are a geometric grid from 100 to 60,000, filled from the large end, where tables
    are scarce. The kinds take turns over the slots, starting at another kind for each problem. A slot takes the table
    of its kind whose rows are nearest by ratio, if they are within a factor `KIND_REACH`, else the nearest table of any
    kind. A family is used once. Ties go to the first task id.

    Parameters
    ----------
    tasks : DataFrame
        As returned by `read_tasks`.
    n_per_problem : sequence of int
        Number of tables of each problem, in the order of `PROBLEMS`.
    without : collection of str
        Task ids whose whole families are left out.
    without_families : collection of str
        Further families to leave out.

    Returns
    -------
    list of str
        The ids, by problem and then by wanted rows.

    Raises
    ------
    ValueError
        If a problem has fewer families left than tables are wanted.
    """
    used_families = set(tasks.loc[list(without), "family"]) | set(without_families)
    chosen: list[str] = []
    for turn, (problem, n) in enumerate(zip(PROBLEMS, n_per_problem, strict=True)):
        grid = np.geomspace(SMALLEST_ROWS, LARGEST_ROWS, n)
        of_problem: list[str] = []
        for slot in reversed(range(n)):
            free = tasks[(tasks["problem"] == problem) & ~tasks["family"].isin(used_families)].sort_index()
            if free.empty:
                raise ValueError(f"no {problem} table of an unused family is left for slot {slot}.")
            distance = np.log(free["n_rows"] / grid[slot]).abs()
            wanted_kind = KINDS[(slot + turn) % len(KINDS)]
            near = distance[(free["kind"] == wanted_kind) & (distance <= np.log(KIND_REACH))]
            task_id = str((distance if near.empty else near).idxmin())
            used_families.add(tasks.at[task_id, "family"])
            of_problem.insert(0, task_id)
        chosen += of_problem
    return chosen


def named_tasks(text: str) -> list[str]:
    """Return task ids: those of a text file (one per line, ``#`` starts a comment), or those joined by commas."""
    path = Path(text)
    if not path.is_file():
        return text.split(",")
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def main() -> None:
    """Print a choice of tasks, one per line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.corpus", description="Print a choice of tasks.")
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "n_per_problem", type=int, nargs="+", help="one number for all problems, or one each for " + ", ".join(PROBLEMS)
    )
    parser.add_argument(
        "--without", nargs="*", default=(), help="tasks, or files of tasks, whose families are left out"
    )
    options = parser.parse_args()
    without = [name for text in options.without for name in named_tasks(text)]
    counts = options.n_per_problem * (len(PROBLEMS) if len(options.n_per_problem) == 1 else 1)
    tasks = read_tasks(options.folder)
    for task_id in choose_tasks(tasks, counts, without=without):
        problem, n_rows, kind = tasks.loc[task_id, ["problem", "n_rows", "kind"]]
        print(f"{task_id:28} # {problem}, {n_rows} rows, {kind}")


if __name__ == "__main__":
    main()
