from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from autometa._support.numbers import checked_count, is_number, is_whole_number


@pytest.mark.parametrize("value", [0, -3, 2**70, np.int8(1), np.uint64(2)], ids=repr)
def test_whole_numbers_are_numbers(value: object):
    assert is_whole_number(value) and is_number(value)


@pytest.mark.parametrize("value", [0.5, float("nan"), np.float32(1), Fraction(1, 2)], ids=repr)
def test_other_real_numbers_are_not_whole(value: object):
    assert is_number(value) and not is_whole_number(value)


@pytest.mark.parametrize("value", [True, np.bool_(True), "1", None, 1j, [1]], ids=repr)
def test_anything_else_is_no_number(value: object):
    assert not is_number(value) and not is_whole_number(value)


def test_a_count_is_an_int_of_at_least_one():
    assert type(checked_count("n", np.int64(3))) is int
    for wrong in (0, -1, 1.0, True, None):
        with pytest.raises(ValueError, match="n must be a whole number of at least 1, got"):
            checked_count("n", wrong)
