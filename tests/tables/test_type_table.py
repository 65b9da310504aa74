"""The table of the user guide that shows as which types a column may come at predict."""

import datetime
import decimal
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autometa.tables.cleaning import fit_schema
from autometa.tables.inputs import as_frame
from tests.helpers.tables import clean_frame

GUIDE = Path(__file__).parents[2] / "docs" / "user-guide.md"
N = 60
DAYS = [datetime.date(2024, 1 + i % 12, 1 + i % 28) for i in range(N)]
INSTANTS = [datetime.datetime(2024, 1 + i % 12, 1 + i % 28, i % 4) for i in range(N)]
FOUR = [i % 4 for i in range(N)]


def objects(items):
    return pd.Series(list(items), dtype=object)


def texts(items):
    return objects(None if item is None else str(item) for item in items)


# The values of a column, row by row, and how it comes at fit.
AT_FIT = {
    "bools": ([i < 2 for i in FOUR], lambda items: pd.Series(items)),
    "bools as text": ([i < 2 for i in FOUR], texts),
    "bools as a category": ([i < 2 for i in FOUR], pd.Categorical),
    "whole numbers": (list(range(N)), lambda items: pd.Series(items)),
    "whole numbers as text": (list(range(N)), texts),
    "whole numbers as a category": (FOUR, pd.Categorical),
    "fractions": ([i / 8 for i in range(N)], lambda items: pd.Series(items)),
    "fractions as a category": ([i / 8 for i in FOUR], pd.Categorical),
    "codes `007` as a category": ([f"{i:03}" for i in FOUR], pd.Categorical),
    "numbers with units": ([i / 8 for i in range(N)], lambda items: objects(f"{item} km" for item in items)),
    "dates": (DAYS, objects),
    "dates as a category": ([DAYS[i] for i in FOUR], lambda items: pd.Categorical(pd.to_datetime(items))),
    "times": (INSTANTS, lambda items: pd.Series(items)),
    "times in a zone": (INSTANTS, lambda items: pd.Series(items).dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")),
    "durations": ([datetime.timedelta(hours=i) for i in range(N)], lambda items: pd.Series(items)),
    "words": ([("red", "green", "blue", "grey")[i] for i in FOUR], objects),
}


def number(item):
    if isinstance(item, str) and item.isdigit():
        return int(item)
    return item if isinstance(item, (bool, int, float)) else None


def whole(item):
    value = number(item)
    return None if value is None or value != int(value) else int(value)


def truth(item):
    value = number(item)
    return bool(value) if value in (0, 1) else None


def moment(item):
    if isinstance(item, datetime.datetime):
        return item
    return datetime.datetime.combine(item, datetime.time()) if isinstance(item, datetime.date) else None


def day(item):
    instant = moment(item)
    return instant.date() if instant is not None and instant.time() == datetime.time() else None


def span(item):
    return item if isinstance(item, datetime.timedelta) else None


def as_is(item):
    return item


# Types at predict: what an item is in them, None where it is nothing, and series of such items.
AT_PREDICT = {
    "bool": (truth, [pd.Series, objects, lambda x: pd.Series(x, dtype="boolean"), lambda x: arrow(x, "bool_")]),
    "int": (whole, [pd.Series, objects, lambda x: pd.Series(x, dtype="Int64"), lambda x: arrow(x, "int64")]),
    "float": (number, [lambda x: pd.Series(x, dtype=float), lambda x: pd.Series(x, dtype="float32")]),
    "Decimal": (number, [lambda x: objects(decimal.Decimal(str(float(i))) for i in x)]),
    "text": (as_is, [texts, lambda x: pd.Series(texts(x), dtype="str"), lambda x: arrow(texts(x), "string")]),
    "category": (as_is, [pd.Categorical, lambda x: pd.Categorical(x, ["unused", *dict.fromkeys(x)])]),
    "category of text": (as_is, [lambda x: pd.Categorical(texts(x)), lambda x: arrow(texts(x), None)]),
    "date": (day, [objects, lambda x: pd.Series(x, dtype="datetime64[s]"), lambda x: arrow(x, "date32")]),
    "datetime": (
        moment,
        [lambda x: pd.Series(x, dtype="datetime64[ns]"), lambda x: pd.Series(x, dtype="datetime64[s]")],
    ),
    "in UTC": (
        moment,
        [lambda x: pd.Series(x).dt.tz_localize("UTC"), lambda x: objects(paris(x).dt.tz_convert("UTC"))],
    ),
    "in a zone": (moment, [lambda x: paris(x), lambda x: objects(paris(x))]),
    "duration": (span, [pd.Series, objects, lambda x: arrow(x, "duration")]),
}
OTHERS = {
    "bool": [True, False],
    "int": [3, 5],
    "float": [0.3, 5.7],
    "Decimal": [0.3, 5.7],
    "date": DAYS[:2],
    "datetime": INSTANTS[:2],
    "in UTC": INSTANTS[:2],
    "in a zone": INSTANTS[:2],
    "duration": [datetime.timedelta(hours=3), datetime.timedelta(hours=5)],
}


def arrow(items, kind):
    pa = pytest.importorskip("pyarrow")
    if kind is None:
        return pd.Series(pd.arrays.ArrowExtensionArray(pa.array(items, pa.string()).dictionary_encode()))
    arguments = ("us",) if kind == "duration" else ()
    return pd.Series(pd.arrays.ArrowExtensionArray(pa.array(items, getattr(pa, kind)(*arguments))))


def paris(items):
    return pd.Series(items).dt.tz_localize("UTC").dt.tz_convert("Europe/Paris")


def cell(row, column):
    """Return "=" where a type gives the same column, "!" where a warning names it, "?" where it is neither."""
    items, write = AT_FIT[row]
    convert, forms = AT_PREDICT[column]
    table = as_frame(pd.DataFrame({"x": write(items), "other": np.arange(N)}))
    schema = fit_schema(table)
    expected = clean_frame(table, schema)["x"]
    rows = [i for i, item in enumerate(items) if convert(item) is not None]
    values = [convert(items[i]) for i in rows] or OTHERS[column]
    outcomes = set()
    for form in forms:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            result = clean_frame(as_frame(pd.DataFrame({"x": form(values), "other": np.arange(len(values))})), schema)[
                "x"
            ]
        if any("'x'" in str(warning.message) for warning in heard):
            outcomes.add("!")
        else:
            outcomes.add("=" if rows and result.equals(expected[rows].reset_index(drop=True)) else "?")
    return "".join(sorted(outcomes))


def type_table():
    """Return the lines of the table."""
    lines = [f"| at fit | {' | '.join(AT_PREDICT)} |", f"|---|{':-:|' * len(AT_PREDICT)}"]
    return [*lines, *(f"| {row} | {' | '.join(cell(row, column) for column in AT_PREDICT)} |" for row in AT_FIT)]


def test_the_guide_shows_as_which_types_a_column_may_come():
    table = "\n".join(type_table())
    assert table in GUIDE.read_text(encoding="utf-8"), f"{GUIDE} should have this table:\n{table}"
