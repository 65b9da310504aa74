"""The fitted ensemble: what remains of a search when it is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd


class Model(Protocol):
    """A fitted learner."""

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
        """Return (n_rows, n_classes) probabilities or (n_rows,) values for cleaned rows."""
        shape = (len(X), self.n_classes) if self.n_classes else (len(X),)
        result = np.zeros(shape)
        # One preparation after the other, so that only one prepared table is in memory.
        for position, preparation in enumerate(self.preparations):
            users = [
                (member.weight / len(member.models), model, present)
                for member in self.members
                for model, used, present in zip(member.models, member.preparations, member.present, strict=True)
                if used == position
            ]
            if not users:
                continue
            prepared = preparation.transform(X)
            for weight, model, present in users:
                result += weight * expand(model.predict(prepared, n_threads), present, self.n_classes)
        if self.n_classes:
            result /= result.sum(axis=1, keepdims=True)
        return result


def expand(predictions: np.ndarray, present: Sequence[int] | None, n_classes: int) -> np.ndarray:
    """Return probabilities over all classes from those over the classes that a model knows."""
    if present is None:
        return predictions
    full = np.zeros((len(predictions), n_classes))
    full[:, list(present)] = predictions
    return full
