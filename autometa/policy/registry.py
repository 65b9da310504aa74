"""Make a policy from its name or from a folder of trained weights."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from autometa._support.hints import did_you_mean
from autometa.catalogue import load_strategies
from autometa.core.proposal import Policy
from autometa.core.strategy import Strategy
from autometa.core.task import TaskDescription
from autometa.exceptions import PolicyError
from autometa.metadataset.dataset import MetaDataset
from autometa.policy.expected_gain import GainPolicy
from autometa.policy.gain_settings import GAIN_SETTINGS, GainSettings
from autometa.policy.past_tasks import PastTasks
from autometa.policy.portfolio_policy import PortfolioPolicy
from autometa.policy.prior import PriorPolicy
from autometa.policy.recurrent.policy import RecurrentPolicy
from autometa.policy.similarity import Similarity
from autometa.policy.weights_file import CARD, PolicyWeights, read_weights

PRIOR = "prior"
DEFAULT_POLICY = "auto"
"""The learnt policy `gaussian`, and in fits too short for it the hand-made one."""
_LEARNT = "gaussian"
_OF_ENSEMBLES = "ensemble"
POLICIES = (DEFAULT_POLICY, _LEARNT, _OF_ENSEMBLES, "attention", "portfolio", "recurrent", PRIOR)

_FORMER_NAMES = {"mixture": DEFAULT_POLICY}
"""Names in programs and saved models of earlier versions, and the policies that they meant."""

_EXPLORATION = 0.25
"""Fraction of the trials after the first dozen that looks beyond the recorded configurations."""

# Ensembles of replayed searches are best with these, among 0, 1 and 3, and among 0, 0.02 and 0.1; the differences are
# within chance.
_VARIETY, _PATIENCE = 3.0, 0.02

_WAITING_S = 30.0
"""Half-value time of fits without a time limit: a configuration expected to take this long has its score halved."""

_TEMPERATURE = 1.0
"""Temperature of corrected scenarios in fits; with 1 the weights follow Bayes' rule.

Replays of records favour lower ones, with which a single past task has all the weight after three or four trials.
Losses in a fit come from other rows and folds than the records, which replays cannot show.
"""

_SHORTEST_LEARNT_S = 8.0
"""The default policy needs fits of at least this many seconds: reading and learning from records takes about one."""

OVERHEAD_S = 0.1
"""Seconds of a trial besides its fits: the study, the way to the worker and back."""


def checked_policy(policy: Any) -> str | Path | Policy:
    """Return `policy` if it is a policy, the name of one, or a folder of trained weights.

    Raises
    ------
    ValueError
        If it is another name, or a folder without weights.
    TypeError
        If it is none of these.
    """
    if isinstance(policy, str) and (known := _FORMER_NAMES.get(policy, policy)) in POLICIES:
        return known
    if isinstance(policy, Path) or (isinstance(policy, str) and Path(policy).is_dir()):
        if (Path(policy) / CARD).is_file():
            return Path(policy)
        raise ValueError(
            f"{policy} holds no weights of a policy: expected a folder with {CARD}, as `autometa train` writes it."
        )
    if isinstance(policy, str):
        hint = did_you_mean(policy, POLICIES)
        raise ValueError(
            f"There is no policy {policy!r}.{hint} There are {', '.join(POLICIES)}, and folders of weights."
        )
    if isinstance(policy, type) or not callable(getattr(policy, "propose", None)):
        raise TypeError(f"policy must be a name, a folder or an object with a method propose, got {policy!r}.")
    return policy


def policy_in_time(policy: str | Path | Policy, time_s: float) -> str | Path | Policy:
    """Return `policy`, or what the default means in a fit of so many seconds."""
    if policy != DEFAULT_POLICY:
        return policy
    return PRIOR if time_s < _SHORTEST_LEARNT_S else _LEARNT


def make_policy(
    policy: str | Path | Policy, strategies: Sequence[Strategy], experience: MetaDataset | None = None
) -> Policy:
    """Return a policy that chooses among some strategies.

    Parameters
    ----------
    policy : str, Path or Policy
        One of `POLICIES`; a folder that `autometa train` wrote, for `gaussian` with the
        weights in it; or a policy of the caller's, which is returned as it is.
    strategies : sequence of Strategy
        Those that suit the task and can be fitted here.
    experience : MetaDataset, optional
        Records of earlier fits, learnt from beside the tasks that ship.

    Raises
    ------
    PolicyError
        If the weights are damaged, hold no such policy, or do not fit the strategies.
    """
    if isinstance(policy, Path):
        # The weights may know strategies of the caller's, beside those that ship or instead of them.
        known = {strategy.name: strategy for strategy in (*load_strategies(), *strategies)}
        return _trained_policy(_LEARNT, read_weights(policy, known.values()), strategies, experience)
    if not isinstance(policy, str):
        return policy
    if policy == PRIOR:
        return PriorPolicy(strategies)
    name = _LEARNT if policy == DEFAULT_POLICY else policy
    return _trained_policy(name, _shipped_weights(), strategies, experience)


def strategies_without_records(
    policy: Policy, strategies: Sequence[Strategy], description: TaskDescription
) -> list[str]:
    """Return the names of the strategies of which a trained policy has no records for the kind of problem.

    They get a share of the trials by exploration. The list is empty for policies that learn from no records.
    """
    if not isinstance(policy, (GainPolicy, PortfolioPolicy, RecurrentPolicy)):
        return []
    past = policy.past
    known = set(past.strategies[past.is_possible(strategies) & past.has_loss(description.problem)])
    return [strategy.name for strategy in strategies if strategy.name not in known]


def settings_in_fits(name: str, temperatures: tuple[float, float] | None = None) -> GainSettings:
    """Return the settings of a policy by expected gain, as fits use them.

    Parameters
    ----------
    name : str
        One of `GAIN_SETTINGS`.
    temperatures : pair of float, optional
        From training: without a time limit, and with one. Policies that correct scenarios have a fixed one.
    """
    usual = GAIN_SETTINGS[name]
    if usual.corrects:
        temperatures = (_TEMPERATURE, _TEMPERATURE)
    without, within = temperatures or (usual.temperature, usual.temperature_in_time)
    return replace(
        usual,
        temperature=without,
        temperature_in_time=within,
        overhead_s=OVERHEAD_S,
        exploration=_EXPLORATION,
        # Gains of ensembles know what differs.
        variety=0.0 if usual.of_ensemble else _VARIETY,
        patience=_PATIENCE,
        waiting_s=_WAITING_S,
    )


@functools.cache
def _shipped_weights() -> PolicyWeights:
    return read_weights()


@functools.lru_cache(maxsize=2)
def _joined(past: PastTasks, experience: MetaDataset) -> PastTasks:
    """Return past tasks and experience together; cached, because what policies learn from it is cached by identity."""
    return past.join(PastTasks.from_metadataset(experience))


def _trained_policy(
    name: str, weights: PolicyWeights, strategies: Sequence[Strategy], experience: MetaDataset | None
) -> Policy:
    past = weights.past if experience is None else _joined(weights.past, experience)
    if name == "recurrent":
        if not weights.arrays:
            raise PolicyError(
                "The weights hold no recurrent policy. Train one (`autometa train`), or choose another policy."
            )
        # The network's actions are the configurations that it was trained on, so no experience is joined.
        return RecurrentPolicy(weights.past, weights.arrays, strategies)
    if name == _OF_ENSEMBLES and past.moments is None:
        raise PolicyError(
            "The policy 'ensemble' needs second moments of errors, which these weights do not hold. `autometa export` "
            "writes them from a collection, and `autometa train --moments FILE` learns from them. Or take another one."
        )
    settings = settings_in_fits(name, weights.temperatures.get(name))
    similarity = Similarity(past.feature_names, past.features, weights.similarity)
    gain_policy = GainPolicy(past, strategies, settings, similarity, weights.best_strategy)
    return PortfolioPolicy(past, weights.portfolios, gain_policy, strategies) if name == "portfolio" else gain_policy
