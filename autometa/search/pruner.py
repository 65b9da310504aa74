"""The pruner of a search: it stops trials that fall behind others of their own strategy."""

# Tests: tests/search/test_engine.py
# Tests: tests/search/test_resume.py

from __future__ import annotations

import numpy as np
from optuna.pruners import BasePruner
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

ROWS = "rows"
"""User attribute of a trial: digest of the rows that it is measured on."""

# Smallest number of trials of a strategy to compare a trial with.
_MIN_PEERS = 2


class StrategyPruner(BasePruner):
    """Prunes a trial that is worse than the median trial of its strategy at the same step.

    The comparison within a strategy keeps the ensemble diverse: one strategy with many good
    trials does not stop those of the others.

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
            # Losses on other rows cannot be compared.
            and other.user_attrs.get(ROWS) == trial.user_attrs.get(ROWS)
        ]
        return len(peers) >= _MIN_PEERS and trial.intermediate_values[step] > float(np.median(peers))
