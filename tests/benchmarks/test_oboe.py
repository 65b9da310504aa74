"""The table of regrets on a recorded matrix."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autometa.metalearning.replay.baselines import StaticPolicy, average_rank
from autometa.policy.past_tasks import PastTasks
from benchmarks import oboe


@pytest.fixture
def folder(tmp_path: Path, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    columns = [str({"algorithm": "AB"[n % 2], "hyperparameters": {"n": n}}) for n in range(6)]
    index = pd.Index(range(20), name="dataset")
    pd.DataFrame(rng.random((20, 6)), index, columns).to_parquet(tmp_path / "balanced_error.parquet")
    pd.DataFrame(rng.exponential(2, (20, 6)), index, columns).to_parquet(tmp_path / "fit_seconds.parquet")
    sizes = pd.DataFrame(rng.integers(10, 99, (20, 2)).astype(float), index, ["0", "1"])
    sizes.to_parquet(tmp_path / "dataset_size.parquet")
    return tmp_path


@pytest.fixture
def past(folder: Path) -> PastTasks:
    return oboe.read_folder(folder)


def test_every_task_is_in_one_fold(seed: int) -> None:
    parts = oboe.folds(334, seed)
    assert len(parts) == 10
    assert sorted(np.concatenate(parts)) == list(range(334))


def test_the_sizes_describe_the_tasks(past: PastTasks, folder: Path) -> None:
    sizes = pd.read_parquet(folder / "dataset_size.parquet")
    np.testing.assert_allclose(past.features, np.log(sizes))


def test_a_run_evaluates_what_is_proposed_first_until_the_time_is_up_or_the_best_is_found(past: PastTasks) -> None:
    policy = StaticPolicy(past, average_rank)
    order = average_rank(past)
    for task in range(5):
        ends = np.cumsum(past.seconds[task, order])
        # Nothing that follows the best changes the regret.
        best = int(past.losses["balanced_accuracy"][task].argmin())
        for budget_s in (0.1, 1.0, 5.0, math.inf):
            in_time = order[: int((ends <= budget_s).sum())]
            assert oboe.run(policy, past, task, budget_s=budget_s) == in_time[: order.index(best) + 1]
        n = order.index(best)
        assert oboe.run(policy, past, task, n=n) == order[:n]


def test_regret_is_one_before_the_first_result_and_falls_with_every_count(past: PastTasks) -> None:
    slow = PastTasks(**{**vars(past), "seconds": past.seconds + 20.0})
    for task in range(5):
        found = oboe.measure(StaticPolicy(past, average_rank), slow, task)
        assert [found[f"{budget_s} s"] for budget_s in (1, 3, 10)] == [1, 1, 1]
        counts = [found[f"K={count}"] for count in oboe.COUNTS]
        assert counts == sorted(counts, reverse=True)
        assert counts[-1] == 0


@pytest.mark.slow
def test_a_stopped_run_goes_on_where_it_stopped(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "oboe.csv"
    chosen = ["--out", str(out), "--policies", "random", "average rank", "gaussian"]
    oboe.main([str(folder), *chosen])
    table = capsys.readouterr().out
    whole = pd.read_csv(out)
    assert len(whole) == 3 * 20
    assert not whole.duplicated(["policy", "task"]).any()
    lines = out.read_text().splitlines(keepends=True)
    out.write_text("".join(lines[:25]))
    oboe.main([str(folder), *chosen])
    again = pd.read_csv(out)
    # Random orders go on from another state.
    key = ["policy", "task"]
    fixed = [frame[frame["policy"] != "random"].sort_values(key, ignore_index=True) for frame in (whole, again)]
    pd.testing.assert_frame_equal(*fixed)
    assert "K=32" in table and "100 s" in table
