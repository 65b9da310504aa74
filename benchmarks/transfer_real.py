"""Do new studies of real models benefit from old ones? Samplers on models fitted to tables of a corpus.

``python -m benchmarks.transfer_real CORPUS CACHE`` measures; ``--report`` prints the results. The corpus is a folder
of tables (see `benchmarks.corpus`); the cache is a folder for the losses of configurations, so that a run that is
repeated fits nothing twice. `benchmarks/transfer_real.md` describes the measurement.

The result file has a row per situation, table, seed and sampler with the losses of its trials in order. A stopped
run can be resumed; ``--again NAMES`` first drops the rows of these samplers, for a new version.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler, TPESampler
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from autometa import MetaSampler, StudyArchive, warm_start
from autometa._support.seeds import child_seed
from benchmarks.corpus import load_table
from benchmarks.results import append_row, read_results

TABLES = {
    "tune": "churn credit_scoring_spain eel_presence email_spam_openintro hmda_boston chile_plebiscite".split(),
    "test": "employee_attrition heart_disease_918 aer_credit_card hawks book_banning credit_approval".split(),
}
N_ROWS = 300  # for fitting, and as many for the loss
N_PAST_TRIALS = 40
N_TRIALS = 30
N_WARM = 5
CHECKPOINTS = (1, 3, 5, 10, 20, 30)
FIELDS = ("role", "situation", "table", "seed", "sampler", "past_best", "suggest_s", "losses")


# ---- objectives -------------------------------------------------------------------------------------------------


class Objectives:
    """Losses of configurations on the tables of a corpus, kept in a folder."""

    def __init__(self, corpus: Path, folder: Path) -> None:
        self._corpus, self._folder = corpus, folder
        self._known: dict[str, dict[str, float]] = {}
        self._data = cache(self._split)

    def loss(self, table: str, configuration: Mapping[str, Any]) -> float:
        """Return the log loss on held-out rows of a model with this configuration."""
        path = self._folder / f"{table}.jsonl"
        if table not in self._known:
            lines = path.read_text().splitlines() if path.exists() else []
            self._known[table] = dict(map(json.loads, lines))
        key = json.dumps(dict(sorted(configuration.items())))
        if key not in self._known[table]:
            X, X_valid, y, y_valid = self._data(table)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = _model(configuration).fit(X, y)
                found = float(log_loss(y_valid, np.nan_to_num(model.predict_proba(X_valid), nan=1.0)))
            self._known[table][key] = found
            self._folder.mkdir(parents=True, exist_ok=True)
            with path.open("a") as file:
                file.write(json.dumps([key, found]) + "\n")
        return self._known[table][key]

    def _split(self, table: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        X, y, _ = load_table(self._corpus, table)
        numbers = pd.get_dummies(X, dtype=float).select_dtypes(["number", "bool"]).astype(float)
        numbers = numbers.fillna(numbers.median()).fillna(0.0).iloc[:, :40]
        codes = pd.factorize(y, sort=True)[0]
        return tuple(
            train_test_split(
                numbers.to_numpy(), codes, train_size=N_ROWS, test_size=N_ROWS, stratify=codes, random_state=0
            )
        )


def _model(c: Mapping[str, Any]) -> Any:
    match c["model"]:
        case "boosting":
            from lightgbm import LGBMClassifier

            return LGBMClassifier(
                n_estimators=40,
                learning_rate=c["rate"],
                num_leaves=c["leaves"],
                min_child_samples=c["min_rows"],
                colsample_bytree=c.get("columns", 1.0),
                reg_lambda=c.get("l2", 0.0),
                reg_alpha=c.get("l1", 0.0),
                max_depth=c.get("depth", -1),
                boosting_type="goss" if c.get("kind") == "goss" else "gbdt",
                n_jobs=1,
                verbose=-1,
                random_state=0,
            )
        case "svc":
            kernel = {"C": c["svc_c"], "gamma": c["svc_gamma"]}
            model: Any = SVC(**kernel, probability=True, random_state=0, max_iter=2000)
        case "mlp":
            model = MLPClassifier(
                (c["mlp_units"],), learning_rate_init=c["mlp_rate"], alpha=c["mlp_alpha"], max_iter=25, random_state=0
            )
        case "linear":
            model = LogisticRegression(C=c["linear_c"], max_iter=100)
        case _:
            model = KNeighborsClassifier(c["knn_k"], weights=c["knn_weights"])
    return make_pipeline(StandardScaler(), model)


# ---- spaces -----------------------------------------------------------------------------------------------------


def boosting(trial: optuna.Trial) -> dict[str, Any]:
    return {
        "model": "boosting",
        "rate": trial.suggest_float("rate", 1e-4, 1.0, log=True),
        "leaves": trial.suggest_int("leaves", 2, 64, log=True),
        "min_rows": trial.suggest_int("min_rows", 1, 100),
        "columns": trial.suggest_float("columns", 0.2, 1.0),
        "l2": trial.suggest_float("l2", 1e-4, 100.0, log=True),
        "kind": trial.suggest_categorical("kind", ["gbdt", "goss"]),
    }


def linear(trial: optuna.Trial) -> dict[str, Any]:
    """The ranges of `boosting` without logarithms."""
    return {
        "model": "boosting",
        "rate": trial.suggest_float("rate", 1e-4, 1.0),
        "leaves": trial.suggest_int("leaves", 2, 64),
        "min_rows": trial.suggest_int("min_rows", 1, 100),
        "columns": trial.suggest_float("columns", 0.2, 1.0),
        "l2": trial.suggest_float("l2", 1e-4, 100.0),
        "kind": trial.suggest_categorical("kind", ["gbdt", "goss"]),
    }


def other_parameters(trial: optuna.Trial) -> dict[str, Any]:
    """`boosting` with two parameters added and two dropped."""
    return {
        "model": "boosting",
        "rate": trial.suggest_float("rate", 1e-4, 1.0, log=True),
        "leaves": trial.suggest_int("leaves", 2, 64, log=True),
        "min_rows": trial.suggest_int("min_rows", 1, 100),
        "l1": trial.suggest_float("l1", 1e-4, 100.0, log=True),
        "depth": trial.suggest_int("depth", 1, 12),
    }


def everything_changed(trial: optuna.Trial) -> dict[str, Any]:
    """`boosting` with other ranges, scales, choices, and parameters added and dropped."""
    return {
        "model": "boosting",
        "rate": trial.suggest_float("rate", 1e-3, 0.3),
        "leaves": trial.suggest_int("leaves", 16, 256),
        "min_rows": trial.suggest_int("min_rows", 120, 150),
        "kind": trial.suggest_categorical("kind", ["GBDT", "GOSS"]).lower(),
        "l1": trial.suggest_float("l1", 1e-4, 100.0, log=True),
        "depth": trial.suggest_int("depth", 1, 12),
    }


def conditional(trial: optuna.Trial) -> dict[str, Any]:
    found: dict[str, Any] = {"model": trial.suggest_categorical("model", ["svc", "mlp", "linear", "knn"])}
    match found["model"]:
        case "svc":
            found["svc_c"] = trial.suggest_float("svc_c", 1e-3, 1e3, log=True)
            found["svc_gamma"] = trial.suggest_float("svc_gamma", 1e-5, 10.0, log=True)
        case "mlp":
            found["mlp_units"] = trial.suggest_int("mlp_units", 4, 64, log=True)
            found["mlp_rate"] = trial.suggest_float("mlp_rate", 1e-4, 0.3, log=True)
            found["mlp_alpha"] = trial.suggest_float("mlp_alpha", 1e-6, 1.0, log=True)
        case "linear":
            found["linear_c"] = trial.suggest_float("linear_c", 1e-4, 1e3, log=True)
        case "knn":
            found["knn_k"] = trial.suggest_int("knn_k", 1, 50)
            found["knn_weights"] = trial.suggest_categorical("knn_weights", ["uniform", "distance"])
    return found


# Situation → the space of past studies, that of the new study, and which tables the past studies are of.
SITUATIONS = {
    "boosting": (boosting, boosting, "others"),
    "conditional": (conditional, conditional, "others"),
    "same table again": (boosting, boosting, "others and itself"),
    "same function": (boosting, boosting, "itself"),
    "added and dropped": (boosting, other_parameters, "others"),
    "log to linear": (boosting, linear, "others"),
    "everything changed": (boosting, everything_changed, "others"),
    "misleading": (boosting, boosting, "others, negated"),
}
SAMPLERS = ("tpe", "warm start + tpe", "past bests + tpe", "meta")


# ---- studies ----------------------------------------------------------------------------------------------------


@cache
def past_study(objectives: Objectives, space: Any, table: str, number: int) -> optuna.Study:
    """Return a past study of a table, by random search or by TPE in turn."""
    seed = child_seed(number, table)
    sampler = RandomSampler(seed=seed) if number % 2 else TPESampler(seed=seed)
    study = optuna.create_study(study_name=f"{table}-{number}", sampler=sampler)
    study.optimize(lambda trial: objectives.loss(table, space(trial)), n_trials=N_PAST_TRIALS)
    return study


def past_of(objectives: Objectives, situation: str, table: str, role: str) -> list[optuna.Study]:
    """Return the past studies for a new study of a table: five, or six with one of the table itself."""
    space, _, tables = SITUATIONS[situation]
    others = [past_study(objectives, space, t, n) for n, t in enumerate(TABLES[role]) if t != table]
    if tables == "others":
        return others
    if tables == "others, negated":
        return [negated(study) for study in others]
    own = [past_study(objectives, space, table, number) for number in range(10, 15)]
    return own if tables == "itself" else [*others[:3], own[0], *others[3:]]


def negated(study: optuna.Study) -> optuna.Study:
    """Return a study in which good and bad are exchanged."""
    found = optuna.create_study(study_name=f"not {study.study_name}")
    for trial in study.trials:
        found.add_trial(optuna.create_trial(value=-trial.value, params=trial.params, distributions=trial.distributions))
    return found


def measure(objectives: Objectives, situation: str, table: str, seed: int, sampler: str, role: str) -> dict[str, Any]:
    """Return the row of one run."""
    past = past_of(objectives, situation, table, role)
    archive = StudyArchive()
    for old in past:
        archive.add(old)
    is_meta = sampler == "meta"
    study = optuna.create_study(sampler=MetaSampler(archive, seed=seed) if is_meta else TPESampler(seed=seed))
    if sampler == "warm start + tpe":
        warm_start(study, archive, n=N_WARM, space=space_of(SITUATIONS[situation][1]))
    if sampler == "past bests + tpe":
        space = space_of(SITUATIONS[situation][1])
        for old in past[::-1] if seed % 2 else past:
            study.enqueue_trial(_inside(old.best_params, space))
    losses, seconds = [], 0.0
    for _ in range(N_TRIALS):
        start = time.process_time()
        trial = study.ask()
        configuration = SITUATIONS[situation][1](trial)
        seconds += time.process_time() - start
        losses.append(objectives.loss(table, configuration))
        study.tell(trial, losses[-1])
    row = {"role": role, "situation": situation, "table": table, "seed": seed, "sampler": sampler}
    row["past_best"] = min(old.best_value for old in past) if SITUATIONS[situation][2] == "itself" else ""
    return {**row, "suggest_s": seconds / N_TRIALS, "losses": " ".join(f"{loss:.6g}" for loss in losses)}


@cache
def space_of(space: Any) -> dict[str, BaseDistribution]:
    """Return all parameters of a space."""
    study = optuna.create_study(sampler=RandomSampler(seed=0))
    for _ in range(60):
        space(study.ask())
    return {name: d for trial in study.get_trials(deepcopy=False) for name, d in trial.distributions.items()}


def _inside(configuration: Mapping[str, Any], space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """Return what a user would enqueue: values of the parameters that are still there, clipped to the new ranges."""
    found = {}
    for name, value in configuration.items():
        distribution = space.get(name)
        if isinstance(distribution, FloatDistribution | IntDistribution):
            found[name] = min(max(value, distribution.low), distribution.high)
        elif distribution is not None and value in distribution.choices:  # type: ignore[attr-defined]
            found[name] = value
    return found


# ---- report -----------------------------------------------------------------------------------------------------


def regrets(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the regret of the incumbent of each run at the checkpoints.

    0 is the best loss of all runs on a table in a situation, 1 the median of the first random trials of TPE. The column
    "found" says whether one of the first three trials is as good as the best of past studies of the same function.
    """
    parts = []
    for _, group in rows.groupby(["role", "situation", "table"]):
        losses = np.array([list(map(float, text.split())) for text in group["losses"]])
        best = losses.min()
        scale = np.median(losses[(group["sampler"] == "tpe").to_numpy()][:, :10]) - best
        incumbent = np.minimum.accumulate(losses, axis=1)[:, [n - 1 for n in CHECKPOINTS]]
        found = np.clip((incumbent - best) / max(scale, 1e-12), 0.0, 1.0)
        columns: dict[str, Any] = {str(n): found[:, i] for i, n in enumerate(CHECKPOINTS)}
        past_best = group["past_best"].to_numpy(dtype=float)
        is_found = losses[:, :3].min(axis=1) <= past_best + 1e-5 * np.abs(past_best)
        parts.append(group.assign(**columns, found=np.where(np.isnan(past_best), np.nan, is_found)))
    return pd.concat(parts)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, nargs="?", help="folder of tables")
    parser.add_argument("cache", type=Path, nargs="?", help="folder for the losses of configurations")
    parser.add_argument("--role", choices=TABLES, default="test")
    parser.add_argument("--situations", nargs="+", choices=SITUATIONS, default=list(SITUATIONS))
    parser.add_argument("--samplers", nargs="+", choices=SAMPLERS, default=list(SAMPLERS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--again", nargs="+", default=[], help="samplers whose rows are dropped first")
    parser.add_argument("--report", action="store_true", help="print the results and measure nothing")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/transfer_real.csv"))
    arguments = parser.parse_args(argv)
    if arguments.report:
        found = regrets(read_results(arguments.out))
        columns = [*map(str, CHECKPOINTS), "suggest_s", "found"]
        table = found.groupby(["role", "situation", "sampler"], sort=False)[columns].mean().round(3)
        print(table.to_string(na_rep=""))
        return
    if arguments.corpus is None or arguments.cache is None:
        parser.error("give the folder of tables and the folder of the cache, or --report")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows = read_results(arguments.out)
    if arguments.again and len(rows):
        kept = ~(
            rows["sampler"].isin(arguments.again)
            & rows["situation"].isin(arguments.situations)
            & (rows["role"] == arguments.role)
        )
        rows = rows[kept]
        rows.to_csv(arguments.out, index=False)
    keys = ["role", "situation", "table", "seed", "sampler"]
    done = set(map(tuple, rows[keys].to_numpy().tolist())) if len(rows) else set()
    objectives = Objectives(arguments.corpus, arguments.cache)
    runs = product(arguments.situations, TABLES[arguments.role], range(arguments.seeds), arguments.samplers)
    for situation, table, seed, sampler in runs:
        if (arguments.role, situation, table, seed, sampler) not in done:
            row = measure(objectives, situation, table, seed, sampler, arguments.role)
            append_row(arguments.out, FIELDS, row)


if __name__ == "__main__":
    main()
