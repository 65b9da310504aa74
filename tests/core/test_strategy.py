"""Strategies check themselves when they are made."""

from __future__ import annotations

import math
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from sklearn.linear_model import Ridge
from sklearn.svm import SVC

from autometa.core.space import Configuration, SearchSpace
from autometa.core.strategy import Fitness, Strategy
from autometa.core.task import PROBLEMS, TaskDescription

SPACE = SearchSpace(
    {
        "kernel": CategoricalDistribution(["rbf", "linear"]),
        "gamma": FloatDistribution(0.1, 1.0),
        "C": FloatDistribution(0.01, 100, log=True),
    },
    {"gamma": ("kernel", ("rbf",))},
    {"kernel": "rbf", "gamma": 0.5, "C": 1.0},
)


def test_portfolio_entries_are_completed_with_the_defaults():
    strategy = Strategy("svm", "svm", SPACE, portfolio=[{}, {"C": 10}, {"kernel": "linear"}])
    assert [dict(entry.parameters) for entry in strategy.portfolio] == [
        {"kernel": "rbf", "gamma": 0.5, "C": 1.0},
        {"kernel": "rbf", "gamma": 0.5, "C": 10.0},
        {"kernel": "linear", "C": 1.0},
    ]
    assert all(entry.strategy == "svm" for entry in strategy.portfolio)


def test_portfolio_without_entries_is_the_default_configuration():
    assert Strategy("svm", "svm", SPACE).portfolio == (Configuration("svm", dict(SPACE.defaults)),)


def test_entry_that_spells_out_the_defaults_is_not_tried_twice():
    strategy = Strategy("svm", "svm", SPACE, portfolio=({}, {"C": 1}, {"C": 2}, {"gamma": 0.5}))
    assert [entry.parameters["C"] for entry in strategy.portfolio] == [1.0, 2.0]


@pytest.mark.parametrize("entry", [{"C": 1000}, {"gama": 1}, {"kernel": "poly"}, {"C": None}], ids=str)
def test_impossible_portfolio_entries_are_refused(entry: dict[str, Any]):
    with pytest.raises(ValueError, match="search space|outside"):
        Strategy("svm", "svm", SPACE, portfolio=(entry,))


def test_portfolio_that_is_one_mapping_is_refused():
    with pytest.raises(TypeError, match="sequence of mappings"):
        Strategy("svm", "svm", SPACE, portfolio={"C": 1.0})


def test_defaults_of_a_bare_mapping_are_what_the_estimator_is_set_to():
    strategy = Strategy(
        "svc",
        SVC(C=3, gamma="scale"),
        {"C": FloatDistribution(0.01, 100), "gamma": FloatDistribution(0, 1), "degree": IntDistribution(1, 5)},
    )
    # "scale" is not in the range of gamma: left out, the estimator keeps it.
    assert dict(strategy.portfolio[0].parameters) == {"C": 3.0, "degree": 3}


@pytest.mark.parametrize("space", [{"alfa": FloatDistribution(0, 1)}, SearchSpace({"alfa": FloatDistribution(0, 1)})])
def test_parameter_that_an_estimator_lacks_is_refused(space: Any):
    with pytest.raises(ValueError, match="Ridge has no parameter .*alfa.*; it has .*alpha"):
        Strategy("ridge", Ridge(), space)


@pytest.mark.parametrize("learner", [SVC, 3, None, print], ids=str)
def test_learner_that_is_neither_name_nor_estimator_is_refused(learner: Any):
    with pytest.raises(TypeError, match="scikit-learn estimator"):
        Strategy("own", learner)


@pytest.mark.parametrize("name", ["", "two words", "3d", "a-b", None, 3], ids=repr)
def test_name_that_is_not_an_identifier_is_refused(name: Any):
    with pytest.raises(ValueError, match="name must be letters"):
        Strategy(name, "svm")


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_score_must_be_finite(score: float):
    with pytest.raises(ValueError, match="finite"):
        Strategy("svm", "svm", score=score)


def test_strategies_survive_pickling():
    strategy = Strategy("svm", "svm", SPACE, portfolio=({"C": 2},), fitness=Fitness(("binary",)))
    assert pickle.loads(pickle.dumps(strategy)) == strategy


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"problems": ()}, "one or more of"),
        ({"problems": ("binary", "ranking")}, "ranking"),
        ({"min_rows": -1}, "negative"),
        ({"max_classes": -1}, "negative"),
        ({"min_rows": 10, "max_rows": 5}, "min_rows <= max_rows"),
    ],
    ids=str,
)
def test_impossible_fitness_is_refused(arguments: dict[str, Any], match: str):
    with pytest.raises(ValueError, match=match):
        Fitness(**arguments)


def test_one_problem_given_as_text_is_that_problem():
    assert Fitness("binary").problems == ("binary",)


BOUND = st.none() | st.integers(0, 100)


@given(
    st.sets(st.sampled_from(PROBLEMS), min_size=1),
    st.builds(TaskDescription, st.sampled_from(PROBLEMS), *[st.integers(0, 100)] * 3),
    st.integers(0, 100),
    BOUND,
    BOUND,
    BOUND,
)
def test_reason_against_a_task_is_empty_exactly_when_it_is_within_the_bounds(
    problems: set[Any],
    task: TaskDescription,
    min_rows: int,
    more_rows: int | None,
    max_columns: int | None,
    max_classes: int | None,
):
    max_rows = None if more_rows is None else min_rows + more_rows
    fitness = Fitness(tuple(problems), min_rows, max_rows, max_columns, max_classes)
    fits = (
        task.problem in problems
        and min_rows <= task.n_rows <= (math.inf if max_rows is None else max_rows)
        and task.n_columns <= (math.inf if max_columns is None else max_columns)
        and task.n_classes <= (math.inf if max_classes is None else max_classes)
    )
    assert (fitness.reason_against(task) == "") == fits
