from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from autometa import AutoMeta, plots
from autometa.core.budget import Deadline
from autometa.ensemble.anytime import anytime_curve
from autometa.plots.axes import axis_name
from autometa.plots.judged_rows import JudgedRows

QUICK: dict[str, Any] = {"n_trials": 3, "random_state": 0, "n_jobs": 1, "progress": False}
CLASSES = [
    plots.plot_roc_curves,
    plots.plot_precision_recall_curves,
    plots.plot_confusion_matrix,
    plots.plot_reliability,
]
NUMBERS = [plots.plot_predictions, plots.plot_residuals, plots.plot_interval_coverage]
OF_FIT = [plots.plot_search, plots.plot_ensemble_weights]


def numbers_of(n_rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n_rows, 3)), columns=list("abc"))
    return X, (2 * X["a"] + 0.5 * rng.normal(size=n_rows)).to_numpy()


@pytest.fixture(scope="module")
def regressor() -> AutoMeta:
    return AutoMeta("regression", strategies=["ridge"], **QUICK).fit(*numbers_of(200, 0))


@pytest.fixture(scope="module")
def classifier() -> AutoMeta:
    X, y = numbers_of(200, 0)
    labels = np.array(["$low$", "_mid", "high"])[np.digitize(y, [-1, 1])]
    return AutoMeta("multiclass", strategies=["logistic_regression"], **QUICK).fit(X, labels)


@pytest.mark.parametrize("draw", [*OF_FIT, *CLASSES], ids=lambda draw: draw.__name__)
def test_figure_of_classes_is_drawn_into_given_axes(draw, classifier):
    ax = Figure().subplots()
    assert draw(classifier, ax=ax) is ax
    ax.figure.draw_without_rendering()
    assert ax.get_title() and ax.get_xlabel()


@pytest.mark.parametrize("draw", [*OF_FIT, *NUMBERS], ids=lambda draw: draw.__name__)
def test_figure_of_numbers_makes_axes_of_its_own(draw, regressor):
    ax = draw(regressor)
    ax.figure.draw_without_rendering()
    assert ax.get_title() and ax.get_xlabel()


def test_figures_of_given_rows_show_these(regressor):
    X, y = numbers_of(50, 1)
    points = plots.plot_predictions(regressor, X, y).collections[0].get_offsets()
    np.testing.assert_allclose(points, np.column_stack([regressor.predict(X), y]))


def test_out_of_fold_points_are_those_of_the_fit(regressor):
    y = numbers_of(200, 0)[1]
    points = plots.plot_residuals(regressor).collections[0].get_offsets()
    np.testing.assert_allclose(points[:, 1], y - regressor.oof_predictions())


def test_coverage_is_near_what_is_stated(regressor):
    X, y = numbers_of(1_000, 2)
    for rows in ((None, None), (X, y)):
        stated, inside = plots.plot_interval_coverage(regressor, *rows).lines[-1].get_data()
        np.testing.assert_allclose(inside, stated, atol=0.12)


def test_lines_of_the_search_never_get_worse_for_the_best_trial(regressor):
    best = plots.plot_search(regressor).lines[0].get_ydata()
    assert np.all(np.diff(best) <= 0)
    assert len(regressor.history_.ensemble_curve) >= 1


@pytest.mark.parametrize("draw", NUMBERS, ids=lambda draw: draw.__name__)
def test_figure_of_numbers_refuses_classes(draw, classifier):
    with pytest.raises(ValueError, match="the model predicts classes"):
        draw(classifier)


@pytest.mark.parametrize("draw", CLASSES, ids=lambda draw: draw.__name__)
def test_figure_of_classes_refuses_numbers(draw, regressor):
    with pytest.raises(ValueError, match="the model predicts numbers"):
        draw(regressor)


def test_rows_without_their_target_are_refused(regressor):
    with pytest.raises(ValueError, match="X and y belong together"):
        plots.plot_residuals(regressor, numbers_of(5, 1)[0])


def test_unknown_label_is_named(classifier):
    X, _ = numbers_of(2, 1)
    with pytest.raises(ValueError, match="absent"):
        plots.plot_roc_curves(classifier, X, ["high", "absent"])


def test_names_from_the_data_are_neither_formulas_nor_hidden_nor_long(classifier):
    ticks = [label.get_text() for label in plots.plot_confusion_matrix(classifier).get_yticklabels()]
    assert ticks == [r"\$low\$", "\u200b_mid", "high"]
    assert len(axis_name("a" * 99)) == 24
    legend = plots.plot_roc_curves(classifier).get_legend()
    assert len(legend.get_texts()) == 3


def test_rare_classes_are_shown_together():
    rng = np.random.default_rng(0)
    truth = np.concatenate([np.arange(25), np.zeros(30, dtype=int)])
    rows = JudgedRows(truth, rng.dirichlet(np.ones(25), 55), truth, tuple(f"c{i}" for i in range(25)), {}, False)
    from autometa.plots.classes import draw_confusion

    ax = draw_confusion(rows, Figure().subplots())
    assert len(ax.get_yticklabels()) == 20
    assert ax.get_yticklabels()[-1].get_text() == "(others)"


def test_importances_are_drawn_most_important_first():
    table = pd.DataFrame({"column": ["x", "y"], "importance": [0.1, 0.3], "low": [0.0, 0.2], "high": [0.2, 0.4]})
    ax = plots.plot_importances(table)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["y", "x"]
    assert [bar.get_width() for bar in ax.patches] == [0.3, 0.1]


def test_curve_of_the_ensemble_gets_better_when_a_perfect_trial_ends():
    truth = np.arange(20.0)

    def loss(rows: np.ndarray, values: np.ndarray) -> float:
        return float(np.mean((truth[rows] - values) ** 2))

    curve = anytime_curve([truth + 3, truth], [1.0, 2.0], loss, Deadline.after(60))
    assert curve == [(1.0, 9.0), (2.0, 0.0)]
    assert anytime_curve([truth], [1.0], loss, Deadline.after(-1)) == []
