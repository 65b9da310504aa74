"""Nothing that a fit stores or logs quotes the data; the caller of the fit is told all."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from autometa import AutoMeta, Strategy, load
from autometa.exceptions import SearchFailedError

CELL, LABEL, COLUMN = "marker-in-a-cell", "marker-in-a-label", "marker-in-a-name"
NUMBER = 7654321.125
MARKERS = [CELL, LABEL, COLUMN, repr(NUMBER), "quoted"]


class Quoting(BaseEstimator):
    """Fails with what it was given in the text, while fitting or while predicting."""

    def __init__(self, when: str = "fit") -> None:
        self.when = when

    def fit(self, X: np.ndarray, y: np.ndarray) -> Quoting:
        if self.when == "fit":
            raise ValueError(f"quoted: {X[0].tolist()} {y.max()!r} {CELL}\nand a second line")
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        raise KeyError(f"quoted: {X[0].tolist()} {CELL} {NUMBER!r}")


class QuotingClassifier(ClassifierMixin, Quoting):
    pass


class QuotingRegressor(RegressorMixin, Quoting):
    pass


class Unsendable(RegressorMixin, BaseEstimator):
    """Its models cannot be sent back from a worker process."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> Unsendable:
        self.hook_ = _Hook(f"quoted: {y.max()!r}")
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.zeros(len(X))


class _Hook:
    def __init__(self, text: str) -> None:
        self.text = text

    def __reduce__(self) -> Any:
        raise TypeError(self.text)


cloudpickle.register_pickle_by_value(sys.modules[__name__])


def make_table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({COLUMN: rng.choice([CELL, "other", "third"], 120), "number": rng.normal(size=120) + NUMBER})


def fit_with_everything_stored(folder: Path, y: Any, kind: type, *strategies: Any, **parameters: Any) -> AutoMeta:
    model = AutoMeta(
        strategies=[Strategy("fails", kind("fit")), Strategy("fails_late", kind("predict")), *strategies],
        n_trials=4,
        cv=2,
        random_state=0,
        policy="prior",
        experience=folder / "experience",
        storage=f"sqlite:///{folder}/study.db",
        study_name="study",
        **parameters,
    ).fit(make_table(), y)
    model.save(folder / "model.autometa")
    return model


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def assert_nothing_is_quoted(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = contents(folder)
    assert {"study.db", "model.autometa"} < set(files)
    for name, content in files.items():
        # A saved model knows names and levels of columns, and labels; they are compressed, too.
        for marker in MARKERS:
            assert marker.encode() not in content, (name, marker)
    history = load(folder / "model.autometa").history_
    assert not any(marker in str(history) for marker in MARKERS)
    logged = [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]
    assert any("fails" in text for text in logged)
    assert not any(marker in text for text in logged for marker in MARKERS)


def assert_the_caller_is_told(model: AutoMeta) -> None:
    errors = model.leaderboard(full=True).set_index("strategy")["error"]
    assert errors["fails"].startswith("ValueError: quoted: [") and CELL in errors["fails"]
    assert errors["fails_late"].startswith("KeyError:") and repr(NUMBER) in errors["fails_late"]


def test_classification_stores_and_logs_no_data(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, logger="autometa")
    y = np.where(make_table()["number"] > NUMBER, LABEL, "other label")
    model = fit_with_everything_stored(tmp_path, y, QuotingClassifier, "logistic_regression", n_jobs=1)
    assert_nothing_is_quoted(tmp_path, caplog)
    assert_the_caller_is_told(model)
    assert {"ValueError", "KeyError"} <= set(load(tmp_path / "model.autometa").leaderboard(full=True)["error"])


@pytest.mark.slow
def test_regression_in_workers_stores_and_logs_no_data(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, logger="autometa")
    strategies = [Strategy("unsendable", Unsendable()), "ridge"]
    model = fit_with_everything_stored(tmp_path, np.full(120, NUMBER) + np.arange(120), QuotingRegressor, *strategies)
    assert_nothing_is_quoted(tmp_path, caplog)
    assert_the_caller_is_told(model)


def test_failed_search_says_why_with_all_texts():
    with pytest.raises(SearchFailedError, match="ValueError: quoted"):
        AutoMeta(strategies=[Strategy("fails", QuotingRegressor())], n_trials=1, n_jobs=1, cv=2).fit(
            make_table(), np.arange(120) / 7
        )
