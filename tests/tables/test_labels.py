"""Whatever stands for a target becomes plain values, or is refused with the way out."""

from __future__ import annotations

import datetime
import enum
import uuid
import warnings
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st
from sklearn.exceptions import DataConversionWarning
from sklearn.utils.multiclass import type_of_target

from autometa.tables.labels import is_nominal, plain_labels


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


class Grade(enum.IntEnum):
    LOW = 0
    HIGH = 1


def objects(values: list[Any]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


WHOLE = [0, 1, 1, 0]
NUMBERS = {
    "list": WHOLE,
    "tuple": tuple(WHOLE),
    "range": range(4),
    "objects": objects(WHOLE),
    "floats as objects": objects([0.0, 1.0, 1.0, 0.0]),
    "whole numbers beside floats": objects([0, 1.0, 1, 0.0]),
    "numpy scalars": objects([np.int8(0), np.int64(1), 1, np.uint8(0)]),
    "decimals": objects([Decimal(0), Decimal(1), Decimal("1.0"), Decimal(0)]),
    "decimals beside whole numbers": objects([Decimal(0), 1, 1, 0]),
    "fractions": objects([Fraction(0), Fraction(1), 1, 0]),
    "enumeration": objects([Grade.LOW, Grade.HIGH, Grade.HIGH, Grade.LOW]),
    "half precision": np.array(WHOLE, dtype=np.float16),
    "long double": np.array(WHOLE, dtype=np.longdouble),
    "big-endian": np.array(WHOLE, dtype=">i8"),
    "big-endian floats": np.array(WHOLE, dtype=">f4"),
    "unsigned": np.array(WHOLE, dtype=np.uint8),
    "nullable": pd.Series(WHOLE, dtype="Int64"),
    "nullable floats": pd.array(WHOLE, dtype="Float32"),
    "Arrow": pd.Series(WHOLE, dtype="int32[pyarrow]"),
    "Arrow decimals": pd.Series([Decimal(n) for n in WHOLE], dtype=pd.ArrowDtype(pa.decimal128(5, 2))),
    "Arrow array": pa.array(WHOLE),
    "Arrow column": pa.chunked_array([WHOLE[:2], WHOLE[2:]]),
    "sparse column": pd.Series(WHOLE, dtype="Sparse[int]"),
    "category": pd.Series(WHOLE, dtype="category"),
    "category of nullable": pd.Categorical(pd.array(WHOLE, dtype="Int64")),
    "frame of one column": pd.DataFrame({"y": WHOLE}),
    "index": pd.Index(WHOLE),
    "unmasked": np.ma.masked_array(WHOLE, mask=[False] * 4),
}
BOOLEANS = {
    "list": [False, True, True, False],
    "objects": objects([False, True, True, False]),
    "numpy's as objects": objects([np.bool_(False), True, np.bool_(True), False]),
    "nullable": pd.Series([False, True, True, False], dtype="boolean"),
    "Arrow": pd.Series([False, True, True, False], dtype="bool[pyarrow]"),
    "category": pd.Series([False, True, True, False], dtype="category"),
}
TEXTS = {
    "list": ["red", "blue", "blue", "red"],
    "objects": objects(["red", "blue", "blue", "red"]),
    "numpy's as objects": objects([np.str_("red"), "blue", "blue", "red"]),
    "fixed width": np.array(["red", "blue", "blue", "red"]),
    # NumPy has text of variable width since 2.0.
    **(
        {"variable width": np.array(["red", "blue", "blue", "red"], dtype=np.dtypes.StringDType())}
        if hasattr(np.dtypes, "StringDType")
        else {}
    ),
    "series": pd.Series(["red", "blue", "blue", "red"]),
    "nullable": pd.Series(["red", "blue", "blue", "red"], dtype="string"),
    "Arrow": pd.Series(["red", "blue", "blue", "red"], dtype=pd.ArrowDtype(pa.string())),
    "dictionary": pa.array(["red", "blue", "blue", "red"]).dictionary_encode(),
    "category": pd.Categorical(["red", "blue", "blue", "red"]),
    "enumeration": objects([Colour.RED, Colour.BLUE, Colour.BLUE, Colour.RED]),
}


@pytest.mark.parametrize("y", NUMBERS.values(), ids=NUMBERS)
def test_every_form_of_numbers_becomes_numbers_that_scikit_learn_knows(y: Any) -> None:
    values = plain_labels(y, 4)
    assert values.dtype.kind in "iuf" and values.dtype.isnative and values.dtype.itemsize <= 8
    assert values.tolist() == ([0, 1, 2, 3] if isinstance(y, range) else WHOLE)
    assert type_of_target(values) in ("binary", "multiclass")


@pytest.mark.parametrize("y", BOOLEANS.values(), ids=BOOLEANS)
def test_every_form_of_booleans_becomes_booleans(y: Any) -> None:
    values = plain_labels(y, 4)
    assert values.dtype == bool
    assert values.tolist() == [False, True, True, False]


@pytest.mark.parametrize("y", TEXTS.values(), ids=TEXTS)
def test_every_form_of_text_becomes_text(y: Any) -> None:
    values = plain_labels(y, 4)
    assert values.tolist() == ["red", "blue", "blue", "red"]
    assert type_of_target(values) == "binary"


def test_only_categories_are_nominal() -> None:
    for y in (pd.Categorical(["a"]), pd.Series(["a"], dtype="category"), pd.DataFrame({"y": pd.Categorical([1])})):
        assert is_nominal(y)
    for y in (["a"], pd.Series(["a"]), np.array([True]), pa.array(["a"]), pd.DataFrame({"a": [1], "b": [2]})):
        assert not is_nominal(y)


PLAIN = st.one_of(
    st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=3)
)
ODD = st.one_of(
    PLAIN,
    st.none(),
    st.binary(max_size=2),
    st.dates(),
    st.tuples(st.integers()),
    st.complex_numbers(),
    st.decimals(allow_nan=False),
)


@given(st.lists(ODD, min_size=1, max_size=6))
def test_any_values_are_either_plain_or_refused_with_a_reason(values: list[Any]) -> None:
    try:
        plain = plain_labels(objects(values), len(values))
    except (ValueError, TypeError) as error:
        assert "y" in str(error).split() or "y:" in str(error)
    else:
        assert plain.dtype.kind in "biuf" or all(isinstance(value, str) for value in plain)


@given(st.one_of([np_st.arrays(dtype, 3) for dtype in (np.int16, np.uint64, np.bool_, ">i4")]))
def test_arrays_of_numbers_keep_their_values_and_their_type(y: np.ndarray) -> None:
    values = plain_labels(y, 3)
    assert (values == y).all()
    assert values.dtype == y.dtype.newbyteorder("=")


REFUSED = {
    "nothing": (None, "requires y to be passed"),
    "name of a column": ("Survived", r"fit\(X.drop\(columns='Survived'\), X\['Survived'\]\)"),
    "length": ([1, 2, 3], "inconsistent numbers of samples: X has 4 rows, y has 3"),
    "two columns": ([[1, 2]] * 4, "1d array"),
    "dict": ({"a": 1}, "1d array"),
    "missing": ([1.0, np.nan, 2.0, 3.0], "contains NaN: 1 of 4"),
    "nothing among text": (["a", None, "b", "a"], "contains NaN: 1 of 4"),
    "nullable missing": (pd.array([1, None, 1, 0], dtype="Int64"), "contains NaN: 1 of 4"),
    "Arrow missing": (pa.array([1, None, 1, 0]), "contains NaN: 1 of 4"),
    "masked": (np.ma.masked_array([1, 0, 1, 0], mask=[True, True, False, False]), "2 of 4 targets are masked"),
    "masked text": (np.ma.masked_array(["a", "b", "a", "b"], mask=[True] + [False] * 3), "1 of 4 targets are masked"),
    "infinite": ([1.0, np.inf, 2.0, 3.0], "contains infinity"),
    "infinite object": (objects([1, np.inf, 2, 3]), "contains infinity"),
    "complex": (np.array([1j, 2, 3, 4]), "Complex data"),
    "complex objects": (objects([1j, 2j, 3j, 4j]), "Complex data"),
    "bytes": (objects([b"a", b"b", b"a", b"b"]), "Decode them to text first"),
    "array of bytes": (np.array([b"a", b"b", b"a", b"b"]), "Decode them to text first"),
    "Arrow bytes": (pa.array([b"a", b"b", b"a", b"b"]), "Decode them to text first"),
    "moments": (pd.date_range("2024-01-01", periods=4), "dates or durations"),
    "moments of a zone": (pd.Series(pd.date_range("2024-01-01", periods=4, tz="UTC")), "dates or durations"),
    "durations": (pd.to_timedelta(range(4), unit="D"), "dates or durations"),
    "dates": (objects([datetime.date(2024, 1, day) for day in (1, 2, 1, 2)]), "dates or durations"),
    "Arrow dates": (pa.array([datetime.date(2024, 1, day) for day in (1, 2, 1, 2)]), "dates or durations"),
    "periods": (pd.Series(pd.period_range("2024-01", periods=4, freq="M")), r"Period values such as .*astype\(str\)"),
    "intervals": (pd.cut(np.arange(4.0), 2), r"Interval values such as .*astype\(str\)"),
    "tuples": (objects([(1, 2), (3, 4)] * 2), r"tuple values such as \(1, 2\).*astype\(str\)"),
    "identifiers": (objects([uuid.UUID(int=n) for n in (1, 2, 1, 2)]), r"UUID values such as .*astype\(str\)"),
    "structured": (
        np.zeros(4, dtype=[("a", int), ("b", int)]),
        r"structured array; pass one of its fields, e.g. y\['a'\]",
    ),
    "mixed": (["a", 1, "b", 2], r"several types \(int, str\)"),
    "booleans beside numbers": (objects([True, 0, 1, False]), r"several types \(bool, int\)"),
}


@pytest.mark.parametrize(("y", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_a_target_is_refused_with_the_way_out(y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plain_labels(y, 4)


def test_a_sparse_target_is_refused() -> None:
    from scipy import sparse

    with pytest.raises(TypeError, match="toarray"):
        plain_labels(sparse.csr_matrix([[1, 0, 1, 0]]), 4)


def test_a_column_vector_is_flattened_with_scikit_learns_warning_unless_it_is_a_frame() -> None:
    for column in (np.array(WHOLE)[:, None], np.array(WHOLE)[:, None].view(np.matrix)):
        with pytest.warns(DataConversionWarning):
            assert plain_labels(column, 4).tolist() == WHOLE
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain_labels(pd.DataFrame({"y": WHOLE}), 4)


def test_the_target_is_not_changed() -> None:
    y = objects(WHOLE)
    y.setflags(write=False)
    assert plain_labels(y, 4).dtype == np.int64
    assert y.dtype == object
