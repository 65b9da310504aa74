"""What a history says about the configurations that a policy knows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autometa.core.evaluation import Evaluation
from autometa.core.space import Configuration


@dataclass(frozen=True)
class ObservedHistory:
    """A history by configuration.

    Parameters
    ----------
    losses : dict of int to float
        Mean loss over the folds at anchor 1, of configurations that the policy knows. Where
        only some folds were measured, as of pruned trials, what others lost there tells how
        hard these folds are.
    seconds : dict of int to float
        Mean seconds of fit and prediction at anchor 1: of the wall clock, by which the search
        ends, or of CPU where there are no others. Fits that were cut short have none.
    running : set of int
        Known configurations that are being evaluated.
    tried : set of int
        Known configurations of which there is anything in the history.
    best_other : float
        Lowest mean loss of a configuration that the policy does not know; inf without one.
    """

    losses: dict[int, float]
    seconds: dict[int, float]
    running: set[int]
    tried: set[int]
    best_other: float

    @property
    def best(self) -> float:
        """Lowest loss seen; inf without one."""
        return min([self.best_other, *self.losses.values()])


def read_history(
    history: Sequence[Evaluation], position: Mapping[Configuration, int], loss_unit: float
) -> ObservedHistory:
    """Return a history by configuration; losses are divided by `loss_unit`."""
    losses: dict[Configuration, dict[int, list[float]]] = {}
    seconds: dict[Configuration, list[float]] = {}
    running, tried = set(), set()
    for evaluation in history:
        configuration = evaluation.configuration
        place = position.get(configuration)
        if place is not None:
            tried.add(place)
            if evaluation.status == "failed" and evaluation.error == "running":
                running.add(place)
        if evaluation.status == "ok" and evaluation.anchor == 1 and math.isfinite(evaluation.loss):
            of_fold = losses.setdefault(configuration, {}).setdefault(evaluation.fold, [])
            of_fold.append(evaluation.loss / loss_unit)
            wall_s = evaluation.time_s
            taken_s = wall_s if math.isfinite(wall_s) else evaluation.fit_cpu_s + evaluation.predict_cpu_s
            # A fit that was cut short would have taken longer, and would make all others look quicker.
            if math.isfinite(taken_s) and not evaluation.is_cut_short:
                seconds.setdefault(configuration, []).append(taken_s)
    means = _means({c: {fold: _mean(v) for fold, v in folds.items()} for c, folds in losses.items()})
    known = {position[c]: loss for c, loss in means.items() if c in position}
    return ObservedHistory(
        losses=known,
        seconds={position[c]: _mean(values) for c, values in seconds.items() if c in position},
        running=running - set(known),
        tried=tried,
        best_other=min((loss for c, loss in means.items() if c not in position), default=math.inf),
    )


def _means(losses: Mapping[Configuration, Mapping[int, float]]) -> dict[Configuration, float]:
    """Return each configuration's mean over all folds, as if it had been measured on all of them."""
    most = max(map(len, losses.values()), default=0)
    # Not the first that was measured on that many, as results come in any order.
    folds = set(min((sorted(of_fold) for of_fold in losses.values() if len(of_fold) == most), default=[]))
    complete = [of_fold for of_fold in losses.values() if set(of_fold) == folds]
    total = _mean([_mean(list(of_fold.values())) for of_fold in complete]) if complete else 0.0
    # A fold on which nothing is lost makes no ratio; losses below 0 come from metrics of the user's.
    hardness = {fold: _mean([of_fold[fold] for of_fold in complete]) / total if total > 0 else 1.0 for fold in folds}
    means = {}
    for configuration, of_fold in losses.items():
        if set(of_fold) == folds:
            means[configuration] = _mean(list(of_fold.values()))
        else:
            ratios = {fold: hardness.get(fold, 1.0) for fold in of_fold}
            means[configuration] = _mean([v / ratios[f] if ratios[f] > 0 else v for f, v in of_fold.items()])
    return means


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
