"""What every kind of column promises."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from autometa.tables.clean_table import CleanTable
from autometa.tables.cleaning import clean, fit_schema
from autometa.tables.column_kind import ColumnKind, TrainingColumn
from autometa.tables.inputs import as_frame
from autometa.tables.kinds import KINDS
from autometa.tables.schema import Schema

N = 80
LABELS = {"numbers": {"number", "timedelta"}, "precise": {"number"}, "moments": {"datetime"}}
LABELS |= {"categories": {"category"}, "texts": {"text"}}


def columns(seed: int) -> pd.DataFrame:
    """Return two columns of each kind, the second with gaps."""
    rng = np.random.default_rng(seed)
    words = np.array(["old", "new", "ship", "sea", "sails", "home", "again", "never"])
    X = pd.DataFrame(
        {
            "number": rng.normal(size=N),
            "span": pd.to_timedelta(rng.integers(0, 9999, N), unit="s"),
            "seconds": 1.7e9 + rng.random(N),
            "tiny": rng.random(N) * 1e-40,
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 999, N), unit="h"),
            "day as text": [f"2024-{1 + i % 12:02}-{1 + i % 28:02}" for i in range(N)],
            "few levels": rng.choice(["u", "v", "w"], N),
            "many levels": pd.Categorical(rng.permutation([f"level{i % 35}" for i in range(N)])),
            "text": [" ".join(rng.choice(words, 6)) + f" {i}" for i in range(N)],
            "other text": [" ".join(rng.choice(words, 7)) + f" {i}" for i in range(N)],
        }
    )
    for name in X.columns[1::2]:
        X[name] = X[name].mask(pd.Series(rng.random(N) < 0.2))
    return as_frame(X)


@pytest.fixture
def table(seed: int) -> CleanTable:
    X = columns(seed)
    return clean(X, fit_schema(X))


every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.field)
every_view = pytest.mark.parametrize("view", ["tree", "numeric"])


def test_a_column_is_of_one_kind_and_what_it_is_called_says_so(table: CleanTable):
    assert [kind.field for kind in KINDS] == list(table.blocks)
    assert [len(kind.names(table.schema)) for kind in KINDS] == [2] * len(KINDS)
    kinds = table.schema.kinds
    assert list(kinds) == table.names and sorted(kinds) == sorted(table.schema.columns)
    for kind in KINDS:
        assert {kinds[name] for name in kind.names(table.schema)} <= LABELS[kind.field]


@every_kind
def test_a_block_has_its_type_and_its_columns_lie_together(kind: ColumnKind, table: CleanTable):
    block = table.blocks[kind.field]
    assert block.shape == (N, 2) and block.dtype == np.dtype(kind.dtype) and block.flags.f_contiguous


@every_kind
def test_gaps_and_nothing_else_are_missing(kind: ColumnKind, table: CleanTable, seed: int):
    missing = kind.is_missing(table.blocks[kind.field])
    np.testing.assert_array_equal(missing, columns(seed)[kind.names(table.schema)].isna())
    assert missing.any() and not missing.all()


@every_kind
def test_rows_are_read_alike_alone_and_together(kind: ColumnKind, table: CleanTable, seed: int):
    rows = np.random.default_rng(seed).permutation(N)[:7]
    alone = clean(columns(seed).iloc[rows].reset_index(drop=True), table.schema)
    np.testing.assert_array_equal(alone.blocks[kind.field], table.blocks[kind.field][rows])


@every_kind
@pytest.mark.parametrize("is_cyclic", [False, True])
def test_measures_have_a_name_each_and_go_row_by_row(kind: ColumnKind, is_cyclic: bool, table: CleanTable):
    block = table.blocks[kind.field]
    names, learnt = kind.fit_measures(block, table.schema, is_cyclic)
    measured = kind.measure(block, learnt, is_cyclic)
    assert measured.shape == (N, len(names)) and measured.dtype == np.float32
    assert not np.isinf(measured).any()
    np.testing.assert_array_equal(kind.measure(block[3:9], learnt, is_cyclic), measured[3:9])


@every_kind
@every_view
def test_an_encoder_writes_the_columns_that_it_names_and_keeps_those_it_is_told_to(
    kind: ColumnKind, view, table: CleanTable, seed: int
):
    block = table.blocks[kind.field]
    encoder = kind.fit_encoder(block, table.schema, view, np.random.default_rng(seed))
    if encoder is None:
        assert kind.field not in ("categories", "texts")
        return
    assert type(encoder) in kind.saved_types()
    assert len(encoder.worth) == len(encoder.sizes) == len(encoder.names) >= 2
    every = np.zeros((N, len(encoder.names)), dtype=np.float32)
    encoder.write(block, every)
    known = np.isfinite(every)
    assert np.all(np.where(known, every, 0)[:, encoder.sizes > 0] < encoder.sizes[encoder.sizes > 0])
    mask = np.arange(len(encoder.names)) % 2 == 0
    names = [name for name, kept in zip(encoder.names, mask, strict=True) if kept]
    encoder.keep(mask)
    some = np.zeros((N, len(names)), dtype=np.float32)
    encoder.write(block, some)
    assert encoder.names == names
    np.testing.assert_allclose(some, every[:, mask], rtol=1e-5, atol=1e-6)


@every_kind
def test_a_table_without_columns_of_a_kind_has_an_empty_block(kind: ColumnKind):
    schema = Schema(columns=["other"])
    block = clean(pd.DataFrame({"other": [1, 2]}), schema).blocks[kind.field]
    assert block.shape == (2, 0) and kind.names(schema) == [] and kind.most_columns(schema) == 0
    names, learnt = kind.fit_measures(block, schema, True)
    assert names == [] and kind.measure(block, learnt, True).shape == (2, 0)


def test_the_last_kind_takes_what_no_other_recognises():
    column = TrainingColumn("x", pd.Series([f"one sentence with the number {i} in it" for i in range(N)]))
    schema = Schema(columns=["x"])
    assert [kind.recognise(column, schema) for kind in KINDS] == [False] * (len(KINDS) - 1) + [True]
    assert schema.texts == ["x"] and not schema.dropped
