"""Time limits of a search: how long evaluations may take, and which trials fit into the time left."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from autometa.core.budget import Anchor, Budget, Deadline
from autometa.core.evaluation import Evaluation
from autometa.search.plan import Plan

# Seconds after which an evaluation is killed in a run without a time limit.
LONGEST_EVALUATION_S = 3600.0
# Largest fraction of the search for all folds of one trial on one core, after the first complete trial and before.
_SHARE_OF_ONE_TRIAL = 0.4
_SHARE_OF_FIRST_TRIAL = 0.2
# Expected fraction of the search for one evaluation before anything was measured.
_UNKNOWN_SHARE = 0.05
# Exponent of the rows by which seconds grow: less than 1, because of early stopping and of work per iteration that does
# not depend on rows.
_GROWTH = 0.85


class TimeLimits:
    """Limits the seconds of evaluations by their expected seconds.

    Parameters
    ----------
    budget, deadline, plan, n_folds, n_jobs : as in `Search`
        Without a time limit in the budget everything fits.
    costs : mapping of str to float
        Typical seconds of each strategy relative to the others, for those not measured yet.

    Attributes
    ----------
    search_s : float
        Seconds of the whole search.
    deadline : Deadline
        As given; the search may move it forward.
    """

    def __init__(
        self, budget: Budget, deadline: Deadline, plan: Plan, n_folds: int, n_jobs: int, costs: Mapping[str, float]
    ) -> None:
        self.search_s = deadline.remaining_s()
        self._has_limit, self.deadline = budget.has_time_limit, deadline
        self._n_folds, self._n_at_a_time = n_folds, n_jobs if plan.use_workers else 1
        self._observed = ObservedSeconds(costs)

    def add(self, evaluation: Evaluation) -> None:
        """Take the seconds of an evaluation into account."""
        self._observed.add(evaluation)

    def of_evaluation(self, strategy: str, *, has_model: bool, has_trial: bool) -> float | None:
        """Return the seconds that an evaluation may take, None if it would not end in time.

        Parameters
        ----------
        strategy : str
            Name of the strategy.
        has_model : bool
            Whether there is a model; until then evaluations start even if they may not end in time.
        has_trial : bool
            Whether there is a complete trial; until then an evaluation may take less time.
        """
        if not self._has_limit:
            # With a limit, learners that watch the clock would differ from run to run.
            return math.inf
        left_s = self.deadline.remaining_s()
        if has_model and self._expected_s(strategy) > left_s:
            return None
        share = _SHARE_OF_ONE_TRIAL if has_trial else _SHARE_OF_FIRST_TRIAL
        share_s = share * self.search_s * min(self._n_at_a_time, self._n_folds) / self._n_folds
        return max(0.1, min(left_s, max(share_s, 1.0)))

    def fits(self, strategy: str) -> bool:
        """Return whether all folds of a trial of a strategy are expected to end in time."""
        return not self._has_limit or self.of_trial_s(strategy, self._n_at_a_time) <= self.deadline.remaining_s()

    def of_trial_s(self, strategy: str, n_at_a_time: int = 1) -> float:
        """Return the seconds that all folds of a trial of a strategy are expected to take."""
        return self._expected_s(strategy) * math.ceil(self._n_folds / n_at_a_time)

    def _expected_s(self, strategy: str) -> float:
        expected_s = self._observed.predict(strategy, 1.0)
        return _UNKNOWN_SHARE * self.search_s if expected_s is None else expected_s


class ObservedSeconds:
    """Predicts the seconds of an evaluation from those measured on this task.

    Parameters
    ----------
    costs : mapping of str to float
        Typical seconds of each strategy relative to the others, for those not measured yet.
    history : iterable of Evaluation
        Evaluations on this task.
    """

    def __init__(self, costs: Mapping[str, float], history: Iterable[Evaluation] = ()) -> None:
        self._costs = costs
        self._seconds: dict[str, dict[Anchor, list[float]]] = {}
        self._cut_short: set[str] = set()
        for evaluation in history:
            self.add(evaluation)

    def add(self, evaluation: Evaluation) -> None:
        """Take the seconds of an evaluation into account."""
        if evaluation.status == "ok":
            of_strategy = self._seconds.setdefault(evaluation.configuration.strategy, {})
            of_strategy.setdefault(evaluation.anchor, []).append(evaluation.time_s)
            change = self._cut_short.add if evaluation.is_cut_short else self._cut_short.discard
            change(evaluation.configuration.strategy)

    def predict(self, strategy: str, anchor: Anchor) -> float | None:
        """Return the expected seconds, None as long as nothing was measured."""
        if strategy in self._seconds:
            return self._of(strategy, anchor)
        relative = {name: self._of(name, anchor) / self._costs[name] for name in self._seconds}
        # Very quick strategies say little about slow ones. The same is true of strategies that the deadline cut
        # short: another one may need all the time that these did not get.
        for names in (
            [name for name in relative if self._costs[name] >= 0.5 and name not in self._cut_short],
            [name for name in relative if self._costs[name] >= 0.5],
            list(relative),
        ):
            if names:
                return self._costs[strategy] * float(np.median([relative[name] for name in names]))
        return None

    def _of(self, strategy: str, anchor: Anchor) -> float:
        seen = self._seconds[strategy]
        nearest = min(seen, key=lambda measured: abs(measured - anchor))
        seconds = float(np.quantile(seen[nearest][-12:], 0.7))
        return seconds * float(anchor / nearest) ** _GROWTH
