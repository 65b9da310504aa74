import numpy as np
import pandas as pd
import pytest

from autometa.tables.levels import fit_levels, match_levels
from autometa.tables.reading import as_labels


def matched(levels, values):
    """Return the levels of new values of a category of `levels`, None for unknown ones, and what was noticed."""
    match = match_levels(as_labels(pd.Series(values)), levels)
    names = [*levels, None, "missing"]
    return [names[code] for code in match.codes], match.is_lost, match.is_unclear


@pytest.mark.parametrize(
    ("levels", "values", "expected"),
    [
        (["False", "True"], [1, 0], ["True", "False"]),
        (["False", "True"], [1.0, 0.0], ["True", "False"]),
        (["0", "1"], [True, False], ["1", "0"]),
        (["0", "1", "True"], np.array([True, 1], dtype=object), ["True", "1"]),
        (["007", "012"], [7, 12], ["007", "012"]),
        (["007", "012"], ["7", "0012"], ["007", None]),
        (["12", "7"], ["007", "12"], [None, "12"]),
        (["0.1", "0.25"], np.array([0.1, 0.25], dtype=np.float32).astype(float), ["0.1", "0.25"]),
        (["0.30000000000000004", "0.5"], [0.3, 0.5], ["0.30000000000000004", "0.5"]),
        ([str(2**60 + 1), str(2**61)], [2**60 + 1, 2**60 + 2], [str(2**60 + 1), None]),
        ([str(2**60 + 1), str(2**61)], [float(2**60 + 1), 3.0], [str(2**60 + 1), None]),
        (["1.152921504606847e+18", "5"], [2**60, 5], ["1.152921504606847e+18", "5"]),
        (["1 days 00:00:00", "2 days 00:00:00"], ["1 days", "P2DT0H0M0S"], ["1 days 00:00:00", "2 days 00:00:00"]),
        (["a", "b"], ["b", "c"], ["b", None]),
    ],
)
def test_a_value_is_the_level_with_its_label_or_the_only_one_with_its_number(levels, values, expected):
    assert matched(levels, values)[0] == expected


@pytest.mark.parametrize("word", ["NA", "None", "nan", "<NA>", "NaT"])
def test_a_level_that_stands_for_a_gap_is_the_level_of_all_gaps(word):
    column = pd.Series([word, "a", None, "null", "a"], dtype=object)
    labels = fit_levels(as_labels(column))
    levels = sorted(labels.levels)
    assert len(levels) == 2
    assert labels.codes.tolist() == [0, 1, 0, 0, 1]
    gap = next(level for level in levels if level != "a")
    assert matched(levels, np.array([None, np.nan, "NULL", "N/A", "a"], dtype=object))[0] == [gap] * 4 + ["a"]


def test_without_such_a_level_gaps_are_missing_and_other_words_are_levels():
    column = pd.Series(["none", "a", None], dtype=object)
    labels = fit_levels(as_labels(column))
    assert labels.levels == ["none", "a"]
    assert matched(["a", "none"], np.array(["NA", None, "none"], dtype=object))[0] == ["missing", "missing", "none"]


@pytest.mark.parametrize(
    ("levels", "values", "is_lost"),
    [
        (["a", "b"], ["a", "c"], False),
        (["a", "b"], ["c"] * 3, False),
        (["a", "b"], ["c"] * 30, True),
        (["a", "b"], [3], True),
        (["1", "2"], ["c"], True),
        (["1", "2"], [3], False),
        (["12", "7"], ["007"], True),
        (["no", "yes"], [True], True),
        (["2024-01-31"], pd.to_datetime(["2024-02-01"]), False),
        (["a"], pd.to_datetime(["2024-02-01"]), True),
        (["a", "b"], [{"k": 1}], True),
        (["a", "b"], [None], False),
    ],
)
def test_levels_are_lost_when_most_rows_hold_another_kind_of_value_or_nothing_known(levels, values, is_lost):
    assert matched(levels, values)[1] == is_lost


@pytest.mark.parametrize(
    ("levels", "values", "is_unclear"),
    [
        (["007", "7"], [7], True),
        (["007", "7"], ["7"], False),
        (["007", "12"], [7, 12], False),
        ([str(2**60 + 1), str(2**60 + 2)], [float(2**60)], True),
        ([str(2**60 + 1), str(2**60 + 2)], [2**60 + 2], False),
    ],
)
def test_numbers_that_several_levels_stand_for_are_unclear(levels, values, is_unclear):
    assert matched(levels, values)[2] == is_unclear


def test_many_levels_and_new_values_match_like_the_obvious_way():
    rng = np.random.default_rng(0)
    levels = sorted(str(i) for i in rng.choice(10_000, 3_000, replace=False))
    values = rng.integers(0, 10_000, 5_000)
    known = set(levels)
    expected = [str(value) if str(value) in known else None for value in values]
    assert matched(levels, values)[0] == expected
