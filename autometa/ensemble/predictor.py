"""The fitted ensemble, which is all that a search leaves behind for predicting."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from autometa._support.process_state import kept_process_state
from autometa.ensemble.class_subset import ClassSubsetModel
from autometa.tables.clean_table import CleanTable

# Most models predict fewer rows in a millisecond, so that starting threads would not pay.
MOST_ROWS_OF_PART = 500


class Model(Protocol):
    """A fitted learner.

    Several threads predict parts of the rows with it, unless its attribute ``goes_by_parts`` is false.
    """

    def predict(self, X: np.ndarray, n_threads: int = 1) -> np.ndarray:
        """Return probabilities (n_rows, n_classes) or values (n_rows,)."""
        ...


class Preparation(Protocol):
    """A fitted preparation of cleaned rows."""

    def transform(self, X: CleanTable) -> np.ndarray:
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
        For each model the index of its preparation in ``FittedPredictor.preparations``.
    """

    trial: int
    weight: float
    models: list[Model]
    preparations: list[int]


_WeightedModel = tuple[float, Model]


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

    def predict(self, X: CleanTable, n_threads: int = 1) -> np.ndarray:
        """Return (n_rows, n_classes) probabilities or (n_rows,) values for cleaned rows.

        Parts of the rows are predicted in up to `n_threads` threads at a time; the result
        does not depend on their number.
        """
        result = self._weighted_sum([], X)
        parts = _parts(len(X))
        n_threads = min(n_threads, len(parts))
        with ThreadPoolExecutor(n_threads) as threads, kept_process_state():
            run = map if n_threads == 1 else threads.map
            weighted_sum = self._weighted_sum if n_threads == 1 else self._weighted_sum_in_thread
            # One preparation after the other, so that only one prepared table is in memory.
            for index, preparation in enumerate(self.preparations):
                by_parts, whole = self._models_of(index)
                if not by_parts and not whole:
                    continue
                prepared = preparation.transform(X)
                predictions = run(partial(weighted_sum, by_parts), (prepared[rows] for rows in parts))
                for rows, predicted in zip(parts, predictions, strict=True):
                    result[rows] += predicted
                result += self._weighted_sum(whole, prepared)
        if self.n_classes:
            result /= result.sum(axis=1, keepdims=True)
        return result

    def member_values(self, X: CleanTable) -> np.ndarray:
        """Return the values of each member for cleaned rows, shape (n_members, n_rows); for regression."""
        values = np.zeros((len(self.members), len(X)))
        for index, preparation in enumerate(self.preparations):
            prepared = preparation.transform(X)
            with kept_process_state():
                for k, member in enumerate(self.members):
                    for model, used in zip(member.models, member.preparations, strict=True):
                        if used == index:
                            values[k] += model.predict(prepared) / len(member.models)
        return values

    def _weighted_sum(self, models: Sequence[_WeightedModel], prepared: Any) -> np.ndarray:
        """Return the weighted sum of the models' predictions for prepared rows, computed in one thread."""
        result = np.zeros((len(prepared), self.n_classes) if self.n_classes else len(prepared))
        for weight, model in models:
            # Threads of the libraries would stay behind, and a process that is forked later would hang on them.
            result += weight * model.predict(prepared)
        return result

    def _weighted_sum_in_thread(self, models: Sequence[_WeightedModel], prepared: Any) -> np.ndarray:
        # The limit on OpenMP holds in the thread that sets it.
        with kept_process_state():
            return self._weighted_sum(models, prepared)

    def _models_of(self, preparation: int) -> tuple[list[_WeightedModel], list[_WeightedModel]]:
        """Return the models of a preparation: those that may predict parts of the rows, and the others."""
        by_parts: list[_WeightedModel] = []
        whole: list[_WeightedModel] = []
        for member in self.members:
            for model, used in zip(member.models, member.preparations, strict=True):
                if used == preparation:
                    group = by_parts if getattr(model, "goes_by_parts", True) else whole
                    group.append((member.weight / len(member.models), model))
        return by_parts, whole


def upgrade_format_1(predictor: FittedPredictor) -> None:
    """Wrap the models of a predictor from a file of format 1, which names the classes of each model beside it."""
    for member in predictor.members:
        known = vars(member).pop("present")  # for each model the codes of its classes; None for all of them
        member.models = [
            model if codes is None else ClassSubsetModel(model, codes, predictor.n_classes)
            for model, codes in zip(member.models, known, strict=True)
        ]


def _parts(n_rows: int) -> list[slice]:
    """Return the rows in parts of about equal length, whatever the number of threads."""
    edges = np.linspace(0, n_rows, max(1, math.ceil(n_rows / MOST_ROWS_OF_PART)) + 1).astype(int)
    return [slice(start, end) for start, end in itertools.pairwise(edges.tolist())]
