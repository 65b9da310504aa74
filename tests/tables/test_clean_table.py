"""A cleaned table gives its rows and columns as arrays and as a frame."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.tables import clean_table

N = 40
COLUMNS = {
    "a": np.arange(N) / 3,
    "b": ["x", "y", None, "z"] * (N // 4),
    "c": pd.date_range("2024-01-01", periods=N),
    "d": np.arange(N)[::-1] % 7,
    "e": 1.7e9 + np.arange(N),
}


def test_columns_come_kind_by_kind():
    table = clean_table(COLUMNS)
    assert table.names == ["a", "d", "e", "c", "b"] == list(table.frame())
    assert len(table) == N and table.n_columns == 5
    assert [str(dtype) for dtype in table.frame().dtypes] == [
        "float32",
        "float32",
        "float64",
        "datetime64[us]",
        "int32",
    ]


@given(rows=st.lists(st.integers(0, N - 1), max_size=60))
def test_rows_are_taken_in_any_order_and_number(rows: list[int]):
    table = clean_table(COLUMNS)
    taken = table.take(np.array(rows, dtype=np.int64))
    assert len(taken) == len(rows) and taken.schema is table.schema
    pd.testing.assert_frame_equal(taken.frame(), table.frame().iloc[rows].reset_index(drop=True))
    assert all(block.flags.f_contiguous for block in taken.blocks.values())


def test_columns_are_taken_with_their_part_of_the_schema():
    table = clean_table(COLUMNS)
    indices = {field: np.arange(block.shape[1])[::-1] for field, block in table.blocks.items()}
    indices["moments"] = np.array([], dtype=np.int64)
    some = table.take_columns(indices)
    assert some.names == some.schema.columns == ["d", "a", "e", "b"]
    assert some.schema.categories == {"b": ["x", "y", "z"]}
    pd.testing.assert_frame_equal(some.frame(), table.frame()[some.names])
