"""The limits of a worker process: memory, threads, signals, and its end with the calling process.

The module imports nothing heavy at its top: a worker runs `limit_process` before NumPy
and the boosting libraries read the environment.
"""

# Tests: tests/evaluation/test_workers.py

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import signal
import tempfile
import threading
import time
from pathlib import Path

from autometa._support.owned_folder import remove_if_abandoned

# One thread per worker: of several threads those that wait spin and slow down every other process.
# PASSIVE makes threads that exist anyway sleep while they wait.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "BLIS_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}


# Bytes of address space that allocators reserve and never touch, which count against the limit:
# CatBoost up to 1 GiB, and its thread pool deadlocks when a reservation is refused.
_RESERVED_BYTES = 2 * 2**30


def limit_process(memory_bytes: int, preload: tuple[str, ...], parent_pid: int, scratch: Path | None = None) -> None:
    """Prepare this process for evaluations.

    It ends within a second of its parent, whatever it is doing, and deletes the parent's folder:
    a parent that was killed cannot end it, and a fit that hangs would run for ever (not on Windows,
    where a process is not told of its parent's end).

    Parameters
    ----------
    memory_bytes : int
        Bytes of private memory that it may allocate, plus what it holds after `preload` and
        2 GiB that allocators reserve; more fails with MemoryError. Not enforced where the
        system lacks ``RLIMIT_DATA`` (Windows, macOS).
    preload : tuple of str
        Modules to import now, so that their seconds do not count for the first fit.
    parent_pid : int
        Number of the calling process.
    scratch : Path, optional
        Folder for temporary files, which is deleted with the files of processes that were killed.
    """
    if os.name == "posix":
        threading.Thread(target=_end_with, args=(parent_pid, scratch), daemon=True).start()
    os.environ.update(_ENVIRONMENT)
    if scratch is not None:
        tempfile.tempdir = str(scratch)
    # Ctrl-C reaches the whole process group; only the calling process answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The pool's own handler is Python code, which waits for native code to return; the
    # default ends the process at once, so that a deadline costs no seconds of waiting.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for module in preload:
        # A module that cannot be imported fails the evaluations that need it, each with its reason.
        with contextlib.suppress(Exception):
            importlib.import_module(module)
    try:
        import resource

        limit = _own_bytes("VmData") + _RESERVED_BYTES + memory_bytes
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        if hard != resource.RLIM_INFINITY:
            limit = min(limit, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    except (ImportError, OSError, ValueError):
        return


def _end_with(parent_pid: int, scratch: Path | None) -> None:
    # A process whose parent has ended gets another one.
    while os.getppid() == parent_pid:
        time.sleep(1)
    if scratch is not None:
        # A folder that several runs share has no owner and stays.
        with contextlib.suppress(OSError):
            remove_if_abandoned(scratch)
    os._exit(1)


def reset_peak_memory() -> float:
    """Reset the peak of this process's resident memory; return what it holds now, in MiB.

    Freed memory goes back to the system first, because a fit that reuses the memory of the one
    before would seem to need none. NaN where the system does not tell (Windows, macOS).
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _own_bytes("VmRSS") / 2**20
    except (OSError, ValueError):
        return float("nan")


def peak_memory_mb() -> float:
    """Return the peak of resident memory since `reset_peak_memory`, in MiB; NaN where the system does not tell."""
    try:
        return _own_bytes("VmHWM") / 2**20
    except (OSError, ValueError):
        return float("nan")


def _own_bytes(name: str) -> int:
    """Return a size of this process as the system reports it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"{name} is not reported")
