"""Searches against stand-in evaluators that know every loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import numpy as np
from optuna.distributions import FloatDistribution

from autometa.core.budget import Budget, Deadline
from autometa.core.evaluation import Evaluation
from autometa.core.proposal import Proposal
from autometa.core.space import Configuration
from autometa.core.strategy import Strategy
from autometa.core.task import TaskDescription
from autometa.evaluation.jobs import Evaluator, Handle, Job, Outcome, failed_outcome
from autometa.policy.prior import PriorPolicy
from autometa.search.engine import Search
from autometa.search.plan import Plan
from autometa.search.studies import open_study

TASK = TaskDescription("regression", 100, 3, 0)
PLAN = Plan(n_splits=3, is_holdout=False, max_members=5, use_workers=False, finish_s=0.0, refit_share=0.0)


class InstantEvaluator(Evaluator):
    """Answers each job at once: the loss is the distance of `x` from 0.3; strategies in `failing` fail."""

    ready = True

    def __init__(self, failing: Sequence[str] = (), interrupt_after: int | None = None) -> None:
        self.failing = failing
        self.interrupt_after = interrupt_after
        self.jobs: list[Job] = []
        self.dropped: list[int] = []

    def drop_models(self, trial: int) -> None:
        self.dropped.append(trial)

    def submit(self, job: Job, *, inline: bool, kill_after_s: float | None) -> Handle:
        self.jobs.append(job)
        return Handle(job, Future())

    def wait(self, handles: Sequence[Handle], *, in_order: bool, timeout_s: float) -> list[tuple[Handle, Outcome]]:
        if self.interrupt_after is not None and len(self.jobs) > self.interrupt_after:
            raise KeyboardInterrupt
        handle = handles[0]
        return [(handle, self.outcome(handle.job))]

    def outcome(self, job: Job) -> Outcome:
        if job.configuration.strategy in self.failing:
            return failed_outcome(job, "failed", "told to")
        loss = abs(float(job.configuration.parameters["x"]) - 0.3) + 0.01 * job.fold  # type: ignore[arg-type]
        return Outcome(Evaluation(job.configuration, job.anchor, job.fold, loss, 0.0, 0.0), np.zeros(10), 7)


class InOrder:
    """A policy that proposes its strategies in the order of their names, backwards."""

    def __init__(self, strategies: Sequence[Strategy]) -> None:
        self.names = sorted((strategy.name for strategy in strategies), reverse=True)

    def propose(self, description: TaskDescription, history: Sequence[Evaluation], remaining_s: float) -> Proposal:
        x = 0.01 * (1 + len({evaluation.configuration for evaluation in history}))
        return Proposal(dict.fromkeys(self.names, 1.0), tuple(Configuration(name, {"x": x}) for name in self.names))


def make_strategies(*names: str) -> tuple[Strategy, ...]:
    return tuple(
        Strategy(name, "ridge", {"x": FloatDistribution(0, 1)}, ({"x": 0.5}, {"x": 0.9}))
        for name in names or ("a", "b")
    )


def make_search(evaluator: InstantEvaluator, n_trials: int = 12, seed: int = 0, **changes: Any) -> Search:
    strategies = changes.pop("strategies", make_strategies())
    study = changes.pop("study", None)
    arguments: dict[str, Any] = {
        "task": TASK,
        "policy": PriorPolicy(strategies),
        "strategies": strategies,
        "evaluator": evaluator,
        "available": {strategy.name for strategy in strategies},
        "study": open_study(study, None, None, seed=seed, strategies=strategies, task={"n_rows": 100}),
        "plan": PLAN,
        "n_folds": 3,
        "budget": Budget(n_trials=n_trials),
        "deadline": Deadline(math.inf),
        "n_jobs": 2,
        "seed": seed,
    }
    return Search(**(arguments | changes))


class TimedEvaluator(InstantEvaluator):
    """Every evaluation takes 10 s of its own clock, and those of one strategy longer."""

    def __init__(self, slow: str, slow_s: float) -> None:
        super().__init__()
        self.now_s, self.slow, self.slow_s = 0.0, slow, slow_s

    def outcome(self, job: Job) -> Outcome:
        outcome = super().outcome(job)
        fit_s = self.slow_s if job.configuration.strategy == self.slow else 10.0
        self.now_s += fit_s
        return replace(outcome, evaluation=replace(outcome.evaluation, fit_s=fit_s))
