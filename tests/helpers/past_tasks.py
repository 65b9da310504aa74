"""Past tasks made up for tests: few enough to be replayed in milliseconds, without any fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from optuna.distributions import FloatDistribution, IntDistribution

from autometa.core.evaluation import Evaluation
from autometa.core.space import Configuration, SearchSpace
from autometa.core.strategy import Strategy
from autometa.core.task import TaskDescription
from autometa.metadataset.dataset import MetaDataset
from autometa.policy.past_tasks import PastTasks
from autometa.tables.features import META_FEATURES

FEATURES = ("log_rows", "log_columns", "skewness")
SPACE = {"x": FloatDistribution(0.0, 1.0)}


def make_past(
    seed: int = 0,
    *,
    problems: Sequence[str] = ("binary", "regression") * 6,
    n_strategies: int = 3,
    n_each: int = 4,
    gaps: float = 0.0,
) -> PastTasks:
    """Return past tasks on which strategies are good or bad together, and dearer the later they are named."""
    rng = np.random.default_rng(seed)
    n, m = len(problems), n_strategies * n_each
    configurations = [
        Configuration(f"s{strategy}", {"x": place / n_each})
        for strategy in range(n_strategies)
        for place in range(n_each)
    ]
    rows, columns = rng.uniform(4, 10, n), rng.uniform(1, 5, n)
    difficulty = rng.normal(0, 1, (n, 1)) + rng.normal(size=(n, 3)) @ rng.normal(0, 0.5, (3, m))
    scale = difficulty + 0.1 * rng.normal(size=(n, m))
    is_regression = np.array([problem == "regression" for problem in problems])[:, None]
    rate = 1 / (1 + np.exp(1 - scale))
    log_s = 0.8 * rows[:, None] - 6 + np.repeat(np.arange(n_strategies), n_each) + 0.3 * rng.normal(size=(n, m))
    missing = rng.random((n, m)) < gaps

    def recorded(values: np.ndarray, where: np.ndarray | bool = True) -> np.ndarray:
        return np.where(where & ~missing, values, np.nan)

    return PastTasks(
        tasks=tuple(f"task {row}" for row in range(n)),
        families=tuple(f"family {row}" for row in range(n)),
        problems=tuple(problems),
        configurations=tuple(configurations),
        feature_names=FEATURES,
        features=np.column_stack([rows, columns, rng.normal(size=n)]),
        sizes=np.column_stack([rows, columns, np.where(is_regression[:, 0], 0.0, math.log(2))]),
        losses={
            "roc_auc": recorded(rate, ~is_regression),
            "log_loss": recorded(rate + 0.1, ~is_regression),
            "rmse": recorded(np.exp(scale / 3 - 1), is_regression),
        },
        seconds=recorded(np.exp(log_s)),
        memory_mb=recorded(np.exp(rng.normal(5, 0.5, (n, m)))),
        failed=np.zeros((n, m), dtype=bool),
    )


def make_strategies(past: PastTasks, *more: str) -> list[Strategy]:
    """Return a strategy for each that was recorded, and some that were not."""
    return [make_strategy(name) for name in (*dict.fromkeys(past.strategies.tolist()), *more)]


def make_strategy(name: str, **arguments: Any) -> Strategy:
    return Strategy(name, "ridge", SPACE, ({"x": 0.0}, {"x": 0.75}), **arguments)


def describe(past: PastTasks, row: int, metric: str = "auto", **changes: Any) -> TaskDescription:
    """Return the description of a task that is like a past one."""
    rows, columns, classes = np.exp(past.sizes[row])
    arguments = {
        "problem": past.problems[row],
        "n_rows": round(rows * 1.5),
        "n_columns": round(columns),
        "n_classes": 0 if past.problems[row] == "regression" else round(classes),
        "metric": metric,
        "features": dict(zip(past.feature_names, past.features[row].tolist(), strict=True)),
    }
    return TaskDescription(**{**arguments, **changes})


def measured(configuration: Configuration, loss: float, seconds: float = 1.0, **changes: Any) -> Evaluation:
    arguments = {"anchor": 1.0, "fold": 0, "fit_s": seconds, "predict_s": 0.0, "fit_cpu_s": seconds}
    return Evaluation(configuration, loss=loss, **{**arguments, "predict_cpu_s": 0.0, **changes})


def running(configuration: Configuration) -> Evaluation:
    return Evaluation.running(configuration)


def recorded_history(past: PastTasks, row: int, metric: str, places: Sequence[int]) -> list[Evaluation]:
    """Return what a search would see that is given the results of a past task."""
    return [
        measured(past.configurations[place], float(past.losses[metric][row, place]), float(past.seconds[row, place]))
        for place in places
    ]


MADE_UP_STRATEGIES = [
    Strategy(f"algorithm_{n}", "ridge", SearchSpace({"place": IntDistribution(0, 99)})) for n in range(3)
]
"""The strategies of `made_up_metadataset`."""


def made_up_metadataset(
    seed: int = 0, n_tasks: int = 12, n_configurations: int = 8, *, missing: float = 0.0, n_families: int | None = None
) -> MetaDataset:
    """Return tasks of two kinds, told by one meta-feature: each half of the configurations suits one kind."""
    rng = np.random.default_rng(seed)
    kind = np.arange(n_tasks) % 2
    suits = np.arange(n_configurations) % 2 == kind[:, None]
    losses = np.where(suits, 0.1, 0.4) + 0.1 * rng.random((n_tasks, n_configurations))
    losses[rng.random(losses.shape) < missing] = np.nan
    columns = [
        str({"algorithm": f"algorithm_{place % 3}", "hyperparameters": {"place": place}})
        for place in range(n_configurations)
    ]
    names = [f"task {number}" for number in range(n_tasks)]
    seconds = np.exp(rng.normal(size=n_configurations)) * np.exp(0.2 * rng.normal(size=losses.shape))
    about = pd.DataFrame(rng.normal(size=(n_tasks, len(META_FEATURES))), index=names, columns=list(META_FEATURES))
    about["landmark_ridge"] = 5.0 * kind + 0.1 * rng.normal(size=n_tasks)
    about["n_rows"], about["n_columns"], about["n_classes"] = rng.integers(100, 1000, n_tasks), 5, 3
    if n_families is not None:
        about["family"] = [f"family {number % n_families}" for number in range(n_tasks)]
    return MetaDataset.from_matrix(
        pd.DataFrame(losses, index=names, columns=columns),
        pd.DataFrame(seconds, index=names, columns=columns),
        tasks=about,
    )


def made_up_past(seed: int = 0, **shape: object) -> PastTasks:
    return PastTasks.from_metadataset(made_up_metadataset(seed, **shape))  # type: ignore[arg-type]
