"""Find the level of each value of a category: the level with its label, else the only level that is the same number."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autometa.tables.reading import Labels
from autometa.tables.values import GAP_WORDS, LARGEST_EXACT, meaning, read_spans

_MIN_ROWS = 20
"""In fewer rows, new levels of a known kind are not worth a warning."""
_KNOWN = 0.5
_SEVERAL = -2

_NUMBER_STARTS = frozenset("0123456789+-.TFPi")
_WHOLE = re.compile(r"-?\d+", re.ASCII)


@dataclass(frozen=True)
class Match:
    """Levels of the rows of a category."""

    codes: np.ndarray
    """Indices of the levels, (n_rows,) int64: −1 where missing, ``len(levels)`` for an unseen level."""
    is_lost: bool
    """Whether most values are unseen levels, and probably not just new ones."""
    is_unclear: bool
    """Whether a number stands for several levels, which differ in leading zeros or beyond float64."""


def fit_levels(labels: Labels) -> Labels:
    """Return the labels of a training column; if one is a word for missing values, it is the level of all gaps.

    A column may have a level ``"None"``, which a CSV file or a conversion turns into a missing value.
    """
    words = sorted(GAP_WORDS.intersection(labels.levels))
    if not words:
        return labels
    kept = [text for text in labels.levels if text not in words[1:]]
    index = {text: i for i, text in enumerate(kept)}
    new_codes = np.array([*(index.get(text, index[words[0]]) for text in labels.levels), index[words[0]]])
    return Labels(new_codes[labels.codes], kept, labels.is_nominal, labels.are_numbers)


def match_levels(labels: Labels, levels: Sequence[str]) -> Match:
    """Return the level of each row.

    A value whose label is not a level belongs to the only level that is the same number (True and 1, 0.1 as float32
    and as float64, 7 and the code 007) or the same span of time.
    """
    n_levels = len(levels)
    index = {level: i for i, level in enumerate(levels)}
    gap = next((index[word] for word in GAP_WORDS & index.keys()), -1)
    found = [gap if text in GAP_WORDS else index.get(text, n_levels) for text in labels.levels]
    # Columns of a number type have no leading zeros, by which levels may differ.
    is_bare = labels.are_numbers and any(level[0] == "0" and level != "0" for level in levels)
    keys = {i: _number_keys(labels.levels[i]) for i in range(len(found)) if is_bare or found[i] == n_levels}
    is_unclear = False
    if any(keys.values()):
        same_number = _levels_by_number(tuple(levels))
        is_unclear = any(same_number.get(key) == _SEVERAL for i in keys for key in keys[i][:1])
        for i in keys:
            if found[i] == n_levels:
                found[i] = _level_of_number(labels.levels[i], keys[i], levels, same_number)
    codes = np.array([*found, gap], dtype=np.int64)
    is_lost = n_levels in found and _is_lost(labels, codes[:-1], levels)
    return Match(codes[labels.codes], is_lost, is_unclear)


# Cached, because it takes tens of milliseconds for thousands of levels.
@functools.lru_cache(maxsize=128)
def _levels_by_number(levels: tuple[str, ...]) -> dict[tuple[str, float], int]:
    """Return the index of the level of each number or span of time, `_SEVERAL` if there are more."""
    index: dict[tuple[str, float], int] = {}
    for i, level in enumerate(levels):
        for key in _number_keys(level):
            index[key] = i if index.get(key, i) == i else _SEVERAL
    return index


def _level_of_number(
    text: str, keys: list[tuple[str, float]], levels: Sequence[str], same_number: dict[tuple[str, float], int]
) -> int:
    if meaning(text) == "code":
        # Conversions drop leading zeros and never add them.
        return len(levels)
    for key in keys:
        i = same_number.get(key, _SEVERAL)
        # Long keys differ in their digits, unless one of the two came as a float.
        if i != _SEVERAL and not (
            abs(key[1]) >= LARGEST_EXACT and _WHOLE.fullmatch(text) and _WHOLE.fullmatch(levels[i])
        ):
            return i
    return len(levels)


def _number_keys(text: str) -> list[tuple[str, float]]:
    """Return the numbers that equal labels share, the strictest comparison first."""
    if text[0] not in _NUMBER_STARTS:
        return []
    match meaning(text):
        case "truth":
            return [("number", float(text == "True"))]
        case "span":
            return [("span", float(read_spans([text])[0]))]
        case "number" | "code":
            number = float(text)
            keys = [("number", number)]
            if np.isfinite(number) and not number.is_integer():
                # A file may lose the last digit, and a narrower type all but seven.
                with np.errstate(over="ignore"):
                    keys += [("15 digits", float(f"{number:.15g}")), ("float32", float(np.float32(number)))]
            return keys
    return []


def _is_lost(labels: Labels, found: np.ndarray, levels: Sequence[str]) -> bool:
    """Whether most rows hold unseen levels, and they are many or of a new kind."""
    counts = labels.counts()
    is_present = np.array([text not in GAP_WORDS for text in labels.levels], dtype=bool)
    is_known = found != len(levels)
    n_present = counts[is_present].sum()
    if counts[is_present & is_known].sum() >= _KNOWN * n_present:
        return False
    if n_present >= _MIN_ROWS:
        return True
    kinds: Counter[str] = Counter()
    for i in np.flatnonzero(is_present & ~is_known).tolist():
        kinds[meaning(labels.levels[i])] += int(counts[i])
    usual = kinds.most_common(1)[0][0]
    return not any(meaning(level) == usual for level in levels)
