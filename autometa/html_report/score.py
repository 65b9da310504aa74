"""The first section of the page: the score, the problem and the seconds."""

# Tests: tests/html_report/test_page.py

from __future__ import annotations

import math
from typing import Any

from autometa.html_report.document import Section, paragraph, table, tiles
from autometa.plots.judged_rows import JudgedRows
from autometa.search.trial_records import COMPLETE

_CONFIDENCE = 0.9


def score_section(model: Any, rows: JudgedRows | None, X: Any, y: Any) -> Section:
    """Return the section with the score and its interval, or with what there is in their place."""
    history, metric = model.history_, model._metric
    entries, explanation = _of_given_rows(model, rows, X, y) if X is not None else _of_fit(model)
    if not entries and history.trials:
        score = metric.score(history.ensemble_loss)
        entries = [(history.metric, score, "out of fold, on the rows that chose the ensemble")]
    losses = [trial["loss"] for trial in history.trials if trial["status"] in COMPLETE]
    if losses:
        entries.append(("best single trial", metric.score(min(losses)), "mean over the folds"))
    n_members = sum(trial["weight"] > 0 for trial in history.trials)
    if history.trials:
        entries.append(("ensemble", _counted(n_members, "member"), f"of {_counted(len(history.trials), 'trial')}"))
    if math.isfinite(history.total_s):
        entries.append(("fit", f"{history.total_s:,.1f} s", history.stop_reason))
    body = tiles(entries) + explanation
    if rows is None:
        body += paragraph(
            "This page has no figures on the quality of the predictions: a model from a file does not keep its "
            "out-of-fold predictions, and a constant target has none. model.report_html(path, X, y) judges it by "
            "rows with a known target.",
            "warning",
        )
    return Section("score", "Score", body)


def _of_given_rows(model: Any, rows: JudgedRows | None, X: Any, y: Any) -> tuple[list[tuple[str, Any, str]], str]:
    """Return the score on given rows, and a table with further metrics."""
    assert rows is not None
    metrics = model.evaluate(X, y, confidence=_CONFIDENCE)
    own = metrics.iloc[0]
    head = ["metric", "score", "low", "high"]
    further = table(
        f"Scores on {rows.origin}, with bootstrap intervals of 90%", head, metrics[head].itertuples(index=False)
    )
    return [(own["metric"], float(own["score"]), f"{_interval(own)} on {rows.origin}")], further


def _of_fit(model: Any) -> tuple[list[tuple[str, Any, str]], str]:
    """Return the score to expect on new rows, and how it was estimated; nothing without an estimate."""
    if model._score_estimate is None:
        return [], ""
    expected = model.expected_score(_CONFIDENCE)
    entry = (str(expected.name), float(expected["score"]), f"{_interval(expected)} expected on new rows")
    explanation = (
        f"The ensemble scores {expected['validation_score']:.5g} on its out-of-fold rows. It was chosen on these rows, "
        f"so {expected['optimism']:.2g} of that is optimism, measured by choosing ensembles on four fifths of the rows "
        "and judging them on the others. The interval is a bootstrap over rows, for new rows like those of fit."
    )
    return [entry], paragraph(explanation, "note")


def _interval(scores: Any) -> str:
    return f"{scores['low']:.5g} to {scores['high']:.5g} (90%)"


def _counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
