from __future__ import annotations

import math

import numpy as np
import pytest

from autometa.transfer.pruning.calibration import PastCurves
from autometa.transfer.pruning.curves import GRID, LastValue, PowerLaw, StepScale, on_grid, reach, step_scale

ONE = np.ones((1, 1))
ZERO = np.zeros((1, 1))


def test_a_grid_holds_what_was_reported_first_from_each_place_on():
    scale = StepScale(0, 100)
    values = on_grid({step: float(step) for step in range(1, 101)}, scale)
    for place, (low, high) in enumerate(zip(GRID, [*GRID[1:], 1.0], strict=True)):
        inside = [step for step in range(1, 101) if low <= step / 100 < high]
        before = [step for step in range(1, 101) if step / 100 < low]
        expected = min(inside) if inside else max(before, default=math.nan)
        np.testing.assert_equal(values[place], expected)


@pytest.mark.parametrize("n_steps", [3, 20, 51, 300])
def test_a_curve_that_has_ended_holds_what_was_known_when_it_was_looked_at(n_steps):
    curve = dict(enumerate(np.random.default_rng(n_steps).random(n_steps).tolist()))
    scale = step_scale([curve])
    ended = on_grid(curve, scale)
    places = [reach(step, scale) for step in curve]
    for step in range(n_steps - 1):
        if step and places[step] == places[step - 1]:
            continue  # looked at already
        part = on_grid({s: v for s, v in curve.items() if s <= step}, scale)
        np.testing.assert_array_equal(part[: places[step] + 1], ended[: places[step] + 1])
        assert places[step] < 0 or part[places[step]] == curve[step]


@pytest.mark.parametrize("step", [1, 7, 50, 70, 99])
def test_reach_is_the_first_place_that_a_report_at_that_step_fills(step):
    scale = StepScale(0, 100)
    place = reach(step, scale)
    assert (GRID <= step / 100).sum() - 1 == place
    assert np.isnan(on_grid({step: 1.0}, scale)).sum() == max(place, 0)


def test_a_divergence_is_the_worst_until_a_number_follows():
    scale = StepScale(0, 100)
    values = on_grid({10: 1.0, 20: math.nan, 50: 0.5, 60: -math.inf}, scale, sign=-1.0)
    assert values[reach(10, scale)] == -1.0
    assert np.isinf(values[reach(20, scale) : reach(50, scale)]).all()
    assert values[reach(50, scale)] == -0.5
    assert values[-1] == np.inf


@pytest.mark.parametrize(
    ("curve", "expected"),
    [({0: 1, 1: 1, 2: 1}, (-1, 2)), ({10: 1, 20: 1, 30: 1}, (0, 30)), ({5: 1}, None), ({}, None)],
)
def test_curves_say_where_they_begin_and_end(curve, expected):
    found = step_scale([curve])
    assert found == (None if expected is None else StepScale(*expected))


def test_last_value_stays():
    values = np.random.default_rng(0).random((3, len(GRID)))
    assert (LastValue().predict(values, ZERO, ONE) == values).all()


@pytest.mark.parametrize("exponent", [0.25, 0.5, 1.0, 2.0])
def test_power_law_finds_the_end_of_a_power_law(exponent):
    values = (0.3 + 0.05 * GRID**-exponent)[None]
    found = PowerLaw().predict(values, ZERO, ONE)
    np.testing.assert_allclose(found[0, 6:], 0.35, rtol=1e-6)


def test_power_law_looks_at_no_later_value_and_keeps_gaps_and_divergences():
    rng = np.random.default_rng(0)
    values = rng.random((5, len(GRID)))
    values[:, :2] = np.nan
    values[1, 9:] = np.inf
    cut = values.copy()
    cut[:, 8:] = np.nan
    full, part = (PowerLaw().predict(v, ZERO, ONE) for v in (values, cut))
    np.testing.assert_array_equal(full[:, :8], part[:, :8])
    assert np.isnan(part[:, 8:]).all() and np.isinf(full[1, 9:]).all()


def test_power_law_follows_units():
    values = np.random.default_rng(0).random((5, len(GRID)))
    found = PowerLaw().predict(values, ZERO, ONE)
    np.testing.assert_allclose(PowerLaw().predict(8 * values + 2, ZERO, ONE), 8 * found + 2)


@pytest.mark.slow
def test_lstm_learns_how_far_curves_move_and_repeats_itself():
    from autometa.transfer.pruning.curve_lstm import train_curve_lstm

    def study(seed: int) -> PastCurves:
        rng = np.random.default_rng(seed)
        ends = rng.uniform(0, 1, 60)
        values = ends[:, None] + (1 - ends)[:, None] * np.exp(-5 * GRID)
        return PastCurves(values, np.ones(60), ends)

    model = train_curve_lstm([study(k) for k in range(4)], seed=0)
    new = study(9)
    found = model.predict(new.values, ZERO, ONE)
    assert np.abs(found[:, 10] - new.finals).mean() < 0.5 * np.abs(new.values[:, 10] - new.finals).mean()
    again = train_curve_lstm([study(k) for k in range(4)], seed=0)
    assert all((again.arrays[name] == array).all() for name, array in model.arrays.items())
