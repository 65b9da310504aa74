"""Makes unfitted scikit-learn pipelines of configurations: the preparation, and the estimator of the library itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from autometa._support.imports import is_installed
from autometa._support.process_state import kept_process_state
from autometa.catalogue import load_strategies
from autometa.core.strategy import Strategy
from autometa.exceptions import MissingDependencyError
from autometa.fit_inputs import read_inputs
from autometa.learners import learner_named
from autometa.learners.learner_estimator import LearnerClassifier, LearnerRegressor
from autometa.learners.plain_estimators import PLAIN_ESTIMATORS, TableShape
from autometa.search.trial_records import COMPLETE
from autometa.tables.preparation import fit_preparation
from autometa.tables.table_preparation import TablePreparation
from autometa.tables.target import ProblemChoice


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
    target = TableShape(
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
        target = TableShape(
            task.problem,
            task.n_classes,
            task.n_rows,
            len(prepared.names),
            {name: size for name, size in sizes.items() if size},
            classes is not None and np.array_equal(classes, np.arange(len(classes))),
            1,
        )
        return _pipeline(chosen, {**known, **(configuration or {})}, target, None)


def _pipeline(
    strategy: Strategy, parameters: Mapping[str, Any], target: TableShape, n_iterations: int | None
) -> Pipeline:
    if not isinstance(strategy.learner, str):
        own = clone(strategy.learner).set_params(**parameters)
        return Pipeline([("prepare", TablePreparation("numeric")), ("model", own)])
    learner = learner_named(strategy.learner)
    if not is_installed(learner.library):
        extra = f"autometa[{learner.extra}]" if learner.extra else learner.library
        raise MissingDependencyError(
            f'The pipeline needs {learner.library!r}, which is not installed. Install it with: pip install "{extra}"'
        )
    make = PLAIN_ESTIMATORS.get(learner.name)
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
