"""Matches the choices of past studies with those of a new one: by value, by text, and as the user says."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution

from autometa._support.user_warnings import warn_user
from autometa.core.space import is_valid
from autometa.transfer.archive.sources import SourceStudy

Choices = Mapping[str, Mapping[Any, Any]]


def matched(distribution: CategoricalDistribution, value: Any) -> int | None:
    """Return the index of the choice that a value stands for, None if there is none.

    It is the equal choice, else the one with the same text, else the only one with the same folded text: without case,
    spaces, "-" and "_", and with 1 and 0 for True and False.
    """
    if is_valid(distribution, value):
        return int(distribution.to_internal_repr(value))
    for text in (_text, _folded):
        texts = [text(choice) for choice in distribution.choices]
        if texts.count(text(value)) == 1:
            return texts.index(text(value))
    return None


def _text(value: Any) -> str:
    """Return the text by which choices of different types are compared; databases turn tuples into lists."""
    return str([_text(item) for item in value]) if isinstance(value, (list, tuple)) else str(value)


def _folded(value: Any) -> str:
    text = _text(value).strip().casefold()
    if text in ("true", "false"):
        return str(int(text == "true"))
    # The sign of a number is no separator.
    return re.sub(r"[\s_-]+", "", text) if isinstance(value, str) and not _is_number_text(text) else text


def _is_number_text(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def checked_choices(
    choices: Choices | None, sources: Sequence[SourceStudy], names: Mapping[str, str]
) -> dict[str, dict[Any, Any]]:
    """Return a copy of the renamed choices, parameter → past choice → new choice; warn of those that match nothing."""
    if choices is None:
        return {}
    if not isinstance(choices, Mapping) or not all(isinstance(renamed, Mapping) for renamed in choices.values()):
        raise TypeError(
            "choices must map a parameter to its renamed choices, past → new, such as {'opt': {'adam': 'ADAM'}}, got "
            f"{choices!r}."
        )
    found: dict[str, list[Any]] = {}
    for source in sources:
        for past, distribution in source.distributions.items():
            found.setdefault(names.get(past, past), []).extend(getattr(distribution, "choices", ()))
    unknown = {
        name: [old for old in renamed if _find(found.get(name, ()), old) is None] for name, renamed in choices.items()
    }
    if sources and any(unknown.values()):
        name, missing = next((name, missing) for name, missing in unknown.items() if missing)
        warn_user(
            f"choices renames {missing} of {name!r}, which no study of the archive has"
            + (f"; its choices there are {_distinct(found[name])[:20]}" if found.get(name) else "")
            + ". choices maps parameter → past choice → new choice. Leave out what no past study has to silence this."
        )
    return {name: dict(renamed) for name, renamed in choices.items()}


def translated(sources: tuple[SourceStudy, ...], choices: Choices, names: Mapping[str, str]) -> tuple[SourceStudy, ...]:
    """Return past studies with renamed choices; the very same tuple if there are none."""
    return tuple(_translated(source, choices, names) for source in sources) if choices else sources


def _translated(source: SourceStudy, choices: Choices, names: Mapping[str, str]) -> SourceStudy:
    changed: dict[str, BaseDistribution] = {}
    maps: dict[str, Mapping[Any, Any]] = {}
    for past, distribution in source.distributions.items():
        renamed = choices.get(names.get(past, past))
        if renamed and isinstance(distribution, CategoricalDistribution):
            maps[past] = renamed
            changed[past] = CategoricalDistribution(_distinct([_renamed(renamed, c) for c in distribution.choices]))
    if not changed:
        return source
    trials = tuple(
        replace(t, params={n: _renamed(maps[n], v) if n in maps else v for n, v in t.params.items()})
        for t in source.trials
    )
    return replace(source, distributions={**source.distributions, **changed}, trials=trials)


def _renamed(renamed: Mapping[Any, Any], value: Any) -> Any:
    old = _find(list(renamed), value)
    return value if old is None else renamed[old[0]]


def _find(values: Sequence[Any], value: Any) -> tuple[Any] | None:
    """Return the equal value of the same type, in a tuple because it may be None."""
    return next(((v,) for v in values if type(v) is type(value) and v == value), None)


def _distinct(values: Sequence[Any]) -> list[Any]:
    counts: Counter[str] = Counter()
    kept = []
    for value in values:
        key = f"{type(value).__name__} {value!r}"
        if not counts[key]:
            kept.append(value)
        counts[key] += 1
    return kept
