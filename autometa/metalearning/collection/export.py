"""Turn the records of a collection, complete or not, into a meta-dataset."""

from __future__ import annotations

import logging
import os
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from autometa._support.progress import CountBar
from autometa.exceptions import MetaDatasetError
from autometa.metadataset.dataset import MetaDataset
from autometa.metadataset.error_moments import ErrorMoments, second_moments
from autometa.metadataset.schema import HELD_OUT
from autometa.metadataset.store import read_collected, read_predictions
from autometa.metalearning.collection.task_folder import Table, load_task, read_table_list
from autometa.tables.features import META_FEATURES, describe

logger = logging.getLogger(__name__)

_LIBRARIES = ("autometa", "scikit-learn", "lightgbm", "catboost", "xgboost-cpu", "xgboost", "torch", "numpy", "scipy")


def export(
    tasks: Path | str, out: Path | str, *, manifest: Mapping[str, Any] | None = None, progress: bool | None = None
) -> MetaDataset:
    """Return the records of a collection, with the meta-features of its tasks.

    Parameters
    ----------
    tasks : Path or str
        The folder of tables of the collection.
    out : Path or str
        The folder of the collection, which may still be running.
    manifest : mapping, optional
        Further entries of the manifest, e.g. a licence.
    progress : bool, optional
        Show a bar while tasks are described; by default in a terminal.

    Returns
    -------
    MetaDataset
        Tasks without any evaluation are left out.

    Raises
    ------
    MetaDatasetError
        If there is no collection in `out`, it has no evaluations yet, or its file is damaged.
    ValueError
        If a measured task is no longer in the folder of tables.
    """
    rows, configurations, evaluations, settings = read_collected(Path(out))
    if evaluations.empty:
        raise MetaDatasetError(f"In {out}, nothing has been measured that a meta-dataset could be made of.")
    rows = rows[rows["task"].isin(evaluations["task"].unique())].reset_index(drop=True)
    measured = configurations["configuration"].isin(evaluations["configuration"].unique())
    configurations = configurations[measured].reset_index(drop=True)
    tables = read_table_list(Path(tasks), list(rows["task"]))
    with CountBar(progress, len(tables), "describe") as bar:
        features = []
        for table in tables:
            features.append(_features(table, settings))
            bar.advance()
    described = pd.concat([rows, pd.DataFrame(features, columns=list(META_FEATURES))], axis=1)
    about = {
        "rebuild": _rebuild(settings),
        "settings": settings,
        "versions": _versions(),
        "machine": _machine(),
        **(manifest or {}),
    }
    return MetaDataset(described, configurations, evaluations, about)


def export_moments(out: Path | str, metadataset: MetaDataset) -> ErrorMoments:
    """Return the second moments of the errors of a collection's stored predictions.

    Parameters
    ----------
    out : Path or str
        The folder of the collection.
    metadataset : MetaDataset
        Its records, as `export` returns them: their tasks and configurations are those of the moments. A task
        without predictions has none.

    Raises
    ------
    MetaDatasetError
        If there is no collection in `out`, or its file is damaged.
    """
    tasks = tuple(metadataset.tasks["task"])
    configurations = tuple(metadataset.configurations["configuration"])
    shape = (len(tasks), len(configurations), len(configurations))
    moments = {name: np.full(shape, np.nan, dtype=np.float32) for name in ("validation", "held_out")}
    for number, task in enumerate(tasks):
        try:
            fold, y, predictions = read_predictions(Path(out), task)
        except KeyError:
            continue
        found = {name: np.nan_to_num(p.astype(np.float64), nan=np.inf) for name, p in predictions.items()}
        usable = [j for j, name in enumerate(configurations) if name in found and np.isfinite(found[name]).all()]
        if usable:
            stack = np.stack([found[configurations[j]] for j in usable])
            errors = stack - (np.eye(stack.shape[2])[y.astype(np.int64)] if stack.ndim == 3 else y)
            for name, rows in (("validation", fold != HELD_OUT), ("held_out", fold == HELD_OUT)):
                if rows.any():
                    moments[name][number][np.ix_(usable, usable)] = second_moments(errors[:, rows])
    return ErrorMoments(tasks, configurations, **moments)


def _features(table: Table, settings: Mapping[str, Any]) -> dict[str, float]:
    # Described are all rows of the table, as in a fit.
    return describe(load_task(table, sys.maxsize, settings["seed"]).task)


def _rebuild(settings: Mapping[str, Any]) -> str:
    """Return the commands that repeat the collection on a folder of tables."""
    return (
        f"autometa collect --tasks TABLES --out COLLECTION --time-limit {settings['time_limit_s']:g} "
        f"--memory-limit {settings['memory_limit_gb']:g} --max-rows {settings['max_train_rows']} "
        f"--random-state {settings['seed']}; autometa export --tasks TABLES --collection COLLECTION --out OUT"
    )


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def _machine() -> dict[str, Any]:
    return {"processor": _processor(), "system": platform.system(), "cores": os.cpu_count() or 1, "threads": 1}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
