import datetime
import decimal
import json
import pickle
import warnings
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import skops.io

from autometa.tables.cleaning import fit_schema
from autometa.tables.inputs import as_frame
from autometa.tables.schema import Schema
from tests.helpers.tables import clean_frame

N = 60
RNG = np.random.default_rng(0)
MOMENTS = pd.Series(pd.Timestamp("2020-01-01 10:00") + pd.to_timedelta(np.arange(N) * 7919, unit="min"))
HASHES = [f"{RNG.integers(2**62):016x}" for _ in range(N)]
SENTENCES = [" ".join(RNG.choice(["the", "old", "ship", "sails", "home", "again"], 6)) + f" {i}" for i in range(N)]

KINDS = {
    "float": (RNG.normal(size=N), "number"),
    "bool": (np.arange(N) % 2 == 0, "number"),
    "Int64 with gaps": (pd.array([1, None] * (N // 2), dtype="Int64"), "number"),
    "objects of True and None": (np.array([True, None, False] * (N // 3), dtype=object), "number"),
    "decimal objects": ([decimal.Decimal(i) / 4 for i in range(N)], "number"),
    "numbers as text": ([f" {i / 7:.3f}" for i in range(N)], "number"),
    "numbers as text with a few words": ([*(str(i) for i in range(N - 2)), "lots", "?"], "number"),
    "thousands separators": ([f"{i * 1017:,}" for i in range(N)], "number"),
    "percents": ([f"{i}.5 %" for i in range(N)], "number"),
    "currencies": ([f"-$1,{i:03}.50" for i in range(N)], "number"),
    "decimal commas": ([f"{i},25 €" for i in range(N)], "number"),
    "booleans among numbers": (["true", *(str(i) for i in range(N - 1))], "number"),
    "numbers and a word for missing": ([str(i) if i % 10 else "unknown" for i in range(N)], "number"),
    "objects and a word for missing": (
        np.array([i / 4 if i % 10 else "n.a." for i in range(N)], dtype=object),
        "number",
    ),
    "numbers with a unit": ([f"{i} km" for i in range(N)], "number"),
    "thousands and millions": ([f"{i / 10}{'kM'[i % 2]}" for i in range(N)], "number"),
    "numbers beyond any float": (np.array([10**400, *range(N - 1)], dtype=object), "number"),
    "timedelta": (pd.to_timedelta(np.arange(N), unit="h"), "timedelta"),
    "datetime": (MOMENTS, "datetime"),
    "time zone": (MOMENTS.dt.tz_localize("Europe/Paris"), "datetime"),
    "date objects": ([datetime.date(2020, 1, 1 + i % 28) for i in range(N)], "datetime"),
    "period": (MOMENTS.dt.to_period("D"), "datetime"),
    "ISO dates": (MOMENTS.dt.strftime("%Y-%m-%dT%H:%M:%S"), "datetime"),
    "dates with the day first": (MOMENTS.dt.strftime("%d/%m/%Y"), "datetime"),
    "times of day": ([f"{i % 24:02}:{i:02}" for i in range(N)], "datetime"),
    "time objects": ([datetime.time(i % 24, i) for i in range(N)], "datetime"),
    "dates and a word for missing": ([f"2024-01-{i % 28 + 1:02}" if i % 10 else "open" for i in range(N)], "datetime"),
    "spans as text": ([f"{i} days 01:00:00" for i in range(N)], "timedelta"),
    "dates with names of months": (MOMENTS.dt.strftime("%b %d, %Y"), "datetime"),
    "few words": (["red", "green", "blue"] * (N // 3), "category"),
    "mixed values": (np.array([1, "a", None, 2.5, {"k": 1}, [1]] * (N // 6), dtype=object), "category"),
    "yes and no": (["yes", "no"] * (N // 2), "category"),
    "category type of numbers": (pd.Categorical(np.arange(N) % 4), "category"),
    "intervals": (pd.cut(np.arange(N), 4), "category"),
    "sentences": (SENTENCES, "text"),
    "names": ([f"{a} {b}" for a, b in zip(HASHES, SENTENCES, strict=True)], "text"),
    "words that differ": ([f"{a}{b}" for a in "abcdefgh" for b in "stuvwxyz"][:N], "text"),
    "hashes": (HASHES, "dropped"),
    "numbered keys": ([f"user_{i:05}" for i in range(N)], "dropped"),
    "constant": (np.full(N, 7), "dropped"),
    "constant text": (["same"] * N, "dropped"),
    "all missing": ([None] * N, "dropped"),
    "infinite only": (np.full(N, np.inf), "dropped"),
    "blank text": ([" "] * N, "dropped"),
}


def schema_of(**columns):
    frame = as_frame(pd.DataFrame(columns))
    return fit_schema(frame), frame


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("values", "kind"), KINDS.values(), ids=KINDS)
def test_each_column_gets_its_kind(values, kind):
    schema, frame = schema_of(x=values, other=np.arange(N))
    assert schema.kinds.get("x", "dropped") == kind
    assert ("x" in schema.dropped) == (kind == "dropped")
    assert list(clean_frame(frame, schema).columns) == list(schema.kinds)


ARROW = {
    "int8": (range(N), "number"),
    "float64": (range(N), "number"),
    "bool_": ([True, False, None] * (N // 3), "number"),
    "string": (["u", "v", None] * (N // 3), "category"),
    "large_string": (["u", "v", None] * (N // 3), "category"),
    "string_view": (["u", "v", None] * (N // 3), "category"),
    "binary": ([b"u", b"v", None] * (N // 3), "category"),
    "timestamp s": (MOMENTS, "datetime"),
    "timestamp ns": (MOMENTS, "datetime"),
    "timestamp us Europe/Paris": (MOMENTS.dt.tz_localize("Europe/Paris"), "datetime"),
    "date32": (MOMENTS.dt.date, "datetime"),
    "time64 us": (MOMENTS.dt.time, "datetime"),
    "duration us": (pd.to_timedelta(np.arange(N), unit="h"), "timedelta"),
    "decimal128 8": ([decimal.Decimal(i) for i in range(N)], "number"),
    "null": ([None] * N, "dropped"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ARROW)
def test_arrow_columns_get_their_kind(name):
    pa = pytest.importorskip("pyarrow")
    values, kind = ARROW[name]
    of, *arguments = (int(part) if part.isdigit() else part for part in name.split())
    column = pd.Series(pd.arrays.ArrowExtensionArray(pa.array(values, getattr(pa, of)(*arguments))))
    schema, frame = schema_of(x=column, other=np.arange(N))
    assert schema.kinds.get("x", "dropped") == kind
    clean = clean_frame(frame, schema)
    if kind == "datetime" and "timestamp" in name:
        assert (clean["x"] == pd.to_datetime(values, utc=True).dt.tz_localize(None)).all()


def test_nested_arrow_values_become_their_text_and_dictionaries_are_categories():
    pa = pytest.importorskip("pyarrow")
    lists = pa.array([[1], [2, 3], None] * (N // 3), pa.list_(pa.int64()))
    structs = pa.array([{"a": i % 2} for i in range(N)])
    numbers = pa.array(np.arange(N) % 40).dictionary_encode()
    arrays = {"lists": lists, "structs": structs, "numbers": numbers}
    schema, _ = schema_of(**{name: pd.Series(pd.arrays.ArrowExtensionArray(array)) for name, array in arrays.items()})
    assert schema.kinds == dict.fromkeys(arrays, "category")
    assert schema.categories["lists"] == ["[1]", "[2, 3]"]
    assert len(schema.categories["numbers"]) == 40


def test_values_are_read_as_what_they_say():
    schema, frame = schema_of(
        money=[f"$ {i},000.50" for i in range(1, N + 1)],
        comma=[f"1.{i:03},5" for i in range(N)],
        negative=[f"({i})" for i in range(N)],
        day_first=MOMENTS.dt.strftime("%d.%m.%Y"),
        zone=MOMENTS.dt.tz_localize("Asia/Tokyo"),
        span=pd.to_timedelta(np.arange(N), unit="min"),
        infinite=[np.inf, -np.inf, *range(N - 2)],
        words=["b", "a ", " ", *["a"] * (N - 3)],
    )
    clean = clean_frame(frame, schema)
    np.testing.assert_allclose(clean["money"], np.arange(1, N + 1) * 1000 + 0.5)
    np.testing.assert_allclose(clean["comma"], 1000 + np.arange(N) + 0.5)
    np.testing.assert_allclose(clean["negative"], -np.arange(N))
    assert (clean["day_first"] == MOMENTS.dt.normalize()).all()
    assert (clean["zone"] == MOMENTS - pd.Timedelta(hours=9)).all()
    np.testing.assert_allclose(clean["span"], 60 * np.arange(N))
    assert clean["infinite"].isna().tolist() == [True, True] + [False] * (N - 2)
    assert clean["words"].tolist() == [1, 0, -1] + [0] * (N - 3)
    assert schema.categories["words"] == ["a", "b"]


def test_times_in_seconds_keep_their_differences():
    seconds = 1.7e9 + np.arange(N)
    schema, frame = schema_of(x=seconds)
    np.testing.assert_array_equal(clean_frame(frame, schema)["x"], seconds)


def test_a_finite_number_too_large_for_float32_stays_a_number():
    schema, _ = schema_of(x=np.arange(N, dtype=float))
    for values in ([1e200, -1e200, np.inf], ["1e200", "-1e200", "inf"]):
        clean = clean_frame(as_frame(pd.DataFrame({"x": values})), schema)["x"]
        assert np.isfinite(clean[:2]).all() and clean[0] > 1e20 and clean[1] < -1e20 and np.isnan(clean[2])


def test_columns_are_matched_by_name_and_further_ones_ignored():
    schema, frame = schema_of(a=np.arange(N), b=["u", "v"] * (N // 2), c=MOMENTS)
    expected = clean_frame(frame, schema)
    pd.testing.assert_frame_equal(clean_frame(frame[["c", "a", "b"]].assign(z=1), schema), expected)


def test_missing_columns_are_named():
    schema, frame = schema_of(**{f"x{i}": RNG.normal(size=N) for i in range(9)}, constant=np.ones(N))
    with pytest.raises(ValueError, match=r"Feature names seen at fit time, yet now missing:\n- x1\n- x3\n$"):
        clean_frame(frame.drop(columns=["x1", "x3", "constant"]), schema)
    with pytest.raises(ValueError, match=r"- x4\n- \.\.\.\n$"):
        clean_frame(frame[["x8"]], schema)


def test_a_table_without_usable_columns_is_refused_with_the_reasons():
    with pytest.raises(ValueError, match=r"no usable column: 'a' \(constant\), 'b' \(all values are missing\)\. Pass"):
        schema_of(a=np.ones(N), b=[None] * N)


TRAINING = pd.DataFrame(
    {
        "number": np.arange(N) / 2,
        "category": pd.Categorical(np.arange(N) % 3),
        "word": ["1", "2", "x"] * (N // 3),
        "moment": MOMENTS,
        "span": pd.to_timedelta(np.arange(N), unit="s"),
        "text": SENTENCES,
    }
)
ARRIVALS = {
    "number as text": ("number", ["1.5", "2,000", "many"], [1.5, 2000, np.nan]),
    "number as category": ("number", pd.Categorical(["1.5", "2", "?"]), [1.5, 2, np.nan]),
    "number as bool": ("number", [True, False, True], [1, 0, 1]),
    "number as moment": ("number", MOMENTS[:3], [np.nan] * 3),
    "number as objects": ("number", np.array([1, {"a": 1}, None], dtype=object), [1, np.nan, np.nan]),
    "category as int": ("category", [2, 0, 5], [2, 0, 3]),
    "category as float": ("category", [2.0, np.nan, 0.0], [2, -1, 0]),
    "category as text": ("category", ["2", "0.0", "a"], [2, 0, 3]),
    "word as int": ("word", [1, 2, 3], [0, 1, 3]),
    "moment as text": ("moment", ["2020-01-01", "soon", None], [*MOMENTS[:1].dt.normalize(), pd.NaT, pd.NaT]),
    "moment as date": ("moment", [datetime.date(2020, 1, 1)] * 3, [pd.Timestamp("2020-01-01")] * 3),
    "moment as int": ("moment", [1, 2, 3], [pd.NaT] * 3),
    "span as text": ("span", ["1 min", "0:00:05", "7"], [60, 5, np.nan]),
    "text as int": ("text", [1, 2, 3], ["1", "2", "3"]),
    "text as nothing": ("text", [None, np.nan, pd.NA], ["", "", ""]),
}


@pytest.mark.filterwarnings("ignore:Most values of")
@pytest.mark.parametrize(("name", "values", "expected"), ARRIVALS.values(), ids=ARRIVALS)
def test_a_column_of_another_type_at_predict_is_converted_or_missing(name, values, expected):
    schema = fit_schema(as_frame(TRAINING))
    rows = TRAINING[:3].assign(**{name: pd.Series(values)})
    clean = clean_frame(as_frame(rows), schema)
    pd.testing.assert_series_equal(
        clean[name], pd.Series(expected, name=name), check_dtype=False, check_index_type=False
    )
    others = [other for other in clean if other != name]
    pd.testing.assert_frame_equal(clean[others], clean_frame(as_frame(TRAINING), schema)[others][:3])


def test_a_column_that_lost_its_values_is_named_in_a_warning():
    schema = fit_schema(as_frame(TRAINING))
    with pytest.warns(UserWarning, match="Most values of 'number' cannot be read"):
        clean_frame(as_frame(TRAINING.assign(number=MOMENTS)), schema)
    with pytest.warns(UserWarning, match="Most values of 'span', 'category' cannot be read"):
        clean_frame(as_frame(TRAINING.assign(category=MOMENTS, span=1)), schema)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clean_frame(as_frame(TRAINING.assign(number=np.nan)), schema)


def test_a_word_that_stood_for_missing_values_at_fit_does_so_later():
    schema, frame = schema_of(x=[str(i) if i % 10 else "unknown" for i in range(N)])
    assert schema.missing == {"x": ["unknown"]}
    assert clean_frame(frame, schema)["x"].isna().sum() == 6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert clean_frame(frame[:1], schema)["x"].isna().all()
    with pytest.warns(UserWarning, match="Most values of 'x'"):
        clean_frame(as_frame(pd.DataFrame({"x": ["another word"]})), schema)


def test_dates_that_make_sense_with_the_day_or_the_month_first_are_named_in_a_warning():
    days = [f"{i % 12 + 1:02}/{i * 7 % 12 + 1:02}/2024" for i in range(N)]
    with pytest.warns(UserWarning, match=r"dates in 'x', 'y' make sense .* pd.to_datetime\(column, dayfirst=True\)"):
        schema_of(x=days, y=days, z=MOMENTS.dt.strftime("%d/%m/%Y"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        schema_of(x=pd.to_datetime(days, format="%d/%m/%Y"))


def test_numbers_that_may_be_several_levels_are_named_in_a_warning():
    schema, _ = schema_of(x=pd.Categorical(["007", "7", "12"] * (N // 3)))
    with pytest.warns(UserWarning, match="Numbers in 'x' stand for several levels") as heard:
        clean = clean_frame(as_frame(pd.DataFrame({"x": [7, 12]})), schema)
    assert len(heard) == 1
    assert clean["x"].tolist() == [2, 1]


def test_the_order_of_the_rows_does_not_show_in_the_schema():
    order = RNG.permutation(N)
    assert fit_schema(as_frame(TRAINING)) == fit_schema(as_frame(TRAINING.iloc[order]))


def test_a_schema_survives_pickling_skops_and_json():
    schema = fit_schema(as_frame(TRAINING.assign(money=[f"{i} km" if i % 9 else "unknown" for i in range(N)])))
    assert schema.missing and schema.formats
    assert Schema(**json.loads(json.dumps(asdict(schema)))) == schema
    assert pickle.loads(pickle.dumps(schema)) == schema
    assert skops.io.loads(skops.io.dumps(schema), trusted=["autometa.tables.schema.Schema"]) == schema


LOCAL = MOMENTS.dt.tz_localize("Europe/Paris")
ZONES = {
    "zone, then none": (LOCAL, MOMENTS, True),
    "none, then zone": (MOMENTS, LOCAL, True),
    "zone, then text without": (LOCAL, MOMENTS.astype(str), True),
    "text, then zone as text": (MOMENTS.astype(str), LOCAL.astype(str), True),
    "zone, then another": (LOCAL, LOCAL.dt.tz_convert("Asia/Tokyo"), False),
    "zone, then UTC": (LOCAL, LOCAL.dt.tz_convert("UTC"), False),
    "zone, then UTC as text": (LOCAL, LOCAL.dt.tz_convert("UTC").astype(str), False),
    "none, then UTC": (MOMENTS, MOMENTS.dt.tz_localize("UTC"), False),
    "zone, then nothing": (LOCAL, pd.Series([None] * N), False),
}


@pytest.mark.parametrize(("at_fit", "later", "is_shifted"), ZONES.values(), ids=ZONES)
def test_times_that_came_with_a_zone_only_once_are_named_in_a_warning(at_fit, later, is_shifted):
    schema, _ = schema_of(when=at_fit, other=np.arange(N))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        clean_frame(as_frame(pd.DataFrame({"when": later, "other": np.arange(N)})), schema)
    assert [str(warning.message)[:15] for warning in heard] == ["Times in 'when'"] * is_shifted
