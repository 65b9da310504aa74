"""What a search remembers of each trial."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from autometa.core.budget import Anchor
from autometa.core.evaluation import Evaluation
from autometa.core.space import Configuration

# More than what a fold took by the number of rows: fits of a strategy differ in time.
_REFIT_MARGIN = 1.15

TrialStatus = Literal["running", "ok", "cut_short", "pruned", "stopped", "timeout", "memory", "failed"]
"""``ok``: measured on every fold; ``cut_short``: the same, but the deadline ended a fit before its learner was done;
``stopped``: the budget ended first."""

COMPLETE: frozenset[TrialStatus] = frozenset({"ok", "cut_short"})
"""How trials that were measured on every fold end."""


@dataclass
class TrialRecord:
    """One trial: what was measured and what it predicted.

    Parameters
    ----------
    number : int
        Number of the trial in the study.
    configuration : Configuration
        What was fitted.
    evaluations : list of Evaluation
        In the order they ended.
    predictions : dict of int to ndarray
        Validation predictions at anchor 1 by fold.
    n_iterations : dict of int to int
        Iterations kept at anchor 1 by fold, for learners that stop early.
    status : str
        How it ended.
    loss : float
        Mean loss over the folds measured at anchor 1; NaN without.
    ended_s : float
        Seconds from the start of the search to its end.
    error : str
        Why it failed, without what may quote the data.
    """

    number: int
    configuration: Configuration
    evaluations: list[Evaluation] = field(default_factory=list)
    predictions: dict[int, np.ndarray] = field(default_factory=dict)
    n_iterations: dict[int, int] = field(default_factory=dict)
    status: TrialStatus = "running"
    loss: float = float("nan")
    ended_s: float = float("nan")
    error: str = ""

    @property
    def full_error(self) -> str:
        """Why it failed, with the exception's own text: for the caller of the fit, never stored."""
        texts = [evaluation.error_text for evaluation in self.evaluations if evaluation.error_text]
        return ": ".join([self.error, *texts[-1:]])

    @property
    def is_complete(self) -> bool:
        """Whether it was measured on every fold."""
        return self.status in COMPLETE

    @property
    def is_cut_short(self) -> bool:
        """Whether the deadline ended a fit on all training rows of a fold before its learner was done."""
        return any(e.is_cut_short for e in self.evaluations if e.anchor == 1 and e.status == "ok")

    @property
    def time_s(self) -> float:
        """Seconds of all its evaluations together."""
        return sum(evaluation.time_s for evaluation in self.evaluations)

    def refit_s(self, growth: float, preparation_s: float) -> float:
        """Return the seconds that fitting it on `growth` times as many rows may take, with some to spare.

        `preparation_s` is what preparing the rows of a fold takes; 0 if all rows are prepared already.
        """
        longest_s = max(evaluation.time_s for evaluation in self.evaluations if evaluation.anchor == 1)
        return (longest_s + preparation_s) * growth * _REFIT_MARGIN

    def mean_loss(self) -> float:
        """Return the mean loss over the folds at anchor 1, or at the last anchor measured."""
        at_full = [e for e in self.evaluations if e.anchor == 1 and e.status == "ok"]
        if at_full:
            return float(np.mean([e.loss for e in at_full]))
        measured = [e for e in self.evaluations if e.status == "ok"]
        return measured[-1].loss if measured else float("nan")


# Seconds grow with this power of the rows: a little less than in proportion, because early stopping and the work per
# iteration that does not depend on rows take their part.
_GROWTH = 0.85


class ObservedSeconds:
    """Predicts the seconds of an evaluation from those measured on this task.

    Parameters
    ----------
    costs : mapping of str to float
        Typical seconds of each strategy relative to the others, for those not measured yet.
    history : iterable of Evaluation
        What was measured.
    """

    def __init__(self, costs: Mapping[str, float], history: Iterable[Evaluation] = ()) -> None:
        self._costs = costs
        self._seconds: dict[str, dict[Anchor, list[float]]] = {}
        self._cut_short: set[str] = set()
        for evaluation in history:
            self.add(evaluation)

    def add(self, evaluation: Evaluation) -> None:
        """Remember how long an evaluation took."""
        if evaluation.status == "ok":
            of_strategy = self._seconds.setdefault(evaluation.configuration.strategy, {})
            of_strategy.setdefault(evaluation.anchor, []).append(evaluation.time_s)
            (self._cut_short.add if evaluation.is_cut_short else self._cut_short.discard)(
                evaluation.configuration.strategy
            )

    def predict(self, strategy: str, anchor: Anchor) -> float | None:
        """Return the expected seconds, None as long as nothing was measured."""
        if strategy in self._seconds:
            return self._of(strategy, anchor)
        relative = {name: self._of(name, anchor) / self._costs[name] for name in self._seconds}
        # Strategies that took no time to speak of say little about those that do, and neither do those that the
        # deadline cut short: another one may need all the time that these were not given.
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


def usable(records: Sequence[TrialRecord], n_folds: int) -> list[TrialRecord]:
    """Return the trials that an ensemble can be made of, best first.

    Those measured on every fold, if there is one; else those with the most folds.
    """
    most = max((len(record.predictions) for record in records), default=0)
    if most == 0:
        return []
    needed = min(n_folds, most)
    chosen = [record for record in records if len(record.predictions) >= needed]
    return sorted(chosen, key=lambda record: (record.mean_loss(), record.number))


def candidates(ranked: Sequence[TrialRecord], n: int) -> list[TrialRecord]:
    """Return at most `n` of the trials, which come best first, for an ensemble to choose from.

    The best trial of every strategy comes first, as far as there is room; of the rest, no
    strategy gives more than a third: near copies of one good trial would crowd out what
    makes an ensemble better than its best member.
    """
    firsts: list[TrialRecord] = []
    rest: list[TrialRecord] = []
    seen: dict[str, int] = {}
    for record in ranked:
        name = record.configuration.strategy
        seen[name] = seen.get(name, 0) + 1
        if seen[name] == 1:
            firsts.append(record)
        elif seen[name] <= max(2, n // 3):
            rest.append(record)
    return sorted((firsts + rest)[:n], key=lambda record: (record.mean_loss(), record.number))
