"""What all learners promise about deadlines."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from autometa.core.budget import Deadline
from autometa.learners import LEARNERS
from autometa.learners.base import FitData, Learner, was_cut_short
from autometa.learners.kernels import GAUSSIAN_PROCESS
from tests.helpers.fit_data import fit_data

KEEP_DEADLINES = [*(learner for learner in LEARNERS if learner.keeps_deadline), GAUSSIAN_PROCESS]
NEVER = Deadline(math.inf)
# A short training for each: nothing here is about accuracy.
QUICK: dict[str, dict[str, Any]] = {
    "lightgbm": {"learning_rate": 0.5},
    "xgboost": {"learning_rate": 0.5},
    "catboost": {"learning_rate_factor": 5.0},
    "hist_gradient_boosting": {"learning_rate": 0.5},
    "random_forest": {"n_estimators": 8},
    "extra_trees": {"n_estimators": 8},
    "neural_network": {"n_epochs": 3, "width": 16},
    "mlp_maml": {"n_epochs": 3},
}

every_learner_with_a_deadline = pytest.mark.parametrize("learner", KEEP_DEADLINES, ids=lambda learner: learner.name)


def table(n_rows: int = 90, n_columns: int = 4) -> FitData:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, n_columns)).astype(np.float32)
    y = X[:, 0] + 0.3 * rng.normal(size=n_rows)
    return fit_data(X, y.astype(np.float64), n_validation=n_rows - 2 * n_rows // 3, metric="rmse")


@every_learner_with_a_deadline
@pytest.mark.parametrize("n_iterations", [None, 3])
def test_a_fit_past_its_deadline_says_that_it_was_cut_short(learner: Learner, n_iterations: int | None) -> None:
    data = replace(table(), n_iterations=n_iterations, deadline=Deadline.after(-1.0))
    assert was_cut_short(learner.fit(data, QUICK.get(learner.name, {})))


@every_learner_with_a_deadline
@pytest.mark.parametrize("deadline", [NEVER, Deadline.after(1e6)], ids=["none", "far"])
@pytest.mark.parametrize("n_iterations", [None, 3])
def test_a_fit_with_time_enough_is_not_cut_short(
    learner: Learner, deadline: Deadline, n_iterations: int | None
) -> None:
    data = replace(table(), n_iterations=n_iterations, deadline=deadline)
    assert not was_cut_short(learner.fit(data, QUICK.get(learner.name, {})))


@pytest.mark.parametrize(
    "learner", [learner for learner in LEARNERS if learner not in KEEP_DEADLINES], ids=lambda learner: learner.name
)
def test_learners_that_know_no_deadline_are_never_cut_short(learner: Learner) -> None:
    data = replace(table(), deadline=Deadline.after(-1.0))
    if learner.name in ("logistic_regression", "discriminant_analysis"):
        data = replace(data, y=(data.y > 0).astype(np.int64), problem="binary", n_classes=2, X_val=None, y_val=None)
    assert not was_cut_short(learner.fit(data, {}))


def test_a_network_of_its_first_epoch_alone_is_complete() -> None:
    mlp_maml = next(learner for learner in LEARNERS if learner.name == "mlp_maml")
    assert not was_cut_short(mlp_maml.fit(replace(table(), deadline=Deadline.after(1e6)), {"n_epochs": 1}))
