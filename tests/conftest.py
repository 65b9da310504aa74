"""Fixtures that every test may use."""

from __future__ import annotations

import os

import pytest


@pytest.fixture
def seed() -> int:
    """Return a seed; set AUTOMETA_TEST_SEED to try another, so that no test rests on a lucky one."""
    return int(os.environ.get("AUTOMETA_TEST_SEED", "0"))
