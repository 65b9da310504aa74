"""Lines of keys, against what the standard library reads from the same text."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autometa._support.toml_lines import line_of

KeyPath = tuple[str | int, ...]

EVERY_SYNTAX = '''\
# a comment with [brackets] and key = "value"
title = "plain"
"quoted key" = 'literal # not a comment'
'a.b' = 1
site."google.com".on = true   # dotted, partly quoted
escaped = "a \\" quote ] and \\\\"
text = """
[not.a.table]
not_a_key = 1 ""
"""
raw = \'\'\'
it's raw \\ here\'\'\'
ends_with_quotes = """"two""""
when = 1979-05-27 07:32:00
numbers = [ 1, 2,   # one and two
  3,
  [4, 5],
]
inline = { x = 1, "y z" = [ { deep = 1 },
   2 ], e = {} }
empty = []

[ table . sub ]
key = """one line"""

[[fruits]]
name = "apple"
[fruits.physical]
color = "red"
[[fruits.varieties]]
name = "red delicious"
[[fruits.varieties]]
name = "granny smith"
[[fruits]]
name = "banana"
[[fruits.varieties]]
name = "plantain"
'''


def paths(value: Any, path: KeyPath = ()) -> set[KeyPath]:
    """Return every key path of a parsed document."""
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {path}.union(*(paths(item, (*path, step)) for step, item in steps))


def test_windows_line_ends_and_a_missing_last_one_change_nothing():
    for path in paths(tomllib.loads(EVERY_SYNTAX)):
        expected = line_of(EVERY_SYNTAX, path)
        assert line_of(EVERY_SYNTAX.replace("\n", "\r\n"), path) == expected
        assert line_of(EVERY_SYNTAX.rstrip("\n"), path) == expected


@pytest.mark.parametrize(
    ("path", "start"),
    [
        (("title",), "title"),
        (("quoted key",), '"quoted key"'),
        (("site", "google.com", "on"), "site."),
        (("ends_with_quotes",), "ends_with"),
        (("when",), "when"),
        (("numbers", 1), "numbers"),
        (("numbers", 2), "  3"),
        (("numbers", 3, 1), "  [4, 5]"),
        (("inline", "y z", 0, "deep"), "inline"),
        (("inline", "y z", 1), "   2 ]"),
        (("table", "sub"), "[ table . sub ]"),
        (("table", "sub", "key"), 'key = """one'),
        (("fruits", 0, "physical", "color"), 'color = "red"'),
        (("fruits", 0, "varieties", 1, "name"), 'name = "granny'),
        (("fruits", 1, "varieties", 0, "name"), 'name = "plantain'),
    ],
    ids=str,
)
def test_line_is_the_one_on_which_the_key_stands(path: KeyPath, start: str):
    line = line_of(EVERY_SYNTAX, path)
    assert EVERY_SYNTAX.splitlines()[line - 1].startswith(start)


KEYS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=6)
LEAVES = st.one_of(st.integers(-(2**40), 2**40), st.booleans(), KEYS)
FLAT = st.lists(LEAVES, max_size=3) | st.dictionaries(KEYS, LEAVES, max_size=3)
# Values nest three deep; no strategy file does more.
NESTED = st.lists(LEAVES | FLAT, max_size=3) | st.dictionaries(KEYS, LEAVES | FLAT, max_size=3)
VALUES = LEAVES | NESTED | st.lists(NESTED, max_size=2)


def quoted(value: Any) -> str:
    # JSON's escapes beyond the basic plane are pairs, which TOML refuses.
    return json.dumps(value, ensure_ascii=False)


def written(value: Any) -> str:
    """Return a value in TOML, arrays over several lines."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)} = {written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + "".join(f"\n  {written(item)}, # ]" for item in value) + "\n]"
    return quoted(value)


@settings(max_examples=30)
@given(
    st.dictionaries(KEYS, VALUES, max_size=4),
    st.lists(st.dictionaries(KEYS, VALUES, max_size=3), max_size=3),
)
def test_every_key_of_a_random_document_has_a_line(table: dict[str, Any], array: list[dict[str, Any]]):
    rows = ["# head", "[table]", *(f"{quoted(key)} = {written(value)}" for key, value in table.items())]
    for entry in array:
        rows += ["", "[[array]]", *(f"{quoted(key)} = {written(value)}" for key, value in entry.items())]
    text = "\n".join(rows)
    shown = text.split("\n")
    for path in paths(tomllib.loads(text)):
        if len(path) > 1 and isinstance(path[-1], str):
            assert quoted(path[-1]) in shown[line_of(text, path) - 1]


def test_missing_key_is_at_its_table():
    text = "a = 1\n[b]\nc = 2\n"
    assert line_of(text, ("b", "missing")) == 2
    assert line_of(text, ("b", "a step of nobody", "c")) == 3
    assert line_of(text, ("missing",)) == 1
    assert line_of(text, ()) == 1
