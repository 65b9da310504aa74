"""Users of Optuna need neither torch nor a boosting library: the package runs in a process that cannot import them."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import sys


class Blocked:
    names = {"torch", "catboost", "lightgbm", "xgboost", "sklearn", "skops", "loky", "pydantic"}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ImportError(f"{name} is blocked")


sys.meta_path.insert(0, Blocked())
import optuna
from autometa import MetaPruner, MetaSampler, StudyArchive, warm_start

optuna.logging.set_verbosity(optuna.logging.ERROR)


def objective(trial):
    x = trial.suggest_float("x", 0, 1)
    for step in range(5):
        trial.report(x + 1 / (step + 1), step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return x


archive = StudyArchive()
for seed in range(3):
    old = optuna.create_study(study_name=f"old-{seed}", sampler=optuna.samplers.RandomSampler(seed=seed))
    old.optimize(objective, n_trials=15)
    archive.add(old)
study = optuna.create_study(sampler=MetaSampler(archive, seed=0), pruner=MetaPruner(archive))
assert warm_start(study, archive, n=1)
study.optimize(objective, n_trials=8)
assert len(archive.report(study)) == 3 and study.best_value < 0.1
print("blocked" if not Blocked.names & set(sys.modules) else sorted(Blocked.names & set(sys.modules)))
"""


def test_the_package_runs_without_heavy_libraries():
    run = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "blocked"
