"""How fast this machine is, so that seconds measured on different machines can be joined."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

_REFERENCE_CPU_S = {"linear": 0.0055, "trees": 0.0363, "boosting": 0.0262}
"""CPU seconds of each reference fit on the machine that measured the records that ship."""

_N_REPEATS = 3


@functools.cache
def machine_speed() -> float:
    """Return how many times faster than the reference machine this one is, by one thread; measured once per process.

    Three small fits (a linear model, a forest, boosting) are timed in CPU seconds, the fastest of three repeats each;
    the speed is the geometric mean of the ratios of the reference's seconds to theirs. It takes a fifth of a second.
    """
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 20))
    y = (X[:, :5].sum(axis=1) + rng.normal(size=len(X)) > 0).astype(np.int64)
    fits: dict[str, Callable[[], object]] = {
        "linear": lambda: LogisticRegression(max_iter=200, tol=1e-9).fit(np.hstack([X, X**2]), y),
        "trees": lambda: ExtraTreesClassifier(20, random_state=0).fit(X, y),
        "boosting": lambda: HistGradientBoostingClassifier(max_iter=10, random_state=0).fit(X, y),
    }
    with threadpool_limits(limits=1):
        logs = [np.log(_REFERENCE_CPU_S[name] / _cpu_s(fit)) for name, fit in fits.items()]
    return float(np.exp(np.mean(logs)))


def _cpu_s(fit: Callable[[], object]) -> float:
    """Return the CPU seconds of the fastest of some repeats of a fit."""
    seconds = []
    for _ in range(_N_REPEATS):
        start_s = time.process_time()
        fit()
        seconds.append(time.process_time() - start_s)
    return max(min(seconds), 1e-6)
