"""Read the target column: decide its problem, and encode its labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from autometa._support.user_warnings import warn_user
from autometa.core.task import Problem
from autometa.tables.formats import find_format
from autometa.tables.labels import as_numbers, is_nominal, plain_labels, shown
from autometa.tables.values import labels_of, read_numbers

ProblemChoice = Literal["auto", "classification", "binary", "multiclass", "regression"]
PROBLEM_CHOICES: tuple[str, ...] = ("auto", "classification", "binary", "multiclass", "regression")

MAX_SURE_CLASSES = 20
"""Whole numbers with at most this many distinct values are read as classes: digits, months,
star ratings and most codes have fewer values, counts and ages more."""
MIN_ROWS_PER_CLASS = 3
"""Values that occur less often than this on average are read as amounts."""
MAX_QUIET_CLASSES = 100
"""More classes than this cause a warning; more distinct whole numbers are read as amounts without a warning."""
LARGEST_SUM = 0.1 * float(np.finfo(np.float64).max)
"""Limit on the sum of absolute targets, so that sums of errors do not overflow."""
_CONVERSIONS = {
    "datetime": ("dates", "pd.to_datetime(y).astype('int64')"),
    "timedelta": ("durations", "pd.to_timedelta(y).dt.total_seconds()"),
}
"""Name and conversion of targets that are neither numbers nor classes."""
LARGEST_LABEL = 2.0**63
"""scikit-learn's metrics read larger floats as amounts, not as labels."""


@dataclass(frozen=True)
class Target:
    """A checked target.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
        int64 class codes or float64 values.
    problem : {"binary", "multiclass", "regression"}
        Kind of the target.
    classes : ndarray of shape (n_classes,) or None
        Sorted labels, booleans, numbers or text; None for regression.
    number_format : str or None
        How text is read as numbers, as in ``Schema.formats``; None if y is not text.
    """

    values: np.ndarray
    problem: Problem
    classes: np.ndarray | None
    number_format: str | None = None

    @property
    def n_classes(self) -> int:
        """Number of classes, 0 for regression."""
        return 0 if self.classes is None else len(self.classes)


def read_target(y: Any, n_rows: int, choice: ProblemChoice = "auto", reason: str = "") -> Target:
    """Return the checked target of `n_rows` rows.

    With ``choice="auto"`` the rule is:

    - categories, booleans, and text of two distinct values, or of at most 20 that occur three
      times each on average: classes;
    - numbers with a fraction: regression;
    - whole numbers (integers, or floats without a fraction): classes when there are two
      distinct values, or at most 20 that occur three times each on average; regression
      otherwise. From 3 to 100 distinct values this is a guess, and a UserWarning says how to
      choose;
    - other text: regression if it reads as numbers (``"$815,000"``), with a UserWarning;
      refused if it reads as dates; else classes, with a UserWarning if there are more than
      100 or they have fewer than three rows each.

    Parameters
    ----------
    y : array-like of shape (n_rows,)
        The target, as `plain_labels` takes it.
    n_rows : int
        Rows of X.
    choice : {"auto", "classification", "binary", "multiclass", "regression"}
        The requested problem.
    reason : str
        Reason of the request, for errors; empty if the caller chose it.

    Raises
    ------
    ValueError, TypeError
        If y is missing, has the wrong length, is not one column of plain values, has missing or
        infinite values, one class only, or does not suit the requested problem.
    """
    if choice not in PROBLEM_CHOICES:
        raise ValueError(f"problem must be one of {PROBLEM_CHOICES}, got {choice!r}.{_hint(choice)}")
    values, nominal = plain_labels(y, n_rows), is_nominal(y)
    if choice == "auto":
        is_class = nominal or _is_classification(values)
    else:
        is_class = choice != "regression"
    try:
        return _classes(values, choice, nominal) if is_class else _numbers(values)
    except ValueError as error:
        if not reason:
            raise
        raise ValueError(f"{error} ({reason})") from None


def read_codes(y: Any, n_rows: int, classes: np.ndarray) -> np.ndarray:
    """Return the class codes of labels given after the fit; −1 for a label that is not a class.

    Raises
    ------
    ValueError, TypeError
        If y is not a target of `n_rows` rows, or is text and the classes are numbers, or the reverse.
    """
    labels = plain_labels(y, n_rows)
    is_text = labels.dtype.kind in "UO"
    if is_text != (classes.dtype.kind in "UO"):
        raise ValueError(
            f"y holds labels of another type than in fit: {shown(np.unique(labels)[:3])} here, {shown(classes[:3])} "
            "there. Give y the type that it had in fit."
        )
    if is_text:
        return pd.Index(classes, dtype=object).get_indexer(pd.Index(labels, dtype=object)).astype(np.int64)
    found = np.minimum(np.searchsorted(classes, labels), len(classes) - 1)
    return np.where(classes[found] == labels, found, -1)


def read_values(y: Any, n_rows: int, number_format: str | None) -> np.ndarray:
    """Return the float64 values of a regression target given after the fit, text as in the fit.

    Raises
    ------
    ValueError, TypeError
        If y is not a target of `n_rows` rows, or does not hold numbers.
    """
    return _numbers(plain_labels(y, n_rows), number_format).values


def _hint(choice: Any) -> str:
    if isinstance(choice, (int, float)) and not isinstance(choice, bool):
        return f" Give seconds by name, AutoMeta(time_budget={choice}), and trials as AutoMeta(n_trials={choice})."
    return ""


def _is_classification(values: np.ndarray) -> bool:
    """Return whether plain values are classes; warn if that is a guess."""
    if values.dtype.kind == "b":
        return True
    numbers = as_numbers(values)
    if numbers is not None and not np.array_equal(numbers, np.round(numbers)):
        return False
    distinct, counts = np.unique(values, return_counts=True)
    n_distinct = len(distinct)
    if n_distinct <= 2:
        return True
    is_class = n_distinct <= MAX_SURE_CLASSES and len(values) >= MIN_ROWS_PER_CLASS * n_distinct
    if numbers is None:
        return is_class or _text_is_classes(distinct, counts)
    if n_distinct <= MAX_QUIET_CLASSES:
        kind, other = ("multiclass", "regression") if is_class else ("regression", "multiclass")
        warn_user(
            f"y holds whole numbers with {n_distinct} distinct values, which may be classes or amounts; "
            f'taken as {kind}. Pass problem="{kind}" to silence this, or problem="{other}" if that is what you meant.'
        )
    return is_class


def _text_is_classes(distinct: np.ndarray, counts: np.ndarray) -> bool:
    """Return whether many distinct texts are classes; they are not if they read as numbers."""
    found = find_format(labels_of(distinct), counts)
    if found is None:
        return True
    if found.kind == "number":
        warn_user(
            f"y holds text that reads as numbers, such as {shown(distinct[:1])}, with {len(distinct)} distinct values; "
            'taken as regression. Pass problem="regression" to silence this, or problem="multiclass" if that is what '
            "you meant."
        )
        return False
    what, how = _CONVERSIONS[found.kind]
    raise ValueError(
        f"y holds {what} as text, such as {shown(distinct[:1])}. Convert it to numbers first, e.g. with {how}, "
        'or pass problem="multiclass" if they are classes.'
    )


def _numbers(values: np.ndarray, number_format: str | None = None) -> Target:
    if values.dtype.kind in "UO":
        numbers, number_format = _read_text(values, number_format)
    else:
        numbers, number_format = values.astype(np.float64), None
    if len(numbers) and (largest := np.abs(numbers).max()) > (limit := LARGEST_SUM / len(numbers)):
        raise ValueError(
            f"y holds numbers as large as {largest:g}, whose sum overflows. Divide y by a constant, so that it stays "
            f"within ±{limit:.0e}."
        )
    return Target(numbers, "regression", None, number_format)


def _read_text(values: np.ndarray, number_format: str | None) -> tuple[np.ndarray, str]:
    """Return text as numbers and the format that reads it, as columns of X are read."""
    distinct, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    texts = labels_of(distinct)
    if number_format is None and (found := find_format(texts, counts)) is not None and found.kind == "number":
        number_format = found.style
    numbers = np.full(len(texts), np.nan) if number_format is None else read_numbers(texts, number_format)
    unreadable = np.isnan(numbers)
    if number_format is None or unreadable.any():
        n_unreadable = int(counts[unreadable].sum())
        raise ValueError(
            f"Regression needs numbers in y, got text such as {shown(distinct[unreadable][:1])} in {n_unreadable} of "
            f'{len(values)} rows. Drop these rows, convert y to numbers, or pass problem="classification".'
        )
    return numbers[codes], number_format


def _classes(values: np.ndarray, choice: ProblemChoice, nominal: bool) -> Target:
    _refuse_amounts(values, nominal)
    classes, codes = np.unique(values, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"Classification needs at least 2 classes, but y holds only one class: {shown(classes[:1])}. "
            "Check the target column, or add rows of other classes. If this is a part of a cross-validation, "
            "stratify it: scikit-learn does so for AutoMetaClassifier, and for AutoMeta with cv=StratifiedKFold()."
        )
    if len(classes) == len(values) and len(values) > 2 and values.dtype.kind in "OU":
        raise ValueError(
            f"Every one of the {len(values)} labels in y occurs once: that is an identifier, not a target. "
            "Check which column is the target."
        )
    if choice == "binary" and len(classes) != 2:
        raise ValueError(
            f'problem="binary" needs exactly 2 classes, y has {len(classes)}: {shown(classes[:5])}. '
            'Use problem="multiclass".'
        )
    if choice != "multiclass":
        _warn_of_many(classes, len(values))
    if classes.dtype == object:
        # Members of text enumerations and numpy's texts become the plain text that they equal.
        classes = np.array([label[:] for label in classes], dtype=object)
    return Target(codes.astype(np.int64), "binary" if len(classes) == 2 else "multiclass", classes)


def _refuse_amounts(values: np.ndarray, nominal: bool) -> None:
    """Raise for numbers that scikit-learn's metrics read as amounts."""
    numbers = as_numbers(values)
    if numbers is None:
        return
    fractions = numbers != np.round(numbers)
    if fractions.any():
        what = "Categories that are numbers with fractions, such as" if nominal else "Numbers with fractions, such as"
        raise ValueError(
            f"Unknown label type: continuous. {what} {shown(values[fractions][:1])}, are no labels for scikit-learn's "
            'metrics. Use problem="regression" or AutoMetaRegressor, or turn y into labels, e.g. with y.astype(str).'
        )
    if values.dtype.kind == "f" and np.abs(numbers).max() >= LARGEST_LABEL:
        raise ValueError(
            f"Unknown label type: continuous. Whole numbers of more than 64 bits, such as {np.abs(numbers).max():g}, "
            "are no labels for scikit-learn's metrics. Turn y into labels, e.g. with y.astype(str)."
        )


def _warn_of_many(classes: np.ndarray, n_rows: int) -> None:
    n_classes = len(classes)
    rare = n_classes > MAX_SURE_CLASSES and n_rows < MIN_ROWS_PER_CLASS * n_classes
    if n_classes > MAX_QUIET_CLASSES or rare:
        warn_user(
            f"y holds {n_classes} distinct values in {n_rows} rows, such as {shown(classes[:2])}, each of which counts "
            "as a class. If they are amounts, convert y to numbers or use AutoMetaRegressor; if they are classes, "
            "AutoMeta(problem=\"multiclass\") or warnings.filterwarnings('ignore', message='y holds') silences this."
        )
