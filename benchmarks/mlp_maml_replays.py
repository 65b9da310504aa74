"""Replayed searches over the meta-dataset with and without the strategy `mlp_maml`.

    python -m benchmarks.mlp_maml replays --out CSV

Families are left out in turn. The gaussian policy, with its settings of fits, learns from the other tasks, once from
all records and once without the records of a strategy. Regret is that of the best single configuration tried, relative
to the best recorded one of the task.
"""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pandas as pd

from autometa.metadataset.dataset import MetaDataset
from autometa.metalearning.replay.assessment import assess, gain_policy
from autometa.metalearning.replay.regret import paired_bootstrap
from autometa.metalearning.training.similarity_learning import similarity_weights
from autometa.policy.expected_gain import GainPolicy
from autometa.policy.past_tasks import PastTasks
from autometa.policy.registry import settings_in_fits
from benchmarks.mlp_maml_ensembles import NAME

ALL = "all strategies"
LEFT_OUT = (NAME, "neural_network")
BUDGETS_S = (3.0, 10.0, 60.0)
COUNTS = (1, 3, 5, 10, 16, 32)
N_FOLDS = 5


def replay(out: Path, seed: int) -> pd.DataFrame:
    """Return the regrets of all searches, and write them."""
    arms = {ALL: partial(policy_without, None)}
    arms |= {f"without {name}": partial(policy_without, name) for name in LEFT_OUT}
    past = PastTasks.from_metadataset(MetaDataset.load())
    found = assess(past, arms, budgets_s=BUDGETS_S, counts=COUNTS, n_folds=N_FOLDS, seed=seed)
    found = found.drop(columns="ensemble_regret")
    found.round({"regret": 6}).to_csv(out, index=False)
    return found


def policy_without(strategy: str | None, past: PastTasks) -> GainPolicy:
    """Return the gaussian policy of past tasks without the records of a strategy."""
    known = past if strategy is None else _without(strategy, past)
    return gain_policy(settings_in_fits("gaussian"), _weights, known)


@lru_cache(maxsize=8)
def _without(strategy: str, past: PastTasks) -> PastTasks:
    return past.select_configurations(np.flatnonzero(past.strategies != strategy))


@lru_cache(maxsize=8)
def _weights(past: PastTasks) -> np.ndarray:
    return similarity_weights(past, "learnt")


def differences(table: pd.DataFrame) -> pd.DataFrame:
    """Return by limit the mean regret with all strategies, and its difference to that without one of them."""
    found = []
    for (limit, at), part in table.groupby(["limit", "at"], sort=False):
        regrets = part.pivot_table(index=["task", "family"], columns="policy", values="regret")
        for arm in regrets.columns.drop(ALL):
            change = (regrets[ALL] - regrets[arm]).to_numpy()
            mean, low, high = paired_bootstrap(change, list(regrets.index.get_level_values("family")))
            row = {"limit": limit, "at": at, "tasks": len(regrets), "regret": regrets[ALL].mean(), "against": arm}
            found.append(row | {"difference": mean, "low": low, "high": high})
    return pd.DataFrame(found)
