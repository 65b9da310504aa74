r"""The pruner of a search: it stops trials that will hardly enter the ensemble.

============ ==============================================================================
value        loss after a step on the scale of `loss_transform.to_scale`: log-odds or logarithm
change       of a complete trial: final value less its value after the same step
chance       :math:`\Phi((b + m - x - \bar d) / s)` for a trial at value x: the probability that it
             ends less than m behind the best complete trial b, where complete trials changed by
             :math:`\bar d` on average with standard deviation s
============ ==============================================================================

`python -m benchmarks.fit_pruning` replays recorded searches with this pruner, without one, and with others.
"""

# Tests: tests/search/test_engine.py
# Tests: tests/search/test_resume.py

from __future__ import annotations

import math

import numpy as np
from optuna.pruners import BasePruner
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from scipy.special import ndtr

from autometa.evaluation.loss_transform import to_scale

ROWS = "rows"
"""User attribute of a trial: digest of the rows that it is measured on."""

_RATE = 0.05
"""Trials with a smaller chance are pruned."""

_MARGIN = 0.2
"""Trials that end further behind the best one hardly matter: three quarters of the members of ensembles are closer."""

_MIN_PEERS = 3
"""Smallest number of complete trials to compare a trial with."""

_USUAL_DEVIATION, _N_USUAL = 0.15, 3
"""Usual standard deviation of changes, which counts as much as three trials."""


class EnsemblePruner(BasePruner):
    """Prunes a trial whose chance to end close to the best complete trial is below 5%.

    Parameters
    ----------
    metric : str
        Metric of the losses.
    """

    def __init__(self, metric: str) -> None:
        self._metric = metric

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Return whether `trial` should end."""
        step = trial.last_step
        if step is None:
            return False
        peers = [
            (other.intermediate_values[step], other.value)
            for other in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            if step in other.intermediate_values
            # Losses on other rows cannot be compared.
            and other.user_attrs.get(ROWS) == trial.user_attrs.get(ROWS)
        ]
        if len(peers) < _MIN_PEERS:
            return False
        early, final = to_scale(np.array(peers, dtype=np.float64), self._metric).T
        changes = final - early
        n = len(changes)
        variance = _N_USUAL * _USUAL_DEVIATION**2 + ((changes - changes.mean()) ** 2).sum()
        deviation = math.sqrt(variance / (_N_USUAL + n - 1) * (1 + 1 / n))
        value = float(to_scale(np.array(trial.intermediate_values[step]), self._metric))
        chance = ndtr((final.min() + _MARGIN - value - changes.mean()) / deviation)
        return bool(chance < _RATE)
