"""What a policy says, and the one method that search calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from autometa.core.evaluation import Evaluation
from autometa.core.space import Configuration
from autometa.core.task import TaskDescription


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
    """

    probabilities: Mapping[str, float]
    configurations: tuple[Configuration, ...] = ()


class Policy(Protocol):
    """Decides what to try next on a task."""

    def propose(self, description: TaskDescription, history: Sequence[Evaluation], remaining_s: float) -> Proposal:
        """Return the next proposal, given what was measured and the seconds left."""
        ...
