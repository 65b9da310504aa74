"""Plain values as TOML text, which the standard library can only read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(values: Mapping[str, Any]) -> str:
    """Return texts, numbers, booleans, lists and nested mappings as TOML.

    Raises
    ------
    TypeError
        If a value is of another type, e.g. None, for which TOML has no word.

    Examples
    --------
    >>> print(toml_text({"seed": 7, "versions": {"numpy": "2.0"}}))
    seed = 7
    <BLANKLINE>
    [versions]
    numpy = "2.0"
    <BLANKLINE>
    """
    return "\n".join(_lines(values, ())).lstrip("\n") + "\n"


def _lines(values: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    # What belongs to a table comes before the tables in it: a header ends what was open.
    for key, value in values.items():
        if not isinstance(value, Mapping):
            yield f"{_key(key)} = {_value(value, '.'.join((*path, key)))}"
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield f"\n[{'.'.join(map(_key, (*path, key)))}]"
            yield from _lines(value, (*path, key))


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _string(key)


def _value(value: Any, name: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_key(key)} = {_value(item, name)}' for key, item in value.items())}}}"
    if isinstance(value, Sequence):
        return f"[{', '.join(_value(item, name) for item in value)}]"
    raise TypeError(f"{name} = {value!r} cannot be written as TOML; expected a text, number, boolean, list or mapping.")


def _string(text: str) -> str:
    # The escapes of JSON are among those of TOML, which wants one more character escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
