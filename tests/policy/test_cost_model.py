"""Predicted seconds and memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autometa.core.task import TaskDescription
from autometa.policy.cost_model import CostModel, memory_model, seconds_model, share_of_time, size_of
from tests.helpers.past_tasks import make_past

STRATEGIES = np.repeat(["quick", "dear"], 5)
EXPONENTS = np.repeat([[0.5, 1.0, 0.0], [1.5, 0.5, 1.0]], 5, axis=0).T


def power_laws(seed: int, n_tasks: int = 80) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return costs that are exactly products of powers of the sizes, the sizes, and the costs of size 1."""
    rng = np.random.default_rng(seed)
    sizes = np.column_stack([rng.uniform(4, 12, n_tasks), rng.uniform(1, 7, n_tasks), rng.uniform(0, 3, n_tasks)])
    levels = rng.uniform(-9, -5, 10)
    return np.exp(levels + sizes @ EXPONENTS), sizes, levels


def fitted(seed: int = 0, gaps: float = 0.0, machine: float = 0.5, noise: float = 0.0) -> CostModel:
    costs, sizes, _ = power_laws(seed)
    rng = np.random.default_rng(seed + 1)
    costs = costs * np.exp(noise * rng.normal(size=costs.shape))
    return CostModel(np.where(rng.random(costs.shape) < gaps, np.nan, costs), sizes, STRATEGIES, 1e-9, machine)


@pytest.mark.parametrize("gaps", [0.0, 0.3])
def test_power_laws_are_recovered(seed: int, gaps: float) -> None:
    _, _, levels = power_laws(seed)
    model = fitted(seed, gaps)
    # Exponents are pulled towards those of other strategies by a little, which is felt at ten times the rows.
    for size, tolerance in (([8.0, 4.0, 1.0], 0.05), ([14.3, 2.0, 0.0], 0.2)):
        median, _ = model.predict(np.array(size), {})
        assert median == pytest.approx(np.exp(levels + np.array(size) @ EXPONENTS), rel=tolerance)


@pytest.mark.parametrize("factor", [0.5, 2.0])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_a_faster_or_slower_machine_is_noticed_after_one_observation(seed: int, factor: float, noise: float) -> None:
    model, size = fitted(seed, noise=noise), np.array([8.0, 4.0, 1.0])
    before, _ = model.predict(size, {})
    after, _ = model.predict(size, {0: float(before[0] * factor)})
    # More than half of the way there, for all of the configurations.
    assert (np.abs(np.log(after / before / factor)) < 0.5 * abs(np.log(factor))).all()


def test_memory_is_taken_to_be_that_of_the_records(seed: int) -> None:
    model, size = fitted(seed, machine=0.0, noise=0.3), np.array([8.0, 4.0, 1.0])
    before, _ = model.predict(size, {})
    after, _ = model.predict(size, {0: float(before[0] * 2)})
    assert after[1:] == pytest.approx(before[1:], rel=0.2)


def test_more_observations_make_predictions_better_and_surer() -> None:
    past = make_past(problems=("binary",) * 60)
    model = seconds_model(past.select(range(20, 60)))
    errors, widths = [], []
    for n in (0, 1, 3, 6):
        logs = []
        for size, truth in zip(past.sizes[:20], 3 * past.seconds[:20], strict=True):
            median, deviation = model.predict(size, {place: truth[place] for place in range(n)})
            logs.append(np.abs(np.log(median / truth))[6:])
        errors.append(np.mean(logs))
        widths.append(deviation[6:])
    assert errors == sorted(errors, reverse=True)
    assert (np.diff(widths, axis=0) < 1e-9).all()


def test_order_of_observations_does_not_matter() -> None:
    model, size = fitted(), np.array([8.0, 4.0, 1.0])
    seen = {0: 3.0, 4: 0.2, 7: 100.0}
    one, other = model.predict(size, seen), model.predict(size, dict(reversed(seen.items())))
    assert other[0] == pytest.approx(one[0])
    assert other[1] == pytest.approx(one[1])


@pytest.mark.parametrize("kept", [(), (0,), (0, 1), tuple(range(12))])
@given(seen=st.dictionaries(st.integers(0, 9), st.floats(-1, 1e9), max_size=5))
@settings(max_examples=25)
def test_predictions_are_positive_whatever_is_known_and_seen(kept: Sequence[int], seen: dict[int, float]) -> None:
    costs, sizes, _ = power_laws(0)
    costs[:3, :] = np.nan
    costs[:, 2] = np.nan
    rows = list(kept)
    model = CostModel(costs[rows], sizes[rows], STRATEGIES, 1e-9, 0.5)
    median, deviation = model.predict(np.array([8.0, 4.0, 1.0]), seen)
    assert np.isfinite(median).all()
    assert (median > 0).all()
    assert np.isfinite(deviation).all()
    assert (deviation > 0).all()


def test_a_configuration_that_was_never_measured_is_priced_like_its_kin() -> None:
    costs, sizes, _ = power_laws(0)
    costs[:, 2] = np.nan
    median, _ = CostModel(costs, sizes, STRATEGIES, 1e-9).predict(np.array([8.0, 4.0, 1.0]), {2: 1.0})
    assert np.delete(median, 2).min() < median[2] < np.delete(median, 2).max()


def test_tasks_without_costs_change_nothing() -> None:
    costs, sizes, _ = power_laws(0)
    nothing = np.full_like(costs, np.nan)
    size = np.array([8.0, 4.0, 1.0])
    one = CostModel(costs, sizes, STRATEGIES, 1e-9).predict(size, {0: 1.0})
    other = CostModel(np.vstack([costs, nothing]), np.vstack([sizes, sizes]), STRATEGIES, 1e-9).predict(size, {0: 1.0})
    assert other[0] == pytest.approx(one[0])


def test_models_of_past_tasks_predict_what_was_recorded_of_similar_ones() -> None:
    past = make_past(problems=("binary",) * 40)
    for model, recorded in ((seconds_model(past), past.seconds), (memory_model(past), past.memory_mb)):
        median = np.array([model.predict(size, {})[0] for size in past.sizes])
        baseline = np.log(recorded / np.median(recorded))
        assert np.abs(np.log(recorded / median)).mean() < np.abs(baseline).mean()


@given(
    limits=st.tuples(st.floats(-1, 1e12), st.floats(-1, 1e12)),
    median=st.floats(1e-6, 1e9),
    deviation=st.floats(1e-3, 10),
)
def test_more_seconds_left_never_make_it_less_likely_to_end_in_time(
    limits: tuple[float, float], median: float, deviation: float
) -> None:
    less, more = (share_of_time(np.array([median]), np.array([deviation]), limit)[0] for limit in sorted(limits))
    assert 0 <= less <= more <= 1


def test_as_much_time_as_the_median_is_enough_every_other_time() -> None:
    assert share_of_time(np.array([7.0]), np.array([0.5]), 7.0) == pytest.approx(0.5)


def test_size_is_of_the_rows_that_are_trained_on() -> None:
    assert size_of(TaskDescription("multiclass", 300, 8, 5, train_share=0.9)) == pytest.approx(np.log([270, 8, 5]))
    assert size_of(TaskDescription("regression", 1, 0, 0)).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("exponents", [(0.3, 0.9), (0.8, 0.8)])
def test_how_costs_grow_is_learnt_from_large_tables_where_small_ones_hide_it(
    exponents: tuple[float, float], seed: int
) -> None:
    rng, bend = np.random.default_rng(seed), np.log(3000)
    small, large = exponents
    sizes = np.column_stack([rng.uniform(4, 9.2, 200), rng.uniform(1, 4, 200), np.zeros(200)])
    growth = small * np.minimum(sizes[:, 0], bend) + large * np.maximum(sizes[:, 0] - bend, 0)
    costs = np.exp(growth[:, None] + np.linspace(-3, 0, 10) + 0.1 * rng.normal(size=(200, 10)))
    model = CostModel(costs, sizes, STRATEGIES, 1e-9)
    (before, _), (after, _) = (model.predict(np.array([rows, 2.0, 0.0]), {}) for rows in (9.0, 12.0))
    assert np.log(after / before) / 3 == pytest.approx(large, abs=0.1)


def test_beyond_the_records_seconds_grow_at_least_by_a_power_of_the_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = np.column_stack([rng.uniform(4, 9, 100), rng.uniform(1, 4, 100), np.zeros(100)])
    # Within the records the rows change nothing.
    costs = np.exp(0.1 * rng.normal(size=(100, 10)))
    model = CostModel(costs, sizes, STRATEGIES, 1e-9, least_growth=0.7)
    (at_largest, _), (beyond, _) = (model.predict(np.array([rows, 2.0, 0.0]), {}) for rows in (9.0, 12.0))
    assert np.log(beyond / at_largest) / 3 == pytest.approx(0.7, abs=0.05)
    assert at_largest == pytest.approx(1.0, rel=0.3)
