"""Policies by expected gain."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution

from autometa.core.evaluation import Evaluation
from autometa.core.proposal import Proposal
from autometa.core.space import Configuration
from autometa.core.strategy import Strategy
from autometa.policy.cost_model import seconds_model, size_of
from autometa.policy.expected_gain import GainPolicy
from autometa.policy.gain_settings import GainSettings
from autometa.policy.observed_history import ObservedHistory, read_history
from autometa.policy.past_tasks import PastTasks
from autometa.policy.prior import PriorPolicy
from tests.helpers.past_tasks import (
    describe,
    make_past,
    make_strategies,
    make_strategy,
    measured,
    recorded_history,
    running,
)

PAST = make_past()
TASK = describe(PAST, 0)
SETTINGS = {
    "gaussian": GainSettings(),
    "attention": GainSettings(corrects=False),
    "portfolio": GainSettings(corrects=False, uses_losses=False, uses_features=False),
    "without seconds": GainSettings(uses_seconds=False),
}
POLICIES = {name: GainPolicy(PAST, make_strategies(PAST), settings) for name, settings in SETTINGS.items()}
every_policy = pytest.mark.parametrize("policy", POLICIES.values(), ids=list(POLICIES))
with_and_without_limit = pytest.mark.parametrize("remaining_s", [math.inf, 30.0])

configurations = st.sampled_from([*PAST.configurations, Configuration("s0", {"x": 0.123}), Configuration("own", {})])
losses = st.floats(0, 1) | st.floats(-1e300, 1e300) | st.sampled_from([math.nan, math.inf, 0.0, -1.0])
evaluations = st.builds(
    measured,
    configurations,
    losses,
    st.floats(0, 1e6) | st.just(math.nan),
    anchor=st.sampled_from([1.0, 0.25]),
    fold=st.integers(0, 3),
    status=st.sampled_from(["ok", "ok", "ok", "timeout", "memory"]),
)
histories = st.lists(evaluations | st.builds(running, configurations), max_size=20)


def is_distribution(probabilities: dict[str, float], names: Sequence[str]) -> bool:
    return (
        set(probabilities) == set(names)
        and all(p >= 0 for p in probabilities.values())
        and sum(probabilities.values()) == pytest.approx(1)
    )


def same(one: Proposal, other: Proposal, tolerance: float = 0.0) -> bool:
    return one.configurations == other.configurations and all(
        dict(a) == pytest.approx(dict(b), rel=tolerance, abs=tolerance)
        for a, b in ((one.probabilities, other.probabilities), (one.evidence, other.evidence))
    )


def search(policy: GainPolicy, past: PastTasks, row: int, n: int, remaining_s: float = math.inf) -> list[Configuration]:
    """Return the first proposals of a search that gets the results of a past task; a sampler's are made up."""
    history: list[Evaluation] = []
    tried = []
    for number in range(n):
        proposed = policy.propose(describe(past, row), history, remaining_s).configurations
        chosen = proposed[0] if proposed else Configuration("s0", {"x": 0.5 + 0.001 * number})
        tried.append(chosen)
        place = past.position.get(chosen)
        loss = 0.3 if place is None else float(past.losses["roc_auc"][row, place])
        history.append(measured(chosen, loss, 1.0 if place is None else float(past.seconds[row, place])))
    return tried


# ------------------------------------------------------------------------------------------- what it promises


@every_policy
@given(history=histories, remaining_s=st.floats(0, 1e6) | st.just(math.inf), row=st.integers(0, 11))
@settings(max_examples=25)
def test_whatever_the_history_proposals_are_new_and_probabilities_a_distribution(
    policy: GainPolicy, history: list[Evaluation], remaining_s: float, row: int
) -> None:
    description = describe(PAST, row)
    proposal = policy.propose(description, history, remaining_s)
    tried = {evaluation.configuration for evaluation in history}
    assert is_distribution(dict(proposal.probabilities), ["s0", "s1", "s2"])
    assert not tried & set(proposal.configurations)
    assert len(set(proposal.configurations)) == len(proposal.configurations) == len(set(PAST.configurations) - tried)
    weights = list(proposal.evidence.values())
    assert sum(weights) <= 1 + 1e-9
    assert weights == sorted(weights, reverse=True)
    assert set(proposal.evidence) <= set(PAST.tasks)
    predictions = policy.explain(description, history, remaining_s)
    assert set(predictions) == set(proposal.configurations)
    for prediction in predictions.values():
        assert prediction.loss_low <= prediction.loss <= prediction.loss_high
        assert prediction.seconds > 0
        assert prediction.memory_mb > 0
        assert 0 <= prediction.beats_default <= 1 + 1e-9


@every_policy
@with_and_without_limit
def test_a_proposal_is_a_pure_function_of_what_it_is_asked(policy: GainPolicy, remaining_s: float) -> None:
    history = recorded_history(PAST, 2, "roc_auc", [0, 5, 7])
    given_history, given_description = copy.deepcopy(history), copy.deepcopy(TASK)
    first = policy.propose(TASK, history, remaining_s)
    # Other questions in between change nothing.
    policy.propose(describe(PAST, 1), recorded_history(PAST, 1, "rmse", [3]), 5.0)
    policy.explain(TASK, (), math.inf)
    assert same(policy.propose(TASK, history, remaining_s), first)
    fresh = GainPolicy(make_past(), make_strategies(PAST), policy.settings)
    assert same(fresh.propose(TASK, history, remaining_s), first)
    assert [repr(item) for item in history] == [repr(item) for item in given_history]
    assert given_description == TASK


@every_policy
@with_and_without_limit
def test_order_of_the_history_does_not_matter(policy: GainPolicy, remaining_s: float, seed: int) -> None:
    history = [*recorded_history(PAST, 2, "roc_auc", [0, 5, 7, 9]), running(PAST.configurations[3])]
    order = np.random.default_rng(seed).permutation(len(history))
    one = policy.propose(TASK, history, remaining_s)
    other = policy.propose(TASK, [history[place] for place in order], remaining_s)
    assert same(one, other, 1e-9)


@every_policy
@with_and_without_limit
def test_units_of_the_target_do_not_matter(policy: GainPolicy, remaining_s: float) -> None:
    task = describe(PAST, 1, "rmse", loss_unit=2.5)
    history = recorded_history(PAST, 3, "rmse", [0, 5, 7])
    as_given = [replace(item, loss=item.loss * 2.5) for item in history]
    in_thousandths = [replace(item, loss=item.loss * 2500.0) for item in history]
    one = policy.propose(task, as_given, remaining_s)
    other = policy.propose(replace(task, loss_unit=2500.0), in_thousandths, remaining_s)
    assert same(one, other, 1e-9)
    for configuration, small in policy.explain(task, as_given, remaining_s).items():
        large = policy.explain(replace(task, loss_unit=2500.0), in_thousandths, remaining_s)[configuration]
        assert (large.loss, large.loss_low, large.loss_high) == pytest.approx(
            (1000 * small.loss, 1000 * small.loss_low, 1000 * small.loss_high)
        )
        assert large.beats_default == pytest.approx(small.beats_default)


@every_policy
def test_the_gain_is_what_the_formula_says(policy: GainPolicy) -> None:
    history = [*recorded_history(PAST, 4, "roc_auc", [1, 6, 8]), running(PAST.configurations[2])]
    seen = read_history(history, PAST.position, 1.0)
    outlook = policy.outlook(TASK, seen, math.inf)
    scenarios = outlook.scenarios
    for place in range(12):
        expected = 0.0
        for weight, losses_of_task in zip(scenarios.weights, scenarios.losses, strict=True):
            low, high = min(losses_of_task), max(losses_of_task)
            if policy.settings.corrects:
                best = min(min(seen.losses.values()), losses_of_task[2])
            else:
                best = min(losses_of_task[tried] for tried in (1, 6, 8, 2))
            current = min(1.0, max(0.0, (best - low) / (high - low)))
            expected += weight * max(0.0, current - (losses_of_task[place] - low) / (high - low))
        if place in (1, 6, 8, 2):
            assert outlook.gain[place] == 0
        else:
            # Ties are broken by a millionth.
            assert outlook.gain[place] == pytest.approx(expected, abs=2e-6)
            assert outlook.gain[place] > 0


def test_seconds_count_under_a_limit_alone() -> None:
    history = recorded_history(PAST, 0, "roc_auc", [1])
    seen = read_history(history, PAST.position, 1.0)
    for policy in POLICIES.values():
        outlook = policy.outlook(TASK, seen, math.inf)
        assert np.array_equal(outlook.score, outlook.gain)
    outlook = POLICIES["without seconds"].outlook(TASK, seen, 1.0)
    assert np.array_equal(outlook.score, outlook.gain)


def test_the_score_is_the_gain_in_time_per_second() -> None:
    policy = GainPolicy(PAST, settings=GainSettings(overhead_s=0.5))
    outlook = policy.outlook(TASK, read_history((), PAST.position, 1.0), 20.0)
    for gain, score, median, deviation in zip(
        outlook.gain, outlook.score, outlook.seconds, outlook.seconds_deviation, strict=True
    ):
        # The normal distribution by its error function.
        in_time = 0.5 * (1 + math.erf((math.log(20.0) - math.log(median)) / deviation / math.sqrt(2)))
        assert score == pytest.approx(gain * max(in_time, 1e-6) / (median + 0.5))


def test_cheap_configurations_come_first_when_time_is_short() -> None:
    policy = POLICIES["gaussian"]
    expected = policy.explain(TASK, (), math.inf)

    def mean_seconds(remaining_s: float) -> float:
        first = policy.propose(TASK, (), remaining_s).configurations[:4]
        return float(np.mean([expected[configuration].seconds for configuration in first]))

    assert mean_seconds(1.0) < mean_seconds(math.inf)


def test_fits_in_turn_are_paid_one_by_one() -> None:
    # Five fits of a trial in turn, one more until the last is done, and six times the time: all is as with one.
    policy = GainPolicy(PAST, settings=GainSettings(overhead_s=0.0))
    seen = read_history((), PAST.position, 1.0)
    single = policy.outlook(TASK, seen, 20.0).score
    assert policy.outlook(replace(TASK, fits_in_turn=5.0), seen, 120.0).score * 5 == pytest.approx(single)


def test_a_library_that_takes_long_to_load_is_paid_for_once() -> None:
    strategies = [replace(strategy, learner="neural_network") for strategy in make_strategies(PAST)]
    slow, quick = (GainPolicy(PAST, s, GainSettings(overhead_s=0.0)) for s in (strategies, make_strategies(PAST)))
    unseen = read_history((), PAST.position, 1.0)
    assert (slow.outlook(TASK, unseen, 20.0).score < quick.outlook(TASK, unseen, 20.0).score).all()
    # Once a strategy was measured, its library is there.
    seen = read_history([measured(PAST.configurations[0], 0.2)], PAST.position, 1.0)
    of_first = PAST.strategies == PAST.strategies[0]
    ratio = slow.outlook(TASK, seen, 20.0).score[1:] / quick.outlook(TASK, seen, 20.0).score[1:]
    assert ratio[of_first[1:]] == pytest.approx(1.0)
    assert (ratio[~of_first[1:]] < 1).all()


def test_patience_makes_prices_alike_that_are_small_beside_the_seconds_left() -> None:
    seen = read_history((), PAST.position, 1.0)
    hasty, patient = (
        GainPolicy(PAST, settings=GainSettings(patience=p)).outlook(TASK, seen, 1000.0) for p in (0.0, 0.02)
    )
    # Twenty seconds more for each, as a fiftieth of what is left.
    paid = hasty.gain / hasty.score + 20.0
    assert patient.score == pytest.approx(patient.gain / paid)
    spread = [np.ptp(np.log(outlook.score / outlook.gain)) for outlook in (hasty, patient)]
    assert spread[1] < 0.2 * spread[0]


def test_who_counts_trials_waits_for_the_first_ones_least() -> None:
    counting, waiting = (GainPolicy(PAST, settings=GainSettings(waiting_s=w)) for w in (math.inf, 2.0))
    history = recorded_history(PAST, 0, "roc_auc", [1])
    seconds = seconds_model(PAST).predict(size_of(TASK), {})[0]
    for evaluations, before_s in (((), 0.0), (history, seconds[1])):
        seen = read_history(evaluations, PAST.position, 1.0)
        expected = counting.outlook(TASK, seen, math.inf).score / (1 + seconds / (2.0 + before_s))
        assert waiting.outlook(TASK, seen, math.inf).score == pytest.approx(expected)


@pytest.mark.parametrize("waiting_s", [2.0, math.inf])
def test_without_a_limit_of_time_measured_seconds_change_no_choice(waiting_s: float) -> None:
    policy = GainPolicy(PAST, settings=GainSettings(waiting_s=waiting_s))
    orders = [
        policy.propose(TASK, [measured(PAST.configurations[0], 0.2, seconds)], math.inf).configurations
        for seconds in (0.01, 100.0)
    ]
    assert orders[0] == orders[1]


def test_what_was_learnt_of_past_tasks_is_learnt_once() -> None:
    first, second = (GainPolicy(PAST, settings=GainSettings(variety=v)) for v in (0.0, 1.0))
    assert first._model(TASK) is second._model(TASK)
    assert first._seconds is second._seconds
    assert GainPolicy(PAST.select(range(3)))._model(TASK) is not first._model(TASK)


def test_variety_lowers_the_scores_of_strategies_that_were_tried() -> None:
    seen = read_history(
        [measured(PAST.configurations[0], 0.2), measured(PAST.configurations[1], 0.3)], PAST.position, 1.0
    )
    single, varied = (GainPolicy(PAST, settings=GainSettings(variety=v)).outlook(TASK, seen, 20.0) for v in (0.0, 1.0))
    of_first = PAST.strategies == PAST.strategies[0]
    assert varied.score[of_first] * 3 == pytest.approx(single.score[of_first])
    assert np.array_equal(varied.score[~of_first], single.score[~of_first])
    assert np.array_equal(varied.gain, single.gain)


def test_an_order_without_losses_is_the_greedy_portfolio() -> None:
    past = make_past(problems=("binary",) * 12)
    policy = GainPolicy(past, settings=SETTINGS["portfolio"])
    losses = past.losses["roc_auc"]
    regret = (losses - losses.min(axis=1, keepdims=True)) / np.ptp(losses, axis=1, keepdims=True)
    order: list[int] = []
    while len(order) < 4:
        left = [place for place in range(12) if place not in order]
        # Once a portfolio holds the best of every task, additions tie.
        means = {place: regret[:, [*order, place]].min(axis=1).mean() for place in left}
        order.append(min(means, key=lambda place: (round(means[place], 9), regret[:, place].mean())))
    assert search(policy, past, 0, 4) == [past.configurations[place] for place in order]


def test_what_does_well_here_raises_its_strategy() -> None:
    policy = POLICIES["gaussian"]
    before = policy.propose(TASK, (), math.inf).probabilities
    good = [measured(c, 0.01 if c.strategy == "s1" else 0.6) for c in PAST.configurations[::2]]
    after = policy.propose(TASK, good, math.inf).probabilities
    assert after["s1"] > before["s1"]


def test_losses_of_a_task_lead_to_past_tasks_like_it() -> None:
    for policy in (POLICIES["gaussian"], POLICIES["attention"]):
        for row in (0, 4, 8):
            history = recorded_history(PAST, row, "roc_auc", [0, 3, 5, 8, 10])
            without_features = replace(describe(PAST, row), features={}, n_rows=1000, n_columns=10)
            evidence = policy.propose(without_features, history, math.inf).evidence
            assert max(evidence, key=lambda name: evidence[name]) == f"task {row}"


def test_meta_features_lead_to_past_tasks_like_it() -> None:
    for row in (0, 4, 8):
        evidence = POLICIES["gaussian"].propose(describe(PAST, row), (), math.inf).evidence
        assert max(evidence, key=lambda name: evidence[name]) == f"task {row}"


def test_new_tasks_are_searched_better_than_by_the_portfolio() -> None:
    regrets: dict[str, list[float]] = {"gaussian": [], "portfolio": []}
    for seed in (0, 1):
        past = make_past(seed, problems=("binary",) * 30)
        for name, found in regrets.items():
            policy = GainPolicy(past.select(range(10, 30)), settings=SETTINGS[name])
            for row in range(10):
                known = past.losses["roc_auc"][row]
                tried = [past.position[c] for c in search(policy, past, row, 6)]
                found.append((known[tried].min() - known.min()) / np.ptp(known))
    assert np.mean(regrets["gaussian"]) < np.mean(regrets["portfolio"])


# ------------------------------------------------------------------------------------------- beyond the records


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5])
def test_the_sampler_gets_its_share_after_the_first_dozen_and_no_more(share: float) -> None:
    past = make_past(n_strategies=4, n_each=20, problems=("binary",) * 8)
    policy = GainPolicy(past, settings=GainSettings(exploration=share))
    beyond = [c not in past.position for c in search(policy, past, 0, 52)]
    assert not any(beyond[:12])
    # Evenly: also what was found beyond the records counts as a trial.
    for start in range(12, 52, 20):
        assert sum(beyond[start : start + 20]) == round(20 * share)


def test_a_strategy_without_records_gets_its_share_and_every_fifth_trial_while_its_portfolio_lasts() -> None:
    policy = GainPolicy(PAST, make_strategies(PAST, "new"))
    probabilities = policy.propose(TASK, (), math.inf).probabilities
    assert is_distribution(dict(probabilities), ["s0", "s1", "s2", "new"])
    assert probabilities["new"] == pytest.approx(0.25)
    names = [configuration.strategy for configuration in search(policy, PAST, 0, 12)]
    assert [place for place, name in enumerate(names) if name == "new"] == [4, 9]


def test_a_strategy_without_records_is_explored_where_it_takes_its_share_of_the_time_at_most() -> None:
    policy = GainPolicy(PAST, [*make_strategies(PAST), replace(make_strategy("own"), cost=3.0)])
    # Four trials of two seconds by strategies of cost 1: one of the own is expected to take six, twelve with two folds.
    history = [measured(PAST.configurations[place], 0.2, 2.0) for place in (0, 1, 4, 8)]
    for fits, remaining_s, is_explored in ((1, 31.0, True), (1, 29.0, False), (2, 61.0, True), (2, 59.0, False)):
        task = replace(TASK, fits_in_turn=float(fits))
        first = policy.propose(task, history, remaining_s).configurations[0]
        assert (first.strategy == "own") == is_explored
    failures = [replace(evaluation, status="failed", error="broken", loss=math.nan) for evaluation in history]
    assert policy.propose(TASK, failures, 1000.0).configurations[0].strategy != "own"
    assert policy.propose(TASK, failures, math.inf).configurations[0].strategy == "own"


def test_strategies_that_were_recorded_for_other_problems_alone_get_a_share_too() -> None:
    losses_of = {metric: matrix.copy() for metric, matrix in PAST.losses.items()}
    only_regression = PAST.strategies == "s1"
    losses_of["roc_auc"][:, only_regression] = losses_of["log_loss"][:, only_regression] = np.nan
    past = replace(PAST, losses=losses_of)
    proposal = GainPolicy(past, make_strategies(past)).propose(TASK, (), math.inf)
    assert is_distribution(dict(proposal.probabilities), ["s0", "s1", "s2"])
    assert proposal.probabilities["s1"] == pytest.approx(1 / 3)
    assert {configuration.strategy for configuration in proposal.configurations} == {"s0", "s2"}
    # With nothing else to choose from there is only what was written by hand.
    alone = [make_strategy("s1")]
    policy = GainPolicy(past, alone)
    assert policy.propose(TASK, (), 30.0) == PriorPolicy(alone).propose(TASK, (), 30.0)
    assert policy.explain(TASK, (), 30.0) == {}


def test_a_strategy_that_is_left_out_is_never_proposed() -> None:
    policy = GainPolicy(PAST, [make_strategy("s2"), make_strategy("s0")])
    for history in ((), recorded_history(PAST, 0, "roc_auc", [0, 8])):
        proposal = policy.propose(TASK, history, math.inf)
        assert is_distribution(dict(proposal.probabilities), ["s0", "s2"])
        assert {configuration.strategy for configuration in proposal.configurations} == {"s0", "s2"}
        assert {configuration.strategy for configuration in policy.explain(TASK, history, math.inf)} == {"s0", "s2"}


def test_a_recorded_name_with_another_space_is_not_asked_for_what_it_cannot_be() -> None:
    narrow = Strategy("s1", "ridge", {"x": FloatDistribution(0.0, 0.6)}, ({"x": 0.1},))
    renamed = Strategy("s2", "ridge", {"y": FloatDistribution(0.0, 1.0)}, ({"y": 0.5},))
    policy = GainPolicy(PAST, [make_strategy("s0"), narrow, renamed])
    proposal = policy.propose(TASK, (), math.inf)
    assert is_distribution(dict(proposal.probabilities), ["s0", "s1", "s2"])
    assert all(c.parameters["x"] <= 0.6 for c in proposal.configurations if c.strategy == "s1")
    assert "s2" not in {configuration.strategy for configuration in proposal.configurations}
    assert Configuration("s2", {"y": 0.5}) in search(policy, PAST, 0, 5)


# ------------------------------------------------------------------------------------------- bad records


@pytest.mark.parametrize("problem", ["multiclass", "regression"])
def test_problems_without_records_fall_back_to_what_was_written_by_hand(problem: str) -> None:
    past = PAST.select(range(0, 12, 2))
    strategies = make_strategies(past)
    task = describe(PAST, 1, problem=problem)
    history = recorded_history(PAST, 1, "rmse", [0, 5])
    for records in (past, replace(past, losses={}), past.select([])):
        policy = GainPolicy(records, strategies)
        assert policy.propose(task, history, 30.0) == PriorPolicy(strategies).propose(task, history, 30.0)
        assert policy.explain(task, history, 30.0) == {}


def nothing_recorded(past: PastTasks, problem: str) -> PastTasks:
    of = np.array(past.problems)[:, None] == problem
    return replace(past, losses={metric: np.where(of, np.nan, matrix) for metric, matrix in past.losses.items()})


def without_costs(past: PastTasks) -> PastTasks:
    nothing = np.full_like(past.seconds, np.nan)
    return replace(past, seconds=nothing, memory_mb=nothing)


def huge(past: PastTasks) -> PastTasks:
    losses_of = {metric: matrix.copy() for metric, matrix in past.losses.items()}
    losses_of["log_loss"][0, 0] = losses_of["rmse"][1, 0] = 1e30
    return replace(past, losses=losses_of)


@pytest.mark.parametrize(
    "past",
    [
        pytest.param(PAST.select([0, 1]), id="one task a problem"),
        pytest.param(PAST.select([0, 2]), id="two tasks of a problem"),
        pytest.param(make_past(gaps=0.85), id="missing on most tasks"),
        pytest.param(nothing_recorded(PAST, "regression"), id="no losses of a problem"),
        pytest.param(without_costs(PAST), id="no costs"),
        pytest.param(replace(PAST, features=np.full((12, 3), np.nan)), id="no meta-features"),
        pytest.param(replace(PAST, feature_names=(), features=np.zeros((12, 0))), id="no names of meta-features"),
        pytest.param(replace(PAST, features=np.zeros((12, 3)), sizes=np.zeros((12, 3))), id="all tasks alike"),
        pytest.param(huge(PAST), id="a loss beyond all others"),
        pytest.param(make_past(n_strategies=1, n_each=1), id="one configuration"),
        pytest.param(make_past(n_strategies=1, n_each=2), id="two configurations"),
    ],
)
@with_and_without_limit
def test_poor_records_still_steer_a_search(past: PastTasks, remaining_s: float) -> None:
    for settings_of in SETTINGS.values():
        policy = GainPolicy(past, make_strategies(past, "new"), settings_of)
        for metric in ("roc_auc", "log_loss"):
            for row in (0, 1):
                task = describe(make_past(), row, metric if row == 0 else "rmse")
                for n in (0, 1, 2):
                    history = [measured(c, 0.2 + 0.1 * n) for c in past.configurations[:n]]
                    proposal = policy.propose(task, history, remaining_s)
                    assert is_distribution(dict(proposal.probabilities), [*dict.fromkeys(past.strategies), "new"])
                    policy.explain(task, history, remaining_s)


def test_configurations_that_were_never_best_are_proposed_as_well() -> None:
    past = PAST.select([0])
    assert set(GainPolicy(past).propose(TASK, (), math.inf).configurations) == set(past.configurations)


# ------------------------------------------------------------------------------------------- bad questions


@every_policy
@with_and_without_limit
@pytest.mark.parametrize("scale", [-1e6, 0.0, 1e-9, 1.0, 1e9], ids=str)
def test_losses_of_a_metric_that_was_not_recorded_tell_only_what_was_tried(
    policy: GainPolicy, remaining_s: float, scale: float
) -> None:
    task = replace(TASK, metric="profit of the user's")
    history = [replace(item, loss=scale * item.loss) for item in recorded_history(PAST, 0, "roc_auc", [1, 6, 8])]
    proposal = policy.propose(task, history, remaining_s)
    as_one = [replace(item, loss=0.5) for item in history]
    assert same(proposal, policy.propose(task, as_one, remaining_s))
    # What was tried still counts: the rest of the portfolio comes next.
    without = GainPolicy(PAST, make_strategies(PAST), replace(policy.settings, uses_losses=False))
    assert same(proposal, without.propose(TASK, history, remaining_s))
    for prediction in policy.explain(task, history, remaining_s).values():
        assert math.isnan(prediction.loss)
        assert math.isnan(prediction.loss_low)
        assert math.isnan(prediction.loss_high)
        assert prediction.seconds > 0


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"features": {}}, id="no features"),
        pytest.param({"features": {"log_rows": math.nan, "skewness": math.nan}}, id="undefined features"),
        pytest.param({"features": {"skewness": math.inf, "log_rows": -1e100}}, id="absurd features"),
        pytest.param({"features": {"what the past lacks": 3.0}}, id="unknown features"),
        pytest.param({"n_rows": 0, "n_columns": 0, "n_classes": 0}, id="nothing in the table"),
        pytest.param({"n_rows": 10**12, "n_columns": 10**9, "n_classes": 10**6}, id="a huge table"),
        pytest.param({"loss_unit": 1e-30}, id="a tiny unit"),
        pytest.param({"loss_unit": 1e30}, id="a huge unit"),
    ],
)
@every_policy
@pytest.mark.parametrize("remaining_s", [math.inf, 30.0, 0.0, -5.0])
def test_odd_descriptions_still_steer_a_search(
    policy: GainPolicy, changes: dict[str, object], remaining_s: float
) -> None:
    for row, metric in ((0, "roc_auc"), (1, "rmse")):
        task = describe(PAST, row, metric, **changes)
        for history in ((), recorded_history(PAST, row, metric, [0, 5])):
            proposal = policy.propose(task, history, remaining_s)
            assert is_distribution(dict(proposal.probabilities), ["s0", "s1", "s2"])
            assert len(proposal.configurations) == 12 - len(history)


def test_without_meta_features_tasks_are_compared_by_their_sizes() -> None:
    for row in (0, 4, 8):
        rows, columns = np.exp(PAST.features[row, :2])
        task = replace(describe(PAST, row), features={}, n_rows=round(rows), n_columns=round(columns))
        evidence = POLICIES["gaussian"].propose(task, (), math.inf).evidence
        assert f"task {row}" in list(evidence)[:2]


def test_duplicates_at_folds_and_anchors_are_one_configuration() -> None:
    policy = POLICIES["gaussian"]
    once = recorded_history(PAST, 0, "roc_auc", [1, 6])
    often = [replace(item, fold=fold) for item in once for fold in range(3)]
    often += [replace(item, anchor=0.1, loss=0.9, fit_cpu_s=0.01) for item in once]
    assert same(policy.propose(TASK, often, 30.0), policy.propose(TASK, once, 30.0), 1e-9)


def test_what_is_under_way_is_expected_to_end_as_foreseen() -> None:
    policy = POLICIES["gaussian"]
    best, *_ = policy.propose(TASK, (), math.inf).configurations
    idle = ObservedHistory({}, {}, set(), set(), math.inf)
    busy = replace(idle, running={PAST.position[best]}, tried={PAST.position[best]})
    before, after = (policy.outlook(TASK, seen, math.inf).gain for seen in (idle, busy))
    assert (after <= before + 1e-12).all()
    assert after.sum() < 0.5 * before.sum()


def test_the_likely_winner_beats_the_default_and_the_default_ties_with_itself() -> None:
    policy = GainPolicy(PAST, make_strategies(PAST), replace(SETTINGS["portfolio"]))
    expected = policy.explain(TASK, (), math.inf)
    defaults = [expected[PAST.configurations[place]].beats_default for place in (0, 4, 8)]
    assert 0.5 in [pytest.approx(value) for value in defaults]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 0.0),
        ("temperature_in_time", -1.0),
        ("exploration", 1.0),
        ("exploration", -0.1),
        ("patience", -0.1),
        ("waiting_s", 0.0),
    ],
)
def test_settings_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be .*got {value}"):
        GainSettings(**{name: value})


# ------------------------------------------------------------------------------------------- size


@pytest.mark.slow
def test_a_step_among_many_records_is_quick(capsys: pytest.CaptureFixture[str]) -> None:
    past = make_past(problems=("binary", "multiclass", "regression") * 40, n_strategies=14, n_each=25, gaps=0.05)
    history = recorded_history(past, 0, "roc_auc", range(0, 350, 12))
    history = [item for item in history if math.isfinite(item.loss)]
    started_s = time.process_time()
    policy = GainPolicy(past)
    policy.propose(describe(past, 0), history, 60.0)
    first_s = time.process_time() - started_s
    started_s = time.process_time()
    for _ in range(10):
        policy.propose(describe(past, 0), history, 60.0)
    step_s = (time.process_time() - started_s) / 10
    with capsys.disabled():
        print(f"\n{len(history)} seen: first {first_s:.2f} s, then {step_s * 1e3:.1f} ms")  # noqa: T201  what it is for
    # What is learnt from the records is learnt once.
    assert step_s < first_s


def test_beyond_the_records_what_is_left_of_the_portfolios_comes_before_the_sampler() -> None:
    strategies = make_strategies(PAST)
    own = strategies[0]
    extra = Configuration(own.name, {**own.portfolio[0].parameters, "x": 0.987654})
    strategies[0] = replace(own, portfolio=(*own.portfolio, extra))
    policy = GainPolicy(PAST, strategies, GainSettings(exploration=0.5, n_first=1))
    history: list[Evaluation] = []
    proposed = []
    for _ in range(8):
        configurations = policy.propose(TASK, history, math.inf).configurations
        proposed.append(configurations[0] if configurations else None)
        history.append(
            measured(configurations[0] if configurations else Configuration(own.name, {"x": len(history) / 99}), 0.3)
        )
    assert proposed.count(extra) == 1
    # Only after it the choice is left to the sampler.
    assert None in proposed[proposed.index(extra) :] and None not in proposed[: proposed.index(extra)]
