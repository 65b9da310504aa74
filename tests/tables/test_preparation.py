import datetime
import decimal
import pickle

import numpy as np
import pandas as pd
import pytest
import skops.io
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from autometa.tables.cleaning import clean, fit_schema
from autometa.tables.inputs import as_frame
from autometa.tables.preparation import fit_preparation, most_cells
from tests.helpers.tables import clean_table

WORDS = np.array(["red", "green", "blue", "Zürich", "a b", "x,y", "[json]", "7 up", "ok"], dtype=object)


def _sprinkle(values, rng, missing):
    """Return the values as objects, some of them missing."""
    values = np.array(list(values), dtype=object)
    values[rng.random(len(values)) < 0.2] = missing
    return values


def _moments(rng, n):
    return pd.Series(pd.Timestamp("2001-02-03 04:05:06") + pd.to_timedelta(rng.integers(0, 10**9, n), unit="s"))


COLUMNS = {
    "float": lambda rng, n: rng.normal(size=n),
    "gaps": lambda rng, n: np.where(rng.random(n) < 0.3, np.nan, rng.normal(size=n)),
    "infinite": lambda rng, n: np.where(rng.random(n) < 0.3, rng.choice([np.inf, -np.inf], n), rng.normal(size=n)),
    "huge": lambda rng, n: rng.normal(size=n) * 10.0 ** rng.integers(-300, 300, n),
    "tiny": lambda rng, n: rng.normal(size=n) * 1e-40,
    "seconds": lambda rng, n: 1.7e9 + rng.integers(0, 50, n),
    "half": lambda rng, n: rng.normal(size=n).astype(np.float16),
    "int": lambda rng, n: rng.integers(-5, 5, n),
    "uint8": lambda rng, n: rng.integers(0, 255, n).astype(np.uint8),
    "big int": lambda rng, n: rng.integers(-(2**62), 2**62, n),
    "bool": lambda rng, n: rng.random(n) < 0.5,
    "Int64": lambda rng, n: pd.array(_sprinkle(rng.integers(0, 9, n), rng, None), dtype="Int64"),
    "Float32": lambda rng, n: pd.array(_sprinkle(rng.normal(size=n), rng, None), dtype="Float32"),
    "boolean": lambda rng, n: pd.array(_sprinkle(rng.random(n) < 0.5, rng, None), dtype="boolean"),
    "bool objects": lambda rng, n: _sprinkle(rng.random(n) < 0.5, rng, None),
    "decimal": lambda rng, n: _sprinkle([decimal.Decimal(int(x)) / 4 for x in rng.integers(0, 99, n)], rng, None),
    "number text": lambda rng, n: _sprinkle([f"{x:.3g}" for x in rng.normal(size=n)], rng, None),
    "money": lambda rng, n: [f"$ {x:,}" for x in rng.integers(0, 10**7, n)],
    "percent": lambda rng, n: [f"{x}%" for x in rng.integers(0, 100, n)],
    "category": lambda rng, n: pd.Categorical(_sprinkle(rng.choice(WORDS, n), rng, None)),
    "number category": lambda rng, n: pd.Categorical(rng.integers(0, 4, n)),
    "words": lambda rng, n: rng.choice(WORDS, n),
    "word objects": lambda rng, n: _sprinkle(rng.choice(WORDS, n), rng, None),
    "string": lambda rng, n: pd.array(_sprinkle(rng.choice(WORDS, n), rng, None), dtype="string"),
    "codes": lambda rng, n: [f"k{i}" for i in rng.integers(0, max(2, n // 12), n)],
    "sentences": lambda rng, n: [" ".join(rng.choice(WORDS, rng.integers(0, 12))) for _ in range(n)],
    "mixed": lambda rng, n: [(1, "a", 2.5, True, None, {"k": [1]}, [1, 2], b"x")[i] for i in rng.integers(0, 8, n)],
    "dates": lambda rng, n: _moments(rng, n).dt.normalize(),
    "zone": lambda rng, n: _moments(rng, n).dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"),
    "date objects": lambda rng, n: [datetime.date(2000 + int(i), 1, 1) for i in rng.integers(0, 20, n)],
    "date text": lambda rng, n: _moments(rng, n).dt.strftime("%Y-%m-%d"),
    "day first": lambda rng, n: _moments(rng, n).dt.strftime("%d/%m/%Y"),
    "period": lambda rng, n: _moments(rng, n).dt.to_period("M"),
    "span": lambda rng, n: pd.to_timedelta(rng.integers(0, 10**6, n), unit="s"),
    "interval": lambda rng, n: pd.cut(rng.normal(size=n), [-9, -1, 0, 1, 9]),
    "sparse": lambda rng, n: pd.arrays.SparseArray((rng.random(n) < 0.3) * 1.0),
    "constant": lambda rng, n: np.full(n, 3),
    "nothing": lambda rng, n: np.full(n, None, dtype=object),
    "NaN": lambda rng, n: np.full(n, np.nan),
}


def make_table(kinds, n_rows, seed):
    """Return a table with one column of each of `kinds` (names in COLUMNS)."""
    rng = np.random.default_rng(seed)
    columns = [pd.Series(COLUMNS[kind](rng, n_rows)) for kind in kinds]
    frame = pd.concat(columns, axis=1)
    frame.columns = [f"{i} {kind}" for i, kind in enumerate(kinds)]
    return frame


@st.composite
def tables(draw, min_rows=2, max_rows=60):
    """Draw a table with at least one usable column, its kinds in any order and number."""
    kinds = draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=0, max_size=8))
    return make_table(["float", *kinds], draw(st.integers(min_rows, max_rows)), draw(st.integers(0, 2**31)))


VIEWS = ("tree", "numeric")
few_examples = settings(max_examples=30, deadline=None)
every_view = pytest.mark.parametrize("view", VIEWS)


def prepare(X, view, seed=0, **options):
    """Return (cleaned rows, preparation, prepared rows)."""
    table = clean_table(X)
    preparation = fit_preparation(table, view, seed, **options)
    return table, preparation, preparation.transform(table)


@pytest.mark.parametrize("kind", sorted(COLUMNS))
@every_view
def test_a_column_of_each_kind_is_prepared(kind, view):
    X = make_table(["float", kind], 50, seed=0)
    _, preparation, prepared = prepare(X, view)
    assert prepared.shape == (50, len(preparation.names))
    usable = kind not in ("constant", "nothing", "NaN")
    assert any(name.startswith(f"1 {kind}") for name in preparation.names) == usable


@few_examples
@given(X=tables(), view=st.sampled_from(VIEWS))
def test_prepared_rows_keep_what_the_views_promise(X, view):
    before = X.copy(deep=True)
    _, preparation, prepared = prepare(X, view)
    pd.testing.assert_frame_equal(X, before)
    n_features = len(preparation.names)
    assert prepared.shape == (len(X), n_features) and n_features >= 1
    assert prepared.dtype == np.float32 and prepared.flags.c_contiguous
    assert preparation.categorical.dtype == bool and preparation.categorical.shape == (n_features,)
    assert preparation.n_categories.dtype == np.int64 and preparation.n_categories.shape == (n_features,)
    assert not np.isinf(prepared).any()
    if view == "numeric":
        assert np.isfinite(prepared).all()
        assert not preparation.categorical.any() and not preparation.n_categories.any()
        assert np.abs(prepared).max() < 100
    else:
        codes = prepared[:, preparation.categorical]
        known = np.isfinite(codes)
        assert (codes[known] == np.floor(codes[known])).all() and (codes[known] >= 0).all()
        assert (np.where(known, codes, -1) < preparation.n_categories[preparation.categorical]).all()
        assert not preparation.n_categories[~preparation.categorical].any()


@few_examples
@given(X=tables(), view=st.sampled_from(VIEWS))
def test_a_prepared_table_has_no_more_cells_than_memory_is_planned_for(X, view):
    _, _, prepared = prepare(X, view)
    assert prepared.size <= most_cells(clean_table(X))


@few_examples
@given(X=tables(), view=st.sampled_from(VIEWS), seed=st.integers(0, 2**31))
def test_rows_are_prepared_one_by_one_and_columns_found_by_name(X, view, seed):
    frame = as_frame(X)
    schema = fit_schema(frame)
    table = clean(frame, schema)
    preparation = fit_preparation(table, view, 0)
    expected = preparation.transform(table)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(X))[: rng.integers(1, len(X) + 1)]
    some = as_frame(X.iloc[rows, rng.permutation(X.shape[1])])
    np.testing.assert_allclose(preparation.transform(clean(some, schema)), expected[rows], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(preparation.transform(table), expected)


@few_examples
@given(X=tables(min_rows=4), view=st.sampled_from(VIEWS))
def test_any_rows_can_be_prepared_by_what_was_learnt_from_others(X, view):
    frame = as_frame(X)
    schema = fit_schema(frame)
    table = clean(frame, schema)
    half = len(X) // 2
    before = table.frame()
    preparation = fit_preparation(table.take(np.arange(half)), view, 0)
    prepared = preparation.transform(table.take(np.arange(half, len(X))))
    pd.testing.assert_frame_equal(table.frame(), before)
    assert prepared.shape == (len(X) - half, len(preparation.names))
    assert preparation.transform(table.take(np.arange(0))).shape == (0, len(preparation.names))
    if view == "numeric":
        assert np.isfinite(prepared).all()


@few_examples
@given(X=tables(min_rows=4), view=st.sampled_from(VIEWS), seed=st.integers(0, 9))
def test_only_the_training_rows_are_learnt_from(X, view, seed):
    frame = as_frame(X)
    schema = fit_schema(frame)
    table = clean(frame, schema)
    half = len(X) // 2
    alone = clean(frame.iloc[:half], schema)
    a = fit_preparation(table.take(np.arange(half)), view, seed)
    b = fit_preparation(alone, view, seed)
    assert a.names == b.names
    np.testing.assert_array_equal(a.transform(table), b.transform(table))


@few_examples
@given(X=tables(), view=st.sampled_from(VIEWS))
def test_a_preparation_survives_pickling(X, view):
    table, preparation, prepared = prepare(X, view)
    restored = pickle.loads(pickle.dumps(preparation))
    np.testing.assert_array_equal(restored.transform(table), prepared)
    assert restored.names == preparation.names


@every_view
def test_a_preparation_survives_skops(view):
    table, preparation, prepared = prepare(make_table(sorted(COLUMNS), 60, seed=1), view)
    data = skops.io.dumps(preparation)
    untrusted = skops.io.get_untrusted_types(data=data)
    assert all(name.startswith("autometa.tables.") for name in untrusted)
    np.testing.assert_array_equal(skops.io.loads(data, trusted=untrusted).transform(table), prepared)


@few_examples
@given(X=tables(), view=st.sampled_from(VIEWS), max_features=st.integers(1, 6))
def test_no_more_columns_are_prepared_than_asked_for(X, view, max_features):
    _, preparation, prepared = prepare(X, view, max_features=max_features)
    _, everything, all_prepared = prepare(X, view)
    assert prepared.shape[1] == min(max_features, all_prepared.shape[1])
    where = [everything.names.index(name) for name in preparation.names]
    np.testing.assert_allclose(prepared, all_prepared[:, where], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(preparation.n_categories, everything.n_categories[where])


@every_view
def test_rows_in_which_nothing_varies_give_one_constant_column(view):
    frame = as_frame(pd.DataFrame({"x": [1.0, 2.0, 2.0, 2.0], "c": ["u", "v", "v", "v"]}))
    schema = fit_schema(frame)
    table = clean(frame, schema)
    preparation = fit_preparation(table.take(np.arange(1, 4)), view, 0)
    assert preparation.transform(table).tolist() == [[0.0]] * 4


# --- tree view --------------------------------------------------------------------------------------


def test_codes_go_by_descending_frequency_and_gaps_stay():
    levels = ["rare", *["common"] * 5, *["usual"] * 3, None]
    _, preparation, prepared = prepare(pd.DataFrame({"c": levels}), "tree")
    assert preparation.n_categories.tolist() == [3]
    np.testing.assert_array_equal(prepared[:, 0], [2, 0, 0, 0, 0, 0, 1, 1, 1, np.nan])


def test_numbers_stay_as_they_are_for_trees():
    x = np.array([1.5, np.nan, -3e20, 7, np.inf])
    _, _, prepared = prepare(pd.DataFrame({"x": x}), "tree")
    np.testing.assert_array_equal(prepared[:, 0], np.array([1.5, np.nan, -3e20, 7, np.nan], dtype=np.float32))


def test_an_unseen_level_is_missing_in_a_small_category_and_other_in_a_large_one():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"small": rng.choice(["a", "b"], 4000), "large": rng.choice([f"l{i}" for i in range(390)], 4000)})
    frame = as_frame(X)
    schema = fit_schema(frame)
    preparation = fit_preparation(clean(frame, schema), "tree", 0)
    small, large = (preparation.names.index(name) for name in ("small", "large"))
    assert preparation.n_categories[large] == 255
    new = preparation.transform(clean(as_frame(pd.DataFrame({"small": ["?!", None], "large": ["?!", None]})), schema))
    np.testing.assert_array_equal(new[:, [small, large]], [[np.nan, 254], [np.nan, np.nan]])
    codes = preparation.transform(clean(frame, schema))[:, large]
    counts = X["large"].value_counts()
    # Codes below "other" go by frequency, and "other" holds the rarest.
    mean_counts = pd.Series(counts[X["large"]].to_numpy()).groupby(codes).mean()
    assert mean_counts[:254].is_monotonic_decreasing and mean_counts[254] <= mean_counts[253]


def test_the_frequency_of_a_level_orders_levels_by_their_count():
    levels = np.repeat([f"l{i:02}" for i in range(40)], np.arange(11, 51))
    _, preparation, prepared = prepare(pd.DataFrame({"c": levels}), "tree")
    frequency = prepared[:, preparation.names.index("c frequency")]
    assert (np.diff(frequency) >= 0).all()
    np.testing.assert_allclose(np.exp(frequency[[0, -1]]), [11, 50], rtol=1e-5)


def test_dates_become_their_parts():
    moments = pd.Series(pd.date_range("2019-12-30 06:30", periods=400, freq="31h"))
    moments[7] = pd.NaT
    _, preparation, prepared = prepare(pd.DataFrame({"t": moments}), "tree")
    parts = dict(zip(preparation.names, prepared.T, strict=True))
    for name, expected in {
        "t year": moments.dt.year,
        "t month": moments.dt.month,
        "t day": moments.dt.day,
        "t weekday": moments.dt.day_of_week,
        "t hour": moments.dt.hour + moments.dt.minute / 60,
        "t day_of_year": moments.dt.day_of_year,
        "t days": (moments - moments.min()) / pd.Timedelta("1D"),
    }.items():
        np.testing.assert_allclose(parts[name], expected, rtol=1e-5, err_msg=name)


def test_parts_of_dates_that_do_not_vary_are_left_out():
    _, preparation, _ = prepare(pd.DataFrame({"t": pd.date_range("2020-01-01", periods=20)}), "tree")
    assert preparation.names == ["t days", "t day", "t weekday", "t day_of_year"]


# --- numeric view -----------------------------------------------------------------------------------


def test_numbers_are_centred_scaled_and_bounded_and_keep_their_order():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(50, 9, 3000), "b": rng.normal(size=3000), "c": np.exp(rng.normal(0, 4, 3000))})
    _, _, prepared = prepare(X, "numeric")
    np.testing.assert_allclose(np.median(prepared, axis=0), 0, atol=0.05)
    np.testing.assert_allclose(prepared[:, :2].std(axis=0), 1, atol=0.15)
    assert np.abs(prepared).max() <= 8
    for j, name in enumerate(X):
        assert (np.diff(prepared[np.argsort(X[name]), j]) >= 0).all()


@few_examples
@given(shift=st.floats(-1e3, 1e3), scale=st.floats(1e-3, 1e3))
def test_the_unit_of_a_number_does_not_matter_for_the_numeric_view(shift, scale):
    x = np.random.default_rng(0).normal(size=40)
    _, _, expected = prepare(pd.DataFrame({"x": x}), "numeric")
    _, _, prepared = prepare(pd.DataFrame({"x": shift + scale * x}), "numeric")
    np.testing.assert_allclose(prepared, expected, atol=2e-2)


def test_gaps_are_filled_with_the_median_and_marked_once():
    x = np.array([1.0, np.nan, 3, 2, np.nan, 5])
    _, preparation, prepared = prepare(pd.DataFrame({"x": x, "y": 2 * x, "z": np.arange(6)}), "numeric")
    assert preparation.names == ["x", "y", "z", "x missing"]
    np.testing.assert_array_equal(prepared[:, 3], np.isnan(x))
    np.testing.assert_array_equal(prepared[np.isnan(x), :2], 0)


def test_each_level_has_its_column_two_levels_share_one_and_an_unseen_level_has_none():
    X = pd.DataFrame({"three": list("abc") * 20, "two": list("uv") * 30, "gaps": ["s", "t", None] * 20})
    frame = as_frame(X)
    schema = fit_schema(frame)
    preparation = fit_preparation(clean(frame, schema), "numeric", 0)
    assert preparation.names == ["three=a", "three=b", "three=c", "two=v", "gaps=t", "gaps=missing"]
    prepared = preparation.transform(clean(frame, schema))
    expected = np.stack(
        [X["three"] == "a", X["three"] == "b", X["three"] == "c", X["two"] == "v", X["gaps"] == "t", X["gaps"].isna()],
        axis=1,
    )
    np.testing.assert_array_equal(prepared, expected)
    unseen = as_frame(pd.DataFrame({"three": ["z"], "two": ["z"], "gaps": ["z"]}))
    assert not preparation.transform(clean(unseen, schema)).any()


# --- text -------------------------------------------------------------------------------------------


@every_view
def test_an_embedding_tells_topics_apart_and_reads_new_texts(view):
    rng = np.random.default_rng(0)
    topics = [["cat", "dog", "horse", "fur", "paw", "tail"], ["bond", "stock", "market", "price", "bank", "loan"]]
    y = rng.integers(0, 2, 300)
    X = pd.DataFrame({"t": [" ".join(rng.choice(topics[i], 5)) + f" {rng.integers(999)}" for i in y]})
    frame = as_frame(X)
    schema = fit_schema(frame)
    assert schema.kinds == {"t": "text"}
    table = clean(frame, schema)
    preparation = fit_preparation(table.take(np.arange(200)), view, 0)
    prepared = preparation.transform(table)
    model = Ridge().fit(prepared[:200], y[:200])
    assert ((model.predict(prepared[200:]) > 0.5) == y[200:]).mean() > 0.95
    odd = np.array([["", None, "§§§", "cat\0dog\nfur", "\ud800", "x" * 100_000]], dtype=object).T
    odd = as_frame(odd, names=["t"])
    assert preparation.transform(clean(odd, schema)).shape == (6, prepared.shape[1])


def test_a_text_seen_once_counts_like_one_never_seen():
    texts = [f"some words for row number {i} of {i * 37}" for i in range(100)]
    frame = as_frame(pd.DataFrame({"t": texts + texts[:1]}))
    schema = fit_schema(frame)
    table = clean(frame, schema)
    preparation = fit_preparation(table, "tree", 0)
    j = preparation.names.index("t frequency")
    frequency = preparation.transform(table)[:, j]
    assert frequency[0] == frequency[-1] > 0
    assert not frequency[1:-1].any()
    new = clean(as_frame(pd.DataFrame({"t": ["a text never seen"]})), schema)
    assert preparation.transform(new)[0, j] == 0
