"""How often and how surely one system beats another over a set of tasks. Losses: lower is better, NaN is a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from autometa import AutoMeta

# Losses closer than this, relative to their size, are ties: they differ by rounding.
TIE = 1e-9


def wins(losses: np.ndarray, rival_losses: np.ndarray) -> np.ndarray:
    """Return, for each task, 1 for the smaller loss, 0.5 for a tie and 0 for the larger loss.

    A failure loses to any loss and ties with a failure.

    Parameters
    ----------
    losses, rival_losses : ndarray of shape (n_tasks,)
        Losses on the same tasks; NaN for a failure.

    Returns
    -------
    ndarray of shape (n_tasks,)
    """
    own = np.nan_to_num(np.asarray(losses, dtype=float), nan=np.inf)
    rival = np.nan_to_num(np.asarray(rival_losses, dtype=float), nan=np.inf)
    return np.where(np.isclose(own, rival, rtol=TIE, atol=1e-15), 0.5, (own < rival).astype(float))


def mean_ranks(losses: pd.DataFrame) -> pd.Series:
    """Return the mean rank of each system, best first; systems that tie share the mean of their ranks.

    Parameters
    ----------
    losses : DataFrame of shape (n_tasks, n_systems)
        Losses; NaN for a failure.
    """
    ranks = {}
    for system in losses:
        # 1, plus one for each better rival, plus a half for each tie.
        rivals = [1 - wins(losses[system].to_numpy(), losses[rival].to_numpy()) for rival in losses if rival != system]
        ranks[system] = 1 + float(np.sum(rivals, axis=0).mean()) if rivals else 1.0
    return pd.Series(ranks).sort_values()


def loss_aside(model: AutoMeta, X: pd.DataFrame, y: pd.Series) -> float:
    """Return the loss of a fitted model on held-out rows, by the metric that it was optimised for."""
    from autometa.tables.target import read_codes, read_values

    truth = read_values(y, len(y), None) if model.problem_ == "regression" else read_codes(y, len(y), model.classes_)
    return model._metric.loss(truth, model._predict(X))
