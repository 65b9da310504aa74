"""The best prediction that is the same for every row."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from sklearn.metrics import make_scorer, mean_pinball_loss

from autometa.core.task import PROBLEMS, Problem
from autometa.ensemble.constant_loss import best_constant_loss
from autometa.evaluation.metrics import Metric, metric_names, resolve_metric

EVERY_METRIC = [(problem, name) for problem in PROBLEMS for name in metric_names(problem)]


def target(problem: Problem, seed: int, n: int = 400) -> tuple[np.ndarray, int]:
    rng = np.random.default_rng(seed)
    if problem == "regression":
        return rng.lognormal(1.0, 1.0, n), 0
    n_classes = 2 if problem == "binary" else 4
    shares = np.arange(1.0, n_classes + 1)
    return rng.choice(n_classes, n, p=shares / shares.sum()), n_classes


def constant_loss(metric: Metric, y: np.ndarray, n_classes: int, weight: np.ndarray | None = None) -> float:
    return best_constant_loss(y, n_classes, weight, lambda predictions: metric.loss(y, predictions, weight))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize(("problem", "name"), EVERY_METRIC, ids=lambda value: str(value))
def test_hardly_any_constant_is_better_whatever_the_metric(
    problem: Problem, name: str, weighted: bool, seed: int
) -> None:
    y, n_classes = target(problem, seed)
    rng = np.random.default_rng(seed + 1)
    weight = rng.exponential(size=len(y)) if weighted else None
    metric = resolve_metric(name, problem)
    found = constant_loss(metric, y, n_classes, weight)
    if n_classes:
        others = rng.dirichlet(np.ones(n_classes), 200)
        losses = [metric.loss(y, np.tile(row, (len(y), 1)), weight) for row in others]
    else:
        losses = [metric.loss(y, np.full(len(y), value), weight) for value in np.quantile(y, rng.random(200))]
    # Between the values that were tried there may be one that is a little better.
    assert found <= min(losses) + 0.01 * abs(min(losses)) + 1e-9


@pytest.mark.parametrize("alpha", [0.1, 0.9])
def test_metrics_that_ask_for_a_quantile_have_a_constant_near_it(alpha: float, seed: int) -> None:
    y, _ = target("regression", seed)
    metric = resolve_metric(make_scorer(mean_pinball_loss, greater_is_better=False, alpha=alpha), "regression")
    best = min(metric.loss(y, np.full(len(y), q)) for q in np.quantile(y, np.linspace(0.01, 0.99, 99)))
    assert constant_loss(metric, y, 0) == pytest.approx(best, rel=0.01)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("roc_auc", 0.5), ("balanced_accuracy", 0.5), ("accuracy", 0.25), ("f1", 1 / 7), ("log_loss", 0.5623351)],
)
def test_losses_of_constants_are_those_that_are_known(name: str, expected: float) -> None:
    y = np.repeat([0, 1], [25, 75])
    assert constant_loss(resolve_metric(name, "binary"), y, 2) == pytest.approx(expected)


def test_weights_of_zero_and_classes_without_rows_are_no_fault() -> None:
    metric = resolve_metric("log_loss", "multiclass")
    y = np.zeros(5, dtype=np.int64)
    assert constant_loss(metric, y, 3, np.zeros(5)) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e200])
def test_numbers_of_any_magnitude_have_a_constant(scale: float) -> None:
    y = np.array([-3.0, 0.0, 1.0, 5.0]) * scale
    loss = partial(resolve_metric("mae", "regression").loss, y)
    assert best_constant_loss(y, 0, None, loss) == pytest.approx(2.25 * scale)
