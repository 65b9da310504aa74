import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from autometa.tables import inputs
from autometa.tables.inputs import as_frame, read_table

ODD_COLUMNS = {
    "duplicates": ["a", "a", "a.1"],
    "integers": [3, 1, 2],
    "levels": pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)]),
    "brackets": ["[x]", "<y>", '{"z": 1}'],
    "nothing": [None, np.nan, None],
}


@pytest.mark.parametrize("columns", ODD_COLUMNS.values(), ids=ODD_COLUMNS)
def test_a_frame_keeps_its_values_under_any_column_labels_and_stays_as_it_is(columns):
    frame = pd.DataFrame([[1, "u", 2.5], [2, "v", np.nan]], index=["r", "r"])
    frame.columns = columns
    before = frame.copy()
    result = as_frame(frame)
    pd.testing.assert_frame_equal(frame, before)
    assert result.columns.is_unique
    assert list(result.index) == [0, 1]
    for i in range(3):
        assert result.iloc[:, i].isna().equals(frame.iloc[:, i].isna().reset_index(drop=True))
    assert list(result.iloc[:, 1]) == ["u", "v"]


class Foreign:
    """A frame of another library, known by its ``to_pandas``."""

    def __init__(self, frame):
        self.frame = frame

    def to_pandas(self):
        return self.frame


class Exchange:
    """A frame of another library, known by the interchange protocol."""

    def __init__(self, frame):
        self.frame = frame

    def __dataframe__(self, **options):
        return self.frame.__dataframe__(**options)


class ArrayLike:
    def __array__(self, dtype=None, copy=None):
        return np.arange(6.0).reshape(3, 2)


class Row(NamedTuple):
    a: float
    b: float


@dataclass
class Record:
    a: float
    b: float


def read_only(array):
    array.setflags(write=False)
    return array


TABLE = pd.DataFrame({"0": [0.0, 2.0, 4.0], "1": [1.0, 3.0, 5.0]})
FORMS = {
    "frame": TABLE,
    "array": TABLE.to_numpy(),
    "Fortran array": np.asfortranarray(TABLE.to_numpy()),
    "half precision": TABLE.to_numpy().astype(np.float16),
    "long double": TABLE.to_numpy().astype(np.longdouble),
    "matrix": TABLE.to_numpy().copy().view(np.matrix),
    "objects": TABLE.to_numpy().astype(object),
    "lists": TABLE.to_numpy().tolist(),
    "tuples": [tuple(row) for row in TABLE.to_numpy().tolist()],
    "list of arrays": list(TABLE.to_numpy()),
    "records": TABLE.to_dict("records"),
    "dict of columns": TABLE.to_dict("list"),
    "structured array": TABLE.to_records(index=False),
    "array-like": ArrayLike(),
    "sparse matrix": sparse.csr_matrix(TABLE.to_numpy()),
    "sparse array": sparse.coo_array(TABLE.to_numpy()),
    "sparse columns": TABLE.astype(pd.SparseDtype(float, 0.0)),
    "other library": Foreign(TABLE),
    "interchange": Exchange(TABLE),
    "big-endian array": TABLE.to_numpy().astype(">f8"),
    "big-endian frame": TABLE.astype(">f4"),
    "read-only array": read_only(TABLE.to_numpy().copy()),
    "masked array": np.ma.masked_array(TABLE.to_numpy(), mask=False),
    "named tuples": [Row(*row) for row in TABLE.to_numpy().tolist()],
    "dataclasses": [Record(*row) for row in TABLE.to_numpy().tolist()],
    "list of records": list(TABLE.to_records(index=False)),
    # NumPy has text of variable width since 2.0.
    **(
        {"variable-width text": TABLE.to_numpy().astype(str).astype(np.dtypes.StringDType())}
        if hasattr(np.dtypes, "StringDType")
        else {}
    ),
}


def renamed(X):
    """Return a table with the columns a and b for 0 and 1."""
    if isinstance(X, Foreign):
        return Foreign(renamed(X.frame))
    if isinstance(X, pd.DataFrame):
        return X.rename(columns={"0": "a", "1": "b"})
    if isinstance(X, dict):
        return {"a": X["0"], "b": X["1"]}
    if isinstance(X, np.ndarray):
        return np.array(X.tolist(), dtype=[("a", float), ("b", float)])
    return [{"a": row["0"], "b": row["1"]} if isinstance(row, dict) else row for row in X]


@pytest.mark.parametrize("X", FORMS.values(), ids=FORMS)
def test_every_form_of_a_table_gives_the_same_frame(X):
    frame = as_frame(X)
    assert list(frame.columns) in (["0", "1"], ["a", "b"])
    np.testing.assert_array_equal(frame.to_numpy(dtype=float), TABLE.to_numpy())


MASK = [[True, False], [False, False]]


@pytest.mark.parametrize("dtype", [float, int, bool, np.float16, object, "U1", "S1"])
def test_masked_entries_are_missing(dtype):
    X = np.ma.masked_array(np.ones((2, 2)).astype(dtype), mask=MASK)
    for table in (X, list(X)):
        assert as_frame(table).isna().to_numpy().tolist() == MASK


def test_masked_entries_of_records_are_missing():
    X = np.ma.array([(1.0, "x"), (2.0, "y")], dtype=[("a", float), ("b", "U1")], mask=[(1, 0), (0, 0)])
    assert as_frame(X, names=["b", "a"]).isna().to_numpy().tolist() == [[False, True], [False, False]]


def test_arrays_of_text_and_bytes_become_text():
    assert as_frame(np.array([["a", "b"]])).iloc[0].tolist() == ["a", "b"]
    assert as_frame(np.array([[b"a", b"\xff"]])).iloc[0].tolist() == ["a", "\ufffd"]


BAD = {
    "no rows": (np.empty((0, 3)), r"0 sample\(s\) \(shape=\(0, 3\)\) while a minimum of 1 is required"),
    "no columns": (np.empty((12, 0)), r"0 feature\(s\) \(shape=\(12, 0\)\) while a minimum of 1 is required"),
    "empty frame": (pd.DataFrame({"a": []}), r"0 sample\(s\)"),
    "frame without columns": (pd.DataFrame(index=[1, 2]), r"0 feature\(s\)"),
    "empty lists": ([[], []], r"0 feature\(s\)"),
    "sparse without rows": (sparse.csr_matrix((0, 2)), r"0 sample\(s\)"),
    "vector": (np.arange(3.0), "Reshape your data"),
    "list": ([1, 2, 3], "Reshape your data"),
    "empty list": ([], "Reshape your data"),
    "series": (pd.Series([1, 2]), "Reshape your data"),
    "number": (3.0, "Reshape your data"),
    "text": ("table.csv", "Reshape your data"),
    "three dimensions": (np.zeros((2, 2, 2)), "dim 3"),
    "nested lists": ([[[1], [2]], [[3], [4]]], "dim 3"),
    "ragged lists": ([[1, 2], [3]], "one length"),
    "complex": (np.ones((2, 2)) * 1j, "Complex data not supported"),
    "complex column": (pd.DataFrame({"a": [1j, 2]}), "Complex data not supported"),
    "complex objects": (np.array([[1j], [2j]], dtype=object), "Complex data not supported"),
    "complex sparse": (sparse.csr_matrix(np.ones((2, 2)) * 1j), "Complex data not supported"),
}


@pytest.mark.parametrize(("X", "message"), BAD.values(), ids=BAD)
def test_what_is_no_table_is_refused_with_the_reason(X, message):
    with pytest.raises(ValueError, match=message):
        as_frame(X)


UNNAMED = ["array", "lists", "sparse matrix", "objects", "list of arrays", "matrix", "masked array"]


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("form", UNNAMED)
@pytest.mark.parametrize("names", [["u", "v"], ["1", "0"], ["0", "1"]], ids=str)
def test_a_table_without_names_takes_those_of_the_fit_by_position(form, names):
    frame = as_frame(FORMS[form], names=names)
    assert list(frame.columns) == names
    np.testing.assert_array_equal(frame.to_numpy(dtype=float), TABLE.to_numpy())
    with pytest.raises(ValueError, match="X has 2 features, but AutoMeta is expecting 3 features as input"):
        as_frame(FORMS[form], names=["u", "v", "w"], owner="AutoMeta")


NAMED = ["frame", "records", "dict of columns", "structured array", "named tuples", "dataclasses", "other library"]


@pytest.mark.parametrize("form", NAMED)
def test_a_table_with_names_is_matched_by_them_without_a_warning(form):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = as_frame(renamed(FORMS[form]), names=["b", "a"])
    assert list(frame.columns) == ["b", "a"]
    np.testing.assert_array_equal(frame.to_numpy(dtype=float), TABLE.to_numpy()[:, [1, 0]])


def test_one_record_is_one_row():
    frame = as_frame({"b": 1.0, "a": "x"}, names=["a", "b"])
    assert frame.to_dict("records") == [{"a": "x", "b": 1.0}]


def test_a_frame_of_numbered_columns_is_matched_by_name_where_it_can_be():
    numbered = pd.DataFrame(np.eye(2) * [1, 2])
    assert as_frame(numbered[[1, 0]], names=["0", "1"]).to_numpy().tolist() == numbered.to_numpy().tolist()
    assert as_frame(numbered, names=["1", "0"]).to_numpy().tolist() == numbered[[1, 0]].to_numpy().tolist()
    assert as_frame(numbered, names=["1"]).to_numpy().tolist() == numbered[[1]].to_numpy().tolist()


def test_further_columns_are_left_out_whatever_they_are():
    frame = TABLE.assign(extra=1j, objects=[{}, [], ()])
    assert list(as_frame(frame, names=["1", "0"]).columns) == ["1", "0"]
    with pytest.raises(ValueError, match="Complex data not supported"):
        as_frame(frame, names=["1", "extra"])


def test_labels_are_those_of_the_caller():
    assert read_table(TABLE.to_numpy()).labels is None
    assert read_table(sparse.csr_matrix(TABLE.to_numpy())).labels is None
    assert read_table(TABLE.set_axis([3, 1], axis=1)).labels == [3, 1]
    assert read_table(TABLE.to_dict("records")).labels == ["0", "1"]


def test_an_array_of_the_wrong_width_is_refused_when_the_fit_had_an_array():
    with pytest.raises(ValueError, match="X has 1 features, but M is expecting 2 features as input"):
        as_frame(np.ones((3, 1)), names=["0", "1"], owner="M")
    with pytest.raises(ValueError, match="X has 3 features"):
        as_frame(np.ones((3, 3)), names=["0", "1"])


def test_text_that_is_no_valid_unicode_is_kept():
    half = "\ud800"
    for X in ([(half, 1), ("x", 2)], [{"a": half}, {"a": "x"}], {"a": [half, "x"]}, np.array([[half], ["x"]], object)):
        assert as_frame(X).iloc[:, 0].tolist() == [half, "x"]


def test_a_sparse_table_too_large_for_memory_keeps_its_fullest_columns_and_says_so(monkeypatch):
    monkeypatch.setattr(inputs, "_MAX_DENSE_BYTES", 4 * 10 * 2)
    X = sparse.csr_matrix(np.repeat([[1.0, 0, 2, 0, 3]], 10, axis=0) * np.tri(10, 5, -4)[:, ::-1])
    populated = X.getnnz(axis=0)
    with pytest.warns(UserWarning, match="only the 2 columns with the most entries"):
        frame = as_frame(X)
    kept = [int(name) for name in frame.columns]
    assert set(populated[kept]) == set(np.sort(populated)[-2:])
    again = as_frame(X, names=list(frame.columns), n_features=5)
    pd.testing.assert_frame_equal(again, frame)
    with pytest.raises(ValueError, match="expecting 5 features"):
        as_frame(X[:, :4], names=list(frame.columns), n_features=5)
