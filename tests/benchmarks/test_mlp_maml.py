"""What the benchmark of `mlp_maml` prints, and the plain network that it is compared with."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_classification

from autometa import AutoMeta
from autometa.learners.base import FitData
from benchmarks import mlp_maml, mlp_maml_replays
from benchmarks.mlp_maml_ensembles import DEFAULT, compared, ensembles_without, strategy_arms
from benchmarks.plain_mlp import PlainMLP
from tests.helpers.fit_data import fit_data
from tests.helpers.past_tasks import made_up_past


def rows(problem: str) -> FitData:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(160, 3)).astype(np.float32)
    y = 50 + 7 * X[:, 0] if problem == "regression" else (X[:, 0] > 0).astype(np.int64)
    return fit_data(X, y, n_validation=40)


@pytest.mark.parametrize("problem", ["binary", "regression"])
def test_the_plain_network_gets_better_with_epochs_and_keeps_its_best(problem: str) -> None:
    data = rows(problem)
    model = PlainMLP(40).fit(data, {"learning_rate_init": 0.01})

    def loss(prediction: np.ndarray) -> float:
        if problem == "regression":
            return float(np.mean((prediction - data.y_val) ** 2))
        return float(-np.log(prediction[np.arange(len(data.y_val)), data.y_val]).mean())

    stages = {n: loss(prediction) for n, prediction in model.staged_predict(data.X_val)}
    final = loss(model.predict(data.X_val))
    assert final < 0.5 * stages[1] and final <= min(stages.values())
    assert 1 < model.n_iterations <= 40


def test_shares_are_means_over_tasks_and_have_intervals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    losses = {f"loss_{n}": 0.5 for n in mlp_maml.EPOCHS}
    late = losses | {f"loss_{n}": 0.9 for n in (1, 2, 4, 8)}
    common = {"problem": "binary", "cpu_s": 1.0}
    table = [
        {"task": task, "seed": seed, "arm": arm, **common, **(late if arm == "slow" and task == "a" else losses)}
        for task in "ab"
        for seed in (0, 1)
        for arm in ("slow", "random")
    ]
    pd.DataFrame(table).to_csv(tmp_path / "rows.csv", index=False)
    mlp_maml.report(argparse.Namespace(results=tmp_path / "rows.csv", reference="random", only_seed=None))
    lines = {line.split(" | ")[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "| 2, 2 |" in lines["| slow"] and "50% [0%, 100%]" in lines["| slow"]
    assert "100% [100%, 100%]" in lines["| random"]


def test_a_table_counts_once_by_the_means_of_its_losses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Better on one split by more than it is worse on the other two.
    table = [
        {"task": "a", "seed": seed, "arm": arm, "problem": "binary", "cpu_s": 1.0,
         **{f"loss_{n}": loss for n in mlp_maml.EPOCHS}}
        for arm, losses in {"new": (0.1, 0.6, 0.6), "random": (0.5, 0.5, 0.5)}.items()
        for seed, loss in enumerate(losses)
    ]  # fmt: skip
    pd.DataFrame(table).to_csv(tmp_path / "rows.csv", index=False)
    mlp_maml.report(argparse.Namespace(results=tmp_path / "rows.csv", reference="random", only_seed=None))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| new")]
    assert "33% [33%, 33%] | 100% [100%, 100%]" in line


def test_families_of_further_tasks_are_not_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlp_maml, "ASIDE", ())
    pd.DataFrame({"task_id": ["a", "b", "c"], "family": ["x", "x", "y"]}).to_csv(tmp_path / "tasks.csv", index=False)
    (tmp_path / "aside.txt").write_text("a\n")
    assert mlp_maml.training_names(tmp_path) == (["a", "b", "c"], ["x", "y"])
    assert mlp_maml.training_names(tmp_path, tmp_path / "aside.txt") == (["c"], ["y"])


def test_ensembles_are_compared_in_pairs_of_one_table() -> None:
    loss = {("a", DEFAULT): 1.0, ("a", "new"): 0.5, ("b", DEFAULT): 2.0, ("b", "new"): 2.0, ("c", DEFAULT): 1.0}
    table = pd.DataFrame(
        [
            {"task": task, "family": task, "arm": arm, "seconds": 3.0, "seed": 0, "jobs": 1, "loss": value,
             "n_own_ok": 1, "own_weight": 0.25, "own_s": 0.3, "loss_left_out": 2 * value if task == "a" else value}
            for (task, arm), value in loss.items()
        ]
    )  # fmt: skip
    (found,) = compared(table).to_dict("records")
    assert (found["tables"], found["better"], found["equal"], found["worse"]) == (2, 1, 1, 0)
    assert found["mean_log_ratio"] == pytest.approx(np.log(0.5) / 2) and found["high"] <= 0
    assert found["left_out"] == pytest.approx(np.log(0.5) / 2) and found["share_of_time"] == pytest.approx(0.1)
    assert (found["helped"], found["harmed"]) == (1, 0)


def test_a_fit_tells_what_its_ensemble_is_without_a_strategy() -> None:
    X, y = make_classification(200, random_state=0)
    model = AutoMeta(strategies=["ridge", "logistic_regression", "mlp_maml"], n_trials=3, time_budget=None, n_jobs=1)
    with ensembles_without("mlp_maml") as others:
        model.fit(X, y)
    own = {trial["number"] for trial in model.history_.trials if trial["strategy"] == "mlp_maml"}
    (without,) = others
    assert own and not own & {member.trial for member in without.members}
    with ensembles_without("lightgbm") as none:
        model.fit(X, y)
    assert not none


def test_the_arms_differ_by_one_strategy_whose_score_can_be_set() -> None:
    default, other = strategy_arms(0.7).values()
    assert other[:-1] == default and (other[-1].name, other[-1].score) == ("mlp_maml", 0.7)


def test_a_replayed_policy_knows_nothing_of_a_strategy_left_out() -> None:
    past = made_up_past(n_tasks=8)
    gone = str(past.strategies[0])
    known = mlp_maml_replays.policy_without(gone, past).past
    assert set(known.strategies) == set(past.strategies) - {gone}
    for place, configuration in enumerate(known.configurations):
        np.testing.assert_array_equal(known.seconds[:, place], past.seconds[:, past.position[configuration]])
    assert mlp_maml_replays.policy_without(None, past).past.configurations == past.configurations


def test_differences_of_replays_are_paired_by_task() -> None:
    regrets = {mlp_maml_replays.ALL: (0.1, 0.3), "without x": (0.2, 0.3)}
    table = pd.DataFrame(
        [
            {"policy": policy, "task": task, "family": task, "limit": "seconds", "at": 10.0, "regret": regret}
            for policy, pair in regrets.items()
            for task, regret in zip("ab", pair, strict=True)
        ]
    )
    (found,) = mlp_maml_replays.differences(table).to_dict("records")
    assert (found["tasks"], found["against"]) == (2, "without x")
    assert found["regret"] == pytest.approx(0.2) and found["difference"] == pytest.approx(-0.05)
