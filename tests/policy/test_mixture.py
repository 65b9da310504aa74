"""The policy that asks others in turn."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from autometa.core.evaluation import Evaluation
from autometa.core.proposal import ExplainingPolicy, Prediction, Proposal
from autometa.core.space import Configuration
from autometa.core.task import TaskDescription
from autometa.policy.mixture import MixturePolicy, Stage
from tests.policy.past_tasks import measured, running

TASK = TaskDescription("binary", 100, 3, 2)


class Named:
    """Proposes a strategy of its own name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def propose(self, description: TaskDescription, history: Sequence[Evaluation], remaining_s: float) -> Proposal:
        return Proposal({self.name: 1.0}, (Configuration(self.name, {"n": len(history)}),))


class NamedAndExplaining(Named):
    def explain(
        self, description: TaskDescription, history: Sequence[Evaluation], remaining_s: float
    ) -> dict[Configuration, Prediction]:
        return {Configuration(self.name): Prediction(0.1, 0.0, 0.2, remaining_s, 1.0, 0.5)}


def mixture(*stages: Stage) -> MixturePolicy:
    return MixturePolicy({"a": Named("a"), "b": Named("b"), "c": NamedAndExplaining("c")}, stages)


def tried(n: int) -> list[Evaluation]:
    return [measured(Configuration("s", {"x": number}), 0.5) for number in range(n)]


def test_the_last_stage_that_has_begun_is_in_charge() -> None:
    policy = mixture(Stage("a"), Stage("b", 2), Stage("c", 5))
    assert "".join(policy.in_charge(tried(n), math.inf) for n in range(7)) == "aabbbcc"


def test_stages_may_be_for_limited_or_for_unlimited_time() -> None:
    policy = mixture(Stage("a"), Stage("b", 2, in_time=True), Stage("c", 4, in_time=False))
    assert "".join(policy.in_charge(tried(n), 60.0) for n in range(6)) == "aabbbb"
    assert "".join(policy.in_charge(tried(n), math.inf) for n in range(6)) == "aaaacc"


def test_folds_anchors_and_what_is_under_way_count_as_trials_once() -> None:
    policy = mixture(Stage("a"), Stage("b", 2))
    first = Configuration("s", {"x": 0})
    folds = [measured(first, 0.5, fold=fold, anchor=anchor) for fold in range(3) for anchor in (0.1, 1.0)]
    assert policy.in_charge(folds, math.inf) == "a"
    assert policy.in_charge([*folds, running(Configuration("s", {"x": 1}))], math.inf) == "b"


def test_what_it_says_is_what_the_policy_in_charge_says() -> None:
    policy = mixture(Stage("a"), Stage("c", 2))
    assert policy.propose(TASK, tried(1), 60.0) == Named("a").propose(TASK, tried(1), 60.0)
    assert policy.propose(TASK, tried(3), 60.0) == Named("c").propose(TASK, tried(3), 60.0)
    assert policy.explain(TASK, tried(3), 60.0) == NamedAndExplaining("c").explain(TASK, tried(3), 60.0)
    assert isinstance(policy, ExplainingPolicy)


def test_where_the_policy_in_charge_expects_nothing_another_one_is_asked() -> None:
    expected = NamedAndExplaining("c").explain(TASK, (), 60.0)
    assert mixture(Stage("a"), Stage("c", 2)).explain(TASK, tried(1), 60.0) == expected
    assert mixture(Stage("c"), Stage("a", in_time=True)).explain(TASK, (), 60.0) == expected
    assert mixture(Stage("a"), Stage("b", 2)).explain(TASK, tried(1), 60.0) == {}


def test_the_order_in_which_stages_are_given_does_not_matter() -> None:
    policy = mixture(Stage("c", 5), Stage("b", 2), Stage("a"))
    assert "".join(policy.in_charge(tried(n), math.inf) for n in range(7)) == "aabbbcc"


def test_of_stages_that_begin_together_the_later_one_is_in_charge() -> None:
    assert mixture(Stage("a"), Stage("b", in_time=True)).in_charge((), 60.0) == "b"
    assert mixture(Stage("a"), Stage("b", in_time=True)).in_charge((), math.inf) == "a"


def test_stages_of_policies_that_are_not_there_are_refused() -> None:
    with pytest.raises(ValueError, match=r"stages name the policies \['d'\]; there are \['a', 'b', 'c'\]"):
        mixture(Stage("a"), Stage("d", 3))


@pytest.mark.parametrize(
    ("stages", "kind"),
    [
        ((), "with"),
        ((Stage("a", 1),), "with"),
        ((Stage("a", in_time=True),), "without"),
        ((Stage("a", in_time=False), Stage("b", 1)), "with"),
    ],
)
def test_somebody_must_be_in_charge_of_the_first_trial(stages: tuple[Stage, ...], kind: str) -> None:
    with pytest.raises(ValueError, match=f"no stage begins at trial 0 {kind} a limit of time"):
        mixture(*stages)
