"""The interface of a policy: it proposes which configurations to try next."""

# Tests: tests/policy/test_prior.py

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from autometa.core.evaluation import Evaluation
from autometa.core.space import Configuration
from autometa.core.task import TaskDescription


@dataclass(frozen=True)
class Prediction:
    """Expected result of one configuration, before it is tried.

    Parameters
    ----------
    loss, loss_low, loss_high : float
        Median loss and the bounds of an 80% interval; NaN where unknown.
    seconds : float
        CPU seconds of one fit and prediction on a fold.
    memory_mb : float
        Peak memory of one fit and prediction, in MiB.
    beats_default : float
        Probability that it is better than the default configuration of the strategy whose
        default is best on past tasks.
    """

    loss: float
    loss_low: float
    loss_high: float
    seconds: float
    memory_mb: float
    beats_default: float


@dataclass(frozen=True)
class Proposal:
    """Which configurations to try next.

    Parameters
    ----------
    probabilities : mapping of str to float
        Softmax over the strategies' scores; the values sum to 1.
    configurations : tuple of Configuration
        Configurations to try, in order; empty when the policy leaves the choice
        within a strategy to the study's sampler.
    evidence : mapping of str to float
        Weights of the past tasks that the proposal rests on; they sum to 1.
    """

    probabilities: Mapping[str, float]
    configurations: tuple[Configuration, ...] = ()
    evidence: Mapping[str, float] = field(default_factory=dict)


class Policy(Protocol):
    """Decides which configurations to try next on a task."""

    def propose(self, description: TaskDescription, history: Sequence[Evaluation], remaining_s: float) -> Proposal:
        """Return the next proposal, given the evaluations so far and the seconds left.

        An evaluation with the status ``"running"`` has not ended yet.
        """
        ...


@runtime_checkable
class ExplainingPolicy(Policy, Protocol):
    """A policy that can predict the results of its configurations."""

    def explain(
        self, description: TaskDescription, history: Sequence[Evaluation], remaining_s: float
    ) -> Mapping[Configuration, Prediction]:
        """Return the prediction for each configuration that can be proposed."""
        ...
