"""Where each key of a TOML text stands, which the standard library's parser does not tell."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Sequence

KeyPath = tuple[str | int, ...]
"""Keys and positions in arrays from the root, e.g. ``("portfolio", 1, "alpha")``."""

_SPACE = re.compile(r"[ \t]*")
_FILLER = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BARE_VALUE = re.compile(r"[^,\]}#\n]*")
# The quotes that end a multi-line string may follow up to two that belong to it.
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)


def line_numbers(text: str) -> dict[KeyPath, int]:
    """Return the line, from 1, on which each key, table and array element begins.

    Parameters
    ----------
    text : str
        TOML that ``tomllib.loads`` accepts; anything else gives lines that mean nothing.

    Returns
    -------
    dict of tuple to int
        Every key path of the document. Tables that several headers imply are at the
        first; the root, ``()``, is at line 1.
    """
    return _Scanner(text).scan()


def nearest_line(lines: dict[KeyPath, int], path: Sequence[str | int]) -> int:
    """Return the line of `path`, or of the deepest part of it that is in `lines`.

    Steps of `path` that the document does not have are passed over, so a missing key
    is at its table.
    """
    found: KeyPath = ()
    for step in path:
        if (*found, step) in lines:
            found = (*found, step)
    return lines.get(found, 1)


class _Scanner:
    """Reads a text from left to right, noting the lines of keys and stepping over values."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self.lines: dict[KeyPath, int] = {(): 1}
        self.n_tables: dict[KeyPath, int] = {}  # how many elements each array of tables has so far

    def scan(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        self.skip(_FILLER)
        while self.position < len(self.text):
            if self.text[self.position] == "[":
                table = self.header()
            else:
                self.key_and_value(table)
            self.skip(_FILLER)
        return self.lines

    def header(self) -> KeyPath:
        """Step over ``[a.b]`` or ``[[a.b]]`` and return the path of its table."""
        is_array = self.text.startswith("[[", self.position)
        line = self.line()
        self.position += 2 if is_array else 1
        keys = self.keys()
        self.position += 2 if is_array else 1
        path: KeyPath = ()
        for key in keys[:-1]:
            path = self.latest((*path, key))
            self.note(path, line)
        path = (*path, keys[-1])
        self.note(path, line)
        if is_array:
            self.n_tables[path] = self.n_tables.get(path, 0) + 1
        path = self.latest(path)
        self.note(path, line)
        return path

    def latest(self, path: KeyPath) -> KeyPath:
        """Return `path`, or its last element so far if it is an array of tables."""
        return (*path, self.n_tables[path] - 1) if path in self.n_tables else path

    def key_and_value(self, table: KeyPath) -> None:
        line = self.line()
        path = table
        for key in self.keys():
            path = (*path, key)
            self.note(path, line)
        self.position += 1  # the equals sign
        self.skip(_SPACE)
        self.value(path)

    def keys(self) -> list[str]:
        """Step over a dotted key and the spaces around it."""
        keys = []
        while True:
            self.skip(_SPACE)
            if (quoted := _STRING.match(self.text, self.position)) is not None:
                keys.append(tomllib.loads(f"key = {quoted.group()}")["key"])
                self.position = quoted.end()
            else:
                keys.append(self.skip(_BARE_KEY))
            self.skip(_SPACE)
            if not self.text.startswith(".", self.position):
                return keys
            self.position += 1

    def value(self, path: KeyPath) -> None:
        if self.text.startswith("[", self.position):
            self.elements(path, "]")
        elif self.text.startswith("{", self.position):
            self.elements(path, "}")
        elif (string := _STRING.match(self.text, self.position)) is not None:
            self.position = string.end()
        else:
            self.skip(_BARE_VALUE)

    def elements(self, path: KeyPath, end: str) -> None:
        """Step over an array or an inline table."""
        self.position += 1
        self.skip(_FILLER)
        n_elements = 0
        while self.position < len(self.text) and not self.text.startswith(end, self.position):
            if end == "]":
                self.note((*path, n_elements), self.line())
                self.value((*path, n_elements))
            else:
                self.key_and_value(path)
            n_elements += 1
            self.skip(_FILLER)
            if self.text.startswith(",", self.position):
                self.position += 1
                self.skip(_FILLER)
        self.position += 1

    def skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.position)
        if match is None:
            raise ValueError(f"Not TOML at line {self.line()}: {self.text[self.position : self.position + 20]!r}.")
        self.position = match.end()
        return match.group()

    def note(self, path: KeyPath, line: int) -> None:
        self.lines.setdefault(path, line)

    def line(self) -> int:
        return bisect_right(self.line_starts, self.position)
