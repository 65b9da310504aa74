from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autometa._support.seeds import checked_seed, child_seed


@given(st.integers(0, 2**40), st.lists(st.text(), max_size=3))
def test_child_seeds_are_repeatable_and_fit_every_generator(seed: int, names: list[str]):
    found = child_seed(seed, *names)
    assert 0 <= found < 2**31
    assert found == child_seed(np.int64(seed), *names)


def test_consumers_of_other_names_or_seeds_get_other_seeds():
    assert len({child_seed(seed, name) for seed in range(20) for name in ("folds", "sampler", "rows")}) == 60


def test_a_seed_of_numpy_is_a_seed():
    assert checked_seed(np.int32(3)) == 3 and type(checked_seed(np.int32(3))) is int


@pytest.mark.parametrize(("seed", "error"), [(True, TypeError), (1.0, TypeError), ("1", TypeError), (-1, ValueError)])
def test_anything_else_is_refused(seed: object, error: type[Exception]):
    with pytest.raises(error, match="seed must be a whole number of at least 0"):
        checked_seed(seed)
