"""Draws figures of a meta-dataset.

Every function draws into the given axes, or into a new figure that pyplot does not manage, so that nothing is shown or
stays open. ``plot_cost_by_rows(metadataset).figure.savefig("cost.png")`` writes a file; as the last line of a notebook
cell, ``plot_cost_by_rows(metadataset).figure`` shows the figure. Labels are to the right of the axes, so a figure of
yours needs room there, e.g. ``plt.subplots(layout="constrained")``.

A strategy has the same colour and marker in all figures of one meta-dataset.
"""

# Tests: tests/test_plots.py

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression

from autometa.metadataset.dataset import MetaDataset
from autometa.metadataset.matrices import loss_of, mean_curve
from autometa.metadataset.schema import OBJECTIVE, STATUSES
from autometa.plots.axes import INK, Look, looks_of, new_axes, tidy

if TYPE_CHECKING:  # an optional library
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

LOSS_LABELS = {
    "roc_auc": "1 − ROC AUC",
    "log_loss": "log loss",
    "balanced_accuracy": "1 − balanced accuracy",
    "accuracy": "1 − accuracy",
    "rmse": "RMSE of the standardised target",
    "mae": "MAE of the standardised target",
    "r2": "1 − R²",
    OBJECTIVE: "objective",
}
"""Label of the loss axis for each metric."""

_UNMEASURED = "#d9d9d9"
_LABEL_SIZE = 8.0  # points
_TASK_LABEL_SIZE = 6.0  # points
_MOST_SIZES, _FEWEST_TASKS = 8, 4  # classes of table size at most; tasks per class at least


def plot_learning_curves(
    metadataset: MetaDataset, task: str, strategies: str | Iterable[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Return axes with the learning curve of each strategy's best configuration on one task.

    Points are means over folds and seeds; a point that some folds did not reach is left out, as the curve would jump.
    Solid lines are curves over training rows, dashed lines over iterations. The loss axis is logarithmic if the highest
    loss is more than five times the lowest.

    Parameters
    ----------
    metadataset : MetaDataset
        The records.
    task : str
        Name of the task.
    strategies : str, iterable of str or None
        Strategies to show; None shows all with a result on the task.
    ax : Axes or None
        Where to draw; None makes a figure.

    Raises
    ------
    ValueError
        If the task or a strategy is unknown, or a requested strategy has no result on the task.
    MissingDependencyError
        If matplotlib is not installed.
    """
    part = metadataset.select(tasks=task)
    best = _best_configurations(part, task, strategies)
    metric = part.metrics[task]
    looks = _looks(metadataset)
    ax = ax or new_axes(7.5, 5.0)
    ends: dict[str, tuple[float, float]] = {}
    for strategy, configuration in best.items():
        rows = part.evaluations[part.evaluations["configuration"] == configuration]
        finished, on_all_rows = rows[rows["progress"] == 1], rows[rows["anchor"] == 1]
        for style, share, kept in (("-", "anchor", finished), ("--", "progress", on_all_rows)):
            curve = mean_curve(kept, loss_of(kept, metric).to_numpy("float64"))
            curve = curve[curve["n_evaluations"] >= curve["n_evaluations"].iloc[-1]]
            ends[strategy] = (1.0, curve["loss"].iloc[-1])
            if len(curve) > 1:
                ax.plot(curve[share], curve["loss"], style, markersize=3.5, linewidth=1.4, **looks[strategy]._asdict())
        ax.plot(*ends[strategy], markersize=5, **looks[strategy]._asdict())
    ax.set_xscale("log")
    ax.set_xlim(min(ax.dataLim.x0, 0.5) / 1.15, 1.15)
    _number_ticks(ax.xaxis, "{x:g}")
    lowest, highest = ax.dataLim.intervaly
    if 0 < lowest < highest / 5:  # otherwise the first points would squeeze the ends together
        ax.set_yscale("log")
        _number_ticks(ax.yaxis, "{x:g}")
    ax.set_xlabel("fraction of the rows (solid) or of the iterations (dashed)")
    ax.set_ylabel(f"loss: {LOSS_LABELS[metric]}")
    row = part.tasks.iloc[0]
    n_rows = f", {row['n_rows_used']:,} rows" if row["n_rows_used"] else ""  # studies have none
    ax.set_title(f"{task}: {row['problem']}{n_rows}")
    tidy(ax)
    _label_ends(ax, ends, looks)
    return ax


def plot_strategies_by_tasks(metadataset: MetaDataset, ax: Axes | None = None) -> Axes:
    """Return axes with a heat map of the regret of each strategy on each task.

    The regret of a strategy is that of its best configuration at anchor 1. It is 0 for the best loss on the task and 1
    for the loss of the median configuration and all worse ones, because the worst loss can be arbitrarily large. Tasks
    are ordered by problem, then rows; strategies by their mean regret over the tasks with a result, which follows the
    name. A dot marks the best strategy; grey means not measured, hatched grey that no measurement gave a result.

    Parameters
    ----------
    metadataset : MetaDataset
        The records.
    ax : Axes or None
        Where to draw; None makes a figure.

    Raises
    ------
    ValueError
        If there is no result at anchor 1.
    MissingDependencyError
        If matplotlib is not installed.
    """
    regrets = _regrets(metadataset)
    tasks = metadataset.tasks.set_index("task").loc[regrets.columns]
    n_strategies, n_tasks = regrets.shape
    ax = ax or new_axes(3.0 + min(max(4.0, 0.12 * n_tasks), 24.0), max(3.0, 1.8 + 0.22 * n_strategies))
    tasks_are_named = ax.get_window_extent().width * 72 / ax.figure.dpi > n_tasks * _TASK_LABEL_SIZE
    corners = np.arange(n_tasks + 1) - 0.5, np.arange(n_strategies + 1) - 0.5
    # An edge is at least a pixel wide, which is much of a narrow cell.
    edge = 0.3 if tasks_are_named else 0.0
    mesh = ax.pcolormesh(*corners, regrets, cmap="YlGnBu", vmin=0, vmax=1, edgecolors="white", linewidth=edge)
    ax.set_facecolor(_UNMEASURED)
    without_result = regrets.isna() & _was_tried(metadataset).loc[regrets.index, regrets.columns]
    hatched = np.ma.masked_where(~without_result, without_result)
    ax.pcolor(*corners, hatched, hatch="/////", facecolor="none", edgecolor="white", linewidth=0)
    rows, columns = np.nonzero(regrets == 0)
    ax.plot(columns, rows, ".", color=INK, markersize=3)
    ax.invert_yaxis()

    means = regrets.mean(axis=1)
    ax.set_yticks(range(n_strategies), [f"{name}  {mean:.2f}" for name, mean in means.items()], size=_LABEL_SIZE)
    if tasks_are_named:
        ax.set_xticks(range(n_tasks), regrets.columns, rotation=90, size=_TASK_LABEL_SIZE)
    else:
        ax.set_xticks([])
    ax.tick_params(length=0)
    ax.set_xlabel(f"{n_tasks:,} tasks, by problem and rows")
    _mark_groups(ax, tasks["problem"])
    ax.figure.colorbar(mesh, ax=ax, pad=0.01, label="regret (1: median or worse)")
    return ax


def plot_cost_by_rows(metadataset: MetaDataset, ax: Axes | None = None) -> Axes:
    """Return axes with the CPU seconds of a fit at anchor 1 against the rows of the task.

    A light point is a configuration on a task, averaged over folds and seeds. Lines join medians over tasks of similar
    size and over configurations: the axis of rows is divided into eight equal steps, and a step with fewer than four
    tasks is merged with the next.

    Parameters
    ----------
    metadataset : MetaDataset
        The records.
    ax : Axes or None
        Where to draw; None makes a figure.

    Raises
    ------
    ValueError
        If no seconds were recorded at anchor 1.
    MissingDependencyError
        If matplotlib is not installed.
    """
    costs = _costs(metadataset)
    looks = _looks(metadataset)
    ax = ax or new_axes(8.0, 5.5)
    ends: dict[str, tuple[float, float]] = {}
    for strategy, points in costs.groupby("strategy"):
        color, marker = looks[strategy]
        ax.scatter(points["n_rows"], points["cpu_s"], s=6, alpha=0.2, linewidth=0, color=color, rasterized=True)
        medians = points.groupby("size")[["n_rows", "cpu_s"]].median()
        ax.plot(medians["n_rows"], medians["cpu_s"], color=color, marker=marker, markersize=4, linewidth=1.6)
        ends[strategy] = tuple(medians.iloc[-1])
    ax.set_xscale("log")
    ax.set_yscale("log")
    _number_ticks(ax.xaxis, "{x:,.0f}")
    _number_ticks(ax.yaxis, "{x:g}")
    ax.set_xlabel("rows that were used of the task's table")
    ax.set_ylabel("CPU seconds of a fit")
    tidy(ax)
    _label_ends(ax, ends, looks)
    return ax


# ----------------------------------------------------------------------------------------------------- what is drawn


def _best_configurations(part: MetaDataset, task: str, strategies: str | Iterable[str] | None) -> dict[str, str]:
    """Return for each strategy the configuration with the lowest loss on the task, best first."""
    losses = part.matrix().loc[task].dropna().sort_values(kind="stable")
    strategy_of = part.configurations.set_index("configuration")["strategy"]
    named = strategy_of[losses.index].drop_duplicates()
    best = {strategy: str(configuration) for configuration, strategy in named.items()}
    if not best:
        raise ValueError(f"Nothing of task {task!r} was measured to the end, so it has no learning curves.")
    if strategies is None:
        return best
    wanted = [strategies] if isinstance(strategies, str) else list(strategies)
    if missing := [strategy for strategy in wanted if strategy not in best]:
        raise ValueError(f"No strategy {missing[0]!r} has a result on task {task!r}; {', '.join(best)} have.")
    return {strategy: configuration for strategy, configuration in best.items() if strategy in wanted}


def _regrets(metadataset: MetaDataset) -> pd.DataFrame:
    """Return strategies × tasks in the order of the heat map; NaN without a result."""
    losses = metadataset.matrix().dropna(how="all")
    if losses.empty:
        raise ValueError("The meta-dataset has no result at anchor 1, so there is nothing to compare.")
    lowest = losses.min(axis=1)
    behind = _by_strategy(metadataset, losses).min() - lowest
    # If half of the configurations reach the lowest loss, the regret of others is x / 0, infinity, and clipped to 1.
    regrets = (behind / (losses.median(axis=1) - lowest)).clip(upper=1).mask(behind == 0, 0.0)
    tried = _was_tried(metadataset).any(axis=1)
    order = metadataset.tasks.sort_values(["problem", "n_rows", "task"])["task"]
    regrets = regrets.loc[tried, order[order.isin(losses.index)]]
    return regrets.loc[regrets.mean(axis=1).sort_values(kind="stable").index]


def _was_tried(metadataset: MetaDataset) -> pd.DataFrame:
    """Return strategies × tasks: whether an evaluation reached anchor 1, or ran into a limit before."""
    return _by_strategy(metadataset, metadataset.status_matrix().isin(STATUSES)).any()


def _by_strategy(metadataset: MetaDataset, matrix: pd.DataFrame) -> pd.api.typing.DataFrameGroupBy:
    """Return tasks × configurations as configurations × tasks, grouped by strategy."""
    strategy_of = metadataset.configurations.set_index("configuration")["strategy"]
    return matrix.T.groupby(strategy_of.loc[matrix.columns].to_numpy())


def _costs(metadataset: MetaDataset) -> pd.DataFrame:
    """Return a row per task and successful configuration: strategy, n_rows, cpu_s and size class."""
    seconds = metadataset.matrix("fit_cpu_s").where(metadataset.status_matrix() == "ok")
    long = seconds.stack().rename("cpu_s").reset_index()
    long = long[long["cpu_s"] > 0]  # zero, below the clock's resolution, is not on a logarithmic axis
    if long.empty:
        raise ValueError("The meta-dataset has no CPU seconds of fits at anchor 1, so there is nothing to draw.")
    sizes = metadataset.tasks.set_index("task")["n_rows_used"]
    classes = _size_classes(sizes)
    strategy_of = metadataset.configurations.set_index("configuration")["strategy"]
    return long.assign(
        strategy=long["configuration"].map(strategy_of),
        n_rows=long["task"].map(sizes),
        size=long["task"].map(classes),
    )


def _size_classes(sizes: pd.Series) -> pd.Series:
    """Return a class for each task by its rows; a collection caps rows, so many tasks have equal sizes."""
    logs = np.log(sizes.clip(lower=1))
    steps = ((logs - logs.min()) / (np.ptp(logs) or 1.0) * _MOST_SIZES).astype(int).clip(upper=_MOST_SIZES - 1)
    numbers, number, n_tasks = {}, 0, 0
    for step, n in steps.value_counts().sort_index().items():
        numbers[step] = number
        n_tasks += n
        if n_tasks >= _FEWEST_TASKS:
            number, n_tasks = number + 1, 0
    return steps.map(numbers).clip(upper=max(number - 1, 0))  # a small last class joins the one before


# ------------------------------------------------------------------------------------------------------ how it is drawn


def _looks(metadataset: MetaDataset) -> dict[str, Look]:
    return looks_of(sorted(metadataset.configurations["strategy"].unique()))


def _number_ticks(axis: Axis, numbers: str) -> None:
    """Put ticks at powers of ten, and also at 2 and 5 of each decade if those are too few."""
    from matplotlib.ticker import LogLocator

    lowest, highest = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if highest < 100 * lowest else (1,)))
    axis.set_major_formatter(numbers)
    axis.set_minor_formatter("")


def _label_ends(ax: Axes, ends: dict[str, tuple[float, float]], looks: dict[str, Look]) -> None:
    """Write the names to the right of the axes, each as near to the end of its line as possible."""
    ax.set_xlim(ax.get_xlim())
    ax.set_ylim(ax.get_ylim())  # the limits must be final from here on
    heights = ax.transAxes.inverted().transform(ax.transData.transform(list(ends.values())))[:, 1]
    line_height = 1.3 * _LABEL_SIZE * ax.figure.dpi / 72 / ax.get_window_extent().height
    for (name, end), height in zip(ends.items(), _spread(heights, line_height), strict=True):
        ax.annotate(
            name,
            end,
            (1.03, height),
            textcoords="axes fraction",
            va="center",
            size=_LABEL_SIZE,
            color=INK,
            arrowprops={
                "arrowstyle": "-",
                "linestyle": ":",
                "color": looks[name].color,
                "linewidth": 0.9,
                "relpos": (0, 0.5),  # from the left of the name, not from its middle
                "shrinkA": 1,
                "shrinkB": 2,
            },
        )


def _mark_groups(ax: Axes, groups: pd.Series) -> None:
    """Separate neighbouring groups of columns by lines, and write their names above."""
    sizes = groups.value_counts(sort=False)
    starts = sizes.cumsum() - sizes
    for start in starts.iloc[1:]:
        ax.axvline(start - 0.5, color=INK, linewidth=1.2)
    widest = max(len(f"{name} ({size})") for name, size in sizes.items())
    # A letter is about 0.6 times as wide as it is high.
    gap = 0.6 * widest * _LABEL_SIZE * ax.figure.dpi / 72 / ax.get_window_extent().width
    centres = _spread(((starts + sizes / 2) / len(groups)).to_numpy(), gap)
    for (name, size), centre in zip(sizes.items(), centres, strict=True):
        ax.text(centre, 1.02, f"{name} ({size})", transform=ax.transAxes, ha="center", size=_LABEL_SIZE, color=INK)


def _spread(positions: np.ndarray, gap: float) -> np.ndarray:
    """Return the positions in [0, 1] nearest to the given ones, by least squares, with a gap between neighbours.

    If there is no room for the gaps, they are evenly spaced.
    """
    order = np.argsort(positions, kind="stable")
    steps = min(gap, 1 / max(len(positions) - 1, 1)) * np.arange(len(positions))
    moved = np.empty(len(positions))
    moved[order] = isotonic_regression(positions[order] - steps).x.clip(0, 1 - steps[-1]) + steps
    return moved
