"""The rule that reads a target, and what it refuses."""

from __future__ import annotations

import enum
import warnings
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autometa.tables.target import read_codes, read_target, read_values


@pytest.mark.parametrize(
    ("y", "problem"),
    [
        (["a", "b"] * 10, "binary"),
        (["a", "b", "c"] * 10, "multiclass"),
        ([True, False] * 10, "binary"),
        ([0, 1] * 10, "binary"),
        ([0.0, 1.0] * 10, "binary"),
        (pd.Series(["x", "y"] * 10, dtype="category"), "binary"),
        (pd.Series([1, 2] * 10, dtype="Int64"), "binary"),
        (pd.Series([1, 2, 3] * 10, dtype="category"), "multiclass"),
        (pd.DataFrame({"y": pd.Categorical(["low", "high", "top"] * 10)}), "multiclass"),
        ([str(digit) for digit in range(10)] * 3, "multiclass"),
        ([f"name {i % 30}" for i in range(90)], "multiclass"),
        ([0.5 + i for i in range(20)], "regression"),
        ([Decimal("0.5") * i for i in range(20)], "regression"),
        (pd.Series([True, False] * 10, dtype="boolean"), "binary"),
        (np.linspace(0.1, 1, 20), "regression"),
        (np.arange(1000), "regression"),
    ],
    ids=str,
)
def test_clear_targets_are_read_without_a_warning(y: object, problem: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_target(y, len(y)).problem == problem


@pytest.mark.parametrize(
    ("y", "problem"),
    [
        ([1, 2, 3, 4, 5] * 10, "multiclass"),
        (list(range(20)) * 3, "multiclass"),
        (list(range(21)) * 3, "regression"),
        (list(range(20)) * 2, "regression"),
        ([1.0, 2.0, 3.0] * 10, "multiclass"),
    ],
)
def test_whole_numbers_are_decided_with_a_warning_that_names_the_way_out(y: list[float], problem: str) -> None:
    with pytest.warns(UserWarning, match=f'Pass problem="{problem}" to silence this'):
        assert read_target(y, len(y)).problem == problem


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint16, np.float32, float, bool, "U3"])
def test_labels_come_back_in_their_own_dtype(dtype: object) -> None:
    y = np.array([0, 1, 1, 0, 1], dtype=dtype)
    target = read_target(y, 5, "classification")
    assert target.classes is not None
    assert target.classes.dtype == y.dtype
    assert (target.classes[target.values] == y).all()


def test_classes_of_objects_are_of_a_type_that_scikit_learn_knows() -> None:
    for values, dtype in (([0, 1, 1, 0], np.int64), ([True, False] * 2, np.bool_), ([1.0, 2.0] * 2, np.float64)):
        target = read_target(np.array(values, dtype=object), 4, "classification")
        assert target.classes is not None and target.classes.dtype == dtype
        assert target.classes[target.values].tolist() == values


class Colour(enum.StrEnum):
    RED = "red"
    BLUE = "blue"


def test_classes_of_text_are_plain_text() -> None:
    target = read_target(np.array([Colour.RED, Colour.BLUE, np.str_("red"), "blue"], dtype=object), 4)
    assert target.classes is not None
    assert [type(label) for label in target.classes] == [str, str]
    assert target.classes.tolist() == ["blue", "red"]


PRICES = [f"${1000 * i:,}" for i in range(1, 101)]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        (PRICES, [1000.0 * i for i in range(1, 101)]),
        ([f"{i}.5" for i in range(100)], [i + 0.5 for i in range(100)]),
        ([f"{i},5" for i in range(100)], [i + 0.5 for i in range(100)]),
        ([f" {i} " for i in range(100)], list(range(100))),
        (pd.Series([str(i) for i in range(100)], dtype="string"), list(range(100))),
    ],
    ids=["prices", "fractions", "decimal commas", "spaces", "whole numbers"],
)
def test_text_that_reads_as_numbers_is_amounts_and_says_so(text: Any, numbers: list[float]) -> None:
    with pytest.warns(UserWarning, match='taken as regression. Pass problem="regression" to silence this'):
        target = read_target(text, 100)
    assert target.problem == "regression"
    assert target.values.tolist() == numbers
    assert read_values(text[:3], 3, target.number_format).tolist() == numbers[:3]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_target(text, 100, "regression").values.tolist() == numbers


def test_text_is_read_after_the_fit_as_it_was_read_in_it() -> None:
    grouped = read_target(["1,234", "2,345", "3,456"] * 40, 120, "regression").number_format
    assert read_values(["1,234"], 1, grouped).tolist() == [1234.0]


def test_text_of_numbers_with_words_between_them_is_refused_with_an_example() -> None:
    y = [*PRICES[:98], "call us", "n/a"]
    with pytest.raises(ValueError, match=r"text such as .* in 2 of 100 rows. Drop these rows"):
        read_target(y, 100, "regression")


def test_text_of_few_numbers_is_classes() -> None:
    target = read_target(["3", "1", "2"] * 10, 30)
    assert target.classes is not None and target.classes.tolist() == ["1", "2", "3"]


def test_dates_as_text_are_refused_unless_they_are_few() -> None:
    days = [str(day.date()) for day in pd.date_range("2024-01-01", periods=50)]
    with pytest.raises(ValueError, match="dates as text"):
        read_target(days, 50)
    assert read_target(days[:3] * 10, 30).n_classes == 3
    with pytest.raises(ValueError, match="durations as text"):
        read_target([f"{i} days 01:00:00" for i in range(50)], 50)


def test_a_target_of_text_with_a_unit_is_read_as_numbers_and_one_with_a_word_is_refused() -> None:
    distances = [f"{i} km" for i in range(50)]
    with pytest.warns(UserWarning, match="reads as numbers"):
        np.testing.assert_array_equal(read_target(distances, 50).values, np.arange(50))
    with pytest.raises(ValueError, match="got text such as 'unknown' in 1 of 50 rows"):
        read_target([*distances[:-1], "unknown"], 50, "regression")


@pytest.mark.parametrize("choice", ["auto", "classification"])
def test_many_classes_are_said_to_be_many(choice: Any) -> None:
    for y in ([f"name {i % 60}" for i in range(100)], [f"name {i % 120}" for i in range(1200)]):
        with pytest.warns(UserWarning, match="each of which counts as a class"):
            read_target(y, len(y), choice)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read_target(y, len(y), "multiclass")


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0.5, 1.5, 2.5] * 10, "Numbers with fractions, such as 0.5"),
        (pd.Categorical([0.5, 1.5, 2.5] * 10), r"Categories that are numbers with fractions.*astype\(str\)"),
        ([2.0**70, 1.0, 2.0] * 10, r"more than 64 bits.*astype\(str\)"),
        ([2**70, 1, 2] * 10, r"more than 64 bits.*astype\(str\)"),
    ],
    ids=["fractions", "categories", "large floats", "large whole numbers"],
)
def test_numbers_that_scikit_learn_takes_for_amounts_are_no_classes(y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_target(y, 30, "multiclass")


def test_sums_of_a_target_are_numbers() -> None:
    assert read_target([1e300, -1e300, 0.5], 3).problem == "regression"
    with pytest.raises(ValueError, match=r"as large as 1e\+308, whose sum overflows. Divide y by a constant"):
        read_target([1e308, -1e308, 0.5], 3)


def test_the_reason_for_a_problem_stands_in_the_error() -> None:
    with pytest.raises(ValueError, match=r"needs numbers in y, .*\(metric='rmse' is for regression\)"):
        read_target(["a", "b", "a"], 3, "regression", "metric='rmse' is for regression")


@pytest.mark.parametrize("y", [["a", "b", "b", "z"], [1, 2, 2, 9], [True, False, False, True]], ids=str)
def test_labels_after_the_fit_become_the_codes_of_the_fit(y: list[Any]) -> None:
    classes = np.unique(y[:3])
    codes = read_codes(pd.Series(y, dtype=object), 4, classes)
    assert codes[:3].tolist() == [list(classes).index(label) for label in y[:3]]
    assert codes[3] == (-1 if y[3] not in y[:3] else codes[0])


def test_labels_of_another_type_than_in_the_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="another type than in fit: '0', '1' here, 0, 1 there"):
        read_codes(["0", "1"], 2, np.array([0, 1]))
    assert read_codes([1.0, 0.0, 0.5], 3, np.array([0, 1])).tolist() == [1, 0, -1]
    assert read_codes([1, 0], 2, np.array([False, True])).tolist() == [1, 0]


def test_seconds_without_their_name_are_recognised() -> None:
    with pytest.raises(ValueError, match=r"got 30. Give seconds by name, AutoMeta\(time_budget=30\)"):
        read_target([0, 1], 2, 30)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("y", "choice", "message"),
    [
        (None, "auto", "requires y to be passed"),
        ([1, 2, 3], "auto", "inconsistent numbers of samples"),
        ([1.0, np.nan, 2.0, 3.0], "auto", "contains NaN: 1 of 4"),
        (["a", None, "b", "a"], "auto", "contains NaN: 1 of 4"),
        ([1.0, np.inf, 2.0, 3.0], "auto", "contains infinity"),
        (["a"] * 4, "auto", "only one class: 'a'"),
        (["a", "b", "c", "d"], "auto", "identifier, not a target"),
        ([0.5, 1.5, 0.5, 1.5], "classification", "Unknown label type"),
        (["a", "b", "c", "a"], "binary", "exactly 2 classes"),
        (["a", "b", "c", "a"], "regression", "needs numbers in y"),
        ([[1, 2], [3, 4], [5, 6], [7, 8]], "auto", "1d array"),
        (np.array([1j, 2, 3, 4]), "auto", "Complex data"),
        (pd.date_range("2024-01-01", periods=4), "auto", "dates or durations"),
        (["a", 1, "b", 2], "auto", "one type"),
        ("Survived", "auto", "got the text 'Survived'"),
        ([0, 1, 0, 1], "ordinal", "problem must be one of"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_bad_targets_are_refused_with_a_reason(y: object, choice: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_target(y, 4, choice)
