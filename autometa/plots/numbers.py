"""Draws how good predictions of numbers are."""

# Tests: tests/plots/test_models.py

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from autometa.plots.axes import COLOURS, INK, tidy
from autometa.plots.judged_rows import JudgedRows

if TYPE_CHECKING:  # an optional library
    from matplotlib.axes import Axes

_MOST_POINTS = 2_000
"""A scatter plot of more rows shows a sample of this size."""


def draw_predictions(rows: JudgedRows, ax: Axes) -> Axes:
    """Draw the true values over the predicted ones."""
    shown = _sample(len(rows.truth))
    _draw_points(rows.predictions[shown], rows.truth[shown], ax)
    ends = [min(rows.truth.min(), rows.predictions.min()), max(rows.truth.max(), rows.predictions.max())]
    ax.plot(ends, ends, linestyle=":", color=INK, linewidth=1)
    ax.set_ylabel("true value")
    ax.set_title(_title("True and predicted values", rows, shown))
    return ax


def draw_residuals(rows: JudgedRows, ax: Axes) -> Axes:
    """Draw true minus predicted values over the predicted ones."""
    shown = _sample(len(rows.truth))
    _draw_points(rows.predictions[shown], (rows.truth - rows.predictions)[shown], ax)
    ax.axhline(0, linestyle=":", color=INK, linewidth=1)
    ax.set_ylabel("true − predicted value")
    ax.set_title(_title("Residuals", rows, shown))
    return ax


def draw_coverage(rows: JudgedRows, ax: Axes) -> Axes:
    """Draw the share of values inside of intervals over their stated coverage."""
    ax.plot([0.4, 1], [0.4, 1], linestyle=":", color=INK, linewidth=1)
    if rows.coverage:
        ax.plot(list(rows.coverage), list(rows.coverage.values()), marker="o", markersize=5, color=COLOURS[0])
    else:
        ax.text(0.5, 0.5, "too few rows", transform=ax.transAxes, ha="center", color=INK)
    ax.set_xlabel("stated coverage")
    ax.set_ylabel("share of values inside")
    ax.set_title(f"Coverage of intervals, {rows.origin}")
    tidy(ax)
    return ax


def _draw_points(x: np.ndarray, y: np.ndarray, ax: Axes) -> None:
    alpha = float(np.clip(200 / max(len(x), 1), 0.25, 0.8))
    ax.scatter(x, y, s=12, alpha=alpha, linewidth=0, color=COLOURS[0], rasterized=True)
    ax.set_xlabel("predicted value")
    tidy(ax)


def _sample(n_rows: int) -> np.ndarray:
    if n_rows <= _MOST_POINTS:
        return np.arange(n_rows)
    return np.sort(np.random.default_rng(0).choice(n_rows, _MOST_POINTS, replace=False))


def _title(what: str, rows: JudgedRows, shown: np.ndarray) -> str:
    few = f"{len(shown):,} of " if len(shown) < len(rows.truth) else ""
    return f"{what}, {few}{rows.origin}"
