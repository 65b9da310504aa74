"""Gradient boosting by LightGBM, CatBoost and XGBoost.

All three watch the validation rows, stop inside at the deadline, and keep a fitted model as
the library's own serialised text or bytes, from which it is built again at the first prediction:
nothing but plain data has to be pickled, saved or trusted.
"""

from __future__ import annotations

import math
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import pandas as pd

from autometa.core.space import Value
from autometa.core.task import Problem
from autometa.learners.base import FitData, Learner, Model, stages_before
from autometa.learners.constant import ConstantModel
from autometa.learners.early_stopping import EarlyStopping, iterations_to_do, stops_early
from autometa.learners.numeric import TargetScale
from autometa.learners.screening import screened

_WIDE = 500
"""Columns from which on a table is wide."""

_MANY_CLASSES = 10
"""Classes from which on CatBoost's target statistics cost too much."""

Serialised = TypeVar("Serialised", str, bytes)


class BoostedModel(ABC, Generic[Serialised]):
    """A fitted booster in its library's serialised form.

    Parameters
    ----------
    serialised : str or bytes
        The booster, cut to its best iteration.
    data : FitData
        What it was fitted on; only small facts are kept.
    scale : TargetScale or None
        How a regression target was standardised; None for classification.
    columns : ndarray of int or None
        Columns that it was fitted on; None for all of them.
    n_iterations : int
        Iterations kept.
    is_cut_short : bool
        Whether the deadline ended the fit.
    """

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
        """Yield (n, what `predict` would return with the first n iterations only) for n = 1, 2, 4, …."""
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
        # The libraries add up to 1 in single precision only.
        return raw / raw.sum(axis=1, keepdims=True)

    @abstractmethod
    def _load(self) -> Any:
        """Return the library's booster."""

    @abstractmethod
    def _as_rows(self, X: np.ndarray, n_threads: int) -> Any:
        """Return the rows as the library takes them."""

    @abstractmethod
    def _raw_predict(self, rows: Any, n_iterations: int, n_threads: int) -> np.ndarray:
        """Return what the first iterations predict: one column for binary problems and regression."""


def _target(y: np.ndarray, scale: TargetScale | None) -> np.ndarray:
    return y if scale is None else scale.standardise(y)


def _n_bins(n_columns: int) -> int:
    """Return the bins of a column: a quarter of the usual on wide tables, where building histograms is all the time."""
    return 255 if n_columns <= _WIDE else 63


def _patience(learning_rate: float) -> int:
    """Return the iterations to wait for an improvement: small steps need more of them."""
    return round(min(200.0, max(20.0, 3.0 / learning_rate)))


# --------------------------------------------------------------------------------------------- LightGBM


class LightGBMModel(BoostedModel[str]):
    """A fitted LightGBM booster."""

    def _load(self) -> Any:
        import lightgbm

        return lightgbm.Booster(model_str=self.serialised)

    def _as_rows(self, X: np.ndarray, n_threads: int) -> np.ndarray:
        return X

    def _raw_predict(self, rows: np.ndarray, n_iterations: int, n_threads: int) -> np.ndarray:
        return self._booster.predict(rows, num_iteration=n_iterations, num_threads=n_threads)


def fit_lightgbm(data: FitData, parameters: Mapping[str, Value]) -> LightGBMModel:
    """Return LightGBM fitted with native categories."""
    import lightgbm
    from lightgbm.callback import EarlyStopException

    data, columns = screened(data)
    scale = TargetScale(data.y, data.sample_weight) if data.problem == "regression" else None
    chosen = {**_lightgbm_settings(data), **parameters}
    learning_rate = float(chosen.setdefault("learning_rate", 0.06))
    # The libraries' thresholds of 20 or 100 rows would leave nothing to split on small tables.
    chosen["min_data_in_leaf"] = _at_most(chosen.get("min_data_in_leaf", 20), len(data.y) // 25)
    chosen["min_data_per_group"] = _at_most(chosen.get("min_data_per_group", 100), len(data.y) // 10)
    train = lightgbm.Dataset(
        data.X,
        _target(data.y, scale),
        weight=data.sample_weight,
        categorical_feature=np.flatnonzero(data.categorical).tolist(),
        params=chosen,
    )
    watched = []
    if stops_early(data):
        assert data.y_val is not None
        watched = [train.create_valid(data.X_val, _target(data.y_val, scale), weight=data.sample_weight_val)]
    n_rounds = iterations_to_do(data, round(10 / learning_rate), round(min(5000.0, 200 / learning_rate)))
    stopping = EarlyStopping(_patience(learning_rate), data.deadline, n_rounds)

    def after_iteration(env: Any) -> None:
        loss = env.evaluation_result_list[0][2] if env.evaluation_result_list else None
        if stopping.stop_after(env.iteration + 1, loss):
            raise EarlyStopException(env.iteration, env.evaluation_result_list)

    booster = lightgbm.train(chosen, train, num_boost_round=n_rounds, valid_sets=watched, callbacks=[after_iteration])
    best = min(stopping.best_iteration, max(1, booster.current_iteration()))
    return LightGBMModel(booster.model_to_string(num_iteration=best), data, scale, columns, best, stopping.is_cut_short)


def _lightgbm_settings(data: FitData) -> dict[str, Any]:
    objective = {"binary": "binary", "multiclass": "multiclass", "regression": "regression"}[data.problem]
    return {
        "objective": objective,
        **({"num_class": data.n_classes} if data.problem == "multiclass" else {}),
        "bagging_freq": 1,
        "max_bin": _n_bins(data.X.shape[1]),
        "num_threads": data.n_threads,
        "seed": data.seed,
        "deterministic": True,
        # Left alone, LightGBM times both ways and results depend on which one won.
        "force_col_wise": True,
        "verbosity": -1,
    }


def _at_most(value: Any, bound: int) -> int:
    return max(1, min(int(value), bound))


# --------------------------------------------------------------------------------------------- CatBoost


class CatBoostModel(BoostedModel[bytes]):
    """A fitted CatBoost model."""

    def _load(self) -> Any:
        import catboost

        return catboost.CatBoost().load_model(blob=self.serialised)

    def _as_rows(self, X: np.ndarray, n_threads: int) -> Any:
        return _pool(X, self.categorical, self.n_categories)

    def _raw_predict(self, rows: Any, n_iterations: int, n_threads: int) -> np.ndarray:
        if self.problem == "regression":
            return self._booster.predict(rows, ntree_end=n_iterations, thread_count=n_threads)
        probabilities = self._booster.predict(
            rows, prediction_type="Probability", ntree_end=n_iterations, thread_count=n_threads
        )
        return probabilities[:, 1] if self.problem == "binary" else probabilities


def fit_catboost(data: FitData, parameters: Mapping[str, Value]) -> Model:
    """Return CatBoost fitted with ordered target statistics of the categories.

    The parameter ``learning_rate_factor`` multiplies the learning rate that CatBoost
    chooses by the number of rows; the others are CatBoost's own.
    """
    import catboost

    data, columns = screened(data)
    data = _with_affordable_categories(data)
    scale = TargetScale(data.y, data.sample_weight) if data.problem == "regression" else None
    chosen = {**_catboost_settings(data), **parameters}
    factor = float(chosen.pop("learning_rate_factor", 1.0))
    learning_rate = min(1.0, factor * automatic_learning_rate(len(data.y), data.problem))
    chosen["learning_rate"] = learning_rate
    chosen["iterations"] = iterations_to_do(data, 500, round(min(3000.0, max(1000.0, 60 / learning_rate))))
    train = _pool(data.X, data.categorical, data.n_categories, _target(data.y, scale), data.sample_weight)
    watched = None
    if stops_early(data):
        assert data.X_val is not None and data.y_val is not None
        y_val = _target(data.y_val, scale)
        watched = _pool(data.X_val, data.categorical, data.n_categories, y_val, data.sample_weight_val)
    callback = _CatBoostCallback(EarlyStopping(_patience(learning_rate), data.deadline, chosen["iterations"]))
    booster = catboost.CatBoost(chosen)
    try:
        booster.fit(train, eval_set=watched, callbacks=[callback])
    except catboost.CatBoostError as error:
        if not _has_information(data):
            return _constant_model(data)
        if "Too few sampling units" not in str(error):
            raise
        # Rows are sampled by their gradients, and a target that is fitted perfectly leaves none.
        booster = catboost.CatBoost({**chosen, "bootstrap_type": "No"})
        callback = _CatBoostCallback(EarlyStopping(_patience(learning_rate), data.deadline, chosen["iterations"]))
        booster.fit(train, eval_set=watched, callbacks=[callback])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.cbm"
        booster.save_model(str(path), format="cbm")
        is_cut_short = callback.stopping.is_cut_short
        return CatBoostModel(path.read_bytes(), data, scale, columns, int(booster.tree_count_), is_cut_short)


class _CatBoostCallback:
    def __init__(self, stopping: EarlyStopping) -> None:
        self.stopping = stopping

    def after_iteration(self, info: Any) -> bool:
        """Return whether to go on."""
        losses = info.metrics.get("validation")
        loss = next(iter(losses.values()))[-1] if losses else None
        return not self.stopping.stop_after(info.iteration, loss)


def _catboost_settings(data: FitData) -> dict[str, Any]:
    objective = {"binary": "Logloss", "multiclass": "MultiClass", "regression": "RMSE"}[data.problem]
    return {
        "loss_function": objective,
        **({"classes_count": data.n_classes} if data.problem == "multiclass" else {}),
        "boosting_type": "Plain",
        "max_ctr_complexity": 1,
        "border_count": min(128, _n_bins(data.X.shape[1])),
        # Left alone, CatBoost takes 1 for two classes below 200 iterations, and a refit of so few would
        # not be the model that was stopped there.
        "leaf_estimation_iterations": 10 if data.problem == "binary" else 1,
        "thread_count": data.n_threads,
        "random_seed": data.seed,
        "allow_const_label": True,
        "allow_writing_files": False,
        "logging_level": "Silent",
    }


def automatic_learning_rate(n_rows: int, problem: Problem) -> float:
    """Return CatBoost's own choice for 1,000 iterations with validation rows.

    The library uses another rule when it is given none; with its choice spelled out, a
    number of iterations found with validation rows holds for the refit without them.
    """
    slope, intercept = {"binary": (0.247, -5.158), "multiclass": (0.02, -2.364), "regression": (0.157, -4.062)}[problem]
    return min(0.5, math.exp(slope * math.log(n_rows) + intercept))


def _pool(
    X: np.ndarray,
    categorical: np.ndarray,
    n_categories: np.ndarray,
    y: np.ndarray | None = None,
    weight: np.ndarray | None = None,
) -> Any:
    """Return a catboost.Pool in which a missing category is the category -1."""
    import catboost

    if not categorical.any():
        return catboost.Pool(np.asarray(X), y, weight=weight)
    columns: dict[int, Any] = {}
    for j in range(X.shape[1]):
        if categorical[j]:
            codes = np.where(np.isnan(X[:, j]), -1, X[:, j]).astype(np.int64)
            codes[codes >= n_categories[j]] = -1
            # The one kind of column whose labels CatBoost hashes once and not once per row.
            columns[j] = pd.Categorical.from_codes(codes + 1, categories=np.arange(-1, n_categories[j]))
        else:
            columns[j] = X[:, j]
    return catboost.Pool(pd.DataFrame(columns), y, weight=weight, cat_features=np.flatnonzero(categorical).tolist())


def _with_affordable_categories(data: FitData) -> FitData:
    """Return the data with large categories as numbers where there are many classes.

    A target statistic is kept for each class, and on 50,000 rows with 60 classes a single
    iteration over two categories takes 20 seconds.
    """
    if data.n_classes <= _MANY_CLASSES:
        return data
    return replace(data, categorical=data.categorical & (data.n_categories <= _MANY_CLASSES))


def _has_information(data: FitData) -> bool:
    """Whether any column has two different values."""
    return bool(np.any(~((data.X == data.X[0]) | (np.isnan(data.X) & np.isnan(data.X[0])))))


def _constant_model(data: FitData) -> Model:
    """Return the mean or the class frequencies, where CatBoost finds nothing to fit and raises."""
    if data.problem == "regression":
        return ConstantModel(np.average(data.y, weights=data.sample_weight))
    counts = np.bincount(data.y, weights=data.sample_weight, minlength=data.n_classes)
    return ConstantModel(counts / counts.sum())


# ---------------------------------------------------------------------------------------------- XGBoost


class XGBoostModel(BoostedModel[bytes]):
    """A fitted XGBoost booster."""

    def _load(self) -> Any:
        import xgboost

        return xgboost.Booster(model_file=bytearray(self.serialised))

    def _as_rows(self, X: np.ndarray, n_threads: int) -> Any:
        import xgboost

        known = _known_categories(X, self.categorical, self.n_categories)
        return xgboost.DMatrix(
            known, feature_types=_feature_types(self.categorical), enable_categorical=True, nthread=n_threads
        )

    def _raw_predict(self, rows: Any, n_iterations: int, n_threads: int) -> np.ndarray:
        return self._booster.predict(rows, iteration_range=(0, n_iterations))


def fit_xgboost(data: FitData, parameters: Mapping[str, Value]) -> XGBoostModel:
    """Return XGBoost fitted with histogram trees and native categories."""
    import xgboost

    data, columns = screened(data)
    scale = TargetScale(data.y, data.sample_weight) if data.problem == "regression" else None
    chosen = {**_xgboost_settings(data), **parameters}
    learning_rate = float(chosen.setdefault("learning_rate", 0.06))

    def matrix(X: np.ndarray, y: np.ndarray, weight: np.ndarray | None, reference: Any = None) -> Any:
        return xgboost.QuantileDMatrix(
            _known_categories(X, data.categorical, data.n_categories),
            _target(y, scale),
            weight=weight,
            feature_types=_feature_types(data.categorical),
            enable_categorical=True,
            max_bin=int(chosen["max_bin"]),
            nthread=data.n_threads,
            ref=reference,
        )

    train = matrix(data.X, data.y, data.sample_weight)
    watched = []
    if stops_early(data):
        assert data.X_val is not None and data.y_val is not None
        watched = [(matrix(data.X_val, data.y_val, data.sample_weight_val, train), "validation")]
    n_rounds = iterations_to_do(data, round(10 / learning_rate), round(min(5000.0, 200 / learning_rate)))
    stopping = EarlyStopping(_patience(learning_rate), data.deadline, n_rounds)
    booster = xgboost.train(
        chosen,
        train,
        num_boost_round=n_rounds,
        evals=watched,
        callbacks=[_xgboost_callback(stopping)],
        verbose_eval=False,
    )
    best = stopping.best_iteration
    return XGBoostModel(bytes(booster[:best].save_raw("ubj")), data, scale, columns, best, stopping.is_cut_short)


def _xgboost_callback(stopping: EarlyStopping) -> Any:
    from xgboost.callback import TrainingCallback

    class StoppingCallback(TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            """Return whether to stop."""
            losses = evals_log.get("validation")
            loss = next(iter(losses.values()))[-1] if losses else None
            return stopping.stop_after(epoch + 1, loss)

    return StoppingCallback()


def _xgboost_settings(data: FitData) -> dict[str, Any]:
    objective = {"binary": "binary:logistic", "multiclass": "multi:softprob", "regression": "reg:squarederror"}[
        data.problem
    ]
    return {
        "objective": objective,
        **({"num_class": data.n_classes} if data.problem == "multiclass" else {}),
        "tree_method": "hist",
        "max_bin": _n_bins(data.X.shape[1]),
        "nthread": data.n_threads,
        "seed": data.seed,
        "verbosity": 0,
    }


def _feature_types(categorical: np.ndarray) -> list[str]:
    return np.where(categorical, "c", "q").tolist()


def _known_categories(X: np.ndarray, categorical: np.ndarray, n_categories: np.ndarray) -> np.ndarray:
    """Return `X` with codes that training cannot have seen as missing."""
    unseen = np.zeros(X.shape, dtype=bool)
    unseen[:, categorical] = X[:, categorical] >= n_categories[categorical]
    return np.where(unseen, np.float32(np.nan), X) if unseen.any() else np.asarray(X)


LIGHTGBM = Learner(
    name="lightgbm", view="tree", fit=fit_lightgbm, library="lightgbm", keeps_deadline=True, has_iterations=True
)
CATBOOST = Learner(
    name="catboost", view="tree", fit=fit_catboost, library="catboost", keeps_deadline=True, has_iterations=True
)
XGBOOST = Learner(
    name="xgboost",
    view="tree",
    fit=fit_xgboost,
    library="xgboost",
    extra="xgboost",
    keeps_deadline=True,
    has_iterations=True,
)
