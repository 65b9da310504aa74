from __future__ import annotations

import math
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from autometa.transfer.space.encoding import Encoding, drawn_value, positions_of, value_at

LARGEST = sys.float_info.max
RANGES = {
    "all floats": FloatDistribution(-LARGEST, LARGEST),
    "positive floats": FloatDistribution(0.0, LARGEST),
    "log": FloatDistribution(sys.float_info.min, LARGEST, log=True),
    "tiny": FloatDistribution(0.0, 1e-310),
    "narrow": FloatDistribution(1.0, 1.0 + 1e-15),
    "steps": FloatDistribution(-1e200, 1e200, step=1e198),
    "integers": IntDistribution(0, 10**160),
    "log integers": IntDistribution(1, 10**160, log=True),
}


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("distribution", RANGES.values(), ids=RANGES)
def test_extreme_ranges_are_covered(distribution):
    encoding = Encoding({"p": distribution}, {})
    points = encoding.on_grid(np.linspace(-0.5, 1.5, 9)[:, None])
    assert ((points >= 0) & (points <= 1)).all() and (np.diff(points[:, 0]) >= 0).all()
    values = [encoding.configuration(point)["p"] for point in points]
    assert all(distribution.low <= value <= distribution.high for value in values)
    assert values == sorted(values) and len(set(values)) > 2
    np.testing.assert_allclose(encoding.points([{"p": value} for value in values]), points, atol=0.3)


@pytest.mark.parametrize("distribution", RANGES.values(), ids=RANGES)
def test_values_are_drawn_from_all_of_an_extreme_range(distribution):
    rng = np.random.default_rng(0)
    values = np.array([float(drawn_value(distribution, rng)) for _ in range(200)])
    positions = positions_of(distribution, values)
    assert positions.min() < 0.1 and positions.max() > 0.9 and abs(np.median(positions) - 0.5) < 0.15


@settings(max_examples=200)
@given(
    st.tuples(st.floats(-1e300, 1e300), st.floats(-1e300, 1e300)).map(sorted).filter(lambda pair: pair[0] < pair[1]),
    st.floats(0, 1),
)
def test_place_of_a_value_leads_back_to_it(edges, share):
    distribution = FloatDistribution(*edges)
    value = min(max(edges[0] + share * (edges[1] - edges[0]), edges[0]), edges[1])
    back = value_at(distribution, float(positions_of(distribution, np.array(value))))
    assert back == pytest.approx(value, rel=1e-9, abs=1e-9 * (edges[1] - edges[0]) + 5e-324)


@pytest.mark.parametrize("place", [-1e9, -0.1, 1.1, 1e9])
def test_places_outside_give_the_ends_of_the_range(place):
    for distribution in RANGES.values():
        if distribution.step is None:
            assert value_at(distribution, place) == (distribution.low if place < 0 else distribution.high)


def test_choices_are_drawn_alike():
    rng = np.random.default_rng(0)
    drawn = [drawn_value(CategoricalDistribution(["a", None, 3]), rng) for _ in range(300)]
    assert all(math.isclose(drawn.count(choice), 100, abs_tol=30) for choice in ("a", None, 3))


def test_values_that_are_no_numbers_have_no_place():
    encoding = Encoding({"p": FloatDistribution(0, 1), "n": IntDistribution(0, 9)}, {})
    points = encoding.points([{"p": "high", "n": [3]}, {"p": 0.25, "n": None}, {"n": 4}])
    np.testing.assert_allclose(points, [[math.nan, math.nan], [0.25, math.nan], [math.nan, 0.45]])
