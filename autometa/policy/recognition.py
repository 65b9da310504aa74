"""Recognise a table that was fitted before, or one with the same columns, and name what was best on it."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence

import numpy as np

from autometa.core.space import Configuration, SearchSpace
from autometa.core.strategy import Strategy
from autometa.core.task import TaskDescription
from autometa.metadataset.dataset import MetaDataset
from autometa.metadataset.experience import task_name
from autometa.metadataset.machine_speed import machine_speed
from autometa.metadataset.schema import LOSS_COLUMNS

N_OF_SAME, N_OF_SIBLINGS = 8, 4
"""Largest numbers of configurations to try first: on a table that was fitted before, on one with the same columns."""

_MOST_PER_STRATEGY = 3
"""Largest number of them from one strategy, because an ensemble needs variety."""

_LARGEST_SHARE = 0.2
"""Configurations whose trial would take more than this fraction of the time left are not tried first."""

_GENERATED_NAME = re.compile(r"[xXvV]?\d+")


def table_family(columns: Sequence[str], problem: str) -> str | None:
    """Return a digest of the names of columns, the same for tables of other rows.

    None if all names are numbers, as in tables without names: these say nothing about a table.
    The digest does not show the names, but tells those who know them that such a table was fitted.
    """
    if all(_GENERATED_NAME.fullmatch(name) for name in columns):
        return None
    text = json.dumps([problem, sorted(columns)])
    return f"columns-{hashlib.blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=8).hexdigest()}"


def remembered_first(
    remembered: MetaDataset | None,
    description: TaskDescription,
    family: str | None,
    strategies: Sequence[Strategy],
    remaining_s: float = math.inf,
) -> tuple[Configuration, ...]:
    """Return the best configurations of earlier fits of a table, best first; none if it is not recognised.

    Fits of the very table count alone; without any, those of tables with the same columns. In each fit the regret
    of a configuration is its loss less the lowest one, in units of the median's. A configuration's regrets are
    averaged over fits together with one regret of 1, so that a single lucky fit counts for less than several.

    Parameters
    ----------
    remembered : MetaDataset or None
        Experience, as `experience.recall` returns it.
    description : TaskDescription
        The table, with meta-features and metric.
    family : str or None
        Digest of its columns, see `table_family`.
    strategies : sequence of Strategy
        Strategies that may be tried; configurations outside their spaces are left out.
    remaining_s : float
        Seconds left. Configurations that would take too large a part of them are left out.
    """
    column = f"loss_{description.metric}"
    if remembered is None or column not in LOSS_COLUMNS:
        return ()
    tasks = remembered.tasks[remembered.tasks["problem"] == description.problem]
    known = set(tasks["task"][tasks["task"] == task_name(description)])
    n = N_OF_SAME if known else N_OF_SIBLINGS
    known = known or set(tasks["task"][tasks["family"] == family])
    rows = remembered.evaluations
    rows = rows[rows["task"].isin(known) & (rows["anchor"] == 1) & (rows["progress"] == 1)]
    rows = rows[(rows["status"] == "ok") & np.isfinite(rows[column])]
    if rows.empty:
        return ()
    trials = rows.groupby(["task", "seed", "configuration"], observed=True).agg(
        loss=(column, "mean"), n_folds=("fold", "nunique")
    )
    by_fit = trials.groupby(["task", "seed"], observed=True)
    # Pruned trials were measured on some folds only, so their losses cannot be compared.
    trials = trials[trials["n_folds"] == by_fit["n_folds"].transform("max")]
    losses = trials.groupby(["task", "seed"], observed=True)["loss"]
    unit = (losses.transform("median") - losses.transform("min")).clip(lower=1e-12)
    regret = ((trials["loss"] - losses.transform("min")) / unit).clip(upper=3.0).groupby("configuration", observed=True)
    score = ((regret.sum() + 1.0) / (regret.size() + 1.0)).sort_values(kind="stable")
    seconds = _trial_seconds(remembered, set(rows.index), description)
    table = remembered.configurations.set_index("configuration")
    spaces = {strategy.name: strategy.space for strategy in strategies}
    chosen: list[Configuration] = []
    for name in score.index:
        configuration = Configuration(table["strategy"][name], json.loads(table["parameters"][name]))
        is_quick = seconds.get(name, 0.0) <= _LARGEST_SHARE * remaining_s
        n_same = sum(c.strategy == configuration.strategy for c in chosen)
        if is_quick and n_same < _MOST_PER_STRATEGY and _suits(configuration, spaces):
            chosen.append(configuration)
    return tuple(chosen[:n])


def _trial_seconds(remembered: MetaDataset, rows: set[int], description: TaskDescription) -> dict[str, float]:
    """Return the expected seconds of a trial of each configuration on this machine."""
    measured = remembered.evaluations.loc[sorted(rows)]
    if measured["machine_speed"].isna().all():
        speeds = 1.0
    else:
        # Records of versions that measured no speed are taken to be of this machine.
        speeds = (measured["machine_speed"] / machine_speed()).fillna(1.0)
    fit_s = (measured["fit_s"] + measured["predict_s"]) * speeds * description.fits_in_turn
    return fit_s.groupby(measured["configuration"], observed=True).mean().dropna().to_dict()


def _suits(configuration: Configuration, spaces: Mapping[str, SearchSpace]) -> bool:
    """Return whether a space of today can produce this very configuration."""
    space = spaces.get(configuration.strategy)
    if space is None:
        return False
    try:
        space.check(configuration.parameters)
        # Parameters that it lacks would be drawn by the study's sampler.
        return Configuration(configuration.strategy, space.complete(configuration.parameters)) == configuration
    except (TypeError, ValueError):
        return False
