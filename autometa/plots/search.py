"""Draws a search over its seconds, the ensemble that came of it, and the importance of columns."""

# Tests: tests/plots/test_models.py

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from autometa.evaluation.metrics import Metric
from autometa.plots.axes import COLOURS, INK, axis_name, looks_of, tidy
from autometa.search.search_history import SearchHistory
from autometa.search.trial_records import COMPLETE

if TYPE_CHECKING:  # an optional library
    from matplotlib.axes import Axes

_MOST_BARS = 20


def draw_search(history: SearchHistory, metric: Metric, ax: Axes) -> Axes:
    """Draw a point for each complete trial, and lines for the best trial and the ensemble so far.

    The axis leaves out the worst tenth of the trials, which would squeeze the others together.
    """
    trials = [t for t in history.trials if t["status"] in COMPLETE and np.isfinite([t["loss"], t["ended_s"]]).all()]
    if not trials:
        raise ValueError("No trial was measured on every fold, so there is no curve to draw.")
    trials = sorted(trials, key=lambda trial: trial["ended_s"])
    seconds = np.array([trial["ended_s"] for trial in trials])
    scores = np.array([metric.score(trial["loss"]) for trial in trials])
    names = np.array([trial["strategy"] for trial in trials], dtype=object)
    looks = looks_of(sorted({strategy["name"] for strategy in history.strategies} | set(names)))
    handles: list[Any] = []
    labels: list[str] = []
    for name in dict.fromkeys(names):
        points = names == name
        look = looks[name]
        handle = ax.scatter(seconds[points], scores[points], s=22, alpha=0.8, linewidth=0, **look._asdict())
        handles.append(handle)
        labels.append(axis_name(name))
    best = np.minimum.accumulate([trial["loss"] for trial in trials])
    end_s = max(seconds[-1], *(point[0] for point in history.ensemble_curve), 0.0)
    incumbent = [metric.score(loss) for loss in [*best, best[-1]]]
    handles += ax.step([*seconds, end_s], incumbent, where="post", color=INK, linewidth=1.2, linestyle="--")
    labels.append("best trial so far")
    losses_shown = np.sort([trial["loss"] for trial in trials])[: math.ceil(0.9 * len(trials))]
    shown = [metric.score(loss) for loss in losses_shown]
    if history.ensemble_curve:
        times, losses = zip(*history.ensemble_curve, strict=True)
        curve = [metric.score(loss) for loss in losses]
        handles += ax.step([*times, end_s], [*curve, curve[-1]], where="post", color=INK, linewidth=2)
        labels.append("ensemble so far")
        shown += curve
    margin = 0.06 * (max(shown) - min(shown)) or 0.05 * abs(shown[0]) or 0.05
    ax.set_ylim(min(shown) - margin, max(shown) + margin)
    if seconds[0] > 0 and end_s > 30 * seconds[0]:
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:g}")
    ax.set_xlabel("seconds of the search")
    ax.set_ylabel(axis_name(f"{metric.name} ({'higher' if metric.higher_is_better else 'lower'} is better)", 60))
    ax.set_title(f"The search: {len(trials):,} complete of {len(history.trials):,} trials")
    tidy(ax)
    ax.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2, fontsize=8, framealpha=0)
    return ax


def draw_weights(history: SearchHistory, ax: Axes) -> Axes:
    """Draw a bar for each member of the ensemble, the heaviest on top."""
    members = sorted((t for t in history.trials if t["weight"] > 0), key=lambda trial: -trial["weight"])[:_MOST_BARS]
    looks = looks_of(sorted({strategy["name"] for strategy in history.strategies} | {t["strategy"] for t in members}))
    names = [axis_name(f"{trial['strategy']} #{trial['number']}") for trial in members]
    colours = [looks[trial["strategy"]].color for trial in members]
    bars = ax.barh(range(len(members)), [trial["weight"] for trial in members], color=colours)
    ax.bar_label(bars, fmt="{:.0%}", padding=3, fontsize=8, color=INK)
    _name_bars(ax, names)
    ax.set_xlabel("weight in the ensemble")
    ax.set_title("Members of the ensemble")
    return ax


def draw_importances(importances: pd.DataFrame, ax: Axes) -> Axes:
    """Draw a bar for each of the most important columns, with its interval."""
    top = importances.sort_values("importance", ascending=False).head(_MOST_BARS)
    values = top["importance"].to_numpy(dtype=np.float64)
    errors = np.abs(top[["low", "high"]].to_numpy(dtype=np.float64).T - values)
    ax.barh(range(len(top)), values, xerr=errors, color=COLOURS[0], ecolor=INK, error_kw={"linewidth": 1})
    _name_bars(ax, [axis_name(name) for name in top["column"]])
    ax.set_title("Importance of columns")
    return ax


def _name_bars(ax: Axes, names: list[str]) -> None:
    ax.set_yticks(range(len(names)), names, size=8)
    ax.invert_yaxis()
    ax.margins(x=0.12)
    tidy(ax)
    ax.grid(visible=False, axis="y")
