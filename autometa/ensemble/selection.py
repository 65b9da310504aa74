"""Greedy forward selection of an ensemble from out-of-fold predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from autometa.core.budget import Deadline


def select_bagged_ensemble(
    predictions: Sequence[np.ndarray],
    loss: Callable[[np.ndarray, np.ndarray], float],
    *,
    size: int,
    n_bags: int,
    rng: np.random.Generator,
    deadline: Deadline,
) -> np.ndarray:
    """Return the mean weights of ensembles that are selected on bootstrap samples of the rows.

    On few rows a single greedy selection overfits their noise; the mean over samples spreads
    the weight over the models that the rows cannot tell apart.

    Parameters
    ----------
    predictions : sequence of ndarray, each of shape (n_rows,) or (n_rows, n_classes)
        Out-of-fold predictions of each model on the same rows.
    loss : callable
        ``loss(rows, averaged)``: loss of averaged predictions for the rows with these indices.
        Samples on which it is infinite, because it is not defined, are skipped.
    size : int
        Rounds of each greedy selection.
    n_bags : int
        Number of samples; the first one is all rows.
    rng : numpy Generator
        Draws the samples.
    deadline : Deadline
        No selection begins after it, except the first.

    Returns
    -------
    ndarray of shape (n_models,)
        Non-negative weights that sum to 1.

    References
    ----------
    Caruana et al. (2004), Ensemble selection from libraries of models. ICML, section 2.3,
    bags over models; here over rows.
    """
    stack = np.stack([np.asarray(p, dtype=np.float64) for p in predictions])
    n_rows = stack.shape[1]
    weights = []
    for bag in range(n_bags):
        rows = np.arange(n_rows) if bag == 0 else np.asarray(rng.integers(0, n_rows, n_rows))
        sample, sample_loss = stack[:, rows], partial(loss, rows)
        if bag == 0 or np.isfinite(sample_loss(sample[0])):
            weights.append(select_ensemble(list(sample), sample_loss, size=size, deadline=deadline))
        if deadline.passed():
            break
    return np.mean(weights, axis=0)


def select_ensemble(
    predictions: Sequence[np.ndarray],
    loss: Callable[[np.ndarray], float],
    *,
    size: int,
    deadline: Deadline,
) -> np.ndarray:
    """Return the weights of an ensemble that is selected greedily, with replacement.

    Each round adds the model that gives the lowest loss of the averaged predictions. The ensemble of the round with
    the lowest loss is returned.

    Parameters
    ----------
    predictions : sequence of ndarray, each of shape (n_rows,) or (n_rows, n_classes)
        Out-of-fold predictions of each model on the same rows.
    loss : callable
        Loss of averaged predictions, lower is better.
    size : int
        Number of rounds, at least 1; 1 keeps the best model alone.
    deadline : Deadline
        No round begins after it, except the first.

    Returns
    -------
    ndarray of shape (n_models,)
        Non-negative weights that sum to 1.

    References
    ----------
    Caruana et al. (2004), Ensemble selection from libraries of models. ICML.
    """
    stack = np.stack([np.asarray(p, dtype=np.float64) for p in predictions])
    counts = np.zeros(len(stack), dtype=np.int64)
    total = np.zeros(stack.shape[1:])
    best_counts, best_loss = None, np.inf
    for n_chosen in range(1, size + 1):
        if best_counts is not None and deadline.passed():
            break
        losses = np.array([loss((total + candidate) / n_chosen) for candidate in stack])
        losses[~np.isfinite(losses)] = np.inf
        winner = int(np.argmin(losses))
        counts[winner] += 1
        total += stack[winner]
        if best_counts is None or losses[winner] < best_loss:
            best_counts, best_loss = counts.copy(), float(losses[winner])
    assert best_counts is not None
    return best_counts / best_counts.sum()
