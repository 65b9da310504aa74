"""The compared systems: AutoMeta, and four libraries with their default parameters.

A system has ``fit(X, y)`` on the raw table and ``predict(X)``: probabilities with columns in the order of
`classes_` for classification, values for regression.
"""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd

CATBOOST_LIMIT_S = 600.0
# HistGradientBoosting refuses nominal columns with more levels than bins.
HISTOGRAM_LEVELS = 255
_METRICS = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}
_DISTRIBUTIONS = {
    "autometa": ("autometa", "scikit-learn", "lightgbm", "catboost"),
    "random_forest": ("scikit-learn",),
    "hist_gradient_boosting": ("scikit-learn",),
    "lightgbm": ("lightgbm", "scikit-learn"),
    "catboost": ("catboost", "scikit-learn"),
}

Nominal = Literal["code", "few_levels", "category", "text"]


@dataclass(frozen=True)
class Setting:
    """The settings that every system gets.

    Parameters
    ----------
    problem : {"binary", "multiclass", "regression"}
        Kind of the target.
    budget_s : float
        Wall-clock seconds for `fit`; only AutoMeta has a budget.
    n_threads : int
        Threads or worker processes.
    seed : int
        Random state.
    """

    problem: str
    budget_s: float
    n_threads: int
    seed: int


class System(Protocol):
    """A learner of raw tables."""

    classes_: list[Any]

    def fit(self, X: pd.DataFrame, y: pd.Series) -> None: ...

    def predict(self, X: pd.DataFrame) -> np.ndarray: ...


class TableEncoder:
    """Encodes a raw table in the plainest form that a library accepts.

    Numbers and bools stay numbers, and infinities become missing values. A date becomes year, month, day, weekday, hour
    and seconds since 1970. Every other column, including free text, is nominal. Levels are those of the fitted rows;
    other levels are missing values.

    Parameters
    ----------
    nominal : {"code", "few_levels", "category", "text"}
        ``code``: the number of the level, as a float. ``category``: a pandas category. ``few_levels``: a
        category with at most 255 levels, a code beyond. ``text``: the text itself, ``"missing"`` where missing
        and new levels kept, as CatBoost wants it.
    """

    def __init__(self, nominal: Nominal) -> None:
        self.nominal = nominal

    def fit(self, X: pd.DataFrame) -> TableEncoder:
        """Learn the levels of the nominal columns and return the encoder."""
        self.levels_ = {
            position: _levels(column) for position, (_, column) in enumerate(X.items()) if _is_nominal(column)
        }
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the encoded table, with columns named by their position (LightGBM refuses some names)."""
        columns: dict[str, Any] = {}
        for position, (_, column) in enumerate(X.items()):
            if position in self.levels_:
                columns[f"c{position}"] = self._encode_nominal(column, self.levels_[position])
            elif pd.api.types.is_datetime64_any_dtype(column.dtype):
                columns |= {f"c{position}_{part}": values for part, values in _date_parts(column).items()}
            elif pd.api.types.is_timedelta64_dtype(column.dtype):
                columns[f"c{position}"] = column.dt.total_seconds().to_numpy()
            else:
                numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
                columns[f"c{position}"] = np.where(np.isfinite(numbers), numbers, np.nan)
        return pd.DataFrame(columns)

    def _encode_nominal(self, column: pd.Series, levels: list[str]) -> Any:
        texts = _as_text(column)
        if self.nominal == "text":
            return texts.fillna("missing").to_numpy(dtype=object)
        codes = pd.Index(levels).get_indexer(texts)  # -1 for a level that was not fitted
        if self.nominal == "category" or (self.nominal == "few_levels" and len(levels) <= HISTOGRAM_LEVELS):
            return pd.Categorical.from_codes(codes, categories=levels)
        return np.where(codes >= 0, codes.astype(np.float64), np.nan)


def _is_nominal(column: pd.Series) -> bool:
    types = pd.api.types
    return not (
        types.is_numeric_dtype(column.dtype)  # bools are numeric
        or types.is_datetime64_any_dtype(column.dtype)
        or types.is_timedelta64_dtype(column.dtype)
    )


def _as_text(column: pd.Series) -> pd.Series:
    as_object = column.astype(object)
    return as_object.where(as_object.isna(), as_object.map(str)).reset_index(drop=True)


def _levels(column: pd.Series) -> list[str]:
    present = set(_as_text(column).dropna())
    if isinstance(column.dtype, pd.CategoricalDtype):
        # An ordered category keeps its order.
        return [level for level in map(str, column.cat.categories) if level in present]
    return sorted(present)


def _date_parts(column: pd.Series) -> dict[str, np.ndarray]:
    dates = column.dt
    parts = {part: getattr(dates, part) for part in ("year", "month", "day", "day_of_week", "hour")}
    zone_free = dates.tz_convert(None) if dates.tz is not None else column
    parts["seconds"] = (zone_free - pd.Timestamp(0)).dt.total_seconds()
    return {part: values.to_numpy(dtype=np.float64, na_value=np.nan) for part, values in parts.items()}


class Baseline:
    """A library's estimator with its default parameters behind a `TableEncoder`.

    Parameters
    ----------
    nominal : {"code", "few_levels", "category", "text"}
        Encoding of nominal columns.
    estimator : scikit-learn estimator
        The unfitted model.
    fit_parameters : callable, optional
        ``fit_parameters(encoder, table)`` returns keyword arguments of the estimator's `fit`.
    """

    def __init__(
        self,
        nominal: Nominal,
        estimator: Any,
        fit_parameters: Callable[[TableEncoder, pd.DataFrame], dict[str, Any]] = lambda encoder, table: {},
    ) -> None:
        self.encoder = TableEncoder(nominal)
        self.estimator = estimator
        self.fit_parameters = fit_parameters
        self.classes_: list[Any] = []

    def fit(self, X: pd.DataFrame, y: pd.Series) -> None:
        """Fit the encoder and the estimator; class labels become codes."""
        table = self.encoder.fit(X).transform(X)
        target = y.to_numpy()
        if hasattr(self.estimator, "predict_proba"):
            target, labels = pd.factorize(y, sort=True)
            self.classes_ = list(labels)
        self.estimator.fit(table, target, **self.fit_parameters(self.encoder, table))

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Return probabilities or values."""
        table = self.encoder.transform(X)
        return self.estimator.predict_proba(table) if self.classes_ else self.estimator.predict(table)


class AutoMetaSystem:
    """AutoMeta on the table as it is."""

    def __init__(self, setting: Setting) -> None:
        from autometa import AutoMetaClassifier, AutoMetaRegressor

        self.is_regression = setting.problem == "regression"
        # The kind of the target is given, so the rule about integer targets is not tested.
        kind = AutoMetaRegressor if self.is_regression else AutoMetaClassifier
        self.model = kind(
            time_budget=setting.budget_s,
            random_state=setting.seed,
            n_jobs=setting.n_threads,
            metric=_METRICS[setting.problem],
        )
        self.classes_: list[Any] = []

    def fit(self, X: pd.DataFrame, y: pd.Series) -> None:
        """Search for the budget."""
        self.model.fit(X, y)
        if not self.is_regression:
            self.classes_ = list(self.model.classes_)

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        """Return probabilities or values."""
        return np.asarray(self.model.predict(X) if self.is_regression else self.model.predict_proba(X))


def _random_forest(setting: Setting) -> System:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    kind = RandomForestRegressor if setting.problem == "regression" else RandomForestClassifier
    return Baseline("code", kind(n_jobs=setting.n_threads, random_state=setting.seed))


def _hist_gradient_boosting(setting: Setting) -> System:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingRegressor if setting.problem == "regression" else HistGradientBoostingClassifier
    # The number of threads comes from OMP_NUM_THREADS.
    return Baseline("few_levels", kind(random_state=setting.seed))


def _lightgbm(setting: Setting) -> System:
    from lightgbm import LGBMClassifier, LGBMRegressor

    kind = LGBMRegressor if setting.problem == "regression" else LGBMClassifier
    return Baseline("category", kind(n_jobs=setting.n_threads, random_state=setting.seed, verbose=-1))


def _catboost(setting: Setting) -> System:
    from catboost import CatBoostClassifier, CatBoostRegressor

    kind = CatBoostRegressor if setting.problem == "regression" else CatBoostClassifier
    estimator = kind(
        thread_count=setting.n_threads, random_state=setting.seed, verbose=False, allow_writing_files=False
    )
    return Baseline("text", estimator, _catboost_fit_parameters)


def _catboost_fit_parameters(encoder: TableEncoder, table: pd.DataFrame) -> dict[str, Any]:
    nominal = [f"c{position}" for position in encoder.levels_]
    return {"cat_features": nominal, "callbacks": [_StopAfter(CATBOOST_LIMIT_S)]}


class _StopAfter:
    """End CatBoost's boosting after some seconds and keep the trees so far."""

    def __init__(self, limit_s: float) -> None:
        self.deadline = time.perf_counter() + limit_s

    def after_iteration(self, info: Any) -> bool:
        return time.perf_counter() < self.deadline


SYSTEMS: dict[str, Callable[[Setting], System]] = {
    "autometa": AutoMetaSystem,
    "random_forest": _random_forest,
    "hist_gradient_boosting": _hist_gradient_boosting,
    "lightgbm": _lightgbm,
    "catboost": _catboost,
}


def versions(system: str) -> str:
    """Return the versions of Python and of the libraries of a system, in one line."""
    found = [f"python {platform.python_version()}"]
    for distribution in _DISTRIBUTIONS[system]:
        if distribution == "autometa":
            import autometa  # a plain checkout has no installed metadata

            found.append(f"autometa {autometa.__version__}")
        else:
            found.append(f"{distribution} {importlib.metadata.version(distribution)}")
    return "; ".join(found)
