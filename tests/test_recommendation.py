"""The policy's advice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import fbeta_score, make_scorer

from autometa import fitting
from autometa.catalogue import load_strategies
from autometa.core.evaluation import Evaluation
from autometa.core.proposal import Proposal
from autometa.core.space import Configuration
from autometa.core.strategy import Strategy
from autometa.core.task import TaskDescription
from autometa.policy.expected_gain import GainPolicy
from autometa.recommendation import COLUMNS, recommend
from autometa.tables.features import META_FEATURES
from tests.helpers.past_tasks import make_past, make_strategies

SOME = ["lightgbm", "logistic_regression", "extra_trees", "neural_network"]
PREDICTED = ["loss", "loss_low", "loss_high", "fit_s", "memory_mb", "beats_default"]
PAST = make_past()


@pytest.fixture(scope="module")
def table() -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(80, 4)), columns=["a", "b", "c", "d"])
    X["kind"] = rng.choice(["red", "green"], 80)
    return X, pd.Series(np.where(X["a"] + 0.5 * rng.normal(size=80) > 0, "yes", "no"))


def with_made_up_policy(X: Any, y: Any, **arguments: Any) -> pd.DataFrame:
    """Return the advice of a policy that has records of every kind of problem but multiclass."""
    strategies = make_strategies(PAST)
    return recommend(X, y, strategies=strategies, policy=GainPolicy(PAST, strategies), **arguments)


def test_advice_has_a_row_per_strategy_the_likeliest_first(table: Any) -> None:
    advice = recommend(*table, n=100)
    assert list(advice.columns) == list(COLUMNS)
    assert advice["strategy"].is_unique
    assert advice["probability"].is_monotonic_decreasing
    assert advice["probability"].sum() == pytest.approx(1)
    spaces = {strategy.name: strategy.space for strategy in load_strategies(None)}
    for name, configuration in zip(advice["strategy"], advice["configuration"], strict=True):
        spaces[name].check(configuration)
    for evidence, resembles in zip(advice["evidence"], advice["resembles"], strict=True):
        assert 0 < sum(evidence.values()) <= 1
        assert set(resembles) == set(evidence)
        assert all(set(names) <= set(META_FEATURES) for names in resembles.values())
    forecast = advice.attrs["forecast"]
    assert 0 < forecast["loss_low"] <= forecast["loss"] <= forecast["loss_high"] < 1
    assert forecast["n_trials"] >= 1


def test_advice_predicts_losses_and_costs(table: Any) -> None:
    advice = with_made_up_policy(*table)
    assert (advice["loss_low"] <= advice["loss"]).all()
    assert (advice["loss"] <= advice["loss_high"]).all()
    assert advice["loss"].between(0, 1).all()
    assert (advice[["fit_s", "memory_mb"]] > 0).all(axis=None)
    assert advice["beats_default"].between(0, 1).all()


class Remembering(GainPolicy):
    """Keeps what it proposed last."""

    def propose(self, description: TaskDescription, history: Sequence[Evaluation], remaining_s: float) -> Proposal:
        self.last = super().propose(description, history, remaining_s)
        return self.last


def test_the_configuration_is_the_one_that_the_policy_tries_first(table: Any) -> None:
    strategies = make_strategies(PAST)
    policy = Remembering(PAST, strategies)
    advice = recommend(*table, strategies=strategies, policy=policy)
    for name, configuration in zip(advice["strategy"], advice["configuration"], strict=True):
        first = next(proposed for proposed in policy.last.configurations if proposed.strategy == name)
        assert configuration == dict(first.parameters)


def test_n_is_the_most_rows(table: Any) -> None:
    longest = recommend(*table, n=100, strategies=SOME)
    assert len(longest) == len(SOME)
    shorter = recommend(*table, n=2, strategies=SOME)
    pd.testing.assert_frame_equal(shorter, longest.head(2))


def test_the_same_table_gets_the_same_advice(table: Any) -> None:
    X, y = table
    advice = recommend(X, y, strategies=SOME)
    pd.testing.assert_frame_equal(recommend(X, y, strategies=SOME), advice)
    pd.testing.assert_frame_equal(recommend(X.to_numpy().tolist(), y.tolist(), strategies=SOME), advice)


def test_little_time_favours_cheap_strategies(table: Any) -> None:
    def expected_s(time_budget: float | None) -> float:
        advice = with_made_up_policy(*table, time_budget=time_budget)
        return float(advice["probability"] @ np.log(advice["fit_s"]))

    assert expected_s(0.01) < expected_s(None)


def test_errors_of_a_regression_are_in_units_of_its_target(table: Any) -> None:
    X, _ = table
    y = X["a"] + 3.0
    small, large = with_made_up_policy(X, y), with_made_up_policy(X, 1000 * y)
    same = [name for name in COLUMNS if not name.startswith("loss")]
    pd.testing.assert_frame_equal(large[same], small[same])
    for name in ("loss", "loss_low", "loss_high"):
        np.testing.assert_allclose(large[name], 1000 * small[name])
    # The records' errors are between 0.1 and 1 standard deviation.
    assert small["loss"].between(0.05 * y.std(), 2 * y.std()).all()


def test_a_target_whose_spread_is_no_number_gets_advice(table: Any) -> None:
    X, _ = table
    assert np.isfinite(with_made_up_policy(X, X["a"] * 1e300, problem="regression")["loss"]).all()


def test_losses_of_a_metric_that_was_not_recorded_are_not_predicted(table: Any) -> None:
    metric = make_scorer(fbeta_score, beta=2, pos_label="yes")
    for custom in (metric, "f1_macro"):
        advice = with_made_up_policy(*table, metric=custom)
        assert advice[["loss", "loss_low", "loss_high"]].isna().all(axis=None)
        assert advice[["probability", "fit_s", "memory_mb", "beats_default"]].notna().all(axis=None)


def test_the_prior_advises_the_first_of_each_portfolio_and_predicts_nothing(table: Any) -> None:
    advice = recommend(*table, policy="prior", n=100)
    assert advice[PREDICTED].isna().all(axis=None)
    assert advice["evidence"].map(len).eq(0).all()
    assert advice["resembles"].map(len).eq(0).all()
    assert advice.attrs["forecast"] == {}
    assert advice["probability"].sum() == pytest.approx(1)
    portfolios = {strategy.name: strategy.portfolio for strategy in load_strategies(None)}
    for name, configuration in zip(advice["strategy"], advice["configuration"], strict=True):
        assert configuration == dict(portfolios[name][0].parameters)


@pytest.mark.parametrize("problem", ["binary", "multiclass", "regression"])
def test_every_problem_gets_advice(table: Any, problem: str) -> None:
    X, y = table
    target = {"binary": y, "multiclass": np.arange(80) % 3, "regression": X["a"]}[problem]
    advice = recommend(X, target, problem=problem, n=100)
    assert advice["probability"].sum() == pytest.approx(1)
    fit_for = {s.name for s in load_strategies(None) if problem in s.fitness.problems}
    assert set(advice["strategy"]) <= fit_for


class Unfittable(ClassifierMixin, BaseEstimator):
    def fit(self, X: Any, y: Any) -> Any:
        raise AssertionError("nothing is to be fitted")


def test_nothing_is_fitted_and_custom_strategies_get_a_probability(table: Any) -> None:
    advice = recommend(*table, strategies=["lightgbm", "extra_trees", Strategy("my_own", Unfittable())])
    row = advice.set_index("strategy").loc["my_own"]
    assert row["probability"] == pytest.approx(1 / 3)
    assert row["configuration"] == {}
    assert math.isnan(row["loss"])


def test_strategies_whose_library_is_missing_are_left_out(table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "is_installed", lambda library: library != "lightgbm")
    advice = recommend(*table, strategies=SOME)
    assert set(advice["strategy"]) == set(SOME) - {"lightgbm"}
    assert advice["probability"].sum() == pytest.approx(1)


class Own:
    """A policy that knows a strategy which is not to be tried, and explains nothing."""

    def propose(self, description: TaskDescription, history: Sequence[Evaluation], remaining_s: float) -> Proposal:
        probabilities = {"lightgbm": 0.2, "something else": 0.5, "extra_trees": 0.3}
        return Proposal(probabilities, (Configuration("something else"), Configuration("lightgbm", {"n": 3})))


def test_a_custom_policy_may_know_other_strategies(table: Any) -> None:
    advice = recommend(*table, strategies=["lightgbm", "extra_trees"], policy=Own())
    assert advice["strategy"].tolist() == ["extra_trees", "lightgbm"]
    assert advice["configuration"][1] == {"n": 3}
    assert advice[PREDICTED].isna().all(axis=None)


@pytest.mark.parametrize("n", [0, -3, True, 2.5, "3", None])
def test_a_count_that_is_none_is_refused(table: Any, n: Any) -> None:
    with pytest.raises(ValueError, match="n must be a whole number of at least 1"):
        recommend(*table, n)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"policy": "gausian"}, ValueError, "Did you mean 'gaussian'"),
        ({"policy": 3}, TypeError, "policy must be a name, a folder or an object"),
        ({"time_budget": 0}, ValueError, "time_budget must be a positive number"),
        ({"time_budget": "60"}, TypeError, "time_budget must be a number"),
        ({"metric": "rmse"}, ValueError, "rmse"),
        ({"strategies": ["no such strategy"]}, ValueError, "no such strategy"),
        ({"problem": "ranking"}, ValueError, "ranking"),
    ],
)
def test_arguments_that_are_wrong_are_named(
    table: Any, arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        recommend(*table, **arguments)


def test_a_target_of_another_length_is_refused(table: Any) -> None:
    X, y = table
    with pytest.raises(ValueError, match="80"):
        recommend(X, y[:-1])
