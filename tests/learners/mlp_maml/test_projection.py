import numpy as np
import pytest

from autometa.learners.mlp_maml.projection import N_COLUMN_SLOTS, N_SLOTS, fit_projection

PROBLEMS = ("binary", "multiclass", "regression")


def table(problem: str, n_rows: int = 200, n_features: int = 6, seed: int = 0):
    rng = np.random.default_rng(seed)
    X = (3 * rng.normal(size=(n_rows, n_features)) + 1).astype(np.float32)
    score = X[:, -1] + 0.1 * rng.normal(size=n_rows)
    y = score if problem == "regression" else np.digitize(score, [0] if problem == "binary" else [0, 1, 2])
    return X, y


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("n_features", [1, 6, 100])
def test_slots_have_mean_0_and_deviation_1_or_are_empty(problem, n_features, seed):
    X, y = table(problem, n_features=n_features, seed=seed)
    matrix, offset = fit_projection(X, y, problem)
    slots = X @ matrix + offset
    assert slots.shape == (200, N_SLOTS)
    deviation = slots.std(axis=0)
    filled = deviation > 0.5
    np.testing.assert_allclose(slots.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(deviation[filled], 1, atol=1e-3)
    assert (deviation[~filled] == 0).all()
    assert filled[:N_COLUMN_SLOTS].sum() == min(n_features, N_COLUMN_SLOTS)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_order_and_the_units_of_columns_make_no_difference(problem, seed):
    X, y = table(problem, seed=seed)
    order = np.random.default_rng(seed).permutation(X.shape[1])
    first, second = (some @ m + o for some in (X, 10 * X[:, order]) for m, o in [fit_projection(some, y, problem)])
    np.testing.assert_allclose(first, second, atol=2e-3)


def test_the_column_nearest_to_the_target_comes_first_and_grows_with_it():
    X, y = table("regression")
    X[:, 2] = -y
    matrix, offset = fit_projection(X, y, "regression")
    assert np.corrcoef((X @ matrix + offset)[:, 0], y)[0, 1] > 0.999


def test_mixed_slots_are_uncorrelated():
    X, y = table("multiclass", n_features=12)
    matrix, offset = fit_projection(X, y, "multiclass")
    mixed = (X @ matrix + offset)[:, N_COLUMN_SLOTS:]
    np.testing.assert_allclose(np.corrcoef(mixed.T), np.eye(mixed.shape[1]), atol=1e-2)


def test_the_first_mixed_slot_of_independent_columns_is_the_least_squares_fit():
    rng = np.random.default_rng(0)
    X = np.linalg.qr(rng.normal(size=(300, 5)) - 0.0)[0]
    X = (X - X.mean(axis=0)) * 17
    y = X @ np.array([1.0, -2.0, 0.5, 0.0, 3.0])
    matrix, offset = fit_projection(X.astype(np.float32), y, "regression")
    mixed = (X @ matrix + offset)[:, N_COLUMN_SLOTS]
    assert np.corrcoef(mixed, y)[0, 1] > 0.99


@pytest.mark.parametrize("problem", PROBLEMS)
def test_constant_columns_and_constant_targets_give_finite_slots(problem):
    X, y = table(problem)
    X[:, 1] = 7.0
    for target in (y, np.zeros_like(y)):
        matrix, offset = fit_projection(X, target, problem)
        assert np.isfinite(matrix).all() and np.isfinite(offset).all()
        assert (matrix[1] == 0).all()
    matrix, offset = fit_projection(np.full_like(X, 3.0), y, problem)
    assert (matrix == 0).all() and (offset == 0).all()
