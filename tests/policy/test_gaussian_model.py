"""The Gaussian over columns, against Ledoit–Wolf and the textbook."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from autometa.policy.gaussian_model import GaussianModel

NUGGET = 0.01


def low_rank(seed: int, n_rows: int = 60, n_columns: int = 20, noise: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=n_columns)
    return (
        columns
        + rng.normal(size=(n_rows, 2)) @ rng.normal(size=(2, n_columns))
        + noise * rng.normal(size=(n_rows, n_columns))
    )


def with_gaps(rows: np.ndarray, share: float, seed: int) -> np.ndarray:
    return np.where(np.random.default_rng(seed + 1).random(rows.shape) < share, np.nan, rows)


def test_without_gaps_it_is_ledoit_and_wolfs(seed: int) -> None:
    rows = low_rank(seed)
    model, reference = GaussianModel.learn(rows), LedoitWolf().fit(rows)
    assert model.mean == pytest.approx(reference.location_)
    # A hundred-millionth keeps rows that are all equal from dividing by nothing.
    assert model.covariance == pytest.approx(reference.covariance_, abs=2e-8)
    assert np.array_equal(model.rows, rows)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
def test_gaps_are_filled_better_than_with_the_means_of_columns(seed: int, share: float) -> None:
    rows = low_rank(seed)
    given = with_gaps(rows, share, seed)
    gaps = np.isnan(given)
    filled = GaussianModel.learn(given).rows

    def error(guess: np.ndarray) -> float:
        return float(np.sqrt(np.mean((guess - rows)[gaps] ** 2)))

    assert error(filled) < 0.5 * error(np.broadcast_to(np.nanmean(given, axis=0), rows.shape))
    assert np.array_equal(filled[~gaps], rows[~gaps])


def test_columns_seen_on_easy_rows_only_do_not_look_good() -> None:
    rng = np.random.default_rng(0)
    level = np.linspace(-3, 3, 40)[:, None]
    rows = level + 0.01 * rng.normal(size=(40, 6))
    rows[20:, 0] = np.nan
    assert GaussianModel.learn(rows).mean[0] == pytest.approx(0.0, abs=0.1)


def test_order_of_the_rows_does_not_matter(seed: int) -> None:
    rows = with_gaps(low_rank(seed), 0.2, seed)
    order = np.random.default_rng(seed).permutation(len(rows))
    one, other = GaussianModel.learn(rows), GaussianModel.learn(rows[order])
    assert other.mean == pytest.approx(one.mean)
    assert other.covariance == pytest.approx(one.covariance)
    assert other.rows == pytest.approx(one.rows[order])


def test_order_of_the_columns_does_not_matter(seed: int) -> None:
    rows = with_gaps(low_rank(seed), 0.2, seed)
    order = np.random.default_rng(seed).permutation(rows.shape[1])
    one, other = GaussianModel.learn(rows), GaussianModel.learn(rows[:, order])
    assert other.mean == pytest.approx(one.mean[order])
    assert other.covariance == pytest.approx(one.covariance[np.ix_(order, order)])


def test_rows_without_any_value_teach_nothing_and_are_filled_with_the_means(seed: int) -> None:
    rows = 5 + with_gaps(low_rank(seed), 0.2, seed)
    nothing = np.full((30, rows.shape[1]), np.nan)
    one, other = GaussianModel.learn(rows), GaussianModel.learn(np.vstack([nothing, rows]))
    assert np.array_equal(other.mean, one.mean)
    assert np.array_equal(other.covariance, one.covariance)
    assert np.array_equal(other.rows[30:], one.rows)
    assert (other.rows[:30] == one.mean).all()


@pytest.mark.parametrize("n_rows", [0, 1, 2])
def test_few_rows_give_a_model_that_can_be_conditioned(n_rows: int) -> None:
    model = GaussianModel.learn(np.arange(3.0 * n_rows).reshape(n_rows, 3))
    mean, deviation = model.condition(np.array([1]), np.array([7.0]))
    assert np.isfinite(mean).all()
    assert (deviation > 0).all()


def test_rows_that_are_all_equal_give_a_model_that_can_be_conditioned() -> None:
    model = GaussianModel.learn(np.ones((9, 4)))
    mean, deviation = model.condition(np.array([0, 2]), np.array([1.0, 3.0]))
    assert np.isfinite(mean).all()
    assert (deviation > 0).all()


def test_a_column_without_any_value_has_mean_zero() -> None:
    rows = 3 + low_rank(0)
    rows[:, 4] = np.nan
    model = GaussianModel.learn(rows)
    assert model.mean[4] == 0
    assert np.isfinite(model.rows).all()
    assert np.isfinite(model.covariance).all()


@pytest.mark.parametrize("n_seen", [1, 3, 20])
def test_conditioning_is_the_formula_of_the_textbook(seed: int, n_seen: int) -> None:
    model = GaussianModel.learn(low_rank(seed))
    rng = np.random.default_rng(seed)
    seen, values = rng.choice(20, n_seen, replace=False), rng.normal(size=n_seen)
    noisy = model.covariance[np.ix_(seen, seen)] + NUGGET * np.diag(np.diag(model.covariance)[seen])
    gain = model.covariance[:, seen] @ np.linalg.inv(noisy)
    mean, deviation = model.condition(seen, values)
    assert mean == pytest.approx(model.mean + gain @ (values - model.mean[seen]))
    assert deviation**2 == pytest.approx(np.diag(model.covariance - gain @ model.covariance[seen]))
    assert model.weights(seen) == pytest.approx(gain.T)
    assert model.precision(seen) == pytest.approx(np.linalg.inv(noisy))


def test_conditioning_on_nothing_changes_nothing() -> None:
    model = GaussianModel.learn(low_rank(0))
    mean, deviation = model.condition(np.array([], dtype=int), np.array([]))
    assert np.array_equal(mean, model.mean)
    assert deviation**2 == pytest.approx(np.diag(model.covariance))


def test_a_column_that_is_seen_takes_its_value_up_to_the_nugget(seed: int) -> None:
    model = GaussianModel.learn(low_rank(seed))
    mean, _ = model.condition(np.array([3]), model.mean[[3]] + 2.0)
    assert mean[3] == pytest.approx(model.mean[3] + 2.0 / (1 + NUGGET))


def test_what_is_seen_never_makes_anything_less_certain(seed: int) -> None:
    model = GaussianModel.learn(with_gaps(low_rank(seed), 0.3, seed))
    order = np.random.default_rng(seed).permutation(20)
    deviations = [model.condition(order[:n], np.zeros(n))[1] for n in range(21)]
    assert (np.diff(deviations, axis=0) < 1e-9).all()
