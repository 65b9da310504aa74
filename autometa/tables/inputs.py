"""Turn anything that a user passes as X into a frame with unique text column names."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from autometa._support.user_warnings import warn_user
from autometa._support.warning_filters import ignored_warnings
from autometa.tables.column_names import match_columns, refuse_ambiguous_labels, unique_names

_MAX_DENSE_BYTES = 2**30


@dataclass(frozen=True)
class RawTable:
    """A table before cleaning.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_used)
        The columns under unique text names, with a plain row index.
    labels : list or None
        The caller's column labels; None if the table has none (arrays, rows, sparse matrices).
    n_features : int
        Number of columns; `frame` has fewer if a sparse matrix is too wide.
    """

    frame: pd.DataFrame
    labels: list[Any] | None
    n_features: int


def read_table(X: Any) -> RawTable:
    """Return the X of a fit as a frame with unique text column names; X is not changed.

    Parameters
    ----------
    X : DataFrame, array, sparse matrix, list of rows or records, dict of columns, or another library's frame
        The table. Values keep their types; sparse values become dense.

    Raises
    ------
    ValueError
        If X is empty, not two-dimensional or complex, or if two labels of columns are the same as text.
    """
    if sparse.issparse(X):
        return _read_sparse(X)
    frame, labels = _tabulated(X)
    _check_size(frame.shape)
    if labels is not None:
        refuse_ambiguous_labels(labels)
    names = unique_names(range(frame.shape[1]) if labels is None else labels)
    return RawTable(_finished(frame, names), labels, frame.shape[1])


def as_frame(
    X: Any, names: Sequence[str] | None = None, n_features: int | None = None, owner: str = "The model"
) -> pd.DataFrame:
    """Return X as a frame with the columns of the fit, matched by `match_columns`.

    Parameters
    ----------
    X : as in `read_table`
        The table.
    names, n_features, owner
        As for `match_columns`; without `names`, the frame of ``read_table(X)`` is returned.

    Raises
    ------
    ValueError
        If X is empty or not two-dimensional, if a column is complex or repeated, or if X has no
        names and a different number of columns than at fit time.
    """
    if names is None:
        return read_table(X).frame
    n_features = len(names) if n_features is None else n_features
    if sparse.issparse(X):
        _check_sparse(X)
        found = match_columns(None, X.shape[1], names, n_features, owner)
        return pd.DataFrame(_dense(X, np.array(list(found.values()))), columns=pd.Index(list(found), dtype=object))
    frame, labels = _tabulated(X)
    _check_size(frame.shape)
    found = match_columns(labels, frame.shape[1], names, n_features, owner)
    if list(found.values()) != list(range(frame.shape[1])):
        frame = frame.iloc[:, list(found.values())]
    return _finished(frame, list(found))


def _finished(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return a copy with these names, a plain index and no sparse columns."""
    if any(getattr(dtype, "kind", "O") == "c" for dtype in frame.dtypes):
        raise ValueError(f"Complex data not supported\n{frame.head()}\n")
    frame = frame.copy(deep=False)
    frame.index = pd.RangeIndex(len(frame))
    frame.columns = pd.Index(names, dtype=object)
    return _densified(frame)


def _check_size(shape: tuple[int, ...]) -> None:
    if len(shape) == 2 and shape[0] == 0:
        raise ValueError(f"Found array with 0 sample(s) (shape={shape}) while a minimum of 1 is required.")
    if len(shape) == 2 and shape[1] == 0:
        raise ValueError(f"Found array with 0 feature(s) (shape={shape}) while a minimum of 1 is required.")


def _check_dimensions(n_dimensions: int, X: Any) -> None:
    if n_dimensions < 2:
        raise ValueError(
            f"Expected 2D array, got {'scalar' if n_dimensions == 0 else '1D'} array instead:\narray={X!r:.200}.\n"
            "Reshape your data either using array.reshape(-1, 1) if your data has a single feature "
            "or array.reshape(1, -1) if it contains a single sample."
        )
    if n_dimensions > 2:
        raise ValueError(
            f"Found array with dim {n_dimensions}, while dim <= 2 is required. Pass a table: rows and columns."
        )


def _tabulated(X: Any) -> tuple[pd.DataFrame, list[Any] | None]:
    """Return anything but a sparse matrix as a frame, and its column labels or None."""
    if not isinstance(X, (pd.DataFrame, pd.Series)):
        X = _from_other_library(X)
    if isinstance(X, pd.DataFrame):
        return X, list(X.columns)
    named = _from_records(X)
    if named is not None:
        return named, list(named.columns)
    if isinstance(X, (list, tuple)) and len(X) and all(isinstance(row, (list, tuple)) for row in X):
        return _from_rows(X), None
    return _from_array(X), None


def _from_other_library(X: Any) -> Any:
    if hasattr(X, "to_pandas"):
        return X.to_pandas()
    if hasattr(X, "__dataframe__"):
        # pandas warns in favour of newer protocols, which older libraries do not have.
        with ignored_warnings():
            return pd.api.interchange.from_dataframe(X)
    return X


def _from_records(X: Any) -> pd.DataFrame | None:
    """Return a frame of values that have column names, or None for other values."""
    if isinstance(X, Mapping):
        is_one_record = bool(X) and all(pd.api.types.is_scalar(value) for value in X.values())
        return _inferred([X] if is_one_record else X)
    if isinstance(X, (list, tuple)) and len(X):
        if all(isinstance(row, Mapping) for row in X):
            return _inferred(list(X))
        fields = getattr(X[0], "_fields", None)  # named tuples
        if fields and all(getattr(row, "_fields", None) == fields for row in X):
            return _inferred(list(X), list(fields))
        if all(is_dataclass(row) and not isinstance(row, type) for row in X):
            return _inferred(list(X))
    if not isinstance(X, np.ndarray) and not (isinstance(X, (list, tuple)) and len(X) and isinstance(X[0], np.void)):
        return None
    array = np.asanyarray(X)
    if array.dtype.names is None or array.ndim != 1:
        return None
    return _inferred({name: array[name] for name in array.dtype.names})


def _from_rows(X: Sequence[Sequence[Any]]) -> pd.DataFrame:
    if len(widths := {len(row) for row in X}) > 1:
        raise ValueError(f"The rows of X must have one length, got lengths from {min(widths)} to {max(widths)}.")
    if widths == {0}:
        _check_size((len(X), 0))
    if any(isinstance(cell, (list, tuple, np.ndarray)) and len(cell) for cell in X[0]):
        _check_dimensions(3, X)
    return _inferred([tuple(row) for row in X])


def _inferred(data: Any, columns: list[str] | None = None) -> pd.DataFrame:
    try:
        return pd.DataFrame(data, columns=columns)
    except UnicodeEncodeError:
        # pandas cannot infer a type for half of a surrogate pair; then all columns stay objects.
        return pd.DataFrame(data, columns=columns, dtype=object)


def _from_array(X: Any) -> pd.DataFrame:
    if isinstance(X, (pd.Series, pd.Index)):
        _check_dimensions(1, X.to_numpy())
    is_masked = isinstance(X, np.ma.MaskedArray) or (
        isinstance(X, (list, tuple)) and any(isinstance(row, np.ma.MaskedArray) for row in X)
    )
    array = np.ma.asarray(X) if is_masked else np.asarray(X)
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported\n{array[:5]}\n")
    _check_dimensions(array.ndim, array)
    _check_size(array.shape)
    if array.dtype.kind == "S":
        decoded = np.char.decode(np.ma.getdata(array), "utf-8", "replace")
        array = np.ma.array(decoded, mask=np.ma.getmask(array)) if is_masked else decoded
    elif array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8):
        array = array.astype(np.float64)
    if array.dtype.kind == "O":
        frame = pd.DataFrame(array, dtype=object)
        with contextlib.suppress(UnicodeEncodeError):
            # pandas cannot infer a type for invalid Unicode; then all columns stay objects.
            frame = frame.infer_objects()
        return frame
    return pd.DataFrame(array, copy=False)


def _check_sparse(X: Any) -> None:
    _check_dimensions(X.ndim, X)
    _check_size(X.shape)
    if X.dtype.kind == "c":
        raise ValueError(f"Complex data not supported\n{X!r}\n")


def _read_sparse(X: Any) -> RawTable:
    _check_sparse(X)
    n_rows, n_columns = X.shape
    kept = np.arange(n_columns)
    if (n_kept := max(1, _MAX_DENSE_BYTES // (4 * n_rows))) < n_columns:
        populated = np.asarray(X.getnnz(axis=0)).ravel()
        kept = np.sort(np.argsort(-populated, kind="stable")[:n_kept])
        warn_user(
            f"X is sparse with {n_columns} columns, more than fit into memory as a dense table; only the {n_kept} "
            "columns with the most entries are used. Reduce them first (e.g. with TruncatedSVD) to use them all."
        )
    names = pd.Index([str(i) for i in kept], dtype=object)
    return RawTable(pd.DataFrame(_dense(X, kept), columns=names, copy=False), None, n_columns)


def _dense(X: Any, kept: np.ndarray) -> np.ndarray:
    columns = X if len(kept) == X.shape[1] else X.tocsc()[:, kept]
    return columns.tocsr().astype(np.float32).toarray()


def _densified(frame: pd.DataFrame) -> pd.DataFrame:
    where = [i for i, dtype in enumerate(frame.dtypes) if isinstance(dtype, pd.SparseDtype)]
    if not where:
        return frame
    dense = {frame.columns[i]: np.asarray(frame.iloc[:, i].array) for i in where}
    others = frame.drop(columns=list(dense))
    return pd.concat([others, pd.DataFrame(dense, index=frame.index)], axis=1)[list(frame.columns)]
