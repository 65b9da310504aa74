"""Gradient boosting by XGBoost."""

# Tests: tests/learners/test_boosting.py

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from autometa.core.space import Value
from autometa.learners.base import FitData, Learner
from autometa.learners.boosting import XGBoostModel, n_bins, n_rounds, stopping_rule, xgboost_columns
from autometa.learners.early_stopping import EarlyStopping, stops_early
from autometa.learners.numeric import standardised, target_scale
from autometa.learners.screening import screened


def fit_xgboost(data: FitData, parameters: Mapping[str, Value]) -> XGBoostModel:
    """Return XGBoost fitted with histogram trees and native categories; `parameters` are XGBoost's own."""
    import xgboost

    data, columns = screened(data)
    scale = target_scale(data)
    chosen = {**_settings(data), **parameters}
    learning_rate = float(chosen.setdefault("learning_rate", 0.06))

    def matrix(X: np.ndarray, y: np.ndarray, weight: np.ndarray | None, reference: Any = None) -> Any:
        return xgboost.QuantileDMatrix(
            **xgboost_columns(X, data.categorical, data.n_categories),
            label=standardised(y, scale),
            weight=weight,
            enable_categorical=True,
            max_bin=int(chosen["max_bin"]),
            nthread=data.n_threads,
            ref=reference,
        )

    train = matrix(data.X, data.y, data.sample_weight)
    validation = []
    if stops_early(data):
        assert data.X_val is not None and data.y_val is not None
        validation = [(matrix(data.X_val, data.y_val, data.sample_weight_val, train), "validation")]
    n_wanted = n_rounds(data, learning_rate)
    stopping = stopping_rule(data, learning_rate, n_wanted)
    booster = xgboost.train(
        chosen,
        train,
        num_boost_round=n_wanted,
        evals=validation,
        callbacks=[_callback(stopping)],
        verbose_eval=False,
    )
    best = stopping.best_iteration
    return XGBoostModel(bytes(booster[:best].save_raw("ubj")), data, scale, columns, best, stopping.is_cut_short)


def _callback(stopping: EarlyStopping) -> Any:
    from xgboost.callback import TrainingCallback

    class StoppingCallback(TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            """Return whether to stop."""
            losses = evals_log.get("validation")
            loss = next(iter(losses.values()))[-1] if losses else None
            return stopping.stop_after(epoch + 1, loss)

    return StoppingCallback()


def _settings(data: FitData) -> dict[str, Any]:
    objectives = {"binary": "binary:logistic", "multiclass": "multi:softprob", "regression": "reg:squarederror"}
    return {
        "objective": objectives[data.problem],
        **({"num_class": data.n_classes} if data.problem == "multiclass" else {}),
        "tree_method": "hist",
        "max_bin": n_bins(data.X.shape[1]),
        "nthread": data.n_threads,
        "seed": data.seed,
        "verbosity": 0,
    }


XGBOOST = Learner(
    name="xgboost",
    view="tree",
    fit=fit_xgboost,
    library="xgboost",
    extra="xgboost",
    keeps_deadline=True,
    has_iterations=True,
    saved_types=(XGBoostModel,),
)
