"""The recurrent policy: its network against torch's, what it reads in training and in use, and that it learns."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from optuna.distributions import IntDistribution

from autometa.core.budget import Budget
from autometa.core.evaluation import Evaluation
from autometa.core.proposal import Proposal
from autometa.core.space import Configuration, SearchSpace
from autometa.core.strategy import Strategy
from autometa.core.task import TaskDescription
from autometa.metalearning.replay.replay import describe_past, replay
from autometa.metalearning.training import recurrent_training
from autometa.metalearning.training.recurrent_episodes import Observation, play
from autometa.metalearning.training.recurrent_training import RecurrentSettings, train
from autometa.metalearning.training.recurrent_tuning import EpisodeSettings, TuningEpisodes, train_recurrent
from autometa.policy.past_tasks import PastTasks
from autometa.policy.recurrent.inputs import feature_scale, shape_for
from autometa.policy.recurrent.network import HIDDEN, Shape, initial_arrays, judge, start, step
from autometa.policy.recurrent.policy import RecurrentPolicy

METRIC = "balanced_accuracy"
PLAIN = EpisodeSettings(share_mixed=0.0, share_restricted=0.0, speed=0.0)


def make_past(seed: int = 0, n_tasks: int = 12, n_configurations: int = 10, *, missing: float = 0.0) -> PastTasks:
    """Return tasks that differ in three ways, of which a meta-feature tells one; NaN losses are failures."""
    rng, same = np.random.default_rng(seed), np.random.default_rng(99)
    kinds = rng.standard_normal((n_tasks, 3))
    scores = kinds @ same.standard_normal((3, n_configurations)) + 0.1 * rng.standard_normal(
        (n_tasks, n_configurations)
    )
    losses = 1 / (1 + np.exp(1 - 0.6 * scores))
    failed = rng.uniform(size=losses.shape) < missing
    return PastTasks(
        tasks=tuple(f"task {task}" for task in range(n_tasks)),
        families=tuple(f"family {task}" for task in range(n_tasks)),
        problems=("multiclass",) * n_tasks,
        configurations=tuple(Configuration(f"s{place % 3}", {"place": place}) for place in range(n_configurations)),
        feature_names=("told", "noise"),
        features=np.column_stack([kinds[:, 0], rng.standard_normal(n_tasks)]),
        sizes=np.log([[300 * 2 / 3, 7, 3]] * n_tasks),
        losses={METRIC: np.where(failed, np.nan, losses)},
        seconds=np.exp(same.standard_normal(n_configurations) + 0.3 * rng.standard_normal(losses.shape)),
        memory_mb=np.full(losses.shape, 50.0),
        failed=failed,
    )


def make_arrays(past: PastTasks, seed: int = 0) -> dict[str, np.ndarray]:
    """Return weights that were not trained but have opinions."""
    rng = np.random.default_rng(seed)
    arrays = initial_arrays(shape_for(past), rng)
    opinions = {name: 0.5 * rng.standard_normal(values.shape).astype(np.float32) for name, values in arrays.items()}
    return opinions | feature_scale(past.features)


def evaluation(past: PastTasks, place: int, task: int = 0, **changes: object) -> Evaluation:
    loss, seconds = float(past.losses[METRIC][task, place]), float(past.seconds[task, place])
    status = "failed" if math.isnan(loss) else "ok"
    known = Evaluation(
        past.configurations[place], 1.0, 0, loss, seconds, 0.0, status, fit_cpu_s=seconds, predict_cpu_s=0.0
    )
    return replace(known, **changes)


def running(past: PastTasks, place: int) -> Evaluation:
    return Evaluation.running(past.configurations[place])


def describe(past: PastTasks, task: int = 0, **changes: object) -> TaskDescription:
    return replace(describe_past(past, task, METRIC), **changes)


def strategies_called(*names: str) -> list[Strategy]:
    # Recorded points must be points of the space.
    space = SearchSpace({"place": IntDistribution(0, 999)})
    return [Strategy(name, "ridge", space, ({"place": 997}, {"place": 998})) for name in names]


# ------------------------------------------------------------------------------------------- the network


def random_inputs(shape: Shape, n: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    action = rng.integers(-1, shape.n_actions, size=n)
    inputs = rng.standard_normal((n, shape.n_inputs)).astype(np.float32)
    options = rng.standard_normal((n, shape.n_actions, shape.n_options)).astype(np.float32)
    return action, inputs, options, rng.uniform(size=(n, shape.n_actions)) < 0.7


def test_a_step_is_that_of_a_gated_recurrent_unit(seed: int) -> None:
    rng, shape = np.random.default_rng(seed), Shape(n_actions=5, n_inputs=3)
    arrays = {name: rng.standard_normal(size).astype(np.float32) for name, size in shape.of_arrays().items()}
    action, inputs, _, _ = random_inputs(shape, 7, rng)
    hidden = rng.standard_normal((7, HIDDEN)).astype(np.float32)
    embedded = np.where((action >= 0)[:, None], arrays["embedding"][action], 0.0)
    unit = torch.nn.GRUCell(embedded.shape[1] + 3, HIDDEN)
    with torch.no_grad():
        unit.weight_ih.copy_(torch.from_numpy(arrays["read_weight"].T))
        unit.weight_hh.copy_(torch.from_numpy(arrays["keep_weight"].T))
        unit.bias_ih.copy_(torch.from_numpy(arrays["read_bias"]))
        unit.bias_hh.copy_(torch.from_numpy(arrays["keep_bias"]))
        expected = unit(torch.from_numpy(np.hstack([embedded, inputs])), torch.from_numpy(hidden)).numpy()
    # Sums of 80 products in single precision.
    np.testing.assert_allclose(step(np, arrays, hidden, action, inputs), expected, atol=1e-5)


@pytest.mark.parametrize("n_options", [0, 2])
def test_numpy_and_torch_compute_the_same(n_options: int, seed: int) -> None:
    rng, shape = np.random.default_rng(seed), Shape(6, 4, n_start=3, n_options=n_options)
    arrays = initial_arrays(shape, rng)
    weights = {name: torch.from_numpy(values) for name, values in arrays.items()}
    known = rng.standard_normal((8, 3)).astype(np.float32)
    ours, theirs = start(np, arrays, known), start(torch, weights, torch.from_numpy(known))
    for _ in range(10):
        action, inputs, options, mask = random_inputs(shape, 8, rng)
        ours = step(np, arrays, ours, action, inputs)
        theirs = step(torch, weights, theirs, torch.from_numpy(action), torch.from_numpy(inputs))
        logits, value = judge(np, arrays, ours, options, mask)
        other_logits, other_value = judge(torch, weights, theirs, torch.from_numpy(options), torch.from_numpy(mask))
        np.testing.assert_allclose(logits, other_logits.numpy(), atol=1e-4)
        np.testing.assert_allclose(value, other_value.numpy(), atol=1e-4)
        assert logits.dtype == np.float32
        assert logits[mask].min() > logits[~mask].max() + 1e6


def test_weights_of_another_shape_are_refused() -> None:
    past = make_past()
    arrays = make_arrays(make_past(n_configurations=9))
    with pytest.raises(ValueError, match=r"'embedding' must be of shape \(10, 16\), got \(9, 16\)"):
        RecurrentPolicy(past, arrays)
    arrays = make_arrays(past)
    del arrays["query_bias"]
    with pytest.raises(ValueError, match="lack 'query_bias'"):
        RecurrentPolicy(past, arrays)
    with pytest.raises(ValueError, match="'feature_scale' of shape"):
        RecurrentPolicy(past, make_arrays(past) | {"feature_scale": np.ones(3)})


# ------------------------------------------------------------------------------------------- the policy


@pytest.mark.parametrize("remaining_s", [math.inf, 30.0])
def test_a_proposal_ranks_what_was_not_tried_and_its_probabilities_sum_to_one(remaining_s: float, seed: int) -> None:
    past = make_past(seed, missing=0.2)
    policy = RecurrentPolicy(past, make_arrays(past, seed))
    history: list[Evaluation] = []
    for n_tried in range(len(past.configurations) + 1):
        proposal = policy.propose(describe(past), history, remaining_s)
        assert sum(proposal.probabilities.values()) == pytest.approx(1)
        assert set(proposal.probabilities) == {"s0", "s1", "s2"}
        tried = {known.configuration for known in history}
        assert not tried & set(proposal.configurations)
        assert len(set(proposal.configurations)) == len(past.configurations) - n_tried
        if proposal.configurations:
            history.append(evaluation(past, past.position[proposal.configurations[0]]))


def test_probabilities_are_sums_over_a_strategys_configurations(seed: int) -> None:
    past = make_past(seed)
    policy = RecurrentPolicy(past, make_arrays(past, seed))
    history = [evaluation(past, place) for place in range(9)]
    assert policy.propose(describe(past), history, 9.0).probabilities == {"s0": 1.0, "s1": 0.0, "s2": 0.0}


def test_a_proposal_depends_on_the_history_alone(seed: int) -> None:
    past = make_past(seed)
    arrays = make_arrays(past, seed)
    history = [evaluation(past, place) for place in (3, 1, 4)]
    used = RecurrentPolicy(past, arrays)
    for n in (1, 3, 2, 0):
        used.propose(describe(past, 1), history[:n], 5.0)
    fresh = RecurrentPolicy(past, arrays).propose(describe(past), history, 20.0)
    assert used.propose(describe(past), history, 20.0) == fresh
    assert used.propose(describe(past), history[::-1], 20.0).probabilities != fresh.probabilities
    assert used.propose(describe(past), history, 2.0).probabilities != fresh.probabilities
    assert used.propose(describe(past, 1), history, 20.0).probabilities != fresh.probabilities


def test_folds_of_a_configuration_are_one_trial_in_the_place_of_its_first(seed: int) -> None:
    past = make_past(seed)
    policy = RecurrentPolicy(past, make_arrays(past, seed))
    loss = past.losses[METRIC][0, 3]
    folds = [evaluation(past, 3, loss=loss + difference, fold=fold) for fold, difference in enumerate((-0.01, 0.01))]
    split = [folds[0], evaluation(past, 5), folds[1]]
    together = [evaluation(past, 3), evaluation(past, 5)]
    # Without a limit of time, what all folds took together does not matter.
    first, second = (policy.propose(describe(past), history, math.inf) for history in (split, together))
    assert first.probabilities == pytest.approx(second.probabilities, abs=1e-5)


def test_what_is_under_way_is_not_proposed_and_tells_nothing(seed: int) -> None:
    past = make_past(seed)
    policy = RecurrentPolicy(past, make_arrays(past, seed))
    history = [evaluation(past, 2)]
    before = policy.propose(describe(past), history, math.inf).configurations
    after = policy.propose(describe(past), [*history, running(past, 7)], math.inf).configurations
    assert after == tuple(c for c in before if c != past.configurations[7])


def test_losses_in_units_of_the_target_are_read_in_its_own(seed: int) -> None:
    past = make_past(seed)
    policy = RecurrentPolicy(past, make_arrays(past, seed))
    scaled = [evaluation(past, place, loss=7.0 * past.losses[METRIC][0, place]) for place in (1, 2)]
    plain = policy.propose(describe(past), [evaluation(past, place) for place in (1, 2)], 9.0)
    assert policy.propose(describe(past, loss_unit=7.0), scaled, 9.0).probabilities == pytest.approx(
        plain.probabilities
    )


def test_losses_in_a_metric_without_records_are_not_read(seed: int) -> None:
    past = make_past(seed)
    policy = RecurrentPolicy(past, make_arrays(past, seed))
    other = describe(past, metric="my_metric")
    first, second = (policy.propose(other, [evaluation(past, 1, loss=loss)], 9.0) for loss in (0.1, 1e6))
    assert first == second


def test_only_the_given_strategies_are_proposed_and_those_without_records_get_their_turn(seed: int) -> None:
    past = make_past(seed, n_configurations=15)
    policy = RecurrentPolicy(past, make_arrays(past, seed), strategies_called("s1", "new"))
    history: list[Evaluation] = []
    for n_tried in range(5):
        proposal = policy.propose(describe(past), history, math.inf)
        assert set(proposal.probabilities) == {"s1", "new"}
        assert sum(proposal.probabilities.values()) == pytest.approx(1)
        first, *others = proposal.configurations
        assert first.strategy == ("new" if n_tried == 4 else "s1")
        assert {configuration.strategy for configuration in others} <= {"s1"}
        history.append(evaluation(past, past.position.get(first, 0), configuration=first))


def test_a_problem_without_records_gets_the_strategies_portfolios() -> None:
    past = make_past()
    policy = RecurrentPolicy(past, make_arrays(past), strategies_called("s0", "s1"))
    proposal = policy.propose(TaskDescription("regression", 100, 3, 0), [], 10.0)
    assert len(proposal.configurations) == 4
    assert sum(proposal.probabilities.values()) == pytest.approx(1)


@pytest.mark.slow
def test_using_the_policy_loads_no_torch() -> None:
    code = "import sys, autometa.policy.recurrent.policy\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


# ------------------------------------------------------------------------------------------- episodes


def histories(past: PastTasks, episodes: TuningEpisodes, actions: Sequence[np.ndarray], row: int) -> list[Evaluation]:
    """Return the history of one search, as a fit would have kept it, cut off at the limits of its evaluations."""
    task, budget_s = int(episodes.tasks[row]), float(episodes.budget_s[row])
    left_s, history = budget_s, []
    for action in actions:
        place = int(action[row])
        share = 0.4 if any(known.status == "ok" for known in history) else 0.2
        limit_s = min(left_s, max(1.0, share * budget_s))
        if past.seconds[task, place] < limit_s:
            history.append(evaluation(past, place, task))
        else:
            cut_off = Evaluation(past.configurations[place], 1.0, 0, math.nan, limit_s, 0.0, "timeout", "too long")
            history.append(cut_off)
        left_s -= history[-1].time_s
    return history


def test_the_policy_reads_of_a_search_what_the_network_read_in_training(seed: int) -> None:
    past = make_past(seed, missing=0.2)
    arrays = make_arrays(past, seed)
    policy = RecurrentPolicy(past, arrays)
    episodes = TuningEpisodes(past, replace(PLAIN, budgets_s=(3.0, 30.0)))
    known, seen = episodes.reset(8, np.random.default_rng(seed))
    hidden, done, actions = start(np, arrays, known), np.zeros(8, dtype=bool), []
    assert 0 < np.isfinite(episodes.budget_s).sum() < 8
    while not done.all():
        hidden = step(np, arrays, hidden, seen.action, seen.inputs)
        logits, _ = judge(np, arrays, hidden, seen.options, seen.mask)
        for row in np.flatnonzero(~done):
            task = int(episodes.tasks[row])
            history = histories(past, episodes, actions, row)
            left_s = float(episodes.budget_s[row]) - sum(known.time_s for known in history)
            ranks = [past.position[c] for c in policy.propose(describe(past, task), history, left_s).configurations]
            expected = np.argsort(-logits[row], kind="stable")[: len(ranks)]
            # Rounding may change the order of two that are as good as equal.
            np.testing.assert_allclose(logits[row][ranks], logits[row][expected], atol=1e-3)
        actions.append(logits.argmax(axis=1))
        seen, _, done = episodes.step(actions[-1])


class FixedOrder:
    def __init__(self, configurations: Sequence[Configuration]) -> None:
        self.configurations = tuple(configurations)

    def propose(self, description: TaskDescription, history: Sequence[Evaluation], remaining_s: float) -> Proposal:
        return Proposal({}, self.configurations)


def test_an_episode_pays_for_the_falls_of_regret_that_its_replay_shows(seed: int) -> None:
    past = make_past(seed, missing=0.2)
    rng = np.random.default_rng(seed)
    episodes = TuningEpisodes(past, replace(PLAIN, share_limited=0.0, counts=(4, 4)))
    episodes.reset(5, rng)
    orders = rng.permuted(np.tile(np.arange(10), (5, 1)), axis=1)
    rewards = np.array([episodes.step(orders[:, place])[1] for place in range(4)])
    for row, order in enumerate(orders):
        policy = FixedOrder([past.configurations[place] for place in order])
        regrets = replay(policy, past, int(episodes.tasks[row]), budget=Budget(n_trials=4)).regret_after(range(5))
        share_left = 1 - np.arange(1, 5) / 4
        np.testing.assert_allclose(rewards[:, row], -np.diff(regrets) * (1 + share_left) / 2, atol=1e-6)


def test_what_the_oracle_values_most_brings_the_largest_fall_and_ends_in_time(seed: int) -> None:
    past = make_past(seed)
    episodes = TuningEpisodes(past, replace(PLAIN, share_limited=0.5, budgets_s=(2.0, 6.0)))
    episodes.reset(30, np.random.default_rng(seed))
    worth = episodes.worth()
    assert worth.min() >= 0
    assert set(worth.max(axis=1)) <= {0.0, 1.0}
    for row, task in enumerate(episodes.tasks):
        losses, seconds = past.losses[METRIC][task], past.seconds[task]
        fall = losses.max() - losses
        if math.isfinite(budget_s := float(episodes.budget_s[row])):
            fall = np.where(seconds < max(1.0, 0.2 * budget_s), fall / seconds, 0.0)
        assert worth[row].argmax() == fall.argmax()


def test_augmented_episodes_keep_to_what_was_recorded(seed: int) -> None:
    past = make_past(seed, missing=0.3)
    never = past.losses[METRIC].copy(), past.failed.copy()
    never[0][:, 4], never[1][:, 4] = np.nan, False
    past = replace(past, losses={METRIC: never[0]}, failed=never[1])
    episodes = TuningEpisodes(past, EpisodeSettings(share_mixed=1.0, share_restricted=0.5))
    known, seen = episodes.reset(50, np.random.default_rng(seed))
    assert known.shape == (50, shape_for(past).n_start)
    assert not seen.mask[:, 4].any()
    assert seen.mask.any(axis=1).all()
    assert 0 < (~seen.mask).sum(axis=1).min() < (~seen.mask).sum(axis=1).max()
    assert np.isfinite(seen.inputs).all() and np.isfinite(seen.options).all()


def test_past_tasks_without_any_loss_teach_nothing() -> None:
    past = make_past()
    with pytest.raises(ValueError, match="No past task has a loss"):
        TuningEpisodes(replace(past, losses={METRIC: np.full((12, 10), np.nan)}))


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"counts must be two positive numbers, .* got \(5, 3\)"):
        EpisodeSettings(counts=(5, 3))
    with pytest.raises(ValueError, match="n_passes must be at least 1, got 0"):
        RecurrentSettings(n_passes=0)
    with pytest.raises(ValueError, match="n_imitation must not be negative, got -1"):
        RecurrentSettings(n_imitation=-1)


# ------------------------------------------------------------------------------------------- training


class HiddenArm:
    """Four pulls of one of three arms, one of which pays: who remembers gets 3 of them at the least, or 2."""

    def __init__(self, n_most: int = 10**9) -> None:
        self.shape = Shape(n_actions=3, n_inputs=1)
        self.n_left = n_most

    def reset(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, Observation]:
        if self.n_left == 0:
            raise KeyboardInterrupt
        self.n_left -= 1
        self.arm, self.n_pulled = rng.integers(3, size=n), 0
        return np.empty((n, 0), dtype=np.float32), self._observe(np.full(n, -1), np.zeros(n))

    def step(self, action: np.ndarray) -> tuple[Observation, np.ndarray, np.ndarray]:
        self.n_pulled += 1
        reward = (action == self.arm).astype(np.float64)
        return self._observe(action, reward), reward, np.full(len(action), self.n_pulled == 4)

    def worth(self) -> np.ndarray:
        return (self.arm[:, None] == np.arange(3)).astype(np.float64)

    def _observe(self, action: np.ndarray, reward: np.ndarray) -> Observation:
        n = len(action)
        options, mask = np.empty((n, 3, 0), dtype=np.float32), np.ones((n, 3), dtype=bool)
        return Observation(action, reward[:, None].astype(np.float32), options, mask)


BEST = (4 + 3 + 2) / 3
FEW = RecurrentSettings(3, 3, n_episodes=8, n_episodes_reinforcement=8, n_passes=2)


def test_by_imitation_the_network_learns_to_remember(seed: int) -> None:
    trained = train(HiddenArm(), RecurrentSettings(40, 0, n_episodes=32), seed=seed)
    assert play(HiddenArm(), trained.arrays, 300, np.random.default_rng(seed)).mean() > BEST - 0.3
    assert trained.rewards[0] < BEST - 0.8


@pytest.mark.slow
def test_by_its_rewards_alone_the_network_learns_to_remember(seed: int) -> None:
    settings = RecurrentSettings(0, 120, n_episodes_reinforcement=128, reinforcement_rate=5e-3)
    trained = train(HiddenArm(), settings, seed=seed)
    assert play(HiddenArm(), trained.arrays, 300, np.random.default_rng(seed)).mean() > BEST - 0.3


def test_training_is_the_same_for_the_same_seed() -> None:
    first, second, other = (train(HiddenArm(), FEW, seed=seed) for seed in (1, 1, 2))
    assert first.is_complete
    assert np.array_equal(first.rewards, second.rewards)
    assert all(np.array_equal(first.arrays[name], second.arrays[name]) for name in first.arrays)
    assert not np.array_equal(first.arrays["bias"], other.arrays["bias"])


@pytest.mark.parametrize("n_before", [2, 4], ids=["imitation", "reinforcement"])
def test_an_interrupted_training_goes_on_as_if_it_had_not_been(
    n_before: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recurrent_training, "_SAVE_EVERY_S", -1.0)
    state = tmp_path / "state.npz"
    with pytest.raises(KeyboardInterrupt):
        train(HiddenArm(n_before), FEW, state=state)
    rest = HiddenArm()
    resumed, whole = train(rest, FEW, state=state), train(HiddenArm(), FEW)
    assert 10**9 - rest.n_left == FEW.n_updates - n_before
    assert np.array_equal(resumed.rewards, whole.rewards)
    assert all(np.array_equal(resumed.arrays[name], whole.arrays[name]) for name in whole.arrays)


def test_a_training_without_time_keeps_its_state_and_says_that_it_is_not_complete(tmp_path: Path) -> None:
    state = tmp_path / "state.npz"
    trained = train(HiddenArm(), FEW, state=state, max_s=0.0)
    assert not trained.is_complete
    assert len(trained.rewards) == 0
    assert train(HiddenArm(), FEW, state=state).is_complete


def test_the_state_of_another_training_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "state.npz"
    train(HiddenArm(), FEW, state=state, max_s=0.0)
    with pytest.raises(ValueError, match="Delete the file, or name another one"):
        train(HiddenArm(), replace(FEW, discount=0.5), state=state)


def test_a_policy_of_a_short_training_is_small_and_complete() -> None:
    past = make_past(missing=0.2)
    trained = train_recurrent(past, replace(FEW, n_passes=1))
    assert sum(values.nbytes for values in trained.arrays.values()) < 1e6
    proposal = RecurrentPolicy(past, trained.arrays).propose(describe(past), [], 10.0)
    assert len(proposal.configurations) == len(past.configurations)


@pytest.mark.slow
def test_a_trained_policy_beats_random_orders_on_tasks_it_has_not_seen() -> None:
    past, new = make_past(1, n_tasks=60, n_configurations=30), make_past(2, n_tasks=20, n_configurations=30)
    policy = RecurrentPolicy(past, train_recurrent(past, RecurrentSettings(200, 0)).arrays)
    rng = np.random.default_rng(0)
    regrets = []
    for task in range(len(new.tasks)):
        shuffled = FixedOrder([new.configurations[place] for place in rng.permutation(30)])
        episodes = [replay(which, new, task, budget=Budget(n_trials=5)) for which in (policy, shuffled)]
        regrets.append([episode.regret_after([1, 3, 5]) for episode in episodes])
    learnt, random = np.mean(regrets, axis=0)
    assert np.all(learnt < 0.7 * random)
    assert learnt[-1] < 0.1
