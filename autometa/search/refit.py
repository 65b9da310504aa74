"""The final fits of chosen configurations, on all rows."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import numpy as np

from autometa.core.budget import Deadline
from autometa.evaluation.jobs import Evaluator, Handle, Job
from autometa.evaluation.workspace import ALL_ROWS
from autometa.search.trial_records import TrialRecord

logger = logging.getLogger(__name__)


def refit(
    records: Sequence[TrialRecord],
    *,
    evaluator: Evaluator,
    growth: float,
    deadline: Deadline,
    n_jobs: int,
    n_threads: int,
    seed: int,
) -> set[int]:
    """Fit the configurations of `records` on all rows, in order, as far as the deadline allows.

    Ctrl-C, a full disk or too little memory end it early; the models of the folds remain.

    Parameters
    ----------
    records : sequence of TrialRecord
        Trials measured at anchor 1.
    evaluator : Evaluator
        Runs the fits.
    growth : float
        Rows that are fitted on now divided by those of a fold's fit.
    deadline : Deadline
        When the last fit must have ended.
    n_jobs, n_threads : int
        Fits at a time, and threads of each.
    seed : int
        Seed of the run.

    Returns
    -------
    set of int
        Numbers of the trials that have a model of all rows. A model that the deadline cut
        short is not among them: the models of the folds are better.
    """
    refitted: set[int] = set()
    waiting = list(records)
    handles: list[Handle] = []
    try:
        while waiting or handles:
            while waiting and len(handles) < (n_jobs if evaluator.ready else 1):
                record = waiting.pop(0)
                strategy = record.configuration.strategy
                preparation_s = evaluator.preparation_s(strategy, ALL_ROWS)
                if record.refit_s(growth, preparation_s) > deadline.remaining_s():
                    continue
                evaluator.prepare(strategy, ALL_ROWS)
                limit_s = max(0.1, deadline.remaining_s())
                kill_after_s = limit_s if math.isfinite(limit_s) else None
                job = _job(record, growth, limit_s, n_threads, seed)
                handles.append(evaluator.submit(job, inline=not evaluator.ready, kill_after_s=kill_after_s))
            if not handles or deadline.passed():
                break
            for handle, outcome in evaluator.wait(handles, in_order=False, timeout_s=deadline.remaining_s()):
                handles.remove(handle)
                if outcome.evaluation.status == "ok" and not outcome.evaluation.is_cut_short:
                    refitted.add(handle.job.trial)
    except (KeyboardInterrupt, OSError, MemoryError) as error:
        logger.warning("fitting again on all rows ended early: %r", error)
    return refitted


def _job(record: TrialRecord, growth: float, limit_s: float, n_threads: int, seed: int) -> Job:
    iterations = list(record.n_iterations.values())
    # More rows bear somewhat more iterations than the fits of the folds kept.
    n_iterations = round(float(np.mean(iterations)) * growth**0.5) if iterations else None
    return Job(
        record.number,
        record.configuration,
        1.0,
        ALL_ROWS,
        seed,
        limit_s,
        n_threads=n_threads,
        n_iterations=n_iterations,
    )
