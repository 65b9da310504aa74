"""From names of policies to policies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autometa.catalogue import load_strategies
from autometa.core.evaluation import Evaluation
from autometa.core.proposal import Proposal
from autometa.core.strategy import Strategy
from autometa.core.task import TaskDescription
from autometa.exceptions import PolicyError
from autometa.metadataset.experience import recall_or_warn
from autometa.metalearning.training.policy_training import train
from autometa.policy import registry as choice
from autometa.policy.prior import PriorPolicy
from autometa.policy.registry import (
    DEFAULT_POLICY,
    POLICIES,
    PRIOR,
    checked_policy,
    make_policy,
    policy_in_time,
    settings_in_fits,
    strategies_without_records,
)
from autometa.policy.weights_file import read_weights
from tests.helpers.past_tasks import MADE_UP_STRATEGIES, made_up_metadataset, make_strategy

TASK = TaskDescription("binary", 1000, 10, 2)
TRAINED = [name for name in POLICIES if name not in (PRIOR, "recurrent")]


class Own:
    """The smallest policy of a user's."""

    def propose(self, description: TaskDescription, history: Sequence[Evaluation], remaining_s: float) -> Proposal:
        return Proposal({"ridge": 1.0})


@pytest.fixture(scope="module")
def strategies() -> list[Strategy]:
    return list(load_strategies(["lightgbm", "logistic_regression", "extra_trees"]))


def test_the_default_is_one_of_the_policies() -> None:
    assert DEFAULT_POLICY in POLICIES


def test_the_default_takes_no_time_to_learn_where_there_is_little(tmp_path: Path) -> None:
    assert policy_in_time("auto", 5.0) == PRIOR
    assert policy_in_time("auto", 10.0) == policy_in_time("auto", math.inf) == "gaussian"
    # What was asked for by name is what decides.
    assert policy_in_time("gaussian", 5.0) == "gaussian"
    assert policy_in_time("attention", 5.0) == "attention"
    assert policy_in_time(tmp_path, 5.0) == tmp_path


def test_the_former_name_of_the_default_is_accepted() -> None:
    assert checked_policy("mixture") == DEFAULT_POLICY


@pytest.mark.parametrize("policy", [*POLICIES, Own()], ids=str)
def test_policies_and_their_names_are_accepted(policy: Any) -> None:
    assert checked_policy(policy) is policy


def test_a_misspelt_policy_is_refused_with_the_names_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"no policy 'gausian'\. Did you mean 'gaussian'\? There are .*prior"):
        checked_policy("gausian")
    with pytest.raises(ValueError, match=r"no policy 'xyz'\. There are auto, gaussian"):
        checked_policy("xyz")


@pytest.mark.parametrize("policy", [None, 3, Own, object(), ["gaussian"]], ids=repr)
def test_what_is_no_policy_is_refused(policy: Any) -> None:
    with pytest.raises(TypeError, match="policy must be a name, a folder or an object with a method propose"):
        checked_policy(policy)


def test_a_policy_of_the_users_stays_what_it_is(strategies: list[Strategy]) -> None:
    own = Own()
    assert make_policy(own, strategies) is own


def test_the_prior_needs_no_records(strategies: list[Strategy], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "_shipped_weights", lambda: pytest.fail("nothing is to be read"))
    assert isinstance(make_policy(PRIOR, strategies), PriorPolicy)


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("remaining_s", [10.0, math.inf])
def test_trained_policies_choose_among_the_strategies_that_they_are_given(
    name: str, remaining_s: float, strategies: list[Strategy]
) -> None:
    given = [*strategies, make_strategy("my_own")]
    for problem in ("binary", "multiclass", "regression"):
        task = TaskDescription(problem, 1000, 10, 0 if problem == "regression" else 3)
        proposal = make_policy(name, given).propose(task, (), remaining_s)
        assert set(proposal.probabilities) == {strategy.name for strategy in given}
        assert sum(proposal.probabilities.values()) == pytest.approx(1)
        assert {configuration.strategy for configuration in proposal.configurations} <= set(proposal.probabilities)
        for configuration in proposal.configurations:
            strategy = next(strategy for strategy in given if strategy.name == configuration.strategy)
            strategy.space.check(configuration.parameters)


def test_training_chooses_temperatures_of_attention_alone() -> None:
    assert settings_in_fits("gaussian", (0.03, 0.1)) == settings_in_fits("gaussian")
    tempered = settings_in_fits("attention", (0.03, 0.2))
    assert (tempered.temperature, tempered.temperature_in_time) == (0.03, 0.2)


@pytest.mark.parametrize("name", TRAINED)
def test_trained_policies_know_no_more_than_the_records_about_strategies_of_the_users(name: str) -> None:
    alone = [make_strategy("my_own"), make_strategy("another")]
    assert make_policy(name, alone).propose(TASK, (), 10.0).probabilities == pytest.approx(
        PriorPolicy(alone).propose(TASK, (), 10.0).probabilities
    )


def test_weights_of_the_users_are_used_and_know_strategies_of_the_users(tmp_path: Path) -> None:
    metadataset = made_up_metadataset(n_tasks=6)
    train(metadataset, out=tmp_path, n_replayed=0)
    own = [*MADE_UP_STRATEGIES[:2], make_strategy("my_own")]
    task = replace(TASK, problem=metadataset.tasks["problem"][0])
    for given in (tmp_path, str(tmp_path)):
        policy = make_policy(checked_policy(given), own)
        proposal = policy.propose(task, (), 10.0)
        assert {c.strategy for c in proposal.configurations} == {"algorithm_0", "algorithm_1"}
        assert strategies_without_records(policy, own, task) == ["my_own"]


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    for given in (tmp_path, str(tmp_path), tmp_path / "nothing"):
        with pytest.raises(ValueError, match=r"holds no weights .* expected a folder with card\.toml"):
            checked_policy(given)


@pytest.mark.parametrize("name", POLICIES)
def test_strategies_without_records_are_known_by_name(name: str, strategies: list[Strategy]) -> None:
    given = [*strategies, *load_strategies(["ridge"]), make_strategy("my_own")]
    # Ridge was recorded for regression alone.
    unknown = {"binary": ["ridge", "my_own"], "regression": ["logistic_regression", "my_own"]}
    for problem, expected in unknown.items():
        task = replace(TASK, problem=problem)
        found = strategies_without_records(make_policy(name, given), given, task)
        assert found == ([] if name == PRIOR else expected)
    assert strategies_without_records(Own(), given, TASK) == []


def test_an_experience_that_is_not_there_yet_changes_nothing(strategies: list[Strategy], tmp_path: Path) -> None:
    without = make_policy("gaussian", strategies).propose(TASK, (), 10.0)
    assert make_policy("gaussian", strategies, recall_or_warn(tmp_path / "nothing")).propose(TASK, (), 10.0) == without


def test_a_policy_of_ensembles_without_second_moments_says_what_to_do(
    strategies: list[Strategy], monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = read_weights()
    assert weights.past.moments is not None
    monkeypatch.setattr(choice, "_shipped_weights", lambda: replace(weights, past=replace(weights.past, moments=None)))
    with pytest.raises(PolicyError, match="needs second moments of errors"):
        make_policy("ensemble", strategies)


def test_a_recurrent_policy_without_weights_says_what_to_do(
    strategies: list[Strategy], monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = replace(read_weights(), arrays={})
    monkeypatch.setattr(choice, "_shipped_weights", lambda: weights)
    with pytest.raises(PolicyError, match="autometa train"):
        make_policy("recurrent", strategies)
