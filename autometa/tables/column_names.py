"""Give columns unique names at fit, and match the columns of later tables with them.

=====================================  ==============================  ==========================================
at fit time                            at predict time                 columns are matched
=====================================  ==============================  ==========================================
anything                               array, rows, sparse matrix      by position, as they have no names
names                                  the same names, in any order    by name; further columns are left out
array, or columns 0, 1, 2 …            a frame with other names        by position, with a warning
names                                  a frame with columns 0, 1, 2 …  by position, with a warning
=====================================  ==============================  ==========================================

Numbers are names like any other: a frame with the columns 1, 0 is matched by name with one that has 0, 1.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from autometa._support.user_warnings import warn_user

MAX_NAMED = 5
"""Columns named in a message."""


def listing(names: Sequence[str]) -> str:
    """Return the first of some names for a message."""
    return ", ".join(repr(name) for name in names[:MAX_NAMED]) + (", …" if len(names) > MAX_NAMED else "")


def unique_names(labels: Iterable[Any]) -> list[str]:
    """Return unique texts for column labels; the second "a" becomes "a.1".

    Examples
    --------
    >>> unique_names(["a", "a", 0, ("b", 1), None])
    ['a', 'a.1', '0', 'b_1', 'None']
    """
    texts = [name_of(label) for label in labels]
    taken = set(texts)
    if len(taken) == len(texts):
        return texts
    result, last = [], dict.fromkeys(taken, -1)
    for text in texts:
        last[text] += 1
        name = text
        if last[text]:
            while (name := f"{text}.{last[text]}") in taken:
                last[text] += 1
            taken.add(name)
        result.append(name)
    return result


def name_of(label: Any) -> str:
    """Return a column label as text that every library and file format can hold."""
    text = "_".join(str(part) for part in label if part != "") if isinstance(label, tuple) else str(label)
    # pandas, JSON and LightGBM reject half of a surrogate pair, so it is escaped.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def refuse_ambiguous_labels(labels: Sequence[Hashable]) -> None:
    """Raise if two labels are the same text, like 0 and "0": later tables could not be matched.

    Raises
    ------
    ValueError
        With both labels.
    """
    first: dict[str, Hashable] = {}
    for label in labels:
        other = first.setdefault(name_of(label), label)
        if other != label and not (other != other and label != label):  # a missing label differs from itself
            raise ValueError(
                f"X has the columns {other!r} and {label!r}, which are the same as text. Rename one of them."
            )


def match_columns(
    labels: Sequence[Hashable] | None, width: int, names: Sequence[str], n_features: int, owner: str
) -> dict[str, int]:
    """Return the index of each fitted column that a later table has, in the order of `names`; see the rule above.

    Parameters
    ----------
    labels, width
        Column labels of the later table, None if it has none, and number of its columns.
    names, n_features
        Names and number of the columns at fit time; `names` are fewer for a wide sparse matrix.
    owner : str
        Name of the estimator in messages.

    Raises
    ------
    ValueError
        If a table is matched by position and has a different number of columns than at fit time, or
        if it repeats a column that was there once.
    """
    were_numbered = list(names) == [str(i) for i in range(n_features)] or len(names) < n_features
    if labels is not None:
        own = unique_names(labels)
        by_name = {name: i for i, name in enumerate(own)}
        is_numbered = all(isinstance(label, (int, np.integer)) and label == i for i, label in enumerate(labels))
        if not (is_numbered or were_numbered) or not by_name.keys().isdisjoint(names):
            _refuse_surplus(labels, own, names)
            return {name: by_name[name] for name in names if name in by_name}
    if width != n_features:
        raise ValueError(f"X has {width} features, but {owner} is expecting {n_features} features as input.")
    if labels is not None and were_numbered:
        warn_user(
            f"X has feature names, but {owner} was fitted without feature names. Its columns are taken by position; "
            "fit with a frame to match them by name, or pass X.to_numpy()."
        )
    elif not were_numbered:
        warn_user(
            f"X does not have valid feature names, but {owner} was fitted with feature names. Its columns are taken by "
            "position; pass a frame with these names to match them by name."
        )
    if len(names) < n_features:
        return {name: int(name) for name in names}
    return {name: i for i, name in enumerate(names)}


def _refuse_surplus(labels: Sequence[Hashable], own: Sequence[str], names: Sequence[str]) -> None:
    known = set(names)
    for label, name in zip(labels, own, strict=True):
        if name not in known and (text := name_of(label)) in known and text != name:
            raise ValueError(
                f"X has the column {label!r} more often than at fit time, and which one is meant is not known. Drop "
                "those that are not, e.g. with X.loc[:, ~X.columns.duplicated()]."
            )
