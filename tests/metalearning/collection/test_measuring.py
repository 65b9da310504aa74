"""One configuration on one task: its rows, its learning curve, its predictions, its failures."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LinearRegression

from autometa._support.seeds import child_seed
from autometa.catalogue import load_strategies
from autometa.core.space import Configuration
from autometa.core.strategy import Fitness, Strategy
from autometa.evaluation.resampling import subsample
from autometa.learners import learner_named
from autometa.learners.base import FitData
from autometa.metadataset.machine_speed import machine_speed
from autometa.metadataset.pool import PoolEntry, make_pool
from autometa.metadataset.schema import EVALUATION_COLUMNS, EVALUATION_KEY, HELD_OUT, LOSS_COLUMNS, LOSSES
from autometa.metalearning.collection import measuring
from autometa.metalearning.collection.measuring import CollectionSettings, Measured, Run, measure
from autometa.metalearning.collection.task_folder import LoadedTask, Table, load_task, read_table_list
from autometa.tables.preparation import fit_preparation
from tests.helpers.collections import small_tables, write_tables

CHEAP = {"numbers": "ridge", "three": "logistic_regression", "two": "nearest_neighbours"}


class Failing(RegressorMixin, BaseEstimator):
    """Fails on tables of more rows than it can do."""

    def __init__(self, most_rows: int = 0) -> None:
        self.most_rows = most_rows

    def fit(self, X: np.ndarray, y: np.ndarray) -> Failing:
        if len(X) > self.most_rows:
            raise RuntimeError(f"{len(X)} rows\nare too many")
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.zeros(len(X))


class Enormous(Failing):
    """Predicts numbers that half precision does not know."""

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.full(len(X), -1e9)


@pytest.fixture(autouse=True)
def _nothing_remains(in_calling_process: None) -> Iterator[None]:
    yield
    measuring.close()


@pytest.fixture
def tables(table_folder: Path) -> dict[str, Table]:
    problems = {"numbers": "regression", "three": "multiclass", "two": "binary"}
    listed = read_table_list(table_folder)
    return {table.task: dataclasses.replace(table, problem=problems[table.task]) for table in listed}


def run_of(*strategies: Strategy, scratch: Path | None = None, **settings: Any) -> Run:
    return Run(
        uuid.uuid4().hex,
        CollectionSettings(**settings),
        {strategy.name: strategy for strategy in strategies},
        scratch,
        1,
    )


def default_of(strategy: Strategy) -> PoolEntry:
    return make_pool([strategy], {strategy.name: 1})[0]


def measured(table: Table, strategy: str | Strategy, **settings: Any) -> Measured:
    if isinstance(strategy, str):
        (strategy,) = load_strategies([strategy])
    return measure(run_of(strategy, **settings), table, default_of(strategy))


def slowly(
    loaded: LoadedTask, number: int, anchor: float, configuration: Configuration, part: str = "validation"
) -> tuple[np.ndarray, np.ndarray]:
    """Return targets and predictions of a part of a fold, without any of the machinery."""
    task, fold = loaded.task, loaded.folds[number]
    rows = getattr(fold, part)
    learner = learner_named(configuration.strategy)
    train = task.table.take(fold.train)
    preparation = fit_preparation(train, learner.view, child_seed(0, "preparation"))
    X, y = preparation.transform(train), task.y[fold.train]
    kept = subsample(y, anchor, task.problem, child_seed(0, "subsample", number))
    data = FitData(
        X[kept], y[kept], task.problem, task.n_classes, preparation.categorical, preparation.n_categories, seed=0
    )
    model = learner.fit(data, configuration.parameters)
    return task.y[rows], model.predict(preparation.transform(task.table.take(rows)))


def scores(problem: str, y: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Return scikit-learn's view of some predictions, as losses."""
    if problem == "regression":
        return {
            "rmse": sklearn.metrics.root_mean_squared_error(y, predicted),
            "mae": sklearn.metrics.mean_absolute_error(y, predicted),
            "r2": 1 - sklearn.metrics.r2_score(y, predicted),
        }
    label = predicted.argmax(axis=1)
    losses = {
        "log_loss": sklearn.metrics.log_loss(y, predicted, labels=range(predicted.shape[1])),
        "balanced_accuracy": 1 - sklearn.metrics.balanced_accuracy_score(y, label),
        "accuracy": 1 - sklearn.metrics.accuracy_score(y, label),
    }
    if problem == "binary":
        losses["roc_auc"] = 1 - sklearn.metrics.roc_auc_score(y, predicted[:, 1])
    return losses


@pytest.mark.parametrize("task", CHEAP)
def test_rows_are_what_the_learner_gives(tables: dict[str, Table], task: str) -> None:
    result = measured(tables[task], CHEAP[task])
    loaded = load_task(tables[task], 10_000, 0)
    problem = loaded.task.problem
    assert {tuple(row) for row in result.rows} == {tuple(EVALUATION_COLUMNS)}
    assert {row["status"] for row in result.rows} == {"ok"}
    for row in result.rows:
        expected = scores(problem, *slowly(loaded, row["fold"], row["anchor"], result.entry.configuration))
        for metric in LOSSES[problem]:
            # Probabilities of 0 are clipped by both, at other places.
            assert row[f"loss_{metric}"] == pytest.approx(expected[metric], rel=1e-4, abs=1e-9)
        others = set(LOSS_COLUMNS) - {f"loss_{metric}" for metric in LOSSES[problem]}
        assert all(np.isnan(row[column]) for column in others)
        assert all(row[name] >= 0 for name in ("fit_s", "predict_s", "fit_cpu_s", "predict_cpu_s"))
        assert (row["progress"], row["n_iterations"], row["seed"], row["error"]) == (1, 0, 0, "")
        assert 0 < row["machine_speed"] < np.inf


def test_anchors_below_ten_rows_are_left_out(tables: dict[str, Table]) -> None:
    """A sixteenth and an eighth of 48 training rows are too few."""
    rows = measured(tables["numbers"], "ridge").rows
    assert [(row["fold"], row["anchor"]) for row in rows] == [(k, a) for k in range(3) for a in (0.25, 0.5, 1.0)]


def test_a_learner_with_iterations_shows_its_curve_from_one_fit(tables: dict[str, Table]) -> None:
    rows = measured(tables["numbers"], "hist_gradient_boosting").rows
    for fold in range(3):
        *stages, last = [row for row in rows if row["fold"] == fold]
        assert [row["n_iterations"] for row in stages] == [2**k for k in range(len(stages))]
        assert (last["anchor"], last["progress"]) == (1, 1) and last["n_iterations"] > stages[-1]["n_iterations"]
        for row in stages:
            assert row["anchor"] == 1
            assert row["progress"] == row["n_iterations"] / last["n_iterations"] < 1
            assert np.isnan([row[name] for name in ("fit_s", "predict_s", "fit_cpu_s", "memory_mb")]).all()
            assert row["loss_rmse"] >= 0
        assert stages[0]["loss_rmse"] > last["loss_rmse"]
        assert last["fit_s"] > 0


def line(folder: Path, n_rows: int, noise: float = 0.0) -> Table:
    """Return a table whose target is its feature and noise, in which boosting stops early."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.uniform(size=n_rows)})
    y = 3 * frame["a"] + 7 + noise * rng.normal(size=n_rows)
    return read_table_list(write_tables(folder, {"line": frame.assign(y=y)}))[0]


@pytest.mark.parametrize(("n_rows", "anchors"), [(1560, (1 / 8, 1.0)), (1400, (1.0,))])
def test_an_eighth_of_the_rows_has_a_curve_of_its_own_if_it_is_a_hundred_rows_or_more(
    tmp_path: Path, n_rows: int, anchors: tuple[float, ...]
) -> None:
    """An eighth of the training rows, which are two thirds of four fifths of all."""
    rows = measured(line(tmp_path, n_rows, noise=1.0), "hist_gradient_boosting").rows
    assert {row["anchor"] for row in rows} == set(anchors)
    assert len({tuple(row[name] for name in EVALUATION_KEY) for row in rows}) == len(rows)
    assert {row["machine_speed"] for row in rows} == {machine_speed()}
    for fold in range(3):
        for anchor in anchors:
            *stages, last = [row for row in rows if (row["fold"], row["anchor"]) == (fold, anchor)]
            assert [row["n_iterations"] for row in stages] == [2**k for k in range(len(stages))] and stages
            assert [row["progress"] for row in stages] == [2**k / last["n_iterations"] for k in range(len(stages))]
            assert last["progress"] == 1 and last["n_iterations"] > stages[-1]["n_iterations"]
            assert last["fit_s"] > 0
    full = {(row["fold"], row["n_iterations"]): row["loss_rmse"] for row in rows if row["anchor"] == 1}
    part = {(row["fold"], row["n_iterations"]): row["loss_rmse"] for row in rows if row["anchor"] < 1}
    assert not any(full.get(key) == loss for key, loss in part.items())


@pytest.mark.parametrize("task", CHEAP)
def test_kept_predictions_of_held_out_rows_are_the_means_of_the_models_of_all_folds(
    tables: dict[str, Table], task: str
) -> None:
    result = measured(tables[task], CHEAP[task])
    loaded = load_task(tables[task], 10_000, 0)
    assert result.kept is not None and result.predictions is not None
    here = result.kept.fold == HELD_OUT
    pairs = [slowly(loaded, k, 1.0, result.entry.configuration, "held_out") for k in range(len(loaded.folds))]
    assert np.array_equal(result.kept.y[here], pairs[0][0])
    expected = np.mean([predicted for _, predicted in pairs], axis=0)
    # Half precision.
    np.testing.assert_allclose(result.predictions[here].astype(np.float64), expected, rtol=2e-3, atol=1e-3)
    # A model alone would have predicted something else.
    assert np.abs(pairs[0][1] - expected).max() > 5e-3


def test_a_fit_that_the_limit_cut_short_is_marked(tables: dict[str, Table]) -> None:
    rows = measured(tables["numbers"], "random_forest", time_limit_s=1e-6).rows
    # A forest past its deadline has a tree, and a loss, for each fold.
    of_all_rows = [row for row in rows if row["anchor"] == 1]
    assert [(row["status"], row["fold"]) for row in of_all_rows] == [("ok", fold) for fold in range(3)]
    assert all("cut short" in row["error"] and row["loss_rmse"] > 0 for row in of_all_rows)


def test_what_is_said_of_the_task(tables: dict[str, Table]) -> None:
    assert measured(tables["two"], "ridge").task == measured(tables["two"], "nearest_neighbours").task
    assert measured(tables["two"], "ridge", max_train_rows=40).task == {
        "task": "two",
        "problem": "binary",
        "family": "two",
        "n_rows": 90,
        "n_columns": 4,
        "n_classes": 2,
        "n_rows_used": 60,
    }


def test_a_strategy_that_is_not_for_the_task_leaves_no_rows(tables: dict[str, Table]) -> None:
    result = measured(tables["two"], "ridge")
    assert (result.rows, result.predictions, result.fault) == ([], None, "")


def test_kept_predictions_are_those_that_the_losses_are_of(tables: dict[str, Table]) -> None:
    """All validation rows of a small table are kept, so that the losses follow from them, fold by fold."""
    for task, strategy in CHEAP.items():
        result = measured(tables[task], strategy)
        assert result.predictions is not None and result.kept is not None
        assert result.predictions.dtype == np.float16
        assert len(result.predictions) == len(result.kept.y) == 90
        problem = result.task["problem"]
        for row in result.rows:
            if row["anchor"] == 1:
                here = result.kept.fold == row["fold"]
                predicted = result.predictions[here].astype(np.float64)
                if problem != "regression":
                    predicted /= predicted.sum(axis=1, keepdims=True)
                found = scores(problem, result.kept.y[here], predicted)
                metric = "rmse" if problem == "regression" else "balanced_accuracy"
                assert row[f"loss_{metric}"] == pytest.approx(found[metric], rel=1e-2, abs=1e-9)


def test_at_most_1000_validation_and_held_out_rows_each_are_kept_in_the_order_of_their_targets(tmp_path: Path) -> None:
    table = line(tmp_path, 6000)
    result = measured(table, Strategy("line", LinearRegression()))
    again = measured(table, "ridge")
    assert result.kept is not None and result.predictions is not None and again.kept is not None
    assert len(result.kept.y) == len(result.predictions)
    is_held_out = result.kept.fold == HELD_OUT
    assert ((~is_held_out).sum(), is_held_out.sum()) == (1000, 1000)
    # The target is the feature: only predictions in another order would be off.
    assert np.abs(result.predictions - result.kept.y).max() < 0.1
    assert np.array_equal(result.kept.y, again.kept.y) and np.array_equal(result.kept.fold, again.kept.fold)
    # Fold after fold, then the rows held out.
    assert list(dict.fromkeys(result.kept.fold)) == [0, 1, 2, HELD_OUT]
    assert (np.diff(result.kept.fold) != 0).sum() == 3


def test_predictions_beyond_half_precision_stay_finite(tables: dict[str, Table]) -> None:
    predictions = measured(tables["numbers"], Strategy("enormous", Enormous(10**6))).predictions
    assert predictions is not None and np.isfinite(predictions).all() and (predictions < -5e4).all()


def test_a_failure_is_a_row_and_the_other_folds_are_not_tried(tables: dict[str, Table]) -> None:
    result = measured(tables["numbers"], Strategy("failing", Failing()))
    assert [(row["fold"], row["anchor"], row["status"]) for row in result.rows] == [
        (0, anchor, "failed") for anchor in (0.25, 0.5, 1.0)
    ]
    assert result.rows[-1]["error"] == "RuntimeError"
    assert all(np.isnan(row[column]) for row in result.rows for column in LOSS_COLUMNS)
    assert result.predictions is None and result.kept is None


def test_what_was_measured_before_a_failure_is_kept(tables: dict[str, Table]) -> None:
    rows = measured(tables["numbers"], Strategy("failing", Failing(most_rows=30))).rows
    assert [(row["anchor"], row["status"]) for row in rows] == [(0.25, "ok"), (0.5, "ok"), (1.0, "failed")]


@pytest.mark.parametrize("error", [TimeoutError(), MemoryError()], ids=["timeout", "memory"])
def test_a_limit_that_a_part_of_the_rows_runs_into_ends_the_configuration(
    tables: dict[str, Table], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def schedule(self: Any, function: Any, args: Any, timeout: float) -> Any:
        future = original(self, function, args, timeout)
        job = args[1]
        if (job.fold, job.anchor) == (1, 0.5):
            future = type(future)()
            future.set_exception(error)
        return future

    pool = measuring.process_pool
    original = pool.schedule  # type: ignore[attr-defined]
    monkeypatch.setattr(pool, "schedule", schedule)
    rows = measured(tables["numbers"], "ridge").rows
    status = "timeout" if isinstance(error, TimeoutError) else "memory"
    assert [(row["fold"], row["anchor"]) for row in rows] == [(0, 0.25), (0, 0.5), (0, 1.0), (1, 0.25), (1, 0.5)]
    assert [row["status"] for row in rows] == ["ok"] * 4 + [status]


def test_a_table_that_cannot_be_used_is_said(tables: dict[str, Table]) -> None:
    result = measured(dataclasses.replace(tables["two"], target="z"), "ridge")
    assert result.fault == "the target 'z' is not a column of two.csv"
    assert result.rows == []


@pytest.mark.parametrize("where", ["load_task", "Workspace.prepare"])
def test_an_odd_error_of_one_table_is_its_fault(
    tables: dict[str, Table], where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"autometa.metalearning.collection.measuring.{where}", raising(KeyError("odd")))
    assert measured(tables["numbers"], "ridge").fault == "KeyError, whose text is logged at level DEBUG"


@pytest.mark.parametrize("where", ["load_task", "Workspace.prepare"])
def test_a_full_disk_is_no_fault_of_the_table(
    tables: dict[str, Table], where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        f"autometa.metalearning.collection.measuring.{where}", raising(OSError(28, "No space left on device"))
    )
    with pytest.raises(OSError, match="No space left"):
        measured(tables["numbers"], "ridge")


def raising(error: Exception) -> Any:
    def fail(*args: Any) -> Any:
        raise error

    return fail


def test_another_run_reads_the_table_anew(tables: dict[str, Table]) -> None:
    """The workers of a Dask cluster live longer than a run."""
    (ridge,) = load_strategies(["ridge"])
    first, second = run_of(ridge), run_of(ridge, max_train_rows=40)
    assert measure(first, tables["numbers"], default_of(ridge)).task["n_rows_used"] == 72
    assert measure(second, tables["numbers"], default_of(ridge)).task["n_rows_used"] == 60


def test_prepared_tables_are_deleted_when_another_is_measured_and_at_the_end(
    tables: dict[str, Table], tmp_path: Path
) -> None:
    (ridge,) = load_strategies(["ridge"])
    run = run_of(ridge, scratch=tmp_path / "scratch")
    (tmp_path / "scratch").mkdir()
    for task in ("numbers", "two"):
        measure(run, tables[task], default_of(ridge))
        assert len(list((tmp_path / "scratch").iterdir())) == 1
    measuring.close()
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize("name", ["time_limit_s", "memory_limit_gb", "max_train_rows"])
def test_limits_are_positive(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be positive, got 0"):
        CollectionSettings(**{name: 0})


def test_fitness_is_of_the_rows_that_are_used(tables: dict[str, Table]) -> None:
    strategy = Strategy("line", LinearRegression(), fitness=Fitness(max_rows=70))
    assert measured(tables["numbers"], strategy).rows == []
    assert len(measured(tables["numbers"], strategy, max_train_rows=40).rows) > 0


def test_small_tables_have_the_problems_that_tests_rely_on() -> None:
    assert {name: frame["y"].nunique() for name, frame in small_tables().items()} == {
        "numbers": 90,
        "three": 3,
        "two": 2,
    }
