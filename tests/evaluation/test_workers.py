"""Trials that hang, crash or eat memory fail alone; fits in real processes."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from sklearn.base import BaseEstimator, RegressorMixin

from autometa import AutoMetaRegressor, Strategy

pytestmark = pytest.mark.slow


class Rogue(RegressorMixin, BaseEstimator):
    """Misbehaves in `fit`."""

    def __init__(self, how: str = "hang") -> None:
        self.how = how

    def fit(self, X: np.ndarray, y: np.ndarray) -> Rogue:
        match self.how:
            case "hang":
                time.sleep(1000)
            case "segfault":
                ctypes.string_at(0)
            case "exit":
                os._exit(7)
            case "memory":
                self.ballast_ = [np.ones(2**24) for _ in range(1000)]
            case "print":
                self.mean_ = float(y.mean())
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.full(len(X), self.mean_)


# Worker processes need not find this module: another library may have a `tests` of its own.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def make_data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4))
    return X, X @ [1.0, 2.0, 0.0, -1.0] + rng.normal(size=200) * 0.1


@pytest.mark.parametrize(
    ("how", "status", "arguments"),
    [
        ("hang", {"timeout", "stopped"}, {"time_budget": 12}),
        ("segfault", {"failed"}, {"n_trials": 4}),
        ("exit", {"failed"}, {"n_trials": 4}),
        ("memory", {"memory"}, {"n_trials": 4, "memory_limit": 1.0}),
    ],
)
def test_a_rogue_trial_fails_alone(how: str, status: set[str], arguments: dict[str, Any]) -> None:
    X, y = make_data()
    strategies = [Strategy("rogue", Rogue(how), score=0.9), "ridge", "lightgbm"]
    # Learnt policies give strategies without records their turn later.
    model = AutoMetaRegressor(strategies=strategies, policy="prior", cv=2, n_jobs=2, random_state=0, **arguments).fit(
        X, y
    )
    trials = model.leaderboard()
    assert set(trials.loc[trials["strategy"] == "rogue", "status"]) <= status
    assert (trials["strategy"] == "rogue").any()
    assert model.score(X, y) > 0.9


def test_a_script_without_a_main_guard_runs_once(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import numpy as np
            from sklearn.linear_model import LinearRegression
            from autometa import AutoMetaRegressor, Strategy

            print("starting")

            class Mine(LinearRegression):
                pass

            X = np.random.default_rng(0).normal(size=(100, 3))
            model = AutoMetaRegressor(strategies=[Strategy("mine", Mine())], n_trials=1, cv=2, n_jobs=2)
            y = X[:, 0] + X[:, 1]
            print("score", round(model.fit(X, y).score(X, y), 3))
            """
        )
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["starting", "score", "1.0"]
    assert done.stderr == ""


def test_one_and_two_workers_and_a_time_budget_give_a_good_model() -> None:
    X, y = make_data()
    for n_jobs in (1, 2):
        model = AutoMetaRegressor(time_budget=10, n_jobs=n_jobs, random_state=0).fit(X, y)
        assert model.score(X, y) > 0.95
        assert model.history_.first_model_s < model.history_.total_s


def test_trials_alone_give_the_same_result_with_workers(seed: int) -> None:
    X, y = make_data()

    def fit() -> Any:
        return AutoMetaRegressor(n_trials=12, cv=2, n_jobs=2, random_state=seed).fit(X, y)

    first, second = fit(), fit()
    columns = ["trial", "strategy", "loss", "status", "weight"]
    assert first.leaderboard()[columns].equals(second.leaderboard()[columns])
    assert np.array_equal(first.predict(X), second.predict(X))


SCRIPT = """
import sys
import numpy as np
from autometa import AutoMetaRegressor

X = np.random.default_rng(0).normal(size=(300, 4))
model = AutoMetaRegressor(
    n_trials=int(sys.argv[2]), cv=2, n_jobs=1, random_state=int(sys.argv[3]), storage=sys.argv[1], study_name="shared",
    strategies=["ridge", "elastic_net", "lightgbm"],
)
print(model.fit(X, X[:, 0]).score(X, X[:, 0]))
"""


def start(script: Path, storage: str, n_trials: int, seed: int) -> subprocess.Popen[str]:
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), storage, str(n_trials), str(seed)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(storage: str) -> int:
    try:
        study = optuna.load_study(study_name="shared", storage=storage)
    except KeyError:
        return 0
    return len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))


def test_a_study_whose_process_was_killed_is_resumed(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/study.db"
    process = start(tmp_path / "script.py", storage, 10_000, 0)
    deadline_s = time.monotonic() + 100
    while not (tmp_path / "study.db").exists() or finished(storage) < 3:
        assert time.monotonic() < deadline_s and process.poll() is None
        time.sleep(0.5)
    process.kill()
    process.wait()
    before = finished(storage)
    again = start(tmp_path / "script.py", storage, 3, 1)
    out, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    assert float(out) > 0.9
    assert finished(storage) == before + 3


def test_two_fits_can_share_a_study(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/study.db"
    # Created first: two processes that create one database's tables at once is SQLite's race, not ours.
    optuna.create_study(storage=storage, study_name="shared")
    processes = [start(tmp_path / f"script{seed}.py", storage, 6, seed) for seed in (0, 1)]
    for process in processes:
        out, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
        assert float(out) > 0.9
    assert len(optuna.load_study(study_name="shared", storage=storage).trials) >= 12
