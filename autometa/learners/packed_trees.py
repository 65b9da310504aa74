"""Forests of scikit-learn as a few arrays: what prediction reads, for all trees one after the other.

scikit-learn keeps 64 bytes of each node and an object for each tree, of which prediction reads about a fifth.
"""

# Tests: tests/learners/test_trees.py

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.tree import ExtraTreeClassifier, ExtraTreeRegressor
from sklearn.tree._tree import Tree

from autometa.learners.untrusted_trees import check_trees


def packed_trees(forest: Any) -> dict[str, Any]:
    """Return the trees of a forest whose rows are float32.

    Returns
    -------
    dict
        ``n_features``, and arrays over the nodes of all trees: ``n_nodes`` of each tree; ``left`` and ``right``, the
        distance to each child, 0 in leaves; ``feature``, ``threshold`` and ``missing_left`` of the splits;
        ``leaves``, the values of the leaves alone, float32 if that is exact.
    """
    trees = [estimator.tree_ for estimator in forest.estimators_]
    states = [tree.__getstate__() for tree in trees]
    nodes = np.concatenate([state["nodes"] for state in states])
    own = np.concatenate([np.arange(tree.node_count) for tree in trees])
    is_leaf = nodes["left_child"] < 0
    leaves = np.concatenate([state["values"] for state in states])[is_leaf, 0]
    single = leaves.astype(np.float32)
    splits = nodes[~is_leaf]
    return {
        "n_features": int(trees[0].n_features),
        "n_nodes": np.array([tree.node_count for tree in trees], dtype=np.int32),
        "left": np.where(is_leaf, 0, nodes["left_child"] - own).astype(np.int32),
        "right": np.where(is_leaf, 0, nodes["right_child"] - own).astype(np.int32),
        "feature": splits["feature"].astype(np.int32),
        "threshold": _rounded_down(splits["threshold"]),
        "missing_left": splits["missing_go_to_left"].astype(np.uint8),
        "leaves": single if np.array_equal(single, leaves) else leaves,
    }


def _rounded_down(thresholds: np.ndarray) -> np.ndarray:
    """Return the largest float32 that is not above each threshold, which parts float32 values in the same way."""
    single = thresholds.astype(np.float32)
    return np.where(single > thresholds, np.nextafter(single, np.float32(-np.inf)), single)


def unpacked_trees(packed: dict[str, Any]) -> Any:
    """Return a forest with the trees of `packed_trees`, which predict the same.

    Raises
    ------
    ValueError
        If the arrays do not belong together, or a tree points outside them.
    """
    n_nodes, left, right = packed["n_nodes"], packed["left"], packed["right"]
    is_leaf, leaves, n_features = left == 0, packed["leaves"], int(packed["n_features"])
    if n_nodes.min() < 1 or n_nodes.sum() != len(left) or len(right) != len(left) or is_leaf.sum() != len(leaves):
        raise ValueError("the arrays of a forest have different lengths")
    is_regression = leaves.shape[1] == 1
    n_values = np.array([leaves.shape[1]], dtype=np.intp)
    own = np.concatenate([np.arange(n) for n in n_nodes])
    nodes = np.zeros(len(left), dtype=Tree(n_features, n_values, 1).__getstate__()["nodes"].dtype)
    nodes["left_child"] = np.where(is_leaf, -1, own + left)
    nodes["right_child"] = np.where(is_leaf, -1, own + right)
    nodes["feature"] = nodes["threshold"] = -2
    nodes["feature"][~is_leaf], nodes["threshold"][~is_leaf] = packed["feature"], packed["threshold"]
    nodes["missing_go_to_left"][~is_leaf] = packed["missing_left"]
    values = np.zeros((len(left), 1, leaves.shape[1]))
    values[is_leaf, 0] = leaves
    forest = (ExtraTreesRegressor if is_regression else ExtraTreesClassifier)()
    forest.n_features_in_, forest.estimators_ = n_features, []
    ends = np.cumsum(n_nodes)
    for start, end in zip(ends - n_nodes, ends, strict=True):
        tree = Tree(n_features, n_values, 1)
        part = {"nodes": nodes[start:end].copy(), "values": values[start:end].copy()}
        tree.__setstate__({"max_depth": 0, "node_count": int(end - start), **part})
        estimator = (ExtraTreeRegressor if is_regression else ExtraTreeClassifier)()
        estimator.tree_, estimator.n_features_in_ = tree, n_features
        forest.estimators_.append(estimator)
    check_trees(forest)
    return forest
