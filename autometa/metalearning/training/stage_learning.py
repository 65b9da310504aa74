"""Which policy is in charge of which moment of a search: learnt by replaying mixtures on families left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from autometa.metalearning.replay.assessment import Factory, assess
from autometa.metalearning.replay.regret import surely_best
from autometa.policy.mixture import MixturePolicy, Stage
from autometa.policy.past_tasks import PastTasks

USUAL = "gaussian"
CANDIDATES: Mapping[str, tuple[tuple[str, int], ...]] = {
    USUAL: (("gaussian", 0),),
    "attention": (("attention", 0),),
    "attention, then gaussian from trial 5": (("attention", 0), ("gaussian", 5)),
    "attention, then gaussian from trial 16": (("attention", 0), ("gaussian", 16)),
    "gaussian, then attention from trial 5": (("gaussian", 0), ("attention", 5)),
}
"""Mixtures that are compared, by name: policies and the number of trials that there must be."""

# Mean regret after these many results, and at these many seconds.
COUNTS = (1, 3, 5, 10, 16, 32)
BUDGETS_S = (3.0, 10.0, 30.0, 100.0)
_N_FOLDS = 5


def learn_stages(
    past: PastTasks, makers: Mapping[str, Factory], tasks: Sequence[int], seed: int
) -> tuple[list[dict[str, Any]], dict[str, dict[str, float]]]:
    """Return the stages of the best mixture, for searches without and with a limit of time, and what decided.

    The usual mixture stays unless another has a lower mean regret beyond chance.

    Parameters
    ----------
    past : PastTasks
        Past tasks.
    makers : mapping of str to callable
        Make the policies that `CANDIDATES` names of the tasks that they may know.
    tasks : sequence of int
        Those on which searches are replayed.
    seed : int
        Seed of the parts that are left out, and of the searches.

    Returns
    -------
    stages : list of dict
        Arguments of `Stage`.
    regrets : dict of str to dict
        Mean regret of each candidate, for ``"trials"`` and, where seconds are known, ``"seconds"``.
    """
    policies = {name: _Mixture(makers, stages) for name, stages in CANDIDATES.items()}
    table = assess(past, policies, budgets_s=BUDGETS_S, counts=COUNTS, n_folds=_N_FOLDS, seed=seed, tasks=tasks)
    stages: list[dict[str, Any]] = []
    regrets: dict[str, dict[str, float]] = {}
    for limit, in_time in (("trials", False), ("seconds", True)):
        part = table[table["limit"] == limit]
        chosen = USUAL
        if len(part):
            values = part.pivot_table(index="task", columns="policy", values="regret", sort=False)
            families = [past.families[past.tasks.index(task)] for task in values.index]
            chosen = surely_best(values, USUAL, families)
            regrets[limit] = {name: float(np.round(values[name].mean(), 6)) for name in CANDIDATES}
        stages += [
            {"policy": policy, "from_trial": from_trial, "in_time": in_time}
            for policy, from_trial in CANDIDATES[chosen]
        ]
    return stages, regrets


class _Mixture:
    """Makes a mixture of the tasks that it may know."""

    def __init__(self, makers: Mapping[str, Factory], stages: Sequence[tuple[str, int]]) -> None:
        self._makers, self._stages = makers, stages

    def __call__(self, past: PastTasks) -> MixturePolicy:
        stages = [Stage(policy, from_trial) for policy, from_trial in self._stages]
        return MixturePolicy({stage.policy: self._makers[stage.policy](past) for stage in stages}, stages)
