"""The first epoch of a fit: a projection of the table into the slots of shared networks, and a head fitted to each.

Cross-validation chooses the strength of the heads' penalty. It fits the projection anew in every fold, because
directions found with the target look too good on the rows that they were found on. The folds take turns among the
networks, so that evaluating several costs no more than evaluating one.

Before a deadline, a first fit of a few rows measures the speed of the machine, which decides how many rows the other
fits use.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autometa.core.budget import Deadline
from autometa.core.task import Problem
from autometa.learners.mlp_maml.heads import fitted_heads
from autometa.learners.mlp_maml.network import features, row_losses
from autometa.learners.mlp_maml.projection import fit_projection

STRENGTHS = tuple(float(strength) for strength in np.exp([5.0, 3.5, 2.0, 0.5, -1.0, -2.5, -4.0, -5.5]))
"""Factors of the learnt penalty that are tried, the largest first."""

_N_FOLDS = 4
_LEAST_ROWS, _MOST_CELLS = 400, 12_000
"""Rows × classes that cross-validation uses at most, and rows that it uses at least."""
_MOST_ROWS = 10_000
"""Largest number of rows that a head is fitted to, which bounds its memory."""
_MOST_SHARE = 0.25
"""Fraction of the time until the deadline that cross-validation may take. The default strength costs far more accuracy
than a few epochs fewer, so even a fit of one second should choose it."""
_MOST_SHARE_OF_FIT = 0.25
"""Fraction of the time left after cross-validation that fitting projection and heads to all rows may take."""
_DEFAULT_INDEX = 3
"""Index in `STRENGTHS` of the strength that is used if there is no time to choose, close to the learnt penalty."""


@dataclass(frozen=True)
class TableRows:
    """Rows of one table to fit to.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features), float32
        Rows of the numeric view, bounded.
    y : ndarray of shape (n_rows,)
        Codes of classes, or standardised numbers as float32.
    problem : {"binary", "multiclass", "regression"}
        Kind of the target.
    n_classes : int or None
        None for regression.
    weight : ndarray of shape (n_rows,), float32, or None
        Positive weights.
    """

    X: np.ndarray
    y: np.ndarray
    problem: Problem
    n_classes: int | None
    weight: np.ndarray | None = None

    def take(self, indices: np.ndarray) -> TableRows:
        """Return the rows at some indices."""
        weight = None if self.weight is None else self.weight[indices]
        return TableRows(self.X[indices], self.y[indices], self.problem, self.n_classes, weight)


def fit_slots_and_heads(
    networks: Sequence[Mapping[str, np.ndarray]], rows: TableRows, seed: int, deadline: Deadline
) -> tuple[list[tuple[dict[str, np.ndarray], float]], bool]:
    """Fit a projection and a head for each network.

    Parameters
    ----------
    networks : sequence of mapping of str to ndarray
        Shared parameters of each network.
    rows : TableRows
        Rows to fit to.
    seed : int
        Seed of the folds, and of the sample where there are too many rows.
    deadline : Deadline
        On a slow machine fewer rows are used. Once the deadline has passed, only the first network is fitted, to a few
        rows under the default strength.

    Returns
    -------
    fitted : list of (dict of str to ndarray, float)
        For each network ``slots/weight``, ``slots/bias``, ``head/weight`` and ``head/bias``, and the head's penalty.
    is_cut_short : bool
        Whether the deadline reduced the rows.
    """
    order = np.random.default_rng(seed).permutation(len(rows.y))
    row_s = 0.0
    if math.isfinite(deadline.at_s):
        start_s = deadline.clock()
        few = rows.take(order[:_LEAST_ROWS])
        fitted = _fitted(networks[:1], few, seed, STRENGTHS[_DEFAULT_INDEX : _DEFAULT_INDEX + 1])
        row_s = (deadline.clock() - start_s) / len(few.y)
        if deadline.passed():
            return fitted, True
    index = choose_strength(networks, rows, seed, deadline, row_s)
    seconds = _MOST_SHARE_OF_FIT * deadline.remaining_s()
    n_wanted = min(_MOST_ROWS, len(order))
    n = min(n_wanted, _affordable_rows(seconds, row_s, len(networks) * (index + 1)))
    if n < min(_LEAST_ROWS, n_wanted):
        return fitted, True
    rows = rows if n == len(order) else rows.take(order[:n])
    return _fitted(networks, rows, seed, STRENGTHS[: index + 1]), n < n_wanted


def choose_strength(
    networks: Sequence[Mapping[str, np.ndarray]], rows: TableRows, seed: int, deadline: Deadline, row_s: float = 0.0
) -> int:
    """Return the index in `STRENGTHS` with the lowest out-of-fold loss, or the default if there is no time to choose.

    Parameters
    ----------
    networks, rows, seed, deadline
        As in `fit_slots_and_heads`.
    row_s : float
        Seconds per row of fitting one head; 0 if unknown.
    """
    time_s = deadline.remaining_s()
    n = _affordable_rows(_MOST_SHARE * time_s, row_s, len(STRENGTHS))
    if n < min(_LEAST_ROWS, len(rows.y)) or len(rows.y) < 2:
        return _DEFAULT_INDEX
    n = min(n, max(_LEAST_ROWS, _MOST_CELLS // (rows.n_classes or 1)))
    indices = np.random.default_rng(seed).permutation(len(rows.y))[:n]
    if rows.n_classes is not None:
        # Sorted by class, so that every fold has its share of each class.
        indices = indices[np.argsort(rows.y[indices], kind="stable")]
    fold_of = np.arange(len(indices)) % _N_FOLDS
    losses = np.zeros(len(STRENGTHS))
    for fold in range(_N_FOLDS):
        # The next fold is expected to take as long as the mean of those before it.
        if fold and (time_s - deadline.remaining_s()) * (fold + 1) / fold > _MOST_SHARE * time_s:
            break
        train, held_out = rows.take(indices[fold_of != fold]), rows.take(indices[fold_of == fold])
        if len(held_out.y):
            losses += _held_out_losses(networks[fold % len(networks)], train, held_out, seed)
    return int(np.argmin(losses))


def _affordable_rows(seconds: float, row_s: float, n_heads: int) -> int:
    """Return how many rows `n_heads` heads can be fitted to in some seconds."""
    # With many classes, projection and features take about as long as one head. With fewer classes or numbers, all
    # heads take hardly longer than one, and this estimate is cautious.
    all_heads_row_s = row_s * (1 + n_heads) / 2
    return int(min(seconds / all_heads_row_s, 1e9)) if all_heads_row_s > 0 else int(1e9)


def _fitted(
    networks: Sequence[Mapping[str, np.ndarray]], rows: TableRows, seed: int, strengths: Sequence[float]
) -> list[tuple[dict[str, np.ndarray], float]]:
    """Return projection and head of each network for the last strength, and the head's penalty."""
    matrix, offset = fit_projection(rows.X, rows.y, rows.problem, seed)
    slots = rows.X @ matrix + offset
    fitted = []
    for shared in networks:
        head = fitted_heads(shared, features(shared, slots), rows.y, rows.n_classes, rows.weight, strengths)[-1]
        arrays = {"slots/weight": matrix, "slots/bias": offset, "head/weight": head.weight, "head/bias": head.bias}
        fitted.append((arrays, head.penalty))
    return fitted


def _held_out_losses(shared: Mapping[str, np.ndarray], train: TableRows, held_out: TableRows, seed: int) -> np.ndarray:
    """Return for each strength the summed loss on held-out rows."""
    matrix, offset = fit_projection(train.X, train.y, train.problem, seed)
    train_features, held_out_features = (features(shared, part.X @ matrix + offset) for part in (train, held_out))
    losses = []
    for head in fitted_heads(shared, train_features, train.y, train.n_classes, train.weight, STRENGTHS):
        scores = held_out_features @ head.weight + head.bias
        if train.n_classes is None:
            # Predictions are clipped to the training range, too.
            scores = scores.clip(float(train.y.min()), float(train.y.max()))
        each = row_losses(scores, held_out.y).astype(np.float64)
        losses.append(float(each.sum() if held_out.weight is None else each @ held_out.weight))
    return np.array(losses)
