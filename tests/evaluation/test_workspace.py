"""Folds are prepared once, from their training rows alone, and mapped by whoever evaluates them."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import numpy as np
import pytest

from autometa.evaluation.metrics import resolve_metric
from autometa.evaluation.resampling import Fold, make_folds
from autometa.evaluation.workspace import ALL_ROWS, Workspace, model_path, read_prepared, read_shared
from autometa.learners import learner_named
from autometa.tables.preparation import fit_preparation
from tests.helpers.tables import make_task

N = 60
RNG = np.random.default_rng(0)
TASK = make_task({"a": RNG.normal(size=N), "b": RNG.choice(["u", "v", "w"], N)}, np.arange(N) % 2, 2)
FOLDS = tuple(Fold(fold.train, fold.validation[2:], fold.validation[:2]) for fold in make_folds(TASK, 3, 0))


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    metric = resolve_metric("roc_auc", "binary", np.array([0, 1]))
    made = Workspace(TASK, FOLDS, metric, {"ridge": learner_named("logistic_regression")}, seed=5)
    yield made
    made.close()


@pytest.mark.parametrize("view", ["tree", "numeric"])
@pytest.mark.parametrize("fold", range(3))
def test_a_fold_is_prepared_by_its_training_rows(workspace: Workspace, fold: int, view):
    rows = FOLDS[fold]
    expected = fit_preparation(TASK.table.take(rows.train), view, 5)
    preparation = workspace.prepare(fold, view)
    assert workspace.prepare(fold, view) is preparation and workspace.expected_s(fold, view) == 0
    prepared = read_prepared(workspace.folder, fold, view)
    for part, numbers in (
        (prepared.X_train, rows.train),
        (prepared.X_validation, rows.validation),
        (prepared.X_held_out, rows.held_out),
    ):
        np.testing.assert_array_equal(part, expected.transform(TASK.table.take(numbers)))
        assert isinstance(part, np.memmap)
    np.testing.assert_array_equal(prepared.n_categories, expected.n_categories)
    np.testing.assert_array_equal(workspace.train_rows(fold), rows.train)


def test_a_fold_of_all_rows_has_none_to_validate(workspace: Workspace):
    preparation = workspace.prepare(ALL_ROWS, "tree")
    prepared = read_prepared(workspace.folder, ALL_ROWS, "tree")
    np.testing.assert_array_equal(prepared.X_train, preparation.transform(TASK.table))
    assert len(prepared.X_validation) == len(prepared.X_held_out) == 0
    np.testing.assert_array_equal(workspace.train_rows(ALL_ROWS), np.arange(N))


def test_what_evaluations_share_is_read_from_the_folder(workspace: Workspace):
    shared = read_shared(workspace.folder)
    np.testing.assert_array_equal(shared.y, TASK.y)
    assert shared.metric.name == "roc_auc" and set(shared.learners) == {"ridge"} and len(shared.folds) == 3


def test_models_are_loaded_until_their_trial_is_dropped(workspace: Workspace):
    for trial in (1, 11):
        path = model_path(workspace.folder, trial, 0)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(pickle.dumps(f"model of {trial}"))
    workspace.drop_models(1)
    assert workspace.load_model(11, 0) == "model of 11"
    with pytest.raises(FileNotFoundError):
        workspace.load_model(1, 0)


def test_the_folder_is_gone_when_the_run_is_over(workspace: Workspace):
    workspace.prepare(0, "tree")
    workspace.close()
    assert not workspace.folder.exists()


def test_fits_that_are_kept_are_those_of_a_later_workspace(workspace: Workspace):
    preparation = workspace.prepare(0, "tree")
    path = model_path(workspace.folder, 3, 0)
    path.parent.mkdir()
    path.write_bytes(pickle.dumps("a model"))
    kept = workspace.kept_fits([(3, 0)])
    shared = workspace.shared
    later = Workspace(TASK, FOLDS, shared.metric, shared.learners, seed=5, kept=kept)
    try:
        assert later.load_model(3, 0) == "a model"
        # Not prepared yet, as loading a model needs no rows; then by the very same preparation.
        assert later.preparation(0, "tree") is preparation
        assert not list(later.folder.glob("fold0-*"))
        assert later.prepare(0, "tree") is preparation and list(later.folder.glob("fold0-*"))
    finally:
        later.close()
