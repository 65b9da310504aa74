"""The folder that all evaluations of a run share: prepared folds on disk, memory-mapped by every process.

The calling process prepares a table once per fold and view; workers map the arrays. Fitted models
are written to the same folder, and only those in the ensemble are loaded. The folder is deleted with
the run; the folder of a killed run is deleted by the next one.
"""

from __future__ import annotations

import functools
import pickle
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cloudpickle
import numpy as np

from autometa._support.owned_folder import OwnedFolder
from autometa.core.task import Problem
from autometa.evaluation.metrics import Metric
from autometa.evaluation.resampling import Fold
from autometa.learners.base import Learner, Model
from autometa.tables.preparation import Preparation, fit_preparation
from autometa.tables.table_task import Task
from autometa.tables.view import View

ALL_ROWS = -1
"""Number of the fold that trains on all rows and has no validation rows."""


@dataclass(frozen=True)
class Shared:
    """Data and settings that all evaluations of a run have in common.

    Parameters
    ----------
    y : ndarray of shape (n_rows,)
        Class codes or values of all rows.
    sample_weight : ndarray of shape (n_rows,) or None
        Weights of all rows.
    problem : {"binary", "multiclass", "regression"}
        Kind of the target.
    n_classes : int
        Number of classes; 0 for regression.
    folds : tuple of Fold
        Row numbers of each fold.
    metric : Metric
        Loss of the run.
    learners : mapping of str to Learner
        Learner of each strategy.
    """

    y: np.ndarray
    sample_weight: np.ndarray | None
    problem: Problem
    n_classes: int
    folds: tuple[Fold, ...]
    metric: Metric
    learners: Mapping[str, Learner]


@dataclass(frozen=True)
class PreparedFold:
    """One fold in one view.

    Parameters
    ----------
    X_train, X_validation, X_held_out : ndarray of float32
        Prepared rows, memory-mapped; `X_validation` and `X_held_out` are empty for ``ALL_ROWS``.
    categorical, n_categories : ndarray of shape (n_features,)
        Which columns hold category codes, and how many.
    """

    X_train: np.ndarray
    X_validation: np.ndarray
    X_held_out: np.ndarray
    categorical: np.ndarray
    n_categories: np.ndarray


@dataclass(frozen=True)
class KeptFits:
    """Fits of a workspace that outlive its folder.

    Parameters
    ----------
    models : mapping of (int, int) to bytes
        Pickled models by the number of the trial and the number of the fold.
    preparations : mapping of (int, View) to Preparation
        Fitted preparations by the number of the fold and the view.
    """

    models: Mapping[tuple[int, int], bytes]
    preparations: Mapping[tuple[int, View], Preparation]


class Workspace:
    """The writing side of the folder, held by the calling process.

    Parameters
    ----------
    task, folds, metric, learners
        Data and settings of the run, see ``Shared``.
    seed : int
        Seed of the preparation.
    parent : Path or None
        Folder to make it in; None for the system's folder for temporary files.
    kept : KeptFits or None
        Fits of an earlier workspace with the same task, folds, learners and seed.
    """

    def __init__(
        self,
        task: Task,
        folds: tuple[Fold, ...],
        metric: Metric,
        learners: Mapping[str, Learner],
        seed: int,
        parent: Path | None = None,
        kept: KeptFits | None = None,
    ) -> None:
        self._task, self._seed = task, seed
        self.shared = Shared(task.y, task.sample_weight, task.problem, task.n_classes, folds, metric, learners)
        self._preparations: dict[tuple[int, View], Preparation] = {}
        self._fitted: dict[tuple[int, View], Preparation] = {} if kept is None else dict(kept.preparations)
        self._seconds: dict[View, float] = {}
        self._owned = OwnedFolder("autometa-", parent)
        self.folder = self._owned.path
        try:
            # Metrics and estimators may be defined in a user's script, which plain pickle cannot send.
            (self.folder / "shared.pkl").write_bytes(cloudpickle.dumps(self.shared, protocol=5))
            for (trial, fold), model in kept.models.items() if kept is not None else ():
                path = model_path(self.folder, trial, fold)
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(model)
        except BaseException:
            self.close()
            raise

    def train_rows(self, fold: int) -> np.ndarray:
        """Return the row numbers that fold `fold` trains on."""
        return np.arange(self._task.n_rows) if fold == ALL_ROWS else self.shared.folds[fold].train

    def prepare(self, fold: int, view: View) -> Preparation:
        """Return the preparation of a fold, fitted and applied on the first call only; evaluations read its rows."""
        key = (fold, view)
        if key not in self._preparations:
            start_s = time.monotonic()
            train = self._task.table.take(self.train_rows(fold))
            preparation = self._fitted.get(key) or fit_preparation(train, view, self._seed)
            X_train = preparation.transform(train)
            none = np.empty(0, dtype=np.int64)
            rows = Fold(none, none) if fold == ALL_ROWS else self.shared.folds[fold]
            stem = self.folder / f"fold{fold}-{view}"
            np.save(f"{stem}-train.npy", X_train)
            np.save(f"{stem}-validation.npy", self._rows(rows.validation, preparation, like=X_train))
            np.save(f"{stem}-held_out.npy", self._rows(rows.held_out, preparation, like=X_train))
            np.savez(f"{stem}-columns.npz", categorical=preparation.categorical, n_categories=preparation.n_categories)
            self._preparations[key] = self._fitted[key] = preparation
            self._seconds[view] = time.monotonic() - start_s
        return self._preparations[key]

    def preparation(self, fold: int, view: View) -> Preparation:
        """Return the preparation of a fold; it is applied only if it has to be fitted."""
        return self._fitted.get((fold, view)) or self.prepare(fold, view)

    def expected_s(self, fold: int, view: View) -> float:
        """Return the seconds that `prepare` should take: those of the last fold, 0 if it is prepared already."""
        return 0.0 if (fold, view) in self._preparations else self._seconds.get(view, 0.0)

    def _rows(self, rows: np.ndarray, preparation: Preparation, like: np.ndarray) -> np.ndarray:
        """Return prepared rows; without rows, an empty array with the columns of `like`."""
        return preparation.transform(self._task.table.take(rows)) if len(rows) else like[:0]

    def load_model(self, trial: int, fold: int) -> Model:
        """Return the model of a trial's fold."""
        # Unpickling is safe: this run's workers wrote the file into a folder that only this user can read.
        model: Model = pickle.loads(model_path(self.folder, trial, fold).read_bytes())
        return model

    def kept_fits(self, models: Iterable[tuple[int, int]]) -> KeptFits:
        """Return some models, by trial and fold, and all preparations."""
        read = {(trial, fold): model_path(self.folder, trial, fold).read_bytes() for trial, fold in models}
        return KeptFits(read, dict(self._fitted))

    def drop_models(self, trial: int) -> None:
        """Delete the models of a trial that no ensemble will use."""
        for path in (self.folder / "models").glob(f"{trial}_*.pkl"):
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Delete the folder."""
        read_shared.cache_clear()
        read_prepared.cache_clear()
        self._owned.close()


def model_path(folder: Path, trial: int, fold: int) -> Path:
    """Return the file of the model of a trial's fold."""
    return folder / "models" / f"{trial}_{fold}.pkl"


@functools.lru_cache(maxsize=8)
def read_shared(folder: Path) -> Shared:
    """Return the shared data of a run; the file is read once per process."""
    shared: Shared = cloudpickle.loads((folder / "shared.pkl").read_bytes())
    return shared


@functools.lru_cache(maxsize=64)
def read_prepared(folder: Path, fold: int, view: View) -> PreparedFold:
    """Return a prepared fold; the files are mapped once per process."""
    stem = f"{folder}/fold{fold}-{view}"
    with np.load(f"{stem}-columns.npz", allow_pickle=False) as columns:
        categorical, n_categories = columns["categorical"], columns["n_categories"]
    return PreparedFold(
        np.load(f"{stem}-train.npy", mmap_mode="r"),
        np.load(f"{stem}-validation.npy", mmap_mode="r"),
        np.load(f"{stem}-held_out.npy", mmap_mode="r"),
        categorical,
        n_categories,
    )
