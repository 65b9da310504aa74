"""What is known about a search after it has ended; plain values only, so that it can be saved."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from autometa.search.records import TrialRecord


@dataclass
class SearchHistory:
    """The story of one search.

    Parameters
    ----------
    metric : str
        Name of the metric.
    trials : list of dict
        One per trial: number, strategy, parameters, status, loss, weight, time_s, ended_s,
        error, and `evaluations`, a list of dicts with anchor, fold, loss, fit_s, predict_s, status.
    strategies : list of dict
        One per strategy: name, probability (None when it was left out) and `note`, the
        reason why it was left out.
    stop_reason : str
        Why the search ended.
    first_model_s : float
        Seconds from the start of the fit to the first usable model.
    total_s : float
        Seconds of the whole fit.
    ensemble_loss : float
        Loss of the ensemble on the out-of-fold predictions that chose its weights, thus
        somewhat optimistic.
    """

    metric: str
    trials: list[dict[str, Any]] = field(default_factory=list)
    strategies: list[dict[str, Any]] = field(default_factory=list)
    stop_reason: str = ""
    first_model_s: float = math.nan
    total_s: float = math.nan
    ensemble_loss: float = math.nan


def trial_rows(records: Sequence[TrialRecord], weights: Mapping[int, float]) -> list[dict[str, Any]]:
    """Return the records as plain rows, with each trial's weight in the ensemble."""
    return [
        {
            "number": record.number,
            "strategy": record.configuration.strategy,
            "parameters": dict(record.configuration.parameters),
            "status": record.status,
            "loss": record.loss,
            "weight": weights.get(record.number, 0.0),
            "time_s": record.time_s,
            "ended_s": record.ended_s,
            "error": record.error,
            "evaluations": [
                {
                    "anchor": e.anchor,
                    "fold": e.fold,
                    "loss": e.loss,
                    "fit_s": e.fit_s,
                    "predict_s": e.predict_s,
                    "status": e.status,
                }
                for e in record.evaluations
            ],
        }
        for record in records
    ]
