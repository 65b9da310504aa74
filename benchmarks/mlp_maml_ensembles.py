"""Fits with and without `mlp_maml` among the strategies, on tables that neither its start nor a policy has learnt from.

    python -m benchmarks.mlp_maml ensembles --corpus FOLDER --seconds 10 --out CSV
    python -m benchmarks.mlp_maml ensembles --corpus FOLDER --seconds 10 --out CSV --report

A quarter of each table is kept aside. A row is a table, an arm, a budget and a seed; rows that are there already are
not measured again. The two fits of a table follow each other, and which of them comes first changes from table to
table, so that a busy machine is busy for both. Nothing else should run on the cores of the fits.
"""

from __future__ import annotations

import time
import tomllib
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from autometa.catalogue import load_strategies
from autometa.core.strategy import Strategy
from autometa.learners.starts import shipped_starts_folder
from autometa.policy.regret import paired_bootstrap
from benchmarks.corpus import choose_tasks, load_table, named_tasks, read_tasks
from benchmarks.results import append_row, read_results

NAME = "mlp_maml"
DEFAULT = "default"
N_PER_PROBLEM = 12
FIELDS = (
    "task", "family", "problem", "arm", "seconds", "seed", "jobs", "loss", "fit_s", "n_trials", "n_ok", "n_own",
    "n_own_ok", "own_weight",
)  # fmt: skip
"""Of a row; ``n_own``, ``n_own_ok`` and ``own_weight`` are trials of `mlp_maml` and its share of the ensemble."""


def chosen_tasks(corpus: Path) -> list[str]:
    """Return tables of families that neither the shipped start was trained on nor the meta-dataset records."""
    card = tomllib.loads((shipped_starts_folder() / "mlp_maml.card.toml").read_text(encoding="utf-8"))
    tasks = read_tasks(corpus)
    known = [*card["tasks"], *named_tasks("datasets/tasks.txt")]
    return choose_tasks(tasks, N_PER_PROBLEM, without=[task for task in known if task in tasks.index])


def strategy_arms(score: float | None) -> dict[str, tuple[Strategy, ...]]:
    """Return the strategies of each arm; with a score, `mlp_maml` has that one in place of its file's."""
    own = load_strategies([NAME])[0]
    usual = load_strategies()
    usual = tuple(strategy for strategy in usual if strategy.name != NAME)
    if score is None:
        return {DEFAULT: usual, f"with {NAME}": (*usual, own)}
    return {DEFAULT: usual, f"with {NAME}, score {score:g}": (*usual, replace(own, score=score))}


def fit_row(
    corpus: Path, task: str, arm: str, strategies: Sequence[Strategy], seconds: float, seed: int, n_jobs: int
) -> dict[str, object]:
    """Return what one fit gives: the loss on the rows kept aside, by the metric that was optimised."""
    from autometa import AutoMeta

    X, y, problem = load_table(corpus, task)
    stratify = None if problem == "regression" else y
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=seed, stratify=stratify)
    began_s = time.monotonic()
    model = AutoMeta(
        problem=problem, time_budget=seconds, strategies=list(strategies), random_state=seed, n_jobs=n_jobs
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X_train, y_train)
    fit_s = time.monotonic() - began_s
    truth = y_test.to_numpy(np.float64) if problem == "regression" else model._codes(y_test)
    trials = model.history_.trials
    own = [trial for trial in trials if trial["strategy"] == NAME]
    return {
        "task": task,
        "family": read_tasks(corpus).at[task, "family"],
        "problem": problem,
        "arm": arm,
        "seconds": seconds,
        "seed": seed,
        "jobs": n_jobs,
        "loss": model._metric.loss(truth, model._predict(X_test)),
        "fit_s": round(fit_s, 2),
        "n_trials": len(trials),
        "n_ok": sum(trial["status"] == "ok" for trial in trials),
        "n_own": len(own),
        "n_own_ok": sum(trial["status"] == "ok" for trial in own),
        "own_weight": sum(trial["weight"] for trial in own),
    }


def measure(
    corpus: Path, tasks: Sequence[str], out: Path, seconds: float, seeds: int, n_jobs: int, score: float | None
) -> None:
    """Append the rows that are missing."""
    rows = read_results(out)
    done = set() if rows.empty else set(rows[["task", "arm", "seconds", "seed"]].itertuples(index=False, name=None))
    arms = list(strategy_arms(score).items())
    for seed in range(seeds):
        for place, task in enumerate(tasks):
            for arm, strategies in arms if (place + seed) % 2 else reversed(arms):
                if (task, arm, seconds, seed) not in done:
                    append_row(out, FIELDS, fit_row(corpus, task, arm, strategies, seconds, seed, n_jobs))


def compared(rows: pd.DataFrame) -> pd.DataFrame:
    """Return by seconds and arm how its losses compare with those of the default, paired by table.

    The interval is a paired bootstrap over families of the mean log ratio of the losses; below 0 the arm is better.
    ``tables_with`` counts those where a trial of `mlp_maml` was done, ``weight`` is its mean share of the ensemble.
    """
    found = []
    for seconds, part in rows.groupby("seconds"):
        losses = part.pivot_table(index=["task", "family"], columns="arm", values="loss")
        for arm in losses.columns.drop(DEFAULT):
            both = losses[[DEFAULT, arm]].dropna()
            ratio = np.log(np.maximum(both[arm], 1e-6) / np.maximum(both[DEFAULT], 1e-6)).to_numpy()
            mean, low, high = paired_bootstrap(ratio, list(both.index.get_level_values("family")))
            better, worse = int((ratio < -1e-9).sum()), int((ratio > 1e-9).sum())
            own = part[part["arm"] == arm].groupby("task")[["n_own_ok", "own_weight"]].mean()
            found.append(
                {
                    "seconds": seconds,
                    "arm": arm,
                    "tables": len(both),
                    "better": better,
                    "equal": len(both) - better - worse,
                    "worse": worse,
                    "mean_log_ratio": mean,
                    "low": low,
                    "high": high,
                    "median": float(np.median(ratio)),
                    "tables_with": int((own["n_own_ok"] > 0).sum()),
                    "weight": float(own["own_weight"].mean()),
                }
            )
    return pd.DataFrame(found)
