"""Jobs and their outcomes: what a search hands to an evaluator, and what it gets back."""

# Tests: tests/search/test_engine.py

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from autometa.core.budget import Anchor
from autometa.core.evaluation import Evaluation, Status
from autometa.core.space import Configuration


@dataclass(frozen=True)
class Job:
    """One evaluation to be done.

    Parameters
    ----------
    trial : int
        Number of the trial that it belongs to.
    configuration : Configuration
        The configuration to fit.
    anchor : float
        Fraction of the fold's training rows, in (0, 1].
    fold : int
        Number of the fold, or ``ALL_ROWS`` for a refit without validation.
    seed : int
        Seed of the run; the seed of the fit is derived from it.
    limit_s : float
        Seconds that it may take; learners that can stop by themselves do so before.
    ends_at_s : float
        Time of day (``time.time()``) when the search ends: a job may wait for its worker.
    n_threads : int
        Threads that it may use.
    n_iterations : int or None
        Iterations of a refit, known from the fits of the folds.
    for_records : bool
        Whether to measure what a meta-dataset records and a fit does not need: peak memory, and
        the learning curve over iterations. The model is not kept.
    """

    trial: int
    configuration: Configuration
    anchor: Anchor
    fold: int
    seed: int
    limit_s: float
    ends_at_s: float = math.inf
    n_threads: int = 1
    n_iterations: int | None = None
    for_records: bool = False


@dataclass(frozen=True)
class Outcome:
    """The result of a job.

    Parameters
    ----------
    evaluation : Evaluation
        Loss, seconds and status.
    predictions : ndarray or None
        Predictions for the validation rows; None when the job failed, and for a refit.
    n_iterations : int or None
        Iterations kept by a learner that stops early.
    stages : tuple of (int, ndarray)
        Iterations, in powers of two, and the predictions after them; for records only.
    held_out : ndarray or None
        Predictions for the fold's held-out rows, at anchor 1; for records only.
    """

    evaluation: Evaluation
    predictions: np.ndarray | None = None
    n_iterations: int | None = None
    stages: tuple[tuple[int, np.ndarray], ...] = ()
    held_out: np.ndarray | None = None


def failed_outcome(job: Job, status: Status, error: str, fit_s: float = 0.0, error_text: str = "") -> Outcome:
    """Return the outcome of a job that ended without a loss."""
    evaluation = Evaluation(
        job.configuration, job.anchor, job.fold, math.nan, fit_s, 0.0, status, error, error_text=error_text
    )
    return Outcome(evaluation)


@dataclass
class Handle:
    """A submitted job; `future` is None when the calling process runs it."""

    job: Job
    future: Future[Outcome] | None
    submitted_s: float = field(default_factory=time.monotonic)


class Evaluator(Protocol):
    """Evaluates jobs: the live one fits models, another looks results up and prepares nothing.

    Attributes
    ----------
    quick : frozenset of str
        Strategies whose fits take well under a second.
    keeping_deadline : frozenset of str
        Strategies whose learners stop by themselves in time. The calling process may evaluate
        these and the quick ones.
    """

    quick: frozenset[str] = frozenset()
    keeping_deadline: frozenset[str] = frozenset()

    @property
    def ready(self) -> bool:
        """Whether jobs that are not inline begin at once."""
        ...

    def start(self) -> None:
        """Start worker processes without waiting for them."""
        return

    def prepare(self, strategy: str, fold: int) -> None:
        """Make the arrays that evaluations of a strategy on a fold read."""
        return

    def preparation_s(self, strategy: str, fold: int) -> float:
        """Return the expected seconds of `prepare`; 0 when it is done."""
        return 0.0

    def drop_models(self, trial: int) -> None:
        """Delete the models of a trial that is not needed any more."""
        return

    def submit(self, job: Job, *, inline: bool, kill_after_s: float | None) -> Handle:
        """Submit a job.

        Parameters
        ----------
        job : Job
            The evaluation to do.
        inline : bool
            Whether the calling process runs it when its turn comes.
        kill_after_s : float or None
            Seconds of running after which its process is killed; None for never.
        """
        ...

    def wait(self, handles: Sequence[Handle], *, in_order: bool, timeout_s: float) -> list[tuple[Handle, Outcome]]:
        """Return jobs that are done, at least one unless `timeout_s` passes first.

        Parameters
        ----------
        handles : sequence of Handle
            Submitted jobs, oldest first.
        in_order : bool
            Whether to wait for the oldest job alone, so that the order of results does not depend on time.
        timeout_s : float
            Longest wait in seconds.
        """
        ...
