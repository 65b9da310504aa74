"""Reads what scikit-learn's histogram gradient boosting keeps private: its iterations, and its codes of categories."""

# Tests: tests/learners/test_trees.py

from __future__ import annotations

import copy
from typing import Any

import numpy as np


def iterations_of(estimator: Any) -> list[list[Any]] | None:
    """Return the trees of each iteration of a fitted estimator, None before the fit."""
    return getattr(estimator, "_predictors", None)


def first_iterations(estimator: Any, n: int) -> Any:
    """Return a copy of a fitted estimator with its first `n` iterations; the trees are shared."""
    shortened = copy.copy(estimator)
    shortened._predictors = estimator._predictors[:n]
    return shortened


def without_encoder(estimator: Any, X: np.ndarray) -> tuple[Any, np.ndarray]:
    """Return a copy of a fitted estimator without its encoder of categories, and the rows as the encoder makes them.

    scikit-learn's encoder takes milliseconds for one row, and is not safe in several threads at a time.
    """
    preprocessor = getattr(estimator, "_preprocessor", None)
    if preprocessor is None:
        return estimator, X
    bare = copy.copy(estimator)
    bare._preprocessor = None
    is_category = estimator.is_categorical_
    rows = np.empty(X.shape, dtype=np.float64)
    n_categories = int(is_category.sum())
    # Categories come first; unknown and missing ones are NaN.
    rows[:, n_categories:] = X[:, ~is_category]
    levels = preprocessor.named_transformers_["encoder"].categories_
    for position, column in enumerate(np.flatnonzero(is_category)):
        known = levels[position][~np.isnan(levels[position])]
        codes = np.searchsorted(known, X[:, column])
        is_known = codes < len(known)
        is_known[is_known] = known[codes[is_known]] == X[is_known, column]
        rows[:, position] = np.where(is_known, codes, np.nan)
    return bare, rows
