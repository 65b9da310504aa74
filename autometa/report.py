"""Reports on a search: tables of trials and strategies, and the log of a fit."""

from __future__ import annotations

import logging
import math
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from autometa._support.log_output import logged_by, quiet_optuna
from autometa._support.progress import LogHandler
from autometa.core.budget import Deadline
from autometa.evaluation.metrics import Metric
from autometa.search.engine import Search
from autometa.search.search_history import REASONS, SearchHistory
from autometa.search.trial_records import COMPLETE
from autometa.tables.column_names import listing
from autometa.tables.schema import Schema

_TRIAL_COLUMNS = ["trial", "strategy", "configuration", "loss", "predicted_loss", "status", "weight", "time_s"]
_TRIAL_COLUMNS += ["predicted_s", "ended_s", "origin", *REASONS, "error"]

LEADERBOARD_COLUMNS = ["trial", "strategy", "loss", "weight", "time_s", "status"]
"""Columns of a leaderboard by default; they fit into a terminal of 80 columns."""

REPORT_COLUMNS = ["strategy", "probability", "n_trials", "best_loss", "weight", "note"]
"""Columns of a report by default."""

_NOUNS = {"timedelta": "duration", "datetime": "date"}
"""Names of kinds of columns in the log, if not their own."""

_OTHER_PROBLEM = "left out: not for "  # as `Fitness.reason_against` begins it


def leaderboard(history: SearchHistory, *, full: bool = False) -> pd.DataFrame:
    """Return one row per trial, best first.

    Columns: ``trial``, ``strategy``, ``loss`` (mean over the folds, lower is better),
    ``weight`` in the ensemble, ``time_s`` of all its fits, ``status``.

    With ``full=True`` also ``configuration`` (a dict), ``predicted_loss``, ``predicted_s``,
    ``ended_s`` from the start, and why it was tried: ``origin`` of the configuration (``"earlier fits"``, ``"policy"``,
    ``"exploration"`` beyond the recorded configurations, or the study's ``"sampler"``), the ``expected_gain`` (fall of
    the regret that the policy expected of it), ``predicted_trial_s`` of all its fits and the probability that it ends
    ``in_time``; then its ``error``, and a column per measured anchor and fold, such as
    ``loss_fold0`` (all training rows) or ``loss_fold0_anchor0.125``.
    """
    rows = []
    for trial in history.trials:
        row = {
            "trial": trial["number"],
            "strategy": trial["strategy"],
            "configuration": trial["parameters"],
            "loss": trial["loss"],
            "predicted_loss": trial.get("predicted_loss", math.nan),
            "status": trial["status"],
            "weight": trial["weight"],
            "time_s": trial["time_s"],
            "predicted_s": trial.get("predicted_s", math.nan),
            "ended_s": trial["ended_s"],
            "origin": trial.get("origin", ""),
            **{name: trial.get(name, math.nan) for name in REASONS},
            "error": trial["error"],
        }
        for evaluation in trial["evaluations"]:
            suffix = "" if evaluation["anchor"] == 1 else f"_anchor{evaluation['anchor']:g}"
            row[f"loss_fold{evaluation['fold']}{suffix}"] = evaluation["loss"]
        rows.append(row)
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=_TRIAL_COLUMNS)
    folds = sorted(column for column in table.columns if column.startswith("loss_fold"))
    incomplete = (~table["status"].isin(COMPLETE)).rename("incomplete")
    ranked = table.assign(incomplete=incomplete).sort_values(["incomplete", "loss", "trial"], ignore_index=True)
    return ranked[_TRIAL_COLUMNS + folds if full else LEADERBOARD_COLUMNS]


def strategy_report(history: SearchHistory, *, full: bool = False) -> pd.DataFrame:
    """Return one row per strategy for the kind of problem, by probability, with those left out last.

    Columns: ``strategy``, its ``probability`` in the last proposal that the search acted on (for policies that
    learn from records the chance that it is the best for the table; missing if it was left out), ``n_trials``,
    ``best_loss``, ``weight`` in the ensemble and ``note``: why it was left out, that the policy has no records of it,
    or its last error if none of its trials is complete.

    With ``full=True`` also the strategies for other kinds of problems, and the columns
    ``recommended`` (the configuration that the policy recommended before the search), its
    ``predicted_loss``, the ``predicted_s`` of one fit and the probability that it
    ``beats_default`` (missing where the policy does not predict), ``n_ok`` (trials measured on
    every fold), ``time_s`` spent on it and ``best_configuration``.

    The ``attrs`` of the table hold the ``notes`` of the fit and its ``forecast``: the loss of the ensemble that the
    policy expected before the search, with an 80% interval and the number of trials.
    """
    rows = []
    for strategy in history.strategies:
        trials = [trial for trial in history.trials if trial["strategy"] == strategy["name"]]
        complete = [trial for trial in trials if trial["status"] in COMPLETE]
        best = min(complete, key=lambda trial: trial["loss"], default=None)
        errors = [trial["error"] for trial in trials if trial["error"]]
        rows.append(
            {
                "strategy": strategy["name"],
                "probability": strategy["probability"],
                "recommended": strategy.get("recommended"),
                "predicted_loss": strategy.get("predicted_loss", math.nan),
                "predicted_s": strategy.get("predicted_s", math.nan),
                "beats_default": strategy.get("beats_default", math.nan),
                "n_trials": len(trials),
                "n_ok": len(complete),
                "best_loss": None if best is None else best["loss"],
                "time_s": sum(trial["time_s"] for trial in trials),
                "weight": sum(trial["weight"] for trial in trials),
                "best_configuration": None if best is None else best["parameters"],
                "note": "; ".join(filter(None, [strategy["note"], *(errors[-1:] if not complete else ())])),
            }
        )
    table = pd.DataFrame(rows).astype({"probability": "float64", "best_loss": "float64"})
    table = table.sort_values(["probability", "weight"], ascending=False, na_position="last", ignore_index=True)
    if not full:
        suited = ~table["note"].str.startswith(_OTHER_PROBLEM)
        table = table.loc[suited, REPORT_COLUMNS].reset_index(drop=True)
    table.attrs |= {"notes": list(history.notes), "forecast": dict(history.forecast)}
    return table


def opening_line(search: Search, schema: Schema, deadline: Deadline) -> str:
    """Return the first line of a fit's log: the table, the problem, the validation, and the limits."""
    task, plan, budget = search.task, search.plan, search.budget
    is_holdout = plan.is_holdout and search.n_folds == 1
    validation = f"holdout of 1/{plan.n_splits} of the rows" if is_holdout else _counted(search.n_folds, "fold")
    workers = _counted(search.n_jobs, "worker") if plan.use_workers else "no workers"
    limits = [] if budget.n_trials is None else [f"at most {_counted(budget.n_trials, 'trial')}"]
    if budget.has_time_limit:
        end = datetime.now() + timedelta(seconds=deadline.remaining_s())
        limits.append(f"{budget.time_s:g} s, until {end:%H:%M:%S}")
    return (
        f"fit: {_counted(task.n_rows, 'row')}, {_counted(len(schema.columns), 'column')}; "
        f"{task.problem}, {task.metric}; "
        f"{validation}, {workers}; {', '.join(limits)}"
    )


def closing_line(history: SearchHistory, metric: Metric) -> str:
    """Return the last line of a fit's log: the ensemble, its score, and the seconds."""
    if not history.trials:
        return f"fitted without a search: {history.stop_reason}"
    n_members = sum(trial["weight"] > 0 for trial in history.trials)
    score = metric.score(history.ensemble_loss)
    return (
        f"fitted: ensemble of {n_members} of {_counted(len(history.trials), 'trial')}, {history.metric} {score:.5g} "
        f"(out of fold, on the rows that chose it), {history.total_s:.1f} s"
    )


def columns_line(schema: Schema) -> str:
    """Return how many columns there are of each kind, and which are left out and why."""
    kinds = [_counted(n, _NOUNS.get(kind, kind)) for kind, n in Counter(schema.kinds.values()).items()]
    if schema.dropped:
        by_reason: dict[str, list[str]] = {}
        for name, reason in schema.dropped.items():
            by_reason.setdefault(reason, []).append(name)
        named = [f"{listing(names)} ({reason})" for reason, names in by_reason.items()]
        kinds.append(f"{len(schema.dropped)} left out: {'; '.join(named)}")
    return f"columns: {', '.join(kinds)}"


def model_summary(model: Any) -> str:
    """Return a few lines about a fitted estimator: the problem, its rows and folds, the scores, the seconds."""
    history, metric = model.history_, model._metric
    complete = [trial for trial in history.trials if trial["status"] in COMPLETE]
    n_members = sum(trial["weight"] > 0 for trial in history.trials)
    folds = {e["fold"] for trial in history.trials for e in trial["evaluations"] if e["anchor"] == 1}
    size = [_counted(model._n_rows, "row")] if hasattr(model, "_n_rows") else []
    size += [_counted(model.n_features_in_, "column")]
    size += [_counted(len(folds), "fold") if len(folds) != 1 else "a holdout"] if folds else []
    lines = [
        f"{type(model).__name__}: {model.problem_}, {', '.join(size)}",
        f"search:      {_counted(len(history.trials), 'trial')} in {history.total_s:.1f} s ({history.stop_reason})",
    ]
    if complete:
        best = min(complete, key=lambda trial: trial["loss"])
        score = f"{metric.score(best['loss']):.5g}"
        lines.append(f"best trial:  {history.metric} {score} (mean over the folds), {best['strategy']}")
    if history.trials:
        score = f"{metric.score(history.ensemble_loss):.5g}"
        lines.append(f"ensemble:    {history.metric} {score} (out of fold), {_counted(n_members, 'member')}")
    if model._score_estimate is not None:
        expected = model.expected_score()
        interval = f"{expected['low']:.5g} to {expected['high']:.5g}"
        lines.append(f"on new rows: {history.metric} {expected['score']:.5g} expected, {interval} with 90% confidence")
    return "\n".join(lines)


@contextmanager
def logged_fit(verbose: int) -> Iterator[None]:
    """Log to standard error during a fit, and keep Optuna quiet below level 2.

    Parameters
    ----------
    verbose : int
        0 logs nothing here, 1 what a user would tell a colleague, 2 everything.
    """
    with ExitStack() as stack:
        if verbose < 2:
            stack.enter_context(quiet_optuna())
        if verbose and sys.stderr is not None:
            handler = LogHandler()
            handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S"))
            stack.enter_context(logged_by(handler, logging.DEBUG if verbose >= 2 else logging.INFO))
        yield


def _counted(n: int, noun: str) -> str:
    if n == 1:
        return f"1 {noun}"
    return f"{n} {noun[:-1]}ies" if noun.endswith("y") else f"{n} {noun}s"
