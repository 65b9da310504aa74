"""Learns on replays of past studies how probable it is that a trial will be its study's best, by a part of its curve.

    p_k(x) = σ(w_k · x + b_k),    a trial is pruned at index k where p_k(x) < θ_k = min(level · GRID_k, 1/2)

=========  =================================================================================================
symbol     meaning
=========  =================================================================================================
GRID_k     relative step at index k of the grid, see `autometa.transfer.pruning.curves`
x          features of a trial at index k, of shape (n_features,), see `features`
w_k, b_k   weights and intercept of the logistic regression at index k
θ_k        threshold on the probability at index k
rate       fraction of eventual bests that may be lost
=========  =================================================================================================

Past studies are replayed in random orders. The label of a trial is whether it ended as the best of its run. Whether it
beats the incumbent would be the wrong label: most early trials do so for a while, and are beaten by later ones.

The grid is geometric, so the steps up to the next index are proportional to GRID_k, and so are the thresholds: looks
early on are cheap, and winners are lost where most steps are saved (sequential test, Wald 1947). The level is such that
in replays of held-out studies at most `rate` of the eventual bests fell below a threshold anywhere on their curve (a
conformal choice as in Vovk et al. 2005, with studies as folds).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autometa.transfer.pruning.curves import GRID, CurveModel

_N_FEATURES = 5
_N_FOLDS = 8
_N_ROWS = 15_000  # of all replays together; more do not help, and fitting takes a second or two
_N_RUNS = 400
_ROWS_PER_CURVE = 30
_RUNS_PER_CURVE = 2
_LONGEST_RUN = 200
_MIN_ROWS = 200  # to fit the regression at an index
_NEAR = 0.02  # differences in units of the study's scale that are resolved linearly
_RIDGE = 1.0
_ENOUGH = 0.2  # fraction of steps to be saved; a lower rate that saves as much is taken


@dataclass(frozen=True)
class PastCurves:
    """The curves of a past study.

    Parameters
    ----------
    values : ndarray of shape (n, K)
        Values on the grid, lower is better.
    first : ndarray of shape (n,)
        First reported values.
    finals : ndarray of shape (n,)
        Final values; infinite where diverged.
    """

    values: np.ndarray
    first: np.ndarray
    finals: np.ndarray


@dataclass(frozen=True)
class Calibration:
    """The fitted regressions and thresholds.

    Parameters
    ----------
    weights : ndarray of shape (K, n_features + 1)
        Weights of the logistic regressions, the intercept last; NaN where there were too few rows.
    thresholds : ndarray of shape (K,)
        Probability of being the best below which a trial is pruned, by index; 0 prunes none.
    rate : float
        Fraction of eventual bests that may be lost.
    saved : float
        Fraction of steps that trials of held-out studies saved in replays.
    """

    weights: np.ndarray
    thresholds: np.ndarray
    rate: float = 0.0
    saved: float = 0.0

    def probability(self, features: np.ndarray, index: int) -> float:
        """Return the probability of being the best of the study, NaN where nothing was learnt."""
        return float(sigmoid(features @ self.weights[index, :-1] + self.weights[index, -1]))


def centre_and_scale(best_final: float, first: np.ndarray) -> tuple[float, float]:
    """Return the incumbent's final value, and its distance from the median first value."""
    known = first[np.isfinite(first)]
    scale = abs(float(np.median(known)) - best_final) if len(known) else 0.0
    return best_final, max(scale, 1e-9 * max(1.0, abs(best_final)))


def features(
    value: np.ndarray, predicted: np.ndarray, incumbent: np.ndarray, n_better: np.ndarray, n_seen: np.ndarray,
    centre: float, scale: float,
) -> np.ndarray:  # fmt: skip
    """Return the features of a trial; an affine transformation of all values of its study does not change them.

    All arrays have shape (K,) except the result, (K, n_features): `value`, `predicted` and `incumbent` are the trial's
    curve, its predicted final values and the incumbent's curve; `n_better` of `n_seen` trials were better at an index.
    """
    rank = (n_better + 0.5) / (n_seen + 1.0)
    with np.errstate(invalid="ignore"):
        to_incumbent = value - incumbent
    # Both diverged: no difference.
    to_incumbent = np.where(np.isinf(value) & np.isinf(incumbent), 0.0, to_incumbent)
    return np.stack(
        [
            _squashed((predicted - centre) / scale),
            _squashed(to_incumbent / scale),
            np.log(rank / (1 - rank)),
            np.log1p(n_seen),
            np.isinf(value).astype(float),
        ],
        axis=-1,
    )


def learn(
    past: Sequence[PastCurves], held_out_models: Sequence[CurveModel], rates: Sequence[float], seed: int
) -> Calibration:
    """Return regressions fitted to all past studies, and thresholds by held-out studies.

    `held_out_models` has for each of the studies, at least two, a curve model that was not fitted to it. `rates` are
    fractions of eventual bests that may be lost, in [0, 1), in ascending order; the first one that saves enough steps
    is taken, else the last.
    """
    rng = np.random.default_rng(seed)
    n_curves = sum(len(study.finals) for study in past)
    n_runs = max(2, min(_N_RUNS, _RUNS_PER_CURVE * n_curves) // len(past))
    n_rows = max(4, min(_N_ROWS, _ROWS_PER_CURVE * n_curves) // (len(past) * n_runs))
    parts, winners, owners, won_by = [], [], [], []
    for number, (study, model) in enumerate(zip(past, held_out_models, strict=True)):
        for _ in range(n_runs):
            x, y, won, winner = _replayed(study, model, n_rows, rng)
            won_by.append((number, winner))
            parts.append((number, x, y))
            winners.append(won)
            owners.append(number)
    folds = folds_of(len(past))
    lowest = np.full(len(winners), np.inf)
    levels = []
    for fold in range(max(folds) + 1):
        weights = _regressions([(x, y) for number, x, y in parts if folds[number] != fold])
        for run, (owner, won) in enumerate(zip(owners, winners, strict=True)):
            if folds[owner] == fold and won is not None:
                found = _levels(won[None], weights)[0]
                lowest[run] = np.inf if np.isnan(found).all() else np.nanmin(found)
        levels += [_levels(x, weights) for number, x, _ in parts if folds[number] == fold and len(x)]
    ends = np.concatenate(levels)
    for rate in rates:
        level = _low_quantile(lowest, _n_effective(won_by), rate)
        saved = _saved(ends, level)
        if saved >= _ENOUGH:
            break
    # A trial that more probably wins than not is never pruned.
    return Calibration(_regressions([(x, y) for _, x, y in parts]), np.minimum(level * GRID, 0.5), rate, saved)


def _levels(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the level at which each of the trials would just be kept at each index, shape (n, K); NaN if unknown."""
    return sigmoid((x * weights[:, :-1]).sum(axis=2) + weights[:, -1]) / GRID


def _saved(levels: np.ndarray, level: float) -> float:
    """Return the fraction of all steps after the first index at which a trial is below a level."""
    with np.errstate(invalid="ignore"):
        is_below = (levels < level) & (levels * GRID < 0.5)
    first = np.where(is_below.any(axis=1), GRID[is_below.argmax(axis=1)], 1.0)
    return float(1.0 - np.minimum(first, 1.0).mean())


def _n_effective(won_by: Sequence[tuple[int, int]]) -> float:
    """Return the effective number of distinct winners, as a few curves win most replays (Kish 1965)."""
    counts = np.array(list(Counter(won_by).values()), dtype=float)
    return float(counts.sum() ** 2 / (counts**2).sum())


def _low_quantile(lowest: np.ndarray, n_effective: float, rate: float) -> float:
    """Return the level that the next winner's lowest value falls below with probability at most `rate`."""
    # The next winner falls below the k-th lowest of n winners with probability k / (n + 1).
    level = rate * (n_effective + 1)
    # For fewer than one winner the quantile is extrapolated linearly towards 0.
    ordered = np.sort(lowest)
    if level < 1:
        return float(ordered[0]) * level
    share = (level - 1) / n_effective
    return float(ordered[int(np.floor(share * len(ordered)))])


def folds_of(n_studies: int) -> list[int]:
    """Return the fold of each study."""
    return [number % min(_N_FOLDS, n_studies) for number in range(n_studies)]


def _replayed(
    study: PastCurves, model: CurveModel, n_rows: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, int]:
    """Return features (n, K, n_features) and labels (n,) of trials of a random run, its winner's features and index."""
    n = min(len(study.finals), _LONGEST_RUN)
    # Runs are about as long as the past study.
    length = int(rng.integers(max(2, n // 2), n + 1))
    order = rng.permutation(len(study.finals))[:length]
    values, first, finals = study.values[order], study.first[order], study.finals[order]
    winner = int(np.argmin(finals))
    # There is an incumbent from the first completed trial on.
    begin = int(np.argmax(np.isfinite(finals))) + 1
    if begin >= length:
        return np.empty((0, len(GRID), _N_FEATURES)), np.empty(0), None, int(order[winner])
    chosen = rng.choice(np.arange(begin, length), min(n_rows, length - begin), replace=False)
    at_risk = winner >= begin
    rows = [*chosen, winner] if at_risk else list(chosen)
    bests = [int(np.argmin(finals[:row])) for row in rows]
    scales = np.array([centre_and_scale(finals[b], first[: r + 1]) for r, b in zip(rows, bests, strict=True)])
    predicted = model.predict(values[rows], scales[:, :1], scales[:, 1:])
    found = [
        features(values[row], predicted[i], values[bests[i]], *compared(values[row], values[:row]), *scales[i])
        for i, row in enumerate(rows)
    ]
    labels = np.array([_chance_to_win(finals[: row + 1], length, study.finals) for row in chosen])
    return np.array(found[: len(chosen)]), labels, found[-1] if at_risk else None, int(order[winner])


def _chance_to_win(so_far: np.ndarray, length: int, all_finals: np.ndarray) -> float:
    """Return the probability that the latest trial is the best of a run, over all orders of the trials that follow.

    It varies less than whether the trial won in the order that was drawn.
    """
    if not so_far[-1] < so_far[:-1].min():
        return 0.0
    n_better = int((all_finals < so_far[-1]).sum())
    n_left, n_to_come = len(all_finals) - len(so_far), length - len(so_far)
    # Hypergeometric probability that none of the better trials is among those to come.
    return math.comb(n_left - n_better, n_to_come) / math.comb(n_left, n_to_come)


def compared(own: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how many others are better at each index (ties count half), and how many could be compared."""
    known = ~np.isnan(own) & ~np.isnan(others)
    better = ((others < own) + 0.5 * (others == own)) * known
    return better.sum(axis=0), known.sum(axis=0)


def _regressions(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    x, y = np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])
    weights = np.full((len(GRID), x.shape[2] + 1), np.nan)
    for index in range(len(GRID)):
        known = np.isfinite(x[:, index]).all(axis=1)
        if known.sum() >= _MIN_ROWS and 0 < y[known].sum() < known.sum():
            weights[index] = _logistic(x[known, index], y[known])
    return weights


def _logistic(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return weights and intercept of a logistic regression with a small ridge, by Newton's method."""
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-9
    design = np.column_stack([(x - mean) / spread, np.ones(len(x))])
    penalty = np.full(design.shape[1], _RIDGE)
    penalty[-1] = 1e-6
    share = (y.sum() + 0.5) / (len(y) + 1)
    w = np.zeros(design.shape[1])
    w[-1] = np.log(share / (1 - share))
    for _ in range(25):
        p = sigmoid(design @ w)
        gradient = design.T @ (p - y) + penalty * w
        hessian = (design * (p * (1 - p))[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(hessian, gradient)
        w -= step * min(1.0, 2.0 / (np.abs(step).max() + 1e-12))
        if np.abs(step).max() < 1e-6:
            break
    slopes = w[:-1] / spread
    return np.append(slopes, w[-1] - slopes @ mean)


def _squashed(x: np.ndarray) -> np.ndarray:
    # Differences of a few hundredths of the scale decide; those above ten times the scale are all alike.
    return np.arcsinh(np.clip(x, -10.0, 10.0) / _NEAR)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(−x)), without overflow."""
    return 0.5 + 0.5 * np.tanh(0.5 * x)
