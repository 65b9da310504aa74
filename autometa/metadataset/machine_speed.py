"""Measure the speed of this machine, so that seconds from different machines can be compared."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from autometa._support.numeric_threads import numeric_threads

_REFERENCE_CPU_S = {"linear": 0.0055, "trees": 0.0363, "boosting": 0.0262}
"""CPU seconds of each reference fit on the machine that measured the records that ship."""

_N_REPEATS = 3
_LOCK = threading.Lock()


def machine_speed() -> float:
    """Return the speed of this machine relative to the reference machine; measured once per process.

    Three small fits with one thread (a linear model, a forest, boosting) are timed in CPU seconds, taking the fastest
    of three repeats. The speed is the geometric mean of the ratios of the reference's seconds to theirs.
    """
    # Simultaneous measurements would slow each other down.
    with _LOCK:
        return _measured_speed()


@functools.cache
def _measured_speed() -> float:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 20))
    y = (X[:, :5].sum(axis=1) + rng.normal(size=len(X)) > 0).astype(np.int64)
    fits: dict[str, Callable[[], object]] = {
        "linear": lambda: LogisticRegression(max_iter=200, tol=1e-9).fit(np.hstack([X, X**2]), y),
        "trees": lambda: ExtraTreesClassifier(20, random_state=0).fit(X, y),
        "boosting": lambda: HistGradientBoostingClassifier(max_iter=10, random_state=0).fit(X, y),
    }
    with numeric_threads():
        logs = [np.log(_REFERENCE_CPU_S[name] / _cpu_s(fit)) for name, fit in fits.items()]
    return float(np.exp(np.mean(logs)))


def _cpu_s(fit: Callable[[], object]) -> float:
    """Return the CPU seconds of the fastest of some repeats of a fit."""
    seconds = []
    for _ in range(_N_REPEATS):
        # CPU seconds of this thread, as others of the process may be busy.
        start_s = time.thread_time()
        fit()
        seconds.append(time.thread_time() - start_s)
    return max(min(seconds), 1e-6)
