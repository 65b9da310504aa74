"""The solver of penalised least squares, against scikit-learn's."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from autometa.learners import numeric
from autometa.learners.ridge import solve_ridge


def table(n_rows: int, n_features: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = (rng.normal(size=(n_rows, n_features)) + rng.normal(size=n_features)).astype(np.float32)
    return X, X[:, 0] + rng.normal(size=n_rows), rng.exponential(size=n_rows) * (rng.random(n_rows) < 0.9) + 1e-3


@given(
    n_rows=st.integers(2, 60),
    n_features=st.integers(1, 60),
    alpha=st.floats(1e-3, 1e5),
    weighted=st.booleans(),
    cells=st.integers(1, 500),
    seed=st.integers(0, 99),
)
@settings(max_examples=80)
def test_it_agrees_with_scikit_learn_whatever_the_shape_and_the_blocks(
    n_rows: int, n_features: int, alpha: float, weighted: bool, cells: int, seed: int
) -> None:
    X, y, weight = table(n_rows, n_features, seed)
    reference = Ridge(alpha=alpha).fit(X.astype(float), y, sample_weight=weight if weighted else None)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(numeric, "BLOCK_CELLS", cells)
        coefficients, intercept = solve_ridge(X, y, alpha, weight if weighted else None)
    np.testing.assert_allclose(X @ coefficients[:, 0] + intercept, reference.predict(X), atol=1e-4)


@pytest.mark.parametrize("alpha", [1e-9, 1e-3, 1.0])
@pytest.mark.parametrize("shape", [(300, 40), (40, 300)])
def test_columns_that_repeat_each_other_share_their_coefficient(
    alpha: float, shape: tuple[int, int], seed: int
) -> None:
    X, y, _ = table(*shape, seed)
    X[:, 1::2] = X[:, ::2]
    coefficients, intercept = solve_ridge(X, y, alpha, None)
    np.testing.assert_allclose(coefficients[1::2], coefficients[::2], rtol=1e-3, atol=1e-6)
    half, reference = solve_ridge(X[:, ::2] * np.float32(2**0.5), y, alpha, None)
    expected = X[:, ::2] * np.float32(2**0.5) @ half + reference
    np.testing.assert_allclose(X @ coefficients + intercept, expected, atol=1e-2)


@pytest.mark.parametrize("alpha", [1e-3, 1.0])
def test_it_takes_less_memory_than_the_table_also_for_collinear_columns(
    alpha: float, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y, weight = table(60_000, 40, seed)
    X[:, 20:] = X[:, :20]
    monkeypatch.setattr(numeric, "BLOCK_CELLS", 2**16)
    tracemalloc.start()
    try:
        solve_ridge(X, y, alpha, weight)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < X.nbytes
