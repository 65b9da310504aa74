"""Second moments of configurations whose predictions were not recorded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autometa.metadataset.error_moments import second_moments
from autometa.policy.ensemble_model import EnsembleModel, error_slope
from autometa.policy.moment_completion import completed
from autometa.policy.past_tasks import PastTasks
from tests.helpers.past_tasks import make_past


def with_moments(seed: int = 0) -> PastTasks:
    """Return past tasks on which models of one strategy err alike, and those of others hardly."""
    past = make_past(seed, problems=("binary",) * 8)
    rng = np.random.default_rng(seed)
    moments = []
    for losses in past.losses["roc_auc"]:
        common = {name: rng.normal(size=300) for name in np.unique(past.strategies)}
        errors = [
            np.sqrt(loss) * (0.9 * common[name] + 0.4 * rng.normal(size=300))
            for name, loss in zip(past.strategies, losses, strict=True)
        ]
        moments.append(second_moments(np.array(errors)))
    return replace(past, moments=np.array(moments, dtype=np.float32))


def without(past: PastTasks, chosen: list[int]) -> PastTasks:
    assert past.moments is not None
    moments = past.moments.copy()
    moments[:, chosen] = np.nan
    moments[:, :, chosen] = np.nan
    return replace(past, moments=moments)


def _completed(past: PastTasks) -> np.ndarray:
    return completed(past, {metric: error_slope(past, metric) for metric in past.losses})


def test_what_was_measured_stays_as_it_is(seed: int) -> None:
    past = with_moments(seed)
    found = _completed(without(past, [1, 6]))
    kept = np.setdiff1d(np.arange(12), [1, 6])
    assert np.array_equal(found[:, kept][:, :, kept], past.moments[:, kept][:, :, kept])
    assert np.array_equal(_completed(past), past.moments)


def test_what_is_missing_is_close_to_what_would_have_been_measured() -> None:
    past = with_moments()
    missing = [1, 6, 11]
    found = _completed(without(past, missing))
    assert np.isfinite(found).all()
    assert np.allclose(found, np.swapaxes(found, 1, 2))
    true = np.log(np.einsum("tii->ti", past.moments)[:, missing])
    guessed = np.log(np.einsum("tii->ti", found)[:, missing])
    assert np.abs(guessed - true).mean() < 0.3 * np.abs(true - true.mean()).mean()

    def correlations(moments: np.ndarray) -> np.ndarray:
        scales = np.sqrt(np.einsum("tii->ti", moments))
        return moments / (scales[:, :, None] * scales[:, None])

    assert np.abs(correlations(found) - correlations(past.moments)).max() < 0.25


def test_gains_of_completed_configurations_are_ranked_as_their_true_ones() -> None:
    past = with_moments()
    missing = [1, 6, 11]
    true = EnsembleModel(past.moments).gains([0, 4])[:, missing].mean(axis=0)
    guessed = EnsembleModel(_completed(without(past, missing))).gains([0, 4])[:, missing].mean(axis=0)
    assert guessed.argmax() == true.argmax()
    assert guessed == pytest.approx(true, abs=0.25)


def test_a_strategy_that_was_never_measured_counts_as_different_as_others_are() -> None:
    past = with_moments()
    found = _completed(without(past, [8, 9, 10, 11]))
    scales = np.sqrt(np.einsum("tii->ti", found))
    correlation = found / (scales[:, :, None] * scales[:, None])
    # Within a strategy as similar as the models of other strategies among themselves, across strategies as little.
    assert correlation[:, 8, 9].mean() == pytest.approx(correlation[:, 0, 1].mean(), abs=0.1)
    assert correlation[:, 8, 0].mean() == pytest.approx(correlation[:, 4, 0].mean(), abs=0.1)


def test_without_a_loss_or_on_a_task_with_few_measurements_nothing_is_made_up() -> None:
    past = with_moments()
    past.losses["roc_auc"][:, 5] = np.nan
    hidden = without(past, [5])
    moments = hidden.moments.copy()
    moments[0] = np.nan
    moments[0, 0, 0] = 0.2
    found = _completed(replace(hidden, moments=moments))
    assert np.isnan(found[:, 5]).all()
    assert np.isnan(found[0, 1]).all() and np.isfinite(found[1, 1, 2])
