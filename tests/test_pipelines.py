"""Trials and recommended configurations as pipelines of scikit-learn."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline

import autometa
from autometa import AutoMeta, Strategy, load, load_strategies, pipeline_of, recommend

N_ROWS = 300
FOLDS = list(StratifiedKFold(3, shuffle=True, random_state=0).split(np.zeros(N_ROWS), np.arange(N_ROWS) % 2))
STRATEGIES = [strategy.name for strategy in load_strategies()]
# Forests of scikit-learn give probabilities of 0, where autometa's never do; the area under the curve compares them.
SCORING = {"binary": ("roc_auc", "roc_auc"), "regression": ("rmse", "neg_root_mean_squared_error")}


def table(problem: str, seed: int = 0) -> tuple[pd.DataFrame, pd.Series]:
    """Return numbers, a category with missing values, and a target that depends on both."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(N_ROWS, 4)), columns=["a", "b [m]", "c", "d"])
    X["kind: {x}"] = rng.choice(["red", "green", "blue", None], N_ROWS)
    X.loc[::7, "a"] = np.nan
    signal = 2 * X["b [m]"] + X["c"] * X["d"] + 2 * (X["kind: {x}"] == "red") + rng.normal(size=N_ROWS)
    if problem == "regression":
        return X, 100 * signal
    return X, pd.Series(np.where(signal > signal.median(), "yes", "no"))


def fitted(problem: str, strategy: Any, **settings: Any) -> AutoMeta:
    X, y = table(problem)
    options = {"n_trials": 1, "cv": FOLDS, "n_jobs": 1, "random_state": 0, "progress": False, **settings}
    return AutoMeta(problem, strategies=[strategy], metric=SCORING[problem][0], **options).fit(X, y)


@pytest.mark.slow
@pytest.mark.parametrize("problem", ["binary", "regression"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_pipeline_of_a_trial_is_about_as_good_as_the_trial(problem: str, strategy: str) -> None:
    problems = load_strategies([strategy])[0].fitness.problems
    if problems and problem not in problems:
        pytest.skip("the strategy is for another problem")
    model = fitted(problem, strategy)
    pipeline = model.pipeline()
    scores = cross_val_score(clone(pipeline), *table(problem), cv=FOLDS, scoring=SCORING[problem][1])
    loss = 1 - scores.mean() if problem == "binary" else -scores.mean()
    trial = model.leaderboard(full=True).iloc[0]
    assert 0.75 < loss / trial["loss"] < 1.3


@pytest.mark.parametrize("problem", ["binary", "regression"])
def test_pipeline_can_be_cloned_searched_and_pickled(problem: str) -> None:
    model = fitted(problem, "logistic_regression" if problem == "binary" else "ridge")
    X, y = table(problem)
    pipeline = model.pipeline()
    assert isinstance(pipeline, Pipeline)
    name = "model__C" if problem == "binary" else "model__alpha"
    search = GridSearchCV(pipeline, {name: [0.01, 1.0]}, cv=2).fit(X, y)
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(again.predict(X), search.predict(X))
    assert search.score(*table(problem, 1)) > 0.5


def test_model_is_the_plain_estimator_of_the_library() -> None:
    model = fitted("binary", "logistic_regression")
    assert type(model.pipeline().named_steps["model"]) is LogisticRegression
    assert type(pipeline_of(*table("binary"), "lightgbm").named_steps["model"]).__module__ == "lightgbm.sklearn"


def test_learners_of_autometa_are_estimators_with_their_hyperparameters() -> None:
    X, y = table("binary")
    pipeline = fitted("binary", "nearest_neighbours").pipeline()
    search = GridSearchCV(pipeline, {"model__n_neighbors": [1, 30]}, cv=2, scoring="neg_log_loss").fit(X, y)
    assert search.best_params_ == {"model__n_neighbors": 30}
    assert list(search.predict_proba(X).argmax(axis=1)) == [list(search.classes_).index(p) for p in search.predict(X)]
    with pytest.raises(ValueError, match="Invalid parameter 'depth'"):
        pipeline.set_params(model__depth=3)


def test_any_trial_can_be_asked_for_also_after_loading(tmp_path: Path) -> None:
    model = fitted("binary", "logistic_regression", n_trials=3)
    loaded = load(model.save(tmp_path / "model.autometa"))
    for trial in model.history_.trials:
        for source in (model, loaded):
            assert source.pipeline(trial["number"]).named_steps["model"].C == trial["parameters"]["C"]
    with pytest.raises(ValueError, match="no trial 99; leaderboard"):
        model.pipeline(99)


def test_strategy_of_your_own_is_in_the_pipeline_and_asked_for_after_loading(tmp_path: Path) -> None:
    own = Strategy("own", SGDClassifier(loss="log_loss"), {})
    model = fitted("binary", own)
    assert isinstance(model.pipeline().named_steps["model"], SGDClassifier)
    loaded = load(model.save(tmp_path / "model.autometa"))
    with pytest.raises(ValueError, match="set_params"):
        loaded.pipeline()
    assert isinstance(loaded.set_params(strategies=[own]).pipeline().named_steps["model"], SGDClassifier)


def test_recommended_configurations_become_pipelines() -> None:
    X, y = table("binary")
    advice = recommend(X, y, n=2, strategies=["logistic_regression", "lightgbm"])
    for row in advice.itertuples():
        assert cross_val_score(pipeline_of(X, y, row.strategy, row.configuration), X, y, cv=2).mean() > 0.7
    with pytest.raises(ValueError, match="has no hyperparameters"):
        pipeline_of(X, y, "logistic_regression", {"depth": 3})


def test_category_that_a_fold_does_not_have_does_no_harm() -> None:
    X, y = table("binary")
    pipeline = autometa.pipeline_of(X, y, "hist_gradient_boosting")
    one_level = X.assign(**{"kind: {x}": "red"})
    assert len(pipeline.fit(one_level, y).predict(X)) == N_ROWS
