"""From anything that a user passes as X to a frame with unique text column names."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from autometa._support.warning_filters import ignored_warnings

_MAX_DENSE_BYTES = 2**30


def as_frame(
    X: Any, names: Sequence[str] | None = None, n_features: int | None = None, owner: str = "The model"
) -> pd.DataFrame:
    """Return X as a frame with unique text column names and a plain row index; X stays as it is.

    Parameters
    ----------
    X : DataFrame, ndarray, sparse matrix or array, list of rows, or another library's frame
        The table. Values keep their types; sparse ones become dense.
    names : sequence of str or None
        Column names seen at fit time. They name the columns of an X without names of its own
        (arrays, lists, frames with columns 0, 1, 2 …), which are matched by position.
    n_features : int or None
        Number of columns at fit time, of which `names` may be a part; ``len(names)`` by default.
    owner : str
        Who speaks in the message about a wrong number of columns.

    Raises
    ------
    ValueError
        If X is empty, not two-dimensional, complex, or has no column names and another number of
        columns than at fit time.
    """
    if sparse.issparse(X):
        return _from_sparse(X, names, n_features, owner)
    if not isinstance(X, (pd.DataFrame, pd.Series)):
        X = _from_other_library(X)
    if isinstance(X, pd.DataFrame):
        frame, labels = X.copy(deep=False), list(X.columns)
    else:
        frame, labels = _from_values(X)
    _check_size(frame.shape)
    if any(getattr(dtype, "kind", "O") == "c" for dtype in frame.dtypes):
        raise ValueError(f"Complex data not supported\n{frame.head()}\n")
    own_names = unique_names(labels)
    if names is not None and _is_unnamed(labels) and not set(names) <= set(own_names):
        expected = len(names) if n_features is None else n_features
        if len(own_names) != expected or len(names) != expected:
            raise ValueError(wrong_width(frame.shape[1], expected, owner))
        own_names = list(names)
    elif names is not None and labels == list(range(len(labels))) and not isinstance(X, pd.DataFrame):
        expected = len(names) if n_features is None else n_features
        if len(own_names) != expected:
            raise ValueError(wrong_width(frame.shape[1], expected, owner))
    frame.index = pd.RangeIndex(len(frame))
    frame.columns = pd.Index(own_names, dtype=object)
    return _densified(frame)


def unique_names(labels: Iterable[Any]) -> list[str]:
    """Return unique texts for column labels; the second "a" becomes "a.1".

    Examples
    --------
    >>> unique_names(["a", "a", 0, ("b", 1), None])
    ['a', 'a.1', '0', 'b_1', 'None']
    """
    texts = [
        "_".join(str(part) for part in label if part != "") if isinstance(label, tuple) else str(label)
        for label in labels
    ]
    taken = set(texts)
    if len(taken) == len(texts):
        return texts
    result, last = [], dict.fromkeys(taken, -1)
    for text in texts:
        last[text] += 1
        name = text
        if last[text]:
            while (name := f"{text}.{last[text]}") in taken:
                last[text] += 1
            taken.add(name)
        result.append(name)
    return result


def wrong_width(n_features: int, expected: int, owner: str) -> str:
    """Return scikit-learn's sentence about a wrong number of columns."""
    return f"X has {n_features} features, but {owner} is expecting {expected} features as input."


def _is_unnamed(labels: Sequence[Any]) -> bool:
    return all(isinstance(label, (int, np.integer)) and label == i for i, label in enumerate(labels))


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


def _from_other_library(X: Any) -> Any:
    if hasattr(X, "to_pandas"):
        return X.to_pandas()
    if hasattr(X, "__dataframe__"):
        # pandas recommends newer protocols, which older libraries do not speak.
        with ignored_warnings():
            return pd.api.interchange.from_dataframe(X)
    return X


def _from_values(X: Any) -> tuple[pd.DataFrame, list[Any]]:
    """Return a frame of something that is no frame, and its column labels."""
    if isinstance(X, Mapping):
        frame = pd.DataFrame(X)
        return frame, list(frame.columns)
    if isinstance(X, (list, tuple)) and len(X) and all(isinstance(row, Mapping) for row in X):
        frame = pd.DataFrame(list(X))
        return frame, list(frame.columns)
    if isinstance(X, (list, tuple)) and len(X) and all(isinstance(row, (list, tuple)) for row in X):
        if len(widths := {len(row) for row in X}) > 1:
            raise ValueError(f"The rows of X must have one length, got lengths from {min(widths)} to {max(widths)}.")
        if widths == {0}:
            _check_size((len(X), 0))
        if any(isinstance(cell, (list, tuple, np.ndarray)) and len(cell) for cell in X[0]):
            _check_dimensions(3, X)
        frame = pd.DataFrame(list(X))
        return frame, list(range(frame.shape[1]))
    if isinstance(X, (pd.Series, pd.Index)):
        _check_dimensions(1, X.to_numpy())
    array = X if isinstance(X, np.ndarray) and not isinstance(X, np.matrix) else np.asarray(X)
    if array.dtype.names is not None and array.ndim == 1:
        frame = pd.DataFrame(array)
        return frame, list(frame.columns)
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported\n{array[:5]}\n")
    _check_dimensions(array.ndim, array)
    _check_size(array.shape)
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "replace")
    elif array.dtype.kind in "fg" and array.dtype.itemsize not in (4, 8):
        array = array.astype(np.float64)
    if array.dtype.kind == "O":
        frame = pd.DataFrame(array, dtype=object)
        with contextlib.suppress(UnicodeEncodeError):
            # Text that is not valid Unicode cannot be inferred; then all columns stay objects.
            frame = frame.infer_objects()
    else:
        frame = pd.DataFrame(array, copy=False)
    return frame, list(range(frame.shape[1]))


def _from_sparse(X: Any, names: Sequence[str] | None, n_features: int | None, owner: str) -> pd.DataFrame:
    _check_dimensions(X.ndim, X)
    _check_size(X.shape)
    if X.dtype.kind == "c":
        raise ValueError(f"Complex data not supported\n{X!r}\n")
    n_rows, n_columns = X.shape
    if names is not None:
        expected = len(names) if n_features is None else n_features
        if n_columns != expected:
            raise ValueError(wrong_width(n_columns, expected, owner))
        if len(names) < expected:
            return pd.DataFrame(
                _dense(X, np.array([int(name) for name in names])), columns=pd.Index(names, dtype=object)
            )
    kept = np.arange(n_columns)
    if (n_kept := max(1, _MAX_DENSE_BYTES // (4 * n_rows))) < n_columns:
        populated = np.asarray(X.getnnz(axis=0)).ravel()
        kept = np.sort(np.argsort(-populated, kind="stable")[:n_kept])
        warnings.warn(
            f"X is sparse with {n_columns} columns, more than fit into memory as a dense table; only the {n_kept} "
            "columns with the most entries are used. Reduce them first (e.g. with TruncatedSVD) to use them all.",
            stacklevel=4,
        )
    own_names = [str(i) for i in kept] if names is None else [names[i] for i in kept]
    return pd.DataFrame(_dense(X, kept), columns=pd.Index(own_names, dtype=object), copy=False)


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
