"""Validation rows of the caller: joined to the training rows, with the one fold that they make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals
from scipy import sparse

from autometa.tables.column_names import listing
from autometa.tables.inputs import as_frame, read_table


@dataclass(frozen=True)
class JoinedRows:
    """Training rows, and the validation rows after them.

    Parameters
    ----------
    X, y, sample_weight
        As for a fit; weights are None if none were given.
    fold : tuple of ndarray
        Row numbers of the training rows and of the validation rows.
    """

    X: Any
    y: Any
    sample_weight: np.ndarray | None
    fold: tuple[np.ndarray, np.ndarray]


def join_rows(X: Any, y: Any, sample_weight: Any, groups: Any, X_val: Any, y_val: Any, cv: Any) -> JoinedRows:
    """Return the rows of a fit with validation rows of the caller.

    All validation rows weigh as much as a training row on average.

    Raises
    ------
    ValueError
        If one of `X_val` and `y_val` is missing, a column is missing in `X_val`, numbers of rows differ, or `cv` or
        `groups` is given, too.
    """
    if X_val is None or y_val is None:
        given, missing = ("y_val", "X_val") if X_val is None else ("X_val", "y_val")
        raise ValueError(f"{given} needs {missing}: give both, or neither.")
    for name, value in (("cv", cv), ("groups", groups)):
        if value is not None:
            raise ValueError(f"X_val says what to validate on, and so does {name}. Leave out one of them.")
    y, y_val = _one_dimensional(y, "y"), _one_dimensional(y_val, "y_val")
    joined = _joined_tables(X, X_val)
    n_train, n_val = len(y), len(y_val)
    n_rows = joined.shape[0]
    if n_rows != n_train + n_val:
        raise ValueError(f"X and X_val have {n_rows} rows together, but y has {n_train} and y_val {n_val} entries.")
    weight = None
    if sample_weight is not None:
        weight = np.asarray(sample_weight, dtype=np.float64)
        if weight.shape != (n_train,):
            raise ValueError(f"sample_weight must have one entry per row of X ({n_train}), got shape {weight.shape}.")
        weight = np.concatenate([weight, np.full(n_val, weight.mean())])
    rows = np.arange(n_rows)
    return JoinedRows(joined, _joined_columns(y, y_val), weight, (rows[:n_train], rows[n_train:]))


def _joined_tables(X: Any, X_val: Any) -> Any:
    if sparse.issparse(X) or sparse.issparse(X_val):
        if X.shape[1] != X_val.shape[1]:
            raise ValueError(f"X has {X.shape[1]} columns, and X_val {X_val.shape[1]}.")
        return sparse.vstack([sparse.csr_matrix(X), sparse.csr_matrix(X_val)])
    raw = read_table(X)
    later = as_frame(X_val, list(raw.frame.columns), raw.n_features, owner="the fit")
    if missing := [name for name in raw.frame if name not in later]:
        raise ValueError(f"X_val lacks the columns {listing(missing)} of X.")
    frame = pd.DataFrame({name: _joined_columns(raw.frame[name], later[name]) for name in raw.frame})
    # Columns of arrays have no names, also afterwards.
    return frame.to_numpy() if raw.labels is None else frame.set_axis(raw.labels, axis=1)


def _joined_columns(first: pd.Series, second: pd.Series) -> pd.Series:
    if isinstance(first.dtype, pd.CategoricalDtype) and isinstance(second.dtype, pd.CategoricalDtype):
        try:
            return pd.Series(union_categoricals([first, second]))
        except TypeError:  # ordered in two ways
            first, second = first.astype(object), second.astype(object)
    return pd.concat([first, second], ignore_index=True)


def _one_dimensional(y: Any, name: str) -> pd.Series:
    values = y if isinstance(y, pd.Series) else pd.Series(np.asarray(y).ravel() if np.ndim(y) == 2 else list(y))
    if np.ndim(values) != 1:
        raise ValueError(f"{name} must be one-dimensional.")
    return values
