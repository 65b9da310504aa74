"""The ensemble of a search: its members are chosen among the trials, refitted on all rows, and loaded."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autometa._support.seeds import child_seed
from autometa._support.warning_filters import ignored_warnings
from autometa.core.budget import Deadline
from autometa.ensemble.anytime import anytime_curve
from autometa.ensemble.constant_loss import best_constant_loss
from autometa.ensemble.out_of_fold import MemberPredictions, OutOfFold, weighted_spread
from autometa.ensemble.predictor import FittedPredictor, Member
from autometa.ensemble.selection import select_bagged_ensemble
from autometa.evaluation.metrics import Metric
from autometa.evaluation.resampling import Fold
from autometa.evaluation.workspace import ALL_ROWS, Workspace
from autometa.exceptions import SearchFailedError
from autometa.posthoc.score_estimate import MOST_ROWS, CrossFitted, cross_fitted
from autometa.search.engine import Search
from autometa.search.refit import refit
from autometa.search.trial_records import TrialRecord, candidates, usable
from autometa.tables.table_task import Task

# Largest number of rows for the selection, which computes the loss some thousand times.
_MAX_SELECTION_ROWS = 10_000
# Largest number of bootstrap samples that ensembles are chosen on, and of rows in all samples together.
_MAX_BAGS = 20
_BAGGED_ROWS = 20_000
# Bootstrap samples for each part of the rows when the choice is repeated without the part.
_BAGS_OF_PART = 3
# Trials that the repeated choice ranks, as a multiple of those that an ensemble may choose from.
_RANKED_TRIALS = 4
# Share of the time after the search that repeated choices may take, and seconds that they may take anyway.
_CROSS_SHARE, _CROSS_S = 0.25, 0.3
# Largest number of predictions of members that a fitted model keeps in memory, 4 bytes each.
_MEMBER_CELLS = 500_000
# Smallest weight of a member; members below it cost time in `predict` and change nothing.
_MIN_WEIGHT = 0.01
# Largest number of seconds for the curve of the ensemble over time, which nothing but the HTML report shows.
_CURVE_S = 0.5
# Beginnings of warnings, by which they can be silenced.
_USELESS, _INCOMPLETE = "The model is no better", "No trial was measured"


@dataclass(frozen=True)
class Ensemble:
    """The ensemble of a search.

    Parameters
    ----------
    predictor : FittedPredictor
        The fitted models.
    weights : mapping of int to float
        Weights by the number of the trial; they sum to 1.
    loss : float
        Loss on the validation rows that chose the weights.
    constant_loss : float
        Lowest loss, on these rows, of a prediction that is the same for every row.
    out_of_fold : OutOfFold
        Its predictions for all rows that the folds validate, before any refit.
    members : MemberPredictions
        The predictions of each member for a sample of these rows.
    parts : CrossFitted or None
        Predictions of ensembles that were chosen on other rows, None if there was no time for them.
    curve : list of (float, float)
        Seconds of the search, and the loss of an ensemble of the trials that had ended by then.
    """

    predictor: FittedPredictor
    weights: Mapping[int, float]
    loss: float
    constant_loss: float
    out_of_fold: OutOfFold
    members: MemberPredictions
    parts: CrossFitted | None = None
    curve: list[tuple[float, float]] = field(default_factory=list)


def make_ensemble(
    search: Search,
    workspace: Workspace,
    task: Task,
    metric: Metric,
    *,
    size: int,
    deadline: Deadline,
) -> Ensemble:
    """Return the ensemble of a search's best trials, refitted on all rows as far as time allows.

    Parameters
    ----------
    search : Search
        A search that has ended; `workspace` holds the models of its trials.
    task, metric : Task, Metric
        The task of the search, and the loss of an ensemble.
    size : int
        Rounds of ensemble selection.
    deadline : Deadline
        When the whole fit must have ended.

    Raises
    ------
    SearchFailedError
        If no trial gave a usable model.
    KeyboardInterrupt
        If the search was interrupted before it had one.
    """
    folds, plan = workspace.shared.folds, search.plan
    ranked = usable(search.records, len(folds))
    records = candidates(ranked, plan.max_members)
    if not records:
        if search.stop_reason == "interrupted":
            raise KeyboardInterrupt("interrupted before the first model was fitted")
        raise SearchFailedError(_why_nothing_worked(search))
    common = sorted(set.intersection(*(set(record.predictions) for record in records)))
    if not common:
        records, common = records[:1], sorted(records[0].predictions)
    rows = np.concatenate([folds[fold].validation for fold in common])
    selected = _selected(len(rows), search.seed)
    predictions = [np.concatenate([record.predictions[fold] for fold in common])[selected] for record in records]
    loss = _loss_on(task, rows[selected], metric)
    weights = _choose(predictions, loss, size, search, deadline)
    every = np.arange(len(selected))
    ensemble_loss = loss(every, np.tensordot(weights, np.stack(predictions), axes=1))
    constant_loss = _constant_loss(task, rows[selected], loss)
    allowed = Deadline.after(min(_CURVE_S, 0.05 * deadline.remaining_s()))
    curve = anytime_curve(predictions, [record.ended_s for record in records], loss, allowed)
    chosen = [(record, weight) for record, weight in zip(records, weights, strict=True) if weight >= _MIN_WEIGHT]
    total = sum(weight for _, weight in chosen)
    chosen = sorted(((record, float(weight / total)) for record, weight in chosen), key=lambda pair: -pair[1])
    parts = _chosen_without(ranked, common, rows[selected], selected, predictions, weights, task, metric, size, search)
    refitted: set[int] = set()
    if plan.refit_share and search.stop_reason != "interrupted":
        refitted = refit(
            [record for record, _ in chosen if not record.is_refitted],
            evaluator=search.evaluator,
            growth=plan.growth,
            deadline=deadline.sooner(plan.finish_s / 2),
            n_jobs=search.n_jobs,
            n_threads=search.n_threads,
            seed=search.seed,
        )
    for record, _ in chosen:
        record.is_refitted |= record.number in refitted
    refitted = {record.number for record, _ in chosen if record.is_refitted}
    latest = max(common) if task.times is not None else None
    predictor = _load(chosen, refitted, workspace, task.n_classes, latest)
    own_fold = refitted if latest is None else {record.number for record, _ in chosen}
    fold_predictors = _fold_predictors(chosen, own_fold, common, predictor, workspace)
    out_of_fold = _out_of_fold(chosen, rows, common, fold_predictors, folds)
    final_weights = {record.number: weight for record, weight in chosen}
    members = _member_predictions(chosen, rows, common, task, search.seed)
    return Ensemble(predictor, final_weights, ensemble_loss, constant_loss, out_of_fold, members, parts, curve)


def _member_predictions(
    chosen: Sequence[tuple[TrialRecord, float]], rows: np.ndarray, common: Sequence[int], task: Task, seed: int
) -> MemberPredictions:
    rng = np.random.default_rng(child_seed(seed, "members"))
    n_kept = min(len(rows), max(100, _MEMBER_CELLS // (len(chosen) * max(1, task.n_classes))))
    kept = np.sort(rng.choice(len(rows), n_kept, replace=False))
    return MemberPredictions(
        [record.number for record, _ in chosen],
        task.y[rows[kept]],
        None if task.sample_weight is None else task.sample_weight[rows[kept]],
        np.stack(
            [np.concatenate([record.predictions[fold] for fold in common])[kept] for record, _ in chosen],
            dtype=np.float32,
            casting="same_kind",
        ),
        task.table.take(rows[kept[:1000]]),
    )


def _out_of_fold(
    chosen: Sequence[tuple[TrialRecord, float]],
    rows: np.ndarray,
    common: Sequence[int],
    predictors: Mapping[int, FittedPredictor],
    folds: Sequence[Fold],
) -> OutOfFold:
    by_member = (np.concatenate([record.predictions[fold] for fold in common]) for record, _ in chosen)
    weights = np.array([weight for _, weight in chosen])
    numbers = np.repeat(common, [len(folds[fold].validation) for fold in common])
    if chosen[0][0].predictions[common[0]].ndim == 1:
        values = np.stack(list(by_member))
        return OutOfFold(rows, weights @ values, weighted_spread(values, weights), numbers, predictors)
    # Member by member: with many classes and rows, the probabilities of all members at once would not fit.
    mean = sum(weight * probabilities for weight, probabilities in zip(weights, by_member, strict=True))
    return OutOfFold(rows, mean, np.zeros(len(rows)), numbers, predictors)


def _fold_predictors(
    chosen: Sequence[tuple[TrialRecord, float]],
    refitted: set[int],
    common: Sequence[int],
    predictor: FittedPredictor,
    workspace: Workspace,
) -> dict[int, FittedPredictor]:
    """Return the ensemble of each fold's models; they share their models with `predictor` unless it has refits."""
    preparations = list(predictor.preparations)
    added: dict[tuple[int, str], int] = {}
    members: dict[int, list[Member]] = {fold: [] for fold in common}
    for (record, weight), member in zip(chosen, predictor.members, strict=True):
        measured = sorted(record.predictions)
        for fold in common:
            if record.number not in refitted:
                model, index = member.models[measured.index(fold)], member.preparations[measured.index(fold)]
            else:
                key = (fold, workspace.shared.learners[record.configuration.strategy].view)
                if key not in added:
                    added[key] = len(preparations)
                    preparations.append(workspace.preparation(*key))
                model, index = workspace.load_model(record.number, fold), added[key]
            members[fold].append(Member(record.number, weight, [model], [index]))
    return {fold: FittedPredictor(members[fold], preparations, predictor.n_classes) for fold in common}


def _chosen_without(
    ranked: Sequence[TrialRecord],
    common: Sequence[int],
    rows: np.ndarray,
    selected: np.ndarray,
    predictions: Sequence[np.ndarray],
    weights: np.ndarray,
    task: Task,
    metric: Metric,
    size: int,
    search: Search,
) -> CrossFitted | None:
    """Return predictions for each part of the rows by an ensemble that was chosen on the other parts."""
    plan = search.plan
    sample = np.arange(len(rows))
    if len(rows) > MOST_ROWS:
        rng = np.random.default_rng(child_seed(search.seed, "cross-fitting"))
        sample = np.sort(rng.choice(len(rows), MOST_ROWS, replace=False))
    records = [record for record in ranked if record.predictions.keys() >= set(common)]
    records = records[: _RANKED_TRIALS * plan.max_members]
    kept = selected[sample]
    stack = np.stack([np.concatenate([record.predictions[fold] for fold in common])[kept] for record in records])
    loss = _loss_on(task, rows[sample], metric)
    has_limit = search.budget.has_time_limit
    deadline = Deadline.after(max(_CROSS_S, _CROSS_SHARE * plan.finish_s) if has_limit else math.inf)
    numbers = {record.number: index for index, record in enumerate(records)}

    def choose(inside: np.ndarray) -> np.ndarray:
        losses = [loss(inside, of_model[inside]) for of_model in stack]
        by_loss = [records[index] for index in np.argsort(losses, kind="stable")]
        indices = [numbers[record.number] for record in candidates(by_loss, plan.max_members)]
        found = select_bagged_ensemble(
            [stack[index, inside] for index in indices],
            lambda chosen, averaged: loss(inside[chosen], averaged),
            size=size,
            n_bags=1 if size == 1 else _BAGS_OF_PART,
            rng=np.random.default_rng(child_seed(search.seed, "bags")),
            deadline=deadline,
        )
        weights = np.zeros(len(records))
        weights[indices] = found
        return weights

    return cross_fitted(
        stack,
        np.tensordot(weights, np.stack([of_model[sample] for of_model in predictions]), axes=1),
        rows[sample],
        None if task.groups is None else task.groups[rows[sample]],
        choose,
        child_seed(search.seed, "parts"),
        deadline,
    )


def warning_about(ensemble: Ensemble, search: Search, metric: Metric) -> str:
    """Return the warning about an ensemble that is no better than a constant, or rests on no complete trial.

    The text is empty if there is nothing to warn about.
    """
    n_complete = sum(record.is_complete for record in search.records)
    faults = []
    # No loss of autometa's metrics is below 0, so an ensemble with loss 0 is as good as possible.
    is_perfect = ensemble.loss <= 0 <= ensemble.constant_loss
    least_gain = 1e-9 * abs(ensemble.constant_loss)
    # A custom metric may not be defined for constants.
    if ensemble.loss >= ensemble.constant_loss - least_gain and not is_perfect and math.isfinite(least_gain):
        faults.append(
            f"{_USELESS} than one that predicts the same for every row: its {metric.name} on the "
            f"validation rows is {metric.score(ensemble.loss):.4g}, that of the best constant "
            f"{metric.score(ensemble.constant_loss):.4g}."
        )
    if not n_complete:
        faults.append(f"{_INCOMPLETE} on all validation rows before the search ended ({search.stop_reason}).")
    if not faults:
        return ""
    beginning = next(words for words in (_USELESS, _INCOMPLETE) if faults[0].startswith(words))
    advice = "Give it more time_budget or n_trials, or faster strategies, e.g. strategies=['logistic_regression']"
    if search.task.problem == "regression":
        advice = advice.replace("logistic_regression", "ridge")
    if n_complete:
        advice += "; if that changes nothing, the columns say little about the target, or the metric rewards a constant"
    return (
        f"{' '.join(faults)} Complete trials: {n_complete} of {len(search.records)}. {advice}. "
        f"To silence this: warnings.filterwarnings('ignore', message={beginning!r})."
    )


def _selected(n_rows: int, seed: int) -> np.ndarray:
    """Return the indices of the validation rows that the ensemble is chosen on."""
    if n_rows <= _MAX_SELECTION_ROWS:
        return np.arange(n_rows)
    rng = np.random.default_rng(child_seed(seed, "selection"))
    return np.sort(rng.choice(n_rows, _MAX_SELECTION_ROWS, replace=False))


def _loss_on(task: Task, rows: np.ndarray, metric: Metric) -> Callable[[np.ndarray, np.ndarray], float]:
    """Return a function ``loss(sample, predictions)`` for samples of these rows."""
    y = task.y[rows]
    weight = None if task.sample_weight is None else task.sample_weight[rows]

    def loss(sample: np.ndarray, predictions: np.ndarray) -> float:
        return metric.loss_or_inf(y[sample], predictions, None if weight is None else weight[sample])

    return loss


def _constant_loss(task: Task, rows: np.ndarray, loss: Callable[[np.ndarray, np.ndarray], float]) -> float:
    weight = None if task.sample_weight is None else task.sample_weight[rows]
    every = np.arange(len(rows))
    # Metrics of scikit-learn warn about classes that are never predicted.
    with ignored_warnings():
        return best_constant_loss(task.y[rows], task.n_classes, weight, lambda predictions: loss(every, predictions))


def _choose(
    predictions: Sequence[np.ndarray],
    loss: Callable[[np.ndarray, np.ndarray], float],
    size: int,
    search: Search,
    deadline: Deadline,
) -> np.ndarray:
    """Return the weight of each trial."""
    seconds = deadline.remaining_s()
    limit = Deadline.after(min(search.plan.finish_s, seconds) * 0.6) if math.isfinite(seconds) else deadline
    return select_bagged_ensemble(
        predictions,
        loss,
        size=size,
        n_bags=1 if size == 1 else max(1, min(_MAX_BAGS, _BAGGED_ROWS // len(predictions[0]))),
        rng=np.random.default_rng(child_seed(search.seed, "bags")),
        deadline=limit,
    )


def _load(
    chosen: Sequence[tuple[TrialRecord, float]],
    refitted: set[int],
    workspace: Workspace,
    n_classes: int,
    latest: int | None,
) -> FittedPredictor:
    """Return the predictor; without a model of all rows a trial has those of its folds, or of the latest fold alone."""
    preparations: list[Any] = []
    index: dict[tuple[int, str], int] = {}
    members = []
    for record, weight in chosen:
        folds = [ALL_ROWS] if record.number in refitted else sorted(record.predictions)
        if latest is not None and record.number not in refitted:
            folds = [latest]
        view = workspace.shared.learners[record.configuration.strategy].view
        member = Member(record.number, weight, [], [])
        for fold in folds:
            if (fold, view) not in index:
                index[fold, view] = len(preparations)
                preparations.append(workspace.preparation(fold, view))
            member.models.append(workspace.load_model(record.number, fold))
            member.preparations.append(index[fold, view])
        members.append(member)
    return FittedPredictor(members, preparations, n_classes)


def _why_nothing_worked(search: Search) -> str:
    errors: dict[str, str] = {}
    for record in search.records:
        if record.error:
            errors.setdefault(record.configuration.strategy, f"{record.status}: {record.full_error}")
    if not errors:
        return (
            f"The search ended ({search.stop_reason}) before one model was fitted. Give it more time_budget, or "
            "faster strategies, e.g. strategies=['ridge'] or ['logistic_regression']."
        )
    listed = "; ".join(f"{name}: {error}" for name, error in errors.items())
    return f"Every trial failed ({search.stop_reason}). {listed}."
