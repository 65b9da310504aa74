"""Permutation importance of the columns of a table, with intervals over rows and permutations."""

# Tests: tests/test_judged_model.py

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from autometa._support.warning_filters import ignored_warnings
from autometa.posthoc.bootstrap import central_interval, row_samples

MOST_ROWS = 1_000
"""Importances are measured on a sample of at most this many rows."""


class _Predictor:
    """The interface that `sklearn.inspection.permutation_importance` asks for."""

    def __init__(self, predict: Callable[[pd.DataFrame], np.ndarray]) -> None:
        self.predict = predict

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> None:
        raise NotImplementedError("it is fitted")


def column_importances(
    predict: Callable[[pd.DataFrame], np.ndarray],
    frame: pd.DataFrame,
    columns: Sequence[str],
    loss: Callable[[np.ndarray, np.ndarray], float],
    *,
    n_repeats: int,
    confidence: float,
    seed: int,
) -> pd.DataFrame:
    """Return by how much the loss rises when the values of a column are permuted.

    Parameters
    ----------
    predict : callable
        Predictions for a frame with the rows and columns of `frame`.
    frame : DataFrame of shape (n_rows, n_columns)
        The rows, before any preparation.
    columns : sequence of str
        Columns that predictions depend on; the importance of the others is 0.
    loss : callable
        ``loss(rows, predictions)`` of the rows with these indices; lower is better.
    n_repeats : int
        Permutations of each column.
    confidence : float
        Probability of the interval.
    seed : int
        Seed of permutations and samples.

    Returns
    -------
    DataFrame
        Columns ``column``, ``importance`` (mean over the permutations), ``low`` and ``high``; most important first.
        The interval is over bootstrap samples of the rows, each with a bootstrap sample of the permutations.

    References
    ----------
    Breiman (2001), Random forests. Machine Learning 45.
    """
    from sklearn.inspection import permutation_importance

    every = np.arange(len(frame))
    samples = [(every, 1.0), *row_samples(len(frame), seed)]

    def scores(model: _Predictor, X: pd.DataFrame, y: None) -> dict[str, float]:
        predictions = model.predict(pd.concat([X, rest], axis=1)[frame.columns])
        return {str(k): -loss(rows, predictions[rows]) for k, (rows, _) in enumerate(samples)}

    used = [name for name in frame.columns if name in set(columns)]
    rest = frame.drop(columns=used)
    with ignored_warnings():  # of scikit-learn, about samples that lack a class
        found = permutation_importance(
            _Predictor(predict), frame[used], None, scoring=scores, n_repeats=n_repeats, random_state=seed
        )
    by_sample = np.stack([found[str(k)].importances for k in range(len(samples))])
    rng = np.random.default_rng(seed)
    repeats = rng.integers(n_repeats, size=(len(samples), n_repeats))
    sampled = np.stack([falls[:, chosen].mean(axis=1) for falls, chosen in zip(by_sample, repeats, strict=True)])[1:]
    sampled = sampled[np.isfinite(sampled).all(axis=1)]
    rows = [
        (name, float(by_sample[0, k].mean()), *central_interval(sampled[:, k], confidence))
        for k, name in enumerate(used)
    ]
    rows += [(name, 0.0, 0.0, 0.0) for name in rest.columns]
    table = pd.DataFrame(rows, columns=["column", "importance", "low", "high"])
    return table.sort_values("importance", ascending=False, kind="stable", ignore_index=True)
