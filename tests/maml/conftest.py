from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(params=[0, 7])
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Draw from two seeds, so that no test depends on a lucky one."""
    return np.random.default_rng(request.param)
