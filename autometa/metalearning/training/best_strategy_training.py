r"""Fit the chance of each strategy to be the best on a task.

============ =====================================================================
gap          distance of a strategy's best loss from the best of all, on the scale of
             `loss_transform.to_scale`
label        soft: :math:`\exp(-\text{gap} / \tau)`, divided by its sum over the strategies;
             which of two equally good strategies wins a task is chance
============ =====================================================================
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression

from autometa.evaluation.loss_transform import to_scale
from autometa.metalearning.replay.assessment import family_folds
from autometa.metalearning.replay.replay import metric_of
from autometa.policy.best_strategy import BestStrategyModel, chances, inputs
from autometa.policy.past_tasks import PastTasks

_STRENGTHS = (0.003, 0.01, 0.03)
"""Inverse strengths of the regularisation that are compared."""

_TAU = 0.02
_LEAST_WEIGHT = 1e-3


@dataclass(frozen=True)
class BestStrategyChoice:
    """The fitted model, and how good its kind is on families left out.

    Parameters
    ----------
    model : BestStrategyModel
        Fitted on all tasks.
    errors : dict of str to float
        On families left out: ``log_loss``, the mean negative logarithm of the chance of the best strategy;
        ``log_loss_uniform``, the same of equal chances; ``first`` and ``among_three``, how often the best strategy
        has the largest chance, or one of the three largest. Empty with fewer than three families.
    """

    model: BestStrategyModel
    errors: dict[str, float]


def learn_best_strategy(past: PastTasks, *, n_folds: int = 10, seed: int = 0) -> BestStrategyChoice:
    """Return the model with the regularisation that predicts best on families left out."""
    names, gaps = best_gaps(past)
    strength, errors = _STRENGTHS[0], {}
    if len(set(past.families)) >= 3:
        found = {candidate: _left_out(past, names, gaps, candidate, n_folds, seed) for candidate in _STRENGTHS}
        strength = min(found, key=lambda candidate: found[candidate]["log_loss"])
        errors = found[strength]
    return BestStrategyChoice(_fitted(past, names, gaps, strength), errors)


def best_gaps(past: PastTasks) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the strategies, and the gap of each on each task, of shape (n_tasks, n_strategies); inf without a loss."""
    names = tuple(dict.fromkeys(past.strategies.tolist()))
    gaps = np.full((len(past.tasks), len(names)), np.inf)
    for task in range(len(past.tasks)):
        metric = metric_of(past, task)
        values = to_scale(past.losses[metric][task], metric)
        for k, name in enumerate(names):
            own = values[past.strategies == name]
            if np.isfinite(own).any():
                gaps[task, k] = np.nanmin(own)
    return names, gaps - gaps.min(axis=1, keepdims=True)


def _left_out(
    past: PastTasks, names: tuple[str, ...], gaps: np.ndarray, strength: float, n_folds: int, seed: int
) -> dict[str, float]:
    logs, uniform, ranks = [], [], []
    for test in family_folds(past, n_folds, seed):
        train = np.setdiff1d(np.arange(len(past.tasks)), test)
        model = _fitted(past.select(train), names, gaps[train], strength)
        for task in test:
            able = {name: (0.0, 0.0) for name, gap in zip(names, gaps[task], strict=True) if np.isfinite(gap)}
            features = dict(zip(past.feature_names, past.features[task].tolist(), strict=True))
            found = chances(model.scores(past.problems[task], features), able)
            best = names[int(gaps[task].argmin())]
            logs.append(-np.log(found[best]))
            uniform.append(np.log(len(able)))
            ranks.append(sorted(found, key=lambda name: -found[name]).index(best))
    return {
        "log_loss": float(np.mean(logs)),
        "log_loss_uniform": float(np.mean(uniform)),
        "first": float(np.mean(np.array(ranks) == 0)),
        "among_three": float(np.mean(np.array(ranks) < 3)),
    }


def _fitted(past: PastTasks, names: tuple[str, ...], gaps: np.ndarray, strength: float) -> BestStrategyModel:
    present = np.isfinite(past.features)
    n_present = np.maximum(present.sum(axis=0), 1)
    centre = np.where(present, past.features, 0.0).sum(axis=0) / n_present
    scale = np.sqrt((np.where(present, past.features - centre, 0.0) ** 2).sum(axis=0) / n_present)
    scale = np.where(scale > 1e-9, scale, np.inf)
    x = inputs(past.features, past.problems, centre, scale)[:, 1:]
    labels = np.exp(-gaps / _TAU)
    labels /= labels.sum(axis=1, keepdims=True)
    # A row for each task and strategy, weighted by the label.
    weights = labels.ravel()
    kept = weights > _LEAST_WEIGHT
    rows = np.repeat(x, len(names), axis=0)[kept]
    codes = np.tile(np.arange(len(names)), len(x))[kept]
    coefficients = np.zeros((len(names), 1 + x.shape[1]))
    coefficients[:, 0] = np.log(_LEAST_WEIGHT)  # of strategies that are never good
    found = np.unique(codes)
    if len(found) == 1:
        coefficients[found, 0] = 0.0
    else:
        regression = LogisticRegression(C=strength, max_iter=1000).fit(rows, codes, sample_weight=weights[kept])
        if len(found) == 2:
            # Two classes have one row of coefficients, of the second.
            coefficients[found[0]] = 0.0
            coefficients[found[1]] = np.hstack([regression.intercept_[:, None], regression.coef_])[0]
        else:
            coefficients[found] = np.hstack([regression.intercept_[:, None], regression.coef_])
            coefficients[np.setdiff1d(np.arange(len(names)), found), 0] += coefficients[found, 0].mean()
    return BestStrategyModel(names, past.feature_names, centre, scale, coefficients)
