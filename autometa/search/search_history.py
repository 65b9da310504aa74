"""The history of a search after it has ended, in plain values, so that it can be saved."""

# Tests: tests/test_report.py

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from autometa.core.evaluation import Evaluation
from autometa.core.proposal import Prediction
from autometa.core.space import Configuration
from autometa.search.trial_records import TrialRecord

REASONS = ("expected_gain", "predicted_trial_s", "in_time")
"""Why a policy tried a configuration: expected fall of the regret, seconds, probability to end in time."""


@dataclass
class SearchHistory:
    """The history of one search.

    Parameters
    ----------
    metric : str
        Name of the metric.
    trials : list of dict
        One per trial: number, strategy, parameters, status, loss, `n_iterations` (mean over the folds; None
        without early stopping, absent in files of earlier versions), weight, time_s, ended_s,
        error, `stored_error` (the error without the exception's own text, which may quote the
        data), `origin` of the configuration ("earlier fits", "policy", "exploration" or "sampler"), the policy's last
        predictions before the trial (`predicted_loss`, `predicted_s` of one fit, `expected_gain`, `predicted_trial_s`,
        `in_time`; NaN without), and `evaluations`, a list of dicts with anchor, fold, loss, fit_s, predict_s, status.
    strategies : list of dict
        One per strategy: name, probability (None if it was left out), `note` (the reason why it was
        left out), the parameters of the configuration that the policy recommended before the
        search (`recommended`), and the last predictions for that configuration before it was
        tried: `predicted_loss`, `predicted_s`, `beats_default`.
    stop_reason : str
        Why the search ended.
    first_model_s : float
        Seconds from the start of the fit to the first usable model.
    total_s : float
        Seconds of the whole fit.
    ensemble_loss : float
        Loss of the ensemble on the out-of-fold predictions that chose its weights, which is
        somewhat optimistic.
    ensemble_curve : list of (float, float)
        Seconds of the search, and the out-of-fold loss of an ensemble of the trials that had ended by then.
    forecast : dict
        What the policy expected of the search before it began: `loss` of the ensemble, `loss_low`, `loss_high`,
        `n_trials`; empty where it predicts none.
    notes : list of str
        Automatic decisions: the problem by the metric, the positive class, text read as numbers.
    """

    metric: str
    trials: list[dict[str, Any]] = field(default_factory=list)
    strategies: list[dict[str, Any]] = field(default_factory=list)
    stop_reason: str = ""
    first_model_s: float = math.nan
    total_s: float = math.nan
    ensemble_loss: float = math.nan
    ensemble_curve: list[tuple[float, float]] = field(default_factory=list)
    forecast: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def without_data(self) -> SearchHistory:
        """Return a copy that may be stored: its errors are without the text of exceptions."""
        return replace(self, trials=[{**trial, "error": trial.get("stored_error", "")} for trial in self.trials])


def trial_rows(
    records: Sequence[TrialRecord],
    weights: Mapping[int, float],
    expected: Mapping[Configuration, Prediction] = MappingProxyType({}),
    origins: Mapping[Configuration, str] = MappingProxyType({}),
) -> list[dict[str, Any]]:
    """Return the records as plain rows, with each trial's weight in the ensemble and its predictions."""
    return [
        {
            "number": record.number,
            "strategy": record.configuration.strategy,
            "parameters": dict(record.configuration.parameters),
            "status": record.status,
            "loss": record.loss,
            "n_iterations": round(sum(kept) / len(kept)) if (kept := record.n_iterations.values()) else None,
            "weight": weights.get(record.number, 0.0),
            "time_s": record.time_s,
            "ended_s": record.ended_s,
            "error": record.full_error,
            "stored_error": record.error,
            "origin": origins.get(record.configuration, "sampler"),
            **_prediction_columns(expected.get(record.configuration)),
            **_reasons(expected.get(record.configuration)),
            "evaluations": [_evaluation_row(evaluation) for evaluation in record.evaluations],
        }
        for record in records
    ]


def _evaluation_row(evaluation: Evaluation) -> dict[str, Any]:
    row = {name: getattr(evaluation, name) for name in ("anchor", "fold", "loss", "fit_s", "predict_s", "status")}
    return row | {"status": "cut_short"} if evaluation.is_cut_short else row


def strategy_rows(
    names: Sequence[str],
    probabilities: Mapping[str, float],
    notes: Mapping[str, str],
    recommended: Sequence[Configuration],
    expected: Mapping[Configuration, Prediction],
) -> list[dict[str, Any]]:
    """Return the strategies as plain rows, each with the configuration recommended before the search."""
    first: dict[str, Configuration] = {}
    for configuration in recommended:
        first.setdefault(configuration.strategy, configuration)
    rows = []
    for name in names:
        chosen = first.get(name)
        prediction = None if chosen is None else expected.get(chosen)
        rows.append(
            {
                "name": name,
                "probability": probabilities.get(name),
                "note": notes.get(name, ""),
                "recommended": None if chosen is None else dict(chosen.parameters),
                **_prediction_columns(prediction),
                "beats_default": math.nan if prediction is None else prediction.beats_default,
            }
        )
    return rows


def _prediction_columns(prediction: Prediction | None) -> dict[str, float]:
    if prediction is None:
        return {"predicted_loss": math.nan, "predicted_s": math.nan}
    return {"predicted_loss": prediction.loss, "predicted_s": prediction.seconds}


def _reasons(prediction: Prediction | None) -> dict[str, float]:
    """Return why the policy tried a configuration."""
    if prediction is None:
        return dict.fromkeys(REASONS, math.nan)
    return dict(zip(REASONS, (prediction.gain, prediction.trial_s, prediction.in_time), strict=True))
