"""Composes the page on a fitted model, and writes it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import autometa
from autometa._support.files import replaced
from autometa._support.imports import import_optional
from autometa.html_report import sections
from autometa.html_report.document import Section, page
from autometa.html_report.quality import quality_section
from autometa.html_report.score import score_section
from autometa.html_report.warnings_shown import recorded_warnings
from autometa.plots.judged_rows import JudgedRows, has_judged_rows, judged_rows


def write_page(model: Any, path: Path, X: Any = None, y: Any = None) -> Path:
    """Write the page on a fitted model; see ``AutoMeta.report_html``."""
    import_optional("matplotlib", extra="plots")
    _check_path(path)
    incoming: list[str] = []
    rows: JudgedRows | None = None
    if X is not None or y is not None or has_judged_rows(model):
        with recorded_warnings(incoming):
            rows = judged_rows(model, X, y)
    content = _page(model, rows, X, y, incoming)
    try:
        with replaced(path) as stream:
            stream.write(content.encode())
    except OSError as error:
        raise OSError(
            error.errno,
            f"The report could not be written ({error.strerror or error}); what was there before is untouched. Check "
            "the folder, its permissions and the space left, or choose another path",
            str(path),
        ) from error
    return path


def _check_path(path: Path) -> None:
    """Raise if the file cannot be written, before figures are drawn."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "The path of a report must name a file, and this is a folder", str(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(
            errno.ENOENT, "There is no such folder to write the report to; create it first", str(path.parent)
        )
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(
            errno.EACCES, "The folder of the report cannot be written to; choose another path", str(path.parent)
        )


def _page(model: Any, rows: JudgedRows | None, X: Any, y: Any, incoming: list[str]) -> str:
    history = model.history_
    n_columns = len(model._schema.columns)
    problem = {"binary": "two classes", "multiclass": f"{len(getattr(model, 'classes_', ()))} classes"}
    lead = (
        f"{problem.get(model.problem_, 'regression')}, {n_columns:,} {'column' if n_columns == 1 else 'columns'}, "
        f"optimised for {history.metric}"
    )
    footer = (
        f"Written by autometa {autometa.__version__}. This page is one file: it loads nothing, sends nothing and runs "
        "no scripts. It names columns and classes of the data."
    )
    return page("Report on a fitted model", lead, list(_sections(model, rows, X, y, incoming)), footer)


def _sections(model: Any, rows: JudgedRows | None, X: Any, y: Any, incoming: list[str]) -> Iterator[Section]:
    yield score_section(model, rows, X, y)
    yield sections.data_section(model, X, y, incoming)
    if rows is not None:
        yield quality_section(rows)
    if importances := sections.importances_section(model, X, y):
        yield importances
    yield sections.search_section(model)
    yield sections.recommended_section(model)
    yield sections.budget_section(model)
