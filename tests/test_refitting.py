"""Ensembles that are fitted again on other rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_classification
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import roc_auc_score

from autometa import AutoMeta, AutoMetaRegressor, Strategy, load
from autometa.exceptions import SearchFailedError

SETTINGS: dict[str, Any] = {"n_trials": 4, "cv": 3, "n_jobs": 1, "random_state": 0, "progress": False}
STRATEGIES = ["logistic_regression", "discriminant_analysis", "lightgbm"]


def table(n_rows: int, start: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Return rows of one problem from row `start` on, with a column that holds nothing."""
    X, y = make_classification(2000, n_features=6, n_informative=4, random_state=0)
    frame = pd.DataFrame(X, columns=list("abcdef")).assign(empty=np.nan, kind=np.where(X[:, 0] > 0, "x", "y"))
    rows = slice(start, start + n_rows)
    return frame[rows], np.where(y[rows] == 1, "yes", "no")


@pytest.fixture(scope="module")
def model() -> AutoMeta:
    return AutoMeta(strategies=STRATEGIES, **SETTINGS).fit(*table(200))


def test_more_rows_make_the_same_ensemble_better_and_leave_the_model_alone(model: AutoMeta) -> None:
    X, y = table(500, 1500)
    before = model.predict_proba(X)
    new = model.refit(*table(1500))
    assert roc_auc_score(y, new.predict_proba(X)[:, 1]) > roc_auc_score(y, before[:, 1])
    np.testing.assert_array_equal(model.predict_proba(X), before)
    weights = [{member.trial: member.weight for member in m.predictor_.members} for m in (model, new)]
    assert weights[0] == pytest.approx(weights[1])
    assert all(len(member.models) == 1 for member in new.predictor_.members)
    assert type(new) is type(model) and new.get_params() == model.get_params()


def test_a_loaded_model_is_fitted_again_to_the_same_model(model: AutoMeta, tmp_path: Path) -> None:
    loaded = load(model.save(tmp_path / "model.autometa"))
    X, _ = table(200, 1500)
    again = loaded.refit(*table(600))
    np.testing.assert_array_equal(again.predict_proba(X), model.refit(*table(600)).predict_proba(X))
    saved = load(again.save(tmp_path / "again.autometa"))
    np.testing.assert_array_equal(saved.predict_proba(X), again.predict_proba(X))


def test_iterations_of_boosters_grow_with_the_root_of_the_rows(model: AutoMeta) -> None:
    boosted = [member for member in model.predictor_.members if hasattr(member.models[0], "serialised")]
    assert boosted
    new = {member.trial: member for member in model.refit(*table(600)).predictor_.members}
    for member in boosted:
        kept = np.mean([fold.n_iterations for fold in member.models])
        # Each fold was fitted on two thirds of 200 rows.
        assert new[member.trial].models[0].n_iterations == pytest.approx(kept * (600 / (200 * 2 / 3)) ** 0.5, abs=1)


def test_levels_and_weights_of_the_new_rows_are_used(model: AutoMeta) -> None:
    X, y = table(400)
    weight = np.where(np.arange(400) < 300, 1.0, 0.0)
    new = model.refit(X.assign(kind="z"), y, sample_weight=weight)
    assert new.columns().set_index("column").loc["kind", "kind"] == "left out"
    expected = model.refit(X[:300].assign(kind="z"), y[:300])
    np.testing.assert_allclose(new.predict_proba(X), expected.predict_proba(X))


def test_numbers_are_fitted_again() -> None:
    X, _ = table(400)
    y = X["a"].to_numpy() * 10 + X["b"].to_numpy()
    model = AutoMetaRegressor(strategies=["ridge"], **SETTINGS).fit(X[:100], y[:100])
    shifted = model.refit(X, y + 1000)
    assert shifted.score(X, y + 1000) > 0.99
    assert np.isfinite(shifted.predict_interval(X)).all()


def test_a_small_budget_keeps_what_can_be_fitted_or_raises(model: AutoMeta, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = max(model.predictor_.members, key=lambda member: member.weight).trial
    trials = [
        {**trial, "evaluations": [{**e, "fit_s": 1e4} for e in trial["evaluations"]]}
        if trial["number"] == slow
        else trial
        for trial in model.history_.trials
    ]
    monkeypatch.setattr(model.history_, "trials", trials)
    with pytest.warns(UserWarning, match="could not be fitted again within 60 s"):
        new = model.refit(*table(300), time_budget=60)
    assert slow not in [member.trial for member in new.predictor_.members]
    assert sum(member.weight for member in new.predictor_.members) == pytest.approx(1)
    with pytest.raises(SearchFailedError, match="more time_budget"):
        model.refit(*table(300), time_budget=1e-6)


def test_other_columns_classes_and_too_few_rows_are_refused(model: AutoMeta) -> None:
    X, y = table(100)
    with pytest.raises(ValueError, match="yet now missing:\n- a"):
        model.refit(X.drop(columns="a"), y)
    with pytest.raises(ValueError, match="none of the classes of the fit"):
        model.refit(X, np.where(y == "yes", "maybe", y))
    with pytest.raises(ValueError, match="at least 2 rows"):
        model.refit(X[:1], y[:1])
    with pytest.raises(ValueError, match="at least 2 different classes"):
        model.refit(X, np.full(100, "yes"))
    with pytest.raises(ValueError, match="time_budget"):
        model.refit(X, y, time_budget=0)
    # A column that the fit left out is not needed.
    assert model.refit(X.drop(columns="empty"), y).predict(X).shape == (100,)


def test_a_file_without_its_strategy_asks_for_it(tmp_path: Path) -> None:
    own = Strategy("own", SGDClassifier(loss="log_loss"), {})
    model = AutoMeta(strategies=[own], **SETTINGS).fit(*table(200))
    loaded = load(model.save(tmp_path / "model.autometa"))
    with pytest.raises(ValueError, match="set_params"):
        loaded.refit(*table(300))
    assert len(loaded.set_params(strategies=[own]).refit(*table(300)).predict(table(300)[0])) == 300
