"""Makes unfitted scikit-learn pipelines of configurations: the preparation, and the estimator of the library itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from autometa._support.imports import is_installed
from autometa._support.process_state import kept_process_state
from autometa.catalogue import load_strategies
from autometa.core.strategy import Strategy
from autometa.core.task import Problem
from autometa.exceptions import MissingDependencyError
from autometa.fit_inputs import read_inputs
from autometa.learners import learner_named
from autometa.learners.boosting import n_bins
from autometa.learners.catboost_fit import automatic_learning_rate
from autometa.learners.learner_estimator import LearnerClassifier, LearnerRegressor
from autometa.learners.trees import affordable_leaves
from autometa.search.trial_records import COMPLETE
from autometa.tables.preparation import fit_preparation
from autometa.tables.table_preparation import TablePreparation
from autometa.tables.target import ProblemChoice

_LIGHTGBM_NAMES = {
    "min_data_in_leaf": "min_child_samples",
    "feature_fraction": "colsample_bytree",
    "bagging_fraction": "subsample",
    "lambda_l1": "reg_alpha",
    "lambda_l2": "reg_lambda",
}
"""Names of LightGBM's parameters in its scikit-learn estimators."""


@dataclass(frozen=True)
class _Target:
    """The table that a pipeline is made for.

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


def pipeline_of_trial(model: Any, trial: int | None) -> Pipeline:
    """Return the pipeline of a trial of a fitted estimator; see ``AutoMeta.pipeline``."""
    rows = {row["number"]: row for row in model.history_.trials}
    if not rows:
        raise ValueError("There is no trial to make a pipeline of: y was constant in fit.")
    if trial is None:
        complete = [row for row in rows.values() if row["status"] in COMPLETE and math.isfinite(row["loss"])]
        row = min(complete or rows.values(), key=lambda row: (math.isnan(row["loss"]), row["loss"]))
    elif trial in rows:
        row = rows[trial]
    else:
        raise ValueError(f"There is no trial {trial!r}; leaderboard() lists those that there are: {sorted(rows)}.")
    strategies = {strategy.name: strategy for strategy in load_strategies(model.strategies)}
    if row["strategy"] not in strategies:
        raise ValueError(
            f"Trial {row['number']} is of the strategy {row['strategy']!r}, which a saved file does not keep. Give the "
            "Strategy object first: model.set_params(strategies=[…])."
        )
    prepared = next((p for p in model.predictor_.preparations if getattr(p, "view", None) == "tree"), None)
    sizes = {} if prepared is None else dict(zip(prepared.names, prepared.n_categories.tolist(), strict=True))
    categories = {name: sizes.get(name, len(levels)) for name, levels in model._schema.categories.items()}
    classes = getattr(model, "classes_", None)
    target = _Target(
        model.problem_,
        0 if classes is None else len(classes),
        getattr(model, "_n_rows", 1000),
        len(sizes) or len(model._schema.columns),
        categories,
        classes is not None and np.array_equal(classes, np.arange(len(classes))),
        model.n_jobs,
    )
    return _pipeline(strategies[row["strategy"]], row["parameters"], target, row.get("n_iterations"))


def pipeline_of(
    X: Any,
    y: Any,
    strategy: str | Path | Strategy,
    configuration: Mapping[str, Any] | None = None,
    *,
    problem: ProblemChoice = "auto",
) -> Pipeline:
    """Return a configuration for a table, e.g. one that `recommend` advises, as an unfitted scikit-learn pipeline.

    Parameters
    ----------
    X, y : like in ``AutoMeta.fit``
        The table, of which kinds of columns and the number of rows are read.
    strategy : str, Path or Strategy
        The strategy, as in the column ``strategy`` of `recommend`.
    configuration : mapping of str to value, optional
        Its hyperparameters, as in the column ``configuration`` of `recommend`; by default those of its first portfolio
        entry.
    problem : as in `AutoMeta`
        The problem.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps ``"prepare"`` and ``"model"``; see ``AutoMeta.pipeline``.

    Raises
    ------
    ValueError, TypeError
        If the data or the strategy is not usable, or a hyperparameter does not belong to the strategy.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> pipeline_of(X, y, "logistic_regression", {"C": 0.3}).named_steps["model"]
    LogisticRegression(C=0.3)
    """
    with kept_process_state():
        inputs = read_inputs(X, y, problem=problem)
        chosen = load_strategies([strategy])[0]
        known = dict(chosen.portfolio[0].parameters)
        if unknown := sorted(set(configuration or {}) - set(known)):
            raise ValueError(f"{chosen.name} has no hyperparameters {unknown}; it has {sorted(known)}.")
        task, classes = inputs.task, inputs.target.classes
        prepared = fit_preparation(task.table, "tree", 0)
        sizes = dict(zip(prepared.names, prepared.n_categories.tolist(), strict=True))
        target = _Target(
            task.problem,
            task.n_classes,
            task.n_rows,
            len(prepared.names),
            {name: size for name, size in sizes.items() if size},
            classes is not None and np.array_equal(classes, np.arange(len(classes))),
            1,
        )
        return _pipeline(chosen, {**known, **(configuration or {})}, target, None)


def _pipeline(strategy: Strategy, parameters: Mapping[str, Any], target: _Target, n_iterations: int | None) -> Pipeline:
    if not isinstance(strategy.learner, str):
        own = clone(strategy.learner).set_params(**parameters)
        return Pipeline([("prepare", TablePreparation("numeric")), ("model", own)])
    learner = learner_named(strategy.learner)
    if not is_installed(learner.library):
        extra = f"autometa[{learner.extra}]" if learner.extra else learner.library
        raise MissingDependencyError(
            f'The pipeline needs {learner.library!r}, which is not installed. Install it with: pip install "{extra}"'
        )
    make = _PLAIN.get(learner.name)
    if make is None or (learner.name == "xgboost" and target.n_classes and not target.has_codes):
        wrapper = LearnerClassifier if target.n_classes else LearnerRegressor
        model = wrapper(learner.name, n_iterations=n_iterations, n_jobs=target.n_jobs, **parameters)
        return Pipeline([("prepare", TablePreparation(learner.view)), ("model", model)])
    model = make(dict(parameters), target, n_iterations)
    limit = {"hist_gradient_boosting": 255, "catboost": 10 if target.n_classes > 10 else math.inf}.get(
        learner.name, math.inf
    )
    kept = [name for name, size in target.categories.items() if size <= limit]
    prepare = TablePreparation(learner.view)
    if learner.view == "tree":
        prepare.set_params(categories=kept)
    if learner.name == "catboost":
        prepare.set_params(missing_level=True)
        if kept:
            model.set_params(cat_features=tuple(range(len(kept))))
    elif learner.name in ("random_forest", "extra_trees"):
        prepare.set_params(categories=[])  # they take categories as numbers
    return Pipeline([("prepare", prepare), ("model", model)])


# --------------------------------------------------------------------------- estimators of the libraries


def _standardised(regressor: Any) -> Any:
    """Return a regressor whose penalties hold for a target with mean 0 and deviation 1, as in autometa's fits."""
    return TransformedTargetRegressor(regressor, transformer=StandardScaler())


def _lightgbm(parameters: dict[str, Any], target: _Target, n_iterations: int | None) -> Any:
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


def _xgboost(parameters: dict[str, Any], target: _Target, n_iterations: int | None) -> Any:
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


def _catboost(parameters: dict[str, Any], target: _Target, n_iterations: int | None) -> Any:
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


def _hist_gradient_boosting(parameters: dict[str, Any], target: _Target, n_iterations: int | None) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    chosen = {"learning_rate": 0.08, "min_samples_leaf": 20, **parameters}
    chosen["min_samples_leaf"] = _at_most(chosen["min_samples_leaf"], target.n_rows // 25)
    cls = HistGradientBoostingClassifier if target.n_classes else HistGradientBoostingRegressor
    return cls(
        max_iter=n_iterations or round(10 / chosen["learning_rate"]), early_stopping=False, random_state=0, **chosen
    )


def _forest(classifier: str, regressor: str) -> Callable[[dict[str, Any], _Target, int | None], Any]:
    def make(parameters: dict[str, Any], target: _Target, n_iterations: int | None) -> Any:
        import sklearn.ensemble

        chosen = {"n_estimators": 100, "max_features": 0.4, "min_samples_leaf": 2, **parameters}
        n_leaves = affordable_leaves(int(chosen["n_estimators"]), max(1, target.n_classes))
        cls = getattr(sklearn.ensemble, classifier if target.n_classes else regressor)
        chosen["max_features"] = min(chosen["max_features"], 10 / math.sqrt(target.n_columns))
        most = n_leaves if n_leaves < target.n_rows else None
        return cls(max_leaf_nodes=most, n_jobs=target.n_jobs, random_state=0, **chosen)

    return make


def _logistic_regression(parameters: dict[str, Any], target: _Target, n_iterations: int | None) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=float(parameters.get("C", 1.0)))


def _ridge(parameters: dict[str, Any], target: _Target, n_iterations: int | None) -> Any:
    from sklearn.linear_model import Ridge

    return Ridge(alpha=float(parameters.get("alpha", 1.0)))


def _elastic_net(parameters: dict[str, Any], target: _Target, n_iterations: int | None) -> Any:
    from sklearn.linear_model import ElasticNet

    chosen = {"alpha": 1e-3, "l1_ratio": 0.5, **parameters}
    return _standardised(ElasticNet(max_iter=300, tol=1e-3, selection="random", random_state=0, **chosen))


def _at_most(value: Any, bound: int) -> int:
    return max(1, min(int(value), bound))


_PLAIN: dict[str, Callable[[dict[str, Any], _Target, int | None], Any]] = {
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
