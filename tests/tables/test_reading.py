"""One meaning, one value: what a column holds does not depend on its type, its file or the other rows of a batch."""

import datetime
import decimal
import io
import json
import unicodedata
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autometa.tables.cleaning import fit_schema
from autometa.tables.inputs import as_frame
from autometa.tables.schema import Schema
from tests.helpers.tables import clean_frame

N = 60
RNG = np.random.default_rng(0)
MOMENTS = pd.Series(pd.Timestamp("2020-01-01 10:00") + pd.to_timedelta(np.arange(N) * 7919, unit="min"))
FOUR = np.arange(N) % 4


def objects(items):
    return pd.Series(list(items), dtype=object)


def category(items):
    return pd.Series(pd.Categorical(items))


COLUMNS = {
    "float": pd.Series(np.round(RNG.normal(size=N), 3)),
    "float32": pd.Series(np.round(RNG.normal(size=N), 3).astype(np.float32)),
    "int": pd.Series(RNG.integers(-5, 50, N)),
    "gaps": pd.Series(np.where(RNG.random(N) < 0.3, np.nan, np.round(RNG.normal(size=N), 2))),
    "bool": pd.Series(FOUR < 2),
    "boolean with gaps": pd.Series(pd.array([True, None, False] * (N // 3), dtype="boolean")),
    "bools and None": objects([True, None, False] * (N // 3)),
    "long keys as numbers": pd.Series(2**60 + np.arange(N) * 300),
    "seconds": pd.Series(1.7e9 + np.arange(N)),
    "decimals": objects(decimal.Decimal(i) / 4 for i in range(N)),
    "numbers as text": objects(f"{i / 7:.3f}" for i in range(N)),
    "grouped numbers": objects(f"{i * 1017:,}" for i in range(N)),
    "decimal commas": objects(f"{i},25" for i in range(N)),
    "percents": objects(f"{i}%" for i in range(N)),
    "units": objects(f"{i} km" for i in range(N)),
    "factors": objects(f"1.{i}k" if i % 2 else f"{i}M" for i in range(N)),
    "a sentinel": objects("unknown" if i % 10 == 0 else str(i) for i in range(N)),
    "objects with a sentinel": objects("n.a." if i % 10 == 0 else i / 4 for i in range(N)),
    "spans": pd.Series(pd.to_timedelta(np.arange(N) * 1.5, unit="h")),
    "spans as text": objects(f"{i} days 01:00:00" for i in range(N)),
    "spans in words": objects(f"{i % 5} h {i} min" for i in range(N)),
    "moments": MOMENTS,
    "midnights": MOMENTS.dt.normalize(),
    "zone": MOMENTS.dt.tz_localize("Europe/Paris"),
    "two zones": objects(MOMENTS[i].tz_localize(["Europe/Paris", "Asia/Tokyo"][i % 2]) for i in range(N)),
    "dates": objects(MOMENTS.dt.date),
    "months": MOMENTS.dt.to_period("M"),
    "quarters": MOMENTS.dt.to_period("Q"),
    "weeks": MOMENTS.dt.to_period("W"),
    "ISO dates": MOMENTS.dt.strftime("%Y-%m-%dT%H:%M:%S"),
    "day first": objects(MOMENTS.dt.strftime("%d/%m/%Y")),
    "times": objects(f"{i % 24:02}:{i:02}" for i in range(N)),
    "time objects": objects(datetime.time(i % 24, i) for i in range(N)),
    "words": objects(["red", "green", "blue"] * (N // 3)),
    "truths as text": objects(["True", "False"] * (N // 2)),
    "small truths as text": objects(["true", "false"] * (N // 2)),
    "truths and a word": objects([True, False] * (N // 2 - 1) + ["unknown", False]),
    "mixed": objects([1, "a", None, 2.5, True, "z"] * (N // 6)),
    "category of bools": category(FOUR < 2),
    "category of ints": category(FOUR),
    "category of floats": category(FOUR / 10),
    "category of float32": category((FOUR / 10).astype(np.float32)),
    "category of decimals": category([decimal.Decimal(("1.00", "2.50", "0.1", "3")[i]) for i in FOUR]),
    "category of rounded numbers": category([(1e20, 1e-7, 1.5, 0.1 + 0.2)[i] for i in FOUR]),
    "category of days": category(MOMENTS.dt.normalize()[FOUR]),
    "category of moments": category(MOMENTS[FOUR]),
    "category with a zone": category(MOMENTS.dt.tz_localize("Europe/Paris")[FOUR]),
    "category of months": category(MOMENTS.dt.to_period("M")[7 * FOUR]),
    "category of spans": category(pd.to_timedelta(FOUR, unit="D")),
    "category of codes": category([("007", "010", "123", "0")[i] for i in FOUR]),
    "category of long keys": category([(2**60 + 1, 2**61 + 2, 2**62 + 5, 7)[i] for i in FOUR]),
    "category of near keys": category([(2**60 + 1, 2**60 + 2, 5, None)[i] for i in FOUR]),
    "category with a word for gaps": category([("NA", "a", "b", "a")[i] for i in FOUR]),
    "category with gaps and a word for them": category([("None", "a", None, "nan")[i] for i in FOUR]),
    "category of infinities": category([("inf", "1", "-inf", "2")[i] for i in FOUR]),
    "category of intervals": pd.Series(pd.cut(np.arange(N), 4)),
    "category with accents": category([("Zürich", unicodedata.normalize("NFD", "Zürich"), "é ", "o")[i] for i in FOUR]),
    "category with spaces": category([(" a", "b ", "c c", "a")[i] for i in FOUR]),
    "text": objects(" ".join(RNG.choice(["old", "ship", "007", "1.50"], 4)) if i % 5 else str(i) for i in range(N)),
    "text and codes": objects(f"some words {i}" if i % 4 else f"00{i}" for i in range(N)),
    "lists": objects([[1, 2], [3], [4]] * (N // 3)),
}
# pandas writes these as something else, which is noticed: numbers for dates, keys as floats, periods as counts.
NOTICED_WAYS = {"JSON with numbers for dates"}
NOTICED_COLUMNS = {f"category of {what}" for what in ("near keys", "intervals", "months", "spans")}
TABLES = {name: pd.DataFrame({"x": column, "other": np.arange(N)}) for name, column in COLUMNS.items()}


def through_csv(table, **options):
    return pd.read_csv(io.StringIO(table.to_csv(index=False)), **options)


def through_parquet(table, **options):
    pytest.importorskip("pyarrow")
    file = io.BytesIO()
    table.to_parquet(file)
    return pd.read_parquet(file, **options)


def through_json(table, **options):
    return pd.read_json(io.StringIO(table.to_json(**options)))


def as_records(table):
    return pd.DataFrame(json.loads(table.to_json(orient="records", date_format="iso")))


def with_column(change):
    return lambda table: table.assign(x=change(table["x"]))


def as_arrow(column, kind=None):
    pa = pytest.importorskip("pyarrow")
    array = pa.array(column, type=kind and getattr(pa, kind)())
    return pd.Series(pd.arrays.ArrowExtensionArray(array), index=column.index)


def as_dictionary(column):
    pa = pytest.importorskip("pyarrow")
    return pd.Series(pd.arrays.ArrowExtensionArray(pa.array(column).dictionary_encode()), index=column.index)


def as_decimals(column):
    return objects(None if pd.isna(value) else decimal.Decimal(str(value)) for value in column).set_axis(column.index)


def truths(column):
    texts = column.astype(object).map(str)
    return (
        texts.map({"True": True, "False": False, "true": True, "false": False}).astype(bool)
        if set(texts) <= {"True", "False", "true", "false"}
        else 1 / 0
    )


def with_unused_levels(column):
    return pd.concat([column.astype(object), objects(["not used"])]).astype("category")[:-1]


WAYS = {
    "as it is": lambda table: table,
    "CSV": through_csv,
    "CSV as text": lambda table: through_csv(table, dtype=str),
    "CSV with Arrow": lambda table: through_csv(table, dtype_backend="pyarrow"),
    "CSV with nullable types": lambda table: through_csv(table, dtype_backend="numpy_nullable"),
    "CSV without gaps": lambda table: through_csv(table, dtype=str, keep_default_na=False),
    "Parquet": through_parquet,
    "Parquet with Arrow": lambda table: through_parquet(table, dtype_backend="pyarrow"),
    "JSON": lambda table: through_json(table, date_format="iso"),
    "JSON with numbers for dates": lambda table: through_json(table, date_format="epoch"),
    "records": as_records,
    "objects": with_column(lambda column: column.astype(object)),
    "inferred": with_column(lambda column: pd.Series(column.tolist(), index=column.index)),
    "best types": lambda table: table.convert_dtypes(),
    "category": with_column(lambda column: column.astype("category")),
    "unused levels": with_column(with_unused_levels),
    "text": with_column(lambda column: column.astype("str")),
    "nullable text": with_column(lambda column: column.astype("string")),
    "texts as objects": with_column(lambda column: column.map(str, na_action="ignore").astype(object)),
    "decimals": with_column(as_decimals),
    "Arrow": with_column(as_arrow),
    "Arrow dictionary": with_column(as_dictionary),
    "Arrow view": with_column(lambda column: as_arrow(column, "string_view")),
    "Arrow decimals": with_column(lambda column: as_arrow(as_decimals(column))),
    "float64": with_column(lambda column: column.astype("float64")),
    "nanoseconds": with_column(lambda column: column.astype("datetime64[ns]") if column.dtype.kind == "M" else 1 / 0),
    "seconds": with_column(lambda column: column.astype("datetime64[s]") if column.dtype.kind == "M" else 1 / 0),
    "zone added": with_column(lambda column: column.dt.tz_localize("UTC")),
    "zone changed": with_column(lambda column: column.dt.tz_convert("Asia/Tokyo")),
    "padded": with_column(lambda column: column.map(lambda text: f" {text} " if isinstance(text, str) else 1 / 0)),
    "decomposed": with_column(lambda column: column.map(lambda text: unicodedata.normalize("NFD", text))),
    "truths as numbers": with_column(lambda column: truths(column).astype(float)),
    "large truths": with_column(lambda column: truths(column).map({True: "TRUE", False: "FALSE"})),
}
# pandas merges these before the column is seen: 1 and True as categories, keys beside a gap as floats.
LOST = {("mixed", "category"), ("mixed", "unused levels"), ("category of near keys", "inferred")}


def cleaned(schema, table):
    """Return the column as it reaches the learners, and the warnings that name it."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        values = clean_frame(as_frame(table), schema)["x"]
    assert all("'x'" in str(warning.message) for warning in heard)
    return values, heard


def is_same(values, expected, rows):
    """Whether the values are those expected of some rows, gaps included."""
    return values.equals(expected.iloc[rows].reset_index(drop=True))


@pytest.mark.parametrize("name", COLUMNS)
def test_rows_are_read_alike_alone_in_batches_and_in_any_order(name):
    table = TABLES[name]
    schema = fit_schema(as_frame(table))
    expected, heard = cleaned(schema, table)
    assert not heard
    order = RNG.permutation(N)
    ways = [way for way in ("as it is", "objects", "inferred") if (name, way) not in LOST]
    for rows in (order, *np.array_split(order, 2), *order[:6, None]):
        for way in ways:
            values, heard = cleaned(schema, WAYS[way](table.iloc[rows]))
            assert not heard
            assert is_same(values, expected, rows)


def changed(way, table):
    """Return the table as it comes out of a way, or None where pandas does not let it through."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = WAYS[way](table)
        except Exception:  # whatever pandas or Arrow says about a type that it cannot write
            return None
    return result if len(result) == len(table) and not result["x"].isna().all() else None


@pytest.mark.parametrize("name", COLUMNS)
def test_another_type_or_file_gives_the_same_column_or_a_warning_that_names_it(name):
    table = TABLES[name]
    schema = fit_schema(as_frame(table))
    expected, _ = cleaned(schema, table)
    n_tried = 0
    for way in WAYS:
        if (name, way) in LOST:
            continue
        for rows in ([*range(N)], [3]):
            part = changed(way, table.iloc[rows])
            if part is None:
                continue
            n_tried += 1
            values, heard = cleaned(schema, part)
            assert is_same(values, expected, rows) != bool(heard), (way, rows, values.tolist())
            assert len(heard) <= (way in NOTICED_WAYS or name in NOTICED_COLUMNS)
    assert n_tried > 20


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.none(), st.booleans(), st.integers(0, 3), st.sampled_from([0.5, 1e20, "a", "b", "007", "7", "True"])
        ),
        min_size=2,
        max_size=30,
    ),
    st.randoms(),
)
def test_no_row_of_a_mixed_column_depends_on_the_others(items, random):
    table = pd.DataFrame({"x": objects([*items, "a", "b"]), "other": np.arange(len(items) + 2)})
    schema = fit_schema(as_frame(table))
    expected, _ = cleaned(schema, table)
    rows = random.sample(range(len(table)), random.randint(1, len(table)))
    values, _ = cleaned(schema, table.iloc[rows])
    assert is_same(values, expected, rows)


# As objects, numbers of 32 bits are written with the digits of 64.
@pytest.mark.parametrize("name", [name for name in COLUMNS if "category" in name and name != "category of float32"])
def test_levels_that_do_not_occur_change_nothing(name):
    table = TABLES[name]
    unused = [f"store {k} of five" for k in range(500)]
    frames = [
        as_frame(table.assign(x=table["x"].astype(object).astype("category"))),
        as_frame(table.assign(x=pd.Categorical(table["x"].astype(object), [*table["x"].cat.categories, *unused]))),
    ]
    schemas = [fit_schema(frame) for frame in frames]
    assert schemas[0] == schemas[1] == fit_schema(as_frame(table))
    pd.testing.assert_frame_equal(clean_frame(frames[1], schemas[0]), clean_frame(frames[0], schemas[1]))


def test_many_unused_levels_make_no_identifier_and_no_text():
    which = RNG.integers(0, 4, 200)
    stores = [f"store_{k}" for k in range(500)]
    places = [f"{a} place {b} County" for a in ("North", "South") for b in range(250)]
    table = pd.DataFrame(
        {name: pd.Categorical.from_codes(which, names) for name, names in (("s", stores), ("p", places))}
    )
    schema = fit_schema(as_frame(table))
    assert schema.kinds == {"s": "category", "p": "category"}
    assert schema.categories == {"s": stores[:4], "p": places[:4]}


def test_old_schemas_with_other_labels_are_still_matched():
    schema = Schema(columns=["x"], categories={"x": ["2", "False", "True"]})
    assert clean_frame(as_frame(pd.DataFrame({"x": [True, False, True]})), schema)["x"].tolist() == [2, 1, 2]
