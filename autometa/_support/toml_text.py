"""Write plain values as TOML, and name the value that cannot be written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, time
from typing import Any


def toml_text(values: Mapping[str, Any]) -> str:
    """Return texts, numbers, booleans, dates, lists and nested mappings as TOML.

    Raises
    ------
    TypeError
        If a value is of another type, e.g. None, which TOML does not have.

    Examples
    --------
    >>> print(toml_text({"seed": 7, "versions": {"numpy": "2.0"}}))
    seed = 7
    <BLANKLINE>
    [versions]
    numpy = "2.0"
    <BLANKLINE>
    """
    for name, value in _leaves(values, ""):
        if not isinstance(value, (str, int, float, date, time)):
            raise TypeError(
                f"{name} = {value!r} cannot be written as TOML; expected a text, number, boolean, list or mapping."
            )
    # Imported late: nothing in this folder needs another library when it is loaded.
    import tomli_w

    return tomli_w.dumps(values)


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{name}.{key}".lstrip("."))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(item, name)
    else:
        yield name, value
