"""Checks that scikit-learn's trees from a file stay within their arrays.

A node of a tree names its children and its column by index, and prediction follows these indices without checking them:
a forged file could read foreign memory. Trusting the types of a file does not prevent that; these checks do.
"""

# Tests: tests/test_persistence.py

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from sklearn.ensemble._forest import BaseForest
from sklearn.ensemble._gb import BaseGradientBoosting
from sklearn.ensemble._hist_gradient_boosting.gradient_boosting import BaseHistGradientBoosting
from sklearn.tree import BaseDecisionTree

from autometa.learners.boosting_iterations import iterations_of

_LARGEST_CATEGORY = 255
"""Largest code that fits into the 256 bits of a set of categories in histogram gradient boosting."""


def check_trees(root: Any) -> int:
    """Check all trees that can be reached from `root`, and return their number.

    Every child must come later in the array than its parent (so that each path ends), and every column must exist.

    Parameters
    ----------
    root : object
        Any nesting of containers, object arrays and instances with a ``__dict__``.

    Raises
    ------
    ValueError
        If a tree points outside its arrays.
    """
    n_trees = 0
    for part in reachable(root):
        if isinstance(part, BaseDecisionTree) and hasattr(part, "tree_"):
            _check_tree(part.tree_, part.n_features_in_)
            n_trees += 1
        elif isinstance(part, (BaseForest, BaseGradientBoosting)) and hasattr(part, "estimators_"):
            # A forest checks the width of X once, for all its trees.
            if any(tree.n_features_in_ != part.n_features_in_ for tree in np.ravel(part.estimators_)):
                raise ValueError("the trees of a forest expect different numbers of columns")
        elif isinstance(part, BaseHistGradientBoosting) and iterations_of(part) is not None:
            n_trees += _check_boosting(part)
    return n_trees


def reachable(root: Any) -> Iterator[Any]:
    """Yield once each dict, each list and each instance with a ``__dict__`` that `root` contains."""
    waiting, seen = [root], {id(root)}
    while waiting:
        part = waiting.pop()
        inside: Iterable[Any] = ()
        if isinstance(part, dict):
            yield part
            inside = part.values()
        elif isinstance(part, (list, tuple, set, frozenset)):
            if isinstance(part, list):
                yield part
            inside = part
        elif isinstance(part, np.ndarray):
            inside = part.ravel() if part.dtype == object else ()
        elif hasattr(part, "__dict__") and not isinstance(part, type):
            yield part
            inside = vars(part).values()
        for item in inside:
            if id(item) not in seen:
                seen.add(id(item))
                waiting.append(item)


def _check_tree(tree: Any, n_features: int) -> None:
    # The nodes are views into memory of `capacity` nodes, so their count comes first.
    if not 0 < tree.node_count <= tree.capacity or tree.n_features != n_features:
        raise ValueError("a decision tree disagrees with its own size")
    left, right = np.asarray(tree.children_left), np.asarray(tree.children_right)
    is_leaf = left == -1
    _check_children(left[~is_leaf], right[~is_leaf], np.flatnonzero(~is_leaf), tree.node_count)
    _check_columns(np.asarray(tree.feature)[~is_leaf], n_features)


def _check_boosting(estimator: Any) -> int:
    n_features = estimator.n_features_in_
    if estimator._preprocessor is not None:
        # It decides how many columns the trees get, which one row of zeros shows.
        n_features = estimator._preprocess_X(np.zeros((1, n_features), dtype=np.float32), reset=False).shape[1]
    mapper = estimator._bin_mapper
    is_categorical = np.asarray(mapper.is_categorical_, dtype=bool)
    if is_categorical.shape != (n_features,):
        raise ValueError("histogram gradient boosting disagrees with its own number of columns")
    for column in np.flatnonzero(is_categorical):
        known = np.asarray(mapper.bin_thresholds_[column])
        if len(known) and not (known.min() >= 0 and known.max() <= _LARGEST_CATEGORY):
            raise ValueError("histogram gradient boosting knows a category beyond 255")
    n_trees = 0
    for trees in iterations_of(estimator) or ():
        for tree in trees:
            nodes = tree.nodes
            inner = nodes[nodes["is_leaf"] == 0]
            parents = np.flatnonzero(nodes["is_leaf"] == 0)
            if len(nodes) == 0:
                raise ValueError("a tree has no nodes")
            _check_children(inner["left"], inner["right"], parents, len(nodes))
            _check_columns(inner["feature_idx"], n_features)
            _check_category_splits(inner[inner["is_categorical"] != 0], is_categorical, tree.raw_left_cat_bitsets)
            n_trees += 1
    return n_trees


def _check_category_splits(splits: np.ndarray, is_categorical: np.ndarray, bitsets: np.ndarray) -> None:
    if np.ndim(bitsets) != 2 or np.shape(bitsets)[1] != 8:
        raise ValueError("a tree's sets of categories have the wrong shape")
    if np.any(splits["bitset_idx"] >= len(bitsets)) or not np.all(is_categorical[splits["feature_idx"]]):
        raise ValueError("a split over categories names none")


def _check_children(left: np.ndarray, right: np.ndarray, parents: np.ndarray, n_nodes: int) -> None:
    for children in (left, right):
        if np.any(children <= parents) or np.any(children >= n_nodes):
            raise ValueError("a node of a tree points outside the tree")


def _check_columns(columns: np.ndarray, n_features: int) -> None:
    if np.any(columns < 0) or np.any(columns >= n_features):
        raise ValueError("a node of a tree splits on a column that does not exist")
