"""From the trials of a search to a fitted ensemble: choose, fit again on all rows, load."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autometa._support.seeds import child_seed
from autometa._support.warning_filters import ignored_warnings
from autometa.core.budget import Deadline
from autometa.ensemble.constant_loss import best_constant_loss
from autometa.ensemble.predictor import FittedPredictor, Member
from autometa.ensemble.selection import select_bagged_ensemble
from autometa.evaluation.metrics import Metric
from autometa.evaluation.workspace import ALL_ROWS, Workspace
from autometa.exceptions import SearchFailedError
from autometa.search.engine import Evaluator, Search
from autometa.search.refit import refit
from autometa.search.trial_records import TrialRecord, candidates, usable
from autometa.tables.table_task import Task

# Greedy selection computes the loss some thousand times; more rows than this would not
# change what it chooses, only how long it takes.
_MAX_SELECTION_ROWS = 10_000
# Ensembles are chosen on this many bootstrap samples of few rows, down to one of many.
_MAX_BAGS = 20
_BAGGED_ROWS = 20_000
# Members below this weight cost time at predict and change nothing.
_MIN_WEIGHT = 0.01
# How warnings begin, by which they can be silenced.
_USELESS, _INCOMPLETE = "The model is no better", "No trial was measured"


@dataclass(frozen=True)
class Ensemble:
    """What a search ends in.

    Parameters
    ----------
    predictor : FittedPredictor
        Its models.
    weights : mapping of int to float
        By the number of the trial; they sum to 1.
    loss : float
        On the validation rows that chose the weights.
    constant_loss : float
        The lowest loss, on these rows, of a prediction that is the same for every row.
    """

    predictor: FittedPredictor
    weights: Mapping[int, float]
    loss: float
    constant_loss: float


def make_ensemble(
    search: Search,
    workspace: Workspace,
    evaluator: Evaluator,
    task: Task,
    metric: Metric,
    *,
    size: int,
    deadline: Deadline,
) -> Ensemble:
    """Return the ensemble of a search's best trials, fitted again on all rows as far as time allows.

    Parameters
    ----------
    search : Search
        That has ended.
    workspace : Workspace
        Holds its models.
    evaluator : Evaluator
        Runs the fits on all rows.
    task : Task
        What was searched on.
    metric : Metric
        Judges the ensemble.
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
    records = candidates(usable(search.records, len(folds)), plan.max_members)
    if not records:
        if search.stop_reason == "interrupted":
            raise KeyboardInterrupt("interrupted before the first model was fitted")
        raise SearchFailedError(_why_nothing_worked(search))
    common = sorted(set.intersection(*(set(record.predictions) for record in records)))
    if not common:
        records, common = records[:1], sorted(records[0].predictions)
    rows = np.concatenate([folds[fold].validation for fold in common])
    positions = _positions(len(rows), search.seed)
    predictions = [np.concatenate([record.predictions[fold] for fold in common])[positions] for record in records]
    loss = _loss_on(task, rows[positions], metric)
    weights = _choose(predictions, loss, size, search, deadline)
    every = np.arange(len(positions))
    ensemble_loss = loss(every, np.tensordot(weights, np.stack(predictions), axes=1))
    constant_loss = _constant_loss(task, rows[positions], metric, loss)
    chosen = [(record, weight) for record, weight in zip(records, weights, strict=True) if weight >= _MIN_WEIGHT]
    total = sum(weight for _, weight in chosen)
    chosen = sorted(((record, float(weight / total)) for record, weight in chosen), key=lambda pair: -pair[1])
    refitted: set[int] = set()
    if plan.refit_share and search.stop_reason != "interrupted" and search.budget.has_time_limit:
        refit(
            [record for record, _ in chosen],
            refitted,
            evaluator=evaluator,
            prepare=search.prepare,
            preparation_s=search.preparation_s,
            plan=plan,
            deadline=deadline.sooner(plan.finish_s / 2),
            n_jobs=search.n_jobs,
            n_threads=1 if plan.use_workers else search.n_jobs,
            seed=search.seed,
        )
    predictor = _load(chosen, refitted, workspace, task.n_classes)
    return Ensemble(predictor, {record.number: weight for record, weight in chosen}, ensemble_loss, constant_loss)


def warning_about(ensemble: Ensemble, search: Search, metric: Metric) -> str:
    """Return why a model is of no use and what to do, an empty text if it is of some.

    Parameters
    ----------
    ensemble : Ensemble
        What the search ended in.
    search : Search
        That has ended.
    metric : Metric
        Judges the ensemble.
    """
    n_complete = sum(record.is_complete for record in search.records)
    faults = []
    # No loss of our own is below 0, and nothing is better than that.
    is_perfect = ensemble.loss <= 0 <= ensemble.constant_loss
    least_gain = 1e-9 * abs(ensemble.constant_loss)
    # A custom metric may be defined for no constant at all.
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


def _positions(n_rows: int, seed: int) -> np.ndarray:
    """Return the validation rows that the ensemble is chosen on."""
    if n_rows <= _MAX_SELECTION_ROWS:
        return np.arange(n_rows)
    rng = np.random.default_rng(child_seed(seed, "selection"))
    return np.sort(rng.choice(n_rows, _MAX_SELECTION_ROWS, replace=False))


def _loss_on(task: Task, rows: np.ndarray, metric: Metric) -> Callable[[np.ndarray, np.ndarray], float]:
    """Return the loss of predictions for some of these rows."""
    y = task.y[rows]
    weight = None if task.sample_weight is None else task.sample_weight[rows]

    def loss(sample: np.ndarray, predictions: np.ndarray) -> float:
        try:
            return metric.loss(y[sample], predictions, None if weight is None else weight[sample])
        except ValueError:
            # A custom metric may not be defined where a sample lacks a class.
            return math.inf

    return loss


def _constant_loss(
    task: Task, rows: np.ndarray, metric: Metric, loss: Callable[[np.ndarray, np.ndarray], float]
) -> float:
    weight = None if task.sample_weight is None else task.sample_weight[rows]
    every = np.arange(len(rows))
    # Metrics of scikit-learn warn of classes that are never predicted.
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
    chosen: Sequence[tuple[TrialRecord, float]], refitted: set[int], workspace: Workspace, n_classes: int
) -> FittedPredictor:
    preparations: list[Any] = []
    position: dict[tuple[int, str], int] = {}
    members = []
    for record, weight in chosen:
        folds = [ALL_ROWS] if record.number in refitted else sorted(record.predictions)
        view = workspace.shared.learners[record.configuration.strategy].view
        member = Member(record.number, weight, [], [])
        for fold in folds:
            if (fold, view) not in position:
                position[fold, view] = len(preparations)
                preparations.append(workspace.prepare(fold, view))
            member.models.append(workspace.load_model(record.number, fold))
            member.preparations.append(position[fold, view])
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
