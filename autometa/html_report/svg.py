"""Draws figures as SVG that can stand inside of a page."""

# Tests: tests/html_report/test_page.py

from __future__ import annotations

import io
import re
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

from autometa._support.imports import import_optional
from autometa.plots.axes import GRID, INK, new_axes

if TYPE_CHECKING:  # an optional library
    from matplotlib.axes import Axes

_SETTINGS = {
    "svg.fonttype": "none",  # letters stay letters: small, searchable, and in the colour of the page
    "svg.hashsalt": "autometa",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "font.size": 9,
    "axes.titlesize": 10,
    "font.family": "sans-serif",
}


def inline_svg(draw: Callable[[Axes], Axes], name: str, description: str, size: tuple[float, float]) -> str:
    """Return a figure as an ``<svg>`` element whose text and grid take the colours of the page.

    Parameters
    ----------
    draw : callable
        Draws into axes.
    name : str
        Prefix of the ids in the figure, which must differ between the figures of a page.
    description : str
        Text for those who do not see the figure.
    size : (float, float)
        Width and height in inches.
    """
    matplotlib = import_optional("matplotlib", extra="plots")
    with matplotlib.rc_context(_SETTINGS):
        ax = new_axes(*size)
        figure: Any = ax.figure
        draw(ax)
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, dpi=110, metadata=nothing)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    svg = svg.replace(INK, "currentColor").replace(GRID, "var(--grid)")
    svg = re.sub(r"\s*\n\s*", "\n", svg)
    head, rest = svg.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', head)
    assert box is not None
    return (
        f'<svg {box[0]} role="img" aria-label="{escape(description)}" xmlns="http://www.w3.org/2000/svg" '
        f'xmlns:xlink="http://www.w3.org/1999/xlink">{rest}'
    )
