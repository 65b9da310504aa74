"""Regret and intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from autometa.metalearning.replay.regret import normalised_regret, paired_bootstrap, surely_best

LOSSES = arrays(np.float64, st.integers(1, 20), elements=st.floats(-1e6, 1e6))


@given(LOSSES)
def test_regret_is_0_for_the_best_known_loss_and_grows_with_the_loss_to_1(losses: np.ndarray) -> None:
    regrets = normalised_regret(np.sort(losses), losses)
    assert regrets[0] == 0
    assert np.all(np.diff(regrets) >= 0)
    assert np.all((regrets >= 0) & (regrets <= 1))
    assert np.ptp(losses) == 0 or regrets[-1] == 1


@given(LOSSES, st.floats(-1e6, 1e6))
def test_regret_of_any_loss_is_in_0_to_1(losses: np.ndarray, found: float) -> None:
    assert 0 <= normalised_regret(found, losses) <= 1


def test_losses_that_are_not_known_do_not_count() -> None:
    np.testing.assert_array_equal(normalised_regret([1.0, 2.0, 3.0], [1.0, np.nan, 3.0]), [0, 0.5, 1])


def test_having_found_nothing_is_a_regret_of_1_also_where_all_losses_are_the_same() -> None:
    assert normalised_regret(np.nan, [1.0, 2.0]) == 1
    np.testing.assert_array_equal(normalised_regret([np.nan, 0.5, 0.4], [0.5, 0.5]), [1, 0, 0])


def test_a_task_without_known_losses_has_no_regret() -> None:
    with pytest.raises(ValueError, match="every loss of the task is NaN"):
        normalised_regret(0.5, [np.nan, np.nan])


def test_interval_covers_the_mean_of_independent_tasks_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    intervals = [paired_bootstrap(rng.integers(2, size=60), n=500, seed=seed) for seed in range(300)]
    covered = np.mean([low <= 0.5 <= high for _, low, high in intervals])
    # 0.95 with a standard error of 0.013; the percentile interval is a little narrow at 60 tasks.
    assert 0.89 <= covered <= 0.99


def test_interval_of_equal_tasks_in_a_family_is_that_of_one_task_per_family(seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=12)
    families = np.arange(12).repeat(5)
    assert paired_bootstrap(values.repeat(5), list(families), seed=seed) == pytest.approx(
        paired_bootstrap(values, seed=seed)
    )


def test_interval_agrees_with_drawing_families_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    families = rng.integers(8, size=40)
    values = rng.normal(size=8)[families] + rng.normal(size=40)
    members = [values[families == family] for family in np.unique(families)]
    means = [
        np.concatenate([members[family] for family in rng.integers(len(members), size=len(members))]).mean()
        for _ in range(4000)
    ]
    mean, low, high = paired_bootstrap(values, [f"family {family}" for family in families], seed=seed)
    assert mean == pytest.approx(values.mean())
    # Quantiles of 4,000 draws wander by about 3% of the interval.
    np.testing.assert_allclose([low, high], np.quantile(means, [0.025, 0.975]), atol=0.1 * (high - low))


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(0).normal(size=30)
    assert paired_bootstrap(values, seed=1) == paired_bootstrap(values, seed=1)
    assert paired_bootstrap(values, seed=1)[1:] != paired_bootstrap(values, seed=2)[1:]


def test_interval_of_equal_values_is_that_value() -> None:
    assert paired_bootstrap(np.full(24, 0.5)) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("differences", [[], [0.1, np.nan], [[0.1], [0.2]]], ids=str)
def test_differences_must_be_finite_and_one_per_task(differences: list[float]) -> None:
    with pytest.raises(ValueError, match="differences must be finite"):
        paired_bootstrap(differences)


def test_families_must_be_one_per_task() -> None:
    with pytest.raises(ValueError, match=r"one entry per task \(2\), got 1"):
        paired_bootstrap([0.1, 0.2], ["a"])


def test_the_usual_stays_unless_another_is_better_beyond_chance() -> None:
    rng = np.random.default_rng(0)
    usual = rng.normal(size=40)
    alike, better = usual + rng.normal(size=40), usual - 0.5 + 0.1 * rng.normal(size=40)
    values = pd.DataFrame({"usual": usual, "alike": alike, "better": better, "worse": usual + 1.0})
    families = [f"family {n // 2}" for n in range(40)]
    assert surely_best(values, "usual", families) == "better"
    assert surely_best(values.drop(columns="better"), "usual", families) == "usual"
