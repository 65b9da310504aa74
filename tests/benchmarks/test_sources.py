"""Every table that anything was learnt from, or is judged on, has a public source."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from benchmarks import sources


def test_every_table_in_use_has_a_source():
    table = pd.read_csv(sources.OUT).set_index("task")
    assert {task: names.split() for task, names in table["used_for"].items()} == sources.uses()
    assert table[["repository", "file", "licence", "target"]].notna().all(axis=None)
    assert table["repository"].str.fullmatch(r"[\w.-]+/[\w.-]+").all()


def test_columns_are_listed_where_they_are_few():
    table = pd.read_csv(sources.OUT, keep_default_na=False)
    listed = table[table["columns"] != ""]
    assert (listed["columns"].str.count(r"\|") + 1 == listed["n_columns"]).all()
    assert len(listed) > len(table) / 2


def test_licence_of_a_repository_without_a_statement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "README.md").write_text("| repository | tasks | licence |\n| a/b | 3 | MIT |\n")
    frame = pd.DataFrame({"x": [1.0], "y": [2.0]})
    for task in ("one", "two"):
        frame.to_parquet(tmp_path / f"{task}.parquet")
    rows = {"problem": "regression", "target": "y", "n_rows": 1, "family": "f"}
    pd.DataFrame(
        [{"task_id": "one", "source": "a/b: p/q.csv", **rows}, {"task_id": "two", "source": "c/d: r.csv", **rows}]
    ).to_csv(tmp_path / "tasks.csv")
    monkeypatch.setattr(sources, "uses", lambda: {"two": ["records"], "one": ["records", "start"]})
    table = sources.sources(tmp_path).set_index("task")
    assert table["licence"].to_dict() == {"one": "MIT", "two": "not stated"}
    assert table.loc["one", ["file", "columns", "used_for"]].tolist() == ["p/q.csv", "x", "records start"]
