"""The section on how good the predictions are, by figures."""

# Tests: tests/html_report/test_page.py

from __future__ import annotations

import numpy as np

from autometa.html_report.document import Section, details, figure, figures, paragraph, table
from autometa.html_report.svg import inline_svg
from autometa.plots import classes, numbers
from autometa.plots.judged_rows import JudgedRows

_LEAST_ROWS = 2


def quality_section(rows: JudgedRows) -> Section:
    """Return the section on the predictions of the judged rows."""
    body = _of_numbers(rows) if rows.labels is None else _of_classes(rows)
    where = (
        f"On {rows.origin}: each is predicted by models that were not fitted on it."
        if rows.out_of_fold
        else f"On {rows.origin}."
    )
    return Section("quality", "How good the predictions are", paragraph(where, "note") + body)


def _of_classes(rows: JudgedRows) -> str:
    assert rows.labels is not None
    two = len(rows.classes) == 2
    curves = f"the class {rows.classes[1]}" if two else "each class against the others"
    accuracy = float(np.mean(rows.labels == rows.truth))
    parts = []
    if len(np.unique(rows.truth)) > 1:
        roc = inline_svg(lambda ax: classes.draw_roc(rows, ax), "roc", f"ROC curve of {curves}.", (5.0, 4.0))
        parts.append(figure(roc, f"ROC curve of {curves}, with the area below it. The dotted line is guessing."))
        pr = inline_svg(
            lambda ax: classes.draw_precision_recall(rows, ax), "pr", f"Precision over recall of {curves}.", (5.0, 4.0)
        )
        parts.append(figure(pr, f"Precision over recall of {curves}, with the average precision."))
    confusion = inline_svg(
        lambda ax: classes.draw_confusion(rows, ax),
        "confusion",
        f"Confusion matrix; {accuracy:.1%} of the rows get their true class. The table below has the numbers.",
        (5.4, 5.0) if len(rows.classes) > 3 else (5.0, 4.0),
    )
    parts.append(
        figure(confusion, f"Confusion matrix. The colour is the share of a row; {accuracy:.1%} of all rows are right.")
    )
    reliability = inline_svg(
        lambda ax: classes.draw_reliability(rows, ax),
        "reliability",
        "Observed frequencies over predicted probabilities, in ten groups of equal size.",
        (5.0, 4.0),
    )
    parts.append(
        figure(
            reliability,
            "Reliability. On the dotted line, what is predicted with a probability of 70% is true in 70% of the rows.",
        )
    )
    return figures(parts) + details("Classes as a table", _class_table(rows))


def _class_table(rows: JudgedRows) -> str:
    assert rows.labels is not None
    lines = []
    for code, name in enumerate(rows.classes):
        is_class, is_labelled = rows.truth == code, rows.labels == code
        hits = int(np.sum(is_class & is_labelled))
        others = np.bincount(rows.labels[is_class & ~is_labelled], minlength=len(rows.classes))
        mistaken = rows.classes[int(others.argmax())] if others.any() else "–"
        lines.append(
            (
                name,
                int(is_class.sum()),
                hits / is_class.sum() if is_class.any() else None,
                hits / is_labelled.sum() if is_labelled.any() else None,
                mistaken,
            )
        )
    return table(
        "Classes, with the class that each is most often mistaken for",
        ["class", "rows", "recall", "precision", "mistaken for"],
        lines,
    )


def _of_numbers(rows: JudgedRows) -> str:
    residuals = rows.truth - rows.predictions
    spread = f"Half of the absolute errors are at most {np.median(np.abs(residuals)):.4g}."
    scatter = inline_svg(
        lambda ax: numbers.draw_predictions(rows, ax), "predicted", f"True over predicted values. {spread}", (5.0, 4.0)
    )
    errors = inline_svg(
        lambda ax: numbers.draw_residuals(rows, ax),
        "residuals",
        f"Residuals over predicted values. {spread}",
        (5.0, 4.0),
    )
    parts = [
        figure(scatter, f"True over predicted values; on the dotted line they are equal. {spread}"),
        figure(errors, "True minus predicted values. A pattern here is something that the model has not learnt."),
    ]
    if rows.coverage:
        shares = ", ".join(f"{share:.0%} → {inside:.1%}" for share, inside in rows.coverage.items())
        coverage = inline_svg(
            lambda ax: numbers.draw_coverage(rows, ax),
            "coverage",
            f"Share of values inside of prediction intervals over their stated coverage: {shares}.",
            (5.0, 4.0),
        )
        how = " Each half of the rows gets its intervals from the errors of the other." if rows.out_of_fold else ""
        parts.append(figure(coverage, f"Coverage of predict_interval, stated → measured: {shares}.{how}"))
    return figures(parts)
