"""The interface of learners: the data they are given, and the models they return."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from autometa.core.budget import Deadline
from autometa.core.space import Value
from autometa.core.task import Problem
from autometa.tables.view import View


@dataclass(frozen=True)
class FitData:
    """Everything that a learner may use in one fit.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features), float32
        Training rows in the learner's view, read-only.
    y : ndarray of shape (n_rows,)
        int64 class codes 0 … n_classes − 1, or float64. Every class has a row.
    problem : {"binary", "multiclass", "regression"}
        Kind of the target.
    n_classes : int
        Number of classes; 0 for regression.
    categorical : ndarray of shape (n_features,), bool
        Which columns hold category codes (tree view); all False in the numeric view.
    n_categories : ndarray of shape (n_features,), int64
        Number of codes in each column (tree view); 0 for numbers.
    sample_weight : ndarray of shape (n_rows,) or None
        Non-negative weights, mean 1.
    X_val, y_val, sample_weight_val : ndarray or None
        Validation rows for early stopping; None when the model is refitted on all rows.
    metric : str
        Name of the loss of the run, e.g. ``"roc_auc"``, ``"log_loss"``, ``"rmse"``,
        ``"custom"``; a hint for early stopping.
    seed : int
        Seed of every random choice, in [0, 2**31).
    n_threads : int
        Threads that the fit may use.
    deadline : Deadline
        Iterative learners stop in time to return what they have by then.
    n_iterations : int or None
        Exact number of iterations for learners that stop early, known from an earlier
        fit with validation rows; None lets the learner decide.
    keep_stages : bool
        Whether a model keeps copies of its stages for `StagedModel.staged_predict` if it cannot compute them
        later. Its own predictions are the same either way.
    """

    X: np.ndarray
    y: np.ndarray
    problem: Problem
    n_classes: int
    categorical: np.ndarray
    n_categories: np.ndarray
    sample_weight: np.ndarray | None = None
    X_val: np.ndarray | None = None
    y_val: np.ndarray | None = None
    sample_weight_val: np.ndarray | None = None
    metric: str = "custom"
    seed: int = 0
    n_threads: int = 1
    deadline: Deadline = Deadline(math.inf)
    n_iterations: int | None = None
    keep_stages: bool = False


class Model(Protocol):
    """A fitted learner."""

    @property
    def n_iterations(self) -> int | None:
        """Iterations kept after early stopping; None for learners without iterations."""
        ...

    def predict(self, X: np.ndarray, n_threads: int = 1) -> np.ndarray:
        """Return (n_rows, n_classes) probabilities, or (n_rows,) values for regression."""
        ...


@runtime_checkable
class StagedModel(Model, Protocol):
    """A fitted learner with iterations that can also predict with fewer of them."""

    def staged_predict(self, X: np.ndarray, n_threads: int = 1) -> Iterator[tuple[int, np.ndarray]]:
        """Yield n and what `predict` would return after n iterations, for n = 1, 2, 4, ….

        The last n is the largest power of two below `n_iterations`; the model itself is not among the stages.
        """
        ...


def was_cut_short(model: Model) -> bool:
    """Return whether the deadline ended or hurried a fit, so that more time would have given another model.

    Models that may stop for a deadline have the attribute ``is_cut_short``.
    """
    return getattr(model, "is_cut_short", False)


def stages_before(n_iterations: int) -> list[int]:
    """Return the powers of two below `n_iterations`.

    Examples
    --------
    >>> stages_before(9), stages_before(8), stages_before(1)
    ([1, 2, 4, 8], [1, 2, 4], [])
    """
    return [2**k for k in range((n_iterations - 1).bit_length())]


FitFunction = Callable[[FitData, Mapping[str, Value]], Any]
"""Fits one configuration, given its parameters, and returns the `Model`."""


@dataclass(frozen=True)
class Learner:
    """An algorithm before its hyperparameters are set.

    Parameters
    ----------
    name : str
        Its name in strategy files.
    view : {"tree", "numeric"}
        The prepared form that it fits on.
    fit : callable
        ``fit(data, parameters) -> Model``.
    library : str
        Module that must be importable.
    extra : str
        Extra of autometa that installs it; empty when it comes with autometa.
    keeps_deadline : bool
        Whether `fit` itself stops at ``data.deadline``; its models have the attribute ``is_cut_short``.
    is_quick : bool
        Whether a fit on 100,000 cells takes well under a second, at least with the cheapest configurations.
        A quick learner whose other fits may take longer keeps deadlines.
    has_iterations : bool
        Whether its models are `StagedModel`, so that one fit gives the whole learning curve.
    saved_types : tuple of type
        Classes of its models and of their parts that a saved model may hold, beside those in `autometa.persistence`.
        A file can make their objects hold anything, so they must run no code on loading, and nothing unchecked later.
    load_s : float
        About the seconds that a process takes to load the library before its first fit; 0 where they do not matter.
    """

    name: str
    view: View
    fit: FitFunction
    library: str = "sklearn"
    extra: str = ""
    keeps_deadline: bool = False
    is_quick: bool = False
    has_iterations: bool = False
    saved_types: tuple[type, ...] = ()
    load_s: float = 0.0
