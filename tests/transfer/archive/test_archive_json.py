"""Values and distributions come back from JSON with their types."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from autometa.transfer.archive.archive_json import distributions_json, distributions_of, values_json, values_of


@pytest.mark.parametrize(
    "value", [None, True, 1, 1.0, "a", (1, (2, "b")), [1, [2]], {1: ("a",), (2, 3): None}], ids=repr
)
def test_a_value_keeps_its_type(value: Any) -> None:
    found = values_of(values_json({"p": value}))["p"]
    assert repr(found) == repr(value)


def test_numbers_of_numpy_become_plain_and_nan_stays() -> None:
    found = values_of(values_json({"n": np.int64(3), "f": np.float32(0.5), "nan": math.nan}))
    assert repr(found) == "{'n': 3, 'f': 0.5, 'nan': nan}"


def test_a_value_without_json_is_an_error() -> None:
    with pytest.raises(TypeError):
        values_json({"p": object()})


def test_distributions_come_back() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna's about tuples as choices
        space = {
            "x": FloatDistribution(1e-3, 1, log=True),
            "s": FloatDistribution(0, 1, step=0.25),
            "n": IntDistribution(1, 9, step=2),
            "c": CategoricalDistribution([None, True, 1.5, "a", (1, 2)]),
        }
        assert distributions_of(distributions_json(space)) == space
