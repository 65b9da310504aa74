"""The target column: which problem it poses, and its labels as codes."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from typing import Any, Literal

import numpy as np
import pandas as pd
from pandas.api import types as dtypes
from sklearn.exceptions import DataConversionWarning

from autometa.core.task import Problem

ProblemChoice = Literal["auto", "classification", "binary", "multiclass", "regression"]
PROBLEM_CHOICES: tuple[str, ...] = ("auto", "classification", "binary", "multiclass", "regression")

# Whole numbers with at most this many distinct values are read as classes: digits, months,
# star ratings and most codes lie below it, counts and ages above.
MAX_INTEGER_CLASSES = 20


@dataclass(frozen=True)
class Target:
    """A checked target.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
        int64 class codes or float64 values.
    problem : {"binary", "multiclass", "regression"}
        The problem it poses.
    classes : ndarray of shape (n_classes,) or None
        Sorted labels in the target's own dtype; None for regression.
    """

    values: np.ndarray
    problem: Problem
    classes: np.ndarray | None

    @property
    def n_classes(self) -> int:
        """Number of classes, 0 for regression."""
        return 0 if self.classes is None else len(self.classes)


def read_target(y: Any, n_rows: int, choice: ProblemChoice = "auto") -> Target:
    """Return the checked target of `n_rows` rows.

    With ``choice="auto"`` the rule is:

    - text, categories, booleans: classes;
    - numbers with a fraction: regression;
    - whole numbers (integers, or floats without a fraction): classes when there are two
      distinct values, or at most 20 that occur three times each on average; regression
      otherwise. From 3 to 100 distinct values this is a guess, so a UserWarning names the
      way out.

    Raises
    ------
    ValueError
        If y is missing, has the wrong length, is not one column, has missing or infinite
        values, one class only, or does not suit the problem that was asked for.
    """
    if choice not in PROBLEM_CHOICES:
        raise ValueError(f"problem must be one of {PROBLEM_CHOICES}, got {choice!r}.")
    if isinstance(y, pd.DataFrame) and y.shape[1] == 1:
        y = y.iloc[:, 0]
    is_category = isinstance(getattr(y, "dtype", None), pd.CategoricalDtype)
    values = _one_column(y)
    if len(values) != n_rows:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: X has {n_rows} rows, y has {len(values)}. "
            "Give one target per row."
        )
    _refuse_missing(values)
    if choice == "auto":
        is_class = is_category or _is_classification(values)
    else:
        is_class = choice != "regression"
    return _classes(values, choice, is_category) if is_class else _numbers(values)


def _one_column(y: Any) -> np.ndarray:
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None.")
    if isinstance(y, pd.DataFrame):
        y = y.to_numpy()
    elif isinstance(y, (pd.Series, pd.Index, pd.api.extensions.ExtensionArray)):
        series = pd.Series(y)
        if dtypes.is_datetime64_any_dtype(series.dtype) or dtypes.is_timedelta64_dtype(series.dtype):
            raise ValueError("y holds dates or durations. Convert it to numbers first, e.g. with y.astype('int64').")
        y = _plain(series)
    elif hasattr(y, "toarray"):
        raise TypeError("y is a sparse matrix; pass a dense array, e.g. y.toarray().ravel().")
    values = np.asarray(y)
    if values.dtype.kind in "US" and isinstance(y, (list, tuple)) and not all(isinstance(label, str) for label in y):
        # numpy would turn the numbers of a mixed list into text, and predict labels that y never held.
        values = np.array(y, dtype=object)
    if values.ndim == 2 and values.shape[1] == 1:
        warnings.warn(
            "A column-vector y was passed when a 1d array was expected. "
            "Please change the shape of y to (n_samples,), for example using ravel().",
            DataConversionWarning,
            stacklevel=4,
        )
        values = values.ravel()
    if values.ndim != 1:
        raise ValueError(
            f"y should be a 1d array, got an array of shape {values.shape} instead: one target column only."
        )
    if values.dtype.kind == "c":
        raise ValueError("Complex data not supported: y holds complex numbers.")
    if values.dtype.kind in "Mm":
        raise ValueError("y holds dates or durations. Convert it to numbers first, e.g. with y.astype('int64').")
    return values


def _plain(series: pd.Series) -> np.ndarray:
    """Return a series as a numpy array; nullable and Arrow numbers become numpy's own."""
    if isinstance(series.dtype, pd.CategoricalDtype):
        return np.asarray(series)
    if dtypes.is_bool_dtype(series.dtype) and not series.isna().any():
        return series.to_numpy(dtype=bool)
    if dtypes.is_integer_dtype(series.dtype) and not series.isna().any():
        return series.to_numpy(dtype=np.int64) if dtypes.is_extension_array_dtype(series.dtype) else series.to_numpy()
    if dtypes.is_numeric_dtype(series.dtype) and dtypes.is_extension_array_dtype(series.dtype):
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    return series.to_numpy()


def _refuse_missing(values: np.ndarray) -> None:
    missing = int(pd.isna(values).sum())
    if missing:
        raise ValueError(
            f"Input y contains NaN: {missing} of {len(values)} targets are missing. Drop those rows first."
        )
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError(
            "Input y contains infinity or a value too large for dtype('float64'). Drop or replace those rows first."
        )


def _is_classification(values: np.ndarray) -> bool:
    numbers = _as_numbers(values)
    if values.dtype.kind == "b" or numbers is None:
        return True
    if not np.array_equal(numbers, np.round(numbers)):
        return False
    n_distinct = len(np.unique(numbers))
    if n_distinct <= 2:
        return True
    is_class = n_distinct <= MAX_INTEGER_CLASSES and len(numbers) >= 3 * n_distinct
    if n_distinct <= 100:
        kind, other = ("multiclass", "regression") if is_class else ("regression", "multiclass")
        warnings.warn(
            f"y holds whole numbers with {n_distinct} distinct values, which may be classes or amounts; "
            f'taken as {kind}. Pass problem="{kind}" to silence this, or problem="{other}" if that is what you meant.',
            UserWarning,
            stacklevel=4,
        )
    return is_class


def _as_numbers(values: np.ndarray) -> np.ndarray | None:
    """Return float64 values, or None where they are not all numbers."""
    if values.dtype.kind in "iuf":
        return values.astype(np.float64)
    if values.dtype.kind == "O" and all(
        isinstance(v, (Real, Decimal, np.number)) and not isinstance(v, bool) for v in values
    ):
        return values.astype(np.float64)
    return None


def _numbers(values: np.ndarray) -> Target:
    numbers = _as_numbers(values)
    if numbers is None and values.dtype.kind in "OUSb":
        # Numbers kept as objects or text, and booleans, are still usable amounts.
        try:
            numbers = values.astype(np.float64)
        except (ValueError, TypeError):
            numbers = None
    if numbers is None:
        example = values[0]
        raise ValueError(
            f"Regression needs numbers in y, got {type(example).__name__} values such as {example!r}. "
            'Convert y to numbers, or pass problem="classification".'
        )
    if not np.isfinite(numbers).all():
        raise ValueError(
            "Input y contains infinity or a value too large for dtype('float64'). Drop or replace those rows first."
        )
    return Target(numbers, "regression", None)


def _classes(values: np.ndarray, choice: ProblemChoice, is_category: bool) -> Target:
    numbers = None if is_category else _as_numbers(values)
    if numbers is not None and not np.array_equal(numbers, np.round(numbers)):
        raise ValueError(
            "Unknown label type: continuous. Classes were expected, y holds numbers with fractions such as "
            f'{_shown(values[numbers != np.round(numbers)][:1])}. Use problem="regression" or AutoMetaRegressor, '
            "or turn y into labels."
        )
    try:
        classes, codes = np.unique(values, return_inverse=True)
    except TypeError as error:
        raise ValueError(
            f"y mixes labels of types that cannot be sorted ({error}). Convert them to one type, e.g. y.astype(str)."
        ) from error
    if len(classes) < 2:
        raise ValueError(
            f"Classification needs at least 2 classes, but y holds only one class: {_shown(classes[:1])}. "
            "Check the target column, or add rows of other classes."
        )
    if len(classes) == len(values) and len(values) > 2 and values.dtype.kind in "OUS":
        raise ValueError(
            f"Every one of the {len(values)} labels in y occurs once: that is an identifier, not a target. "
            "Check which column is the target."
        )
    if choice == "binary" and len(classes) != 2:
        raise ValueError(
            f'problem="binary" needs exactly 2 classes, y has {len(classes)}: {_shown(classes[:5])}. '
            'Use problem="multiclass".'
        )
    return Target(codes.astype(np.int64), "binary" if len(classes) == 2 else "multiclass", classes)


def _shown(labels: np.ndarray) -> str:
    """Return labels as a user wrote them, not as numpy prints them."""
    return ", ".join(repr(label) for label in labels.tolist())
