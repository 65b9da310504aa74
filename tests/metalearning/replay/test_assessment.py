"""Policies on tasks of families that they have not seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest

from autometa.catalogue import load_strategies
from autometa.core.budget import Budget
from autometa.core.evaluation import Evaluation
from autometa.core.proposal import Proposal
from autometa.core.task import TaskDescription
from autometa.metadataset.error_moments import ErrorMoments, second_moments
from autometa.metalearning.replay import BEST_STATIC
from autometa.metalearning.replay.assessment import (
    STATIC_POLICIES,
    assess,
    compare,
    family_folds,
    gain_policy,
    named_policies,
    settings_in_replays,
)
from autometa.metalearning.replay.baselines import RandomPolicy, StaticPolicy, average_rank
from autometa.metalearning.replay.replay import describe_past, metric_of, replay
from autometa.metalearning.training.portfolio import learn_portfolios
from autometa.policy.ensemble_model import NO_MODEL
from autometa.policy.expected_gain import GainPolicy
from autometa.policy.gain_settings import GAIN_SETTINGS
from autometa.policy.past_tasks import PastTasks
from autometa.policy.registry import DEFAULT_POLICY, POLICIES, settings_in_fits
from tests.helpers.past_tasks import made_up_metadataset, made_up_past

FEW = {"budgets_s": (2.0,), "counts": (1, 3), "n_folds": 3}


def test_folds_have_every_task_once_and_no_family_twice(seed: int) -> None:
    past = made_up_past(n_tasks=17, n_families=7)
    parts = family_folds(past, 3, seed)
    assert sorted(np.concatenate(parts)) == list(range(17))
    families = [{past.families[task] for task in part} for part in parts]
    assert sum(map(len, families)) == 7
    assert max(map(len, parts)) - min(map(len, parts)) <= 2


def test_more_folds_than_families_leave_each_family_out_once() -> None:
    assert len(family_folds(made_up_past(n_families=4), 10, 0)) == 4


def test_one_family_cannot_be_left_out() -> None:
    with pytest.raises(ValueError, match="1 family"):
        assess(made_up_past(n_families=1), {"random": RandomPolicy})


class Spy:
    """Notes which tasks the policies of each part were made of."""

    def __init__(self) -> None:
        self.seen: list[set[str]] = []

    def __call__(self, past: PastTasks) -> RandomPolicy:
        self.seen.append(set(past.families))
        return RandomPolicy(past)


def test_a_policy_never_knows_the_family_that_it_is_judged_on() -> None:
    past = made_up_past(n_families=5)
    spy = Spy()
    table = assess(past, {"spy": spy}, **FEW)
    assert len(spy.seen) == 3
    for part, known in zip(family_folds(past, 3, 0), spy.seen, strict=True):
        assert known == set(past.families) - {past.families[task] for task in part}
    assert len(table) == len(past.tasks) * 3


def test_the_regret_is_that_of_the_replayed_search() -> None:
    past = made_up_past()
    table = assess(past, {"rank": partial(StaticPolicy, order=average_rank)}, **FEW)
    for test in family_folds(past, 3, 0):
        policy = StaticPolicy(past.select(np.setdiff1d(np.arange(len(past.tasks)), test)), average_rank)
        for task in test:
            rows = table[table["task"] == past.tasks[task]].set_index(["limit", "at"])["regret"]
            for count in (1, 3):
                episode = replay(policy, past, task, budget=Budget(n_trials=count))
                assert rows["trials", count] == episode.regret_after(count)
            assert rows["seconds", 2.0] == replay(policy, past, task, budget=Budget(time_s=2.0)).regret_at(2.0)


def test_the_result_does_not_depend_on_other_policies() -> None:
    past = made_up_past()
    policies = named_policies(past)
    alone = assess(past, {"random": policies["random"]}, **FEW)
    beside = assess(past, {"gaussian": policies["gaussian"], "random": policies["random"]}, **FEW)
    pd.testing.assert_frame_equal(alone, beside[beside["policy"] == "random"].reset_index(drop=True))


@pytest.mark.slow
def test_the_result_does_not_depend_on_the_number_of_processes() -> None:
    past = made_up_past()
    policies = {name: named_policies(past)[name] for name in ("random", "oracle")}
    pd.testing.assert_frame_equal(assess(past, policies, **FEW), assess(past, policies, n_jobs=2, **FEW))


class Remaining:
    """Notes the seconds that a policy is told to be left at the start."""

    told: list[float] = []

    def __init__(self, past: PastTasks) -> None:
        self._past = past

    def propose(self, description: TaskDescription, history: Sequence[Evaluation], remaining_s: float) -> Proposal:
        if not history:
            self.told.append(remaining_s)
        return Proposal({}, tuple(c for c in self._past.configurations if c not in {e.configuration for e in history}))


def test_a_policy_is_told_the_budget() -> None:
    Remaining.told = []
    assess(made_up_past(n_tasks=4), {"remaining": Remaining}, budgets_s=(2.0, 5.0), counts=(1,), n_folds=2)
    assert Remaining.told == [math.inf, 2.0, 5.0] * 4


def test_tasks_without_seconds_are_judged_by_counts_alone() -> None:
    metadataset = made_up_metadataset()
    evaluations = metadataset.evaluations.assign(fit_s=np.nan)
    past = PastTasks.from_metadataset(
        type(metadataset)(metadataset.tasks, metadataset.configurations, evaluations, metadataset.manifest)
    )
    assert set(assess(past, {"random": RandomPolicy}, **FEW)["limit"]) == {"trials"}


@pytest.mark.parametrize("name", [*GAIN_SETTINGS, *STATIC_POLICIES, "random", "oracle"])
def test_every_named_policy_can_be_assessed(name: str) -> None:
    past, _ = with_moments(made_up_past(missing=0.2, n_tasks=6))
    table = assess(past, {name: named_policies(past)[name]}, budgets_s=(3.0,), counts=(2,), n_folds=2)
    assert table["regret"].between(0, 1).all()
    assert len(table) == 12


def test_the_portfolio_is_that_of_the_past_that_it_may_know() -> None:
    past = made_up_past(n_tasks=6)
    known = past.select(np.arange(4))
    orders, _ = learn_portfolios(known)
    description = describe_past(past, 5, metric_of(past, 5))
    first = named_policies(past)["portfolio"](known).propose(description, [], 600.0).configurations[0]
    assert first == past.configurations[orders[description.problem][600.0][0]]


@pytest.mark.slow
def test_the_recurrent_policy_is_trained_on_the_past_that_it_may_know() -> None:
    past = made_up_past(n_tasks=6)
    policies = named_policies(past, recurrent_s=1.0)
    table = assess(past, {"recurrent": policies["recurrent"]}, budgets_s=(3.0,), counts=(2,), n_folds=2)
    assert table["regret"].between(0, 1).all() and len(table) == 12
    assert "recurrent" not in named_policies(past)


def test_every_policy_of_fits_can_be_assessed() -> None:
    past = made_up_past()
    moments = np.full((len(past.tasks), *[len(past.configurations)] * 2), np.nan, dtype=np.float32)
    assert set(POLICIES) - {DEFAULT_POLICY, "ensemble"} <= set(named_policies(past, recurrent_s=1.0))
    assert set(POLICIES) - {DEFAULT_POLICY} <= set(named_policies(replace(past, moments=moments), recurrent_s=1.0))


def test_the_hand_made_policy_finds_what_was_recorded_of_its_portfolios() -> None:
    made_up = made_up_past(n_tasks=6)
    shipped = [configuration for strategy in load_strategies() for configuration in strategy.portfolio]
    past = replace(made_up, configurations=tuple(shipped[: len(made_up.configurations)]))
    table = assess(past, {"prior": named_policies(past)["prior"]}, budgets_s=(), counts=(3,), n_folds=2)
    assert (table["regret"] < 1).all()


def test_meta_features_that_tell_the_kind_of_task_pay_off(seed: int) -> None:
    past = made_up_past(seed, n_tasks=24)
    weights = (np.array(past.feature_names) == "landmark_ridge") * 16.0
    policies = {
        name: partial(gain_policy, GAIN_SETTINGS[name], lambda _: weights)
        for name in ("gaussian", "gaussian_without_features")
    }
    compared = compare(assess(past, policies, budgets_s=(), counts=(1,), n_folds=4), "gaussian_without_features")
    assert compared.loc["gaussian", "high"].iloc[0] < 0


def test_similarity_is_learnt_of_the_tasks_that_a_policy_may_know() -> None:
    past = made_up_past(n_families=4)
    known: list[set[str]] = []

    def similarity(train: PastTasks) -> np.ndarray:
        known.append(set(train.families))
        return np.ones(len(train.feature_names))

    assess(past, {"gaussian": named_policies(past, similarity)["gaussian"]}, budgets_s=(), counts=(1,), n_folds=4)
    assert sorted(len(families) for families in known) == [3, 3, 3, 3]


def test_a_comparison_is_paired_by_task() -> None:
    rows = [
        (policy, f"task {task}", f"family {task // 2}", "trials", 1, task / 10 + (policy == "worse") * 0.05)
        for policy in ("worse", "better")
        for task in range(8)
    ]
    table = pd.DataFrame(rows, columns=["policy", "task", "family", "limit", "at", "regret"])
    compared = compare(table, "better")
    # However much tasks differ, the difference is the same on all.
    np.testing.assert_allclose(compared.loc[("worse", "trials", 1)], [0.4, 0.05, 0.05, 0.05])
    np.testing.assert_allclose(compared.loc[("better", "trials", 1)], [0.35, 0, 0, 0])


def test_an_unknown_baseline_is_refused() -> None:
    table = assess(made_up_past(n_tasks=4), {"random": RandomPolicy}, budgets_s=(), counts=(1,), n_folds=2)
    with pytest.raises(ValueError, match="must be one of random, got 'rnadom'"):
        compare(table, "rnadom")


@pytest.mark.parametrize("limits", [{"budgets_s": (0.0,)}, {"counts": (0,)}])
def test_limits_must_be_positive(limits: dict) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        assess(made_up_past(), {"random": RandomPolicy}, **limits)


def with_moments(past: PastTasks, sizes: np.ndarray | None = None) -> tuple[PastTasks, ErrorMoments]:
    """Return past tasks with second moments of made-up errors, of the size of the losses or as given."""
    rng = np.random.default_rng(0)
    losses = next(iter(past.losses.values()))
    sizes = losses if sizes is None else np.broadcast_to(sizes, losses.shape)

    def errors(row: np.ndarray) -> np.ndarray:
        return row[:, None] * (rng.normal(size=(len(row), 60)) + rng.normal(size=60))

    validation, held_out = (
        np.stack([second_moments(errors(row)) for row in sizes]).astype(np.float32) for _ in range(2)
    )
    names = tuple(str(index) for index in range(len(past.configurations)))
    moments = ErrorMoments(past.tasks, names, validation, held_out)
    return replace(past, moments=(validation + held_out) / 2), moments


def test_ensembles_of_more_results_have_less_regret_and_those_of_everything_none() -> None:
    past, moments = with_moments(made_up_past(n_configurations=12))
    policies = {"random": partial(RandomPolicy, seed=1)}
    table = assess(past, policies, budgets_s=(), counts=(1, 4, 12), n_folds=3, moments=moments)
    means = table.groupby("at")["ensemble_regret"].mean()
    assert means[1] > means[4] > means[12]
    assert abs(means[12]) < 0.1


def test_without_a_result_the_regret_of_the_ensemble_is_that_of_no_model() -> None:
    past, moments = with_moments(made_up_past())
    table = assess(past, {"random": RandomPolicy}, budgets_s=(1e-6,), counts=(), n_folds=3, moments=moments)
    assert (table["ensemble_regret"] == NO_MODEL).all()


def test_without_moments_of_a_task_its_ensembles_are_unknown() -> None:
    past, moments = with_moments(made_up_past())
    moments.validation[2] = np.nan
    table = assess(past, {"random": RandomPolicy}, **FEW, moments=moments)
    unknown = table[table["ensemble_regret"].isna()]
    assert set(unknown["task"]) == {past.tasks[2]}


def test_the_greedy_order_for_ensembles_is_better_for_them_than_a_random_one() -> None:
    past, moments = with_moments(made_up_past(n_tasks=24, n_configurations=12), np.linspace(0.3, 2.0, 12))
    policies = {name: named_policies(past)[name] for name in ("random", "greedy_ensemble")}
    table = assess(past, policies, budgets_s=(), counts=(3,), n_folds=4, moments=moments)
    compared = compare(table, "random", "ensemble_regret")
    assert compared.loc[("greedy_ensemble", "trials", 3), "high"] < 0


def test_the_best_static_policy_is_taken_at_each_limit() -> None:
    rows = [
        (policy, task, task, "binary", "trials", at, regret, math.nan)
        for (policy, at), regret in {
            ("greedy", 1): 0.1,
            ("prior", 1): 0.3,
            ("greedy", 2): 0.4,
            ("prior", 2): 0.2,
            ("gaussian", 1): 0.0,
            ("gaussian", 2): 0.0,
        }.items()
        for task in ("a", "b")
    ]
    columns = ["policy", "task", "family", "problem", "limit", "at", "regret", "ensemble_regret"]
    found = compare(pd.DataFrame(rows, columns=columns), BEST_STATIC)
    assert found.loc[("gaussian", "trials", 1), "difference"] == pytest.approx(-0.1)
    assert found.loc[("gaussian", "trials", 2), "difference"] == pytest.approx(-0.2)


def test_learnt_policies_are_replayed_with_the_settings_of_fits() -> None:
    for name in GAIN_SETTINGS:
        assert settings_in_replays(name) == replace(settings_in_fits(name), exploration=0.0)
    policy = named_policies(made_up_past())["gaussian"](made_up_past())
    assert isinstance(policy, GainPolicy) and policy.settings == settings_in_replays("gaussian")
