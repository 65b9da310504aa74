"""Landmarks of a task: losses of quick learners on a sample (Pfahringer, Bensusan and Giraud-Carrier 2000).

A loss is the squared error of the predictions (the Brier score, for classes) divided by that of a constant, the mean
of the training rows: 0 is perfect, 1 is as good as the constant.
"""

# Tests: tests/tables/test_features.py

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from autometa.tables.preparation import fit_preparation
from autometa.tables.sample import Sample

N_ROWS = 1_000
"""Maximum rows on which a landmark is measured."""
WORST = 4.0
"""Larger relative losses are cut to this."""
_N_FEATURES = 100
_N_FOLDS = 3
_MIN_LEAF = 5
_TREE_DEPTH = 6
_VARIANCE_FLOOR = 0.01
"""Least variance of a column within a class; prepared columns have about unit variance."""

_Landmark = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(Z_train, T_train, Z_validation) → predicted T_validation; T are 0/1 columns of the classes, or one of values."""


def landmark_losses(sample: Sample) -> dict[str, float]:
    """Return the relative loss of each landmark over three folds; NaN where the target does not vary."""
    sample = sample.head(N_ROWS)
    preparation = fit_preparation(sample.table, "numeric", seed=0, max_features=_N_FEATURES)
    Z = preparation.transform(sample.table).astype(np.float64)
    T = _targets(sample)
    # Rows are sorted by target, so every fold has its share of each class and of each range of values.
    fold = np.arange(len(T)) % _N_FOLDS
    errors = dict.fromkeys(_LANDMARKS, 0.0)
    constant_error = 0.0
    for number in range(_N_FOLDS):
        train, validation = fold != number, fold == number
        if not train.any() or not validation.any():
            continue
        constant_error += _squared_error(T[train].mean(axis=0), T[validation])
        low, high = T[train].min(axis=0), T[train].max(axis=0)
        for name, landmark in _LANDMARKS.items():
            predicted = landmark(Z[train], T[train], Z[validation])
            errors[name] += _squared_error(np.clip(predicted, low, high), T[validation])
    if not np.ptp(T, axis=0).any() or constant_error == 0:
        return dict.fromkeys(_LANDMARKS, np.nan)
    losses = {name: min(error / constant_error, WORST) for name, error in errors.items()}
    if not sample.n_classes:
        losses["landmark_naive_bayes"] = np.nan
    return losses


def _targets(sample: Sample) -> np.ndarray:
    """Return the targets of landmarks, (n_rows, n_classes in the sample) or (n_rows, 1)."""
    if sample.n_classes:
        return (sample.y[:, None] == np.unique(sample.y)).astype(np.float64)
    # Scaled first: squares of very large values overflow.
    y = sample.y / max(np.abs(sample.y).max(), np.finfo(np.float64).tiny)
    return ((y - y.mean()) / (y.std() or 1.0))[:, None]


def _squared_error(predicted: np.ndarray, T: np.ndarray) -> float:
    return float(np.square(predicted - T).sum())


def _tree(Z: np.ndarray, T: np.ndarray, Z_new: np.ndarray, max_depth: int) -> np.ndarray:
    settings = {"max_depth": max_depth, "min_samples_leaf": _MIN_LEAF, "random_state": 0}
    if T.shape[1] == 1:
        return DecisionTreeRegressor(**settings).fit(Z, T[:, 0]).predict(Z_new)[:, None]
    tree = DecisionTreeClassifier(**settings).fit(Z, T.argmax(axis=1))
    predicted = np.zeros((len(Z_new), T.shape[1]))
    predicted[:, tree.classes_] = tree.predict_proba(Z_new)
    return predicted


def _neighbours(k: int) -> _Landmark:
    def predict(Z: np.ndarray, T: np.ndarray, Z_new: np.ndarray) -> np.ndarray:
        distances = (
            np.square(Z).sum(axis=1) - 2 * Z_new @ Z.T
        )  # without the squares of the new rows, which do not change the ranks
        n_nearest = min(k, len(Z))
        nearest = np.argpartition(distances, n_nearest - 1, axis=1)[:, :n_nearest]
        return T[nearest].mean(axis=1)

    return predict


def _ridge(Z: np.ndarray, T: np.ndarray, Z_new: np.ndarray) -> np.ndarray:
    center, mean = Z.mean(axis=0), T.mean(axis=0)
    C = Z - center
    # The right penalty if noise is as strong as a signal that is spread over all columns.
    weights = np.linalg.solve(C.T @ C + Z.shape[1] * np.eye(Z.shape[1]), C.T @ (T - mean))
    return mean + (Z_new - center) @ weights


def _naive_bayes(Z: np.ndarray, T: np.ndarray, Z_new: np.ndarray) -> np.ndarray:
    if T.shape[1] == 1:
        return np.broadcast_to(T.mean(axis=0), (len(Z_new), 1))
    counts = T.sum(axis=0)
    seen = counts > 0
    T, counts = T[:, seen], counts[seen]
    means = T.T @ Z / counts[:, None]
    precisions = 1 / (np.maximum(T.T @ np.square(Z) / counts[:, None] - np.square(means), 0) + _VARIANCE_FLOOR)
    scores = (
        np.log(counts)
        + 0.5 * np.log(precisions).sum(axis=1)
        - 0.5 * np.square(Z_new) @ precisions.T
        + Z_new @ (means * precisions).T
        - 0.5 * (np.square(means) * precisions).sum(axis=1)
    )
    likelihoods = np.exp(scores - scores.max(axis=1, keepdims=True))
    predicted = np.zeros((len(Z_new), len(seen)))
    predicted[:, seen] = likelihoods / likelihoods.sum(axis=1, keepdims=True)
    return predicted


_LANDMARKS: dict[str, _Landmark] = {
    "landmark_stump": partial(_tree, max_depth=1),
    "landmark_tree": partial(_tree, max_depth=_TREE_DEPTH),
    "landmark_1_neighbour": _neighbours(1),
    "landmark_10_neighbours": _neighbours(10),
    "landmark_ridge": _ridge,
    "landmark_naive_bayes": _naive_bayes,
}
