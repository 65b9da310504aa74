"""What a study knows from earlier runs: losses and seconds on the same rows, and what to fit again first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from autometa.core.evaluation import Evaluation
from autometa.core.space import Configuration
from autometa.core.strategy import Strategy
from autometa.search.pruner import ROWS
from autometa.search.studies import configuration_of
from autometa.search.trial_records import TrialRecord

MEASURED, ENSEMBLE = "measured", "autometa:ensemble"
"""Attributes of a trial: its evaluations; of a study: the weights of the last ensemble."""

# What a trial takes besides its fits.
_OVERHEAD_S = 0.5


@dataclass(frozen=True)
class Earlier:
    """What earlier runs of a study have left.

    Parameters
    ----------
    known : tuple of Evaluation
        Measured on the same rows; a configuration that failed there has a failed evaluation.
    first : tuple of Configuration
        Members of the last ensemble by their weights; of a study without one, the best by their
        losses. Their models are gone.
    """

    known: tuple[Evaluation, ...] = ()
    first: tuple[Configuration, ...] = ()


def recall_study(
    study: Study, strategies: Sequence[Strategy], rows: str, n_first: int, *, in_time: bool = False
) -> Earlier:
    """Return what earlier runs of a study have left for a run on some rows.

    Parameters
    ----------
    study : optuna.Study
        Of the same task, perhaps on other rows.
    strategies : sequence of Strategy
        What may be tried now.
    rows : str
        Digest of the rows.
    n_first : int
        Most configurations to fit again.
    in_time : bool
        Whether time is limited: then members of the ensemble come in the order of their weight per
        second, so that as much weight as possible is there again when time is up.
    """
    by_name = {strategy.name: strategy for strategy in strategies}
    ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL))
    found = {
        trial.number: (trial, configuration)
        for trial in ended
        if (configuration := configuration_of(trial, by_name)) is not None
    }
    known = [
        evaluation
        for trial, configuration in found.values()
        if trial.user_attrs.get(ROWS) == rows
        for evaluation in _evaluations(trial, configuration)
    ]
    return Earlier(tuple(known), tuple(_first(study, found, rows, n_first, in_time)))


def measured(record: TrialRecord) -> list[list[float]]:
    """Return what a trial has measured: anchor, fold, loss, seconds of fit and of prediction, whether cut short."""
    return [
        [e.anchor, e.fold, e.loss, e.fit_s, e.predict_s, float(e.is_cut_short)]
        for e in record.evaluations
        if e.status == "ok"
    ]


def remember_ensemble(study: Study, rows: str, weights: Mapping[int, float]) -> None:
    """Keep the weights of the trials in an ensemble with the study."""
    members = {str(number): weight for number, weight in weights.items()}
    study.set_user_attr(ENSEMBLE, {"rows": rows, "members": members})


def _evaluations(trial: FrozenTrial, configuration: Configuration) -> list[Evaluation]:
    status = trial.user_attrs.get("status")
    if status in ("failed", "memory"):
        error = str(trial.user_attrs.get("error", ""))
        return [Evaluation(configuration, 1.0, 0, math.nan, 0.0, 0.0, status, error)]
    return [
        Evaluation(configuration, anchor, int(fold), loss, fit_s, predict_s, is_cut_short=bool(is_cut_short))
        for anchor, fold, loss, fit_s, predict_s, is_cut_short in trial.user_attrs.get(MEASURED, [])
    ]


def _first(
    study: Study, found: Mapping[int, tuple[FrozenTrial, Configuration]], rows: str, n: int, in_time: bool
) -> list[Configuration]:
    last: Mapping[str, Any] = study.user_attrs.get(ENSEMBLE, {})
    weights = {number: weight for name, weight in last.get("members", {}).items() if (number := int(name)) in found}
    if in_time:
        weights = {number: weight / _seconds(*found[number]) for number, weight in weights.items()}
    if weights:
        ranked = sorted(weights, key=lambda number: (-weights[number], number))
        return list(dict.fromkeys(found[number][1] for number in ranked))[:n]
    # A run that was killed, or of an older version, has left losses alone. Those of the same rows can be compared.
    complete = [(trial, c) for trial, c in found.values() if trial.state == TrialState.COMPLETE]
    comparable = [(trial, c) for trial, c in complete if trial.user_attrs.get(ROWS) == rows] or complete
    by_loss = sorted(comparable, key=lambda pair: (pair[0].value or 0.0, pair[0].number))
    return _spread(list(dict.fromkeys(configuration for _, configuration in by_loss)), max(2, n // 3))[:n]


def _seconds(trial: FrozenTrial, configuration: Configuration) -> float:
    """Return the seconds that a trial took."""
    return _OVERHEAD_S + sum(evaluation.time_s for evaluation in _evaluations(trial, configuration))


def _spread(ranked: Sequence[Configuration], most: int) -> list[Configuration]:
    """Return configurations in their order, of no strategy more than `most`: an ensemble lives on variety."""
    counts = Counter[str]()
    kept = []
    for configuration in ranked:
        counts[configuration.strategy] += 1
        if counts[configuration.strategy] <= most:
            kept.append(configuration)
    return kept
