"""Fit chosen configurations once more, on all rows."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence

import numpy as np

from autometa.core.budget import Deadline
from autometa.evaluation.evaluator import Job
from autometa.evaluation.workers import Handle
from autometa.evaluation.workspace import ALL_ROWS
from autometa.search.engine import Evaluator
from autometa.search.plan import Plan
from autometa.search.trial_records import TrialRecord

logger = logging.getLogger(__name__)


def refit(
    records: Sequence[TrialRecord],
    refitted: set[int],
    *,
    evaluator: Evaluator,
    prepare: Callable[[str, int], None],
    preparation_s: Callable[[str, int], float],
    plan: Plan,
    deadline: Deadline,
    n_jobs: int,
    n_threads: int,
    seed: int,
) -> None:
    """Fit the configurations of `records` on all rows, in order, as far as the deadline allows.

    Ctrl-C, a full disk or too little memory end it; the models of the folds are there.

    Parameters
    ----------
    records : sequence of TrialRecord
        Trials measured at anchor 1.
    refitted : set of int
        Receives the numbers of the trials whose refitted model is there. A model that the
        deadline cut short is not among them: the model of the fold is better.
    evaluator : Evaluator
        Runs the fits.
    prepare : callable
        ``prepare(strategy, fold)`` makes the arrays that a fit reads.
    preparation_s : callable
        Seconds that ``prepare(strategy, fold)`` is expected to take; 0 when it is done.
    plan : Plan
        Its folds say how many more rows there are now.
    deadline : Deadline
        When it must have ended.
    n_jobs, n_threads : int
        Fits at a time, and threads of each.
    seed : int
        Seed of the run.
    """
    waiting = list(records)
    handles: list[Handle] = []
    growth = plan.growth
    try:
        while waiting or handles:
            while waiting and len(handles) < (n_jobs if evaluator.ready else 1):
                record = waiting.pop(0)
                strategy = record.configuration.strategy
                if record.refit_s(growth, preparation_s(strategy, ALL_ROWS)) > deadline.remaining_s():
                    continue
                prepare(strategy, ALL_ROWS)
                iterations = list(record.n_iterations.values())
                # More rows bear somewhat more iterations than the fold fits kept.
                n_iterations = round(float(np.mean(iterations)) * growth**0.5) if iterations else None
                limit_s = max(0.1, deadline.remaining_s())
                job = Job(
                    record.number, record.configuration, 1.0, ALL_ROWS, seed, limit_s, math.inf, n_threads, n_iterations
                )
                handles.append(evaluator.submit(job, inline=not evaluator.ready, kill_after_s=limit_s))
            if not handles or deadline.passed():
                break
            for handle, outcome in evaluator.wait(handles, in_order=False, timeout_s=deadline.remaining_s()):
                handles.remove(handle)
                if outcome.evaluation.status == "ok" and not outcome.evaluation.is_cut_short:
                    refitted.add(handle.job.trial)
    except (KeyboardInterrupt, OSError, MemoryError) as error:
        logger.warning("fitting again on all rows ended early: %r", error)
