"""k nearest neighbours with weighted votes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autometa.core.space import Value
from autometa.learners.base import FitData, Learner
from autometa.learners.numeric import bounded, row_weights, sample_rows

MOST_REFERENCE_VALUES = 4_000_000
"""Bound on rows × columns of the reference table, all of which is searched for every predicted row."""

_CHUNK_ROWS = 4096


@dataclass(eq=False, repr=False)
class NeighboursModel:
    """Votes of the nearest reference rows.

    Parameters
    ----------
    reference : ndarray of shape (n_reference, n_features), float32
        Rows that are searched.
    votes : ndarray of shape (n_reference, n_outputs)
        Vote of each reference row: its class as a row of zeros and a one, or its target.
    row_weight : ndarray of shape (n_reference,)
        Weight of each reference row's vote.
    prior : ndarray of shape (n_outputs,) or None
        Class frequencies, which count as one further neighbour so that no probability is 0; None for regression.
    n_neighbors : int
        Number of neighbours that vote.
    by_distance : bool
        Whether votes are weighted by inverse distance.
    p : int
        1 for Manhattan, 2 for Euclidean distance.
    """

    reference: np.ndarray
    votes: np.ndarray
    row_weight: np.ndarray
    prior: np.ndarray | None
    n_neighbors: int
    by_distance: bool
    p: int
    n_iterations: int | None = None

    def predict(self, X: np.ndarray, n_threads: int = 1) -> np.ndarray:
        """Return (n_rows, n_classes) probabilities, or (n_rows,) values for regression."""
        index = self._index(n_threads)
        X = bounded(X)
        parts = [self._predict_chunk(index, X[i : i + _CHUNK_ROWS]) for i in range(0, len(X), _CHUNK_ROWS)]
        merged = np.concatenate(parts) if parts else np.empty((0, self.votes.shape[1]))
        return merged[:, 0] if self.prior is None else merged

    def __getstate__(self) -> dict[str, Any]:
        # Only plain arrays are kept in files.
        return {name: value for name, value in self.__dict__.items() if name != "_search"}

    def _index(self, n_threads: int) -> Any:
        """Return the index of the reference rows, built at the first prediction."""
        from sklearn.neighbors import NearestNeighbors

        search = self.__dict__.get("_search")
        if search is None or search.n_jobs != n_threads:
            search = NearestNeighbors(n_neighbors=self.n_neighbors, p=self.p, n_jobs=n_threads).fit(self.reference)
            self.__dict__["_search"] = search
        return search

    def _predict_chunk(self, index: Any, X: np.ndarray) -> np.ndarray:
        distances, neighbours = index.kneighbors(X)
        weights = self.row_weight[neighbours]
        if self.by_distance:
            # The floor lets exact matches outvote all others without dividing by zero.
            nearness = 1.0 / np.maximum(distances, 1e-6)
            weights = weights * nearness / nearness.max(axis=1, keepdims=True)
        total = weights.sum(axis=1, keepdims=True)
        # Where all neighbours have weight 0 they vote alike.
        weights = np.where(total > 0, weights, 1.0)
        weights /= weights.sum(axis=1, keepdims=True)
        shares = np.einsum("rk,rko->ro", weights, self.votes[neighbours])
        if self.prior is None:
            return shares
        mixed = (self.n_neighbors * shares + self.prior) / (self.n_neighbors + 1)
        return mixed / mixed.sum(axis=1, keepdims=True)


def fit_nearest_neighbours(data: FitData, parameters: Mapping[str, Value]) -> NeighboursModel:
    """Return a k-nearest-neighbours model; sample weights multiply the votes.

    Tables of more than `MOST_REFERENCE_VALUES` values are thinned to a random sample of the rows.

    Parameters
    ----------
    data : FitData
        Rows of the numeric view.
    parameters : mapping
        ``n_neighbors``, ``weights`` ("uniform" or "distance"), ``p`` (1 or 2).
    """
    n_rows, n_features = data.X.shape
    kept = sample_rows(n_rows, max(1000, MOST_REFERENCE_VALUES // n_features), data.seed)
    row_weight = row_weights(data)
    if data.problem == "regression":
        votes, prior = data.y[:, None].astype(np.float64), None
    else:
        votes = np.eye(data.n_classes)[data.y]
        prior = np.average(votes, axis=0, weights=row_weight)
    return NeighboursModel(
        reference=np.array(bounded(data.X)[kept]),
        votes=votes[kept],
        row_weight=row_weight[kept],
        prior=prior,
        n_neighbors=min(int(parameters.get("n_neighbors", 15)), len(kept)),  # type: ignore[arg-type]
        by_distance=parameters.get("weights", "distance") == "distance",
        p=int(parameters.get("p", 1)),  # type: ignore[arg-type]
    )


NEAREST_NEIGHBOURS = Learner(
    name="nearest_neighbours", view="numeric", fit=fit_nearest_neighbours, saved_types=(NeighboursModel,)
)
