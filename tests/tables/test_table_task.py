"""A task refuses parts that do not belong together, and describes itself."""

from __future__ import annotations

import numpy as np
import pytest

from autometa.core.task import TaskDescription
from autometa.tables.table_task import Task
from tests.helpers.tables import clean_table, make_task

X = {"a": np.arange(6.0), "b": list("uvuvuw")}


def test_a_task_counts_rows_used_columns_and_classes():
    assert make_task(X | {"constant": 1}, np.arange(6) % 3, 3).describe() == TaskDescription("multiclass", 6, 2, 3)
    assert make_task(X, np.arange(6)).describe() == TaskDescription("regression", 6, 2, 0)


@pytest.mark.parametrize("name", ["y", "sample_weight", "groups"])
def test_a_part_of_another_length_is_refused(name: str):
    parts = {"y": np.zeros(6)} | {name: np.zeros(5)}
    with pytest.raises(ValueError, match=rf"{name} must have one entry per row of X \(6\), got 5"):
        Task(clean_table(X), problem="regression", **parts)


def test_an_unknown_problem_is_refused():
    with pytest.raises(ValueError, match="problem must be one of .*'regression'.*, got 'ranking'"):
        Task(clean_table(X), np.zeros(6), "ranking")  # type: ignore[arg-type]
