"""Find the line of a key in a TOML text, which the standard library's parser does not tell."""

from __future__ import annotations

import tomllib
from bisect import bisect_left
from collections.abc import Sequence
from itertools import product
from typing import Any

# A text that is cut off within arrays, inline tables and strings of several lines can be read with one of these behind.
_ENDINGS = [
    quotes + "".join(brackets)
    for depth in range(5)
    for brackets in product("]}", repeat=depth)
    for quotes in ("", '"""', "'''")
]


def line_of(text: str, path: Sequence[str | int]) -> int:
    """Return the line, from 1, on which a key, table or array element begins.

    Parameters
    ----------
    text : str
        Valid TOML.
    path : sequence of str or int
        Keys and positions in arrays from the root, e.g. ``("portfolio", 1, "alpha")``. Steps that
        the text does not have are skipped, so a missing key is at its table.
    """
    known = _part_of(tomllib.loads(text), path)
    if not known:
        return 1
    rows = text.split("\n")
    return 1 + bisect_left(range(len(rows)), True, key=lambda n: _part_of(_first_rows(rows[: n + 1]), known) == known)


def _part_of(document: Any, path: Sequence[str | int]) -> list[str | int]:
    """Return the steps of `path` that the document has."""
    found = []
    for step in path:
        try:
            document = document[step]
        except (KeyError, IndexError, TypeError):
            continue
        found.append(step)
    return found


def _first_rows(rows: Sequence[str]) -> dict[str, Any]:
    """Return what some rows say, without the last ones where these make no sense alone."""
    for n in range(len(rows), 0, -1):
        for ending in _ENDINGS:
            try:
                return tomllib.loads("\n".join([*rows[:n], ending]))
            except tomllib.TOMLDecodeError:
                continue
    return {}
