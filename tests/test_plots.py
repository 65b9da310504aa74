from __future__ import annotations

import subprocess
import sys

import matplotlib
import matplotlib.colors
import matplotlib.pyplot
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from autometa.exceptions import MissingDependencyError
from autometa.metadataset.dataset import MetaDataset
from autometa.metadataset.schema import EVALUATION_COLUMNS, LOSS_COLUMNS
from autometa.plots import records as plots

N_FOLDS = 3
PROBLEMS = {"small": "regression", "large": "binary", "middle": "binary"}
N_ROWS = {"small": 100, "large": 3_000, "middle": 700}
METRICS = {"binary": "roc_auc", "regression": "rmse"}
# Losses by task and configuration; boosting has iterations, and runs out of time on the largest.
LOSSES = {
    "small": {"boosting-0": 0.30, "boosting-1": 0.50, "linear-0": 0.10, "trees-0": 0.25},
    "middle": {"boosting-0": 0.10, "boosting-1": 0.12, "trees-0": 0.40, "trees-1": 0.20},
    "large": {"trees-0": 0.15, "trees-1": 0.18},
}
TIMED_OUT = ("large", "boosting-0")


def evaluations_of(task: str, configuration: str, loss: float) -> list[dict[str, object]]:
    """Return a curve of every fold: losses fall as iterations, of boosting, or rows, of the others, double."""
    of_all = {"task": task, "configuration": configuration, "seed": 0, "status": "ok", "error": ""}
    metric = f"loss_{METRICS[PROBLEMS[task]]}"
    rows: list[dict[str, object]] = []
    for fold in range(N_FOLDS):
        for i, fraction in enumerate([0.25, 0.5, 1.0]):
            has_iterations = configuration.startswith("boosting")
            cpu_s = np.nan if has_iterations and fraction < 1 else N_ROWS[task] * fraction / 1_000
            point = {
                "anchor": 1.0 if has_iterations else fraction,
                "progress": fraction if has_iterations else 1.0,
                "n_iterations": 25 * 2**i if has_iterations else 0,
                "fold": fold,
                metric: loss + 0.1 * (1 - fraction),
                "fit_s": cpu_s,
                "fit_cpu_s": cpu_s,
            }
            rows.append({**of_all, **point})
    return rows


@pytest.fixture(scope="module")
def metadataset() -> MetaDataset:
    """Return three tasks, three strategies and a time limit that was hit."""
    rows = [
        row
        for task, losses in LOSSES.items()
        for name, loss in losses.items()
        for row in evaluations_of(task, name, loss)
    ]
    rows.append({**evaluations_of(*TIMED_OUT, 0.0)[-1], "status": "timeout", "fold": 0, "loss_roc_auc": np.nan})
    return metadataset_of(rows)


def metadataset_of(rows: list[dict[str, object]]) -> MetaDataset:
    evaluations = pd.DataFrame(rows).reindex(columns=list(EVALUATION_COLUMNS))
    names = evaluations["task"].drop_duplicates()
    configurations = evaluations["configuration"].drop_duplicates()
    tasks = pd.DataFrame({"task": names, "family": names, "problem": names.map(PROBLEMS), "n_rows": names.map(N_ROWS)})
    return MetaDataset(
        tasks.assign(n_columns=4, n_classes=0, n_rows_used=tasks["n_rows"]),
        pd.DataFrame({"configuration": configurations, "strategy": configurations.str.split("-").str[0]}).assign(
            position=0, origin="sample", parameters="{}"
        ),
        evaluations,
    )


def labels_of(ax: Axes) -> list[str]:
    """Return what is written beside or above the axes."""
    return [text.get_text() for text in ax.texts]


def curves_of(ax: Axes) -> list[matplotlib.lines.Line2D]:
    return [line for line in ax.lines if len(line.get_xdata()) > 1]


DRAWINGS = {
    "learning_curves": lambda metadataset, ax=None: plots.plot_learning_curves(metadataset, "middle", ax=ax),
    "strategies_by_tasks": plots.plot_strategies_by_tasks,
    "cost_by_rows": plots.plot_cost_by_rows,
}
every_drawing = pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS)


@every_drawing
def test_nothing_is_left_open_or_changed_for_other_figures(draw, metadataset, tmp_path):
    settings = dict(matplotlib.rcParams)
    figure = draw(metadataset).figure
    figure.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 1_000
    assert not matplotlib.pyplot.get_fignums()
    assert dict(matplotlib.rcParams) == settings


@every_drawing
def test_drawing_goes_into_the_given_axes(draw, metadataset):
    axes = Figure().subplots(1, 2)
    assert draw(metadataset, ax=axes[1]) is axes[1]
    assert axes[1].has_data()
    assert not axes[0].has_data()


@every_drawing
def test_missing_matplotlib_names_the_extra(draw, metadataset, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"autometa\[plots\]"):
        draw(metadataset)


@pytest.mark.slow
def test_module_is_imported_without_matplotlib():
    code = "import sys, autometa.plots; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


# ------------------------------------------------------------------------------------------------------ learning curves


def test_learning_curve_of_the_best_configuration_of_each_strategy_is_drawn(metadataset):
    ax = plots.plot_learning_curves(metadataset, "middle")
    assert labels_of(ax) == ["boosting", "trees"]
    ends = [(line.get_xdata()[-1], line.get_ydata()[-1]) for line in curves_of(ax)]
    np.testing.assert_allclose(ends, [(1, 0.10), (1, 0.20)], rtol=1e-6)
    np.testing.assert_allclose(curves_of(ax)[0].get_xdata(), [0.25, 0.5, 1])


def test_curves_over_rows_and_over_iterations_differ_in_line_style(metadataset):
    ax = plots.plot_learning_curves(metadataset, "middle")
    assert [line.get_linestyle() for line in curves_of(ax)] == ["--", "-"]


def test_configuration_measured_over_rows_and_iterations_has_a_line_of_each(metadataset):
    """The points along the fit on a part of the rows are on neither line."""
    rows = evaluations_of("middle", "boosting-0", 0.1)
    fits = [{**row, "anchor": 0.1, "loss_roc_auc": row["loss_roc_auc"] + 0.3} for row in rows]
    ax = plots.plot_learning_curves(metadataset_of(rows + fits), "middle")
    lines = {line.get_linestyle(): line for line in curves_of(ax)}
    np.testing.assert_allclose(lines["-"].get_xdata(), [0.1, 1], rtol=1e-6)
    np.testing.assert_allclose(lines["-"].get_ydata(), [0.4, 0.1], rtol=1e-6)
    np.testing.assert_allclose(lines["--"].get_xdata(), [0.25, 0.5, 1])
    np.testing.assert_allclose(lines["--"].get_ydata(), [0.175, 0.15, 0.1], rtol=1e-6)


def test_point_that_some_folds_did_not_reach_is_left_out():
    rows = evaluations_of("middle", "trees-0", 0.1)
    incomplete = [row for row in rows if row["anchor"] != 0.5 or row["fold"] == 0]
    ax = plots.plot_learning_curves(metadataset_of(incomplete), "middle")
    np.testing.assert_allclose(curves_of(ax)[0].get_xdata(), [0.25, 1])


def test_axes_of_learning_curves_say_metric_fractions_and_task(metadataset):
    ax = plots.plot_learning_curves(metadataset, "small")
    assert ax.get_ylabel() == "loss: RMSE of the standardised target"
    assert "rows (solid)" in ax.get_xlabel() and "iterations (dashed)" in ax.get_xlabel()
    assert ax.get_xscale() == "log"
    assert ax.get_title() == "small: regression, 100 rows"


def test_losses_far_apart_get_a_logarithmic_axis(metadataset):
    assert plots.plot_learning_curves(metadataset, "middle").get_yscale() == "linear"
    rows = evaluations_of("middle", "trees-0", 0.001) + evaluations_of("middle", "boosting-0", 0.4)
    assert plots.plot_learning_curves(metadataset_of(rows), "middle").get_yscale() == "log"


def test_task_measured_at_anchor_1_alone_has_points(metadataset):
    rows = [row for row in evaluations_of("middle", "trees-0", 0.1) if row["anchor"] == 1]
    ax = plots.plot_learning_curves(metadataset_of(rows), "middle")
    assert not curves_of(ax)
    assert [(line.get_xdata()[0], round(float(line.get_ydata()[0]), 6)) for line in ax.lines] == [(1, 0.1)]
    assert ax.get_xlim()[0] < 1 < ax.get_xlim()[1] < 2


def test_every_metric_has_a_label():
    assert {f"loss_{metric}" for metric in plots.LOSS_LABELS} == {*LOSS_COLUMNS, "loss_objective"}


def test_only_the_strategies_asked_for_are_drawn_in_their_usual_colour(metadataset):
    everything = plots.plot_learning_curves(metadataset, "small")
    one = plots.plot_learning_curves(metadataset, "small", "trees")
    assert labels_of(one) == ["trees"]
    place = labels_of(everything).index("trees")
    assert curves_of(one)[0].get_color() == curves_of(everything)[place].get_color()


def test_unknown_task_is_named(metadataset):
    with pytest.raises(ValueError, match="no task 'absent'; there are 'large', 'middle', 'small'"):
        plots.plot_learning_curves(metadataset, "absent")


def test_strategy_without_a_result_on_the_task_is_named_with_those_that_have_one(metadataset):
    with pytest.raises(ValueError, match="No strategy 'linear' has a result on task 'middle'; boosting, trees have"):
        plots.plot_learning_curves(metadataset, "middle", ["trees", "linear"])


def test_task_without_any_result_is_named(metadataset):
    alone = metadataset.select("large", "boosting-0")
    with pytest.raises(ValueError, match="Nothing of task 'large'"):
        plots.plot_learning_curves(alone, "large")
    with pytest.raises(ValueError, match="no result at anchor 1"):
        plots.plot_strategies_by_tasks(alone)
    with pytest.raises(ValueError, match="no CPU seconds"):
        plots.plot_cost_by_rows(alone)


# -------------------------------------------------------------------------------------------------- strategies by tasks


def test_heat_map_shows_regret_between_the_best_and_the_median_configuration(metadataset):
    ax = plots.plot_strategies_by_tasks(metadataset)
    shown = np.ma.filled(ax.collections[0].get_array().astype(float), np.nan)
    # Columns: middle, large, small. On `middle` losses are 0.10, 0.12, 0.20 and 0.40, of which 0.16 is the median;
    # on `small` 0.10, 0.25, 0.30 and 0.50, of which 0.275 is.
    trees, boosting, linear = [1.0, 0.0, 0.15 / 0.175], [0.0, np.nan, 1.0], [np.nan, np.nan, 0.0]
    np.testing.assert_allclose(shown, [linear, boosting, trees], atol=1e-5)


def test_heat_map_is_ordered_by_problem_then_rows_and_by_mean_regret(metadataset):
    ax = plots.plot_strategies_by_tasks(metadataset)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["middle", "large", "small"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["linear  0.00", "boosting  0.50", "trees  0.62"]
    assert labels_of(ax) == ["binary (2)", "regression (1)"]


def test_tasks_are_named_only_where_there_is_room(metadataset):
    narrow = plots.plot_strategies_by_tasks(metadataset, ax=Figure(figsize=(0.2, 3)).subplots())
    assert not narrow.get_xticklabels()
    assert narrow.get_xlabel() == "3 tasks, by problem and rows"


def test_only_what_was_tried_without_a_result_is_hatched(metadataset):
    hatched = plots.plot_strategies_by_tasks(metadataset).collections[1]
    assert hatched.get_hatch()
    # One cell: boosting (the second row) on `large` (the second column).
    assert [path.get_extents().extents.tolist() for path in hatched.get_paths()] == [[0.5, 0.5, 1.5, 1.5]]


def test_equal_losses_have_no_regret():
    rows = [row for name in ("trees-0", "boosting-0", "linear-0") for row in evaluations_of("small", name, 0.2)]
    ax = plots.plot_strategies_by_tasks(metadataset_of(rows))
    assert np.array_equal(ax.collections[0].get_array(), np.zeros((3, 1)))


# --------------------------------------------------------------------------------------------------------- cost by rows


def test_cost_has_a_line_and_a_label_for_each_strategy(metadataset):
    ax = plots.plot_cost_by_rows(metadataset)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert sorted(labels_of(ax)) == ["boosting", "linear", "trees"]
    assert len(ax.lines) == 3
    assert "rows" in ax.get_xlabel()
    assert "CPU seconds" in ax.get_ylabel()


def test_cost_leaves_out_what_ran_into_a_limit(metadataset):
    ax = plots.plot_cost_by_rows(metadataset)
    points = np.concatenate([np.asarray(cloud.get_offsets()) for cloud in ax.collections])
    expected = [(N_ROWS[task], N_ROWS[task] / 1_000) for task, losses in LOSSES.items() for _ in losses]
    np.testing.assert_allclose(sorted(points.tolist()), sorted(expected), rtol=1e-6)


def test_line_of_cost_joins_medians_of_tasks_of_similar_size(monkeypatch, metadataset):
    monkeypatch.setattr(plots, "_FEWEST_TASKS", 1)
    lines = {line.get_color(): line for line in plots.plot_cost_by_rows(metadataset).lines}
    trees = lines[plots._looks(metadataset)["trees"].color]
    np.testing.assert_allclose(trees.get_xdata(), [100, 700, 3_000])
    np.testing.assert_allclose(trees.get_ydata(), [0.1, 0.7, 3.0], rtol=1e-6)


def test_sizes_are_steps_of_equal_ratio_and_hold_enough_tasks():
    rows = [100, 110, 120, 130, 1_000, 5_000, 14_000, 15_000, 15_000, 15_000, 15_000]
    assert plots._size_classes(pd.Series(rows)).tolist() == [0] * 4 + [1] * 7
    assert plots._size_classes(pd.Series([*rows[:4], 15_000])).tolist() == [0] * 5
    assert plots._size_classes(pd.Series([0, 0])).tolist() == [0, 0]


# --------------------------------------------------------------------------------------------------------------- labels


def test_places_keep_their_gap_order_and_bounds(seed):
    rng = np.random.default_rng(seed)
    for n in (1, 2, 14):
        places = rng.random(n)
        moved = plots._spread(places, 0.05)
        assert np.array_equal(np.argsort(moved), np.argsort(places))
        assert np.all(np.diff(np.sort(moved)) > 0.05 - 1e-9)
        assert 0 <= moved.min() <= moved.max() <= 1 + 1e-9


def test_places_that_are_far_apart_stay_and_those_without_room_are_evenly_spaced():
    np.testing.assert_allclose(plots._spread(np.array([0.9, 0.1, 0.5]), 0.2), [0.9, 0.1, 0.5])
    np.testing.assert_allclose(plots._spread(np.array([0.5, 0.5, 0.5]), 0.9), [0, 0.5, 1])


def test_names_at_line_ends_do_not_overlap(metadataset):
    rows = [row for i in range(14) for row in evaluations_of("small", f"s{i}-0", 0.2 + 1e-4 * i)]
    ax = plots.plot_learning_curves(metadataset_of(rows), "small")
    ax.figure.draw_without_rendering()
    # An annotation's own extent has its arrow in it.
    heights = sorted(Text.get_window_extent(text).get_points()[:, 1].tolist() for text in ax.texts)
    assert len(heights) == 14
    assert all(below[1] <= above[0] + 1 for below, above in zip(heights, heights[1:], strict=False))


def test_numbers_on_a_logarithmic_axis_are_neither_too_few_nor_too_many():
    for limits, most in [((0.3, 3), (1, 2, 5)), ((0.001, 3_000), (1,))]:
        ax = Figure().subplots()
        ax.set(xscale="log", xlim=limits)
        plots._number_ticks(ax.xaxis, "{x:g}")
        shown = [place for place in ax.get_xticks() if limits[0] <= place <= limits[1]]
        assert 3 <= len(shown) <= 7
        assert {f"{place:e}"[0] for place in shown} == {str(digit) for digit in most}


def test_all_strategies_of_a_large_catalogue_look_different():
    rows = [row for i in range(28) for row in evaluations_of("small", f"s{i}-0", 0.2)]
    looks = plots._looks(metadataset_of(rows))
    assert len(set(looks.values())) == 28
    assert all(matplotlib.colors.is_color_like(look.color) for look in looks.values())
