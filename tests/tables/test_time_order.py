"""The order of rows in time, from a column or from the rows themselves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from autometa.tables.inputs import read_table
from autometa.tables.time_order import time_ranks

DAYS = pd.date_range("2024-01-29", periods=4)


@pytest.mark.parametrize(
    "times",
    [
        DAYS[[2, 0, 0, 3]],
        DAYS[[2, 0, 0, 3]].tz_localize("Europe/Berlin"),
        [2021, 2019, 2019, 2022],
        ["2024-01-31", "2024-01-29", "2024-01-29", "2024-02-01"],
        pd.to_timedelta([7, 1, 1, 9], unit="h"),
    ],
    ids=["dates", "zones", "years", "text", "durations"],
)
def test_equal_times_have_equal_ranks(times: object) -> None:
    raw = read_table(pd.DataFrame({"a": [1.0, 2, 3, 4], "when": times}))
    assert time_ranks(raw, "when").tolist() == [1, 0, 0, 2]


def test_without_a_column_the_order_is_that_of_the_rows() -> None:
    assert time_ranks(read_table(np.zeros((3, 2))), None).tolist() == [0, 1, 2]


def test_a_column_of_an_array_is_named_by_its_position() -> None:
    X = np.array([[0.0, 5.0], [1.0, 3.0], [2.0, 4.0]])
    assert time_ranks(read_table(X), 1).tolist() == [2, 0, 1]


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([DAYS[0], pd.NaT, DAYS[1]], "missing in 1 of 3 rows"),
        ([DAYS[0]] * 3, "one moment only"),
        (["early", "late", "late"], "cannot be read as dates or numbers"),
        ([True, False, True], "True and False"),
    ],
)
def test_columns_that_order_nothing_are_refused(times: list[object], message: str) -> None:
    raw = read_table(pd.DataFrame({"a": [1.0, 2.0, 3.0], "when": times}))
    with pytest.raises(ValueError, match=message):
        time_ranks(raw, "when")


def test_a_column_that_is_not_there_is_refused_with_a_hint() -> None:
    raw = read_table(pd.DataFrame({"when": DAYS}))
    with pytest.raises(ValueError, match=r"no column 'wen'.*'when'"):
        time_ranks(raw, "wen")
