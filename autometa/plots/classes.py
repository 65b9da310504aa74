"""Draws how good predictions of classes are."""

# Tests: tests/plots/test_models.py

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from sklearn.calibration import calibration_curve
from sklearn.metrics import auc, average_precision_score, confusion_matrix, precision_recall_curve, roc_curve

from autometa.plots.axes import COLOURS, INK, axis_name, tidy
from autometa.plots.judged_rows import JudgedRows

if TYPE_CHECKING:  # an optional library
    from matplotlib.axes import Axes

_MOST_NAMED = 5
"""Classes with a colour of their own; of more, the worst ones have it."""
_MOST_CLASSES = 20
_MOST_NUMBERS = 12
"""Classes of a confusion matrix at most, and of one whose cells hold numbers."""
_N_BINS = 10
_OTHER = "(others)"
_PALE = "#888888"

Curve = tuple[np.ndarray, np.ndarray, float]


def draw_roc(rows: JudgedRows, ax: Axes) -> Axes:
    """Draw ROC curves; the legend has the area below each."""
    _draw_curves(rows, ax, _roc)
    ax.plot([0, 1], [0, 1], linestyle=":", color=INK, linewidth=1)
    ax.set_xlabel("false positive rate")
    ax.set_ylabel("true positive rate")
    ax.set_title(f"ROC curve, {rows.origin}")
    return ax


def draw_precision_recall(rows: JudgedRows, ax: Axes) -> Axes:
    """Draw curves of precision over recall; the legend has the average precision of each."""
    _draw_curves(rows, ax, _precision_recall)
    ax.set_xlabel("recall")
    ax.set_ylabel("precision")
    ax.set_title(f"Precision and recall, {rows.origin}")
    return ax


def draw_confusion(rows: JudgedRows, ax: Axes) -> Axes:
    """Draw the share of each true class that is predicted as each class."""
    assert rows.labels is not None
    truth, labels, names = _most_frequent(rows.truth, rows.labels, rows.classes)
    counts = confusion_matrix(truth, labels, labels=np.arange(len(names)))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1, edgecolors="#b0b0b0", linewidth=0.5)
    ax.invert_yaxis()
    if len(names) <= _MOST_NUMBERS:
        for i, j in np.ndindex(shares.shape):
            colour = "white" if shares[i, j] > 0.5 else "black"
            text = f"{counts[i, j]:,}" if len(names) > 5 else f"{counts[i, j]:,}\n{shares[i, j]:.0%}"
            ax.text(j + 0.5, i + 0.5, text, ha="center", va="center", size=8, color=colour)
    shown = [axis_name(name, 16) for name in names]
    size = 9 if len(names) <= _MOST_NUMBERS else 7
    ax.set_yticks(np.arange(len(names)) + 0.5, shown, size=size)
    ax.set_xticks(np.arange(len(names)) + 0.5, shown, size=size, rotation=0 if len(names) <= 3 else 90)
    ax.tick_params(length=0)
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class")
    ax.set_title(f"Confusion matrix, {rows.origin}")
    return ax


def draw_reliability(rows: JudgedRows, ax: Axes) -> Axes:
    """Draw how often events come true that were predicted with a probability, in ten groups of equal size."""
    if len(rows.classes) == 2:
        probability, happened = rows.predictions[:, 1], rows.truth == 1
        event = f"the class {axis_name(rows.classes[1])}"
    else:
        probability, happened = rows.predictions.max(axis=1), rows.predictions.argmax(axis=1) == rows.truth
        event = "the likeliest class"
    observed, predicted = calibration_curve(happened, probability.clip(0, 1), n_bins=_N_BINS, strategy="quantile")
    ax.plot([0, 1], [0, 1], linestyle=":", color=INK, linewidth=1)
    ax.plot(predicted, observed, marker="o", markersize=5, color=COLOURS[0], linewidth=1.6)
    ax.set_xlim(-0.02, 1.02)
    ax.set_ylim(-0.02, 1.02)
    ax.set_xlabel(f"predicted probability of {event}")
    ax.set_ylabel("observed frequency")
    ax.set_title(f"Reliability, {rows.origin}")
    tidy(ax)
    return ax


def _draw_curves(rows: JudgedRows, ax: Axes, curve_of: Callable[[np.ndarray, np.ndarray], Curve]) -> None:
    """Draw the curve of the second of two classes, or one for each class; name the worst if there are many."""
    codes = [1] if len(rows.classes) == 2 else range(len(rows.classes))
    curves = {}
    for code in codes:
        is_class = rows.truth == code
        if is_class.any() and not is_class.all():
            curves[code] = curve_of(is_class, rows.predictions[:, code])
    named = sorted(curves, key=lambda code: curves[code][2])[:_MOST_NAMED]
    handles, labels = [], []
    for code in sorted(curves, key=lambda code: code in named):
        x, y, area = curves[code]
        is_named = code in named
        colour = COLOURS[named.index(code)] if is_named else _PALE
        (line,) = ax.plot(
            *_thinned(x, y), color=colour, linewidth=1.6 if is_named else 0.7, alpha=1 if is_named else 0.6
        )
        if is_named:
            handles.append(line)
            labels.append(f"{axis_name(rows.classes[code])}: {area:.3f}")
    ax.set_xlim(-0.02, 1.02)
    ax.set_ylim(-0.02, 1.02)
    tidy(ax)
    if handles:
        title = f"the {len(named)} worst of {len(curves)} classes" if len(curves) > len(named) else None
        ax.legend(handles, labels, title=title, loc="best", fontsize=8, title_fontsize=8, framealpha=0)


def _roc(is_class: np.ndarray, probability: np.ndarray) -> Curve:
    x, y, _ = roc_curve(is_class, probability)
    return x, y, float(auc(x, y))


def _precision_recall(is_class: np.ndarray, probability: np.ndarray) -> Curve:
    precision, recall, _ = precision_recall_curve(is_class, probability)
    return recall[::-1], precision[::-1], float(average_precision_score(is_class, probability))


def _thinned(x: np.ndarray, y: np.ndarray, most: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Return at most so many points of a curve, which no eye tells from all of them."""
    kept = np.unique(np.linspace(0, len(x) - 1, min(len(x), most)).astype(np.int64))
    return x[kept], y[kept]


def _most_frequent(
    truth: np.ndarray, labels: np.ndarray, names: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    if len(names) <= _MOST_CLASSES:
        return truth, labels, list(names)
    counts = np.bincount(truth, minlength=len(names))
    kept = np.sort(np.argsort(-counts, kind="stable")[: _MOST_CLASSES - 1])
    index = np.full(len(names), len(kept))
    index[kept] = np.arange(len(kept))
    return index[truth], index[labels], [*(names[code] for code in kept), _OTHER]
