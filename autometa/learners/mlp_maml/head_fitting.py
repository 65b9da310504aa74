"""What one table needs to begin with in shared networks: a projection into their slots, and a head fitted to each.

How strong the penalty of the heads is says cross-validation, which fits the projection anew in every fold: directions
found with the help of the target look better on the rows that they were found on. The folds take turns among the
networks, so that several are judged for the price of one.

Before a deadline a first fit of a few rows tells how fast the machine is, and how many rows the rest may take.
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
"""Cross-validation takes so many rows times classes, which bounds its time, and no fewer rows."""
_MOST_ROWS = 10_000
"""The head takes no more rows, which bounds its memory."""
_MOST_SHARE = 0.25
"""Of the time until the deadline: what cross-validation may take. A penalty that is not chosen costs far more than a
few epochs, so that a search that gives a fit one second must leave time to choose it."""
_MOST_SHARE_OF_FIT = 0.25
"""Of the time that is left then, which the fit of projection and head to all rows is to take at most."""
_USUAL_PLACE = 3
"""In `STRENGTHS`: near the penalty that was learnt, where there is no time to choose."""


@dataclass(frozen=True)
class TableRows:
    """Rows of one table to fit to.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_features), float32
        Bounded.
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

    def at(self, places: np.ndarray) -> TableRows:
        """Return some of the rows."""
        weight = None if self.weight is None else self.weight[places]
        return TableRows(self.X[places], self.y[places], self.problem, self.n_classes, weight)


def fit_slots_and_heads(
    networks: Sequence[Mapping[str, np.ndarray]], rows: TableRows, seed: int, deadline: Deadline
) -> tuple[list[tuple[dict[str, np.ndarray], float]], bool]:
    """Return ``slots/weight``, ``slots/bias``, ``head/weight`` and ``head/bias`` of networks, and the head's penalty.

    Returned with them is whether the deadline allowed fewer rows than there would have been without one.

    Parameters
    ----------
    networks : sequence of mapping of str to ndarray
        What tables share.
    rows : TableRows
        To fit to.
    seed : int
        Of the folds, and of the rows where there are too many.
    deadline : Deadline
        Once it has passed, a few rows under the usual penalty are all that is fitted to, and only the first network
        is; before it, fewer rows are taken where the machine is slow.
    """
    order = np.random.default_rng(seed).permutation(len(rows.y))
    row_s = 0.0
    if math.isfinite(deadline.at_s):
        at_first_s = deadline.clock()
        few = rows.at(order[:_LEAST_ROWS])
        found = _fitted(networks[:1], few, seed, STRENGTHS[_USUAL_PLACE : _USUAL_PLACE + 1])
        row_s = (deadline.clock() - at_first_s) / len(few.y)
        if deadline.passed():
            return found, True
    place = choose_strength(networks, rows, seed, deadline, row_s)
    seconds = _MOST_SHARE_OF_FIT * deadline.remaining_s()
    n_wanted = min(_MOST_ROWS, len(order))
    n = min(n_wanted, _rows_in(seconds, row_s, len(networks) * (place + 1)))
    if n < min(_LEAST_ROWS, n_wanted):
        return found, True
    rows = rows if n == len(order) else rows.at(order[:n])
    return _fitted(networks, rows, seed, STRENGTHS[: place + 1]), n < n_wanted


def choose_strength(
    networks: Sequence[Mapping[str, np.ndarray]], rows: TableRows, seed: int, deadline: Deadline, row_s: float = 0.0
) -> int:
    """Return the place in `STRENGTHS` of the lowest loss on rows that head and projection have not seen.

    Where there is no time for it, that of the usual strength.

    Parameters
    ----------
    networks, rows, seed, deadline
        As in `fit_slots_and_heads`.
    row_s : float
        Seconds a row that the fit of one head takes; 0 if that is unknown.
    """
    at_first_s = deadline.remaining_s()
    n = _rows_in(_MOST_SHARE * at_first_s, row_s, len(STRENGTHS))
    if n < min(_LEAST_ROWS, len(rows.y)) or len(rows.y) < 2:
        return _USUAL_PLACE
    n = min(n, max(_LEAST_ROWS, _MOST_CELLS // (rows.n_classes or 1)))
    places = np.random.default_rng(seed).permutation(len(rows.y))[:n]
    if rows.n_classes is not None:
        # Every fold has its share of each class.
        places = places[np.argsort(rows.y[places], kind="stable")]
    fold = np.arange(len(places)) % _N_FOLDS
    losses = np.zeros(len(STRENGTHS))
    for number in range(_N_FOLDS):
        # Another fold takes as long as those before it.
        if number and (at_first_s - deadline.remaining_s()) * (number + 1) / number > _MOST_SHARE * at_first_s:
            break
        inside, outside = rows.at(places[fold != number]), rows.at(places[fold == number])
        if len(outside.y):
            losses += _losses(networks[number % len(networks)], inside, outside, seed)
    return int(np.argmin(losses))


def _rows_in(seconds: float, row_s: float, n_heads: int) -> int:
    """Return how many rows some heads can be fitted to in that time."""
    # Of many classes projection and features take about as long as one head. Of numbers and two classes all heads take
    # hardly longer than one, so that fewer rows are taken than there is time for.
    of_row_s = row_s * (1 + n_heads) / 2
    return int(min(seconds / of_row_s, 1e9)) if of_row_s > 0 else int(1e9)


def _fitted(
    networks: Sequence[Mapping[str, np.ndarray]], rows: TableRows, seed: int, strengths: Sequence[float]
) -> list[tuple[dict[str, np.ndarray], float]]:
    """Return projection and head of each network under the last of some strengths, and its penalty."""
    matrix, offset = fit_projection(rows.X, rows.y, rows.problem, seed)
    slots = rows.X @ matrix + offset
    fitted = []
    for shared in networks:
        head = fitted_heads(shared, features(shared, slots), rows.y, rows.n_classes, rows.weight, strengths)[-1]
        found = {"slots/weight": matrix, "slots/bias": offset, "head/weight": head.weight, "head/bias": head.bias}
        fitted.append((found, head.penalty))
    return fitted


def _losses(shared: Mapping[str, np.ndarray], inside: TableRows, outside: TableRows, seed: int) -> np.ndarray:
    """Return for each strength the summed loss on the rows outside of what was fitted inside."""
    matrix, offset = fit_projection(inside.X, inside.y, inside.problem, seed)
    seen, judged = (features(shared, part.X @ matrix + offset) for part in (inside, outside))
    losses = []
    for head in fitted_heads(shared, seen, inside.y, inside.n_classes, inside.weight, STRENGTHS):
        scores = judged @ head.weight + head.bias
        if inside.n_classes is None:
            # As predictions are.
            scores = scores.clip(float(inside.y.min()), float(inside.y.max()))
        of_rows = row_losses(scores, outside.y).astype(np.float64)
        losses.append(float(of_rows.sum() if outside.weight is None else of_rows @ outside.weight))
    return np.array(losses)
