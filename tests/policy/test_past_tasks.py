"""Past tasks as arrays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from autometa.core.space import Configuration, SearchSpace
from autometa.core.strategy import Strategy
from autometa.metadataset.dataset import MetaDataset
from autometa.policy.past_tasks import TRAIN_SHARE, PastTasks
from tests.helpers.past_tasks import make_past, make_strategies, make_strategy


def from_matrix(losses: pd.DataFrame, **arguments: Any) -> PastTasks:
    return PastTasks.from_metadataset(MetaDataset.from_matrix(losses, **arguments))


def test_a_meta_dataset_becomes_arrays() -> None:
    losses = pd.DataFrame({"tree": [0.25, 0.5], "forest": [0.125, np.nan]}, index=["iris", "wine"])
    seconds = pd.DataFrame({"tree": [1.0, 2.0], "forest": [4.0, np.nan]}, index=losses.index)
    tasks = pd.DataFrame({"n_rows": [150, 178], "n_columns": [4, 13], "n_classes": [3, 3]}, index=losses.index)
    past = from_matrix(losses, seconds=seconds, tasks=tasks)
    assert past.tasks == ("iris", "wine")
    assert past.problems == ("multiclass", "multiclass")
    assert past.strategies.tolist() == ["tree", "forest"]
    assert list(past.losses) == ["balanced_accuracy"]
    np.testing.assert_array_equal(past.losses["balanced_accuracy"], losses)
    np.testing.assert_array_equal(past.seconds, seconds)
    np.testing.assert_allclose(np.exp(past.sizes), [[150 * TRAIN_SHARE, 4, 3], [178 * TRAIN_SHARE, 13, 3]])
    assert past.failed.tolist() == [[False, False], [False, True]]


def test_records_of_others_are_compared_by_their_sizes() -> None:
    losses = pd.DataFrame({"tree": [0.25]}, index=["iris"])
    past = from_matrix(losses, tasks=pd.DataFrame({"n_rows": [150], "n_columns": [4]}, index=losses.index))
    assert past.feature_names == ("log_rows", "log_columns")
    np.testing.assert_allclose(np.exp(past.features), [[150, 4]])


def test_places_of_configurations_are_those_of_the_columns() -> None:
    past = make_past()
    assert [past.position[configuration] for configuration in past.configurations] == list(range(12))


def test_selected_tasks_are_those_tasks() -> None:
    past = make_past(gaps=0.2)
    chosen = past.select([5, 0])
    assert chosen.tasks == (past.tasks[5], past.tasks[0])
    assert chosen.configurations == past.configurations
    for metric in past.losses:
        np.testing.assert_array_equal(chosen.losses[metric], past.losses[metric][[5, 0]])
    for name in ("features", "sizes", "seconds", "memory_mb", "failed"):
        np.testing.assert_array_equal(getattr(chosen, name), getattr(past, name)[[5, 0]])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("families", ("f",)),
        ("problems", ("binary",)),
        ("features", np.zeros((12, 1))),
        ("sizes", np.zeros((12, 2))),
        ("seconds", np.zeros((12, 11))),
        ("memory_mb", np.zeros((11, 12))),
        ("failed", np.zeros(12, dtype=bool)),
        ("losses", {"rmse": np.zeros((1, 1))}),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{'rmse' if name == 'losses' else name} must"):
        replace(make_past(), **{name: value})


def test_recorded_configurations_of_strategies_that_are_there_are_possible() -> None:
    past = make_past()
    assert past.is_possible(make_strategies(past)).all()
    assert past.is_possible([make_strategy("s1")]).tolist() == (past.strategies == "s1").tolist()
    assert not past.is_possible([]).any()


@pytest.mark.parametrize(
    ("space", "parameters", "is_possible"),
    [
        ({"x": FloatDistribution(0, 1)}, {"x": 0.5}, True),
        ({"x": FloatDistribution(0, 1)}, {"x": 2.0}, False),  # outside
        ({"x": FloatDistribution(0, 1)}, {"x": 0.5, "y": 1}, False),  # a parameter that is gone
        ({"x": FloatDistribution(0, 1), "y": IntDistribution(0, 1)}, {"x": 0.5}, False),  # a sampler would draw y
        ({"x": FloatDistribution(0, 1)}, {"x": 1}, False),  # a trial would say 1.0
        ({"x": IntDistribution(0, 9)}, {"x": 1}, True),
        ({"x": CategoricalDistribution([None, "a"])}, {"x": None}, True),
        ({}, {}, True),
        ({}, {"x": 1}, False),
    ],
)
def test_a_configuration_is_possible_where_its_space_would_give_just_that(
    space: dict[str, Any], parameters: dict[str, Any], is_possible: bool
) -> None:
    past = replace(
        make_past(n_strategies=1, n_each=1, problems=("binary",)), configurations=(Configuration("s0", parameters),)
    )
    assert past.is_possible([Strategy("s0", "ridge", space)]).tolist() == [is_possible]


@pytest.mark.parametrize(
    ("parameters", "is_possible"),
    [
        ({"kernel": "rbf", "gamma": 0.5}, True),
        ({"kernel": "linear"}, True),
        ({"kernel": "rbf"}, False),
        ({"kernel": "linear", "gamma": 0.5}, False),
    ],
)
def test_conditional_parameters_are_there_when_their_condition_holds(
    parameters: dict[str, Any], is_possible: bool
) -> None:
    space = SearchSpace(
        {"kernel": CategoricalDistribution(["linear", "rbf"]), "gamma": FloatDistribution(0, 1)},
        conditions={"gamma": ("kernel", ("rbf",))},
    )
    past = replace(
        make_past(n_strategies=1, n_each=1, problems=("binary",)), configurations=(Configuration("s0", parameters),)
    )
    assert past.is_possible([Strategy("s0", "ridge", space)]).tolist() == [is_possible]
