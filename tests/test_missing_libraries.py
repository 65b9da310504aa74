"""autometa without one of the libraries that some strategies need: they are left out, and everything else works."""

# Tests: autometa/_support/imports.py

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = """
import sys

blocked = set(sys.argv[1].split(","))


class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ImportError(f"{name} is blocked")


sys.meta_path.insert(0, Blocked())
import numpy as np
import optuna
import pandas as pd

import autometa

rng = np.random.default_rng(0)
X = pd.DataFrame(rng.normal(size=(80, 3)), columns=list("abc"))
y = np.where(X["a"] + 0.3 * rng.normal(size=80) > 0, "yes", "no")
model = autometa.AutoMeta(n_trials=2, cv=2, random_state=0, n_jobs=1, policy="prior").fit(X, y)
notes = dict(model.report(full=True)[["strategy", "note"]].itertuples(index=False))
for name in blocked & set(notes):
    assert "not installed" in notes[name], (name, notes[name])
if "torch" in blocked:
    assert "torch is not installed" in notes["neural_network"]
model.save("model.autometa")
assert (autometa.load("model.autometa").predict(X) == model.predict(X)).all()
study = optuna.create_study(sampler=autometa.MetaSampler(autometa.StudyArchive()))
study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
print("works")
"""


@pytest.mark.parametrize(
    "blocked",
    [
        "torch,catboost,lightgbm,xgboost",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("torch", "catboost", "lightgbm", "xgboost")),
    ],
)
def test_what_needs_a_missing_library_is_left_out_and_the_rest_works(blocked: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(_PROGRAM)
    run = subprocess.run(
        [sys.executable, "-W", "ignore", program, blocked], capture_output=True, text=True, timeout=240, cwd=tmp_path
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == "works"
