"""Child seeds that depend on the parent seed and a name, never on the order of the calls."""

from __future__ import annotations

import hashlib


def child_seed(seed: int, *names: object) -> int:
    """Return a seed in [0, 2**31) for the consumer called `names`.

    Two consumers with different names never share a stream, and a new consumer
    does not change the seeds of the others.
    """
    text = "/".join([str(int(seed)), *map(str, names)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little") >> 1
