"""The sources of the tables that autometa has learnt from or is tested on.

``python -m benchmarks.sources FOLDER`` writes ``datasets/sources.csv`` with a row for each table of the records, of the
start of `mlp_maml`, or of a list of tasks under ``benchmarks/``. FOLDER is a folder of tables (see
`benchmarks.corpus`) whose ``tasks.csv`` has a column ``source``, and whose ``README.md`` has a
Markdown table of repositories and the licences that they state.
"""

from __future__ import annotations

import argparse
import csv
import re
import tomllib
from pathlib import Path

import pandas as pd
import pyarrow.parquet

from benchmarks.corpus import named_tasks

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "datasets" / "sources.csv"
_MOST_COLUMNS = 60
"""Most columns that are listed by name; those of wider tables are only counted."""


def uses() -> dict[str, list[str]]:
    """Return what each table is used for: ``records``, ``start``, or the name of a list of tasks."""
    card = tomllib.loads((ROOT / "strategies" / "starts" / "mlp_maml.card.toml").read_text(encoding="utf-8"))
    lists = {"records": named_tasks(str(ROOT / "datasets" / "tasks.txt")), "start": card["tasks"]}
    lists |= {file.stem: named_tasks(str(file)) for file in sorted((ROOT / "benchmarks").glob("tasks*.txt"))}
    used: dict[str, list[str]] = {}
    for name, tasks in lists.items():
        for task in tasks:
            used.setdefault(task, []).append(name)
    return used


def sources(folder: Path) -> pd.DataFrame:
    """Return a row for each table that is used, by name."""
    tasks = pd.read_csv(folder / "tasks.csv").set_index("task_id")
    licences = _licences((folder / "README.md").read_text(encoding="utf-8"))
    rows = []
    for task, names in sorted(uses().items()):
        about = tasks.loc[task]
        repository, _, file = about["source"].partition(": ")
        columns = pyarrow.parquet.read_schema(folder / f"{task}.parquet").names
        features = [name for name in columns if name != about["target"]]
        rows.append(
            {
                "task": task,
                "used_for": " ".join(names),
                "problem": about["problem"],
                "target": about["target"],
                "n_rows": about["n_rows"],
                "n_columns": len(features),
                "columns": "|".join(features) if len(features) <= _MOST_COLUMNS else "",
                "family": about["family"],
                "repository": repository,
                "file": file,
                "licence": licences.get(repository, "not stated"),
            }
        )
    return pd.DataFrame(rows)


def _licences(page: str) -> dict[str, str]:
    """Return the licence that each repository states, from the rows ``| owner/name | tables | licence |``."""
    return dict(re.findall(r"^\| ([\w.-]+/[\w.-]+) \| \d+ \| (.+?) \|$", page, re.MULTILINE))


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sources", description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="folder of tables")
    table = sources(parser.parse_args().folder)
    table.to_csv(OUT, index=False, quoting=csv.QUOTE_MINIMAL, lineterminator="\n")
    print(f"{len(table)} tables from {table['repository'].nunique()} repositories")


if __name__ == "__main__":
    main()
