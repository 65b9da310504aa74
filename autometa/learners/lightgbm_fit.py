"""Gradient boosting by LightGBM."""

# Tests: tests/learners/test_boosting.py

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from autometa.core.space import Value
from autometa.learners.base import FitData, Learner
from autometa.learners.boosting import LightGBMModel, n_bins, n_rounds, stopping_rule
from autometa.learners.early_stopping import stops_early
from autometa.learners.numeric import standardised, target_scale
from autometa.learners.screening import screened


def fit_lightgbm(data: FitData, parameters: Mapping[str, Value]) -> LightGBMModel:
    """Return LightGBM fitted with native categories; `parameters` are LightGBM's own."""
    import lightgbm
    from lightgbm.callback import EarlyStopException

    data, columns = screened(data)
    scale = target_scale(data)
    chosen = {**_settings(data), **parameters}
    learning_rate = float(chosen.setdefault("learning_rate", 0.06))
    # LightGBM's own thresholds of 20 and 100 rows would leave nothing to split on small tables.
    chosen["min_data_in_leaf"] = _at_most(chosen.get("min_data_in_leaf", 20), len(data.y) // 25)
    chosen["min_data_per_group"] = _at_most(chosen.get("min_data_per_group", 100), len(data.y) // 10)
    train = lightgbm.Dataset(
        data.X,
        standardised(data.y, scale),
        weight=data.sample_weight,
        categorical_feature=np.flatnonzero(data.categorical).tolist(),
        params=chosen,
    )
    validation = []
    if stops_early(data):
        assert data.y_val is not None
        y_val = standardised(data.y_val, scale)
        validation = [train.create_valid(data.X_val, y_val, weight=data.sample_weight_val)]
    n_wanted = n_rounds(data, learning_rate)
    stopping = stopping_rule(data, learning_rate, n_wanted)

    def after_iteration(env: Any) -> None:
        loss = env.evaluation_result_list[0][2] if env.evaluation_result_list else None
        if stopping.stop_after(env.iteration + 1, loss):
            raise EarlyStopException(env.iteration, env.evaluation_result_list)

    booster = lightgbm.train(
        chosen, train, num_boost_round=n_wanted, valid_sets=validation, callbacks=[after_iteration]
    )
    best = min(stopping.best_iteration, max(1, booster.current_iteration()))
    return LightGBMModel(booster.model_to_string(num_iteration=best), data, scale, columns, best, stopping.is_cut_short)


def _settings(data: FitData) -> dict[str, Any]:
    return {
        "objective": data.problem,
        **({"num_class": data.n_classes} if data.problem == "multiclass" else {}),
        "bagging_freq": 1,
        "max_bin": n_bins(data.X.shape[1]),
        "num_threads": data.n_threads,
        "seed": data.seed,
        "deterministic": True,
        # Otherwise LightGBM times both layouts, and the result depends on which one was faster.
        "force_col_wise": True,
        "verbosity": -1,
    }


def _at_most(value: Any, bound: int) -> int:
    return max(1, min(int(value), bound))


LIGHTGBM = Learner(
    name="lightgbm",
    view="tree",
    fit=fit_lightgbm,
    library="lightgbm",
    keeps_deadline=True,
    has_iterations=True,
    saved_types=(LightGBMModel,),
)
