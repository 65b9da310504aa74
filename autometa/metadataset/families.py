"""Split tasks into parts so that no family of related tasks is in two of them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from autometa._support.seeds import child_seed


def family_parts(families: Iterable[str], n: int, seed: int) -> list[list[str]]:
    """Return the families of each of `n` parts, which are as equal in tasks as families allow.

    Parameters
    ----------
    families : iterable of str
        Family of each task; at least `n` different ones.
    n : int
        Number of parts.
    seed : int
        Seed of the order of families of one size.
    """
    names, sizes = np.unique(np.asarray(list(families), dtype=str), return_counts=True)
    shuffled = np.random.default_rng(child_seed(seed, "folds")).permutation(len(names))
    parts: list[list[str]] = [[] for _ in range(n)]
    n_tasks = np.zeros(n, dtype=int)
    # The largest families first, each into the part with fewest tasks.
    for family in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        smallest = int(n_tasks.argmin())
        parts[smallest].append(str(names[family]))
        n_tasks[smallest] += sizes[family]
    return parts
