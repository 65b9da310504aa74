import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from autometa.learners import inputs
from autometa.learners.column_names import unique_names
from autometa.learners.inputs import as_frame

LABELS = st.one_of(
    st.none(), st.integers(), st.floats(), st.text(max_size=4), st.tuples(st.text(max_size=2), st.integers(0, 2))
)


@given(st.lists(LABELS, max_size=12))
def test_names_are_unique_texts_and_the_same_every_time(labels):
    names = unique_names(labels)
    assert len(names) == len(set(names)) == len(labels)
    assert all(type(name) is str for name in names)
    assert unique_names(labels) == names


@given(st.lists(st.text(max_size=4), unique=True))
def test_unique_texts_keep_their_names(labels):
    assert unique_names(labels) == labels


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


TABLE = pd.DataFrame({"0": [0.0, 2.0, 4.0], "1": [1.0, 3.0, 5.0]})
FORMS = {
    "frame": TABLE,
    "array": TABLE.to_numpy(),
    "Fortran array": np.asfortranarray(TABLE.to_numpy()),
    "half precision": TABLE.to_numpy().astype(np.float16),
    "long double": TABLE.to_numpy().astype(np.longdouble),
    "matrix": np.asmatrix(TABLE.to_numpy()),
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
}


@pytest.mark.parametrize("X", FORMS.values(), ids=FORMS)
def test_every_form_of_a_table_gives_the_same_frame(X):
    frame = as_frame(X)
    assert list(frame.columns) == ["0", "1"]
    np.testing.assert_array_equal(frame.to_numpy(dtype=float), TABLE.to_numpy())


def test_masked_entries_are_missing():
    frame = as_frame(np.ma.masked_array(np.ones((2, 2)), mask=[[True, False], [False, False]]))
    assert frame.isna().to_numpy().tolist() == [[True, False], [False, False]]


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


@pytest.mark.parametrize("form", ["array", "lists", "sparse matrix", "objects"])
def test_a_table_without_names_takes_those_of_the_fit_by_position(form):
    assert list(as_frame(FORMS[form], names=["u", "v"]).columns) == ["u", "v"]
    with pytest.raises(ValueError, match="X has 2 features, but AutoMeta is expecting 3 features as input"):
        as_frame(FORMS[form], names=["u", "v", "w"], owner="AutoMeta")


def test_a_frame_of_numbered_columns_is_matched_by_position_only_when_the_fit_had_names():
    numbered = pd.DataFrame(np.eye(2))
    assert list(as_frame(numbered, names=["u", "v"]).columns) == ["u", "v"]
    assert list(as_frame(numbered[[1, 0]], names=["0", "1"]).columns) == ["1", "0"]
    assert list(as_frame(TABLE, names=["u", "v"]).columns) == ["0", "1"]


def test_an_array_of_the_wrong_width_is_refused_when_the_fit_had_an_array():
    with pytest.raises(ValueError, match="X has 1 features, but M is expecting 2 features as input"):
        as_frame(np.ones((3, 1)), names=["0", "1"], owner="M")
    with pytest.raises(ValueError, match="X has 3 features"):
        as_frame(np.ones((3, 3)), names=["0", "1"])


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
