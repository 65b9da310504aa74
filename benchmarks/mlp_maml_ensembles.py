"""Fits with and without the strategy `mlp_maml`, on tables that neither its start nor a policy has learnt from.

    python -m benchmarks.mlp_maml ensembles --corpus FOLDER --seconds 10 --out CSV
    python -m benchmarks.mlp_maml ensembles --corpus FOLDER --seconds 10 --out CSV --report

A quarter of each table is held out. A row is a table, an arm, a budget and a seed; existing rows are not measured
again. The two fits of a table run one after the other, in alternating order, so that load on the machine affects both.
Nothing else should run on the cores of the fits.

Two fits also differ by chance. A comparison with far less noise is the ensemble of the same fit without the trials of
`mlp_maml` (``loss_left_out``), which also lacks the seconds that they took.
"""

from __future__ import annotations

import copy
import time
import tomllib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from autometa import fitting
from autometa.catalogue import load_strategies
from autometa.core.budget import Deadline
from autometa.core.strategy import Strategy
from autometa.ensemble.predictor import FittedPredictor
from autometa.learners.mlp_maml.starts import shipped_starts_folder
from autometa.metalearning.replay.regret import paired_bootstrap
from benchmarks.comparison import loss_aside
from benchmarks.corpus import choose_tasks, load_table, named_tasks, read_tasks
from benchmarks.results import append_row, read_results

NAME = "mlp_maml"
DEFAULT = "default"
N_PER_PROBLEM = 12
_KEY = ["task", "arm", "seconds", "seed", "jobs"]
_MEANS = ("loss", "loss_left_out", "n_own_ok", "own_weight", "own_s")
_NOTHING = (float("nan"),) * 3
FIELDS = (
    "task", "family", "problem", "arm", "seconds", "seed", "jobs", "loss", "fit_s", "n_trials", "n_ok", "n_own",
    "n_own_ok", "own_weight", "own_s", "loss_left_out",
)  # fmt: skip
"""Fields of a row: ``n_own``, ``n_own_ok``, ``own_weight`` and ``own_s`` are the trials of `mlp_maml`, their share of
the ensemble and their seconds; ``loss_left_out`` is the loss of the ensemble without them."""


def chosen_tasks(corpus: Path) -> list[str]:
    """Return tables of families that neither the shipped start was trained on nor the meta-dataset records."""
    card = tomllib.loads((shipped_starts_folder() / "mlp_maml.card.toml").read_text(encoding="utf-8"))
    tasks = read_tasks(corpus)
    known = [*card["tasks"], *named_tasks("datasets/tasks.txt")]
    return choose_tasks(tasks, [N_PER_PROBLEM] * 3, without=[task for task in known if task in tasks.index])


def strategy_arms(score: float | None) -> dict[str, tuple[Strategy, ...]]:
    """Return the strategies of each arm; `score`, if given, replaces the score in the file of `mlp_maml`."""
    own = load_strategies([NAME])[0]
    usual = load_strategies()
    usual = tuple(strategy for strategy in usual if strategy.name != NAME)
    if score is None:
        return {DEFAULT: usual, f"with {NAME}": (*usual, own)}
    return {DEFAULT: usual, f"with {NAME}, score {score:g}": (*usual, replace(own, score=score))}


def fit_row(
    corpus: Path, task: str, arm: str, strategies: Sequence[Strategy], seconds: float, seed: int, n_jobs: int
) -> dict[str, object]:
    """Return the row of one fit, with the loss on the held-out rows by the optimised metric."""
    from autometa import AutoMeta

    X, y, problem = load_table(corpus, task)
    stratify = None if problem == "regression" else y
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=seed, stratify=stratify)
    began_s = time.monotonic()
    model = AutoMeta(
        problem=problem, time_budget=seconds, strategies=list(strategies), random_state=seed, n_jobs=n_jobs
    )
    with warnings.catch_warnings(), ensembles_without(NAME) as others:
        warnings.simplefilter("ignore")
        model.fit(X_train, y_train)
    fit_s = time.monotonic() - began_s
    trials = model.history_.trials
    own = [trial for trial in trials if trial["strategy"] == NAME]
    loss = loss_left_out = loss_aside(model, X_test, y_test)
    for model.predictor_ in others:
        loss_left_out = loss_aside(model, X_test, y_test)
    return {
        "task": task,
        "family": read_tasks(corpus).at[task, "family"],
        "problem": problem,
        "arm": arm,
        "seconds": seconds,
        "seed": seed,
        "jobs": n_jobs,
        "loss": loss,
        "fit_s": round(fit_s, 2),
        "n_trials": len(trials),
        "n_ok": sum(trial["status"] == "ok" for trial in trials),
        "n_own": len(own),
        "n_own_ok": sum(trial["status"] == "ok" for trial in own),
        "own_weight": sum(trial["weight"] for trial in own),
        "own_s": round(sum(trial["time_s"] for trial in own), 2),
        "loss_left_out": loss_left_out,
    }


@contextmanager
def ensembles_without(strategy: str) -> Iterator[list[FittedPredictor]]:
    """Yield a list to which each fit adds its ensemble without the trials of a strategy, if it has such trials."""
    found: list[FittedPredictor] = []
    make_ensemble = fitting.make_ensemble

    def both(search: Any, *others: Any, deadline: Deadline, **settings: Any) -> Any:
        began_s = time.monotonic()
        result = make_ensemble(search, *others, deadline=deadline, **settings)
        rest = copy.copy(search)
        rest.records = [record for record in search.records if record.configuration.strategy != strategy]
        if any(record.predictions for record in rest.records) and len(rest.records) < len(search.records):
            # Choosing and fitting again get as much time as for the first ensemble.
            later = Deadline(deadline.at_s + time.monotonic() - began_s)
            found.append(make_ensemble(rest, *others, deadline=later, **settings).predictor)
        return result

    with patch.object(fitting, "make_ensemble", both):
        yield found


def measure(
    corpus: Path, tasks: Sequence[str], out: Path, seconds: float, seeds: int, n_jobs: int, score: float | None
) -> None:
    """Append the missing rows."""
    rows = read_results(out)
    done = set() if rows.empty else set(rows[_KEY].itertuples(index=False, name=None))
    arms = list(strategy_arms(score).items())
    for seed in range(seeds):
        for place, task in enumerate(tasks):
            for arm, strategies in arms if (place + seed) % 2 else reversed(arms):
                if (task, arm, seconds, seed, n_jobs) not in done:
                    append_row(out, FIELDS, fit_row(corpus, task, arm, strategies, seconds, seed, n_jobs))


def compared(rows: pd.DataFrame) -> pd.DataFrame:
    """Compare the losses of each arm with those of the default, by seconds and cores, paired by table.

    The interval is a paired bootstrap over families of the mean log ratio of the losses; below 0 the arm is better.
    ``tables_with`` counts tables with a trial of `mlp_maml`; ``weight`` is its mean share of the ensemble. On these
    tables ``left_out`` compares the ensemble with that of the same fit without those trials, which ``helped`` or
    ``harmed`` it; ``share_of_time`` is their share of the time of all cores.
    """
    found = []
    for (seconds, jobs), part in rows.groupby(["seconds", "jobs"]):
        losses = part.pivot_table(index=["task", "family"], columns="arm", values="loss")
        for arm in losses.columns.drop(DEFAULT):
            both = losses[[DEFAULT, arm]].dropna()
            ratio = log_ratio(both[arm], both[DEFAULT])
            mean, low, high = paired_bootstrap(ratio, list(both.index.get_level_values("family")))
            better, worse = int((ratio < -1e-9).sum()), int((ratio > 1e-9).sum())
            fits = part[part["arm"] == arm].groupby(["task", "family"])[list(_MEANS)].mean()
            own = fits[fits["n_own_ok"] > 0]
            added = log_ratio(own["loss"], own["loss_left_out"])
            of_own = paired_bootstrap(added, list(own.index.get_level_values("family"))) if len(own) else _NOTHING
            found.append(
                {
                    "seconds": seconds,
                    "jobs": jobs,
                    "arm": arm,
                    "tables": len(both),
                    "better": better,
                    "equal": len(both) - better - worse,
                    "worse": worse,
                    "mean_log_ratio": mean,
                    "low": low,
                    "high": high,
                    "median": float(np.median(ratio)),
                    "tables_with": len(own),
                    "weight": float(fits["own_weight"].mean()),
                    "share_of_time": float(fits["own_s"].mean() / (seconds * jobs)),
                    "helped": int((added < -1e-9).sum()),
                    "harmed": int((added > 1e-9).sum()),
                    **dict(zip(("left_out", "left_out_low", "left_out_high"), of_own, strict=True)),
                }
            )
    return pd.DataFrame(found)


def log_ratio(losses: pd.Series, others: pd.Series) -> np.ndarray:
    """Return logarithms of ratios of losses; losses of nearly 0 count as equal."""
    return np.log(np.maximum(losses, 1e-6) / np.maximum(others, 1e-6)).to_numpy()
