"""Summarise the history of a search by configuration, for policies that know some of the configurations."""

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
        Mean loss over the folds at anchor 1, by index of a configuration that the policy knows.
        Pruned trials have results of some folds only; their means are corrected for how hard
        these folds were for other configurations.
    seconds : dict of int to float
        Mean seconds of fit and prediction at anchor 1: wall-clock seconds, or CPU seconds where
        no others were measured. Fits that were cut short are left out.
    running : set of int
        Known configurations that are being evaluated.
    tried : set of int
        Known configurations with any entry in the history.
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
    """Return a history by configuration, losses divided by `loss_unit`; `position` maps known ones to their index."""
    losses: dict[Configuration, dict[int, list[float]]] = {}
    seconds: dict[Configuration, list[float]] = {}
    running, tried = set(), set()
    for evaluation in history:
        configuration = evaluation.configuration
        index = position.get(configuration)
        if index is not None:
            tried.add(index)
            if evaluation.status == "running":
                running.add(index)
        if evaluation.status == "ok" and evaluation.anchor == 1 and math.isfinite(evaluation.loss):
            fold_losses = losses.setdefault(configuration, {}).setdefault(evaluation.fold, [])
            fold_losses.append(evaluation.loss / loss_unit)
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
    """Return each configuration's mean over all folds; folds without a result are corrected for."""
    most = max(map(len, losses.values()), default=0)
    # The minimum does not depend on the order in which results came.
    folds = set(min((sorted(fold_losses) for fold_losses in losses.values() if len(fold_losses) == most), default=[]))
    complete = [fold_losses for fold_losses in losses.values() if set(fold_losses) == folds]
    total = _mean([_mean(list(fold_losses.values())) for fold_losses in complete]) if complete else 0.0
    # Ratios need positive losses; a custom metric can have losses of 0 or below.
    hardness = {
        fold: _mean([fold_losses[fold] for fold_losses in complete]) / total if total > 0 else 1.0 for fold in folds
    }
    means = {}
    for configuration, fold_losses in losses.items():
        if set(fold_losses) == folds:
            means[configuration] = _mean(list(fold_losses.values()))
        else:
            ratios = {fold: hardness.get(fold, 1.0) for fold in fold_losses}
            means[configuration] = _mean([v / ratios[f] if ratios[f] > 0 else v for f, v in fold_losses.items()])
    return means


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
