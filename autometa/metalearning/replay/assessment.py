"""Assess policies by replayed searches on tasks of families that they were not trained on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from autometa._support.machine import jobs_at_a_time
from autometa.catalogue import load_strategies
from autometa.core.budget import Budget
from autometa.core.proposal import Policy
from autometa.metadataset.dataset import MetaDataset
from autometa.metadataset.families import family_parts
from autometa.metalearning.replay.baselines import (
    Oracle,
    RandomPolicy,
    StaticPolicy,
    average_rank,
    greedy,
    greedy_per_second,
)
from autometa.metalearning.replay.regret import paired_bootstrap
from autometa.metalearning.replay.replay import Episode, metric_of, replay
from autometa.metalearning.replay.stored_predictions import StoredPredictions, read_stored_predictions
from autometa.metalearning.training.portfolio import learn_portfolios
from autometa.policy.expected_gain import GAIN_SETTINGS, GainPolicy, GainSettings
from autometa.policy.past_tasks import PastTasks
from autometa.policy.portfolio_policy import PortfolioPolicy
from autometa.policy.prior import PriorPolicy
from autometa.policy.recurrent.policy import RecurrentPolicy
from autometa.policy.similarity import Similarity

Factory = Callable[[PastTasks], Policy]
"""Makes a policy from the past tasks that it may know."""

BUDGETS_S = (1.0, 10.0, 60.0, 600.0)
COUNTS = (1, 3, 5, 10, 16, 32)
_MOST_MEMBERS = 16
"""Ensembles are selected from this many of the best configurations, as in a fit."""


def assess(
    past: MetaDataset | PastTasks,
    policies: Mapping[str, Factory],
    *,
    budgets_s: Sequence[float] = BUDGETS_S,
    counts: Sequence[int] = COUNTS,
    n_folds: int = 10,
    seed: int = 0,
    n_jobs: int = 1,
    tasks: Sequence[int] | None = None,
    predictions: str | Path | None = None,
) -> pd.DataFrame:
    """Return the regret of policies on every task, each policy made from tasks of other families.

    Parameters
    ----------
    past : MetaDataset or PastTasks
        Recorded results.
    policies : mapping of str to callable
        Makers of policies by name; `named_policies` has some.
    budgets_s : sequence of float
        Time limits in seconds, each for a search of its own. Tasks without recorded seconds are
        left out.
    counts : sequence of int
        Numbers of results at which one search without a time limit is judged.
    n_folds : int
        Number of parts of the families, at most the number of families.
    seed : int
        Seed of the parts and the searches.
    n_jobs : int
        Number of processes; at most one per core that may be used.
    tasks : sequence of int, optional
        Indices of the tasks to search on; all by default.
    predictions : str or Path, optional
        Folder of a collection with stored predictions, for the regret of ensembles.

    Returns
    -------
    DataFrame
        A row per policy, task, and limit: policy, task, family, problem, limit ("trials" or
        "seconds"), at, regret (1 before the first result) and ensemble_regret (NaN without
        predictions). The ensemble is selected on validation rows and judged on held-out rows. If
        some recorded configurations have no predictions, another search among the others is made for it.

    Raises
    ------
    ValueError
        If there are less than two families, or a limit is not positive.
    """
    past = past if isinstance(past, PastTasks) else PastTasks.from_metadataset(past)
    if not all(limit > 0 for limit in (*budgets_s, *counts)):
        raise ValueError(f"budgets_s and counts must be positive, got {budgets_s} and {counts}.")
    measure = partial(
        _assess_fold,
        past,
        policies=policies,
        wanted=frozenset(range(len(past.tasks)) if tasks is None else tasks),
        budgets_s=budgets_s,
        counts=counts,
        seed=seed,
        predictions=None if predictions is None else Path(predictions),
    )
    found = joblib.Parallel(n_jobs=jobs_at_a_time(n_jobs))(
        joblib.delayed(measure)(test) for test in family_folds(past, n_folds, seed)
    )
    columns = ["policy", "task", "family", "problem", "limit", "at", "regret", "ensemble_regret"]
    return pd.DataFrame([row for rows in found for row in rows], columns=columns)


def compare(table: pd.DataFrame, baseline: str, value: str = "regret", seed: int = 0) -> pd.DataFrame:
    """Return each policy's mean regret and its difference to a baseline, at every limit.

    Parameters
    ----------
    table : DataFrame
        Table returned by `assess`.
    baseline : str
        Name of the policy to compare with.
    value : {"regret", "ensemble_regret"}
        Column to compare.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    DataFrame
        Index policy, limit, at; columns mean, difference (negative if better than the baseline),
        low and high (bounds of the paired 95% interval over families).

    Raises
    ------
    ValueError
        If the baseline is not in the table.
    """
    if baseline not in set(table["policy"]):
        raise ValueError(f"baseline must be one of {', '.join(table['policy'].unique())}, got {baseline!r}.")
    rows = []
    for (limit, at), part in table.groupby(["limit", "at"], sort=False):
        wide = part.pivot(index="task", columns="policy", values=value)
        families = part.drop_duplicates("task").set_index("task")["family"].reindex(wide.index).tolist()
        for policy in part["policy"].unique():
            difference, low, high = paired_bootstrap(wide[policy] - wide[baseline], families, seed=seed)
            rows.append((policy, limit, at, float(wide[policy].mean()), difference, low, high))
    names = ["policy", "limit", "at", "mean", "difference", "low", "high"]
    return pd.DataFrame(rows, columns=names).set_index(names[:3])


def gain_policy(
    settings: GainSettings, similarity: Callable[[PastTasks], np.ndarray] | None, past: PastTasks
) -> GainPolicy:
    """Return a policy by expected gain; `similarity` returns weights of the meta-features, by default equal ones."""
    weights = None if similarity is None else similarity(past)
    return GainPolicy(past, settings=settings, similarity=Similarity(past.feature_names, past.features, weights))


def named_policies(
    past: PastTasks,
    similarity: Callable[[PastTasks], np.ndarray] | None = None,
    seed: int = 0,
    *,
    predictions: str | Path | None = None,
    recurrent_s: float = 0.0,
) -> dict[str, Factory]:
    """Return makers of all policies that can be assessed by name: baselines, learnt ones, ablations.

    Parameters
    ----------
    past : PastTasks
        All tasks, for the oracle.
    similarity : callable, optional
        Returns weights of the meta-features, of shape (n_features,), given the tasks that a policy
        may know; by default all weights are equal.
    seed : int
        Seed of the random order and of the recurrent policy's training.
    predictions : str or Path, optional
        Folder of a collection with stored predictions; portfolios are then chosen by their ensembles.
    recurrent_s : float
        Most seconds for each training of the recurrent policy; 0 leaves it out, and needs no torch.
    """
    learnt: dict[str, Factory] = {
        name: partial(gain_policy, settings, similarity) for name, settings in GAIN_SETTINGS.items()
    }
    learnt["portfolio"] = partial(_portfolio, None if predictions is None else Path(predictions))
    if recurrent_s > 0:
        learnt["recurrent"] = partial(_recurrent, recurrent_s, seed)
    return {
        "random": partial(RandomPolicy, seed=seed),
        "average_rank": partial(StaticPolicy, order=average_rank),
        "greedy": partial(StaticPolicy, order=greedy),
        "greedy_per_second": partial(StaticPolicy, order=greedy_per_second),
        "prior": _prior,
        **learnt,
        "oracle": lambda _: Oracle(past),
    }


def _prior(past: PastTasks) -> PriorPolicy:
    """Return the hand-made policy over the strategies that ship; it does not use `past`."""
    return PriorPolicy(load_strategies())


def _portfolio(predictions: Path | None, past: PastTasks) -> PortfolioPolicy:
    orders, _ = learn_portfolios(past, predictions)
    return PortfolioPolicy(past, orders, gain_policy(GAIN_SETTINGS["portfolio"], None, past))


def _recurrent(most_s: float, seed: int, past: PastTasks) -> RecurrentPolicy:
    # torch takes seconds to load, and the other policies need none.
    from autometa.metalearning.training.recurrent_training import RecurrentSettings
    from autometa.metalearning.training.recurrent_tuning import train_recurrent

    return RecurrentPolicy(past, train_recurrent(past, RecurrentSettings(), seed=seed, max_s=most_s).arrays)


def family_folds(past: PastTasks, n: int, seed: int) -> list[np.ndarray]:
    """Return the indices of the tasks in each of at most `n` parts; no family is in two parts.

    Raises
    ------
    ValueError
        If there are less than two families.
    """
    n_families = len(set(past.families))
    if n_families < 2:
        raise ValueError(
            f"Nothing can be left out of {n_families} family of tasks; expected tasks of at least two families."
        )
    parts = family_parts(past.families, min(n, n_families), seed)
    return [np.flatnonzero(np.isin(past.families, part)) for part in parts]


def without(past: PastTasks, tasks: np.ndarray) -> PastTasks:
    """Return the past without some tasks."""
    return past.select(np.setdiff1d(np.arange(len(past.tasks)), tasks))


def _assess_fold(
    past: PastTasks,
    test: np.ndarray,
    *,
    policies: Mapping[str, Factory],
    wanted: frozenset[int],
    budgets_s: Sequence[float],
    counts: Sequence[int],
    seed: int,
    predictions: Path | None,
) -> list[tuple[object, ...]]:
    tasks = [int(task) for task in test if int(task) in wanted]
    if not tasks:
        return []
    train = without(past, test)
    made = {name: make(train) for name, make in policies.items()}
    rows: list[tuple[object, ...]] = []
    # Task by task, so that predictions are read once, and an ensemble found by several policies is selected once.
    for task in tasks:
        kept = read_stored_predictions(predictions, past, task) if predictions is not None else None
        judge = None if kept is None else _EnsembleJudge.of(kept, past, task)
        for name, policy in made.items():
            about = (name, past.tasks[task], past.families[task], past.problems[task])
            searches = list(_searches(policy, past, task, budgets_s, counts, seed))
            of_kept = searches
            if judge is not None and judge.past is not past:
                of_kept = list(_searches(policy, judge.past, task, budgets_s, counts, seed))
            for search, other in zip(searches, of_kept, strict=True):
                of_ensemble = math.nan if judge is None else judge.regret(other)
                rows.append((*about, search.limit, search.at, search.regret(), of_ensemble))
    return rows


@dataclass(frozen=True)
class _Search:
    """An episode, and the number of its results within a limit."""

    limit: str
    at: float
    episode: Episode
    n_results: int

    def regret(self) -> float:
        return float(self.episode.regret_after(self.n_results))


def _searches(
    policy: Policy, past: PastTasks, task: int, budgets_s: Sequence[float], counts: Sequence[int], seed: int
) -> Iterator[_Search]:
    metric = metric_of(past, task)
    if counts:
        episode = replay(policy, past, task, metric=metric, budget=Budget(n_trials=max(counts)), seed=seed)
        for count in counts:
            yield _Search("trials", count, episode, count)
    if np.isfinite(past.seconds[task]).any():
        for budget_s in budgets_s:
            episode = replay(policy, past, task, metric=metric, budget=Budget(time_s=budget_s), seed=seed)
            yield _Search("seconds", budget_s, episode, int((episode.end_s <= budget_s).sum()))


class _EnsembleJudge:
    """Regret of the ensemble of a search's results on one task.

    Attributes
    ----------
    past : PastTasks
        Past tasks in which configurations without predictions on this task count as not measured.
    """

    def __init__(self, kept: StoredPredictions, past: PastTasks) -> None:
        self.past = past
        self._chosen_on, self._judged_on = kept.split()
        self._known: dict[tuple[int, ...], float] = {}

    @classmethod
    def of(cls, kept: StoredPredictions, past: PastTasks, task: int) -> _EnsembleJudge | None:
        """Return the judge, or None if no recorded configuration has predictions."""
        recorded = np.isfinite(past.losses[metric_of(past, task)][task])
        has_predictions = np.zeros(len(recorded), dtype=bool)
        has_predictions[list(kept.predictions)] = True
        if not (recorded & has_predictions).any():
            return None
        if (recorded & ~has_predictions).any():
            # Records of an earlier collection have no predictions, so they cannot be in an ensemble.
            hidden = np.zeros_like(past.failed)
            hidden[task] = ~has_predictions
            losses = {metric: np.where(hidden, np.nan, matrix) for metric, matrix in past.losses.items()}
            past = replace(past, losses=losses, failed=past.failed & ~hidden)
        return cls(kept, past)

    def regret(self, search: _Search) -> float:
        """Return the regret; 1 without a result."""
        results = zip(search.episode.configurations[: search.n_results], search.episode.losses, strict=False)
        found = {self.past.position[configuration] for configuration, loss in results if not math.isnan(loss)}
        losses = self._chosen_on.losses
        members = tuple(sorted(found, key=lambda index: (losses[index], index))[:_MOST_MEMBERS])
        if not members:
            return 1.0
        if members not in self._known:
            mixed = self._judged_on.mix(self._chosen_on.weights(members))
            self._known[members] = self._judged_on.regret(mixed)
        return self._known[members]
