"""Turns past studies into tables of trials, and tables of trials into studies."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from autometa.core.space import is_valid
from autometa.transfer.archive.snapshots import StudySnapshot
from autometa.transfer.archive.sources import Direction, SourceStudy

_PREFIX = "params_"  # of the columns of Optuna's Study.trials_dataframe
_LOG_RATIO = 1000.0  # numbers that span as many times the smallest are taken to be logarithmic


def trials_frame(sources: Sequence[SourceStudy]) -> pd.DataFrame:
    """Return a row per trial: its study, number, state, values and, as ``params_<name>``, its parameters."""
    rows = []
    for source in sources:
        n_values = len(source.directions)
        keys = ["value"] if n_values == 1 else [f"values_{index}" for index in range(n_values)]
        for trial in source.trials:
            values = trial.values or (math.nan,) * n_values
            row = {"study": source.name, "number": trial.number, "state": trial.state.name}
            row |= dict(zip(keys, values, strict=True))
            row |= {"datetime_start": trial.started, **{_PREFIX + name: v for name, v in trial.params.items()}}
            rows.append(row)
    return pd.DataFrame(rows, columns=None if rows else ["study", "number", "state", "value", "datetime_start"])


def table_snapshot(
    table: pd.DataFrame | str | os.PathLike[str],
    name: str,
    value: str,
    direction: Direction,
    space: Mapping[str, BaseDistribution],
) -> StudySnapshot:
    """Return the study of a table with a row per trial; see `autometa.StudyArchive.add_table`."""
    if isinstance(table, (str, os.PathLike)):
        table = pd.read_csv(table)
    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"table must be a DataFrame or the path of a CSV file, got {type(table).__name__}.")
    if direction not in ("minimize", "maximize"):
        raise ValueError(f"direction must be 'minimize' or 'maximize', got {direction!r}.")
    if value not in table:
        raise ValueError(f"The table has no column {value!r} of values; its columns are {list(table.columns)[:20]}.")
    prefixed = [column for column in table if str(column).startswith(_PREFIX)]
    columns = {str(c).removeprefix(_PREFIX): c for c in prefixed} or {str(c): c for c in table if c != value}
    unknown = [parameter for parameter in space if parameter not in columns]
    if unknown or not columns:
        raise ValueError(f"The table has no column of the parameter {unknown or 'of any kind'}; it has {[*columns]}.")
    values = pd.to_numeric(table[value], errors="coerce").to_numpy(dtype=float)
    states = table["state"].astype(str).to_numpy() if prefixed and "state" in table else np.full(len(table), "COMPLETE")
    distributions = {p: space.get(p) or _distribution(p, table[c]) for p, c in columns.items()}
    cells = {p: [_plain(cell, distributions[p]) for cell in table[c]] for p, c in columns.items()}
    trials = []
    for row, (loss, state) in enumerate(zip(values, states, strict=True)):
        params = {p: found[row] for p, found in cells.items() if found[row] is not None}
        trials.append(_trial(row, params, distributions, loss, state))
    return StudySnapshot(name, "", (direction,), [t for t in trials if t.state.is_finished()])


def _trial(
    row: int, params: dict[str, Any], distributions: Mapping[str, BaseDistribution], loss: float, state: str
) -> FrozenTrial:
    wrong = next((p for p, v in params.items() if not is_valid(distributions[p], v)), None)
    if wrong is not None:
        raise ValueError(f"Row {row} has {wrong}={params[wrong]!r}, which is not in {distributions[wrong]!r}.")
    known = TrialState[state] if state in TrialState.__members__ else TrialState.COMPLETE
    if known == TrialState.COMPLETE and math.isnan(loss):
        known = TrialState.FAIL
    trial = create_trial(
        state=known,
        value=loss if known == TrialState.COMPLETE else None,
        params=params,
        distributions={parameter: distributions[parameter] for parameter in params},
    )
    trial.number, trial.datetime_start = row, None
    return trial


def _distribution(name: str, column: pd.Series) -> BaseDistribution:
    """Return the range of a column of numbers, or the choices of any other."""
    known = column.dropna()
    if known.empty:
        raise ValueError(f"The column of the parameter {name!r} is empty. Leave it out of the table.")
    if pd.api.types.is_bool_dtype(known) or not pd.api.types.is_numeric_dtype(known):
        return CategoricalDistribution([_item(choice) for choice in known.unique()])
    low, high = float(known.min()), float(known.max())
    if not math.isfinite(high - low):
        raise ValueError(f"The column of the parameter {name!r} holds infinite numbers; a range needs finite ones.")
    is_log = low > 0 and high / low >= _LOG_RATIO
    if (known == known.round()).all():
        return IntDistribution(int(low), int(high), log=is_log and low >= 1)
    return FloatDistribution(low, high, log=is_log)


def _plain(cell: Any, distribution: BaseDistribution) -> Any:
    cell = _item(cell)
    if cell is None or cell is pd.NaT or (isinstance(cell, float) and math.isnan(cell)):
        return None
    if isinstance(distribution, IntDistribution) and isinstance(cell, float) and cell == int(cell):
        return int(cell)
    return cell


def _item(cell: Any) -> Any:
    return cell.item() if isinstance(cell, np.generic) else cell
