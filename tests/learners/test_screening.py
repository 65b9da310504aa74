import numpy as np
import pytest

from autometa.learners.base import FitData
from autometa.learners.screening import MAX_COLUMNS, column_strengths, screened
from tests.helpers.fit_data import fit_data


def wide(n_columns: int, regression: bool, seed: int = 0) -> FitData:
    """Return noise in which column 7 decides linearly and column 11 by its magnitude."""
    X = np.random.default_rng(seed).normal(size=(300, n_columns)).astype(np.float32)
    score = X[:, 7] + X[:, 11] ** 2
    y = score.astype(np.float64) if regression else (score > 1).astype(np.int64)
    return fit_data(X, y, categories={7: 9}, X_val=X[:20], y_val=y[:20])


def test_tables_that_are_not_wide_are_left_alone() -> None:
    data = wide(MAX_COLUMNS, regression=False)
    same, columns = screened(data)
    assert same is data
    assert columns is None


@pytest.mark.parametrize("regression", [False, True])
def test_the_columns_that_matter_are_kept_with_all_that_belongs_to_them(regression: bool) -> None:
    data = wide(MAX_COLUMNS + 500, regression)
    narrow, columns = screened(data)
    assert columns is not None and {7, 11} <= set(columns.tolist())
    assert len(columns) == MAX_COLUMNS == len(set(columns.tolist()))
    np.testing.assert_array_equal(narrow.X, data.X[:, columns])
    np.testing.assert_array_equal(narrow.X_val, data.X_val[:, columns])  # type: ignore[index]
    np.testing.assert_array_equal(np.flatnonzero(narrow.categorical), np.flatnonzero(columns == 7))
    np.testing.assert_array_equal(np.flatnonzero(narrow.n_categories == 9), np.flatnonzero(columns == 7))


def test_strengths_are_shares() -> None:
    X = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)
    groups = np.arange(200) % 3
    X[:, 1] = groups
    X[:, 2] = 5.0
    X[:, 3] = np.nan
    X[::7, 4] = np.nan
    strengths = column_strengths(X, groups)
    assert ((strengths >= 0) & (strengths <= 1 + 1e-12)).all()
    assert strengths[1] == pytest.approx(1.0)
    assert strengths[2] == strengths[3] == 0.0


def test_strengths_do_not_depend_on_units() -> None:
    X = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    groups = (X[:, 0] > 0).astype(np.int64)
    np.testing.assert_allclose(column_strengths(4 * X + 1, groups), column_strengths(X, groups), rtol=1e-4)
