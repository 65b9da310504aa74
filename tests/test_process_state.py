"""Fitting, predicting, saving and advice leave the process as it was, alone and in threads."""

from __future__ import annotations

import contextlib
import gc
import locale
import logging
import os
import random
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import optuna
import pandas as pd
import psutil
import pytest
import sklearn
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_info

import autometa
from autometa import AutoMetaClassifier, Strategy, load, recommend
from autometa._support.machine import usable_cores
from autometa.exceptions import SearchFailedError

N_ROWS = 120
EVERY_QUICK_STRATEGY = ["logistic_regression", "random_forest", "hist_gradient_boosting", "lightgbm", "catboost"]


def make_data() -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    whole = pd.Series(rng.integers(1, 9, N_ROWS))
    X = pd.DataFrame({"number": rng.normal(size=N_ROWS), "whole": whole.astype("Int64")})
    X = X.assign(text=np.where(rng.random(N_ROWS) < 0.5, "left", "right"), day="2024-02-0" + whole.astype(str))
    X.loc[::7, "whole"] = pd.NA
    return X, np.where(X["number"] > 0, "yes", "no")


class Failing(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        warnings.warn("about to fail", stacklevel=1)
        raise RuntimeError("no")


class Loud(DecisionTreeClassifier):
    """Warns, and logs to its library's logger, as estimators of others do."""

    def fit(self, X, y):
        warnings.warn("from a learner", RuntimeWarning, stacklevel=1)
        return super().fit(X, y)


# Worker processes need not find this module.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def loggers() -> dict[str, Any]:
    known = {name: logger for name, logger in logging.root.manager.loggerDict.items() if hasattr(logger, "level")}
    return {
        name: (logger.level, logger.propagate, logger.disabled, tuple(logger.handlers), tuple(logger.filters))
        for name, logger in {**known, "root": logging.root}.items()
    }


def random_states() -> list[Any]:
    kind, keys, *rest = np.random.get_state()
    return [random.getstate(), (kind, keys.tobytes(), *rest), torch.get_rng_state().numpy().tobytes()]


def thread_limits() -> Any:
    """Return the limits that the calling thread sees, and a new one."""
    found = []

    def look() -> None:
        limits = {library["filepath"]: library["num_threads"] for library in threadpool_info()}
        found.append((limits, torch.get_num_threads()))

    look()
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return found


def children() -> list[int]:
    # The helper of joblib that cleans up after processes that were killed; it ends with this one.
    found = psutil.Process().children(recursive=True)
    return [child.pid for child in found if "resource_tracker" not in " ".join(child.cmdline())]


def open_files() -> list[str]:
    return sorted(file.path for file in psutil.Process().open_files())


def sockets_and_pipes() -> int:
    return psutil.Process().num_fds()


def state() -> dict[str, Any]:
    """Return what belongs to the process and not to a fit."""
    gc.collect()
    return {
        "filters of warnings": (id(warnings.filters), list(warnings.filters), warnings.showwarning),
        "loggers": loggers(),
        "verbosity of Optuna": optuna.logging.get_verbosity(),
        "limits of threads": thread_limits(),
        "random states": random_states(),
        "environment": {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        "working directory": os.getcwd(),
        "signal handlers": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "path of modules": list(sys.path),
        "standard streams": (sys.stdin, sys.stdout, sys.stderr),
        "hooks": (sys.excepthook, threading.excepthook, sys.displayhook),
        "errors of numpy": np.geterr(),
        "settings of scikit-learn": sklearn.get_config(),
        "locale": locale.setlocale(locale.LC_ALL),
        "limit of recursion": sys.getrecursionlimit(),
        "children": children(),
        "open files": open_files(),
        "descriptors": sockets_and_pipes(),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "temporary files": sorted(os.listdir(tempfile.gettempdir())),
    }


@contextlib.contextmanager
def kept_state() -> Iterator[None]:
    before = state()
    yield
    for _ in range(50):
        after = state()
        if after == before:
            break
        # Threads of a pool that was told to stop end a moment later.
        time.sleep(0.1)
    for name, value in before.items():
        assert after[name] == value, name


@pytest.fixture(autouse=True)
def folder_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture(scope="module")
def fitted() -> AutoMetaClassifier:
    """Load what the libraries load and start on their first use."""
    model = AutoMetaClassifier(strategies=EVERY_QUICK_STRATEGY, n_trials=5, n_jobs=2, cv=2, random_state=0)
    model.fit(*make_data())
    save_and_load(model)
    return model


def fit(**parameters: Any) -> AutoMetaClassifier:
    settings = {"strategies": EVERY_QUICK_STRATEGY, "n_trials": 5, "n_jobs": 2, "cv": 2, "random_state": 0}
    return AutoMetaClassifier(**{**settings, **parameters}).fit(*make_data())


def fit_that_fails() -> None:
    with pytest.raises(SearchFailedError):
        fit(strategies=[Strategy("failing", Failing())])
    with pytest.raises(ValueError):
        fit(metric="unknown")


def fit_that_is_interrupted() -> None:
    def interrupt(study, trial):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(callbacks=[interrupt])


def fit_that_ends_with_an_error_of_the_users() -> None:
    def fail(study, trial):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fit(callbacks=[fail])


def save_and_load(model: AutoMetaClassifier) -> None:
    with tempfile.TemporaryDirectory() as folder:
        load(model.save(Path(folder) / f"model{threading.get_ident()}")).predict(make_data()[0])


OPERATIONS = {
    "fit": lambda model: fit(),
    "fit with experience and verbose": lambda model: fit_remembered(),
    "fit of a learner that warns": lambda model: fit(strategies=[Strategy("loud", Loud())]),
    "fit that fails": lambda model: fit_that_fails(),
    "fit that is interrupted": lambda model: fit_that_is_interrupted(),
    "fit with a callback that fails": lambda model: fit_that_ends_with_an_error_of_the_users(),
    "predict": lambda model: model.predict_proba(make_data()[0]),
    "score": lambda model: model.score(*make_data()),
    "recommend": lambda model: recommend(*make_data(), n=2),
    "save and load": save_and_load,
    "load strategies": lambda model: autometa.load_strategies(),
}


def fit_remembered() -> None:
    with tempfile.TemporaryDirectory() as folder:
        fit(strategies=["logistic_regression"], experience=folder, verbose=2, policy="prior")


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation_leaves_the_process_as_it_was(operation: str, fitted: AutoMetaClassifier):
    with kept_state():
        OPERATIONS[operation](fitted)


@pytest.mark.slow
def test_operations_in_threads_leave_the_process_as_it_was(fitted: AutoMetaClassifier):
    errors = []

    def run(k: int) -> None:
        operations = list(OPERATIONS.values())
        for operation in operations[k:] + operations[:k]:
            try:
                operation(fitted)
            except BaseException as error:
                errors.append(error)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(0, len(OPERATIONS), 3)]
    with kept_state():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not errors


@pytest.mark.slow
def test_fits_with_workers_leave_the_process_as_it_was(fitted: AutoMetaClassifier):
    models = []
    threads = [
        threading.Thread(target=lambda seconds: models.append(fit(time_budget=seconds, n_trials=None)), args=(8 + k,))
        for k in range(2)
    ]
    with kept_state():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(models) == 2


@pytest.mark.slow
def test_no_more_processes_than_cores_are_started():
    seen = []
    fit(n_jobs=99, time_budget=8, n_trials=None, callbacks=[lambda study, trial: seen.append(len(children()))])
    assert max(seen) <= usable_cores()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
def test_forked_process_predicts_after_a_fit_and_predictions_in_threads(fitted: AutoMetaClassifier):
    X = pd.concat([make_data()[0]] * 100, ignore_index=True)
    expected = fitted.predict_proba(X)
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)  # a process that hangs ends with a signal
        few, many = fitted.predict_proba(X[:50]), fitted.predict_proba(X)
        os._exit(0 if np.allclose(few, expected[:50]) and np.array_equal(many, expected) else 1)
    assert os.waitpid(pid, 0)[1] == 0
