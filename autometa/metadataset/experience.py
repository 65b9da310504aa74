"""Keep results of the user's own fits for later ones, without rows, labels or names of their tables."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from autometa._support.user_warnings import warn_user
from autometa.core.evaluation import Evaluation
from autometa.core.task import TaskDescription
from autometa.exceptions import MetaDatasetError
from autometa.metadataset.dataset import MetaDataset
from autometa.metadataset.pool import PoolEntry, configuration_id
from autometa.metadataset.schema import LOSS_COLUMNS
from autometa.metadataset.store import FILE_NAME, Store, evaluation_row

_SETTINGS = {"kind": "experience"}
_PATIENCE_S = 5.0
"""Seconds to wait for another fit that is writing, which takes milliseconds."""


def remember(
    folder: Path,
    description: TaskDescription,
    evaluations: Iterable[Evaluation],
    seed: int,
    family: str | None = None,
) -> None:
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
    family : str, optional
        Digest of the column names, by which tables of other rows are recognised (`table_family`);
        by default the task is a family of its own.

    Raises
    ------
    MetaDatasetError
        If the folder cannot be written, or holds something else.
    """
    task = task_name(description)
    row = {
        "task": task,
        "problem": description.problem,
        "family": family or task,
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

    The same object is returned until a fit adds to the folder, so that policies learn from it once
    per process.

    Raises
    ------
    MetaDatasetError
        If the file is damaged, or holds a collection.
    """
    if not (folder / FILE_NAME).is_file():
        return None
    return _recalled(folder.resolve(), _state_of(folder))


def recall_or_warn(folder: Path | None) -> MetaDataset | None:
    """Return the results of all fits so far; None, with a warning, if they cannot be read: no fit is lost for them."""
    if folder is None:
        return None
    try:
        return recall(folder)
    except (MetaDatasetError, OSError) as error:
        warn_user(f"The experience of earlier fits is not used: {error}")
        return None


@functools.lru_cache(maxsize=4)
def _recalled(folder: Path, state: tuple[tuple[int, ...], ...]) -> MetaDataset | None:
    metadataset = MetaDataset.load(folder)
    if metadataset.manifest.get("kind") != _SETTINGS["kind"]:
        raise MetaDatasetError(f"{folder} holds a collection and no experience of fits. Choose another folder.")
    return None if metadataset.evaluations.empty else metadataset


def _state_of(folder: Path) -> tuple[tuple[int, ...], ...]:
    """Return what differs after another fit has written: identity, size and time of the file and its journal."""
    files = [folder / FILE_NAME, folder / f"{FILE_NAME}-wal"]
    found = [file.stat() for file in files if file.is_file()]
    return tuple((stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in found)


def task_name(description: TaskDescription) -> str:
    """Return the name under which fits of a table are remembered: a digest of its sizes and meta-features."""
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
