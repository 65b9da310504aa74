"""Turn anything that a user passes as y into a plain array: booleans, numbers or text."""

from __future__ import annotations

from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype
from sklearn.exceptions import DataConversionWarning

from autometa._support.user_warnings import warn_user

_DATES = frozenset({"datetime", "datetime64", "date", "timedelta", "timedelta64", "time"})


def plain_labels(y: Any, n_rows: int) -> np.ndarray:
    """Return y as one column of plain values.

    scikit-learn's metrics and saved models accept nothing else, so other values are refused before
    the fit.

    Parameters
    ----------
    y : array-like of shape (n_rows,) or (n_rows, 1)
        A list, array, Series, category, nullable or Arrow array, or another library's column.
    n_rows : int
        Rows of X.

    Returns
    -------
    ndarray of shape (n_rows,)
        bool, an integer, float32 or float64 type in the machine's byte order, fixed-width text, or
        `object` where every entry is a str.

    Raises
    ------
    ValueError, TypeError
        If y is missing, is not a single column, has another length than X, has missing or infinite
        entries, or holds values of several types or of a type that is not plain.
    """
    values = _one_column(y)
    if len(values) != n_rows:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: X has {n_rows} rows, y has {len(values)}. "
            "Give one target per row."
        )
    _refuse_missing(values)
    values = _plain(values)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError(
            "Input y contains infinity or a value too large for dtype('float64'). Drop or replace those rows first."
        )
    return values


def is_nominal(y: Any) -> bool:
    """Whether y has a category type, so that its values are classes."""
    if isinstance(y, pd.DataFrame) and y.shape[1] == 1:
        y = y.iloc[:, 0]
    return isinstance(getattr(y, "dtype", None), pd.CategoricalDtype)


def as_numbers(values: np.ndarray) -> np.ndarray | None:
    """Return plain values as float64, or None if they are booleans or text."""
    return values.astype(np.float64) if values.dtype.kind in "iuf" else None


def shown(labels: np.ndarray) -> str:
    """Return labels as Python writes them, for messages."""
    return ", ".join(repr(label) for label in labels.tolist())


def _one_column(y: Any) -> np.ndarray:
    """Return y as a numpy array of one dimension; masked entries stay masked."""
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None.")
    if isinstance(y, (str, bytes)):
        raise ValueError(
            f"y must hold one target per row, got the text {y!r}. If that is a column of X, pass the column itself: "
            f"fit(X.drop(columns={y!r}), X[{y!r}])."
        )
    if hasattr(y, "toarray"):
        raise TypeError("y is a sparse matrix; pass a dense array, e.g. y.toarray().ravel().")
    if not isinstance(y, (np.ndarray, pd.Series, pd.DataFrame)) and hasattr(y, "to_pandas"):
        y = y.to_pandas()
    values = y if isinstance(y, np.ma.MaskedArray) else np.asarray(y)
    if isinstance(y, (list, tuple)) and values.dtype.kind in "US" and not all(isinstance(label, str) for label in y):
        # numpy would turn the numbers of a mixed list into text: other labels than those of y.
        values = np.array(y, dtype=object)
    if values.ndim == 2 and values.shape[1] == 1:
        if not isinstance(y, pd.DataFrame):
            warn_user(
                "A column-vector y was passed when a 1d array was expected. "
                "Please change the shape of y to (n_samples,), for example using ravel().",
                DataConversionWarning,
            )
        values = values.ravel()
    if values.ndim != 1:
        raise ValueError(
            f"y should be a 1d array, got an array of shape {values.shape} instead: one target column only."
        )
    return values


def _refuse_missing(values: np.ndarray) -> None:
    # A structured array is refused later.
    missing = 0 if values.dtype.kind == "V" else int(pd.isna(np.ma.getdata(values)).sum())
    if masked := int(np.ma.getmaskarray(values).sum()) if isinstance(values, np.ma.MaskedArray) else 0:
        raise ValueError(f"Input y contains NaN: {masked} of {len(values)} targets are masked. Drop those rows first.")
    if missing:
        raise ValueError(
            f"Input y contains NaN: {missing} of {len(values)} targets are missing. Drop those rows first."
        )


def _plain(values: np.ndarray) -> np.ndarray:
    """Return an array without missing entries in one of the types of `plain_labels`."""
    values = np.asarray(values)
    match values.dtype.kind:
        case "b" | "i" | "u" | "U":
            return values.astype(values.dtype.newbyteorder("="), copy=False)
        case "f":
            # Models and metrics accept only single and double precision.
            dtype = values.dtype.newbyteorder("=") if values.dtype.itemsize in (4, 8) else np.dtype(np.float64)
            return values.astype(dtype, copy=False)
        case "O":
            return _plain_objects(values)
        case "T":
            return values.astype(object)
        case kind:
            raise _refusal({"c": "complex", "S": "bytes", "M": "date", "m": "date"}.get(kind, "mixed"), values)


def _plain_objects(values: np.ndarray) -> np.ndarray:
    kind = infer_dtype(values, skipna=False)
    if kind == "string":
        return values
    if kind == "boolean":
        return values.astype(bool)
    if kind == "integer":
        try:
            return values.astype(np.int64)
        except OverflowError:
            return values.astype(np.float64)
    # Decimals, fractions and whole numbers beside floats; a boolean beside numbers may mean anything.
    if all(isinstance(value, (Real, Decimal, np.number)) and not isinstance(value, bool) for value in values):
        return values.astype(np.float64)
    raise _refusal(kind, values)


def _refusal(kind: str, values: np.ndarray) -> ValueError:
    """Return the error for values that are not plain; its message says how to convert them."""
    example = shown(values[:1])
    if kind == "complex":
        return ValueError("Complex data not supported: y holds complex numbers. Pass their parts or absolute values.")
    if kind == "bytes":
        return ValueError(
            f"y holds bytes such as {example}, which scikit-learn does not take for labels. Decode them to text first, "
            "e.g. with pd.Series(y).str.decode('utf-8')."
        )
    if values.dtype.names is not None:
        field = values.dtype.names[0]
        return ValueError(f"y is a structured array; pass one of its fields, e.g. y[{field!r}].")
    if kind in _DATES:
        return ValueError(
            "y holds dates or durations. Convert it to numbers first, e.g. with pd.to_datetime(y).astype('int64'), "
            "or to text if they are classes: y.astype(str)."
        )
    types = sorted({type(value).__name__ for value in values})
    if len(types) > 1:
        return ValueError(
            f"y mixes values of several types ({', '.join(types[:5])}). Convert them to one type, e.g. y.astype(str)."
        )
    return ValueError(
        f"y holds {types[0]} values such as {example}; a target is numbers, booleans or text, as scikit-learn's "
        "metrics and saved models take nothing else. Convert them, e.g. with y.astype(str) for classes."
    )
