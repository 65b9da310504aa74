"""From the arguments of `fit` (X, y, weights, groups, a splitter) to a checked task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import _check_sample_weight

from autometa._support.numbers import is_whole_number
from autometa._support.user_warnings import warn_user
from autometa.evaluation.drift import columns_that_drive
from autometa.evaluation.leakage import columns_like_target
from autometa.evaluation.metrics import Metric, kind_of_problem, positive_class, resolve_metric
from autometa.evaluation.resampling import Fold, folds_of_splitter
from autometa.evaluation.scorers import callable_name
from autometa.tables.cleaning import clean, fit_schema
from autometa.tables.column_names import listing
from autometa.tables.inputs import RawTable, read_table
from autometa.tables.table_task import Task
from autometa.tables.target import ProblemChoice, Target, read_target
from autometa.tables.time_order import time_ranks

TIME = "time"
"""The value of ``cv`` for validation on later rows."""


@dataclass(frozen=True)
class FitInputs:
    """The checked inputs of a fit.

    Parameters
    ----------
    task : Task
        The cleaned table with its target, weights and groups.
    target : Target
        The target of all rows, including those of weight 0, which `task` does not have.
    raw : RawTable
        The table before cleaning, with the caller's column labels.
    metric : Metric
        The metric that is optimised.
    folds : tuple of Fold or None
        Folds of the caller's splitter; None if the fit makes them.
    notes : list of str
        Decisions taken for the caller: the problem, the positive class, text read as numbers.
    """

    task: Task
    target: Target
    raw: RawTable
    metric: Metric
    folds: tuple[Fold, ...] | None
    notes: list[str]


def read_inputs(
    X: Any,
    y: Any,
    *,
    sample_weight: Any = None,
    groups: Any = None,
    problem: ProblemChoice = "auto",
    metric: str | Callable[..., Any] = "auto",
    pos_label: Any = None,
    cv: Any = None,
    time_column: Any = None,
) -> FitInputs:
    """Return the checked inputs of a fit.

    Parameters
    ----------
    X, y, sample_weight, groups, problem, metric, pos_label, cv, time_column
        As in ``AutoMeta.fit`` and `AutoMeta`. With ``problem="auto"``, a metric for one kind of problem decides it.

    Raises
    ------
    ValueError, TypeError
        If an argument is not usable; the message says what to do.
    """
    raw = read_table(X)
    n_rows = len(raw.frame)
    if n_rows < 2:
        raise ValueError("At least 2 rows are needed to train and validate, got n_samples = 1.")
    for name, values in (("y", y), ("sample_weight", sample_weight), ("groups", groups)):
        warn_if_reordered(X, values, name)
    choice, reason = _choice(problem, metric)
    target = read_target(y, n_rows, choice, reason)
    resolved = resolve_metric(metric, target.problem, target.classes, pos_label)
    _refuse_infinite_loss(resolved, metric, target)
    is_by_time = isinstance(cv, str) and cv == TIME
    if is_by_time and groups is not None:
        raise ValueError("cv='time' cannot keep groups together, as they may last over time. Leave out one of them.")
    times = time_ranks(raw, time_column) if is_by_time else None
    has_own_folds = cv is not None and not is_whole_number(cv) and not is_by_time
    group_codes = _group_codes(groups, n_rows)
    used, weight = _used_rows(sample_weight, raw.frame, target, keep_all=has_own_folds)
    folds = None
    if has_own_folds:
        is_regression = target.problem == "regression"
        folds = folds_of_splitter(cv, X, _as_given(y, target), groups, target.values, is_regression=is_regression)
    frame = raw.frame if used.all() else raw.frame[used]
    task = Task(
        table=clean(frame, fit_schema(frame)),
        y=target.values[used],
        problem=target.problem,
        n_classes=target.n_classes,
        sample_weight=weight,
        groups=None if group_codes is None else group_codes[used],
        classes=target.classes,
        times=None if times is None else times[used],
    )
    notes = _notes(target, reason, positive_class(resolved, target.classes, pos_label), resolved, pos_label)
    notes += _warn_of_leaks(task)
    if groups is None and (cv is None or is_whole_number(cv)):
        _warn_of_drift(task)
    return FitInputs(task, target, raw, resolved, folds, notes)


def _choice(problem: ProblemChoice, metric: Any) -> tuple[ProblemChoice, str]:
    """Return the problem that the target is read for, and the reason if the metric decides it."""
    decided = kind_of_problem(metric) if problem == "auto" else None
    if decided is None:
        return problem, ""
    name = metric if isinstance(metric, str) else callable_name(metric)
    return decided, f"metric={name!r} is for {decided}"


def _refuse_infinite_loss(metric: Metric, given: Any, target: Target) -> None:
    """Raise if a named metric is infinite or undefined for values as large as those of the target."""
    if target.problem != "regression" or not isinstance(given, str):
        return
    values = target.values
    loss = metric.loss(values, np.full(len(values), values.mean()))
    if not np.isfinite(loss):
        raise ValueError(
            f"The metric {given!r} of a target as large as {np.abs(values).max():g} is more than the largest float. "
            "Use metric='rmse', or divide y by a constant."
        )


def _group_codes(groups: Any, n_rows: int) -> np.ndarray | None:
    """Return a number for each group; groups may be values of any type."""
    if groups is None:
        return None
    if isinstance(groups, (list, tuple)):
        # An array of tuples would have a column for each of their parts.
        groups = pd.Series(list(groups), dtype=object)
    values = groups if isinstance(groups, np.ma.MaskedArray) else np.asarray(groups)
    if values.shape != (n_rows,):
        raise ValueError(
            f"groups must have one entry per row of X ({n_rows}), got shape {values.shape}. For groups by several "
            "columns, pass e.g. frame.groupby(columns).ngroup()."
        )
    if missing := int((np.ma.getmaskarray(values) | pd.isna(np.ma.getdata(values))).sum()):
        raise ValueError(
            f"groups holds {missing} missing entries. Give each of these rows a group, of its own if need be."
        )
    if values.dtype == object:
        # Sorted as text only, as groups may be of types that cannot be compared.
        codes, groups_found = pd.factorize(values)
        order = np.argsort(np.array([str(group) for group in groups_found], dtype=object), kind="stable")
        return np.argsort(order)[codes]
    return np.unique(values, return_inverse=True)[1]


def _used_rows(
    sample_weight: Any, frame: pd.DataFrame, target: Target, *, keep_all: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return a mask of the rows that are fitted on, and their weights with mean 1; None where all weigh the same.

    Rows of weight 0 are left out unless `keep_all`.
    """
    every = np.ones(len(frame), dtype=bool)
    if sample_weight is None:
        return every, None
    if np.ma.is_masked(sample_weight):
        raise ValueError("sample_weight is masked in some rows. Give every row a weight, 0 to leave it out.")
    weight = _check_sample_weight(sample_weight, frame, dtype=np.float64, ensure_non_negative=True)
    used = weight > 0
    if not used.any():
        raise ValueError("sample_weight is 0 for every row: at least some rows need a positive weight.")
    if keep_all:  # the caller's folds number all rows
        used = every
    lost = sorted(set(range(target.n_classes)) - set(target.values[used].tolist())) if not used.all() else []
    if lost and target.classes is not None:
        raise ValueError(
            f"Every row of the classes {target.classes[lost].tolist()} has sample_weight 0. "
            "Give those rows weight, or leave them out of X and y."
        )
    weight = weight[used]
    return used, None if np.ptp(weight) == 0 else weight / weight.mean()


def _as_given(y: Any, target: Target) -> Any:
    """Return y unchanged, or its plain labels if scikit-learn's splitters do not know their type."""
    values = np.asarray(y)
    if values.dtype != object or target.classes is None or isinstance(values.flat[0], str):
        return y
    labels = target.classes[target.values]
    return pd.Series(labels, index=y.index, name=y.name) if isinstance(y, pd.Series) else labels


def warn_if_reordered(X: Any, values: Any, name: str) -> None:
    """Warn if X and another argument have the same index labels in another order."""
    theirs, ours = getattr(values, "index", None), getattr(X, "index", None)
    if not isinstance(theirs, pd.Index) or not isinstance(ours, pd.Index):
        return
    if len(theirs) != len(ours) or theirs.equals(ours):
        return
    hashes = [np.sort(pd.util.hash_pandas_object(index, index=False)) for index in (ours, theirs)]
    if np.array_equal(hashes[0], hashes[1]):
        warn_user(
            f"The index of {name} holds the labels of the index of X in another order. Rows are matched by position, "
            f"not by label: pass {name}.loc[X.index] if they belong together by label, and reset_index(drop=True) of "
            "both to silence this."
        )


def _warn_of_leaks(task: Task) -> list[str]:
    """Warn if columns tell the target, and return a note on them for the report."""
    if task.problem == "regression" and np.ptp(task.y) == 0:
        return []
    if columns := columns_like_target(task.table, task.y):
        warn_user(
            f"X holds the target: y can be told one to one from {listing(columns)}. Leave out what is not known yet "
            "when predictions are made; if this is meant, "
            "warnings.filterwarnings('ignore', message='X holds the target') silences this."
        )
        return [f"possible leak: y can be told one to one from {listing(columns)}"]
    return []


def _warn_of_drift(task: Task) -> None:
    """Warn if the target changes with a date so much that random folds would look too good for later rows."""
    if columns := columns_that_drive(task):
        warn_user(
            f"The target changes over time with {listing(columns)}, and the folds are random: the score is that of "
            "rows between those of fit, not of later ones. If later rows are to be predicted, use cv='time' and "
            "time_column; otherwise warnings.filterwarnings('ignore', message='The target changes over time') "
            "silences this."
        )


def _notes(target: Target, reason: str, positive: Any, metric: Metric, pos_label: Any) -> list[str]:
    notes = [f"problem: {target.problem}, as {reason}"] if reason else []
    if target.number_format is not None:
        notes.append(f"y: text read as numbers ({target.number_format})")
    if positive is not None:
        chosen = "pos_label" if pos_label is not None else "the class that sorts last; pos_label chooses"
        notes.append(f"{metric.name}: of the class {positive!r} ({chosen})")
    return notes
