"""Draws figures of a fitted model: its search, its ensemble, and how good its predictions are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from autometa.plots import classes, numbers, search
from autometa.plots.axes import new_axes
from autometa.plots.judged_rows import JudgedRows, judged_rows

if TYPE_CHECKING:  # an optional library
    from matplotlib.axes import Axes


def plot_search(model: Any, ax: Axes | None = None) -> Axes:
    """Return axes with the trials over the seconds of the search, the best trial so far, and the ensemble so far.

    Parameters
    ----------
    model : AutoMeta
        A fitted model.
    ax : Axes or None
        Where to draw; None makes a figure.

    Raises
    ------
    ValueError
        If no trial has a loss.
    MissingDependencyError
        If matplotlib is not installed.
    """
    return search.draw_search(model.history_, model._metric, ax or new_axes(5.4, 4.0))


def plot_ensemble_weights(model: Any, ax: Axes | None = None) -> Axes:
    """Return axes with the weight of each member of the ensemble; see `plot_search` for parameters and errors."""
    return search.draw_weights(model.history_, ax or new_axes(5.4, 3.4))


def plot_importances(importances: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Return axes with the importances of the columns that matter most, with their intervals.

    Parameters
    ----------
    importances : DataFrame
        What ``model.feature_importances()`` returns.
    ax : Axes or None
        Where to draw; None makes a figure.
    """
    return search.draw_importances(importances, ax or new_axes(5.4, 4.0))


def plot_roc_curves(model: Any, X: Any = None, y: Any = None, ax: Axes | None = None) -> Axes:
    """Return axes with the ROC curve of each class against the others.

    Parameters
    ----------
    model : AutoMeta
        A model that was fitted on classes.
    X, y : like in `fit`, optional
        Rows and their true labels. None is the rows of `fit`, predicted out-of-fold.
    ax : Axes or None
        Where to draw; None makes a figure.

    Raises
    ------
    ValueError
        If the model is a regression, only one of X and y is given, or there are no out-of-fold predictions.
    MissingDependencyError
        If matplotlib is not installed.
    """
    return classes.draw_roc(_of_classes(model, X, y), ax or new_axes(5.0, 4.2))


def plot_precision_recall_curves(model: Any, X: Any = None, y: Any = None, ax: Axes | None = None) -> Axes:
    """Return axes with the curve of precision over recall of each class; see `plot_roc_curves`."""
    return classes.draw_precision_recall(_of_classes(model, X, y), ax or new_axes(5.0, 4.2))


def plot_confusion_matrix(model: Any, X: Any = None, y: Any = None, ax: Axes | None = None) -> Axes:
    """Return axes with the share of each true class that is predicted as each class; see `plot_roc_curves`.

    Of more than 20 classes, the 19 most frequent ones are shown, and the others together.
    """
    return classes.draw_confusion(_of_classes(model, X, y), ax or new_axes(5.4, 5.0))


def plot_reliability(model: Any, X: Any = None, y: Any = None, ax: Axes | None = None) -> Axes:
    """Return axes with how often events come true that were predicted with a probability; see `plot_roc_curves`.

    For two classes the event is the second class, for more that the likeliest class is the true one.
    """
    return classes.draw_reliability(_of_classes(model, X, y), ax or new_axes(5.0, 4.2))


def plot_predictions(model: Any, X: Any = None, y: Any = None, ax: Axes | None = None) -> Axes:
    """Return axes with the true values over the predicted ones.

    Parameters
    ----------
    model : AutoMeta
        A model that was fitted on numbers.
    X, y : like in `fit`, optional
        Rows and their true values. None is the rows of `fit`, predicted out-of-fold.
    ax : Axes or None
        Where to draw; None makes a figure.

    Raises
    ------
    ValueError
        If the model predicts classes, only one of X and y is given, or there are no out-of-fold predictions.
    MissingDependencyError
        If matplotlib is not installed.
    """
    return numbers.draw_predictions(_of_numbers(model, X, y), ax or new_axes(5.0, 4.2))


def plot_residuals(model: Any, X: Any = None, y: Any = None, ax: Axes | None = None) -> Axes:
    """Return axes with true minus predicted values over the predicted ones; see `plot_predictions`."""
    return numbers.draw_residuals(_of_numbers(model, X, y), ax or new_axes(5.0, 4.2))


def plot_interval_coverage(model: Any, X: Any = None, y: Any = None, ax: Axes | None = None) -> Axes:
    """Return axes with the share of values inside of intervals over their stated coverage; see `plot_predictions`.

    Out-of-fold rows are judged by halves: the errors of one half give the intervals of the other.
    """
    return numbers.draw_coverage(_of_numbers(model, X, y), ax or new_axes(5.0, 4.2))


def _of_classes(model: Any, X: Any, y: Any) -> JudgedRows:
    if model.problem_ == "regression":
        raise ValueError("This figure is for classes, and the model predicts numbers: see plot_predictions.")
    return judged_rows(model, X, y)


def _of_numbers(model: Any, X: Any, y: Any) -> JudgedRows:
    if model.problem_ != "regression":
        raise ValueError("This figure is for numbers, and the model predicts classes: see plot_confusion_matrix.")
    return judged_rows(model, X, y)
