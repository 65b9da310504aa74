"""Regret of policies on a recorded matrix of losses: ``python -m benchmarks.oboe FOLDER [--out CSV]``.

The folder holds ``balanced_error.parquet`` and ``fit_seconds.parquet`` (tasks × configurations) and
``dataset_size.parquet`` (rows and columns of each task), as made from the data of Yang et al., *OBOE*
(KDD 2019). Tasks are in ten folds; a policy learns from the other nine.

Columns are counts K, from one run without a time limit, and seconds, each from a run with that budget. The seconds of a
configuration are those of all its fits. The search of a fit limits each evaluation to a part of the budget. Here the
policy decides alone: its first proposal is evaluated, and counts if it ends in time; the run ends at the first that
does not.

Values are the normalised regret of the best configuration found, 1 before the first result, averaged over all tasks.
The file has a row per policy and task, so that a stopped run can be resumed.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from autometa.policy.gain_settings import GAIN_SETTINGS

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pandas as pd

from autometa._support.seeds import child_seed
from autometa.core.evaluation import Evaluation
from autometa.core.proposal import Policy
from autometa.metadataset.dataset import MetaDataset
from autometa.metalearning.replay.baselines import RandomPolicy, StaticPolicy, average_rank, greedy, greedy_per_second
from autometa.metalearning.replay.regret import normalised_regret
from autometa.metalearning.replay.replay import describe_past, metric_of
from autometa.policy.expected_gain import GainPolicy
from autometa.policy.past_tasks import PastTasks
from benchmarks.results import append_row, read_results

COUNTS = (1, 3, 5, 10, 16, 32)
SECONDS = (1, 3, 10, 30, 100)
N_FOLDS = 10
COLUMNS = (*(f"K={count}" for count in COUNTS), *(f"{seconds} s" for seconds in SECONDS))
FIELDS = ("policy", "task", *COLUMNS)

POLICIES: Mapping[str, Callable[[PastTasks], Policy]] = {
    "random": RandomPolicy,
    "average rank": lambda past: StaticPolicy(past, average_rank),
    "greedy portfolio": lambda past: StaticPolicy(past, greedy),
    "greedy / seconds": lambda past: StaticPolicy(past, greedy_per_second),
    "attention": lambda past: GainPolicy(past, settings=GAIN_SETTINGS["attention"]),
    "gaussian": GainPolicy,
}


def read_folder(folder: Path) -> PastTasks:
    """Return the tasks of a folder."""
    losses, seconds, sizes = (
        pd.read_parquet(folder / f"{name}.parquet") for name in ("balanced_error", "fit_seconds", "dataset_size")
    )
    sizes = sizes.set_axis(["n_rows", "n_columns"], axis=1).astype("int64")
    return PastTasks.from_metadataset(MetaDataset.from_matrix(losses, seconds, tasks=sizes))


def folds(n_tasks: int, seed: int) -> list[np.ndarray]:
    """Return the tasks of each fold."""
    order = np.random.default_rng(child_seed(seed, "folds")).permutation(n_tasks)
    return [np.sort(part) for part in np.array_split(order, N_FOLDS)]


def run(policy: Policy, past: PastTasks, task: int, *, budget_s: float = math.inf, n: int | None = None) -> list[int]:
    """Return the indices of the configurations that a policy evaluates within a budget, in order, up to the best."""
    metric = metric_of(past, task)
    lowest = np.nanmin(past.losses[metric][task])
    description = describe_past(past, task, metric)
    history: list[Evaluation] = []
    places: list[int] = []
    left_s = budget_s
    while n is None or len(places) < n:
        proposed = policy.propose(description, history, left_s).configurations
        if not proposed:
            break
        place = past.position[proposed[0]]
        seconds = float(past.seconds[task, place])
        left_s -= seconds
        if left_s < 0:
            break
        places.append(place)
        history.append(Evaluation(proposed[0], 1.0, 0, float(past.losses[metric][task, place]), seconds, 0.0))
        if history[-1].loss == lowest:
            break  # later evaluations do not change the regret
    return places


def measure(policy: Policy, past: PastTasks, task: int) -> dict[str, float]:
    """Return the regret on one task, by column."""
    losses = past.losses[metric_of(past, task)][task]
    found = losses[run(policy, past, task, n=max(COUNTS))]
    lowest = [found[:count].min() for count in COUNTS]
    for budget_s in SECONDS:
        found = losses[run(policy, past, task, budget_s=budget_s)]
        lowest.append(found.min() if len(found) else np.nan)
    return dict(zip(COLUMNS, normalised_regret(lowest, losses).round(6).tolist(), strict=True))


def table(results: pd.DataFrame) -> pd.DataFrame:
    """Return policies × columns: mean regret over the tasks."""
    return results.groupby("policy", sort=False)[list(COLUMNS)].mean()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/oboe.csv"))
    parser.add_argument("--policies", nargs="+", choices=list(POLICIES), default=list(POLICIES))
    parser.add_argument("--folds", type=int, default=N_FOLDS, help="only the first folds")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    past = read_folder(arguments.folder)
    done = read_results(arguments.out)
    seen = set(zip(done["policy"], done["task"].astype(str), strict=True)) if len(done) else set()
    for test in folds(len(past.tasks), arguments.seed)[: arguments.folds]:
        train = past.select(np.setdiff1d(np.arange(len(past.tasks)), test))
        for name in arguments.policies:
            left = [task for task in test if (name, past.tasks[task]) not in seen]
            policy = POLICIES[name](train) if left else None
            for task in left:
                assert policy is not None
                regrets = measure(policy, past, task)
                append_row(arguments.out, FIELDS, {"policy": name, "task": past.tasks[task], **regrets})
    print(table(read_results(arguments.out)).round(4).to_string())


if __name__ == "__main__":
    main()
