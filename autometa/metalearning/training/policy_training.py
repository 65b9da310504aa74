"""Meta-training: from a meta-dataset to the weights of policies."""

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
from autometa.metalearning.replay.assessment import assess, gain_policy
from autometa.metalearning.replay.regret import surely_best
from autometa.metalearning.training.metric_learning import learn_similarity, similarity_weights
from autometa.metalearning.training.portfolio import PORTFOLIO_BUDGETS_S, learn_portfolios
from autometa.metalearning.training.stage_learning import learn_stages
from autometa.policy.gain import GAIN_SETTINGS, GainPolicy, GainSettings
from autometa.policy.past_tasks import PastTasks
from autometa.policy.weights_file import PolicyWeights, space_hash, write_weights

logger = logging.getLogger(__name__)

TEMPERATURES = (0.03, 0.1, 0.3, 1.0)
_TUNED = ("gaussian", "attention")
# Where temperatures are compared: mean regret after these many results, and at these many seconds.
_COUNTS = (1, 3, 5, 10, 16)
_BUDGETS_S = (3.0, 10.0, 30.0)
_N_FOLDS = 5


def train(
    metadataset: MetaDataset,
    *,
    seed: int = 0,
    out: str | Path | None = None,
    predictions: str | Path | None = None,
    n_replayed: int = 24,
    recurrent_s: float = 0.0,
) -> PolicyWeights:
    """Return what policies learn from a meta-dataset.

    Parameters
    ----------
    metadataset : MetaDataset
        Recorded results; tasks without any loss are left out.
    seed : int
        Seed of the parts that are left out, and of the tasks that are replayed.
    out : str or Path, optional
        Folder to write the weights into.
    predictions : str or Path, optional
        Folder of the collection, which kept predictions: portfolios are then chosen by the
        loss of their ensembles, on the tasks that have those of nearly all configurations.
    n_replayed : int
        Most tasks on which temperatures and mixtures of policies are compared; 0 keeps the
        usual ones, and so does a comparison in which no other is better beyond chance.
    recurrent_s : float
        Most seconds for training the recurrent policy; 0 leaves it out, and needs no torch.

    Raises
    ------
    ValueError
        If no task has a loss.
    """
    past = _with_results(PastTasks.from_metadataset(metadataset))
    # First, as a folder without predictions is then found out at once.
    portfolios, judged_by = learn_portfolios(past, None if predictions is None else Path(predictions))
    choice = learn_similarity(past, seed=seed)
    logger.info("similarity of tasks: %s; errors on families left out: %s", choice.name, choice.errors)
    tasks = _replayed(past, n_replayed, seed)
    weights_of = _SimilarityOfParts(choice.name)
    temperatures, regret = _temperatures(past, weights_of, seed, tasks)
    logger.info("temperatures without and with a limit of time: %s", temperatures)
    stages, regret_of_stages = _stages(past, weights_of, temperatures, seed, tasks)
    logger.info("stages of the mixture: %s", stages)
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
        "regret_left_out": regret,
        "stages": stages,
        "stages_regret_left_out": regret_of_stages,
        "strategies": _hashes(past),
    }
    arrays: Mapping[str, np.ndarray] = {}
    if recurrent_s > 0:
        # torch takes seconds to load, and the other policies need none.
        from autometa.metalearning.training.recurrent_training import TrainingSettings
        from autometa.metalearning.training.recurrent_tuning import train_recurrent

        trained = train_recurrent(past, TrainingSettings(), seed=seed, max_s=recurrent_s)
        arrays = trained.arrays
        card["recurrent"] = {"most_seconds": recurrent_s, "is_complete": trained.is_complete}
    weights = PolicyWeights(past, choice.weights, temperatures, portfolios, arrays, card)
    if out is not None:
        write_weights(weights, out)
    return weights


def fingerprint(metadataset: MetaDataset) -> str:
    """Return a checksum of the tables of a meta-dataset, in whatever files they lie."""
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
    """Return the tasks on which searches are replayed; none where no family can be left out."""
    if n <= 0 or len(set(past.families)) < 2:
        return []
    return np.random.default_rng(child_seed(seed, "temperatures")).permutation(len(past.tasks))[:n].tolist()


def _stages(
    past: PastTasks,
    weights_of: _SimilarityOfParts,
    temperatures: Mapping[str, tuple[float, float]],
    seed: int,
    tasks: Sequence[int],
) -> tuple[list[dict[str, Any]], dict[str, dict[str, float]]]:
    """Return the stages of the mixture, and the regrets that they were chosen by; none without a replay."""
    if not tasks:
        return [], {}
    makers = {}
    for name, (without, within) in temperatures.items():
        settings = replace(GAIN_SETTINGS[name], temperature=without, temperature_in_time=within)
        makers[name] = partial(_tempered, settings, weights_of)
    return learn_stages(past, makers, tasks, child_seed(seed, "stages"))


def _temperatures(
    past: PastTasks, weights_of: _SimilarityOfParts, seed: int, tasks: Sequence[int]
) -> tuple[dict[str, tuple[float, float]], dict[str, Any]]:
    """Return the temperatures of each policy, and its regrets at the best ones on families left out."""
    usual = {name: (GAIN_SETTINGS[name].temperature, GAIN_SETTINGS[name].temperature_in_time) for name in _TUNED}
    if not tasks:
        return usual, {}
    has_seconds = bool(np.isfinite(past.seconds[tasks]).any())
    policies = {}
    for name in _TUNED:
        for temperature in {*TEMPERATURES, *usual[name]}:
            settings = replace(GAIN_SETTINGS[name], temperature=temperature, temperature_in_time=temperature)
            policies[f"{name} {temperature}"] = partial(_tempered, settings, weights_of)
    table = assess(past, policies, budgets_s=_BUDGETS_S, counts=_COUNTS, n_folds=_N_FOLDS, seed=seed, tasks=tasks)
    by_task = table.pivot_table(index="task", columns=["limit", "policy"], values="regret", sort=False)
    families = [past.families[past.tasks.index(task)] for task in by_task.index]
    limits = ("trials", "seconds")
    chosen = {
        name: (
            _best_temperature(by_task[limits[0]], name, usual[name][0], families),
            _best_temperature(by_task[limits[1]], name, usual[name][1], families) if has_seconds else usual[name][1],
        )
        for name in _TUNED
    }
    regret = {
        name: {
            limit: float(by_task[limit, f"{name} {temperature}"].mean())
            for limit, temperature in zip(limits[: 1 + has_seconds], chosen[name], strict=False)
        }
        for name in _TUNED
    }
    return chosen, {"n_tasks": len(tasks), **regret}


def _best_temperature(regrets_of: pd.DataFrame, name: str, usual: float, families: Sequence[str]) -> float:
    own = [column for column in regrets_of.columns if column.startswith(f"{name} ")]
    return float(surely_best(regrets_of[own], f"{name} {usual}", families).split()[-1])


class _SimilarityOfParts:
    """Learns the weights of meta-features once for each part of the past that others are left out of."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._known: dict[tuple[str, ...], np.ndarray] = {}

    def __call__(self, past: PastTasks) -> np.ndarray:
        if past.tasks not in self._known:
            self._known[past.tasks] = similarity_weights(past, self._name)
        return self._known[past.tasks]


def _tempered(settings: GainSettings, weights_of: _SimilarityOfParts, past: PastTasks) -> GainPolicy:
    return gain_policy(settings, weights_of(past), past)


def _hashes(past: PastTasks) -> Mapping[str, str]:
    """Return the search spaces of strategies that ship, so that a later change is noticed."""
    known = {strategy.name: strategy.space for strategy in load_strategies()}
    return {str(name): space_hash(known[name]) for name in dict.fromkeys(past.strategies.tolist()) if name in known}
