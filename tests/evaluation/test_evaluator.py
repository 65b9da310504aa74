"""One job: fitted, validated, and written down; or failed with its reason."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin

from autometa.core.space import Configuration
from autometa.evaluation.evaluator import evaluate
from autometa.evaluation.jobs import Job, Outcome
from autometa.evaluation.workspace import ALL_ROWS, Workspace, model_path
from autometa.learners import learner_named
from autometa.learners.sklearn_estimator import own_learner
from tests.helpers.workspaces import workspace_of

N_ROWS = 60


class Counting(RegressorMixin, BaseEstimator):
    """Predicts the number of rows that it was fitted on."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> Counting:
        self.n_rows_ = len(y)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.full(len(X), float(self.n_rows_))


class Faulty(RegressorMixin, BaseEstimator):
    """Raises an error in `fit`, or predicts what it should not."""

    def __init__(self, error: Exception | None = None, predicts: Any = None) -> None:
        self.error = error
        self.predicts = predicts

    def fit(self, X: np.ndarray, y: np.ndarray) -> Faulty:
        self.fitted_ = True
        if self.error is not None:
            raise self.error
        return self

    def predict(self, X: np.ndarray) -> Any:
        return np.full(len(X), self.predicts)


def table() -> tuple[pd.DataFrame, np.ndarray]:
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(N_ROWS, 3)), columns=["a", "b", "c"])
    return X, (X["a"] + 0.1 * X["b"]).to_numpy()


def job(strategy: str, fold: int = 0, **changes: Any) -> Job:
    parameters = {"alpha": 1.0} if strategy == "ridge" else {}
    arguments: dict[str, Any] = {"trial": 7, "anchor": 1.0, "seed": 0, "limit_s": math.inf}
    return Job(configuration=Configuration(strategy, parameters), fold=fold, **{**arguments, **changes})


def outcome_of(estimator: Any) -> Outcome:
    X, y = table()
    with workspace_of(X, y, {"mine": own_learner("mine", estimator)}) as workspace:
        return evaluate(workspace.folder, job("mine"))


@pytest.fixture
def workspace() -> Any:
    X, y = table()
    learners = {"ridge": learner_named("ridge"), "counting": own_learner("counting", Counting())}
    with workspace_of(X, y, learners) as made:
        yield made


def test_the_loss_is_that_of_the_predictions_for_the_validation_rows(workspace: Workspace) -> None:
    outcome = evaluate(workspace.folder, job("ridge", fold=1))
    shared = workspace.shared
    rows = shared.folds[1].validation
    assert outcome.predictions is not None
    assert outcome.evaluation.loss == shared.metric.loss(shared.y[rows], outcome.predictions)
    assert outcome.evaluation.loss < np.std(shared.y) / 2
    assert (outcome.evaluation.status, outcome.evaluation.fold, outcome.evaluation.anchor) == ("ok", 1, 1.0)


@pytest.mark.parametrize("anchor", [1.0, 0.5, 0.1])
def test_an_anchor_is_the_fraction_of_the_training_rows(workspace: Workspace, anchor: float) -> None:
    outcome = evaluate(workspace.folder, job("counting", anchor=anchor))
    n_train = len(workspace.shared.folds[0].train)
    assert outcome.predictions is not None
    assert set(outcome.predictions) == {round(anchor * n_train)}


def test_a_refit_takes_all_rows_and_validates_none(workspace: Workspace) -> None:
    outcome = evaluate(workspace.folder, job("counting", fold=ALL_ROWS))
    assert outcome.predictions is None and math.isnan(outcome.evaluation.loss)
    model = workspace.load_model(7, ALL_ROWS)
    assert model.predict(np.zeros((1, 3), dtype=np.float32), 1).tolist() == [N_ROWS]


def test_a_job_for_records_predicts_held_out_rows_and_keeps_no_model(workspace: Workspace) -> None:
    outcome = evaluate(workspace.folder, job("ridge", for_records=True))
    assert outcome.held_out is not None and len(outcome.held_out) == 0
    assert not model_path(workspace.folder, 7, 0).exists()


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (ValueError("row 17 holds 'secret'"), "failed", "ValueError"),
        (MemoryError(), "memory", "MemoryError"),
        (RuntimeError("std::bad_alloc"), "memory", "RuntimeError"),
    ],
)
def test_a_learner_that_fails_gives_a_status_and_a_reason_without_data(
    error: Exception, status: str, reason: str
) -> None:
    outcome = outcome_of(Faulty(error=error))
    assert (outcome.evaluation.status, outcome.evaluation.error) == (status, reason)
    assert outcome.evaluation.error_text == str(error)
    assert outcome.predictions is None and math.isnan(outcome.evaluation.loss)


@pytest.mark.parametrize("predicts", [np.nan, np.inf])
def test_predictions_that_are_not_finite_fail(predicts: float) -> None:
    outcome = outcome_of(Faulty(predicts=predicts))
    assert outcome.evaluation.status == "failed"
    assert outcome.evaluation.error == f"the learner predicted {N_ROWS // 2} values that are not finite"


def test_a_fold_that_trains_on_rows_of_weight_zero_alone_fails(workspace: Workspace) -> None:
    weight = np.ones(N_ROWS)
    weight[workspace.shared.folds[0].train] = 0.0
    weighted = replace(workspace.shared, sample_weight=weight)
    (workspace.folder / "shared.pkl").write_bytes(cloudpickle.dumps(weighted))
    evaluation = evaluate(workspace.folder, job("ridge")).evaluation
    assert (evaluation.status, evaluation.error) == ("failed", "every training row of this fold has weight 0")


def test_a_library_that_cannot_be_imported_fails_the_job(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise ImportError(f"{name} lacks a shared library")

    monkeypatch.setattr("autometa.evaluation.evaluator.importlib.import_module", broken)
    evaluation = evaluate(workspace.folder, job("ridge")).evaluation
    assert (evaluation.status, evaluation.error, evaluation.fit_s) == ("failed", "ImportError", 0.0)
