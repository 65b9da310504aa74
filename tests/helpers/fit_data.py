"""Data for learners, without a search around them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from autometa.core.task import Problem
from autometa.learners.base import FitData

N_CLASSES: dict[str, int] = {"binary": 2, "multiclass": 4, "regression": 0}
"""Number of classes of `mixed_table`."""


def fit_data(
    X: np.ndarray,
    y: np.ndarray,
    problem: Problem | None = None,
    *,
    n_classes: int | None = None,
    categories: Mapping[int, int] | None = None,
    n_validation: int = 0,
    **fields: Any,
) -> FitData:
    """Return data whose missing facts follow from `y`: floats are a regression, codes from 0 are classes.

    Parameters
    ----------
    X, y
        Rows and their targets.
    problem, n_classes
        Only needed where `y` does not show them.
    categories : mapping of int to int, optional
        Number of codes of each column of categories; the other columns are numbers.
    n_validation : int
        How many of the last rows are for validation.
    **fields
        Further fields of `FitData`.
    """
    if problem is None:
        n_classes = (int(y.max()) + 1 if y.dtype.kind in "iu" else 0) if n_classes is None else n_classes
        problem = "regression" if not n_classes else "binary" if n_classes == 2 else "multiclass"
    elif n_classes is None:
        n_classes = 0 if problem == "regression" else int(y.max()) + 1
    n_categories = np.zeros(X.shape[1], dtype=np.int64)
    for column, n in (categories or {}).items():
        n_categories[column] = n
    n_fit = len(X) - n_validation
    if n_validation:
        fields |= {"X_val": X[n_fit:], "y_val": y[n_fit:]}
    return FitData(X[:n_fit], y[:n_fit], problem, n_classes, n_categories > 0, n_categories, **fields)


def mixed_table(problem: Problem, n_rows: int = 240, seed: int = 0, *, is_tree_view: bool = True) -> FitData:
    """Return read-only rows whose target follows one number and one category; the last quarter is for validation.

    The tree view has gaps, and column 1 holds category codes; in the numeric view it is a number.
    """
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 4)).astype(np.float32)
    X[:, 1] = rng.integers(0, 6, n_rows)
    score = X[:, 0] + 2.0 * (X[:, 1] % 2) + 0.3 * rng.normal(size=n_rows)
    if is_tree_view:
        X[rng.random(X.shape) < 0.05] = np.nan
    X.setflags(write=False)
    n_classes = N_CLASSES[problem]
    inner_bounds = np.quantile(score, np.linspace(0, 1, max(2, n_classes) + 1)[1:-1])
    y = score.astype(np.float64) if problem == "regression" else np.digitize(score, inner_bounds)
    categories = {1: 6} if is_tree_view else {}
    n_validation = n_rows - n_rows * 3 // 4
    return fit_data(X, y, problem, n_classes=n_classes, categories=categories, n_validation=n_validation)
