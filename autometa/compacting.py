"""Makes smaller models of fitted ones: fewer members, with weights that are chosen again."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from autometa._support.numbers import is_number
from autometa.core.budget import Deadline
from autometa.ensemble.out_of_fold import MemberPredictions
from autometa.ensemble.predictor import FittedPredictor, Member
from autometa.ensemble.selection import select_ensemble
from autometa.persistence import dumped
from autometa.refitting import forget_rows, read_new_rows
from autometa.tables.cleaning import clean

logger = logging.getLogger(__name__)

# Rows on which subsets are compared, and rounds of each selection of weights.
_MOST_ROWS = 3000
_N_ROUNDS = 20
_TIMED_ROWS = 1000
_UNITS = {"ms": "ms per 1,000 rows", "mb": "MB", "loss": "loss"}


@dataclass(frozen=True)
class _Costs:
    """Milliseconds per 1,000 rows and megabytes of each member and of each preparation."""

    members: Mapping[int, tuple[float, float]]
    preparations: Sequence[tuple[float, float]]


def compact_options(model: Any, X: Any, y: Any) -> pd.DataFrame:
    """Return smaller ensembles with their price; see ``AutoMeta.compact_options``."""
    known = _member_predictions(model, X, y)
    members = {member.trial: member for member in model.predictor_.members}
    costs = _costs(model.predictor_, known)
    now = np.array([members[trial].weight for trial in known.trials])
    loss_now = _loss(model, known, now)
    rows = []
    for trials, weights in _subsets(model, known):
        used = {k for trial in trials for k in members[trial].preparations}
        parts = [*(costs.members[trial] for trial in trials), *(costs.preparations[k] for k in used)]
        loss = _loss(model, known.of(trials), weights)
        rows.append((trials, weights.tolist(), loss, loss - loss_now, *np.sum(parts, axis=0)))
    table = pd.DataFrame(rows, columns=["trials", "weights", "loss", "price", "ms", "mb"])
    return table.sort_values(["loss", "ms"], ignore_index=True)


def compact_model(model: Any, X: Any, y: Any, limits: Mapping[str, float | None]) -> Any:
    """Return a smaller model within the limits; see ``AutoMeta.compact``."""
    given = {name: limit for name, limit in limits.items() if limit is not None}
    if not given:
        raise ValueError("compact needs a limit: give max_ms, max_mb, max_loss, or several of them.")
    for name, limit in given.items():
        if not is_number(limit) or math.isnan(limit):
            raise TypeError(f"max_{name} must be a number or None, got {limit!r}.")
    options = compact_options(model, X, y)
    within = options[np.logical_and.reduce([options[name] <= limit for name, limit in given.items()])]
    if within.empty:
        asked = ", ".join(f"max_{name}={limit:g}" for name, limit in given.items())
        least = ", ".join(f"{options[name].min():.3g} {_UNITS[name]}" for name in given)
        raise ValueError(
            f"No smaller ensemble is within {asked}. The least of each that is possible alone: {least}; "
            "compact_options() lists all. A model from refit(X, y) is smaller than one with models of folds."
        )
    chosen = within.sort_values("ms" if list(given) == ["loss"] else "loss", kind="stable").iloc[0]
    price = (
        f"{len(chosen.trials)} of {len(model.predictor_.members)} members, {chosen.ms:.1f} ms per 1,000 rows, "
        f"{chosen.mb:.2f} MB; loss {chosen.loss:.5g}, {chosen.price:+.2g} against the whole ensemble"
    )
    logger.info("compact: %s", price)
    return _with_members(model, dict(zip(chosen.trials, chosen.weights, strict=True)), chosen.loss, price)


def _member_predictions(model: Any, X: Any, y: Any) -> MemberPredictions:
    """Return the members' predictions for rows that they were not fitted on."""
    if X is None or y is None:
        if model._member_predictions is None:
            raise ValueError(
                "compact needs predictions for rows that the model was not fitted on, which a loaded model does not "
                "keep. Pass rows that fit has not seen: compact(X, y, …), or call compact before save."
            )
        return model._member_predictions
    frame, target = read_new_rows(model, X, y)
    if len(frame) > _MOST_ROWS:
        kept = np.sort(np.random.default_rng(0).choice(len(frame), _MOST_ROWS, replace=False))
        frame, target = frame.iloc[kept], target[kept]
    table, predictor = clean(frame, model._schema), model.predictor_
    predictions = [_alone(predictor, member).predict(table) for member in predictor.members]
    sample = table.take(np.arange(min(len(table), _TIMED_ROWS)))
    trials = [member.trial for member in predictor.members]
    return MemberPredictions(trials, target, None, np.stack(predictions), sample)


def _loss(model: Any, known: MemberPredictions, weights: np.ndarray) -> float:
    averaged = np.tensordot(weights, known.predictions.astype(np.float64), axes=1)
    loss: float = model._metric.loss_or_inf(known.y, averaged, known.weight)
    return loss


def _subsets(model: Any, known: MemberPredictions) -> list[tuple[list[int], np.ndarray]]:
    """Return each member alone, and ensembles that grow from the best one, each with its weights."""
    few = _few_rows(known)
    subsets = [([trial], np.ones(1)) for trial in known.trials]
    losses = [_loss(model, few.of(trials), weights) for trials, weights in subsets]
    grown = subsets[int(np.argmin(losses))][0]
    while len(grown) < len(known.trials):
        rest = [[*grown, trial] for trial in known.trials if trial not in grown]
        weighted = [_weighted(model, few.of(trials)) for trials in rest]
        best = min(range(len(rest)), key=lambda k: weighted[k][1])
        grown, weights = rest[best], weighted[best][0]
        used = weights > 0
        subsets.append(([trial for trial, kept in zip(grown, used, strict=True) if kept], weights[used]))
    return list({tuple(trials): (trials, weights) for trials, weights in subsets}.values())


def _weighted(model: Any, known: MemberPredictions) -> tuple[np.ndarray, float]:
    weights = select_ensemble(
        list(known.predictions),
        lambda averaged: model._metric.loss_or_inf(known.y, averaged, known.weight),
        size=_N_ROUNDS,
        deadline=Deadline(math.inf),
    )
    return weights, _loss(model, known, weights)


def _few_rows(known: MemberPredictions) -> MemberPredictions:
    if len(known.y) <= _MOST_ROWS:
        return known
    kept = np.sort(np.random.default_rng(0).choice(len(known.y), _MOST_ROWS, replace=False))
    weight = None if known.weight is None else known.weight[kept]
    return replace(known, y=known.y[kept], weight=weight, predictions=known.predictions[:, kept])


def _costs(predictor: FittedPredictor, known: MemberPredictions) -> _Costs:
    n_rows, members = len(known.sample), {}
    preparations = [(_ms(lambda p=p: p.transform(known.sample), n_rows), _mb(p)) for p in predictor.preparations]
    for member in predictor.members:
        alone = _alone(predictor, member)
        prepared_ms = sum(preparations[k][0] for k in set(member.preparations))
        ms = _ms(lambda alone=alone: alone.predict(known.sample), n_rows)
        members[member.trial] = (max(0.0, ms - prepared_ms), _mb(member.models))
    return _Costs(members, preparations)


def _ms(call: Any, n_rows: int) -> float:
    """Return the least milliseconds per 1,000 rows of three calls after a first one, which loads libraries."""
    call()
    seconds = []
    for _ in range(3):
        start_s = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start_s)
    return 1000 * min(seconds) * 1000 / n_rows


def _mb(part: Any) -> float:
    return len(dumped({"predictor_": part})) / 1e6


def _alone(predictor: FittedPredictor, member: Member) -> FittedPredictor:
    return _predictor(predictor, {member.trial: 1.0})


def _predictor(predictor: FittedPredictor, weights: Mapping[int, float]) -> FittedPredictor:
    """Return a predictor of some members, with the preparations that they need."""
    chosen = [member for member in predictor.members if member.trial in weights]
    used = sorted({k for member in chosen for k in member.preparations})
    members = [
        Member(member.trial, weights[member.trial], member.models, [used.index(k) for k in member.preparations])
        for member in chosen
    ]
    return FittedPredictor(members, [predictor.preparations[k] for k in used], predictor.n_classes)


def _with_members(model: Any, weights: Mapping[int, float], loss: float, price: str) -> Any:
    new = copy.copy(model)
    new.predictor_ = _predictor(model.predictor_, weights)
    forget_rows(new)
    if model._member_predictions is not None:
        new._member_predictions = model._member_predictions.of(list(weights))
    new.history_ = replace(
        model.history_,
        ensemble_loss=loss,
        trials=[{**trial, "weight": weights.get(trial["number"], 0.0)} for trial in model.history_.trials],
        notes=[*model.history_.notes, f"compact: {price}"],
    )
    return new
