import datetime
import decimal
import unicodedata

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from autometa.tables.values import (
    TIME_OF_DAY,
    label,
    labels_of,
    loose_label,
    meaning,
    moment_labels,
    read_moments,
    read_numbers,
    read_spans,
    split_unit,
)

DAY = datetime.date(2024, 1, 31)
PARIS = pd.Timestamp("2024-01-31 01:00", tz="Europe/Paris")
SAME = {
    "whole": ("7", 7, 7.0, np.int8(7), np.float32(7), decimal.Decimal("7.00"), "7", "7.0", " +7 ", "7.", "70e-1", b"7"),
    "zero": ("0", 0, 0.0, -0.0, "-0", "0.0", "-0.0", decimal.Decimal("-0")),
    "fraction": ("0.1", 0.1, np.float32(0.1), np.float16(0.1), decimal.Decimal("0.10"), ".1", "0.10", "1e-1"),
    "long key": ("1152921504606846977", 2**60 + 1, np.int64(2**60 + 1), decimal.Decimal(2**60 + 1), f"{2**60 + 1}.0"),
    "beyond int64": (str(2**70), 2**70, str(2**70), decimal.Decimal(2**70)),
    "large float": ("1e+20", 1e20, np.float64(1e20), "1e20", "1E+20", "1.0e20"),
    "truth": ("True", True, np.True_, "True", "true", "TRUE", " true "),
    "infinity": ("inf", np.inf, "inf", "Infinity", "+INF", decimal.Decimal("Infinity")),
    "code": ("007", "007", " 007 "),
    "day": ("2024-01-31", DAY, pd.Timestamp(DAY), np.datetime64(DAY), PARIS - pd.Timedelta("0h"), "2024-01-31T00:00"),
    "day as text": ("2024-01-31", "2024-01-31 00:00:00.000", "2024-01-31T00:00:00Z", "2024-01-31T01:00:00+01:00"),
    "instant": ("2024-01-31 10:30:00.5", pd.Timestamp("2024-01-31 10:30:00.5"), "2024-01-31T10:30:00.500000+00:00"),
    "span": ("0 days 01:00:00", datetime.timedelta(hours=1), pd.Timedelta("1h"), np.timedelta64(1, "h")),
    "accents": ("Zürich", unicodedata.normalize("NFD", "Zürich"), unicodedata.normalize("NFC", "Zürich"), " Zürich\n"),
    "list": ("[1, 2]", [1, 2], (1, 2), np.array([1, 2]), "[1, 2]"),
    "nested": ("{'a': [1.5]}", {"a": np.array([1.5])}, {"a": (1.5,)}),
    "set": ("[1, 2, 3]", {3, 1, 2}, frozenset([2, 3, 1])),
    "missing": (
        "",
        None,
        np.nan,
        pd.NA,
        pd.NaT,
        "",
        " ",
        np.datetime64("NaT"),
        np.float32("nan"),
        decimal.Decimal("NaN"),
    ),
}


@pytest.mark.parametrize("values", SAME.values(), ids=SAME)
def test_one_meaning_has_one_label(values):
    expected, *values = values
    assert [label(value) for value in values] == [expected] * len(values)
    assert labels_of(values) == [expected] * len(values)


@pytest.mark.parametrize(
    "values",
    [(7, "007", "07"), (True, 1, "yes"), ("1.5", "1,5"), (DAY, "31/01/2024"), ("a b", "ab"), ("None", None, "none")],
)
def test_other_meanings_have_other_labels(values):
    assert len({label(value) for value in values}) == len(values)


PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**80), 2**80),
    st.floats(),
    st.floats(width=32),
    st.decimals(allow_nan=False, places=3),
    st.text(),
    st.from_regex(r"[+-]?[0-9.eE:/ T-]{1,20}", fullmatch=True),
    st.datetimes(),
    st.dates(),
    st.timedeltas(datetime.timedelta(days=-(10**5)), datetime.timedelta(days=10**5)),
)


@given(PLAIN)
def test_a_label_is_its_own_label_and_is_found_in_every_way(value):
    text = label(value)
    assert label(text) == text
    assert labels_of([value]) == [text]
    assert text == text.strip()


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_label_of_a_number_is_read_as_that_number(number):
    assert read_numbers([label(number)], "plain")[0] == number
    # A text of so many digits may be a long key, which must keep them all.
    assume(not 2**53 <= abs(number) < 1e16)
    assert label(repr(number)) == label(number)


@given(st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2200, 1, 1)))
def test_the_label_of_a_moment_is_read_as_that_moment(moment):
    expected = np.datetime64(moment, "us")
    assert read_moments([label(moment)], "ISO8601")[0] == expected
    assert label(moment.isoformat()) == label(str(moment)) == label(moment) == moment_labels(np.array([expected]))[0]


NUMBERS = {
    "plain": {"1,234": np.nan, "12 %": 12, "$ 5": 5, "(3)": -3, "True": 1, "1_000": np.nan, "inf": np.nan, "007": 7},
    "grouped": {"1,234.5": 1234.5, "12,34": np.nan, "1234": 1234, "-$1,200": -1200},
    "decimal comma": {"1.234,5": 1234.5, "3,5": 3.5, "1.5": 1.5, "2,5 €": 2.5},
    "grouped||km": {"1,200 km": 1200, "3 KM": 3, "4": 4, "5 mi": np.nan, "USD 5": np.nan, "far": np.nan},
    "grouped|usd|": {"USD 12": 12, "usd 1,000": 1000, "USD12.5": 12.5, "EUR 3": np.nan},
    "grouped||×": {"1.2k": 1200, "3M": 3e6, "7": 7, "2 billion": 2e9, "4 km": np.nan},
    "decimal comma||kg": {"1,5 kg": 1.5, "1.000,5 kg": 1000.5},
}


@pytest.mark.parametrize("style", NUMBERS)
def test_text_is_read_as_numbers_in_the_style_of_its_column(style):
    expected = NUMBERS[style]
    np.testing.assert_array_equal(read_numbers([label(text) for text in expected], style), list(expected.values()))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("12 km", ("12", "|km")),
        ("2 hours", ("2", "|hour")),
        ("1 000 m²", ("1 000", "|m²")),
        ("Rs. 5", ("5", "rs|")),
        ("R$ 5", ("5", "r$|")),
        ("user_12", None),
        ("k3", None),
        ("4' 10\"", None),
        ("12 men and 3 dogs", None),
        ("10-20", None),
        ("7" * 500, None),
    ],
)
def test_a_unit_follows_a_number_or_is_a_currency_before_it(text, parts):
    assert split_unit(text) == parts


MOMENTS = {
    "ISO8601": {"2024-01-31": "2024-01-31", "2024": "2024-01-01", "2024Q3": "2024-07-01", "1712010000": "NaT"},
    "%d/%m/%Y": {"01/02/2024": "2024-02-01", "2024-01-31": "2024-01-31", "31.1.2024": "NaT"},
    "%m/%d/%Y": {"01/02/2024": "2024-01-02", "31/01/2024": "NaT", "2024-01-29/2024-02-04": "2024-01-29"},
    TIME_OF_DAY: {
        "09:30": "1900-01-01T09:30",
        "9:30:15 pm": "1900-01-01T21:30:15",
        "12 a.m.": "1900-01-01T00:00",
        "2024-01-31 10:00:00": "1900-01-01T10:00",
        "25:00": "NaT",
        "13:00 PM": "NaT",
        "9": "NaT",
    },
}


@pytest.mark.parametrize("style", MOMENTS)
def test_text_is_read_as_moments_in_the_style_of_its_column(style):
    expected = np.array(list(MOMENTS[style].values()), dtype="datetime64[us]")
    np.testing.assert_array_equal(read_moments(list(MOMENTS[style]), style), expected)


def test_text_is_read_as_spans_of_time_but_a_bare_number_is_none():
    spans = {
        "0 days 01:00:00": 3600,
        "-1 days +23:00:00": -3600,
        "-1 day, 23:00:00": -3600,
        "P0DT1H0M0S": 3600,
        "1:30:00": 5400,
        "36:15": 36 * 3600 + 900,
        "1 hr 30 mins": 5400,
        "2h5m": 7500,
        "1 week": 604_800,
        "7": np.nan,
        "5 miles": np.nan,
        "1h and more": np.nan,
    }
    np.testing.assert_array_equal(read_spans(list(spans)), list(spans.values()))


@pytest.mark.parametrize(
    ("text", "expected"), [("007", "7"), ("-007", "-7"), ("00.50", "0.5"), ("000", "0"), ("7", "7"), ("0x7", "0x7")]
)
def test_zeros_in_front_count_for_nothing_in_free_text(text, expected):
    assert loose_label(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", "number"),
        ("1e+20", "number"),
        ("007", "code"),
        ("True", "truth"),
        ("2024-01-31 10:00:00", "moment"),
        ("0 days 01:00:00", "span"),
        ("[1, 2]", "nested"),
        ("(0, 1]", "word"),
        ("red", "word"),
    ],
)
def test_a_label_tells_what_kind_of_value_it_stands_for(text, expected):
    assert meaning(text) == expected
