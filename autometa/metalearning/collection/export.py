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

import pandas as pd

from autometa._support.progress import CountBar
from autometa.exceptions import MetaDatasetError
from autometa.metadataset.dataset import MetaDataset
from autometa.metadataset.store import read_collected
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
