"""Rows with their true targets and the predictions that a model is judged by."""

# Tests: tests/plots/test_models.py

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from autometa.posthoc.conformal import fit_intervals, least_rows
from autometa.tables.target import read_codes, read_values

COVERAGES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Coverages that intervals are tried with."""


@dataclass(frozen=True)
class JudgedRows:
    """Rows that a model is judged by.

    Parameters
    ----------
    truth : ndarray of shape (n_rows,)
        Class codes, or values.
    predictions : ndarray of shape (n_rows, n_classes) or (n_rows,)
        Class probabilities, or values.
    labels : ndarray of shape (n_rows,) or None
        Predicted class codes; None for regression.
    classes : tuple of str
        Names of the classes; empty for regression.
    coverage : dict of float to float
        For regression, the share of true values inside of intervals of each stated coverage.
    out_of_fold : bool
        Whether the rows are those of `fit`, predicted by models that were not fitted on them.
    """

    truth: np.ndarray
    predictions: np.ndarray
    labels: np.ndarray | None
    classes: tuple[str, ...]
    coverage: dict[float, float]
    out_of_fold: bool

    @property
    def origin(self) -> str:
        """Name of the rows, for captions."""
        return f"{len(self.truth):,} {'out-of-fold' if self.out_of_fold else 'given'} rows"


def has_judged_rows(model: Any) -> bool:
    """Return whether a model can be judged without further rows."""
    return model._out_of_fold is not None and model._targets is not None


def judged_rows(model: Any, X: Any = None, y: Any = None) -> JudgedRows:
    """Return the given rows with their predictions, or the out-of-fold rows of `fit`.

    Raises
    ------
    ValueError
        If only one of X and y is given, y holds unknown labels, or the model has no out-of-fold predictions.
    """
    if (X is None) != (y is None):
        raise ValueError("X and y belong together: give both, for new rows, or neither, for the out-of-fold rows.")
    if X is not None:
        return _given_rows(model, X, y)
    if not has_judged_rows(model):
        raise ValueError(
            "There are no out-of-fold predictions: a model from a file does not keep them, and a constant y has none. "
            "Give rows with their true target, X and y."
        )
    return _out_of_fold_rows(model)


def _given_rows(model: Any, X: Any, y: Any) -> JudgedRows:
    predictions = model._predict(X)
    if model.problem_ == "regression":
        truth = read_values(y, len(predictions), getattr(model, "_number_format", None))
        coverage = {}
        if (intervals := model._adjustments.intervals) is not None:
            possible = [share for share in COVERAGES if len(intervals.scores) >= least_rows(share)]
            bounds = {share: model.predict_interval(X, coverage=share) for share in possible}
            coverage = {share: _inside(truth, low_high) for share, low_high in bounds.items()}
        return JudgedRows(truth, predictions, None, (), coverage, out_of_fold=False)
    truth = read_codes(y, len(predictions), model.classes_)
    if (truth < 0).any():
        unknown = np.unique(np.asarray(y, dtype=object)[truth < 0].astype(str))[:5].tolist()
        raise ValueError(f"y holds labels that were not in fit: {unknown}. Leave these rows out.")
    labels = model._adjustments.codes(predictions)
    return JudgedRows(truth, predictions, labels, tuple(map(str, model.classes_)), {}, out_of_fold=False)


def _out_of_fold_rows(model: Any) -> JudgedRows:
    predictions = model.oof_predictions()
    rows = np.unique(model._out_of_fold.rows)
    predictions, truth = predictions[rows], model._targets[rows]
    if model.problem_ == "regression":
        return JudgedRows(truth, predictions, None, (), _split_coverage(model), out_of_fold=True)
    labels = model._adjustments.codes(predictions)
    return JudgedRows(truth, predictions, labels, tuple(map(str, model.classes_)), {}, out_of_fold=True)


def _split_coverage(model: Any) -> dict[float, float]:
    """Return the coverage of intervals that each half of the out-of-fold rows gets from the other half."""
    out_of_fold = model._out_of_fold
    truth, predictions, spread = model._targets[out_of_fold.rows], out_of_fold.predictions, out_of_fold.spread
    # Predictions of one row, by several folds, stay in one half.
    part = np.random.default_rng(0).permutation(len(model._targets))[out_of_fold.rows] % 2
    least = min(np.bincount(part, minlength=2))
    inside: dict[float, float] = {}
    for share in COVERAGES:
        if least < least_rows(share):
            continue
        hits = 0.0
        for k in (0, 1):
            known, new = part == k, part != k
            intervals = fit_intervals(truth[known], predictions[known], spread[known])
            bounds = intervals.around(predictions[new], spread[new], share)
            hits += _inside(truth[new], bounds) * new.sum()
        inside[share] = hits / len(truth)
    return inside


def _inside(truth: np.ndarray, bounds: np.ndarray) -> float:
    return float(np.mean((truth >= bounds[:, 0]) & (truth <= bounds[:, 1])))
