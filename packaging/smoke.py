"""Try an installed autometa as a new user would; run with the Python of its environment, outside the checkout."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import numpy as np
import optuna
import pandas as pd

import autometa

COMMAND = Path(sysconfig.get_path("scripts")) / "autometa"


def table(n_rows: int = 300) -> tuple[pd.DataFrame, pd.Series]:
    """Return a table with numbers, categories, dates and gaps, and a target of two classes."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "age": rng.integers(18, 80, n_rows),
            "income": rng.lognormal(10, 1, n_rows),
            "city": rng.choice(["Bern", "Oslo", "Riga"], n_rows),
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, n_rows), unit="D"),
        }
    )
    X.loc[::7, "income"] = np.nan
    chance = 1 / (1 + np.exp(-(X["age"] - 45) / 8 - (X["city"] == "Oslo")))
    return X, pd.Series(np.where(rng.random(n_rows) < chance, "yes", "no"), name="buys")


def main() -> None:
    """Fit, save, load, recommend, search with the past, and use the command line."""
    here = Path(autometa.__file__).resolve().parent
    assert "site-packages" in here.parts, f"autometa comes from {here}, not from an installed wheel"
    X, y = table()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = autometa.AutoMeta(time_budget=15, random_state=0).fit(X, y)
        assert model.score(X, y) > 0.6
        model.save(folder / "model.autometa")
        again = autometa.load(folder / "model.autometa")
        assert (again.predict(X) == model.predict(X)).all()
        advice = autometa.recommend(X, y, n=3)
        assert len(advice) == 3 and advice["loss"].notna().all()

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        old = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        old.optimize(lambda trial: (trial.suggest_float("x", 0, 1) - 0.3) ** 2, n_trials=20)
        study = optuna.create_study(sampler=autometa.MetaSampler([old], seed=0))
        study.optimize(lambda trial: (trial.suggest_float("x", 0, 1) - 0.3) ** 2, n_trials=5)
        assert study.best_value < 0.05

        X.assign(buys=y).to_csv(folder / "train.csv", index=False)
        fit = ["fit", "train.csv", "--target", "buys", "--n-trials", "2", "--save", "cli.autometa"]
        for arguments in (["--version"], fit, ["predict", "cli.autometa", "train.csv", "--out", "predictions.csv"]):
            subprocess.run([str(COMMAND), *arguments], check=True, cwd=folder, stdout=subprocess.DEVNULL)
        assert len(pd.read_csv(folder / "predictions.csv")) == len(X)
    sys.stdout.write(f"autometa {autometa.__version__} works in {sys.prefix}\n")


if __name__ == "__main__":  # worker processes import this file
    main()
