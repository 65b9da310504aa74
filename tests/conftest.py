"""Fixtures that every test may use."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no fault of the code: nothing here depends on seconds.
settings.register_profile("autometa", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("autometa")


@pytest.fixture
def seed() -> int:
    """Return a seed; set AUTOMETA_TEST_SEED to try another, so that no test rests on a lucky one."""
    return int(os.environ.get("AUTOMETA_TEST_SEED", "0"))
