"""Bars are shown where somebody sees them, end full, and never cost a run."""

from __future__ import annotations

import io
import logging
import math
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from autometa._support import progress
from autometa._support.progress import CountBar, LogHandler, ProgressBar, is_terminal


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class _OnlyWrites:
    """Stands for what some servers put in the place of standard error."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


def _closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.replace("\r", "\n").splitlines() if line.strip()]


def _run(bar: ProgressBar) -> None:
    bar.update(3, "0.9")
    bar.complete()
    bar.close()


@pytest.mark.parametrize(
    ("stream", "expected"),
    [(_Terminal(), True), (io.StringIO(), False), (None, False), (_OnlyWrites(), False), (_closed(), False)],
    ids=["terminal", "file", "none", "without isatty", "closed"],
)
def test_only_an_open_stream_that_says_so_is_a_terminal(stream: Any, expected: bool) -> None:
    assert is_terminal(stream) is expected


@pytest.mark.parametrize("show", [None, True, False])
@pytest.mark.parametrize(
    "stream", [None, _OnlyWrites(), _closed(), io.StringIO()], ids=["none", "without isatty", "closed", "file"]
)
def test_no_standard_error_ends_a_run(monkeypatch: pytest.MonkeyPatch, stream: Any, show: bool | None) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    _run(ProgressBar(show, 10.0, None))
    with CountBar(show, 3, "steps") as bar:
        bar.advance()


def test_a_bar_is_shown_in_a_terminal_when_asked_for_and_not_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, show, is_shown in (
        (_Terminal(), None, True),
        (_Terminal(), False, False),
        (io.StringIO(), None, False),
        (io.StringIO(), True, True),
    ):
        monkeypatch.setattr(sys, "stderr", stream)
        _run(ProgressBar(show, 10.0, None))
        assert bool(stream.getvalue()) is is_shown


def test_a_bar_is_shown_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr(progress, "is_installed", lambda library: False)  # text, where there are no widgets
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    _run(ProgressBar(None, 10.0, None))
    assert "3 trials" in sys.stderr.getvalue()


def test_ipython_in_a_terminal_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace()))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    _run(ProgressBar(None, 10.0, None))
    assert sys.stderr.getvalue() == ""


@pytest.mark.parametrize(("time_s", "n_trials"), [(100.0, None), (math.inf, 10), (100.0, 10)])
def test_a_run_that_ends_before_its_budget_fills_the_bar(
    monkeypatch: pytest.MonkeyPatch, time_s: float, n_trials: int | None
) -> None:
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    _run(ProgressBar(True, time_s, n_trials))
    last = _lines(stream.getvalue())[-1]
    assert last.startswith("autometa: 100%|")
    assert last.endswith(", 3 trials, best 0.9")


def test_a_run_that_failed_leaves_the_bar_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    bar = ProgressBar(True, math.inf, 10)
    bar.update(3, "0.9")
    bar.close()
    assert _lines(stream.getvalue())[-1].startswith("autometa:  30%|")


def test_nothing_empty_stands_between_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    _run(ProgressBar(True, 100.0, None))
    assert not any(", ," in line or line.endswith(",") for line in _lines(stream.getvalue()))


def test_seconds_before_the_bar_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    bar = ProgressBar(True, 1000.0, None, elapsed_s=400.0)
    bar.update(1, "0.5")
    bar.close()
    last = _lines(stream.getvalue())[-1]
    assert "40%" in last and "06:40" in last and last.endswith("600 s left")


def test_log_lines_stand_above_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    handler = LogHandler()
    bar = ProgressBar(True, 100.0, None)
    handler.emit(logging.LogRecord("autometa", logging.INFO, "", 0, "a trial ended", (), None))
    bar.close()
    assert "a trial ended" in _lines(stream.getvalue())


def test_a_log_line_without_a_standard_error_is_lost_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    LogHandler().emit(logging.LogRecord("autometa", logging.INFO, "", 0, "a trial ended", (), None))


def test_log_that_cannot_be_written_is_no_error(monkeypatch):
    class Closed(io.StringIO):
        def write(self, text):
            raise ValueError("I/O operation on closed file")

    monkeypatch.setattr(sys, "stderr", Closed())
    LogHandler().handle(logging.makeLogRecord({"msg": "unheard"}))
