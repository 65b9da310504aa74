"""What configurations add to ensembles, by the second moments of their errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autometa.metadataset.error_moments import second_moments
from autometa.policy.ensemble_model import NO_MODEL, EnsembleModel, ensemble_model, error_slope, greedy_weights
from tests.helpers.past_tasks import make_past

WAVE = np.sin(np.linspace(-20, 20, 60))
ERRORS = np.stack([WAVE, 0.9 * WAVE, -WAVE, np.full(60, 3.0), 1.5 * WAVE])
"""Errors of five models: 0 and 2 cancel each other, 1 is a little better than both and like 0."""


def _moments(n_tasks: int = 2) -> np.ndarray:
    return np.stack([second_moments(ERRORS)] * n_tasks)


def test_greedy_weights_are_those_of_a_selection_on_predictions() -> None:
    rng = np.random.default_rng(0)
    errors = rng.normal(size=(6, 40)) + rng.normal(size=40)
    counts, total = np.zeros(6), np.zeros(40)
    best, expected = np.inf, np.zeros(6)
    for n in range(1, 9):
        losses = [(((total + error) / n) ** 2).mean() for error in errors]
        winner = int(np.argmin(losses))
        total += errors[winner]
        counts[winner] += 1
        if losses[winner] < best:
            best, expected = losses[winner], counts / n
    found = greedy_weights(np.stack([second_moments(errors), np.eye(6)]), 8)
    np.testing.assert_allclose(found[0], expected)
    assert found[1].sum() == pytest.approx(1)


def test_what_complements_gains_more_than_what_is_better_alone() -> None:
    model = EnsembleModel(_moments())
    gains = model.gains([0])
    assert gains[0].argmax() == 2
    assert gains[0, 1] < gains[0, 2]
    assert gains[0, 0] == pytest.approx(0)


def test_the_gain_is_the_fall_of_the_regret_up_to_the_steps_of_the_weights() -> None:
    rng = np.random.default_rng(1)
    moments = np.stack([second_moments(rng.normal(size=(8, 70)) + rng.normal(size=70)) for _ in range(3)])
    model = EnsembleModel(moments)
    for members in ([0], [1, 2], [3, 5, 7]):
        fall = np.column_stack([model.regret(members) - model.regret([*members, new]) for new in range(8)])
        np.testing.assert_allclose(model.gains(members), np.maximum(fall, 0), atol=0.12)


def test_the_first_model_gains_its_regret_and_nothing_is_worse_than_no_model() -> None:
    model = EnsembleModel(_moments())
    np.testing.assert_allclose(model.gains([]), NO_MODEL - np.stack([model.regret([j]) for j in range(5)], axis=1))
    assert (model.regret([]) == NO_MODEL).all()
    assert model.regret([3]).max() <= NO_MODEL


def test_regrets_are_zero_for_everything_together_and_one_for_the_median_configuration() -> None:
    rng = np.random.default_rng(2)
    errors = rng.normal(size=(7, 90)) * np.linspace(0.5, 1.5, 7)[:, None] + rng.normal(size=90)
    model = EnsembleModel(second_moments(errors)[None])
    assert model.regret(list(range(7)))[0] == pytest.approx(0, abs=0.05)
    median = int(np.argsort(np.diag(second_moments(errors)))[3])
    assert model.regret([median])[0] == pytest.approx(1)


def test_configurations_without_a_result_on_a_task_gain_nothing_there() -> None:
    moments = _moments()
    moments[1, 2, :] = moments[1, :, 2] = np.nan
    model = EnsembleModel(moments)
    gains = model.gains([0, 2])
    assert gains[1, 2] == 0
    assert np.isfinite(gains).all()
    # The task without it goes on as if only the other one had been tried.
    assert model.regret([0, 2])[1] == pytest.approx(model.regret([0])[1])


def test_a_task_without_any_moments_has_no_gains() -> None:
    moments = _moments()
    moments[0] = np.nan
    gains = EnsembleModel(moments).gains([1])
    assert (gains[0] == 0).all()
    assert gains[1].max() > 0


def test_factors_change_the_errors_and_keep_their_correlations() -> None:
    rng = np.random.default_rng(3)
    errors = rng.normal(size=(6, 80)) + rng.normal(size=80)
    factors = np.exp(rng.normal(size=6))
    plain = EnsembleModel(second_moments(errors)[None])
    scaled = EnsembleModel(second_moments(errors * np.sqrt(factors)[:, None])[None])
    for members in ([], [1], [0, 2, 4]):
        falls = plain.gains(members, np.log(factors)[None])[0]
        expected = scaled.gains(members)[0]
        # The scales of regrets differ, and 2 is the most.
        assert np.corrcoef(falls, expected)[0, 1] > 0.9 or falls.max() == 0


def test_the_slope_says_how_errors_follow_losses() -> None:
    past = make_past(problems=("regression",) * 5)
    squares = past.losses["rmse"] ** 2
    moments = np.stack([np.diag(row) for row in squares])
    assert error_slope(replace(past, moments=moments), "rmse") == pytest.approx(2, rel=1e-3)
    assert error_slope(past, "rmse") == 0
    assert error_slope(replace(past, moments=moments), "accuracy") == 0


def test_past_tasks_without_moments_say_so() -> None:
    with pytest.raises(ValueError, match="no second moments"):
        ensemble_model(make_past())
