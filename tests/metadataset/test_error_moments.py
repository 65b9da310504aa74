"""Second moments of errors: what they say of ensembles, and their file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autometa._support.array_folder import npz_bytes
from autometa.exceptions import MetaDatasetError
from autometa.metadataset.error_moments import ErrorMoments, packed, second_moments, unpacked

TASKS, NAMES = ("iris", "wine"), ("tree", "forest", "linear", "constant")


@pytest.fixture
def moments() -> ErrorMoments:
    rng = np.random.default_rng(0)
    matrices = [np.stack([second_moments(rng.normal(size=(4, 50))) for _ in TASKS]) for _ in range(2)]
    for matrix in matrices:
        matrix[1, 2, :] = matrix[1, :, 2] = np.nan
    return ErrorMoments(TASKS, NAMES, *(matrix.astype(np.float32) for matrix in matrices))


def test_moments_give_the_squared_error_of_every_ensemble() -> None:
    rng = np.random.default_rng(1)
    y, predictions = rng.normal(size=80), rng.normal(size=(5, 80))
    weights = rng.dirichlet(np.ones(5))
    moments = second_moments(predictions - y)
    assert weights @ moments @ weights == pytest.approx(((weights @ predictions - y) ** 2).mean())


def test_moments_give_the_brier_score_of_every_ensemble_of_classifiers() -> None:
    rng = np.random.default_rng(2)
    y, predictions = rng.integers(0, 3, 60), rng.dirichlet(np.ones(3), size=(4, 60))
    weights = rng.dirichlet(np.ones(4))
    target = np.eye(3)[y]
    mixed = np.tensordot(weights, predictions, 1)
    moments = second_moments(predictions - target)
    assert weights @ moments @ weights == pytest.approx(((mixed - target) ** 2).sum(axis=1).mean())


def test_packed_moments_keep_diagonals_and_gaps_and_round_correlations(moments: ErrorMoments) -> None:
    again = unpacked(*packed(moments.validation))
    np.testing.assert_array_equal(np.isnan(again), np.isnan(moments.validation))
    np.testing.assert_allclose(again, moments.validation, atol=2e-4)
    np.testing.assert_array_equal(np.einsum("tii->ti", again), np.einsum("tii->ti", moments.validation))


def test_a_file_of_moments_is_read_as_it_was_written(moments: ErrorMoments, tmp_path: Path) -> None:
    again = ErrorMoments.load(moments.to_npz(tmp_path / "moments.npz"))
    assert (again.tasks, again.configurations) == (TASKS, NAMES)
    np.testing.assert_allclose(again.held_out, moments.held_out, atol=2e-4)


def test_selected_moments_are_in_the_order_asked_for_with_gaps_for_unknown_names(moments: ErrorMoments) -> None:
    part = moments.select(["wine", "moon"], ["forest", "unknown", "tree"])
    assert part.validation[0, 0, 2] == moments.validation[1, 1, 0]
    assert np.isnan(part.validation[1]).all()
    assert np.isnan(part.validation[0, 1]).all()


def test_files_that_are_missing_damaged_or_newer_are_refused_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(MetaDatasetError, match="autometa export"):
        ErrorMoments.load(tmp_path / "none.npz")
    (tmp_path / "damaged.npz").write_bytes(b"no zip")
    with pytest.raises(MetaDatasetError, match="does not hold"):
        ErrorMoments.load(tmp_path / "damaged.npz")
    newer = npz_bytes({"about": np.array('{"version": 99, "tasks": [], "configurations": []}')})
    (tmp_path / "newer.npz").write_bytes(newer)
    with pytest.raises(MetaDatasetError, match="Update autometa"):
        ErrorMoments.load(tmp_path / "newer.npz")


def test_matrices_of_another_shape_than_the_names_are_refused() -> None:
    with pytest.raises(ValueError, match="validation must be of shape"):
        ErrorMoments(TASKS, NAMES, np.zeros((2, 3, 3)), np.zeros((2, 4, 4)))
