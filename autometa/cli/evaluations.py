"""Scores of a model on a table with known targets, as the command line prints them."""

# Tests: tests/test_cli.py

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autometa.cli.printing import aligned
from autometa.cli.table_files import column_of

if TYPE_CHECKING:
    import pandas as pd

    from autometa import AutoMeta

_CONFIDENCE = 0.9
_MOST_CLASSES = 12
"""Classes of the largest confusion matrix that is printed whole."""
_N_CONFUSIONS = 10


def check_labelled(table: pd.DataFrame, file: Path, X: pd.DataFrame, target: str) -> None:
    """Raise before a fit if a table of other rows lacks a column of the training table, or targets.

    Raises
    ------
    ValueError
        With the columns, and what to do.
    """
    column_of(table, target, f"The target of {file}")
    if not len(table):
        raise ValueError(f"{file} has no rows.")
    if n_missing := int(table[target].isna().sum()):
        raise ValueError(f"{file} has {n_missing} rows without {target!r}. Leave them out, or fill in the target.")
    if lacking := [repr(name) for name in X.columns if name not in table.columns]:
        raise ValueError(
            f"{file} lacks columns of the training table: {', '.join(lacking[:5])}{', …' if len(lacking) > 5 else ''}. "
            "Add them, or leave them out of the fit with --drop."
        )


def scores(
    model: AutoMeta, table: pd.DataFrame, roles: Mapping[str, str], metrics: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return a row per metric, see ``AutoMeta.evaluate``.

    Parameters
    ----------
    model : AutoMeta
        A fitted model.
    table : DataFrame
        Rows with their target.
    roles : mapping of str to str
        Columns of the table that are named on the command line: ``"target"``, ``"weight"``.
    metrics : sequence of str or None
        None is the metric of the fit and the usual ones.
    """
    target, weight = _target(model, table, roles), _weight(model, table, roles)
    return model.evaluate(
        _features(model, table, target), target, metrics, sample_weight=weight, confidence=_CONFIDENCE
    )


def evaluation_text(
    model: AutoMeta,
    table: pd.DataFrame,
    roles: Mapping[str, str] | None = None,
    metrics: Sequence[str] | None = None,
) -> str:
    """Return the scores and, for classes, the confusion matrix as text; arguments as for `scores`."""
    roles = roles or {}
    weight = _weight(model, table, roles)
    rows = f"{len(table)} row{'' if len(table) == 1 else 's'}"
    weighted = "" if weight is None else f", weighted by {weight.name!r}"
    text = (
        f"{rows}{weighted}; intervals hold {_CONFIDENCE:.0%} of bootstrap samples\n"
        f"{aligned(scores(model, table, roles, metrics), 'metric')}"
    )
    if model.problem_ == "regression":
        return text
    target = _target(model, table, roles)
    return f"{text}\n\n{confusion_text(model.confusion(_features(model, table, target), target))}"


def _target(model: AutoMeta, table: pd.DataFrame, roles: Mapping[str, str]) -> pd.Series:
    name = roles.get("target") or model._roles.get("target")
    if name is None:
        raise ValueError(
            "The model does not know its target: it was saved in Python or by an earlier version. Pass --target COL."
        )
    return column_of(table, name, "--target" if "target" in roles else "The target")


def _features(model: AutoMeta, table: pd.DataFrame, target: pd.Series) -> pd.DataFrame:
    """Return the table without its target, which a model that knows no names of columns would count as one of them."""
    return table if target.name in model._schema.columns else table.drop(columns=[target.name])


def _weight(model: AutoMeta, table: pd.DataFrame, roles: Mapping[str, str]) -> Any:
    """Return the weights of the rows; None if there are none, or if only the fit had such a column."""
    if "weight" in roles:
        return column_of(table, roles["weight"], "--weight")
    name = model._roles.get("weight")
    return None if name is None else table.get(name)


def confusion_text(matrix: pd.DataFrame) -> str:
    """Return a confusion matrix as text; of a large one the most frequent confusions."""
    if len(matrix) <= _MOST_CLASSES:
        counts = matrix.to_string(index_names=False)
        return f"Confusion matrix (counts; rows: true class, columns: predicted class)\n{counts}"
    pairs = matrix.stack().rename("rows").reset_index()
    wrong = pairs[(pairs["true"] != pairs["predicted"]) & (pairs["rows"] > 0)]
    frequent = wrong.sort_values("rows", ascending=False, kind="stable").head(_N_CONFUSIONS)
    return f"Most frequent confusions\n{frequent.to_string(index=False) if len(frequent) else 'none'}"
