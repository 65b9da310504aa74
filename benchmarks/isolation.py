"""Run a function in a fresh process and measure the memory of that process and its children.

The function is named as ``module:function``, takes keyword arguments that JSON can hold, and returns a
dictionary. As a script, this module is the process: ``python -m benchmarks.isolation NAME JSON FILE``.
It imports nothing that the function does not, since workers started by spawning import the main module again.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SAMPLE_EVERY_S = 0.2
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Outcome:
    """The result of a process and its peak memory.

    Parameters
    ----------
    result : dict
        What the function returned; empty if it failed.
    peak_mb : float
        Largest sum of the proportional set sizes (shared pages are split among those who share them)
        over the process and its descendants, in MB of 10^6 bytes, sampled every 0.2 s.
    error : str
        One line that says how it failed; empty if it did not.
    """

    result: dict[str, Any]
    peak_mb: float
    error: str


def run_isolated(name: str, arguments: Mapping[str, Any], *, limit_s: float, n_threads: int) -> Outcome:
    """Return the outcome of calling a function in a fresh Python process.

    Parameters
    ----------
    name : str
        ``module:function``, importable from the root of the repository.
    arguments : mapping
        Keyword arguments of the function.
    limit_s : float
        Wall-clock seconds after which the process and its descendants are killed.
    n_threads : int
        Threads that OpenMP and the linear algebra libraries of each process may use.
    """
    # Threads that spin while they wait make boosting many times slower if something else runs
    # on the same cores; every system is measured with sleeping threads.
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    environment |= {variable: str(n_threads) for variable in _THREAD_VARIABLES}
    with tempfile.TemporaryDirectory() as folder:
        answer, log = Path(folder, "answer.json"), Path(folder, "log.txt")
        command = [sys.executable, "-m", "benchmarks.isolation", name, json.dumps(dict(arguments)), str(answer)]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
            )
            try:
                peak_bytes, in_time = _watch(process, limit_s)
            finally:
                _kill_group(process)
        peak_mb = peak_bytes / 1e6
        if not in_time:
            return Outcome({}, peak_mb, f"stopped after {limit_s:g} s")
        if not answer.exists():
            last_line = (log.read_text(errors="replace").strip().splitlines() or [""])[-1]
            return Outcome({}, peak_mb, f"exit code {process.returncode}: {last_line}"[:300])
        result = json.loads(answer.read_text())
        return Outcome(result, peak_mb, result.pop("error", ""))


def _watch(process: subprocess.Popen[bytes], limit_s: float) -> tuple[int, bool]:
    started = time.perf_counter()
    peak_bytes = 0
    while process.poll() is None:
        if time.perf_counter() - started > limit_s:
            return peak_bytes, False
        peak_bytes = max(peak_bytes, _tree_bytes(process.pid))
        time.sleep(SAMPLE_EVERY_S)
    return peak_bytes, True


def _tree_bytes(pid: int) -> int:
    import psutil

    try:
        parent = psutil.Process(pid)
        processes = [parent, *parent.children(recursive=True)]
    except psutil.Error:
        return 0
    total = 0
    for process in processes:
        try:
            memory = process.memory_full_info()
        except psutil.Error:  # ended since it was listed
            continue
        # Only Linux reports the proportional size; elsewhere shared pages do not count.
        total += getattr(memory, "pss", memory.uss)
    return total


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    # The process leads its own session, so this also ends workers that outlived it.
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def _call(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    module, function = name.split(":")
    try:
        return getattr(importlib.import_module(module), function)(**arguments)
    except Exception as error:  # noqa: BLE001 - any failure of a measured system is a result
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}".replace("\n", " ")[:300]}


if __name__ == "__main__":
    _answer = _call(sys.argv[1], json.loads(sys.argv[2]))
    Path(sys.argv[3]).write_text(json.dumps(_answer))
