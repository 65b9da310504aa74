"""Convert matrices of results and Optuna studies to the tables of a meta-dataset."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from autometa.core.space import Configuration
from autometa.core.task import Problem
from autometa.metadataset.checks import named
from autometa.metadataset.pool import configuration_id
from autometa.metadataset.schema import EVALUATION_COLUMNS, LOSSES, OBJECTIVE

Tables = dict[str, pd.DataFrame]


def tables_from_matrix(
    losses: pd.DataFrame,
    seconds: pd.DataFrame | None = None,
    *,
    problem: Problem = "multiclass",
    metric: str = "balanced_accuracy",
    tasks: pd.DataFrame | None = None,
) -> Tables:
    """Return the tables of a matrix of results, one fold each.

    Parameters
    ----------
    losses : DataFrame of shape (n_tasks, n_configurations)
        Losses, lower is better (for a score, 1 − score). The index names the tasks, the columns
        the configurations: a literal ``{'algorithm': ..., 'hyperparameters': {...}}``, or any
        other text as a strategy without hyperparameters. NaN and infinity are failed evaluations.
    seconds : DataFrame of shape (n_tasks, n_configurations), optional
        Wall-clock seconds of the fits, with the same index and columns in any order.
    problem : {"binary", "multiclass", "regression"}
        Problem of all tasks.
    metric : str
        Metric of the losses, one of ``schema.LOSSES[problem]``.
    tasks : DataFrame, optional
        Further columns about the tasks, with the same index: columns of the schema such as
        ``n_rows`` and ``family``, and meta-features. Missing counts are 0; without a family, each
        task is its own.

    Raises
    ------
    ValueError
        If the metric does not fit the problem, or the frames do not have the same labels.
    """
    if problem not in LOSSES:
        raise ValueError(f"problem must be one of {', '.join(LOSSES)}, got {problem!r}.")
    if metric not in LOSSES[problem]:
        raise ValueError(f"The metric of {problem} tasks must be one of {', '.join(LOSSES[problem])}, got {metric!r}.")
    for axis, labels in (("index", losses.index), ("columns", losses.columns)):
        if not labels.is_unique:
            raise ValueError(
                f"The {axis} of losses must be unique, but has {named(labels[labels.duplicated()])} again."
            )
    seconds = losses * np.nan if seconds is None else _aligned(seconds, losses.index, losses.columns, "seconds")
    configurations = _configurations([_read_name(column) for column in losses.columns], "portfolio")
    names = losses.index.astype(str)
    values = losses.to_numpy("float64")
    is_known = np.isfinite(values).ravel()
    evaluations = {
        "task": names.repeat(losses.shape[1]),
        "configuration": np.tile(configurations["configuration"], len(losses)),
        f"loss_{metric}": np.where(is_known, values.ravel(), np.nan),
        "fit_s": seconds.to_numpy("float64").ravel(),
        "status": np.where(is_known, "ok", "failed"),
        "error": np.where(is_known, "", "no result"),
    }
    about = _aligned(tasks, losses.index, tasks.columns, "tasks") if tasks is not None else pd.DataFrame()
    return {
        "tasks": _tasks(names, problem, about.set_axis(names) if len(about) else about),
        "configurations": configurations,
        "evaluations": _evaluations(pd.DataFrame(evaluations)),
    }


def tables_from_studies(studies: Iterable[Study]) -> Tables:
    """Return the tables of past Optuna studies: each is a task with problem and metric "objective".

    - The loss is the objective value, negated if the study maximises.
    - The parameters of a trial are a configuration of the strategy "objective". Repeated
      configurations get the next `seed`.
    - Intermediate values are points of the learning curve at progress step / last step, where the
      last step is that of the longest trial; steps that start from 0 are counted from 1. The value
      of a completed trial is the point at progress 1, which a pruned trial does not have.
    - `fit_s` is the duration of a completed or failed trial.
    - Failed trials have the status "failed", unless another trial completed the same configuration.
      Trials without parameters, and waiting or running ones, are left out.

    Raises
    ------
    ValueError
        If a study has several objectives, or two studies have one name.
    """
    names: list[str] = []
    found: dict[str, Configuration] = {}
    rows: list[dict[str, Any]] = []
    for study in studies:
        if not isinstance(study, Study):
            raise TypeError(f"studies must be Optuna studies, got {type(study).__name__}.")
        if len(study.directions) != 1:
            raise ValueError(
                f"Study {study.study_name!r} has {len(study.directions)} objectives; expected one. "
                "Leave it out, or copy one of its objectives into a study of its own."
            )
        if study.study_name in names:
            raise ValueError(f"Two studies are called {study.study_name!r}; copy one under another name.")
        names.append(study.study_name)
        for configuration, row in _rows_of(study):
            found.setdefault(row["configuration"], configuration)
            rows.append(row)
    columns = ["task", "configuration", "progress", "n_iterations", "seed", f"loss_{OBJECTIVE}", "fit_s", "status"]
    frame = pd.DataFrame(rows, columns=[*columns, "error"])
    return {
        "tasks": _tasks(pd.Index(names, dtype=object), OBJECTIVE, pd.DataFrame()),
        "configurations": _configurations(list(found.values()), "sample"),
        "evaluations": _evaluations(frame),
    }


def _rows_of(study: Study) -> Iterator[tuple[Configuration, dict[str, Any]]]:
    """Yield the evaluations in a study, each with its configuration."""
    trials = [t for t in study.get_trials(deepcopy=False) if t.state.is_finished() and t.params]
    steps = [step for trial in trials for step in trial.intermediate_values]
    first = 1 if 0 in steps else 0
    last = max(steps, default=0) + first
    sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
    configurations = [Configuration(OBJECTIVE, trial.params) for trial in trials]
    completed = {c for c, trial in zip(configurations, trials, strict=True) if trial.state == TrialState.COMPLETE}
    repeats: dict[Configuration, int] = {}
    for configuration, trial in zip(configurations, trials, strict=True):
        if trial.state == TrialState.FAIL and configuration in completed:
            continue
        repeats[configuration] = seed = repeats.get(configuration, -1) + 1
        identity = {"task": study.study_name, "configuration": configuration_id(configuration), "seed": seed}
        for point in _points(trial, first, last):
            point[f"loss_{OBJECTIVE}"] *= sign
            yield configuration, {**identity, "error": "", **point}


def _points(trial: FrozenTrial, first: int, last: int) -> Iterator[dict[str, Any]]:
    """Yield the points of a trial's learning curve, then its final value."""
    reported = {step + first: value for step, value in sorted(trial.intermediate_values.items())}
    for n_iterations, value in reported.items():
        if trial.state != TrialState.FAIL and 0 < n_iterations < last and not np.isnan(value):
            point = {"progress": n_iterations / last, "n_iterations": n_iterations, "fit_s": np.nan}
            yield {**point, f"loss_{OBJECTIVE}": value, "status": "ok"}
    if trial.state != TrialState.PRUNED:
        duration_s = trial.duration.total_seconds() if trial.duration is not None else np.nan
        point = {"progress": 1.0, "n_iterations": max(reported, default=0), "fit_s": duration_s}
        if trial.state == TrialState.COMPLETE:
            yield {**point, f"loss_{OBJECTIVE}": trial.value, "status": "ok"}
        else:
            yield {**point, f"loss_{OBJECTIVE}": np.nan, "status": "failed", "error": "the trial failed"}


def _read_name(column: object) -> Configuration:
    """Return the configuration that the name of a column describes."""
    try:
        content = ast.literal_eval(str(column))
        return Configuration(str(content["algorithm"]), content["hyperparameters"])
    except (ValueError, SyntaxError, TypeError, KeyError, AttributeError, MemoryError, RecursionError):
        return Configuration(str(column))


def _configurations(configurations: Sequence[Configuration], origin: str) -> pd.DataFrame:
    strategies = pd.Series([configuration.strategy for configuration in configurations], dtype=object)
    return pd.DataFrame(
        {
            "configuration": [c.strategy if not c.parameters else configuration_id(c) for c in configurations],
            "strategy": strategies,
            "position": strategies.groupby(strategies).cumcount(),
            "origin": origin,
            "parameters": [json.dumps(dict(c.parameters), sort_keys=True, default=str) for c in configurations],
        }
    )


def _tasks(names: pd.Index, problem: str, about: pd.DataFrame) -> pd.DataFrame:
    """Return the table of tasks; columns missing in `about` are 0, and the family is the name of the task."""
    frame = about.reindex(names).assign(task=names, problem=problem)
    if "family" not in frame:
        frame["family"] = names
    for count, value in {"n_rows": 0, "n_columns": 0, "n_classes": 2 if problem == "binary" else 0}.items():
        if count not in frame:
            frame[count] = value
    if "n_rows_used" not in frame:
        frame["n_rows_used"] = frame["n_rows"]
    return frame


def _evaluations(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with all columns of the schema; missing ones are anchor 1, progress 1, fold 0, seed 0, else NaN."""
    ends = {"anchor": 1.0, "progress": 1.0, "n_iterations": 0, "fold": 0, "seed": 0}
    missing = {name: ends.get(name, np.nan) for name in EVALUATION_COLUMNS if name not in rows}
    return rows.assign(**missing)


def _aligned(frame: pd.DataFrame, index: pd.Index, columns: pd.Index, name: str) -> pd.DataFrame:
    """Return `frame` in the order of `index` and `columns`."""
    for labels, expected, axis in ((frame.index, index, "index"), (frame.columns, columns, "columns")):
        different = labels.symmetric_difference(expected)
        if len(different) or len(labels) != len(expected):
            raise ValueError(
                f"{name} must have the same {axis} as losses, but {named(different)} are in one of them only."
            )
    return frame.loc[index, columns]
