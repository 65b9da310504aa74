"""Parts of an HTML page: sections, tables, tiles and figures; everything that comes from the data is escaped."""

# Tests: tests/html_report/test_page.py

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from autometa.html_report.style import STYLE

_LONGEST = 300
"""Letters of a cell at most: a name or an error may be as long as a page."""


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Parameters
    ----------
    id, title : str
        Its anchor and its heading.
    body : str
        HTML.
    """

    id: str
    title: str
    body: str


def text(value: Any) -> str:
    """Return a value as HTML: short, escaped, without letters that no browser shows; numbers have five digits."""
    if value is None or (isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isnan(value)):
        return "–"
    if isinstance(value, numbers.Real) and not isinstance(value, (bool, numbers.Integral)):
        value = f"{value:.5g}"
    shown = "".join(letter if letter.isprintable() else " " for letter in str(value))
    return escape(shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…")


def paragraph(sentence: str, kind: str = "") -> str:
    """Return a paragraph; `sentence` is plain text, `kind` a class of the style sheet."""
    return f'<p class="{kind}">{escape(sentence)}</p>' if kind else f"<p>{escape(sentence)}</p>"


def tiles(entries: Iterable[tuple[str, Any, str]]) -> str:
    """Return names with values in large letters, and a remark below each."""
    return f'<dl class="tiles">{"".join(_tile(*entry) for entry in entries)}</dl>'


def _tile(name: str, value: Any, remark: str) -> str:
    small = f"<small>{escape(remark)}</small>" if remark else ""
    return f"<div><dt>{escape(name)}</dt><dd>{text(value)}{small}</dd></div>"


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table with a caption; the first cell of a row is its header, and numbers are on the right."""
    body = [list(row) for row in rows]
    numeric = [
        j > 0 and any(_is_number(row[j]) for row in body) and all(row[j] is None or _is_number(row[j]) for row in body)
        for j in range(len(head))
    ]
    kinds = [' class="number"' if is_number else "" for is_number in numeric]
    heads = "".join(f'<th scope="col"{kind}>{text(name)}</th>' for name, kind in zip(head, kinds, strict=True))
    lines = []
    for row in body:
        cells = "".join(f"<td{kind}>{text(cell)}</td>" for cell, kind in zip(row[1:], kinds[1:], strict=True))
        lines.append(f'<tr><th scope="row">{text(row[0])}</th>{cells}</tr>')
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def figure(svg: str, caption: str) -> str:
    """Return a figure with its caption; `svg` says itself what it shows."""
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def figures(parts: Iterable[str]) -> str:
    """Return figures side by side where there is room."""
    return f'<div class="figures">{"".join(parts)}</div>'


def details(summary: str, body: str) -> str:
    """Return a part that opens on a click."""
    return f"<details><summary>{escape(summary)}</summary>{body}</details>"


def page(title: str, lead: str, sections: Sequence[Section], footer: str) -> str:
    """Return the whole page."""
    links = "".join(f'<li><a href="#{section.id}">{escape(section.title)}</a></li>' for section in sections)
    body = "".join(
        f'<section aria-labelledby="{s.id}"><h2 id="{s.id}">{escape(s.title)}</h2>{s.body}</section>' for s in sections
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        # Whatever the data hold, a browser neither runs nor fetches anything.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        'img-src data:">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f'<header><h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p></header>'
        f'<nav aria-label="Sections"><ul>{links}</ul></nav><main>{body}</main>'
        f'<footer><p class="note">{escape(footer)}</p></footer></body></html>\n'
    )
