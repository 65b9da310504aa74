"""The scale of losses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autometa.evaluation.loss_transform import from_scale, is_bounded, to_scale

METRICS = ("roc_auc", "balanced_accuracy", "log_loss", "rmse", "a metric of the user's")


@pytest.mark.parametrize("metric", METRICS)
@given(shares=st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_scale_and_back_is_identity(metric: str, shares: list[float]) -> None:
    low, high = (0.0, 1.0) if is_bounded(metric) else (1e-4, 1e6)
    losses = low + np.array(shares) * (high - low)
    assert from_scale(to_scale(losses, metric), metric) == pytest.approx(losses, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
@given(losses=st.lists(st.floats(-1e300, 1e300), min_size=2, max_size=2))
def test_worse_losses_are_never_lower_on_the_scale(metric: str, losses: list[float]) -> None:
    low, high = to_scale(np.sort(losses), metric)
    assert np.isfinite([low, high]).all()
    assert low <= high


@pytest.mark.parametrize("metric", METRICS)
@given(value=st.floats(allow_nan=False))
def test_every_value_stands_for_a_finite_loss(metric: str, value: float) -> None:
    loss = from_scale(np.array([value]), metric)[0]
    assert np.isfinite(loss)
    assert 0 <= loss <= (1 if is_bounded(metric) else np.inf)


@pytest.mark.parametrize("metric", METRICS)
def test_losses_too_good_to_tell_apart_count_the_same(metric: str) -> None:
    values = to_scale(np.array([-5.0, 0.0, 1e-9, 1e-4]), metric)
    assert values == pytest.approx(values[0], abs=0.05)


@pytest.mark.parametrize("metric", [metric for metric in METRICS if is_bounded(metric)])
def test_one_error_less_counts_less_where_there_are_hardly_any(metric: str) -> None:
    from_few, from_more = np.diff(to_scale(np.array([0.0, 0.001, 0.01, 0.02]), metric))[[0, 2]]
    assert 0 < from_few < from_more


@pytest.mark.parametrize("metric", METRICS)
def test_gaps_stay_gaps(metric: str) -> None:
    assert np.isnan(to_scale(np.array([0.5, np.nan]), metric)).tolist() == [False, True]


def test_halving_a_rare_error_counts_about_as_much_as_halving_an_error_in_units_of_the_target() -> None:
    steps = [-np.diff(to_scale(np.array([0.04, 0.02]), metric))[0] for metric in ("accuracy", "rmse")]
    assert steps == pytest.approx([np.log(2), np.log(2)], rel=0.1)
