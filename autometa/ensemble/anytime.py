"""The loss that an ensemble would have had, had the search ended earlier."""

# Tests: tests/plots/test_models.py

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from autometa.core.budget import Deadline
from autometa.ensemble.selection import select_ensemble

_MOST_POINTS = 10
_MOST_ROWS = 1_000
_SIZE = 10
"""Points of a curve, rows that choose their weights, and rounds of each selection: a curve costs about .5 s at most."""


def anytime_curve(
    predictions: Sequence[np.ndarray],
    ended_s: Sequence[float],
    loss: Callable[[np.ndarray, np.ndarray], float],
    deadline: Deadline,
) -> list[tuple[float, float]]:
    """Return the loss of an ensemble of the trials that had ended, at up to ten times of the search.

    Parameters
    ----------
    predictions : sequence of ndarray, each of shape (n_rows,) or (n_rows, n_classes)
        Out-of-fold predictions of each trial on the same rows.
    ended_s : sequence of float
        Seconds from the start of the search to the end of each trial.
    loss : callable
        ``loss(rows, averaged)``: loss of averaged predictions for the rows with these indices.
    deadline : Deadline
        No further point is computed after it.

    Returns
    -------
    list of (float, float)
        Seconds, ascending, and losses on all rows; the weights are chosen on at most 1,000 rows.
    """
    stack, ends = np.stack(predictions), np.asarray(ended_s, dtype=np.float64)
    every = np.arange(stack.shape[1])
    rows = np.unique(np.linspace(0, len(every) - 1, min(len(every), _MOST_ROWS)).astype(np.int64))
    times = np.unique(ends[np.isfinite(ends)])
    at = np.unique(np.linspace(0, len(times) - 1, min(len(times), _MOST_POINTS)).astype(np.int64))
    points: list[tuple[float, float]] = []
    for time_s in times[at]:
        if deadline.passed():
            break
        known = stack[ends <= time_s]
        weights = select_ensemble(
            list(known[:, rows]), lambda averaged: loss(rows, averaged), size=_SIZE, deadline=deadline
        )
        value = float(loss(every, np.tensordot(weights, known, axes=1)))
        if np.isfinite(value):
            points.append((float(time_s), value))
    return points
