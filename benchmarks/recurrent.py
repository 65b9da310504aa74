"""Training of the recurrent policy, and its regret beside other policies on held-out tasks.

    python -m benchmarks.recurrent RECORDS --out FOLDER [--fold 0] [--imitation 2000] [--max-s 3000]

RECORDS is a meta-dataset, or a folder of matrices as `benchmarks.oboe` reads it. One of five folds of families is
held out. A stopped training resumes from `fold0-seed0-state.npz` in the output folder; its weights are in
`fold0-seed0.npz`. An update takes about 0.1 s of one core on 219 configurations, so the default takes about ten
minutes; 400 updates are already about as good as `GainPolicy` without a time limit.

Regrets are of the search of a fit, replayed: after K trials, and at the end of a budget of seconds.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from autometa._support.seeds import child_seed
from autometa.core.budget import Budget
from autometa.core.proposal import Policy
from autometa.metadataset.dataset import MetaDataset
from autometa.metalearning.replay.replay import replay
from autometa.metalearning.training.recurrent_training import RecurrentSettings
from autometa.metalearning.training.recurrent_tuning import train_recurrent
from autometa.policy.expected_gain import GainPolicy
from autometa.policy.past_tasks import PastTasks
from autometa.policy.recurrent.policy import RecurrentPolicy
from benchmarks.oboe import read_folder

N_FOLDS = 5
COUNTS = (1, 3, 5, 10, 16)
SECONDS = (3.0, 10.0, 60.0)


def read_records(path: Path) -> PastTasks:
    if (path / "balanced_error.parquet").exists():
        return read_folder(path)
    return PastTasks.from_metadataset(MetaDataset.load(path))


def split(past: PastTasks, fold: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the tasks to train on and those of the families that are left out."""
    families = np.random.default_rng(child_seed(seed, "folds")).permutation(sorted(set(past.families)))
    left_out = np.isin(past.families, families[fold::N_FOLDS])
    return np.flatnonzero(~left_out), np.flatnonzero(left_out)


def regrets(policies: Mapping[str, Policy], past: PastTasks, tasks: np.ndarray) -> pd.DataFrame:
    """Return policies × columns: mean regret over some tasks."""
    rows = {}
    for name, policy in policies.items():
        found = []
        for task in tasks.tolist():
            by_count = replay(policy, past, task, budget=Budget(n_trials=max(COUNTS))).regret_after(COUNTS)
            by_time = [float(replay(policy, past, task, budget=Budget(s)).regret_at(s)) for s in SECONDS]
            found.append([*by_count, *by_time])
        rows[name] = np.mean(found, axis=0)
    columns = [*(f"K={count}" for count in COUNTS), *(f"{seconds:g} s" for seconds in SECONDS)]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--fold", type=int, default=0, choices=range(N_FOLDS))
    parser.add_argument("--imitation", type=int, default=2000, help="updates")
    parser.add_argument("--reinforcement", type=int, default=500, help="updates")
    parser.add_argument("--max-s", type=float, default=math.inf)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    past = read_records(args.records)
    known, left_out = split(past, args.fold, args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    # A state that was trained on tasks that this fold holds out must not be resumed.
    name = f"fold{args.fold}-seed{args.seed}"
    settings = RecurrentSettings(args.imitation, args.reinforcement)
    trained = train_recurrent(
        past.select(known), settings, seed=args.seed, state=args.out / f"{name}-state.npz", max_s=args.max_s
    )
    last = trained.rewards[-20:].mean()
    print(f"{len(trained.rewards)} of {settings.n_updates} updates; mean reward of the last ones {last:.4f}")
    if not trained.is_complete:
        print("Run the same command again to go on.")
    np.savez_compressed(args.out / f"{name}.npz", **trained.arrays)
    policies = {
        "recurrent": RecurrentPolicy(past.select(known), trained.arrays),
        "gaussian": GainPolicy(past.select(known)),
    }
    print(regrets(policies, past, left_out).round(4).to_string())


if __name__ == "__main__":
    main()
