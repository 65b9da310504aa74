"""Fits of rows in time: ``cv="time"``."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from autometa import AutoMeta, AutoMetaRegressor

QUICK = {"n_trials": 3, "strategies": ["nearest_neighbours", "ridge"], "random_state": 0, "n_jobs": 1}


def drifting(n_rows: int = 400, seed: int = 0) -> tuple[pd.DataFrame, pd.Series]:
    """Return a table whose target follows a random walk, which only the date tells."""
    rng = np.random.default_rng(seed)
    when = pd.date_range("2021-01-01", periods=n_rows, freq="D")
    y = np.cumsum(rng.normal(size=n_rows))
    X = pd.DataFrame({"when": when, "a": rng.normal(size=n_rows)})
    order = rng.permutation(n_rows)
    return X.iloc[order].reset_index(drop=True), pd.Series(y[order])


@pytest.fixture(scope="module")
def fitted() -> tuple[AutoMeta, pd.DataFrame]:
    X, y = drifting()
    return AutoMeta(cv="time", time_column="when", **QUICK).fit(X, y), X


def test_rows_are_validated_on_models_of_earlier_rows(fitted: tuple[AutoMeta, pd.DataFrame]) -> None:
    model, X = fitted
    unknown = np.isnan(model.oof_predictions())
    # The first part is only trained on.
    assert X["when"][unknown].max() < X["when"][~unknown].min()
    assert 0.1 < unknown.mean() < 0.5


def test_final_models_are_fitted_on_all_rows(fitted: tuple[AutoMeta, pd.DataFrame]) -> None:
    model, _ = fitted
    assert all(len(member.models) == 1 for member in model.predictor_.members)


def test_the_validation_score_is_nearer_to_that_of_later_rows_than_with_random_folds() -> None:
    distances = {"time": [], "random": []}
    for seed in range(4):
        X, y = drifting(600, seed)
        is_later = X["when"] > X["when"].sort_values().iloc[449]
        for name, options in (("time", {"cv": "time", "time_column": "when"}), ("random", {"cv": 4})):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                model = AutoMetaRegressor(metric="rmse", **options, **QUICK).fit(X[~is_later], y[~is_later])
            truth = -model.score(X[is_later], y[is_later])
            distances[name].append(abs(np.log(model.history_.ensemble_loss / truth)))
    assert np.mean(distances["time"]) < np.mean(distances["random"])


def test_random_folds_of_a_target_that_follows_a_date_give_a_warning() -> None:
    X, y = drifting()
    with pytest.warns(UserWarning, match="The target changes over time with 'when'"):
        AutoMeta(**QUICK).fit(X, y)
    shuffled = y.sample(frac=1, random_state=0).reset_index(drop=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="The target changes over time")
        AutoMeta(cv="time", time_column="when", **QUICK).fit(X, y)
        AutoMeta(**QUICK).fit(X, shuffled)


def test_without_a_column_the_rows_are_in_time() -> None:
    X, y = drifting()
    order = np.argsort(X["when"].to_numpy())
    model = AutoMeta(cv="time", **QUICK).fit(X.iloc[order], y.iloc[order])
    known = ~np.isnan(model.oof_predictions())
    assert np.flatnonzero(known).tolist() == list(range(len(X) - known.sum(), len(X)))


def test_bad_arguments_say_what_to_do() -> None:
    X, y = drifting(60)
    with pytest.raises(ValueError, match="orders the rows for cv='time'"):
        AutoMeta(time_column="when", **QUICK).fit(X, y)
    with pytest.raises(ValueError, match="cannot keep groups together"):
        AutoMeta(cv="time", **QUICK).fit(X, y, groups=np.arange(60) % 7)
    with pytest.raises(ValueError, match="no column 'day'"):
        AutoMeta(cv="time", time_column="day", **QUICK).fit(X, y)
    with pytest.raises(TypeError, match="'time'"):
        AutoMeta(cv="later", **QUICK).fit(X, y)


def test_parameters_are_those_of_scikit_learn() -> None:
    model = clone(AutoMeta(cv="time", time_column="when"))
    assert (model.cv, model.time_column) == ("time", "when")
