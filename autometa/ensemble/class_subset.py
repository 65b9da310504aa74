"""A model fitted on rows without some of the classes, as a model of all classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np


class ClassSubsetModel:
    """Predicts probability 0 for the classes that had no training row.

    A user's own splitter can leave a class out of a fold's training rows. Learners expect codes without gaps, so the
    model inside is fitted on the codes 0, 1, … of the classes that it has seen.

    Parameters
    ----------
    model : Model
        Fitted; predicts probabilities of shape (n_rows, len(codes)).
    codes : sequence of int
        Codes of the classes that `model` has seen, in the order of its columns.
    n_classes : int
        Number of all classes.
    """

    def __init__(self, model: Any, codes: Sequence[int], n_classes: int) -> None:
        self.model = model
        self.codes = list(codes)
        self.n_classes = n_classes

    @property
    def n_iterations(self) -> int | None:
        """Iterations of the model inside."""
        n_iterations: int | None = self.model.n_iterations
        return n_iterations

    @property
    def is_cut_short(self) -> bool:
        """Whether a deadline ended the fit of the model inside."""
        return getattr(self.model, "is_cut_short", False)

    @property
    def goes_by_parts(self) -> bool:
        """Whether several threads may predict parts of the rows."""
        return getattr(self.model, "goes_by_parts", True)

    def predict(self, X: np.ndarray, n_threads: int = 1) -> np.ndarray:
        """Return probabilities of shape (n_rows, n_classes)."""
        return self._expanded(self.model.predict(X, n_threads))

    def staged_predict(self, X: np.ndarray, n_threads: int = 1) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the stages of the model inside, none if it has none; see `StagedModel`."""
        if hasattr(self.model, "staged_predict"):
            for n_iterations, predictions in self.model.staged_predict(X, n_threads):
                yield n_iterations, self._expanded(predictions)

    def _expanded(self, predictions: np.ndarray) -> np.ndarray:
        if np.ndim(predictions) != 2 or np.shape(predictions)[1] != len(self.codes):
            expected = (len(predictions), len(self.codes))
            raise ValueError(f"the learner predicted an array of shape {np.shape(predictions)}, not {expected}")
        expanded = np.zeros((len(predictions), self.n_classes))
        expanded[:, self.codes] = predictions
        return expanded
