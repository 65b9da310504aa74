"""Results of earlier runs of a study: losses and seconds on the same rows, and what to fit first."""

from __future__ import annotations

import logging
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

logger = logging.getLogger(__name__)

MEASURED, ENSEMBLE = "measured", "autometa:ensemble"
"""User attributes: the evaluations of a trial, and the weights of a study's last ensemble."""

# Seconds of a trial besides its fits.
_OVERHEAD_S = 0.5


@dataclass(frozen=True)
class Earlier:
    """Results of earlier runs of a study.

    Parameters
    ----------
    known : tuple of Evaluation
        Evaluations on the same rows; a configuration that failed has a failed evaluation.
    first : tuple of Configuration
        Members of the last ensemble by weight; without an ensemble, the best configurations by
        loss. Their models are not stored.
    """

    known: tuple[Evaluation, ...] = ()
    first: tuple[Configuration, ...] = ()


def recall_study(
    study: Study, strategies: Sequence[Strategy], rows: str, n_first: int, *, in_time: bool = False
) -> Earlier:
    """Return the results of a study's earlier runs for a new run.

    Parameters
    ----------
    study : optuna.Study
        Study of the same task, perhaps on other rows.
    strategies : sequence of Strategy
        Strategies that may be tried now.
    rows : str
        Digest of the rows of the new run.
    n_first : int
        Largest number of configurations to fit first.
    in_time : bool
        Whether time is limited. Then members of the ensemble are ordered by weight per second,
        so that as much weight as possible is fitted when the time is up.
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
    first = tuple(_first(study, found, rows, n_first, in_time))
    if first:
        logger.info(
            "the study is resumed: %d evaluations of these rows are known, %d configurations come first",
            len(known),
            len(first),
        )
    return Earlier(tuple(known), first)


def measured(record: TrialRecord) -> list[list[float]]:
    """Return the evaluations of a trial as lists: anchor, fold, loss, fit_s, predict_s, is_cut_short."""
    return [
        [e.anchor, e.fold, e.loss, e.fit_s, e.predict_s, float(e.is_cut_short)]
        for e in record.evaluations
        if e.status == "ok"
    ]


def remember_ensemble(study: Study, rows: str, weights: Mapping[int, float]) -> None:
    """Store the weights of an ensemble's trials with the study."""
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
    # A run that was killed, or of an older version, has stored no weights. Losses on the same rows can be compared.
    complete = [(trial, c) for trial, c in found.values() if trial.state == TrialState.COMPLETE]
    comparable = [(trial, c) for trial, c in complete if trial.user_attrs.get(ROWS) == rows] or complete
    by_loss = sorted(comparable, key=lambda pair: (pair[0].value or 0.0, pair[0].number))
    return _spread(list(dict.fromkeys(configuration for _, configuration in by_loss)), max(2, n // 3))[:n]


def _seconds(trial: FrozenTrial, configuration: Configuration) -> float:
    """Return the seconds of a trial."""
    return _OVERHEAD_S + sum(evaluation.time_s for evaluation in _evaluations(trial, configuration))


def _spread(ranked: Sequence[Configuration], most: int) -> list[Configuration]:
    """Return configurations in their order, at most `most` per strategy, because an ensemble needs variety."""
    counts = Counter[str]()
    kept = []
    for configuration in ranked:
        counts[configuration.strategy] += 1
        if counts[configuration.strategy] <= most:
            kept.append(configuration)
    return kept
