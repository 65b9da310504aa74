"""From the name of a policy to the policy."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from autometa.catalogue import load_strategies
from autometa.core.proposal import Policy
from autometa.core.strategy import Strategy
from autometa.core.task import TaskDescription
from autometa.exceptions import PolicyError
from autometa.metadataset.experience import recall
from autometa.policy.fixed_order import FixedOrderPolicy
from autometa.policy.gain import GAIN_SETTINGS, GainPolicy, GainSettings
from autometa.policy.mixture import MixturePolicy, Stage
from autometa.policy.past_tasks import PastTasks
from autometa.policy.prior import PriorPolicy
from autometa.policy.recurrent.policy import RecurrentPolicy
from autometa.policy.similarity import Similarity
from autometa.policy.weights_file import CARD, PolicyWeights, read_weights

PRIOR = "prior"
DEFAULT_POLICY = "mixture"
"""In fits: on tables left out it is level with the hand-made policy in 10 s, and ahead in 20 and 60 s
(`benchmarks.live_policies`)."""

ADVISING_POLICY = "gaussian"
"""In recommendations, where the hand-made policy has nothing to predict."""
POLICIES = ("mixture", "gaussian", "attention", "portfolio", "recurrent", PRIOR)

# Of the trials after the first dozen, one in four looks beyond the recorded configurations.
_EXPLORATION = 0.25
# Among 0, 1 and 3, and 0, 0.02 and 0.1, ensembles of replayed searches are best with these, though not beyond chance.
_VARIETY, _PATIENCE = 3.0, 0.02
# Replayed on 60 tasks, the first fit then takes .9 s in place of 3.4 (median .2 in place of 2.1), five take 11 in place
# of 14, for a regret of .084 in place of .063 after the first, .018 for .014 after five, and equal ones after 32.
_WAITING_S = 30.0
# Replays cannot tell this, as live losses are of other rows and folds than records: with temperatures from training
# a single past task has all the weight after three or four. With 1 the weights are those of Bayes' rule.
_LEAST_TEMPERATURE = 1.0
# Reading the records and learning from them takes about a second of the first fit in a process.
_SHORTEST_LEARNT_S = 8.0
# What a trial takes besides its fits: the study, the way to the worker and back.
_OVERHEAD_S = 0.1


def checked_policy(policy: Any) -> str | Path | Policy:
    """Return `policy` if it is a policy, the name of one, or a folder of trained weights.

    Raises
    ------
    ValueError
        If it is another name, or a folder without weights.
    TypeError
        If it is none of these.
    """
    if isinstance(policy, str) and policy in POLICIES:
        return policy
    if isinstance(policy, Path) or (isinstance(policy, str) and Path(policy).is_dir()):
        if (Path(policy) / CARD).is_file():
            return Path(policy)
        raise ValueError(
            f"{policy} holds no weights of a policy: expected a folder with {CARD}, as `autometa train` writes it."
        )
    if isinstance(policy, str):
        near = difflib.get_close_matches(policy, POLICIES, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"There is no policy {policy!r}.{hint} There are {', '.join(POLICIES)}, and folders of weights."
        )
    if isinstance(policy, type) or not callable(getattr(policy, "propose", None)):
        raise TypeError(f"policy must be a name, a folder or an object with a method propose, got {policy!r}.")
    return policy


def policy_in_time(policy: str | Path | Policy, time_s: float) -> str | Path | Policy:
    """Return `policy`, or the hand-made one in place of the mixture where there is no time to learn."""
    return PRIOR if policy == "mixture" and time_s < _SHORTEST_LEARNT_S else policy


def make_policy(policy: str | Path | Policy, strategies: Sequence[Strategy], experience: Path | None = None) -> Policy:
    """Return a policy that chooses among some strategies.

    Parameters
    ----------
    policy : str, Path or Policy
        One of `POLICIES`, a folder that `autometa train` wrote, whose mixture is taken, or a policy
        of the caller's, which is returned as it is.
    strategies : sequence of Strategy
        Those that suit the task and can be fitted here.
    experience : Path, optional
        What own fits have measured; learnt from beside the tasks that ship.

    Raises
    ------
    PolicyError
        If the weights are damaged, hold no such policy, or do not fit the strategies.
    MetaDatasetError
        If the experience is damaged.
    """
    if isinstance(policy, Path):
        # Trained on strategies of the caller's, perhaps, beside those that ship or in their place.
        known = {strategy.name: strategy for strategy in (*load_strategies(), *strategies)}
        return _Maker(read_weights(policy, known.values()), strategies, experience).make("mixture")
    if not isinstance(policy, str):
        return policy
    if policy == PRIOR:
        return PriorPolicy(strategies)
    return _Maker(_shipped_weights(), strategies, experience).make(policy)


def strategies_without_records(
    policy: Policy, strategies: Sequence[Strategy], description: TaskDescription
) -> list[str]:
    """Return the names of the strategies of which a trained policy has no records for the kind of problem.

    They get a share of the trials by exploration. Policies that learn from no records have none.
    """
    problem = description.problem
    parts = policy.policies.values() if isinstance(policy, MixturePolicy) else (policy,)
    pasts = [part.past for part in parts if isinstance(part, (GainPolicy, FixedOrderPolicy, RecurrentPolicy))]
    known = {name for past in pasts for name in past.strategies[past.is_possible(strategies) & past.has_loss(problem)]}
    return [strategy.name for strategy in strategies if strategy.name not in known] if pasts else []


def settings_in_fits(name: str, temperatures: tuple[float, float] | None = None) -> GainSettings:
    """Return the settings of a policy by expected gain, as fits use them.

    Parameters
    ----------
    name : str
        One of `GAIN_SETTINGS`.
    temperatures : pair of float, optional
        From training: without a limit of time, and with one.
    """
    usual = GAIN_SETTINGS[name]
    without, within = temperatures or (usual.temperature, usual.temperature_in_time)
    least = _LEAST_TEMPERATURE if usual.corrects else 0.0
    return replace(
        usual,
        temperature=max(without, least),
        temperature_in_time=max(within, least),
        overhead_s=_OVERHEAD_S,
        exploration=_EXPLORATION,
        variety=_VARIETY,
        patience=_PATIENCE,
        waiting_s=_WAITING_S,
    )


@functools.cache
def _shipped_weights() -> PolicyWeights:
    return read_weights()


class _Maker:
    """Makes policies of trained weights."""

    def __init__(self, weights: PolicyWeights, strategies: Sequence[Strategy], experience: Path | None) -> None:
        self._weights, self._strategies = weights, strategies
        self._past = weights.past
        remembered = None if experience is None else recall(experience)
        if remembered is not None:
            self._past = self._past.join(PastTasks.from_metadataset(remembered))

    def make(self, name: str) -> Policy:
        makers: dict[str, Callable[[], Policy]] = {
            "gaussian": lambda: self._gain("gaussian"),
            "attention": lambda: self._gain("attention"),
            "portfolio": self._portfolio,
            "recurrent": self._recurrent,
            "mixture": self._mixture,
        }
        return makers[name]()

    def _gain(self, name: str) -> GainPolicy:
        settings = settings_in_fits(name, self._weights.temperatures.get(name))
        similarity = Similarity(self._past.feature_names, self._past.features, self._weights.similarity)
        return GainPolicy(self._past, self._strategies, settings, similarity)

    def _portfolio(self) -> Policy:
        return FixedOrderPolicy(self._past, self._weights.portfolios, self._gain("portfolio"), self._strategies)

    def _recurrent(self) -> Policy:
        if not self._weights.arrays:
            raise PolicyError(
                "The weights hold no recurrent policy. Train one (`autometa train`), or choose another policy."
            )
        # Its actions are the configurations that it was trained on.
        return RecurrentPolicy(self._weights.past, self._weights.arrays, self._strategies)

    def _mixture(self) -> Policy:
        stages = [Stage(**stage) for stage in self._weights.card.get("stages", [])] or [Stage("gaussian")]
        return MixturePolicy({stage.policy: self.make(stage.policy) for stage in stages}, stages)
