"""How long the evaluations of a search may take, and what still fits into the time left."""

from __future__ import annotations

import math
from collections.abc import Mapping

from autometa.core.budget import Anchor, Budget, Deadline
from autometa.core.evaluation import Evaluation
from autometa.search.plan import Plan
from autometa.search.trial_records import ObservedSeconds

# In a run without a time limit one evaluation may still not hang for ever.
LONGEST_EVALUATION_S = 3600.0
# Share of the search that all folds of one trial may take together, on one core.
_SHARE_OF_ONE_TRIAL = 0.4
_SHARE_OF_FIRST_TRIAL = 0.2
# As long as nothing was measured, an evaluation is expected to take this share of the search.
_UNKNOWN_SHARE = 0.05


class TimeLimits:
    """Seconds that evaluations may take, by what they are expected to take.

    Parameters
    ----------
    budget : Budget
        Limit on the run; without one of time all fits, and nothing is cut off.
    deadline : Deadline
        When the search must have ended.
    plan : Plan
        Whether workers share the evaluations.
    n_folds : int
        Number of folds of a trial.
    n_jobs : int
        Evaluations at a time.
    costs : mapping of str to float
        Typical seconds of each strategy relative to the others, for those not measured yet.

    Attributes
    ----------
    search_s : float
        Seconds of the whole search.
    deadline : Deadline
        As given; may be moved.
    """

    def __init__(
        self, budget: Budget, deadline: Deadline, plan: Plan, n_folds: int, n_jobs: int, costs: Mapping[str, float]
    ) -> None:
        self.search_s = deadline.remaining_s()
        self._has_limit, self.deadline = budget.has_time_limit, deadline
        self._n_folds, self._n_at_a_time = n_folds, n_jobs if plan.use_workers else 1
        self._observed = ObservedSeconds(costs)

    def add(self, evaluation: Evaluation) -> None:
        """Remember how long an evaluation took."""
        self._observed.add(evaluation)

    def of_evaluation(self, strategy: str, anchor: Anchor, *, has_model: bool, has_trial: bool) -> float | None:
        """Return the seconds that an evaluation may take, None if it would not end in time.

        Parameters
        ----------
        strategy : str
            Name of the strategy.
        anchor : float
            Fraction of the training rows.
        has_model : bool
            Whether there is a model; until then what may not end in time is begun all the same.
        has_trial : bool
            Whether there is a complete trial; until then an evaluation may take less.
        """
        if not self._has_limit:
            # Learners that pace themselves by the clock would differ from run to run.
            return math.inf
        left_s = self.deadline.remaining_s()
        if has_model and self._expected_s(strategy, anchor) > left_s:
            return None
        share = _SHARE_OF_ONE_TRIAL if has_trial else _SHARE_OF_FIRST_TRIAL
        share_s = share * self.search_s * min(self._n_at_a_time, self._n_folds) / self._n_folds
        return max(0.1, min(left_s, max(share_s, 1.0)))

    def fits(self, strategy: str) -> bool:
        """Return whether all folds of a trial of a strategy can be expected to end in time."""
        return not self._has_limit or self.of_trial_s(strategy, self._n_at_a_time) <= self.deadline.remaining_s()

    def of_trial_s(self, strategy: str, n_at_a_time: int = 1) -> float:
        """Return the seconds that all folds of a trial of a strategy are expected to take."""
        return self._expected_s(strategy, 1.0) * math.ceil(self._n_folds / n_at_a_time)

    def _expected_s(self, strategy: str, anchor: Anchor) -> float:
        expected_s = self._observed.predict(strategy, anchor)
        return _UNKNOWN_SHARE * self.search_s if expected_s is None else expected_s
