"""Compute normalised regrets, and confidence intervals of differences between policies."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike


def normalised_regret(found: ArrayLike, losses: ArrayLike) -> np.ndarray:
    """Return (found − best) / (worst − best), kept in [0, 1].

    Parameters
    ----------
    found : array_like
        Losses of incumbents on one task; NaN, which gives 1, without an incumbent.
    losses : array_like of shape (n_configurations,)
        All known losses on the task; NaN where unknown. If all are equal, an incumbent that is
        not worse has regret 0.

    Returns
    -------
    ndarray of the shape of `found`

    Raises
    ------
    ValueError
        If no loss is known.
    """
    known = np.asarray(losses, dtype=np.float64)
    known = known[~np.isnan(known)]
    if not known.size:
        raise ValueError("A regret needs known losses to compare with, but every loss of the task is NaN.")
    best, worst = known.min(), known.max()
    found = np.asarray(found, dtype=np.float64)
    if worst == best:
        return np.where(found <= best, 0.0, 1.0)
    return np.nan_to_num(np.clip((found - best) / (worst - best), 0.0, 1.0), nan=1.0)


def paired_bootstrap(
    differences: ArrayLike, families: Sequence[Hashable] | None = None, n: int = 10_000, seed: int = 0
) -> tuple[float, float, float]:
    """Return the mean of differences over tasks, and the bounds of its 95% percentile bootstrap interval.

    Families are drawn with replacement, each with all its tasks. Tasks of one family have similar
    differences, so drawing single tasks would make the interval too narrow. Each difference is
    taken on one task, so the comparison is paired (Efron and Tibshirani 1993, chapters 8 and 13).

    Parameters
    ----------
    differences : array_like of shape (n_tasks,)
        Difference of two policies on each task, or any other number per task.
    families : sequence, optional
        Family of each task; by default each task is its own family.
    n : int
        Number of draws.
    seed : int
        Seed of the draws.

    Returns
    -------
    mean, low, high : float

    Raises
    ------
    ValueError
        If there are no tasks, a difference is not finite, or the families are not one per task.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"differences must be finite, one for each of at least one task, got {values}.")
    if families is not None and len(families) != len(values):
        raise ValueError(f"families must have one entry per task ({len(values)}), got {len(families)}.")
    numbers: dict[Hashable, int] = {}
    members = [numbers.setdefault(family, len(numbers)) for family in (families or range(len(values)))]
    sums, counts = np.bincount(members, weights=values), np.bincount(members)
    drawn = np.random.default_rng(seed).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=n)
    low, high = np.quantile((drawn @ sums) / (drawn @ counts), [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def surely_best(values: pd.DataFrame, usual: str, families: Sequence[str]) -> str:
    """Return the column with the lowest mean among those significantly better than `usual`, else `usual`.

    Parameters
    ----------
    values : DataFrame
        A row per task, a column per alternative; lower is better.
    usual : str
        Column to compare with; another one is better if the paired 95% interval of the difference is below 0.
    families : sequence of str
        Family of each row.
    """
    best, lowest = usual, 0.0
    for column in values.columns.drop(usual):
        difference, _, high = paired_bootstrap(values[column] - values[usual], families)
        if high < 0 and difference < lowest:
            best, lowest = str(column), difference
    return best
