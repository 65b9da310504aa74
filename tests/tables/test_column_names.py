"""Names of columns are unique texts, and no table is matched with the wrong columns without a word."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autometa.tables.column_names import match_columns, refuse_ambiguous_labels, unique_names

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


def test_a_name_is_text_that_every_file_can_hold():
    assert unique_names(["\ud800", "\u200b", ""]) == ["\\ud800", "\u200b", ""]
    "".join(unique_names(["\ud800"])).encode("utf-8")


@pytest.mark.parametrize("labels", [[0, "0"], [("a", "b"), "a_b"], [None, "None"], [True, "True"]], ids=str)
def test_two_labels_that_are_the_same_text_are_refused(labels):
    with pytest.raises(ValueError, match=r"which are the same as text. Rename one of them"):
        refuse_ambiguous_labels(labels)


@pytest.mark.parametrize("labels", [["a", "a"], [None, None], [np.nan, float("nan")], [1, 1.5]], ids=str)
def test_equal_labels_are_not_ambiguous(labels):
    refuse_ambiguous_labels(labels)


def match(labels, names, width=None, n_features=None):
    """Return the positions of the matched columns, a warning being an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        width = len(labels) if width is None else width
        return match_columns(labels, width, names, len(names) if n_features is None else n_features, "M")


@given(st.lists(st.text(max_size=3), unique=True, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_names_are_matched_in_any_order_and_beside_further_columns(names, random):
    labels = [*names, "further column"]
    random.shuffle(labels)
    assert [labels[i] for i in match(labels, names).values()] == names


@given(st.permutations(range(4)), st.permutations(range(4)))
def test_numbers_are_names_like_any_other(fitted, given_):
    found = match(given_, [str(n) for n in fitted])
    assert [given_[i] for i in found.values()] == list(fitted)


def test_a_table_without_names_is_matched_by_position():
    assert match(None, ["0", "1", "2"], width=3) == {"0": 0, "1": 1, "2": 2}
    for names in (["u", "v"], ["1", "0"], ["3", "7"]):
        with pytest.warns(UserWarning, match="X does not have valid feature names, but M was fitted with feature"):
            assert list(match_columns(None, 2, names, 2, "M").values()) == [0, 1]


def test_a_part_of_a_wide_matrix_is_found_by_its_numbers():
    assert match(None, ["3", "7"], width=10, n_features=10) == {"3": 3, "7": 7}


def test_names_after_a_fit_without_names_are_taken_by_position_with_scikit_learns_warning():
    with pytest.warns(UserWarning, match="X has feature names, but M was fitted without feature names"):
        assert match_columns(["u", "v"], 2, ["0", "1"], 2, "M") == {"0": 0, "1": 1}


def test_numbered_columns_after_a_fit_with_names_are_taken_by_position_with_scikit_learns_warning():
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        assert match_columns([0, 1], 2, ["u", "v"], 2, "M") == {"u": 0, "v": 1}


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["u", "w"], ["u", "v"]),
        ([1, 0], ["u", "v"]),
        (["0", "1"], ["u", "v"]),
        ([0, 1], ["1", "2"]),
        (["0"], ["0", "1"]),
    ],
    ids=str,
)
def test_names_that_are_missing_are_not_replaced_by_others(labels, names):
    found = match(labels, names)
    assert len(found) < len(names)
    assert all(str(labels[i]) == name for name, i in found.items())


def test_another_number_of_columns_is_refused_where_names_do_not_help():
    for labels, width in ((None, 3), (["a", "b", "c"], 3)):
        with pytest.raises(ValueError, match="X has 3 features, but M is expecting 2 features as input"):
            match_columns(labels, width, ["0", "1"], 2, "M")


@pytest.mark.parametrize("names", [["a", "b"], ["a", "a.1", "b"]], ids=str)
def test_a_column_that_is_there_more_often_than_in_the_fit_is_refused(names):
    labels = ["b", *["a"] * len(names)]
    with pytest.raises(ValueError, match=r"the column 'a' more often than at fit time.*columns.duplicated"):
        match(labels, names)
    assert len(match(labels[:-1], names)) == len(names)


def test_further_columns_may_be_there_several_times():
    assert match(["x", "a", "x"], ["a"]) == {"a": 1}


def test_columns_of_levels_have_the_names_of_all_their_levels():
    labels = list(pd.MultiIndex.from_product([["a"], [1, 2]]))
    assert match(labels, ["a_2", "a_1"]) == {"a_2": 1, "a_1": 0}
