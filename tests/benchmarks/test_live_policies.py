"""The tables of a live comparison are unknown to all that ships."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autometa.metadataset.dataset import MetaDataset
from benchmarks import live_policies
from benchmarks.corpus import KINDS, PROBLEMS, choose_tasks, named_tasks
from benchmarks.live_policies import ROOT, seen_families

CARDS = sorted((ROOT / "strategies" / "starts").glob("*.card.toml"))


def _table_of_tasks() -> pd.DataFrame:
    """Return a folder's tasks: those that ship are learnt from, each with a sibling, and as many unknown ones."""
    starts = [tomllib.loads(card.read_text()) for card in CARDS]
    known = sorted(
        {*named_tasks(str(ROOT / "datasets/tasks.txt")), *(task for start in starts for task in start["tasks"])}
    )
    known += named_tasks(str(ROOT / "benchmarks/tasks24.txt"))
    rows = [(task, task) for task in known]
    rows += [(f"{task}_sibling", task) for task in known]
    rows += [(family, family) for start in starts for family in start["families"]]
    rows += [(f"unknown_{i}", f"unknown_{i}") for i in range(200)]
    tasks = pd.DataFrame(rows, columns=["task_id", "family"]).drop_duplicates("task_id").set_index("task_id")
    rng = np.random.default_rng(0)
    return tasks.assign(
        problem=rng.choice(PROBLEMS, len(tasks)),
        n_rows=rng.integers(100, 60_000, len(tasks)),
        kind=rng.choice(KINDS, len(tasks)),
    )


def test_there_is_a_start_with_a_list_of_its_tables() -> None:
    assert CARDS
    for card in CARDS:
        assert {"tasks", "families"} <= set(tomllib.loads(card.read_text()))


def test_the_list_of_recorded_tasks_is_that_of_the_records() -> None:
    assert set(MetaDataset.load().tasks["task"]) <= set(named_tasks(str(ROOT / "datasets/tasks.txt")))


def test_no_chosen_table_is_of_a_family_that_something_has_learnt_from(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = _table_of_tasks()
    monkeypatch.setattr(live_policies, "read_tasks", lambda folder: tasks)
    chosen = live_policies._chosen(Path("corpus"))
    assert len(chosen) == 3 * live_policies.N_PER_PROBLEM
    assert all(task.startswith("unknown_") for task in chosen)


def test_a_sibling_of_a_known_table_is_left_out_though_its_name_is_unknown() -> None:
    tasks = _table_of_tasks()
    siblings = tasks.index[tasks.index.str.endswith("_sibling")]
    assert len(siblings)
    assert set(tasks.loc[siblings, "family"]) <= seen_families(tasks)


def test_families_can_be_left_out_of_a_choice_by_name() -> None:
    tasks = _table_of_tasks()
    first = choose_tasks(tasks, [3, 3, 3])
    second = choose_tasks(tasks, [3, 3, 3], without_families=tasks.loc[first, "family"])
    assert set(tasks.loc[first, "family"]).isdisjoint(tasks.loc[second, "family"])
