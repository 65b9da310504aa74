"""How policies by expected gain weigh scenarios."""

# Tests: tests/policy/test_expected_gain.py

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class GainSettings:
    """How a policy weighs scenarios.

    Parameters
    ----------
    uses_features : bool
        Whether past tasks with similar meta-features weigh more.
    uses_losses : bool
        Whether losses observed on the new task change the weights.
    corrects : bool
        Whether scenarios are corrected to agree with the observed losses.
    uses_seconds : bool
        Whether gains are taken per second.
    temperature, temperature_in_time : float
        Temperatures of the weights by losses, without and with a time limit. A small temperature
        concentrates the weights on few scenarios.
    overhead_s : float
        Seconds of a trial besides its fits, added to its price.
    patience : float
        Fraction of the seconds left that is added to every price, so that much shorter trials
        count as equally cheap. With 0 the regret falls fastest at every moment; fits use more,
        as only the end of the budget counts.
    waiting_s : float
        Half-value time of runs without a time limit: the score of a configuration is halved if it is
        expected to take this many seconds plus those expected of the trials so far. Infinite
        where only the number of trials counts.
    exploration : float
        Fraction of the trials, in [0, 1), beyond recorded configurations, once `n_first` of these
        have a loss. They are the rest of the strategies' portfolios, then left to the study's sampler.
    variety : float
        Scores are divided by this power of 1 + the number of tried configurations of the strategy.
        An ensemble gains little from the tenth model of a kind; 0 is best for a single model.
    n_first : int
        Number of recorded configurations with a loss before exploration begins.
    price_power : float
        Power of the price by which gains are divided. With 1 the regret falls fastest at every moment.
    of_ensemble : bool
        Whether the gain is that of the ensemble of all trials, by second moments of errors on past tasks, and not
        that of the best single configuration.
    """

    uses_features: bool = True
    uses_losses: bool = True
    corrects: bool = True
    uses_seconds: bool = True
    temperature: float = 0.05
    temperature_in_time: float = 0.3
    overhead_s: float = 0.0
    patience: float = 0.0
    waiting_s: float = math.inf
    exploration: float = 0.0
    variety: float = 0.0
    n_first: int = 12
    price_power: float = 1.0
    of_ensemble: bool = False

    def __post_init__(self) -> None:
        for name in ("temperature", "temperature_in_time", "waiting_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}.")
        if not self.patience >= 0:
            raise ValueError(f"patience must be 0 or more, got {self.patience}.")
        if not 0 <= self.exploration < 1:
            raise ValueError(f"exploration must be in [0, 1), got {self.exploration}.")


GAIN_SETTINGS: Mapping[str, GainSettings] = {
    "gaussian": GainSettings(),
    "ensemble": GainSettings(of_ensemble=True, price_power=0.5),
    "attention": GainSettings(corrects=False, temperature=0.1),
    "portfolio": GainSettings(corrects=False, uses_losses=False, uses_features=False),
    "gaussian_without_features": GainSettings(uses_features=False),
    "gaussian_without_losses": GainSettings(uses_losses=False),
    "gaussian_without_seconds": GainSettings(uses_seconds=False),
}
"""Policies by expected gain, and the gaussian one without one of its parts."""
