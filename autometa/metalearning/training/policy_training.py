"""Train policies on a meta-dataset and write their weights."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autometa._support.seeds import child_seed
from autometa.catalogue import load_strategies
from autometa.metadataset.dataset import MetaDataset
from autometa.metadataset.error_moments import ErrorMoments
from autometa.metalearning.replay.assessment import assess, gain_policy
from autometa.metalearning.replay.regret import surely_best
from autometa.metalearning.training.best_strategy_training import learn_best_strategy
from autometa.metalearning.training.portfolio import PORTFOLIO_BUDGETS_S, learn_portfolios
from autometa.metalearning.training.similarity_learning import learn_similarity, similarity_weights
from autometa.policy.gain_settings import GAIN_SETTINGS
from autometa.policy.past_tasks import PastTasks
from autometa.policy.weights_file import PolicyWeights, space_hash, write_weights

logger = logging.getLogger(__name__)

TEMPERATURES = (0.03, 0.1, 0.3, 1.0)
_TUNED = "attention"
"""The policy whose temperatures are chosen; fits give `gaussian` a fixed one."""

# Numbers of results and seconds at which policies are compared.
_COUNTS = (1, 3, 5, 10, 16)
_BUDGETS_S = (3.0, 10.0, 30.0)
_N_FOLDS = 5


def train(
    metadataset: MetaDataset,
    *,
    seed: int = 0,
    out: str | Path | None = None,
    moments: ErrorMoments | None = None,
    n_replayed: int = 24,
    recurrent_s: float = 0.0,
) -> PolicyWeights:
    """Return the weights of policies trained on a meta-dataset.

    Parameters
    ----------
    metadataset : MetaDataset
        Recorded results; tasks without a loss are left out.
    seed : int
        Seed of the cross-validation over families, and of the choice of replayed tasks.
    out : str or Path, optional
        Folder to write the weights into.
    moments : ErrorMoments, optional
        Second moments of the errors of the recorded configurations. Portfolios are then chosen by the loss of their
        ensembles.
    n_replayed : int
        Most tasks on which temperatures are compared; 0 keeps the usual ones, and so does a
        comparison without a significant winner.
    recurrent_s : float
        Most seconds for training the recurrent policy; 0 leaves it out, and needs no torch.

    Raises
    ------
    ValueError
        If no task has a loss.
    """
    past = _with_results(PastTasks.from_metadataset(metadataset, moments))
    portfolios, judged_by = learn_portfolios(past)
    best_strategy = learn_best_strategy(past, seed=seed)
    logger.info("chance of the best strategy, on families left out: %s", best_strategy.errors)
    choice = learn_similarity(past, seed=seed)
    logger.info("similarity of tasks: %s; errors on families left out: %s", choice.name, choice.errors)
    tasks = _replayed(past, n_replayed, seed)
    temperatures, regret = _temperatures(past, _SimilarityOfParts(choice.name), seed, tasks)
    logger.info("temperatures without and with a time limit: %s", temperatures)
    card: dict[str, Any] = {
        "autometa_version": version("autometa"),
        "metadataset_sha256": fingerprint(metadataset),
        "n_tasks": len(past.tasks),
        "n_configurations": len(past.configurations),
        "feature_order": list(past.feature_names),
        "seed": seed,
        "similarity": {"chosen": choice.name, "squared_error_left_out": choice.errors},
        "temperatures": {name: list(pair) for name, pair in temperatures.items()},
        "portfolios": {"budgets_s": list(PORTFOLIO_BUDGETS_S), "judged_by": judged_by},
        "best_strategy_left_out": best_strategy.errors,
        "regret_left_out": regret,
        "strategies": _hashes(past),
    }
    arrays: Mapping[str, np.ndarray] = {}
    if recurrent_s > 0:
        # torch takes seconds to import, and the other policies do not need it.
        from autometa.metalearning.training.recurrent_training import RecurrentSettings
        from autometa.metalearning.training.recurrent_tuning import train_recurrent

        trained = train_recurrent(past, RecurrentSettings(), seed=seed, max_s=recurrent_s)
        arrays = trained.arrays
        card["recurrent"] = {"most_seconds": recurrent_s, "is_complete": trained.is_complete}
    weights = PolicyWeights(past, choice.weights, temperatures, portfolios, arrays, card, best_strategy.model)
    if out is not None:
        write_weights(weights, out)
    return weights


def fingerprint(metadataset: MetaDataset) -> str:
    """Return a checksum of the tables of a meta-dataset, independent of the file format."""
    digest = hashlib.sha256()
    for table in (metadataset.tasks, metadataset.configurations, metadataset.evaluations):
        digest.update(",".join(map(str, table.columns)).encode())
        digest.update(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes())
    return digest.hexdigest()


def _with_results(past: PastTasks) -> PastTasks:
    found = [row for row in range(len(past.tasks)) if any(np.isfinite(m[row]).any() for m in past.losses.values())]
    if not found:
        raise ValueError(f"A policy learns from recorded losses, and none of the {len(past.tasks)} tasks has any.")
    if left_out := len(past.tasks) - len(found):
        logger.info("%d tasks without any loss are left out", left_out)
    return past.select(found)


def _replayed(past: PastTasks, n: int, seed: int) -> list[int]:
    """Return the indices of the tasks to replay; none if there is only one family."""
    if n <= 0 or len(set(past.families)) < 2:
        return []
    return np.random.default_rng(child_seed(seed, "temperatures")).permutation(len(past.tasks))[:n].tolist()


def _temperatures(
    past: PastTasks, weights_of: _SimilarityOfParts, seed: int, tasks: Sequence[int]
) -> tuple[dict[str, tuple[float, float]], dict[str, Any]]:
    """Return the best temperatures, and the regrets of the policies on families left out."""
    usual = GAIN_SETTINGS[_TUNED].temperature, GAIN_SETTINGS[_TUNED].temperature_in_time
    if not tasks:
        return {_TUNED: usual}, {}
    policies = {"gaussian": partial(gain_policy, GAIN_SETTINGS["gaussian"], weights_of)}
    for temperature in {*TEMPERATURES, *usual}:
        settings = replace(GAIN_SETTINGS[_TUNED], temperature=temperature, temperature_in_time=temperature)
        policies[str(temperature)] = partial(gain_policy, settings, weights_of)
    table = assess(past, policies, budgets_s=_BUDGETS_S, counts=_COUNTS, n_folds=_N_FOLDS, seed=seed, tasks=tasks)
    chosen = list(usual)
    regret: dict[str, dict[str, float]] = {"gaussian": {}, _TUNED: {}}
    for index, limit in enumerate(("trials", "seconds")):
        part = table[table["limit"] == limit]
        if part.empty:
            continue
        by_task = part.pivot_table(index="task", columns="policy", values="regret", sort=False)
        families = [past.families[past.tasks.index(task)] for task in by_task.index]
        best = surely_best(by_task.drop(columns="gaussian"), str(usual[index]), families)
        chosen[index] = float(best)
        regret["gaussian"][limit] = float(by_task["gaussian"].mean())
        regret[_TUNED][limit] = float(by_task[best].mean())
    return {_TUNED: (chosen[0], chosen[1])}, {"n_tasks": len(tasks), **regret}


class _SimilarityOfParts:
    """Learns the weights of meta-features once for each training part."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._known: dict[tuple[str, ...], np.ndarray] = {}

    def __call__(self, past: PastTasks) -> np.ndarray:
        if past.tasks not in self._known:
            self._known[past.tasks] = similarity_weights(past, self._name)
        return self._known[past.tasks]


def _hashes(past: PastTasks) -> Mapping[str, str]:
    """Return digests of the spaces of strategies that ship, so that a later change is noticed."""
    known = {strategy.name: strategy.space for strategy in load_strategies()}
    return {str(name): space_hash(known[name]) for name in dict.fromkeys(past.strategies.tolist()) if name in known}
