"""The interface of a policy: it proposes which configurations to try next."""

# Tests: tests/policy/test_prior.py

from __future__ import annotations

import math
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
    gain : float
        Expected fall of the regret by the trial, where 1 is the regret of the worst configuration, or, for a policy
        that thinks of ensembles, of the median one; NaN where unknown.
    trial_s : float
        Seconds of the whole trial: its fits and, for a strategy's first trial, loading its library.
    in_time : float
        Probability that the trial ends in the time left; 1 without a time limit.
    """

    loss: float
    loss_low: float
    loss_high: float
    seconds: float
    memory_mb: float
    beats_default: float
    gain: float = math.nan
    trial_s: float = math.nan
    in_time: float = math.nan


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
        Weights of the past tasks that count most in the proposal, largest first; the weights of all past tasks
        sum to 1.
    """

    probabilities: Mapping[str, float]
    configurations: tuple[Configuration, ...] = ()
    evidence: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Forecast:
    """What a policy expects of a search before it begins.

    Parameters
    ----------
    loss, loss_low, loss_high : float
        Median loss of the ensemble at the end, and the bounds of an 80% interval.
    n_trials : int
        Number of trials that are expected to end in time.
    alike : mapping of str to tuple of str
        For the past tasks that count most, the meta-features that speak most for their similarity.
    """

    loss: float
    loss_low: float
    loss_high: float
    n_trials: int
    alike: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def values(self) -> dict[str, float]:
        """Return the numbers by name."""
        return {"loss": self.loss, "loss_low": self.loss_low, "loss_high": self.loss_high, "n_trials": self.n_trials}


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


@runtime_checkable
class ForecastingPolicy(Policy, Protocol):
    """A policy that can predict the end of a search."""

    def forecast(self, description: TaskDescription, remaining_s: float) -> Forecast | None:
        """Return what the search is expected to end with; None without records for the problem."""
        ...
