"""Hold a meta-dataset: results of many configurations on many tasks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from optuna.study import Study

from autometa._support.files import shipped_folder
from autometa.core.task import Problem
from autometa.exceptions import MetaDatasetError
from autometa.metadataset import checks as tables
from autometa.metadataset import conversion, files, matrices, store
from autometa.metadataset.families import family_parts
from autometa.metadataset.schema import EVALUATION_KEY, STATUSES, TASK_COLUMNS
from autometa.metadataset.summary import summarise

_FIT_KEY = ["task", "configuration", "fold", "seed"]


@dataclass(frozen=True, eq=False, repr=False)
class MetaDataset:
    """Evaluations of many configurations on many tasks.

    Parameters
    ----------
    tasks : DataFrame
        A row per task: the columns of `schema.TASK_COLUMNS`, then any number of meta-features.
    configurations : DataFrame
        A row per configuration: the columns of `schema.CONFIGURATION_COLUMNS`.
    evaluations : DataFrame
        A row per measurement: the columns of `schema.EVALUATION_COLUMNS`; text columns become
        categorical, `task` and `configuration` with the rows of the other two tables as
        categories.
    manifest : mapping of str to plain values
        Origin of the evaluations: versions, machine, licence, … Entries about files
        (`schema_version`, `files`) are dropped, and made anew when files are written.

    Raises
    ------
    ValueError
        If a column is missing, unknown or cannot be cast, a key occurs twice, or evaluations
        name tasks, configurations or statuses that do not exist.

    Examples
    --------
    >>> losses = pd.DataFrame({"tree": [0.2, 0.4], "forest": [0.1, None]}, index=["iris", "wine"])
    >>> metadataset = MetaDataset.from_matrix(losses)
    >>> metadataset
    MetaDataset(2 tasks, 2 configurations of 2 strategies, 4 evaluations)
    >>> metadataset.matrix()["tree"].round(3).to_dict()
    {'iris': 0.2, 'wine': 0.4}
    >>> metadataset.status_matrix().loc["wine", "forest"]
    'failed'
    """

    tasks: pd.DataFrame
    configurations: pd.DataFrame
    evaluations: pd.DataFrame
    manifest: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        tasks, configurations = tables.checked_tasks(self.tasks), tables.checked_configurations(self.configurations)
        object.__setattr__(self, "tasks", tasks)
        object.__setattr__(self, "configurations", configurations)
        object.__setattr__(self, "evaluations", tables.checked_evaluations(self.evaluations, tasks, configurations))
        object.__setattr__(self, "manifest", files.free_entries(self.manifest))

    # ------------------------------------------------------------------------------- from and to elsewhere

    @classmethod
    def load(cls, path: str | Path | None = None) -> MetaDataset:
        """Return the meta-dataset in a folder or an ``.npz`` file, or the experience in a folder.

        Nothing in it is unpickled.

        Parameters
        ----------
        path : str, Path or None
            Folder or file written by `to_parquet` or `to_npz`, or the folder of the ``experience`` of
            fits; None is the meta-dataset that ships.

        Raises
        ------
        MetaDatasetError
            If a file is missing, damaged, of another format, or from a newer autometa.
        """
        source = Path(path) if path is not None else shipped_folder("datasets") / "metadataset.npz"
        if (source / store.FILE_NAME).is_file() and not (source / files.MANIFEST).is_file():
            content, manifest = store.read_tables(source)
        else:
            content, manifest = files.read_folder(source) if source.is_dir() else files.read_npz(source)
        try:
            return cls(**content, manifest=manifest)
        except (TypeError, ValueError) as error:
            raise MetaDatasetError(f"{source} does not hold a meta-dataset of this layout: {error}") from error

    def to_parquet(self, folder: str | Path) -> Path:
        """Write ``manifest.toml`` and a Parquet file per table, each replaced once all are complete."""
        return files.write_folder(self._tables(), self.manifest, Path(folder))

    def to_npz(self, file: str | Path) -> Path:
        """Write one compressed file of arrays, which needs nothing but NumPy to be read."""
        return files.write_npz(self._tables(), self.manifest, Path(file))

    @classmethod
    def from_matrix(
        cls,
        losses: pd.DataFrame,
        seconds: pd.DataFrame | None = None,
        *,
        problem: Problem = "multiclass",
        metric: str = "balanced_accuracy",
        tasks: pd.DataFrame | None = None,
    ) -> MetaDataset:
        """Return the meta-dataset of a matrix of losses; see `conversion.tables_from_matrix`."""
        return cls(**conversion.tables_from_matrix(losses, seconds, problem=problem, metric=metric, tasks=tasks))

    @classmethod
    def from_studies(cls, studies: Iterable[Study]) -> MetaDataset:
        """Return the meta-dataset of past Optuna studies; see `conversion.tables_from_studies`."""
        return cls(**conversion.tables_from_studies(studies))

    def concat(self, *others: MetaDataset) -> MetaDataset:
        """Return all tasks, configurations and evaluations of several meta-datasets.

        Evaluations and meta-features in several of them are taken from the first one; gaps in its
        meta-features are filled from the others. Manifest entries that are equal in all remain.

        Raises
        ------
        ValueError
            If tasks or configurations of one name are not the same.
        """
        every = (self, *others)
        tasks = pd.concat([part.tasks for part in every], ignore_index=True)
        configurations = pd.concat([part.configurations for part in every], ignore_index=True)
        _check_agreement(tasks, list(TASK_COLUMNS))
        # Positions and origins may differ, as a pool grows; names, strategies and parameters may not.
        _check_agreement(configurations, ["configuration", "strategy", "parameters"])
        numbered = [part.evaluations.assign(part=number) for number, part in enumerate(every)]
        evaluations = pd.concat(numbered, ignore_index=True)
        # All points of a learning curve come from the same fit.
        is_first = evaluations["part"] == evaluations.groupby(_FIT_KEY, observed=True)["part"].transform("min")
        return MetaDataset(
            tasks.groupby("task", sort=False, as_index=False).first()[tasks.columns],
            configurations.drop_duplicates("configuration"),
            evaluations[is_first].drop(columns="part").drop_duplicates(list(EVALUATION_KEY)),
            {
                name: value
                for name, value in self.manifest.items()
                if all(name in part.manifest and part.manifest[name] == value for part in others)
            },
        )

    def to_pandas(self) -> pd.DataFrame:
        """Return one long frame: evaluations with the strategy, position, problem and family of each."""
        task_rows = self.evaluations["task"].cat.codes.to_numpy()
        configuration_rows = self.evaluations["configuration"].cat.codes.to_numpy()
        return self.evaluations.assign(
            strategy=self.configurations["strategy"].astype("category").array[configuration_rows],
            position=self.configurations["position"].to_numpy()[configuration_rows],
            problem=self.tasks["problem"].astype("category").array[task_rows],
            family=self.tasks["family"].astype("category").array[task_rows],
        )

    # ----------------------------------------------------------------------------------------------- parts

    def select(
        self, tasks: str | Iterable[str] | None = None, configurations: str | Iterable[str] | None = None
    ) -> MetaDataset:
        """Return the part about some tasks and configurations, by name; None keeps all.

        Raises
        ------
        ValueError
            If a name is unknown.
        """
        task_kept = _is_among(self.tasks["task"], tasks)
        configuration_kept = _is_among(self.configurations["configuration"], configurations)
        kept = (
            task_kept[self.evaluations["task"].cat.codes]
            & configuration_kept[self.evaluations["configuration"].cat.codes]
        )
        return MetaDataset(
            self.tasks[task_kept], self.configurations[configuration_kept], self.evaluations[kept], self.manifest
        )

    def split(self, leave_out: str | Iterable[str]) -> tuple[MetaDataset, MetaDataset]:
        """Return the tasks outside and inside some families; both parts keep all configurations.

        Parameters
        ----------
        leave_out : str or iterable of str
            Families of the second part.

        Raises
        ------
        ValueError
            If a family is unknown.
        """
        left_out = _is_among(self.tasks["family"], leave_out)
        names = self.tasks["task"]
        return self.select(tasks=names[~left_out]), self.select(tasks=names[left_out])

    def folds(self, n: int, seed: int = 0) -> Iterator[tuple[MetaDataset, MetaDataset]]:
        """Yield `n` pairs (train, test); every task is in one test part, no family is in both of a pair.

        The parts are as equal in tasks as families allow, and depend only on the names and sizes of
        the families and on the seed.

        Raises
        ------
        ValueError
            If `n` is below 2 or above the number of families.
        """
        n_families = self.tasks["family"].nunique()
        if not 2 <= n <= n_families:
            raise ValueError(f"n must be between 2 and the number of families ({n_families}), got {n}.")
        return (self.split(leave_out=part) for part in family_parts(self.tasks["family"], n, seed))

    # --------------------------------------------------------------------------------------------- results

    @cached_property
    def metrics(self) -> pd.Series:
        """The metric of each task: the first in `schema.LOSSES` with a recorded loss."""
        return matrices.metrics_of(self.tasks, self.evaluations)

    def matrix(self, value: str = "loss", metric: str | None = None, anchor: float = 1.0) -> pd.DataFrame:
        """Return a matrix of tasks × configurations: means over folds and seeds, NaN where not measured.

        Parameters
        ----------
        value : {"loss", "fit_s", "predict_s", "fit_cpu_s", "predict_cpu_s", "memory_mb"}
            Values of the matrix. A loss is NaN where any fold did not end well, as in `status_matrix`.
        metric : str or None
            Metric of the loss; None takes the metric of each task, as in `metrics`.
        anchor : float
            Fraction of the training rows of the fits.
        """
        evaluations = self.evaluations[self._is_finished(anchor)]
        if value in matrices.COSTS:
            return matrices.mean_matrix(evaluations, evaluations[value].to_numpy("float64"))
        if value != "loss":
            raise ValueError(f"value must be 'loss' or one of {', '.join(matrices.COSTS)}, got {value!r}.")
        losses = matrices.mean_matrix(evaluations, self._losses(evaluations, metric))
        return losses.where(self._worst_status_codes(anchor) == 0)

    def status_matrix(self, anchor: float = 1.0) -> pd.DataFrame:
        """Return a matrix of tasks × configurations: the worst status over folds and seeds, None where not measured.

        A fold that ran into a limit at a smaller anchor counts, as no larger one was tried.
        """
        codes = self._worst_status_codes(anchor)
        words = np.array([*STATUSES, None], dtype=object)[codes.to_numpy(np.int64)]
        return pd.DataFrame(words, index=codes.index, columns=codes.columns, dtype=object)

    def curve(self, task: str, configuration: str, metric: str | None = None) -> pd.DataFrame:
        """Return the learning curve of a configuration on a task, from the first point to the last.

        Returns
        -------
        DataFrame
            Columns anchor, progress, n_iterations, loss (means over folds and seeds) and
            n_evaluations, the number of evaluations behind a point, which is smaller where some
            folds stopped earlier. Fits on a part of the rows come first. Only successful
            evaluations are included.

        Raises
        ------
        ValueError
            If the task or the configuration is unknown.
        """
        part = self.select(task, configuration)
        return matrices.mean_curve(part.evaluations, part._losses(part.evaluations, metric or self.metrics[task]))

    # --------------------------------------------------------------------------------------------- summary

    @property
    def n_tasks(self) -> int:
        """Number of tasks."""
        return len(self.tasks)

    @property
    def n_configurations(self) -> int:
        """Number of configurations."""
        return len(self.configurations)

    def summary(self) -> dict[str, pd.DataFrame]:
        """Return counts of tasks, configurations and evaluations.

        Returns
        -------
        dict of str to DataFrame
            ``"problem"``: tasks, families, sizes, configurations per task and evaluations of each
            problem. ``"strategy"``: configurations, evaluations by status, median CPU seconds of a
            full fit and prediction, total CPU hours, and `n_best`, the number of tasks on which the
            strategy has the lowest loss. ``"status"``: evaluations of each status. ``"coverage"``:
            numbers of configurations measured on at least n tasks, and of tasks with at least n
            configurations.
        """
        # From statuses, as failures have no losses but count as measured.
        measured = self.status_matrix().notna()
        return summarise(self.tasks, self.configurations, self.to_pandas(), self.matrix("loss"), measured)

    def __repr__(self) -> str:
        n_strategies = self.configurations["strategy"].nunique()
        return (
            f"MetaDataset({self.n_tasks:,} tasks, {self.n_configurations:,} configurations of {n_strategies:,} "
            f"strategies, {len(self.evaluations):,} evaluations)"
        )

    def _tables(self) -> dict[str, pd.DataFrame]:
        return {"tasks": self.tasks, "configurations": self.configurations, "evaluations": self.evaluations}

    def _is_finished(self, anchor: float) -> pd.Series:
        """Return the mask of finished fits on a fraction of the rows, without points along a fit."""
        # Anchors are stored as float32, which rounds 0.1 to another number.
        return (self.evaluations["anchor"] == np.float32(anchor)) & (self.evaluations["progress"] == 1)

    def _worst_status_codes(self, anchor: float) -> pd.DataFrame:
        anchors, status = self.evaluations["anchor"], self.evaluations["status"]
        gave_up = (anchors < np.float32(anchor)) & status.isin(["timeout", "memory"])
        return matrices.worst_status_codes(self.evaluations[self._is_finished(anchor) | gave_up])

    def _losses(self, evaluations: pd.DataFrame, metric: str | None) -> np.ndarray:
        if metric is None:
            return matrices.losses_of(evaluations, self.metrics)
        if f"loss_{metric}" not in evaluations:
            known = [name.removeprefix("loss_") for name in evaluations if name.startswith("loss_")]
            raise ValueError(f"metric must be one of {', '.join(known)}, got {metric!r}.")
        return matrices.loss_of(evaluations, metric).to_numpy("float64")


def _is_among(values: pd.Series, names: str | Iterable[str] | None) -> np.ndarray:
    """Return a mask of the named values; None selects all."""
    if names is None:
        return np.ones(len(values), dtype=bool)
    # A single text is one name, not a sequence of letters.
    wanted = [names] if isinstance(names, str) else list(names)
    if unknown := sorted(set(wanted) - set(values)):
        raise ValueError(
            f"There is no {values.name} {tables.named(unknown)}; there are {tables.named(sorted(set(values)))}."
        )
    return values.isin(wanted).to_numpy()


def _check_agreement(frame: pd.DataFrame, columns: list[str]) -> None:
    """Raise ValueError if rows with the same name, in the first column, differ in another column."""
    different = frame[columns].drop_duplicates()
    repeated = different[different.duplicated(columns[0], keep=False)]
    if repeated.empty:
        return
    name = repeated[columns[0]].iloc[0]
    rows = repeated[repeated[columns[0]] == name]
    changed = {column: rows[column].tolist() for column in columns if rows[column].nunique() > 1}
    raise ValueError(
        f"Two meta-datasets have a {columns[0]} {name!r} that is not the same in both ({changed}); rename one of them."
    )
