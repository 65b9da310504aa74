"""Check the three tables of a meta-dataset against the schema, and cast them to its types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

import numpy as np
import pandas as pd

from autometa.metadataset.schema import (
    CONFIGURATION_COLUMNS,
    EVALUATION_COLUMNS,
    EVALUATION_KEY,
    LOSSES,
    OBJECTIVE,
    OPTIONAL_EVALUATION_COLUMNS,
    STATUSES,
    TASK_COLUMNS,
)


def checked_tasks(tasks: pd.DataFrame) -> pd.DataFrame:
    """Return the table of tasks in the schema's types; every column beyond the schema is a meta-feature."""
    meta_features = dict.fromkeys((name for name in tasks.columns if name not in TASK_COLUMNS), "float64")
    checked = _cast("tasks", tasks, {**TASK_COLUMNS, **meta_features})
    _check_unique("tasks", checked, ["task"])
    problems = (*LOSSES, OBJECTIVE)
    if unknown := sorted(set(checked["problem"]) - set(problems)):
        raise ValueError(f"tasks: problem must be one of {', '.join(problems)}, got {named(unknown)}.")
    return checked


def checked_configurations(configurations: pd.DataFrame) -> pd.DataFrame:
    """Return the table of configurations in the schema's types."""
    checked = _cast("configurations", configurations, CONFIGURATION_COLUMNS)
    _check_unique("configurations", checked, ["configuration"])
    return checked


def checked_evaluations(evaluations: pd.DataFrame, tasks: pd.DataFrame, configurations: pd.DataFrame) -> pd.DataFrame:
    """Return the table of evaluations in the schema's types, its texts as categories.

    The categories of `task` and `configuration` are those columns of the two other tables,
    in their order, so that a code is the number of a row there.
    """
    optional = {name: kind for name, kind in OPTIONAL_EVALUATION_COLUMNS.items() if name in evaluations}
    texts = {
        "task": pd.Index(tasks["task"]),
        "configuration": pd.Index(configurations["configuration"]),
        "status": pd.Index(STATUSES),
        "error": None,
    }
    checked = _cast("evaluations", evaluations, {**EVALUATION_COLUMNS, **optional}, texts)
    for name in ("anchor", "progress"):
        outside = ~((checked[name] > 0) & (checked[name] <= 1))
        if outside.any():
            raise ValueError(f"evaluations: {name} must be in (0, 1], got {named(checked[name][outside].unique())}.")
    _check_unique("evaluations", checked, list(EVALUATION_KEY))
    return checked


def upgraded_evaluations(evaluations: pd.DataFrame) -> pd.DataFrame:
    """Return evaluations of layout 1 in the columns of layout 2.

    Layout 1 kept both fractions in `anchor`: that of the iterations for the points along a fit,
    which have no seconds of their own, and that of the rows for all others. It did not record
    the speed of the machine.

    Parameters
    ----------
    evaluations : DataFrame
        Evaluations as they were read. A missing column stays missing, for the check of the schema
        to name it.
    """
    if not {"anchor", "n_iterations", "fit_s"} <= set(evaluations.columns):
        return evaluations.assign(progress=np.nan, machine_speed=np.nan)
    anchor = evaluations["anchor"]
    is_along_a_fit = (anchor < 1) & (evaluations["n_iterations"] > 0) & evaluations["fit_s"].isna()
    return evaluations.assign(
        anchor=anchor.where(~is_along_a_fit, 1.0),
        progress=anchor.where(is_along_a_fit, 1.0),
        machine_speed=np.float32(np.nan),
    )


def named(values: Iterable[object], most: int = 5) -> str:
    """Return at most `most` values as text, and the number of the others."""
    listed = list(values)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(repr(getattr(value, "item", lambda v=value: v)()) for value in islice(listed, most)) + more


def _cast(
    table: str, frame: pd.DataFrame, columns: Mapping[str, str], categories: Mapping[str, pd.Index | None] | None = None
) -> pd.DataFrame:
    """Return a new frame of the given columns and types; those in `categories` become categorical."""
    if not frame.columns.is_unique:
        raise ValueError(f"{table} has several columns {named(frame.columns[frame.columns.duplicated()])}.")
    if missing := [name for name in columns if name not in frame]:
        raise ValueError(f"{table} lacks the columns {named(missing, 40)}.")
    if unknown := [name for name in frame.columns if name not in columns]:
        raise ValueError(f"{table} has unknown columns {named(unknown, 40)}; expected {named(columns, 40)}.")
    cast = {}
    for name, kind in columns.items():
        where = f"{table}: column {name!r}"
        if categories is not None and name in categories:
            cast[name] = pd.Series(_categorical(where, frame[name], categories[name]))
        elif kind == "str":
            cast[name] = _texts(where, frame[name])
        else:
            cast[name] = _numbers(where, frame[name], kind)
    return pd.DataFrame(cast)


def _texts(where: str, values: pd.Series) -> pd.Series:
    if values.isna().any():
        raise ValueError(f"{where} must not have missing values, but {int(values.isna().sum())} are missing.")
    return values.astype(object).astype(str).reset_index(drop=True)


def _numbers(where: str, values: pd.Series, kind: str) -> pd.Series:
    if str(values.dtype) == kind:
        return values.reset_index(drop=True)
    try:
        numbers = pd.to_numeric(values).to_numpy(dtype="float64", na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where} must be numbers ({kind}): {error}.") from error
    with np.errstate(over="ignore", invalid="ignore"):
        cast = numbers.astype(kind)
    if kind.startswith("int") and (wrong := cast != numbers).any():
        raise ValueError(f"{where} must be whole numbers that fit {kind}, got {named(np.unique(numbers[wrong]))}.")
    return pd.Series(cast)


def _categorical(where: str, values: pd.Series, categories: pd.Index | None) -> pd.Categorical:
    given = values.astype("category").cat.remove_unused_categories()
    codes, names = given.cat.codes.to_numpy(), given.cat.categories.astype(object).astype(str)
    if (codes < 0).any():
        raise ValueError(f"{where} must not have missing values, but {int((codes < 0).sum())} are missing.")
    if categories is None:
        categories = names.unique().sort_values()
    positions = categories.get_indexer(names)
    if (unknown := positions < 0).any():
        raise ValueError(f"{where} has {named(names[unknown])}; expected one of {named(categories)}.")
    return pd.Categorical.from_codes(positions[codes], categories=categories)


def _check_unique(table: str, frame: pd.DataFrame, key: list[str]) -> None:
    repeated = frame.duplicated(key)
    if repeated.any():
        keys = frame.loc[repeated, key].drop_duplicates().itertuples(index=False, name=None)
        shown = named(k[0] if len(k) == 1 else k for k in keys)
        raise ValueError(f"{table}: {', '.join(key)} must be unique, but {shown} occur more than once.")
