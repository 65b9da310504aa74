"""Make child seeds from a parent seed and a name, independent of the order of calls."""

from __future__ import annotations

import hashlib
from typing import Any

from autometa._support.numbers import is_whole_number


def child_seed(seed: int, *names: object) -> int:
    """Return a seed in [0, 2**31) for the consumer called `names`.

    Consumers with different names have different random streams, and a new consumer does not change
    the seeds of the others.
    """
    text = "/".join([str(int(seed)), *map(str, names)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little") >> 1


def checked_seed(seed: Any) -> int:
    """Return the seed of a user as an int, or raise an error that says what is wrong with it."""
    if not is_whole_number(seed):
        raise TypeError(f"seed must be a whole number of at least 0, got {seed!r}.")
    if seed < 0:
        raise ValueError(f"seed must be a whole number of at least 0, got {seed!r}.")
    return int(seed)
