"""Keep results of the user's own fits for later ones, without rows, labels or names of their tables."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from autometa.core.evaluation import Evaluation
from autometa.core.task import TaskDescription
from autometa.exceptions import MetaDatasetError
from autometa.metadataset.dataset import MetaDataset
from autometa.metadataset.pool import PoolEntry, configuration_id
from autometa.metadataset.schema import LOSS_COLUMNS
from autometa.metadataset.store import FILE_NAME, Store, evaluation_row, read_collected, read_features
from autometa.tables.features import META_FEATURES

_SETTINGS = {"kind": "experience"}
_PATIENCE_S = 5.0
"""Seconds to wait for another fit that is writing, which takes milliseconds."""


def remember(folder: Path, description: TaskDescription, evaluations: Iterable[Evaluation], seed: int) -> None:
    """Add the results of a fit.

    Sizes, meta-features, configurations, losses and seconds are stored. The task is named by a
    digest of its meta-features, so fits of the same table count as one task.

    Parameters
    ----------
    folder : Path
        Folder of the experience; created if needed.
    description : TaskDescription
        The task, with meta-features.
    evaluations : iterable of Evaluation
        Results at any anchor and fold; fits that the deadline cut short are left out.
    seed : int
        Seed of the fit; repeated fits with the same seed count once.

    Raises
    ------
    MetaDatasetError
        If the folder cannot be written, or holds something else.
    """
    task = _name(description)
    row = {
        "task": task,
        "problem": description.problem,
        "family": task,
        "n_rows": description.n_rows,
        "n_columns": description.n_columns,
        "n_classes": description.n_classes,
        "n_rows_used": description.n_rows,
    }
    with _opened(folder) as store:
        store.add_task(row)
        store.add_features(task, description.features)
        by_configuration: dict[str, list[dict[str, Any]]] = {}
        for evaluation in evaluations:
            if evaluation.is_cut_short:
                # Without the deadline, its loss and seconds would be others.
                continue
            name = configuration_id(evaluation.configuration)
            if name not in by_configuration:
                store.add_configurations([PoolEntry(evaluation.configuration, 0, "sample")])
            by_configuration.setdefault(name, []).append(
                evaluation_row(task, evaluation, seed, _losses(description, evaluation))
            )
        for rows in by_configuration.values():
            store.add(rows, None)


def recall(folder: Path) -> MetaDataset | None:
    """Return the results of all fits so far; None before the first one.

    Raises
    ------
    MetaDatasetError
        If the file is damaged, or holds a collection.
    """
    if not (folder / FILE_NAME).is_file():
        return None
    tasks, configurations, evaluations, settings = read_collected(folder)
    if settings.get("kind") != _SETTINGS["kind"]:
        raise MetaDatasetError(f"{folder} holds a collection and no experience of fits. Choose another folder.")
    if evaluations.empty:
        return None
    features = read_features(folder)
    described = pd.DataFrame([features.get(task, {}) for task in tasks["task"]], columns=list(META_FEATURES))
    return MetaDataset(pd.concat([tasks, described.astype("float64")], axis=1), configurations, evaluations)


def _name(description: TaskDescription) -> str:
    sizes = [description.problem, description.n_rows, description.n_columns, description.n_classes]
    text = json.dumps([sizes, sorted(description.features.items())])
    return f"fit-{hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}"


def _losses(description: TaskDescription, evaluation: Evaluation) -> dict[str, float]:
    # With a metric that is not in the schema, only seconds and failures are stored.
    if f"loss_{description.metric}" not in LOSS_COLUMNS or evaluation.status != "ok":
        return {}
    return {description.metric: evaluation.loss / description.loss_unit}


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[Store]:
    """Open the store, waiting for a fit that is writing at this moment."""
    waits_until_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            store = Store(folder, _SETTINGS, finished_fits_only=True)
            break
        except MetaDatasetError:
            if time.monotonic() > waits_until_s:
                raise
            time.sleep(0.1)
    with contextlib.closing(store):
        yield store
