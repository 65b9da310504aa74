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
    """Return the mean weights of ensembles that are chosen on bootstrap samples of the rows.

    On few rows a single greedy choice follows their noise; the mean over samples spreads
    the weight over the models between which the rows cannot decide.

    Parameters
    ----------
    predictions : sequence of ndarray, each of shape (n_rows,) or (n_rows, n_classes)
        Out-of-fold predictions of each model on the same rows.
    loss : callable
        ``loss(rows, averaged)``: loss of averaged predictions of the rows with these numbers;
        infinite where it is not defined on a sample, which then has no say.
    size : int
        Rounds of each greedy choice.
    n_bags : int
        Number of samples; 1 uses the rows as they are.
    rng : numpy Generator
        Draws the samples.
    deadline : Deadline
        No choice begins after it, except the first.

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
    chosen = []
    for bag in range(n_bags):
        rows = np.arange(n_rows) if bag == 0 else np.asarray(rng.integers(0, n_rows, n_rows))
        sample, of_rows = stack[:, rows], partial(loss, rows)
        if bag == 0 or np.isfinite(of_rows(sample[0])):
            chosen.append(select_ensemble(list(sample), of_rows, size=size, deadline=deadline))
        if deadline.passed():
            break
    return np.mean(chosen, axis=0)


def select_ensemble(
    predictions: Sequence[np.ndarray],
    loss: Callable[[np.ndarray], float],
    *,
    size: int,
    deadline: Deadline,
) -> np.ndarray:
    """Return the weights of an ensemble chosen greedily, with replacement.

    Start from the best model; in each round add the model whose inclusion gives the
    lowest loss of the averaged predictions; keep the prefix with the lowest loss.

    Parameters
    ----------
    predictions : sequence of ndarray, each of shape (n_rows,) or (n_rows, n_classes)
        Out-of-fold predictions of each model on the same rows.
    loss : callable
        Loss of averaged predictions, lower is better.
    size : int
        Number of rounds, at least 1; 1 keeps the best model alone.
    deadline : Deadline
        No round begins after it.

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
