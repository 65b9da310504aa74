"""Replayed searches: the real engine on a simulated clock, compared with the simplest simulation of it."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import optuna
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import IntDistribution

from autometa.core.budget import Budget
from autometa.core.evaluation import Evaluation
from autometa.core.proposal import Proposal
from autometa.core.space import Configuration
from autometa.core.strategy import Strategy
from autometa.core.task import TaskDescription
from autometa.metadataset.dataset import MetaDataset
from autometa.metalearning.replay.replay import Episode, describe_past, metric_of, replay
from autometa.policy.past_tasks import PastTasks
from autometa.policy.prior import PriorPolicy
from autometa.policy.registry import OVERHEAD_S
from autometa.search.plan import make_plan

METRIC = "balanced_accuracy"
# So long that no evaluation runs into a limit, and all are expected to fit.
AMPLE = Budget(time_s=1e6)


def make_past(losses: np.ndarray, seconds: np.ndarray | None = None, n_strategies: int = 2) -> PastTasks:
    """Return past tasks; NaN losses are failures."""
    columns = [
        str({"algorithm": f"algorithm {place % n_strategies}", "hyperparameters": {"place": place}})
        for place in range(losses.shape[1])
    ]
    frame = pd.DataFrame(losses, index=[f"task {row}" for row in range(len(losses))], columns=columns)
    timed = None if seconds is None else pd.DataFrame(seconds, index=frame.index, columns=columns)
    sizes = pd.DataFrame({"n_rows": 300, "n_columns": 7, "n_classes": 3}, index=frame.index)
    past = PastTasks.from_metadataset(MetaDataset.from_matrix(frame, timed, tasks=sizes))
    # Records are in single precision; here they shall be what they look like.
    return replace(past, losses={METRIC: losses}, seconds=past.seconds if seconds is None else seconds)


def random_past(seed: int, n_configurations: int = 12) -> PastTasks:
    rng = np.random.default_rng(seed)
    return make_past(rng.uniform(size=(3, n_configurations)), rng.exponential(10.0, (3, n_configurations)) + 0.01)


def hide(past: PastTasks, task: int, place: int) -> PastTasks:
    """Return the past as if one configuration had never been tried on a task."""
    losses, failed = past.losses[METRIC].copy(), past.failed.copy()
    losses[task, place], failed[task, place] = np.nan, False
    return replace(past, losses={METRIC: losses}, failed=failed)


class FixedOrder:
    """Proposes configurations in a fixed order, and remembers what it was shown."""

    def __init__(self, configurations: Sequence[Configuration]) -> None:
        self.configurations = tuple(configurations)
        self.histories: list[Sequence[Evaluation]] = []
        self.remaining_s: list[float] = []
        self.description: TaskDescription | None = None

    def propose(self, description: TaskDescription, history: Sequence[Evaluation], remaining_s: float) -> Proposal:
        self.description = description
        self.histories.append(history)
        self.remaining_s.append(remaining_s)
        strategies = {configuration.strategy for configuration in self.configurations}
        return Proposal({name: 1 / len(strategies) for name in strategies}, self.configurations)


def shuffled(past: PastTasks, seed: int) -> tuple[list[int], FixedOrder]:
    order = np.random.default_rng(seed).permutation(len(past.configurations)).tolist()
    return order, FixedOrder([past.configurations[place] for place in order])


def is_same(first: Episode, second: Episode) -> bool:
    return first.configurations == second.configurations and all(
        np.array_equal(getattr(first, name), getattr(second, name), equal_nan=True)
        for name in ("losses", "start_s", "end_s", "known")
    )


@pytest.mark.parametrize("budget", [AMPLE, Budget(n_trials=99)], ids=["seconds", "trials"])
def test_a_fixed_order_gives_the_recorded_losses_seconds_and_minima(budget: Budget, seed: int) -> None:
    past = random_past(seed)
    order, policy = shuffled(past, seed)
    episode = replay(policy, past, 1, budget=budget)
    losses, ends = past.losses[METRIC][1, order], np.cumsum(past.seconds[1, order])
    assert episode.task == "task 1"
    assert episode.configurations == policy.configurations
    np.testing.assert_array_equal(episode.losses, losses)
    np.testing.assert_allclose(episode.end_s, ends)
    np.testing.assert_array_equal(episode.start_s, [0, *episode.end_s[:-1]])
    np.testing.assert_array_equal(episode.incumbent_after(np.arange(1, 13)), np.minimum.accumulate(losses))
    np.testing.assert_array_equal(episode.incumbent_at(episode.end_s), np.minimum.accumulate(losses))
    low, high = past.losses[METRIC][1].min(), past.losses[METRIC][1].max()
    np.testing.assert_allclose(episode.regret_at(ends + 1e-6), (np.minimum.accumulate(losses) - low) / (high - low))


def test_as_in_fits_a_trial_has_all_folds_and_the_search_leaves_time_for_the_ensemble(seed: int) -> None:
    past = random_past(seed)
    order, policy = shuffled(past, seed)
    budget = Budget(time_s=3600.0)
    episode = replay(policy, past, 1, budget=budget, as_in_fits=True)
    plan = make_plan(describe_past(past, 1, METRIC), budget, 1)
    n_folds = 1 if plan.is_holdout else plan.n_splits
    seconds = n_folds * past.seconds[1, order] + OVERHEAD_S
    ends = np.cumsum(seconds)
    in_time = int((ends < 3600 * (1 - plan.refit_share) - plan.finish_s).sum())
    assert n_folds > 1
    # Each result is a whole trial; long trials may be cut off by the limits of the engine.
    n = next((k for k, c in enumerate(episode.configurations) if np.isnan(episode.losses[k])), len(episode.losses))
    assert 0 < n <= in_time
    np.testing.assert_array_equal(episode.losses[:n], past.losses[METRIC][1, order[:n]])
    np.testing.assert_allclose(episode.end_s[:n], ends[:n])


@pytest.mark.parametrize("n_jobs", [2, 3])
def test_evaluations_side_by_side_begin_as_soon_as_another_ends(n_jobs: int, seed: int) -> None:
    past = random_past(seed)
    order, policy = shuffled(past, seed)
    episode = replay(policy, past, 0, budget=AMPLE, n_jobs=n_jobs)
    free = [0.0] * n_jobs
    expected = []
    for place in order:
        start_s = heapq.heappop(free)
        heapq.heappush(free, start_s + past.seconds[0, place])
        expected.append((start_s + past.seconds[0, place], start_s, past.configurations[place]))
    expected.sort(key=lambda result: result[0])
    assert list(episode.configurations) == [configuration for _, _, configuration in expected]
    np.testing.assert_allclose(episode.end_s, [end_s for end_s, _, _ in expected])
    np.testing.assert_allclose(episode.start_s, [start_s for _, start_s, _ in expected])


def test_without_a_limit_of_time_a_policy_sees_results_in_the_order_of_the_trials(seed: int) -> None:
    past = random_past(seed)
    _, policy = shuffled(past, seed)
    episode = replay(policy, past, 0, budget=Budget(n_trials=12), n_jobs=2)
    for n_seen, history in enumerate(policy.histories):
        assert tuple(evaluation.configuration for evaluation in history) == policy.configurations[:n_seen]
    assert np.all(np.diff(episode.end_s) >= 0)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    time_s=st.floats(0.5, 200),
    n_trials=st.none() | st.integers(1, 15),
    n_jobs=st.just(1) | st.just(3),
)
def test_an_episode_keeps_its_budget_and_the_records(
    seed: int, time_s: float, n_trials: int | None, n_jobs: int
) -> None:
    rng = np.random.default_rng(seed)
    losses = rng.uniform(size=(2, 10))
    losses[rng.uniform(size=(2, 10)) < 0.2] = np.nan
    losses[:, 0] = 0.5
    seconds = rng.exponential(10.0, (2, 10))
    seconds[rng.uniform(size=(2, 10)) < 0.1] = np.nan
    seconds[:, 0] = 1.0
    past = hide(make_past(losses, seconds), 1, 3)
    _, policy = shuffled(past, seed)
    episode = replay(policy, past, 1, budget=Budget(time_s, n_trials), n_jobs=n_jobs)

    assert np.all(0 <= episode.start_s) and np.all(episode.start_s <= episode.end_s)
    assert np.all(np.diff(episode.end_s) >= 0)
    assert np.all(episode.end_s <= time_s)
    assert len(episode.losses) <= (n_trials or math.inf)
    for moment in episode.start_s:
        assert np.sum((episode.start_s <= moment) & (moment < episode.end_s)) <= n_jobs
    assert np.all(np.diff(policy.remaining_s) <= 0)

    places = [past.position[configuration] for configuration in episode.configurations]
    assert len(set(places)) == len(places) and 3 not in places
    is_measured = ~np.isnan(episode.losses)
    np.testing.assert_array_equal(episode.losses[is_measured], losses[1, places][is_measured])
    regrets = episode.regret_at(np.linspace(0, time_s, 50))
    assert np.all((regrets >= 0) & (regrets <= 1)) and np.all(np.diff(regrets) <= 0)
    assert episode.regret_after(0) == 1


def test_a_failure_takes_its_seconds_or_the_median_and_is_told_to_the_policy() -> None:
    past = make_past(np.array([[np.nan, 0.3, np.nan, 0.4]]), np.array([[5.0, 1.0, np.nan, 3.0]]), n_strategies=4)
    policy = FixedOrder(past.configurations)
    episode = replay(policy, past, 0, budget=AMPLE)
    np.testing.assert_array_equal(episode.losses, [np.nan, 0.3, np.nan, 0.4])
    np.testing.assert_allclose(episode.end_s, np.cumsum([5, 1, 3, 3]))
    np.testing.assert_array_equal(episode.incumbent_after([0, 1, 2, 3, 9]), [np.nan, np.nan, 0.3, 0.3, 0.3])
    assert [evaluation.status for evaluation in policy.histories[-1]] == ["failed", "ok", "failed", "ok"]
    assert policy.histories[1][0].error == "recorded as failed"


def test_an_evaluation_that_takes_too_long_is_a_timeout_after_the_seconds_it_was_allowed() -> None:
    past = make_past(np.array([[0.1, 0.3, 0.2]]), np.array([[900.0, 1.0, 1.0]]), n_strategies=3)
    policy = FixedOrder(past.configurations)
    episode = replay(policy, past, 0, budget=Budget(time_s=100.0))
    assert np.isnan(episode.losses[0])
    assert 0 < episode.end_s[0] < 100
    assert policy.histories[-1][0].status == "timeout"
    assert policy.histories[-1][0].time_s == episode.end_s[0]
    assert episode.incumbent_at(100) == 0.2


def test_what_the_end_of_the_budget_cuts_off_is_not_a_result() -> None:
    losses = np.linspace(0.7, 0.1, 7)
    past = make_past(losses[None], np.array([[1.0, 1.0, 1.0, 1.0, 1.0, 3.9, 3.9]]), n_strategies=1)
    policy = FixedOrder(past.configurations)
    # The last one begins at 8.9 s, as those before it let hope that it takes one second.
    episode = replay(policy, past, 0, budget=Budget(time_s=10.0))
    assert policy.remaining_s[-1] == pytest.approx(1.1)
    assert episode.configurations == past.configurations[:6]
    assert episode.stop_reason == "the time budget is used up"
    np.testing.assert_array_equal(episode.incumbent_at([0.99, 1.01, 99]), [np.nan, losses[0], losses[5]])


def test_configurations_that_were_not_measured_on_the_task_are_passed_over() -> None:
    past = hide(random_past(0), 0, 2)
    unknown = Configuration("algorithm 0", {"place": 99})
    policy = FixedOrder([past.configurations[2], unknown, past.configurations[5]])
    assert replay(policy, past, 0, budget=Budget(n_trials=9)).configurations == (past.configurations[5],)
    assert replay(policy, past, 1, budget=Budget(n_trials=9)).configurations == (
        past.configurations[2],
        past.configurations[5],
    )


def test_a_policy_that_proposes_one_at_a_time_gets_past_those_that_were_not_measured() -> None:
    class OneAtATime(FixedOrder):
        def propose(self, description: TaskDescription, history: Sequence[Evaluation], remaining_s: float) -> Proposal:
            tried = {evaluation.configuration for evaluation in history}
            left = [configuration for configuration in self.configurations if configuration not in tried]
            return replace(super().propose(description, history, remaining_s), configurations=tuple(left[:1]))

    past = hide(hide(random_past(0), 0, 0), 0, 1)
    policy = OneAtATime(past.configurations)
    episode = replay(policy, past, 0, budget=Budget(n_trials=99))
    assert episode.configurations == past.configurations[2:]
    assert [evaluation.status for evaluation in policy.histories[2]] == ["running", "running"]


def test_a_policy_that_proposes_nothing_ends_the_episode_without_a_result() -> None:
    episode = replay(FixedOrder([]), random_past(0), 0, budget=Budget(n_trials=9))
    assert episode.configurations == ()
    assert np.isnan(episode.incumbent_at(1e9))
    assert episode.regret_after(3) == 1
    assert episode.stop_reason == "there is nothing more to try"


def test_running_evaluations_are_told_to_the_policy() -> None:
    past = random_past(0)
    policy = FixedOrder(past.configurations)
    replay(policy, past, 0, budget=AMPLE, n_jobs=3)
    (first, second) = policy.histories[2]
    assert (first.configuration, second.configuration) == past.configurations[:2]
    assert first.status == second.status == "running"


def test_records_of_any_kind_can_be_replayed() -> None:
    columns = [
        str({"algorithm": "kNN (scaled)", "hyperparameters": {"layers": [3, 4], "p": True}}),
        str({"algorithm": "kNN (scaled)", "hyperparameters": {"layers": [3], "p": 1, "q": None}}),
        str({"algorithm": "kNN (scaled)", "hyperparameters": {"p": 1.5}}),
        "a name alone",
    ]
    past = PastTasks.from_metadataset(MetaDataset.from_matrix(pd.DataFrame([[0.4, 0.3, 0.2, 0.1]], columns=columns)))
    policy = FixedOrder(past.configurations)
    episode = replay(policy, past, 0, budget=Budget(n_trials=4))
    assert episode.configurations == past.configurations
    assert episode.losses.tolist() == pytest.approx([0.4, 0.3, 0.2, 0.1])


def test_the_hand_made_policy_replays_its_portfolios_and_the_same_seed_gives_the_same_episode(seed: int) -> None:
    past = random_past(seed)
    recorded = {f"s{number}": [c for c in past.configurations if c.strategy.endswith(str(number))] for number in (0, 1)}
    strategies = [
        Strategy(name, "ridge", {"place": IntDistribution(0, 99)}, tuple(c.parameters for c in configurations))
        for name, configurations in recorded.items()
    ]
    renamed = [Configuration(f"s{c.strategy[-1]}", c.parameters) for c in past.configurations]
    past = replace(past, configurations=tuple(renamed))

    def run(n_jobs: int) -> Episode:
        return replay(PriorPolicy(strategies), past, 0, budget=Budget(60.0), n_jobs=n_jobs, seed=seed)

    assert len(run(1).losses) > 0
    assert is_same(run(1), run(1))
    assert is_same(run(2), run(2))


def test_a_policy_is_shown_what_was_recorded_of_the_task() -> None:
    past = random_past(0)
    policy = FixedOrder(past.configurations)
    replay(policy, past, 0, budget=Budget(n_trials=1))
    expected = dict(zip(past.feature_names, past.features[0], strict=True))
    assert policy.description == TaskDescription("multiclass", 300, 7, 3, metric=METRIC, features=expected)


def test_the_metric_is_the_first_of_the_problem_that_was_recorded_on_the_task() -> None:
    past = random_past(0)
    missing = np.full_like(past.losses[METRIC], np.nan)
    past = replace(past, losses={"rmse": np.ones_like(missing), "accuracy": past.losses[METRIC], "log_loss": missing})
    assert metric_of(past, 0) == "accuracy"
    assert metric_of(replace(past, problems=("regression",) * 3), 0) == "rmse"
    assert metric_of(replace(past, problems=("objective",) * 3), 0) == "rmse"
    with pytest.raises(ValueError, match="'task 0' has no results at all"):
        metric_of(replace(past, losses={"log_loss": missing}), 0)


def test_an_error_of_the_policy_is_not_taken_for_the_end_of_the_search() -> None:
    class Broken(FixedOrder):
        def propose(self, description: TaskDescription, history: Sequence[Evaluation], remaining_s: float) -> Proposal:
            if len(history) > 2:
                raise RuntimeError("a fault in the policy")
            return super().propose(description, history, remaining_s)

    past = random_past(0)
    with pytest.raises(RuntimeError, match="a fault in the policy"):
        replay(Broken(past.configurations), past, 0, budget=Budget(n_trials=9))


def test_ctrl_c_ends_the_program_and_not_the_episode() -> None:
    class Interrupted:
        def propose(self, description: TaskDescription, history: Sequence[Evaluation], remaining_s: float) -> Proposal:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replay(Interrupted(), random_past(0), 0, budget=Budget(n_trials=9))


def test_a_replay_says_nothing_and_leaves_the_logging_of_optuna_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    before = optuna.logging.get_verbosity()
    past = random_past(0)
    replay(FixedOrder(past.configurations), past, 0, budget=Budget(n_trials=2))
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr() == ("", "")


def test_tasks_without_seconds_are_replayed_by_trials_alone() -> None:
    past = make_past(np.array([[0.3, 0.2]]))
    policy = FixedOrder(past.configurations)
    assert replay(policy, past, 0, budget=Budget(n_trials=2)).losses.tolist() == pytest.approx([0.3, 0.2])
    with pytest.raises(ValueError, match="recorded without seconds.*n_trials alone"):
        replay(policy, past, 0, budget=Budget(time_s=10))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": 3}, "one of the 3 past tasks, got 3"),
        ({"task": -1}, "one of the 3 past tasks, got -1"),
        ({"metric": "rmse"}, "metric must be one of balanced_accuracy.*got 'rmse'"),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    past = random_past(0)
    with pytest.raises(ValueError, match=message):
        replay(FixedOrder(past.configurations), past, **({"task": 0, "budget": AMPLE} | arguments))  # type: ignore[arg-type]


def test_a_task_on_which_everything_failed_is_refused() -> None:
    past = make_past(np.array([[np.nan, np.nan], [0.1, 0.2]]))
    with pytest.raises(ValueError, match="'task 0' has no losses in 'balanced_accuracy'"):
        replay(FixedOrder(past.configurations), past, 0, metric=METRIC, budget=Budget(n_trials=2))
