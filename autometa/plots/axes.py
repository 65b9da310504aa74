"""Makes axes, and gives them the look that all figures share."""

# Tests: tests/test_plots.py

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from autometa._support.imports import import_optional

if TYPE_CHECKING:  # an optional library
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which can be distinguished with any colour vision. Grey replaces their yellow, too pale for
# lines, and their black, which has no darker shade. Further strategies get darker shades with another marker.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#888888")
_SHADES = (1.0, 0.55)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
INK, GRID = "#333333", "#e5e5e5"
"""Colours of texts and of grid lines; the HTML page replaces them by those of its light or dark look."""


class Look(NamedTuple):
    """Colour and marker of a strategy."""

    color: str
    marker: str


def new_axes(width: float, height: float) -> Axes:
    """Return the axes of a new figure, of a size in inches, that pyplot does not manage."""
    import_optional("matplotlib", extra="plots")
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained").subplots()


def looks_of(names: Sequence[str]) -> dict[str, Look]:
    """Return a look for each name."""
    looks = {}
    for i, name in enumerate(names):
        turn, index = divmod(i, len(COLOURS))
        shade, colour = _SHADES[turn % len(_SHADES)], COLOURS[index]
        parts = (round(shade * int(colour[at : at + 2], 16)) for at in (1, 3, 5))
        looks[name] = Look("#" + "".join(f"{part:02x}" for part in parts), _MARKERS[turn % len(_MARKERS)])
    return looks


def tidy(ax: Axes) -> None:
    """Leave out the upper and right spines, and draw a pale grid behind everything."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(color=GRID, linewidth=0.6)
    ax.set_axisbelow(True)


def axis_name(name: object, longest: int = 24) -> str:
    """Return a name from the data as matplotlib can show it: short, on one line, and no formula."""
    text = "".join(letter if letter.isprintable() else " " for letter in str(name))
    if len(text) > longest:  # long names often begin the same
        n_last = longest // 3
        text = f"{text[: longest - n_last - 1]}…{text[-n_last:]}"
    # A label that begins with an underscore would be left out of legends.
    return text.replace("$", r"\$") if not text.startswith("_") else "\u200b" + text.replace("$", r"\$")
