"""Records of the trials of a search, with the seconds and the predictions that they gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from autometa.core.evaluation import Evaluation
from autometa.core.space import Configuration
from autometa.evaluation.workspace import ALL_ROWS

# Safety factor on the expected seconds of a refit: fits of one strategy differ in time.
_REFIT_MARGIN = 1.15

TrialStatus = Literal["running", "ok", "cut_short", "pruned", "stopped", "timeout", "memory", "failed"]
"""``ok``: measured on every fold; ``cut_short``: the same, but the deadline ended a fit early;
``stopped``: the budget ended before the last fold."""

COMPLETE: frozenset[TrialStatus] = frozenset({"ok", "cut_short"})
"""Statuses of trials that were measured on every fold."""


@dataclass
class TrialRecord:
    """One trial with its evaluations and predictions.

    Parameters
    ----------
    number : int
        Number of the trial in the study.
    configuration : Configuration
        The configuration that is fitted.
    evaluations : list of Evaluation
        Evaluations, in the order in which they ended.
    predictions : dict of int to ndarray
        Validation predictions at anchor 1 by fold.
    n_iterations : dict of int to int
        Iterations kept at anchor 1 by fold, for learners that stop early.
    status : str
        ``"running"``, or how it ended.
    loss : float
        Mean loss over the folds measured at anchor 1; NaN without.
    ended_s : float
        Seconds from the start of the search to the end of the trial.
    error : str
        Why it failed, without text that may quote the data.
    is_refitted : bool
        Whether there is a model of all rows.
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
    is_refitted: bool = False

    @property
    def folds_with_model(self) -> list[int]:
        """Numbers of the folds whose models an ensemble may use."""
        return [*self.predictions, *([ALL_ROWS] if self.is_refitted and self.predictions else [])]

    @property
    def full_error(self) -> str:
        """Why it failed, with the exception's own text, which the caller of the fit sees and nobody stores."""
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
        """Return the seconds of a refit on `growth` times as many rows, with a margin.

        `preparation_s` is the time to prepare a fold; 0 if all rows are prepared already.
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
