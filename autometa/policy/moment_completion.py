r"""Complete second moments of errors for configurations with a recorded loss but without recorded predictions.

============== ==================================================================================
error          :math:`C_{jj} = \exp(a + b\,x_j)` for the loss :math:`x_j` on the scale of
               `loss_transform.to_scale`, with the slope b of `error_slope`; a is the median over
               the measured configurations of the strategy on the task, or of all strategies
correlation    mean over measured pairs of the two strategies on the task; without such pairs the
               task's mean, moved by how far such pairs are from the mean on other tasks
               (as Fisher's z)
============== ==================================================================================

What was measured stays as it is.
"""

from __future__ import annotations

import numpy as np

from autometa.evaluation.loss_transform import to_scale
from autometa.metadataset.schema import LOSSES
from autometa.policy.past_tasks import PastTasks

_FEWEST_MEASURED = 3
"""A task with fewer measured configurations is left as it is."""

_MOST_CORRELATION = 0.9999


def completed(past: PastTasks, slope: dict[str, float]) -> np.ndarray:
    """Return the second moments of past tasks, completed.

    Parameters
    ----------
    past : PastTasks
        Past tasks with second moments.
    slope : dict of str to float
        By metric, how much the logarithm of an error grows with the transformed loss.

    Returns
    -------
    ndarray of shape (n_tasks, n_configurations, n_configurations), float32
        NaN where a configuration has neither second moments nor a loss.
    """
    assert past.moments is not None
    found = np.array(past.moments, dtype=np.float32)
    names, code = np.unique(past.strategies, return_inverse=True)
    diagonal = np.einsum("tii->ti", past.moments).astype(np.float64)
    measured = np.isfinite(diagonal)
    pairs = _mean_correlations(past.moments, diagonal, code, len(names))
    for task in np.flatnonzero(measured.sum(axis=1) >= _FEWEST_MEASURED):
        metric = next((m for m in _metrics(past.problems[task]) if m in past.losses), None)
        if metric is None:
            continue
        loss = to_scale(past.losses[metric][task], metric)
        known = measured[task]
        usable = known & np.isfinite(loss)
        missing = ~known & np.isfinite(loss)
        if not missing.any() or not usable.any():
            continue
        level = np.log(np.maximum(diagonal[task], 1e-9)) - slope[metric] * loss
        usual = float(np.median(level[usable]))
        errors = np.where(known, diagonal[task], np.nan)
        for strategy in np.unique(code[missing]):
            own = usable & (code == strategy)
            start = float(np.median(level[own])) if own.any() else usual
            chosen = missing & (code == strategy)
            errors[chosen] = np.exp(start + slope[metric] * loss[chosen])
        scales = np.sqrt(errors)
        whole = pairs[task][code][:, code] * scales[:, None] * scales
        np.fill_diagonal(whole, errors)
        both = known[:, None] & known
        found[task] = np.where(both, found[task], whole)
    return found


def _metrics(problem: str) -> tuple[str, ...]:
    return LOSSES.get(problem, ())  # type: ignore[call-overload]  # other kinds have none


def _mean_correlations(moments: np.ndarray, diagonal: np.ndarray, code: np.ndarray, n: int) -> np.ndarray:
    """Return the correlation of errors of two configurations by their strategies, of shape (n_tasks, n, n)."""
    scales = np.sqrt(diagonal)
    member = np.eye(n)[code]
    off_diagonal = ~np.eye(len(code), dtype=bool)
    sums, counts = np.zeros((len(moments), n, n)), np.zeros((len(moments), n, n))
    for task, matrix in enumerate(moments):
        correlation = matrix / (scales[task][:, None] * scales[task])
        valid = np.isfinite(correlation) & off_diagonal
        sums[task] = member.T @ np.where(valid, correlation, 0.0) @ member
        counts[task] = member.T @ valid @ member
    z = np.arctanh(np.clip(sums / np.maximum(counts, 1), -_MOST_CORRELATION, _MOST_CORRELATION))
    z = np.where(counts > 0, z, np.nan)
    with np.errstate(invalid="ignore"):
        level = np.nansum(z, axis=(1, 2)) / np.maximum((counts > 0).sum(axis=(1, 2)), 1)
        offset = z - level[:, None, None]
        n_tasks = (counts > 0).sum(axis=0)
        usual = np.nansum(offset, axis=0) / np.maximum(n_tasks, 1)
    same = np.eye(n, dtype=bool)
    for kind in (same, ~same):
        seen = kind & (n_tasks > 0)
        usual[kind & (n_tasks == 0)] = usual[seen].mean() if seen.any() else 0.0
    return np.tanh(np.where(np.isfinite(z), z, level[:, None, None] + usual))
