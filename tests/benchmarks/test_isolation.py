"""A measured process is counted with its children, and its failures are results."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from benchmarks.isolation import run_isolated

MODULE = """
import os, subprocess, sys, time

HOLD = "import time; n = 200_000_000; block = b'x' * n; time.sleep(1.5)"

def hold_in_a_child():
    subprocess.run([sys.executable, "-c", HOLD], check=True)
    return {"held": 200}

def hang(pid_file):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    with open(pid_file, "w") as file:
        file.write(str(child.pid))
    time.sleep(60)

def refuse():
    raise ValueError("no such luck")

def die():
    os._exit(7)
"""


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "made_up.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


@pytest.mark.slow
@pytest.mark.usefixtures("made_up")
def test_peak_memory_counts_the_children() -> None:
    outcome = run_isolated("made_up:hold_in_a_child", {}, limit_s=30, n_threads=1)
    assert outcome.result == {"held": 200}
    assert outcome.error == ""
    assert 200 < outcome.peak_mb < 300


@pytest.mark.usefixtures("made_up")
def test_an_exception_becomes_one_line() -> None:
    outcome = run_isolated("made_up:refuse", {}, limit_s=30, n_threads=1)
    assert outcome.error == "ValueError: no such luck"
    assert outcome.result == {}


@pytest.mark.usefixtures("made_up")
def test_a_process_that_dies_reports_its_exit_code() -> None:
    assert run_isolated("made_up:die", {}, limit_s=30, n_threads=1).error.startswith("exit code 7")


@pytest.mark.slow
def test_a_process_that_hangs_is_ended_with_its_children(made_up: Path) -> None:
    psutil = pytest.importorskip("psutil")
    pid_file = made_up / "pid.txt"
    outcome = run_isolated("made_up:hang", {"pid_file": str(pid_file)}, limit_s=1.5, n_threads=1)
    assert outcome.error == "stopped after 1.5 s"
    pid = int(pid_file.read_text())
    # Killing is not instant, and a killed orphan stays in the table as a zombie until it is reaped.
    for _ in range(50):
        ended = not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        if ended:
            break
        time.sleep(0.1)
    assert ended
