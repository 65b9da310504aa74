"""Where evaluations run: in worker processes, or in the calling process until those are ready."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path

from loky.backend.context import get_context
from pebble import ProcessExpired, ProcessPool

from autometa.core.evaluation import Status
from autometa.evaluation.evaluator import described, evaluate
from autometa.evaluation.isolation import limit_process
from autometa.evaluation.jobs import Evaluator, Handle, Job, Outcome, failed_outcome
from autometa.evaluation.workspace import Workspace

logger = logging.getLogger(__name__)

_PRELOAD = ("autometa.evaluation.evaluator", "autometa.learners", "lightgbm")


def process_pool(n_workers: int, memory_bytes: int, scratch: Path | None = None) -> ProcessPool:
    """Return a pool whose processes evaluate one job at a time within a memory limit; `scratch` holds their files."""
    # Loky's context starts fresh processes that do not run the user's script again,
    # so `fit` works in scripts without an `if __name__ == "__main__"` guard.
    return ProcessPool(
        max_workers=n_workers,
        context=get_context("loky"),
        initializer=limit_process,
        initargs=(memory_bytes, _PRELOAD, os.getpid(), scratch),
    )


class Workers(Evaluator):
    """Runs each job under its own limits; one that hangs, crashes or takes too much memory fails alone.

    Parameters
    ----------
    workspace : Workspace
        Holds the prepared folds and receives the models.
    n_workers : int
        Evaluations at a time.
    memory_bytes : int
        Bytes that one evaluation may allocate.
    quick : frozenset of str
        Strategies whose fits take well under a second on this table.
    """

    def __init__(self, workspace: Workspace, n_workers: int, memory_bytes: int, quick: frozenset[str]) -> None:
        self._workspace = workspace
        self._n_workers = n_workers
        self._memory_bytes = memory_bytes
        self._learners = workspace.shared.learners
        self.quick = quick
        self.keeping_deadline = frozenset(name for name, learner in self._learners.items() if learner.keeps_deadline)
        self._unusable = False
        self._pool: ProcessPool | None = None
        self._first_answer: Future[int] | None = None

    def start(self) -> None:
        """Start the processes without waiting for them."""
        if self._pool is None and not self._unusable:
            pool = process_pool(self._n_workers, self._memory_bytes, self._workspace.folder)
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

    def prepare(self, strategy: str, fold: int) -> None:
        """Prepare a fold in the view of the strategy's learner, on the first call only."""
        self._workspace.prepare(fold, self._learners[strategy].view)

    def preparation_s(self, strategy: str, fold: int) -> float:
        """Return the expected seconds of `prepare`; 0 when it is done."""
        return self._workspace.expected_s(fold, self._learners[strategy].view)

    def drop_models(self, trial: int) -> None:
        """Delete the models of a trial that no ensemble will use."""
        self._workspace.drop_models(trial)

    def submit(self, job: Job, *, inline: bool, kill_after_s: float | None) -> Handle:
        """Submit a job to the processes, or keep it for this process; see `Evaluator.submit`."""
        if inline:
            return Handle(job, None)
        for _ in range(2):
            self.start()
            if self._pool is None:
                break
            arguments = (self._workspace.folder, job)
            try:
                return Handle(job, self._pool.schedule(evaluate, args=arguments, timeout=kill_after_s))
            except RuntimeError as error:
                logger.warning("the worker processes died (%s); starting others", error)
                self.stop()
        if job.configuration.strategy in self.quick | self.keeping_deadline:
            return Handle(job, None)
        future: Future[Outcome] = Future()
        future.set_result(failed_outcome(job, "failed", "needs a worker process, and none can be started"))
        return Handle(job, future)

    def wait(self, handles: Sequence[Handle], *, in_order: bool, timeout_s: float) -> list[tuple[Handle, Outcome]]:
        """Return jobs that are done, at least one unless `timeout_s` passes first; see `Evaluator.wait`."""
        if in_order:
            handles = handles[:1]
        for handle in handles:
            if handle.future is None:
                return [(handle, evaluate(self._workspace.folder, handle.job))]
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
    """Return the outcome of a job submitted at `submitted_s`; waits for its process, which may have died."""
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
    return failed_outcome(job, status, reason, time.monotonic() - submitted_s, text)
