"""Fitted boosters of LightGBM, CatBoost and XGBoost, and what their fits share.

A fitted model keeps the booster as the library's own text or bytes and builds it again at the first prediction: nothing
but plain data has to be pickled, saved or trusted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import pandas as pd

from autometa.core.task import Problem
from autometa.learners.base import FitData, stages_before
from autometa.learners.early_stopping import EarlyStopping, iterations_to_do
from autometa.learners.numeric import TargetScale

_MOST_COLUMNS_OF_FINE_BINS = 500

Serialised = TypeVar("Serialised", str, bytes)


class BoostedModel(ABC, Generic[Serialised]):
    """A fitted booster in its library's serialised form.

    Parameters
    ----------
    serialised : str or bytes
        The booster, cut to its best iteration.
    data : FitData
        What it was fitted on; only the problem and the kinds of columns are kept.
    scale : TargetScale or None
        How a regression target was standardised; None for classification.
    columns : ndarray of int or None
        Columns that it was fitted on; None for all of them.
    n_iterations : int
        Iterations kept.
    is_cut_short : bool
        Whether the deadline ended the fit.
    """

    library: ClassVar[str]
    """Module that predicting needs."""

    def __init__(
        self,
        serialised: Serialised,
        data: FitData,
        scale: TargetScale | None,
        columns: np.ndarray | None,
        n_iterations: int,
        is_cut_short: bool = False,
    ) -> None:
        self.serialised: Serialised = serialised
        self.problem: Problem = data.problem
        self.categorical = np.array(data.categorical)
        self.n_categories = np.array(data.n_categories)
        self.scale = scale
        self.columns = columns
        self.n_iterations: int = n_iterations
        self.is_cut_short = is_cut_short

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_booster"}

    def predict(self, X: np.ndarray, n_threads: int = 1) -> np.ndarray:
        """Return probabilities (n_rows, n_classes) or values (n_rows,)."""
        return self._predict(self._rows(X, n_threads), self.n_iterations, n_threads)

    def staged_predict(self, X: np.ndarray, n_threads: int = 1) -> Iterator[tuple[int, np.ndarray]]:
        """Yield n and what `predict` would return with the first n iterations only, for n = 1, 2, 4, …."""
        rows = self._rows(X, n_threads)
        for n_iterations in stages_before(self.n_iterations):
            yield n_iterations, self._predict(rows, n_iterations, n_threads)

    def _rows(self, X: np.ndarray, n_threads: int) -> Any:
        return self._as_rows(X if self.columns is None else X[:, self.columns], n_threads)

    def _predict(self, rows: Any, n_iterations: int, n_threads: int) -> np.ndarray:
        if "_booster" not in self.__dict__:
            self._booster = self._load()
        raw = np.asarray(self._raw_predict(rows, n_iterations, n_threads), dtype=np.float64)
        if self.scale is not None:
            return self.scale.restore(raw)
        if self.problem == "binary":
            return np.column_stack([1.0 - raw, raw])
        # The libraries' probabilities sum to 1 in single precision only.
        return raw / raw.sum(axis=1, keepdims=True)

    @abstractmethod
    def _load(self) -> Any:
        """Return the library's booster."""

    @abstractmethod
    def _as_rows(self, X: np.ndarray, n_threads: int) -> Any:
        """Return the rows in the library's own form."""

    @abstractmethod
    def _raw_predict(self, rows: Any, n_iterations: int, n_threads: int) -> np.ndarray:
        """Return predictions of the first iterations: one column for binary problems and regression."""


class LightGBMModel(BoostedModel[str]):
    """A fitted LightGBM booster."""

    library = "lightgbm"

    def _load(self) -> Any:
        import lightgbm

        return lightgbm.Booster(model_str=self.serialised)

    def _as_rows(self, X: np.ndarray, n_threads: int) -> np.ndarray:
        return X

    def _raw_predict(self, rows: np.ndarray, n_iterations: int, n_threads: int) -> np.ndarray:
        return self._booster.predict(rows, num_iteration=n_iterations, num_threads=n_threads)


class CatBoostModel(BoostedModel[bytes]):
    """A fitted CatBoost model."""

    library = "catboost"

    def _load(self) -> Any:
        import catboost

        return catboost.CatBoost().load_model(blob=self.serialised)

    def _as_rows(self, X: np.ndarray, n_threads: int) -> Any:
        return catboost_pool(X, self.categorical, self.n_categories)

    def _raw_predict(self, rows: Any, n_iterations: int, n_threads: int) -> np.ndarray:
        kind = "RawFormulaVal" if self.problem == "regression" else "Probability"
        raw = self._booster.predict(rows, prediction_type=kind, ntree_end=n_iterations, thread_count=n_threads)
        return raw[:, 1] if self.problem == "binary" else raw


class XGBoostModel(BoostedModel[bytes]):
    """A fitted XGBoost booster."""

    library = "xgboost"

    def _load(self) -> Any:
        import xgboost

        return xgboost.Booster(model_file=bytearray(self.serialised))

    def _as_rows(self, X: np.ndarray, n_threads: int) -> Any:
        import xgboost

        return xgboost.DMatrix(
            **xgboost_columns(X, self.categorical, self.n_categories), enable_categorical=True, nthread=n_threads
        )

    def _raw_predict(self, rows: Any, n_iterations: int, n_threads: int) -> np.ndarray:
        return self._booster.predict(rows, iteration_range=(0, n_iterations))


def catboost_pool(
    X: np.ndarray,
    categorical: np.ndarray,
    n_categories: np.ndarray,
    y: np.ndarray | None = None,
    weight: np.ndarray | None = None,
) -> Any:
    """Return a catboost.Pool in which missing and unseen categories are the category -1."""
    import catboost

    if not categorical.any():
        return catboost.Pool(np.asarray(X), y, weight=weight)
    columns: dict[int, Any] = {}
    for j in range(X.shape[1]):
        if categorical[j]:
            codes = np.where(np.isnan(X[:, j]), -1, X[:, j]).astype(np.int64)
            codes[codes >= n_categories[j]] = -1
            # CatBoost hashes the labels of a Categorical once, those of other columns once per row.
            columns[j] = pd.Categorical.from_codes(codes + 1, categories=np.arange(-1, n_categories[j]))
        else:
            columns[j] = X[:, j]
    return catboost.Pool(pd.DataFrame(columns), y, weight=weight, cat_features=np.flatnonzero(categorical).tolist())


def xgboost_columns(X: np.ndarray, categorical: np.ndarray, n_categories: np.ndarray) -> dict[str, Any]:
    """Return ``data`` with unseen category codes as missing, and ``feature_types``."""
    unseen = np.zeros(X.shape, dtype=bool)
    unseen[:, categorical] = X[:, categorical] >= n_categories[categorical]
    known = np.where(unseen, np.float32(np.nan), X) if unseen.any() else np.asarray(X)
    return {"data": known, "feature_types": np.where(categorical, "c", "q").tolist()}


def n_bins(n_columns: int) -> int:
    """Return bins per column; a quarter of the usual number on wide tables, where histograms take most of the time."""
    return 255 if n_columns <= _MOST_COLUMNS_OF_FINE_BINS else 63


def stopping_rule(data: FitData, learning_rate: float, n_wanted: int) -> EarlyStopping:
    """Return early stopping whose patience grows as steps get smaller."""
    return EarlyStopping(round(min(200.0, max(20.0, 3.0 / learning_rate))), data.deadline, n_wanted)


def n_rounds(data: FitData, learning_rate: float) -> int:
    """Return the number of boosting rounds of LightGBM and XGBoost, an upper bound where the fit stops early."""
    return iterations_to_do(data, round(10 / learning_rate), round(min(5000.0, 200 / learning_rate)))
