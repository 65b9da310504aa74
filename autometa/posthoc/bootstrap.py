"""Bootstrap over rows: how much a loss varies with the rows that it is measured on."""

# Tests: tests/posthoc/test_score_estimate.py

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from autometa.core.budget import Deadline

N_SAMPLES = 200
MOST_ROWS = 5_000
"""Samples have at most this many rows; the spread is then scaled to the number of rows."""


def row_samples(
    n_rows: int, seed: int, groups: np.ndarray | None = None, n_samples: int = N_SAMPLES
) -> Iterator[tuple[np.ndarray, float]]:
    """Yield bootstrap samples, each with the factor that scales deviations on it to all rows.

    Parameters
    ----------
    n_rows : int
        Rows to draw from.
    seed : int
        Seed of the samples.
    groups : ndarray of shape (n_rows,), int, or None
        Groups of rows that are drawn together.
    n_samples : int
        Number of samples.

    Notes
    -----
    With more than `MOST_ROWS` rows a sample has m of the n rows (the m out of n bootstrap). The standard deviation of
    a mean over m rows is ``sqrt(n / m)`` times that over n rows, so deviations are multiplied by ``sqrt(m / n)``.
    """
    rng = np.random.default_rng(seed)
    share = min(1.0, MOST_ROWS / n_rows)
    if groups is None:
        for _ in range(n_samples):
            yield rng.integers(n_rows, size=max(1, round(share * n_rows))), share**0.5
        return
    codes = np.unique(groups, return_inverse=True)[1]
    order = np.argsort(codes, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
    n_drawn = max(1, round(share * len(members)))
    for _ in range(n_samples):
        drawn = rng.integers(len(members), size=n_drawn)
        yield np.concatenate([members[k] for k in drawn]), (n_drawn / len(members)) ** 0.5


def sampled_losses(
    loss: Callable[[np.ndarray], float],
    n_rows: int,
    seed: int,
    groups: np.ndarray | None = None,
    deadline: Deadline | None = None,
) -> np.ndarray:
    """Return the losses of bootstrap samples of the rows.

    Parameters
    ----------
    loss : callable
        Loss of the rows with these indices; samples on which it is not finite are left out.
    n_rows, seed, groups
        As for `row_samples`.
    deadline : Deadline or None
        No sample is drawn after it.

    Returns
    -------
    ndarray of shape (n_samples,)
        Empty if the loss is finite on no sample.
    """
    whole = loss(np.arange(n_rows))
    found = []
    for rows, factor in row_samples(n_rows, seed, groups):
        if deadline is not None and deadline.passed():
            break
        found.append(whole + factor * (loss(rows) - whole))
    losses = np.array(found, dtype=np.float64)
    return losses[np.isfinite(losses)]


def central_interval(values: np.ndarray, confidence: float) -> tuple[float, float]:
    """Return the quantiles that hold the middle `confidence` of the values, NaN without values."""
    if not len(values):
        return np.nan, np.nan
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def check_confidence(confidence: float) -> None:
    """Raise unless `confidence` is a number between 0 and 1."""
    if isinstance(confidence, bool) or not isinstance(confidence, (int, float, np.floating)) or not 0 < confidence < 1:
        raise ValueError(f"confidence must be a number between 0 and 1, e.g. 0.9, got {confidence!r}.")
