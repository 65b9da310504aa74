import datetime
import decimal
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import skops.io

from autometa.learners.frames import Schema
from autometa.learners.inputs import as_frame

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
    "timedelta": (pd.to_timedelta(np.arange(N), unit="h"), "timedelta"),
    "datetime": (MOMENTS, "datetime"),
    "time zone": (MOMENTS.dt.tz_localize("Europe/Paris"), "datetime"),
    "date objects": ([datetime.date(2020, 1, 1 + i % 28) for i in range(N)], "datetime"),
    "period": (MOMENTS.dt.to_period("D"), "datetime"),
    "ISO dates": (MOMENTS.dt.strftime("%Y-%m-%dT%H:%M:%S"), "datetime"),
    "dates with the day first": (MOMENTS.dt.strftime("%d/%m/%Y"), "datetime"),
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
    return Schema.fit(frame), frame


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("values", "kind"), KINDS.values(), ids=KINDS)
def test_each_column_gets_its_kind(values, kind):
    schema, frame = schema_of(x=values, other=np.arange(N))
    assert schema.kinds.get("x", "dropped") == kind
    assert ("x" in schema.dropped) == (kind == "dropped")
    assert list(schema.clean(frame).columns) == list(schema.kinds)


ARROW = {
    "int8[pyarrow]": (range(N), "number"),
    "double[pyarrow]": (range(N), "number"),
    "bool[pyarrow]": ([True, False, None] * (N // 3), "number"),
    "string[pyarrow]": (["u", "v", None] * (N // 3), "category"),
    "timestamp[us][pyarrow]": (MOMENTS, "datetime"),
    "timestamp[us, tz=Europe/Paris][pyarrow]": (MOMENTS.dt.tz_localize("Europe/Paris"), "datetime"),
    "date32[day][pyarrow]": (MOMENTS.dt.date, "datetime"),
    "duration[us][pyarrow]": (pd.to_timedelta(np.arange(N), unit="h"), "timedelta"),
}


@pytest.mark.parametrize("dtype", ARROW)
def test_arrow_columns_get_their_kind(dtype):
    pytest.importorskip("pyarrow")
    values, kind = ARROW[dtype]
    schema, frame = schema_of(x=pd.Series(values).astype(dtype))
    assert schema.kinds == {"x": kind}
    assert len(schema.clean(frame)) == N


def test_nested_arrow_values_become_their_text():
    pa = pytest.importorskip("pyarrow")
    column = pd.Series([[1], [2, 3], None] * (N // 3), dtype=pd.ArrowDtype(pa.list_(pa.int64())))
    schema, _ = schema_of(x=column)
    assert schema.kinds == {"x": "category"}
    assert len(schema.categories["x"]) == 2


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
    clean = schema.clean(frame)
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
    np.testing.assert_array_equal(schema.clean(frame)["x"], seconds)


def test_a_finite_number_too_large_for_float32_stays_a_number():
    schema, _ = schema_of(x=np.arange(N, dtype=float))
    clean = schema.clean(as_frame(pd.DataFrame({"x": [1e200, -1e200, np.inf]})))["x"]
    assert np.isfinite(clean[:2]).all() and clean[0] > 1e20 and clean[1] < -1e20 and np.isnan(clean[2])


def test_columns_are_matched_by_name_and_further_ones_ignored():
    schema, frame = schema_of(a=np.arange(N), b=["u", "v"] * (N // 2), c=MOMENTS)
    expected = schema.clean(frame)
    pd.testing.assert_frame_equal(schema.clean(frame[["c", "a", "b"]].assign(z=1)), expected)


def test_missing_columns_are_named():
    schema, frame = schema_of(**{f"x{i}": RNG.normal(size=N) for i in range(9)}, constant=np.ones(N))
    with pytest.raises(ValueError, match=r"Feature names seen at fit time, yet now missing:\n- x1\n- x3\n$"):
        schema.clean(frame.drop(columns=["x1", "x3", "constant"]))
    with pytest.raises(ValueError, match=r"- x4\n- \.\.\.\n$"):
        schema.clean(frame[["x8"]])


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
    schema = Schema.fit(as_frame(TRAINING))
    rows = TRAINING[:3].assign(**{name: pd.Series(values)})
    clean = schema.clean(as_frame(rows))
    pd.testing.assert_series_equal(
        clean[name], pd.Series(expected, name=name), check_dtype=False, check_index_type=False
    )
    others = [other for other in clean if other != name]
    pd.testing.assert_frame_equal(clean[others], schema.clean(as_frame(TRAINING))[others][:3])


def test_a_column_that_lost_its_values_is_named_in_a_warning():
    schema = Schema.fit(as_frame(TRAINING))
    with pytest.warns(UserWarning, match="Most values of 'number' cannot be read"):
        schema.clean(as_frame(TRAINING.assign(number=MOMENTS)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        schema.clean(as_frame(TRAINING.assign(number=np.nan)))


def test_the_order_of_the_rows_does_not_show_in_the_schema():
    order = RNG.permutation(N)
    assert Schema.fit(as_frame(TRAINING)) == Schema.fit(as_frame(TRAINING.iloc[order]))


def test_a_schema_survives_pickling_and_skops():
    schema = Schema.fit(as_frame(TRAINING))
    assert pickle.loads(pickle.dumps(schema)) == schema
    assert skops.io.loads(skops.io.dumps(schema), trusted=["autometa.learners.frames.Schema"]) == schema
