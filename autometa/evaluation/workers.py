"""Where evaluations run: in worker processes, or in the calling process until those are ready."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from pathlib import Path

from joblib.externals.loky.backend.context import get_context
from pebble import ProcessExpired, ProcessPool

from autometa.core.evaluation import Status
from autometa.evaluation.evaluator import Job, Outcome, described, evaluate, failed
from autometa.evaluation.isolation import limit_process

logger = logging.getLogger(__name__)

_PRELOAD = ("autometa.evaluation.evaluator", "autometa.learners", "lightgbm")


def process_pool(n_workers: int, memory_bytes: int, scratch: Path | None = None) -> ProcessPool:
    """Return a pool whose processes evaluate one job at a time under a limit of memory, with files in `scratch`."""
    # Loky's context starts fresh processes that do not run the user's script again,
    # so `fit` works in scripts without an `if __name__ == "__main__"` guard.
    return ProcessPool(
        max_workers=n_workers,
        context=get_context("loky"),
        initializer=limit_process,
        initargs=(memory_bytes, _PRELOAD, os.getpid(), scratch),
    )


@dataclass
class Handle:
    """A job that was handed in; `future` is None while the calling process is to run it."""

    job: Job
    future: Future[Outcome] | None
    submitted_s: float = field(default_factory=time.monotonic)


class Workers:
    """Runs jobs, each under its own limits; one that hangs, crashes or eats memory fails alone.

    Parameters
    ----------
    folder : Path
        Folder of the run's workspace.
    n_workers : int
        Evaluations at a time.
    memory_bytes : int
        What one evaluation may allocate.
    inline_strategies : set of str
        What the calling process may evaluate where no process can be started.
    """

    def __init__(self, folder: Path, n_workers: int, memory_bytes: int, inline_strategies: set[str]) -> None:
        self._folder = folder
        self._n_workers = n_workers
        self._memory_bytes = memory_bytes
        self._inline_strategies = inline_strategies
        self._unusable = False
        self._pool: ProcessPool | None = None
        self._first_answer: Future[int] | None = None

    def start(self) -> None:
        """Start the processes without waiting for them."""
        if self._pool is None and not self._unusable:
            pool = process_pool(self._n_workers, self._memory_bytes, self._folder)
            try:
                self._first_answer = pool.schedule(os.getpid)
                self._pool = pool
            except Exception as error:
                # Too little memory, no semaphores, no right to start processes …
                logger.warning("worker processes cannot be started (%r); evaluating in this process", error)
                self._unusable = True

    @property
    def ready(self) -> bool:
        """Whether a process has answered."""
        return self._first_answer is not None and self._first_answer.done()

    def submit(self, job: Job, *, inline: bool, kill_after_s: float | None) -> Handle:
        """Hand in a job.

        Parameters
        ----------
        job : Job
            What to evaluate.
        inline : bool
            Run it in the calling process when its turn comes.
        kill_after_s : float or None
            Seconds of running after which its process is killed; None for never.
        """
        if inline:
            return Handle(job, None)
        for _ in range(2):
            self.start()
            if self._pool is None:
                break
            try:
                return Handle(job, self._pool.schedule(evaluate, args=(self._folder, job), timeout=kill_after_s))
            except RuntimeError as error:
                logger.warning("the worker processes died (%s); starting others", error)
                self.stop()
        if job.configuration.strategy in self._inline_strategies:
            return Handle(job, None)
        future: Future[Outcome] = Future()
        future.set_result(Outcome(failed(job, "failed", "needs a worker process, and none can be started", 0.0)))
        return Handle(job, future)

    def wait(self, handles: Sequence[Handle], *, in_order: bool, timeout_s: float) -> list[tuple[Handle, Outcome]]:
        """Return jobs that are done, at least one unless `timeout_s` passes first.

        Parameters
        ----------
        handles : sequence of Handle
            Jobs handed in, oldest first.
        in_order : bool
            Wait for the oldest job alone, so that the order of results does not depend on time.
        timeout_s : float
            Longest wait in seconds.
        """
        if in_order:
            handles = handles[:1]
        for handle in handles:
            if handle.future is None:
                return [(handle, evaluate(self._folder, handle.job))]
        # Waking every half second lets Ctrl-C and heartbeats through on every platform.
        wait(
            [handle.future for handle in handles if handle.future],
            timeout=min(timeout_s, 0.5),
            return_when=FIRST_COMPLETED,
        )
        return [
            (handle, outcome_of(handle.future, handle.job, handle.submitted_s))
            for handle in handles
            if handle.future is not None and handle.future.done()
        ]

    def stop(self) -> None:
        """Kill the processes, whatever they are doing."""
        if self._pool is not None:
            self._pool.stop()
            with contextlib.suppress(FutureTimeoutError):
                self._pool.join(timeout=2)
            self._pool = self._first_answer = None


def outcome_of(future: Future[Outcome], job: Job, submitted_s: float) -> Outcome:
    """Return what a job in a worker process gave, waiting for it; its process may have died.

    Parameters
    ----------
    future : Future
        The job's.
    job : Job
        What was to be evaluated.
    submitted_s : float
        When it was handed in, on the monotonic clock.
    """
    status: Status = "failed"
    text = ""
    try:
        return future.result()
    except FutureTimeoutError:
        status, reason = "timeout", f"killed after {time.monotonic() - submitted_s:.1f} s"
    except MemoryError:
        status, reason = "memory", "out of memory"
    except ProcessExpired as error:
        reason = f"its process died ({error}, exit code {error.exitcode}): a crash, or killed for memory"
    except Exception as error:
        # Results that cannot travel back, for instance.
        reason, text = described(error)
    logger.debug("trial %d fold %d: %s %s", job.trial, job.fold, reason, text)
    return Outcome(failed(job, status, reason, time.monotonic() - submitted_s, text))
