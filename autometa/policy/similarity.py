"""Measure how much past tasks resemble a new one, by their meta-features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

_MISMATCH = 1.5
"""Squared difference where only one of two tasks has a meta-feature, in squared standard deviations."""


class Similarity:
    """Log-similarity of past tasks to a new one: minus half a weighted squared distance of meta-features.

    Parameters
    ----------
    names : sequence of str
        Names of the meta-features.
    features : ndarray of shape (n_tasks, n_features)
        Meta-features of past tasks; NaN where one is not defined.
    weights : ndarray of shape (n_features,), optional
        Non-negative weight of each squared difference, in units of the feature's standard
        deviation over past tasks; equal ones that sum to `total` by default.
    total : float
        Sum of the weights where none are given: the inverse square of the bandwidth.
    """

    def __init__(
        self,
        names: Sequence[str],
        features: np.ndarray,
        weights: np.ndarray | None = None,
        *,
        total: float = 4.0,
    ) -> None:
        self.names = tuple(names)
        present = np.isfinite(features)
        known = present.any(axis=0)
        filled = np.where(present, features, 0.0)
        n = np.maximum(present.sum(axis=0), 1)
        self._centre = filled.sum(axis=0) / n
        spread = np.sqrt((np.where(present, features - self._centre, 0.0) ** 2).sum(axis=0) / n)
        # A feature with the same value everywhere carries no information.
        self._scale = np.where(known & (spread > 1e-9), spread, np.inf)
        self._features = (features - self._centre) / self._scale
        n_informative = max(1, int(np.isfinite(self._scale).sum()))
        self.weights = np.full(len(self.names), total / n_informative) if weights is None else np.asarray(weights)

    def log_similarity(self, features: Mapping[str, float]) -> np.ndarray:
        """Return the log-similarity of each past task to a task with these meta-features.

        Meta-features that were not computed are ignored. One that is not defined (NaN) matches
        only past tasks where it is not defined either.
        """
        given = np.array([name in features for name in self.names])
        new = np.array([features.get(name, np.nan) for name in self.names], dtype=np.float64)
        return -0.5 * self.squared_differences(new) @ (self.weights * given)

    def alike(self, features: Mapping[str, float], task: int, n: int = 3) -> list[str]:
        """Return the meta-features that speak most for the similarity of a past task, at most `n`.

        A meta-feature speaks for a past task by its weight times how much smaller the squared difference is than the
        mean over all past tasks.
        """
        given = np.array([name in features for name in self.names])
        new = np.array([features.get(name, np.nan) for name in self.names], dtype=np.float64)
        squared = self.squared_differences(new)
        support = (squared.mean(axis=0) - squared[task]) * self.weights * given
        return [self.names[index] for index in np.argsort(-support, kind="stable")[:n] if support[index] > 0]

    def squared_differences(self, features: np.ndarray) -> np.ndarray:
        """Return the (n_tasks, n_features) squared differences of past tasks to a new one, not weighted yet."""
        difference = np.clip((features - self._centre) / self._scale - self._features, -4.0, 4.0)
        one_lacks = np.isnan(features) != np.isnan(self._features)
        return np.where(one_lacks, _MISMATCH, np.nan_to_num(difference)) ** 2
