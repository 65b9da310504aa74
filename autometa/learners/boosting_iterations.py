"""Reads and shortens the iterations of scikit-learn's histogram gradient boosting, which it keeps private."""

# Tests: tests/learners/test_trees.py

from __future__ import annotations

import copy
from typing import Any


def iterations_of(estimator: Any) -> list[list[Any]] | None:
    """Return the trees of each iteration of a fitted estimator, None before the fit."""
    return getattr(estimator, "_predictors", None)


def first_iterations(estimator: Any, n: int) -> Any:
    """Return a copy of a fitted estimator with its first `n` iterations; the trees are shared."""
    shortened = copy.copy(estimator)
    shortened._predictors = estimator._predictors[:n]
    return shortened
