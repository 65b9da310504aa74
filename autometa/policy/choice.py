"""From the name of a policy to the policy."""

from __future__ import annotations

import difflib
import functools
import logging
from collections.abc import Sequence
from typing import Any

from autometa.core.proposal import Policy
from autometa.core.strategy import Strategy
from autometa.metadataset.dataset import MetaDataset
from autometa.policy.gain import GainPolicy, GainSettings
from autometa.policy.past import PastTasks
from autometa.policy.prior import PriorPolicy

logger = logging.getLogger(__name__)

PRIOR = "prior"
DEFAULT_POLICY = "gaussian"
POLICIES = ("gaussian", "attention", "portfolio", PRIOR)

# Of the trials after the first dozen, one in four looks beyond the recorded configurations.
_EXPLORATION = 0.25
# What a trial takes besides its fits: the study, the way to the worker and back.
_OVERHEAD_S = 0.1


def checked_policy(policy: Any) -> str | Policy:
    """Return `policy` if it is a policy or the name of one.

    Raises
    ------
    ValueError
        If it is another name.
    TypeError
        If it is neither.
    """
    if isinstance(policy, str):
        if policy in POLICIES:
            return policy
        near = difflib.get_close_matches(policy, POLICIES, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"There is no policy {policy!r}.{hint} There are {', '.join(POLICIES)}.")
    if isinstance(policy, type) or not callable(getattr(policy, "propose", None)):
        raise TypeError(f"policy must be a name or an object with a method propose, got {policy!r}.")
    return policy


def make_policy(policy: str | Policy, strategies: Sequence[Strategy]) -> Policy:
    """Return a policy that chooses among some strategies.

    Parameters
    ----------
    policy : str or Policy
        One of `POLICIES`, or a policy of the caller's, which is returned as it is.
    strategies : sequence of Strategy
        Those that suit the task and can be fitted here.
    """
    if not isinstance(policy, str):
        return policy
    if policy == PRIOR:
        return PriorPolicy(strategies)
    return GainPolicy(shipped_past(), strategies, _SETTINGS[policy])


_SETTINGS = {
    "gaussian": GainSettings(exploration=_EXPLORATION, overhead_s=_OVERHEAD_S),
    "attention": GainSettings(exploration=_EXPLORATION, overhead_s=_OVERHEAD_S, corrects=False),
    "portfolio": GainSettings(
        exploration=_EXPLORATION, overhead_s=_OVERHEAD_S, corrects=False, uses_losses=False, uses_features=False
    ),
}


@functools.cache
def shipped_past() -> PastTasks:
    """Return the past tasks that ship with autometa; read once per process."""
    return PastTasks.from_metadataset(MetaDataset.load())
