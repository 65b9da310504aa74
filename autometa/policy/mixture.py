"""The policy that leaves each moment of a search to the policy that past tasks say is best then."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autometa.core.evaluation import Evaluation
from autometa.core.proposal import ExplainingPolicy, Policy, Prediction, Proposal
from autometa.core.space import Configuration
from autometa.core.task import TaskDescription


@dataclass(frozen=True)
class Stage:
    """When a policy is in charge.

    Parameters
    ----------
    policy : str
        Its name.
    from_trial : int
        Number of trials that there must be.
    in_time : bool or None
        Whether time must be limited (True) or unlimited (False); None for either.
    """

    policy: str
    from_trial: int = 0
    in_time: bool | None = None


class MixturePolicy:
    """Asks the policy of the last stage that has begun.

    Parameters
    ----------
    policies : mapping of str to Policy
        By name.
    stages : sequence of Stage
        Of those that begin together the later one counts.

    Raises
    ------
    ValueError
        If a stage names a policy that is not there, or none is in charge of the first trial.
    """

    def __init__(self, policies: Mapping[str, Policy], stages: Sequence[Stage]) -> None:
        if unknown := sorted({stage.policy for stage in stages} - set(policies)):
            raise ValueError(f"stages name the policies {unknown}; there are {sorted(policies)}.")
        for in_time in (True, False):
            if not any(s.from_trial == 0 and s.in_time in (None, in_time) for s in stages):
                kind = "with" if in_time else "without"
                raise ValueError(f"no stage begins at trial 0 {kind} a limit of time.")
        self.policies = dict(policies)
        self.stages = tuple(sorted(stages, key=lambda stage: stage.from_trial))

    def propose(self, description: TaskDescription, history: Sequence[Evaluation], remaining_s: float) -> Proposal:
        """Return the proposal of the policy in charge."""
        policy = self.policies[self.in_charge(history, remaining_s)]
        return policy.propose(description, history, remaining_s)

    def explain(
        self, description: TaskDescription, history: Sequence[Evaluation], remaining_s: float
    ) -> Mapping[Configuration, Prediction]:
        """Return what the policy in charge expects; if it does not say, what the first one that does expects."""
        in_charge = self.policies[self.in_charge(history, remaining_s)]
        for policy in (in_charge, *(self.policies[stage.policy] for stage in self.stages)):
            if isinstance(policy, ExplainingPolicy):
                return policy.explain(description, history, remaining_s)
        return {}

    def in_charge(self, history: Sequence[Evaluation], remaining_s: float) -> str:
        """Return the name of the policy in charge."""
        n_trials = len({evaluation.configuration for evaluation in history})
        in_time = math.isfinite(remaining_s)
        return [s for s in self.stages if s.in_time in (None, in_time) and s.from_trial <= n_trials][-1].policy
