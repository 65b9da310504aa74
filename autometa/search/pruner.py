"""Stop a trial that falls behind the others of its own strategy."""

from __future__ import annotations

import numpy as np
from optuna.pruners import BasePruner
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

ROWS = "rows"
"""Attribute of a trial that tells the rows it is measured on."""

# With fewer trials to compare with, a strategy is still being explored.
_MIN_PEERS = 2


class StrategyPruner(BasePruner):
    """Prunes a trial that is worse than the median trial of its strategy at the same step.

    Comparing within a strategy keeps the diversity that the ensemble lives on: one
    strategy with many good trials does not cut off the others.

    Parameters
    ----------
    parameter : str
        Name of the parameter that holds the strategy.
    """

    def __init__(self, parameter: str) -> None:
        self._parameter = parameter

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Return whether `trial` should end."""
        step = trial.last_step
        if step is None:
            return False
        strategy = trial.params.get(self._parameter)
        peers = [
            other.intermediate_values[step]
            for other in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
            if other.number != trial.number
            and step in other.intermediate_values
            and other.params.get(self._parameter) == strategy
            # Losses of other rows of the table are no measure.
            and other.user_attrs.get(ROWS) == trial.user_attrs.get(ROWS)
        ]
        return len(peers) >= _MIN_PEERS and trial.intermediate_values[step] > float(np.median(peers))
