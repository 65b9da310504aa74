"""Makes the estimators of LightGBM, CatBoost, XGBoost and scikit-learn that fit as autometa's learners do."""

# Tests: tests/test_pipelines.py

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sklearn.compose import TransformedTargetRegressor
from sklearn.preprocessing import StandardScaler

from autometa.core.task import Problem
from autometa.learners.boosting import n_bins
from autometa.learners.catboost_fit import automatic_learning_rate
from autometa.learners.trees import affordable_leaves

_LIGHTGBM_NAMES = {
    "min_data_in_leaf": "min_child_samples",
    "feature_fraction": "colsample_bytree",
    "bagging_fraction": "subsample",
    "lambda_l1": "reg_alpha",
    "lambda_l2": "reg_lambda",
}
"""Names of LightGBM's parameters in its scikit-learn estimators."""


@dataclass(frozen=True)
class TableShape:
    """The shape of the table that an estimator is made for.

    Parameters
    ----------
    problem : {"binary", "multiclass", "regression"}
        Kind of the target.
    n_classes : int
        Number of classes; 0 for regression.
    n_rows : int
        Rows that a fit will have.
    n_columns : int
        Columns of the tree view.
    categories : mapping of str to int
        Levels of each category of the tree view.
    has_codes : bool
        Whether the labels are 0 … n_classes − 1.
    n_jobs : int or None
        Threads of a fit.
    """

    problem: Problem
    n_classes: int
    n_rows: int
    n_columns: int
    categories: Mapping[str, int]
    has_codes: bool
    n_jobs: int | None


def _standardised(regressor: Any) -> Any:
    """Return a regressor whose penalties hold for a target with mean 0 and deviation 1, as in autometa's fits."""
    return TransformedTargetRegressor(regressor, transformer=StandardScaler())


def _lightgbm(parameters: dict[str, Any], target: TableShape, n_iterations: int | None) -> Any:
    import lightgbm

    learning_rate = float(parameters.pop("learning_rate", 0.06))
    parameters["min_data_in_leaf"] = _at_most(parameters.get("min_data_in_leaf", 20), target.n_rows // 25)
    cls = lightgbm.LGBMClassifier if target.n_classes else lightgbm.LGBMRegressor
    return cls(
        n_estimators=n_iterations or round(10 / learning_rate),
        learning_rate=learning_rate,
        subsample_freq=1,
        max_bin=n_bins(target.n_columns),
        min_data_per_group=_at_most(parameters.pop("min_data_per_group", 100), target.n_rows // 10),
        random_state=0,
        deterministic=True,
        force_col_wise=True,
        n_jobs=target.n_jobs,
        verbosity=-1,
        **{_LIGHTGBM_NAMES.get(name, name): value for name, value in parameters.items()},
    )


def _xgboost(parameters: dict[str, Any], target: TableShape, n_iterations: int | None) -> Any:
    import xgboost

    learning_rate = float(parameters.pop("learning_rate", 0.06))
    cls = xgboost.XGBClassifier if target.n_classes else xgboost.XGBRegressor
    model = cls(
        n_estimators=n_iterations or round(10 / learning_rate),
        learning_rate=learning_rate,
        tree_method="hist",
        max_bin=n_bins(target.n_columns),
        enable_categorical=True,
        n_jobs=target.n_jobs,
        random_state=0,
        **parameters,
    )
    return model if target.n_classes else _standardised(model)


def _catboost(parameters: dict[str, Any], target: TableShape, n_iterations: int | None) -> Any:
    import catboost

    factor = float(parameters.pop("learning_rate_factor", 1.0))
    cls = catboost.CatBoostClassifier if target.n_classes else catboost.CatBoostRegressor
    settings = {
        "boosting_type": "Plain",
        "max_ctr_complexity": 1,
        "border_count": min(128, n_bins(target.n_columns)),
        "leaf_estimation_iterations": 10 if target.problem == "binary" else 1,
        "random_seed": 0,
        "thread_count": target.n_jobs or 1,
        "allow_const_label": True,
        "allow_writing_files": False,
        "logging_level": "Silent",
        **parameters,
    }
    return cls(
        iterations=n_iterations or 500,
        learning_rate=min(1.0, factor * automatic_learning_rate(target.n_rows, target.problem)),
        **settings,
    )


def _hist_gradient_boosting(parameters: dict[str, Any], target: TableShape, n_iterations: int | None) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    chosen = {"learning_rate": 0.08, "min_samples_leaf": 20, **parameters}
    chosen["min_samples_leaf"] = _at_most(chosen["min_samples_leaf"], target.n_rows // 25)
    cls = HistGradientBoostingClassifier if target.n_classes else HistGradientBoostingRegressor
    return cls(
        max_iter=n_iterations or round(10 / chosen["learning_rate"]), early_stopping=False, random_state=0, **chosen
    )


def _forest(classifier: str, regressor: str) -> Callable[[dict[str, Any], TableShape, int | None], Any]:
    def make(parameters: dict[str, Any], target: TableShape, n_iterations: int | None) -> Any:
        import sklearn.ensemble

        chosen = {"n_estimators": 100, "max_features": 0.4, "min_samples_leaf": 2, **parameters}
        n_leaves = affordable_leaves(int(chosen["n_estimators"]), max(1, target.n_classes))
        cls = getattr(sklearn.ensemble, classifier if target.n_classes else regressor)
        chosen["max_features"] = min(chosen["max_features"], 10 / math.sqrt(target.n_columns))
        most = n_leaves if n_leaves < target.n_rows else None
        return cls(max_leaf_nodes=most, n_jobs=target.n_jobs, random_state=0, **chosen)

    return make


def _logistic_regression(parameters: dict[str, Any], target: TableShape, n_iterations: int | None) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=float(parameters.get("C", 1.0)))


def _ridge(parameters: dict[str, Any], target: TableShape, n_iterations: int | None) -> Any:
    from sklearn.linear_model import Ridge

    return Ridge(alpha=float(parameters.get("alpha", 1.0)))


def _elastic_net(parameters: dict[str, Any], target: TableShape, n_iterations: int | None) -> Any:
    from sklearn.linear_model import ElasticNet

    chosen = {"alpha": 1e-3, "l1_ratio": 0.5, **parameters}
    return _standardised(ElasticNet(max_iter=300, tol=1e-3, selection="random", random_state=0, **chosen))


def _at_most(value: Any, bound: int) -> int:
    return max(1, min(int(value), bound))


PLAIN_ESTIMATORS: dict[str, Callable[[dict[str, Any], TableShape, int | None], Any]] = {
    "lightgbm": _lightgbm,
    "xgboost": _xgboost,
    "catboost": _catboost,
    "hist_gradient_boosting": _hist_gradient_boosting,
    "random_forest": _forest("RandomForestClassifier", "RandomForestRegressor"),
    "extra_trees": _forest("ExtraTreesClassifier", "ExtraTreesRegressor"),
    "logistic_regression": _logistic_regression,
    "ridge": _ridge,
    "elastic_net": _elastic_net,
}
"""Makes the libraries' own estimators; learners that are not here are autometa's own."""
