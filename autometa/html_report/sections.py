"""Sections of the page on the data, the search, the recommendations, and the seconds and memory."""

# Tests: tests/html_report/test_page.py

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from autometa.evaluation.leakage import columns_like_target
from autometa.html_report.document import Section, details, figure, figures, paragraph, table
from autometa.html_report.svg import inline_svg
from autometa.plots.search import draw_importances, draw_search, draw_weights
from autometa.report import leaderboard, strategy_report
from autometa.search.trial_records import COMPLETE
from autometa.tables.column_names import listing

_MOST_TRIALS = 20
_MOST_OPEN = 10
_MOST_COLUMNS = 1_000
_MOST_IMPORTANCES = 50
_N_REPEATS = 3
_MOST_S = 60.0
"""Permutations of each column, and seconds that the importances of a page may take."""
_ROWS_PER_COLUMN = 1_000  # that `feature_importances` uses at most
_LEAK = "possible leak: "
_LEAK_SHARE = 0.9
"""A column with more than this share of all importances may know the target."""


def data_section(model: Any, X: Any, y: Any, incoming: list[str]) -> Section:
    """Return the section on the columns: kinds, those left out, and what is suspicious about them."""
    columns = model.columns()
    kinds = Counter(columns["kind"])
    shown = ", ".join(f"{n:,} {kind}" for kind, n in kinds.most_common())
    body = paragraph(f"{len(columns):,} columns: {shown}.")
    notes = list(model.history_.notes)
    leaks = [note for note in notes if note.startswith(_LEAK)]
    if X is not None:
        leaks += _leaks_of_rows(model, X, y)
    for leak in dict.fromkeys(leaks):
        body += paragraph(
            f"{leak[:1].upper()}{leak[1:]}. Leave out what is not known yet when predictions are made.", "warning"
        )
    for warning in dict.fromkeys(incoming):
        body += paragraph(f"The given rows differ from those of fit: {warning}", "warning")
    left_out = columns[columns["kind"] == "left out"]
    if len(left_out):
        listed = _column_table("Columns left out, and why", left_out)
        few = len(left_out) <= _MOST_OPEN
        body += listed if few else details(f"{len(left_out):,} columns are left out: see why", listed)
    if decisions := [note for note in notes if note not in leaks]:
        body += table("Automatic decisions", ["decision"], [[note] for note in decisions])
    body += details("All columns", _column_table("Columns, with their kinds", columns))
    return Section("data", "Data", body)


def _column_table(caption: str, columns: pd.DataFrame) -> str:
    rows = columns.head(_MOST_COLUMNS).itertuples(index=False)
    more = f" (the first {_MOST_COLUMNS:,} of {len(columns):,})" if len(columns) > _MOST_COLUMNS else ""
    return table(caption + more, ["column", "kind", "note"], [tuple(row) for row in rows])


def _leaks_of_rows(model: Any, X: Any, y: Any) -> list[str]:
    truth = pd.factorize(np.asarray(y, dtype=object))[0] if model.problem_ != "regression" else np.asarray(y)
    found = columns_like_target(model._cleaned(X), truth)
    return [f"{_LEAK}y can be told one to one from {listing(found)}"] if found else []


def importances_section(model: Any, X: Any, y: Any) -> Section | None:
    """Return the section on the importance of columns, None without rows that tell it."""
    if X is None and model._held_out is None:
        return None
    n_repeats = _repeats_in_time(model, model._held_out.frame if X is None else X)
    if not n_repeats:
        unsaid = (
            f"Not computed: {model.n_features_in_:,} columns would take more than {_MOST_S:g} s. "
            "model.feature_importances() computes them, and autometa.plots.plot_importances draws them."
        )
        return Section("importances", "Which columns matter", paragraph(unsaid))
    importances = model.feature_importances(X, y, n_repeats=n_repeats)
    top = importances.iloc[0]
    unit = model.history_.metric
    drawn = inline_svg(
        lambda ax: draw_importances(importances, ax),
        "importances",
        f"Importance of columns; the most important one is {top['column']}.",
        (5.4, 1.2 + 0.22 * min(len(importances), 20)),
    )
    caption = f"By how much {unit} gets worse when a column is shuffled; lines are intervals of 90%."
    body = ""
    total = importances["importance"].clip(lower=0).sum()
    if len(importances) > 1 and total > 0 and top["importance"] > _LEAK_SHARE * total:
        share = f"{top['importance'] / total:.0%}"
        body = paragraph(
            f"Possible leak: {share} of all importance is that of one column, {listing([top['column']])}. Is it known "
            "when predictions are made?",
            "warning",
        )
    rows = [tuple(row) for row in importances.head(_MOST_IMPORTANCES).itertuples(index=False)]
    title = (
        f"The {len(rows)} most important of {len(importances):,} columns"
        if len(importances) > len(rows)
        else "All columns"
    )
    body += figures([figure(drawn, caption)])
    body += details(
        f"{title}: importances as a table", table(f"{title}, in units of {unit}", list(importances.columns), rows)
    )
    return Section("importances", "Which columns matter", body)


def _repeats_in_time(model: Any, X: Any) -> int:
    """Return how often each column can be permuted in the seconds that a page may take, 0 if not once."""
    start_s = time.perf_counter()
    model._predict(X[:_ROWS_PER_COLUMN])
    needed_s = (time.perf_counter() - start_s) * len(model._schema.kinds)
    return int(min(_N_REPEATS, _MOST_S / needed_s)) if needed_s else _N_REPEATS


def search_section(model: Any) -> Section:
    """Return the section on the search: its curve, the ensemble's members, and the best trials."""
    history, metric = model.history_, model._metric
    if not history.trials:
        return Section("search", "Search", paragraph(f"There was no search: {history.stop_reason}."))
    parts = []
    if any(trial["status"] in COMPLETE and math.isfinite(trial["loss"]) for trial in history.trials):
        best = metric.score(min(t["loss"] for t in history.trials if t["status"] in COMPLETE))
        curve = inline_svg(
            lambda ax: draw_search(history, metric, ax),
            "search",
            f"Score of each trial over the seconds of the search; the best trial reaches {best:.5g}.",
            (5.4, 4.6),
        )
        ensemble = (
            " The thick line is the ensemble that could be made of the trials so far, by its out-of-fold predictions."
            if history.ensemble_curve
            else ""
        )
        parts.append(
            figure(
                curve,
                "Each point is a trial, at the end of it, coloured by its strategy; the dashed line is the best trial "
                f"so far (mean over the folds).{ensemble} The axis may leave out the worst tenth of the trials.",
            )
        )
    members = [trial for trial in history.trials if trial["weight"] > 0]
    if members:
        weights = inline_svg(
            lambda ax: draw_weights(history, ax),
            "weights",
            f"Weights of the {len(members)} members of the ensemble.",
            (5.4, 1.2 + 0.22 * min(len(members), 20)),
        )
        parts.append(figure(weights, "Weights of the ensemble's members: strategy and number of the trial."))
    return Section("search", "Search and ensemble", figures(parts) + _trial_tables(history, metric))


def _trial_tables(history: Any, metric: Any) -> str:
    trials = leaderboard(history, full=True)
    rows = [
        (
            f"#{row.trial} {row.strategy}",
            _score(metric, row.loss),
            row.weight or None,
            row.time_s,
            row.status,
            _settings(row.configuration),
        )
        for row in trials.head(_MOST_TRIALS).itertuples()
    ]
    few = f"The best {_MOST_TRIALS} of {len(trials):,} trials" if len(trials) > _MOST_TRIALS else "Trials, best first"
    head = ["trial", metric.name, "weight", "seconds", "status", "configuration"]
    body = details(few, table(few, head, rows))
    failed = trials[trials["error"].astype(str) != ""]
    if len(failed):
        shown = [(f"#{r.trial} {r.strategy}", r.status, r.error) for r in failed.head(_MOST_TRIALS).itertuples()]
        title = f"{len(failed):,} trials with errors"
        body += details(title, table(title, ["trial", "status", "error"], shown))
    return body


def recommended_section(model: Any) -> Section:
    """Return the section on what the policy recommended before the search, and what came of it."""
    history, metric = model.history_, model._metric
    report = strategy_report(history, full=True)
    report = report[~report["note"].str.startswith("left out: not for ")]
    rows = []
    for row in report.itertuples():
        measured = _loss_of(history, row.strategy, row.recommended)
        rows.append(
            (
                row.strategy,
                row.probability,
                _settings(row.recommended),
                _score(metric, row.predicted_loss),
                _score(metric, measured),
                _score(metric, row.best_loss),
                row.n_trials,
                row.weight or None,
                row.note or "–",
            )
        )
    head = ["strategy", "probability", "recommended first", "predicted", "measured", "best trial", "trials", "weight"]
    body = paragraph(
        f"Before the search, the policy recommends a configuration of each strategy, and may predict its "
        f"{metric.name}. Measured is what this configuration gave, best trial what the strategy reached."
    )
    return Section(
        "recommended", "What was recommended, and what came of it", body + table("Strategies", [*head, "note"], rows)
    )


def _loss_of(history: Any, strategy: str, parameters: Mapping[str, Any] | None) -> float:
    """Return the loss of a configuration, NaN if no trial measured it on every fold."""
    if parameters is None:
        return math.nan
    losses = (
        trial["loss"]
        for trial in history.trials
        if trial["strategy"] == strategy and trial["status"] in COMPLETE and trial["parameters"] == parameters
    )
    return next(losses, math.nan)


def budget_section(model: Any) -> Section:
    """Return the section on seconds and memory."""
    history = model.history_
    limits = {
        "time budget": None if model.time_budget is None else f"{model.time_budget:g} s",
        "limit of trials": model.n_trials,
        "limit of memory": None if model.memory_limit is None else f"{model.memory_limit:g} GiB",
    }
    asked = ", ".join(f"{name} {value}" for name, value in limits.items() if value is not None)
    used = sum(trial["time_s"] for trial in history.trials)
    sentences = [f"Asked for: {asked or 'the defaults'}. The search ended for this reason: {history.stop_reason}."]
    if math.isfinite(history.total_s):
        first = f"; the first model was there after {history.first_model_s:.1f} s" if history.trials else ""
        sentences.append(f"The fit took {history.total_s:,.1f} s{first}; all fits of trials together {used:,.1f} s.")
    rows = []
    for name in dict.fromkeys(trial["strategy"] for trial in history.trials):
        trials = [trial for trial in history.trials if trial["strategy"] == name]
        evaluations = [evaluation for trial in trials for evaluation in trial["evaluations"]]
        rows.append(
            (
                name,
                len(trials),
                sum(trial["status"] in COMPLETE for trial in trials),
                sum(trial["time_s"] for trial in trials),
                max((e["fit_s"] for e in evaluations), default=None),
                sum(trial["status"] == "memory" for trial in trials) or None,
            )
        )
    rows.sort(key=lambda row: -row[3])
    body = "".join(map(paragraph, sentences))
    if rows:
        head = ["strategy", "trials", "complete", "seconds", "longest fit (s)", "out of memory"]
        body += table("Seconds of each strategy, and trials that needed more memory than they may", head, rows)
    return Section("budget", "Time and memory", body)


def _score(metric: Any, loss: float | None) -> float | None:
    return None if loss is None or not math.isfinite(loss) else metric.score(loss)


def _settings(parameters: Mapping[str, Any] | None) -> str:
    if parameters is None:
        return "–"
    shown = (
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}" for name, value in parameters.items()
    )
    return ", ".join(shown) or "defaults"
