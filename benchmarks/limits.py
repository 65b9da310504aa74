"""The limits that AutoMeta promises to keep. NaN, for failed measurements, keeps no limit."""

from __future__ import annotations

from typing import TypeVar

import pandas as pd

Numbers = TypeVar("Numbers", float, pd.Series)


def keeps_time(fit_s: Numbers, budget_s: Numbers) -> Numbers:
    """Return whether `fit` ended within 1.05 × the budget + 2 s."""
    return fit_s <= 1.05 * budget_s + 2


def memory_bound_mb(frame_mb: Numbers) -> Numbers:
    """Return the largest peak memory for a table: 2 GB + 10 × the table, in MB of 10^6 bytes."""
    return 2000 + 10 * frame_mb


def keeps_memory(peak_mb: Numbers, frame_mb: Numbers) -> Numbers:
    """Return whether the process and its workers stayed within `memory_bound_mb`."""
    return peak_mb <= memory_bound_mb(frame_mb)
