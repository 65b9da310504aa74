"""Assess policies by replayed searches on tasks of families that they were not trained on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import joblib
import numpy as np
import pandas as pd

from autometa._support.machine import jobs_at_a_time
from autometa.catalogue import load_strategies
from autometa.core.budget import Budget
from autometa.core.proposal import Policy
from autometa.metadataset.dataset import MetaDataset
from autometa.metadataset.error_moments import ErrorMoments
from autometa.metadataset.families import family_parts
from autometa.metalearning.replay import BEST_STATIC
from autometa.metalearning.replay.baselines import STATIC_ORDERS, Oracle, RandomPolicy, StaticPolicy, average_rank
from autometa.metalearning.replay.regret import paired_bootstrap
from autometa.metalearning.replay.replay import Episode, metric_of, replay
from autometa.metalearning.training.portfolio import learn_portfolios
from autometa.policy.ensemble_model import NO_MODEL, greedy_weights
from autometa.policy.expected_gain import GainPolicy
from autometa.policy.gain_settings import GAIN_SETTINGS, GainSettings
from autometa.policy.past_tasks import PastTasks
from autometa.policy.portfolio_policy import PortfolioPolicy
from autometa.policy.prior import PriorPolicy
from autometa.policy.recurrent.policy import RecurrentPolicy
from autometa.policy.registry import settings_in_fits
from autometa.policy.similarity import Similarity

Factory = Callable[[PastTasks], Policy]
"""Makes a policy from the past tasks that it may know."""

BUDGETS_S = (3.0, 10.0, 60.0, 600.0)
COUNTS = (3, 10, 32)
STATIC_POLICIES = (*STATIC_ORDERS, "average_rank", "portfolio", "prior")
"""Policies that do not learn from the losses of a search, or only by hand-made rules."""
_MOST_MEMBERS, _N_ROUNDS = 16, 25
"""Ensembles are selected in 25 rounds from the 16 best configurations, as in fits of a few hundred rows or more."""

_LEAST_ERROR, _LEAST_SPAN = 1e-9, 0.02


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
    moments: ErrorMoments | None = None,
    as_in_fits: bool = False,
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
    moments : ErrorMoments, optional
        Second moments of errors of the meta-dataset, for the regret of ensembles. Tasks and configurations are those
        of `past`, in its order.
    as_in_fits : bool
        Whether trials have the folds, and searches the time, of a fit with the same budget; see `replay`.

    Returns
    -------
    DataFrame
        A row per policy, task, and limit: policy, task, family, problem, limit ("trials" or
        "seconds"), at, regret (1 before the first result) and ensemble_regret (NaN without
        moments of the task; see `EnsembleJudge`).

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
        moments=moments,
        as_in_fits=as_in_fits,
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
        Name of the policy to compare with, or `BEST_STATIC`: at each limit the one of `STATIC_POLICIES` with the
        lowest mean.
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
    found = list(table["policy"].unique())
    static = [name for name in STATIC_POLICIES if name in found] if baseline == BEST_STATIC else [baseline]
    if not static or baseline not in (BEST_STATIC, *found):
        raise ValueError(f"baseline must be one of {', '.join(found)}, got {baseline!r}.")
    rows = []
    for (limit, at), part in table.groupby(["limit", "at"], sort=False):
        wide = part.pivot(index="task", columns="policy", values=value)
        families = part.drop_duplicates("task").set_index("task")["family"].reindex(wide.index).tolist()
        best = wide[static].mean().idxmin()
        for policy in part["policy"].unique():
            difference, low, high = paired_bootstrap(wide[policy] - wide[best], families, seed=seed)
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
    recurrent_s : float
        Most seconds for each training of the recurrent policy; 0 leaves it out, and needs no torch.
    """
    learnt: dict[str, Factory] = {
        name: partial(gain_policy, settings_in_replays(name), similarity)
        for name, settings in GAIN_SETTINGS.items()
        if past.moments is not None or not settings.of_ensemble
    }
    learnt["portfolio"] = _portfolio
    if recurrent_s > 0:
        learnt["recurrent"] = partial(_recurrent, recurrent_s, seed)
    return {
        "random": partial(RandomPolicy, seed=seed),
        "average_rank": partial(StaticPolicy, order=average_rank),
        **{name: partial(StaticPolicy, order=order) for name, order in STATIC_ORDERS.items()},
        "prior": _prior,
        **learnt,
        "oracle": lambda _: Oracle(past),
    }


def settings_in_replays(name: str) -> GainSettings:
    """Return the settings of a policy in fits, without exploration beyond the records, where a replay would end."""
    return replace(settings_in_fits(name), exploration=0.0)


def _prior(past: PastTasks) -> PriorPolicy:
    """Return the hand-made policy over the strategies that ship; it does not use `past`."""
    return PriorPolicy(load_strategies())


def _portfolio(past: PastTasks) -> PortfolioPolicy:
    orders, _ = learn_portfolios(past)
    return PortfolioPolicy(past, orders, gain_policy(settings_in_replays("portfolio"), None, past))


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
    moments: ErrorMoments | None,
    as_in_fits: bool,
) -> list[tuple[object, ...]]:
    tasks = [int(task) for task in test if int(task) in wanted]
    if not tasks:
        return []
    train = without(past, test)
    made = {name: make(train) for name, make in policies.items()}
    rows: list[tuple[object, ...]] = []
    # Task by task, so that an ensemble found by several policies is selected once.
    for task in tasks:
        judge = None if moments is None else EnsembleJudge.of(moments, past, task)
        for name, policy in made.items():
            about = (name, past.tasks[task], past.families[task], past.problems[task])
            for search in _searches(policy, past, task, budgets_s, counts, seed, as_in_fits=as_in_fits):
                of_ensemble = math.nan if judge is None else judge.regret(search)
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
    policy: Policy,
    past: PastTasks,
    task: int,
    budgets_s: Sequence[float],
    counts: Sequence[int],
    seed: int,
    *,
    as_in_fits: bool,
) -> Iterator[_Search]:
    run = partial(replay, policy, past, task, metric=metric_of(past, task), seed=seed, as_in_fits=as_in_fits)
    if counts:
        episode = run(budget=Budget(n_trials=max(counts)))
        for count in counts:
            yield _Search("trials", count, episode, count)
    if np.isfinite(past.seconds[task]).any():
        for budget_s in budgets_s:
            episode = run(budget=Budget(time_s=budget_s))
            yield _Search("seconds", budget_s, episode, int((episode.end_s <= budget_s).sum()))


class EnsembleJudge:
    """Regret of the ensemble of a search's results on one task, by second moments of errors.

    Weights are chosen on validation rows and judged on held-out rows, then the other way round; the mean of both has
    less noise than either.

    Parameters
    ----------
    past : PastTasks
        Past tasks, with the configurations.
    validation, held_out : ndarray of shape (n_configurations, n_configurations)
        Second moments of errors on the task.

    Attributes
    ----------
    known : ndarray of shape (n_configurations,), bool
        Whether a configuration has moments.
    """

    def __init__(self, past: PastTasks, validation: np.ndarray, held_out: np.ndarray) -> None:
        self._past = past
        self._sides = [(validation, held_out), (held_out, validation)]
        self.known = np.isfinite(np.diagonal(validation) + np.diagonal(held_out))
        everything = np.flatnonzero(self.known)
        self._scales = [self._scale(*side, everything) for side in self._sides] if everything.size else []
        self._found: dict[tuple[int, ...], float] = {}

    @classmethod
    def of(cls, moments: ErrorMoments, past: PastTasks, task: int) -> EnsembleJudge | None:
        """Return the judge of a past task, or None if no configuration has moments on it."""
        judge = cls(past, moments.validation[task], moments.held_out[task])
        return judge if judge.known.any() else None

    def regret(self, search: _Search) -> float:
        """Return the regret: 0 for the best ensemble in hindsight, 1 for the median configuration, 2 without one."""
        results = zip(search.episode.configurations[: search.n_results], search.episode.losses, strict=False)
        losses = ((loss, self._past.position[configuration]) for configuration, loss in results)
        found = sorted((loss, index) for loss, index in losses if not math.isnan(loss) and self.known[index])
        members = tuple(sorted(index for _, index in found[:_MOST_MEMBERS]))
        if not members:
            return NO_MODEL
        if members not in self._found:
            regrets = [
                (self._error(*side, np.array(members)) - best) / span
                for side, (best, span) in zip(self._sides, self._scales, strict=True)
            ]
            self._found[members] = float(np.mean(np.minimum(regrets, NO_MODEL)))
        return self._found[members]

    def _scale(self, chosen_on: np.ndarray, judged_on: np.ndarray, everything: np.ndarray) -> tuple[float, float]:
        best = self._error(judged_on, judged_on, everything)
        usual = math.log(max(np.median(np.diagonal(judged_on)[everything]), _LEAST_ERROR))
        return best, max(usual - best, _LEAST_SPAN)

    @staticmethod
    def _error(chosen_on: np.ndarray, judged_on: np.ndarray, members: np.ndarray) -> float:
        weights = greedy_weights(chosen_on[np.ix_(members, members)][None].astype(np.float64), _N_ROUNDS)[0]
        return math.log(max(float(weights @ judged_on[np.ix_(members, members)] @ weights), _LEAST_ERROR))
