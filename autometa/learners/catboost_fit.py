"""Gradient boosting by CatBoost."""

# Tests: tests/learners/test_boosting.py

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from autometa.core.space import Value
from autometa.core.task import Problem
from autometa.learners.base import FitData, Learner, Model
from autometa.learners.boosting import CatBoostModel, catboost_pool, n_bins, stopping_rule
from autometa.learners.constant import ConstantModel
from autometa.learners.early_stopping import EarlyStopping, iterations_to_do, stops_early
from autometa.learners.numeric import TargetScale, standardised, target_scale
from autometa.learners.screening import screened

_MOST_CLASSES_WITH_STATISTICS = 10
"""With more classes, columns of more categories than this are taken as numbers: CatBoost keeps a target statistic for
each class, and on 50,000 rows with 60 classes one iteration over two such columns takes 20 seconds."""


def fit_catboost(data: FitData, parameters: Mapping[str, Value]) -> Model:
    """Return CatBoost fitted with ordered target statistics of the categories.

    The parameter ``learning_rate_factor`` multiplies the learning rate that CatBoost
    chooses by the number of rows; the others are CatBoost's own.
    """
    import catboost

    data, columns = screened(data)
    if data.n_classes > _MOST_CLASSES_WITH_STATISTICS:
        data = replace(data, categorical=data.categorical & (data.n_categories <= _MOST_CLASSES_WITH_STATISTICS))
    scale = target_scale(data)
    chosen = {**_settings(data), **parameters}
    factor = float(chosen.pop("learning_rate_factor", 1.0))
    learning_rate = min(1.0, factor * automatic_learning_rate(len(data.y), data.problem))
    chosen["learning_rate"] = learning_rate
    chosen["iterations"] = iterations_to_do(data, 500, round(min(3000.0, max(1000.0, 60 / learning_rate))))
    try:
        booster, stopping = _train(data, scale, chosen)
    except catboost.CatBoostError as error:
        if not _has_information(data):
            return _constant_model(data)
        if "Too few sampling units" not in str(error):
            raise
        # Rows are sampled by their gradients, and a perfectly fitted target leaves no gradient.
        booster, stopping = _train(data, scale, {**chosen, "bootstrap_type": "No"})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.cbm"
        booster.save_model(str(path), format="cbm")
        serialised = path.read_bytes()
    return CatBoostModel(serialised, data, scale, columns, int(booster.tree_count_), stopping.is_cut_short)


def _train(data: FitData, scale: TargetScale | None, chosen: dict[str, Any]) -> tuple[Any, EarlyStopping]:
    """Return the booster, and how its training was stopped."""
    import catboost

    def pool(X: np.ndarray, y: np.ndarray, weight: np.ndarray | None) -> Any:
        return catboost_pool(X, data.categorical, data.n_categories, standardised(y, scale), weight)

    train, validation = pool(data.X, data.y, data.sample_weight), None
    if stops_early(data):
        assert data.X_val is not None and data.y_val is not None
        validation = pool(data.X_val, data.y_val, data.sample_weight_val)
    callback = _Callback(stopping_rule(data, chosen["learning_rate"], chosen["iterations"]))
    booster = catboost.CatBoost(chosen)
    booster.fit(train, eval_set=validation, callbacks=[callback])
    return booster, callback.stopping


class _Callback:
    def __init__(self, stopping: EarlyStopping) -> None:
        self.stopping = stopping

    def after_iteration(self, info: Any) -> bool:
        """Return whether to continue."""
        losses = info.metrics.get("validation")
        loss = next(iter(losses.values()))[-1] if losses else None
        return not self.stopping.stop_after(info.iteration, loss)


def _settings(data: FitData) -> dict[str, Any]:
    return {
        "loss_function": {"binary": "Logloss", "multiclass": "MultiClass", "regression": "RMSE"}[data.problem],
        **({"classes_count": data.n_classes} if data.problem == "multiclass" else {}),
        "boosting_type": "Plain",
        "max_ctr_complexity": 1,
        "border_count": min(128, n_bins(data.X.shape[1])),
        # By default CatBoost takes 1 for two classes below 200 iterations, so that a refit with that few iterations
        # would not be the model that early stopping chose.
        "leaf_estimation_iterations": 10 if data.problem == "binary" else 1,
        "thread_count": data.n_threads,
        "random_seed": data.seed,
        "allow_const_label": True,
        "allow_writing_files": False,
        "logging_level": "Silent",
    }


def automatic_learning_rate(n_rows: int, problem: Problem) -> float:
    """Return CatBoost's own choice for 1,000 iterations with validation rows.

    Without validation rows the library uses another rule. The rate is set explicitly, so that a number of iterations
    found with validation rows holds for the refit without them.
    """
    slope, intercept = {"binary": (0.247, -5.158), "multiclass": (0.02, -2.364), "regression": (0.157, -4.062)}[problem]
    return min(0.5, math.exp(slope * math.log(n_rows) + intercept))


def _has_information(data: FitData) -> bool:
    """Return whether any column has two different values."""
    return bool(np.any(~((data.X == data.X[0]) | (np.isnan(data.X) & np.isnan(data.X[0])))))


def _constant_model(data: FitData) -> Model:
    """Return the mean or the class frequencies, where CatBoost finds nothing to fit and raises."""
    if data.problem == "regression":
        return ConstantModel(np.average(data.y, weights=data.sample_weight))
    counts = np.bincount(data.y, weights=data.sample_weight, minlength=data.n_classes)
    return ConstantModel(counts / counts.sum())


CATBOOST = Learner(
    name="catboost",
    view="tree",
    fit=fit_catboost,
    library="catboost",
    keeps_deadline=True,
    has_iterations=True,
    saved_types=(CatBoostModel,),
)
