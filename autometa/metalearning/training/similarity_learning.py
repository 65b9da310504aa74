r"""Learn the weights of meta-features with which similar tasks have similar regrets (attention).

================ =====================================================================
weight           :math:`w_f = e^{\theta_f}`, of the squared difference in meta-feature f
attention        :math:`a_{ik}`, softmax over past tasks k of other families of minus half
                 the weighted squared distance from task i
expected regret  :math:`\sum_k a_{ik} R_{kj}`, over the tasks that have configuration j
================ =====================================================================

As in matching networks (Vinyals et al. 2016), the weights minimise the error with which attention predicts
left-out results: here the regrets on a task, from tasks of other families.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from autometa.metalearning.replay.assessment import family_folds
from autometa.metalearning.training.portfolio import measured_regrets
from autometa.policy.past_tasks import PastTasks
from autometa.policy.similarity import Similarity

_OTHER_PROBLEM = 2.0
"""Subtracted from the logits of tasks of another problem, as in a policy."""

_TOTALS = (1.0, 4.0, 16.0)
"""Sums of the equal weights that are compared."""

_REGULARISER = 0.3
"""Strength of the pull of the log weights towards equal ones, relative to the error of equal weights."""

_MOST_LOG = 4.0
"""Largest distance of a log weight from the equal ones."""


@dataclass(frozen=True)
class SimilarityChoice:
    """The chosen weights of the meta-features, and the errors of all candidates.

    Parameters
    ----------
    weights : ndarray of shape (n_features,)
        Weights for `Similarity`; all 0 where meta-features did not help.
    name : str
        Chosen candidate: ``"none"``, ``"equal, total …"`` or ``"learnt"``.
    errors : dict of str to float
        Mean squared error of the expected regret on families left out, by candidate; empty with
        fewer than three families.
    """

    weights: np.ndarray
    name: str
    errors: dict[str, float]


def learn_similarity(past: PastTasks, *, n_folds: int = 5, seed: int = 0) -> SimilarityChoice:
    """Return the weights that best predict regrets on families left out.

    Equal, learnt and zero weights are compared by cross-validation; the best kind is fitted on all tasks.
    """
    regret = measured_regrets(past)
    usual = f"equal, total {_TOTALS[1]:g}"
    if len(set(past.families)) < 3:
        return SimilarityChoice(similarity_weights(past, usual), usual, {})
    errors: dict[str, list[float]] = {}
    for test in family_folds(past, n_folds, seed):
        train = np.setdiff1d(np.arange(len(past.tasks)), test)
        similarity = Similarity(past.feature_names, past.features[train])
        distances = np.array([similarity.squared_differences(past.features[task]) for task in test])
        differs = _differs(past, test, train)
        for name, weights in _candidates(past.select(train), regret[train], learn=True).items():
            attention = _attention(distances, weights, _OTHER_PROBLEM * differs)
            squared = (_expected(attention, regret[train])[0] - regret[test]) ** 2
            errors.setdefault(name, []).append(squared[np.isfinite(squared)])
    means = {name: float(np.concatenate(found).mean()) for name, found in errors.items()}
    best = min(means, key=means.__getitem__)
    return SimilarityChoice(similarity_weights(past, best), best, means)


def learnt_weights(past: PastTasks) -> np.ndarray:
    """Return the weights that `learn_similarity` chooses on these tasks, of shape (n_features,)."""
    return learn_similarity(past).weights


def similarity_weights(past: PastTasks, name: str) -> np.ndarray:
    """Return the weights of the candidate `name`, fitted on these tasks."""
    return _candidates(past, measured_regrets(past), learn=name == "learnt")[name]


def _candidates(past: PastTasks, regret: np.ndarray, *, learn: bool) -> dict[str, np.ndarray]:
    n = len(past.feature_names)
    found = {"none": np.zeros(n)}
    for total in _TOTALS:
        found[f"equal, total {total:g}"] = Similarity(past.feature_names, past.features, total=total).weights
    return found | {"learnt": _learnt(past, regret)} if learn else found


def _learnt(past: PastTasks, regret: np.ndarray) -> np.ndarray:
    """Return the weights with the lowest leave-one-family-out error."""
    similarity = Similarity(past.feature_names, past.features)
    if len(set(past.families)) < 2:
        return similarity.weights
    distances = np.array([similarity.squared_differences(row) for row in past.features])
    penalties = _penalties(past)
    start = np.log(similarity.weights)
    # Unscaled, the small errors would end the optimiser at once.
    unit = max(_error_and_slope(similarity.weights, distances, penalties, regret)[0], 1e-12)

    def objective(logs: np.ndarray) -> tuple[float, np.ndarray]:
        weights, drift = np.exp(logs), logs - start
        error, slope = _error_and_slope(weights, distances, penalties, regret)
        return (
            error / unit + _REGULARISER * float((drift**2).mean()),
            slope * weights / unit + 2 * _REGULARISER * drift / len(drift),
        )

    bounds = [(log - _MOST_LOG, log + _MOST_LOG) for log in start]
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 60})
    return np.exp(found.x)


def _penalties(past: PastTasks) -> np.ndarray:
    """Return what is subtracted from the logits of past tasks for each task; inf within a family."""
    indices, families = np.arange(len(past.tasks)), np.array(past.families)
    return np.where(families[:, None] == families, np.inf, _OTHER_PROBLEM * _differs(past, indices, indices))


def _error_and_slope(
    weights: np.ndarray, distances: np.ndarray, penalties: np.ndarray, regret: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return the mean squared error of expected regrets, and its gradient with respect to the weights."""
    attention = _attention(distances, weights, penalties)
    expected, share = _expected(attention, regret)
    known = np.isfinite(regret) & np.isfinite(expected)
    residuals = np.where(known, expected - regret, 0.0)
    n = max(1, int(known.sum()))
    # d error / d attention: each task contributes its regret minus the mean, where it has one.
    by_expected = np.where(known, 2 * residuals / n / np.where(share > 0, share, 1.0), 0.0)
    has, values = np.isfinite(regret), np.nan_to_num(regret)
    by_attention = by_expected @ values.T - (by_expected * np.nan_to_num(expected)) @ has.T
    by_logit = attention * (by_attention - (attention * by_attention).sum(axis=1, keepdims=True))
    return float((residuals**2).sum() / n), -0.5 * np.einsum("ik,ikf->f", by_logit, distances)


def _attention(distances: np.ndarray, weights: np.ndarray, penalties: np.ndarray) -> np.ndarray:
    """Return the (n_new, n_past) attention, rows summing to 1; an infinite penalty leaves a task out."""
    logits = -0.5 * distances @ weights - penalties
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def _expected(attention: np.ndarray, regret: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return expected regrets (NaN if no past task has any) and the sum of attention behind each."""
    share = attention @ np.isfinite(regret)
    sums = attention @ np.nan_to_num(regret)
    return np.where(share > 1e-12, sums / np.where(share > 1e-12, share, 1.0), np.nan), share


def _differs(past: PastTasks, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    problems = np.array(past.problems)
    return problems[first][:, None] != problems[second]
