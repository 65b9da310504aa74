"""The fitted ensemble: what remains of a search when it is over."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import pandas as pd

from autometa._support.process_state import kept_process_state

# Predicting fewer rows than this takes milliseconds for most models, and starting threads does not pay.
_MOST_ROWS_OF_PART = 2_500


class Model(Protocol):
    """A fitted learner.

    Several threads predict parts of the rows with it, unless it has an attribute
    ``goes_by_parts`` that is false.
    """

    def predict(self, X: np.ndarray, n_threads: int = 1) -> np.ndarray:
        """Return probabilities (n_rows, n_classes) or values (n_rows,)."""
        ...


class Preparation(Protocol):
    """A fitted preparation of cleaned rows."""

    def transform(self, X: pd.DataFrame) -> np.ndarray:
        """Return the prepared rows as float32."""
        ...


@dataclass
class Member:
    """One configuration in the ensemble.

    Parameters
    ----------
    trial : int
        Number of its trial.
    weight : float
        Share in the ensemble, in (0, 1].
    models : list of Model
        One model per fold, or one that was refitted on all rows.
    preparations : list of int
        For each model the position of its preparation in ``FittedPredictor.preparations``.
    present : list of (list of int or None)
        For each model the class codes it knows; None when it knows all.
    """

    trial: int
    weight: float
    models: list[Model]
    preparations: list[int]
    present: list[list[int] | None]


_User = tuple[float, Model, list[int] | None]


class FittedPredictor:
    """Weighted average over members, each the plain average over its fold models.

    Parameters
    ----------
    members : list of Member
        Weights sum to 1.
    preparations : list of Preparation
        Each is applied once per call, however many models use it.
    n_classes : int
        Number of classes; 0 for regression.
    """

    def __init__(self, members: list[Member], preparations: list[Preparation], n_classes: int) -> None:
        self.members = members
        self.preparations = preparations
        self.n_classes = n_classes

    def predict(self, X: pd.DataFrame, n_threads: int = 1) -> np.ndarray:
        """Return (n_rows, n_classes) probabilities or (n_rows,) values for cleaned rows.

        Parts of the rows are predicted in up to `n_threads` threads at a time; the result
        does not depend on their number.
        """
        result = self._weighted_sum([], X)
        parts = _parts(len(X))
        n_threads = min(n_threads, len(parts))
        with ThreadPoolExecutor(n_threads) as threads:
            run = map if n_threads == 1 else threads.map
            # One preparation after the other, so that only one prepared table is in memory.
            for position, preparation in enumerate(self.preparations):
                by_parts, whole = self._users(position)
                if not by_parts and not whole:
                    continue
                prepared = preparation.transform(X)
                predictions = run(partial(self._weighted_sum, by_parts), (prepared[rows] for rows in parts))
                for rows, predicted in zip(parts, predictions, strict=True):
                    result[rows] += predicted
                result += self._weighted_sum(whole, prepared)
        if self.n_classes:
            result /= result.sum(axis=1, keepdims=True)
        return result

    def _weighted_sum(self, users: Sequence[_User], prepared: Any) -> np.ndarray:
        """Return what models predict for prepared rows, times their weights, in one thread."""
        result = np.zeros((len(prepared), self.n_classes) if self.n_classes else len(prepared))
        with kept_process_state():
            for weight, model, present in users:
                # Threads of the libraries would stay behind, and a process that is forked later hang on them.
                result += weight * expand(model.predict(prepared), present, self.n_classes)
        return result

    def _users(self, position: int) -> tuple[list[_User], list[_User]]:
        """Return the models that need a preparation: those that may predict parts of the rows, and the others."""
        users = [
            (member.weight / len(member.models), model, present)
            for member in self.members
            for model, used, present in zip(member.models, member.preparations, member.present, strict=True)
            if used == position
        ]
        return [user for user in users if _goes_by_parts(user[1])], [u for u in users if not _goes_by_parts(u[1])]


def _parts(n_rows: int) -> list[slice]:
    """Return the rows in parts of about equal length, whatever the number of threads."""
    edges = np.linspace(0, n_rows, max(1, math.ceil(n_rows / _MOST_ROWS_OF_PART)) + 1).astype(int)
    return [slice(start, end) for start, end in itertools.pairwise(edges.tolist())]


def _goes_by_parts(model: Model) -> bool:
    return getattr(model, "goes_by_parts", True)


def expand(predictions: np.ndarray, present: Sequence[int] | None, n_classes: int) -> np.ndarray:
    """Return probabilities over all classes from those over the classes that a model knows."""
    if present is None:
        return predictions
    full = np.zeros((len(predictions), n_classes))
    full[:, list(present)] = predictions
    return full
