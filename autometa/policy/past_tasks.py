"""Hold past tasks as arrays, which every learnt policy reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from autometa.core.space import Configuration, SearchSpace, is_valid
from autometa.core.strategy import Strategy
from autometa.metadataset.dataset import MetaDataset
from autometa.metadataset.error_moments import ErrorMoments
from autometa.metadataset.schema import LOSS_COLUMNS
from autometa.tables.features import META_FEATURES

TRAIN_SHARE = 2 / 3
"""Fraction of a recorded task's rows that one fit trains on."""


@dataclass(frozen=True, eq=False)  # hashed by identity, as models of it are cached
class PastTasks:
    """Losses, seconds and memory of configurations on past tasks.

    Parameters
    ----------
    tasks, families, problems : tuple of str
        Name, family and problem of each past task.
    configurations : tuple of Configuration
        Configurations that were measured: the action space of a policy.
    feature_names : tuple of str
        Names of the meta-features.
    features : ndarray of shape (n_tasks, n_features)
        Meta-features; NaN where one is not defined.
    sizes : ndarray of shape (n_tasks, 3)
        Logarithms of the rows that one fit trained on, of the columns, and of the classes (0
        for regression).
    losses : mapping of str to ndarray of shape (n_tasks, n_configurations)
        Mean loss over the folds at anchor 1, by metric; NaN where a configuration was not measured or failed.
    seconds : ndarray of shape (n_tasks, n_configurations)
        CPU seconds of one fit and prediction at anchor 1, mean over the folds; NaN where not measured.
    memory_mb : ndarray of shape (n_tasks, n_configurations)
        Peak memory of an evaluation in MiB, mean over the folds; NaN where not measured.
    failed : ndarray of shape (n_tasks, n_configurations), bool
        Whether a configuration was tried without a result.
    moments : ndarray of shape (n_tasks, n_configurations, n_configurations), float32, optional
        Second moments of errors, from which ensembles are predicted; NaN where a configuration was not measured.
    """

    tasks: tuple[str, ...]
    families: tuple[str, ...]
    problems: tuple[str, ...]
    configurations: tuple[Configuration, ...]
    feature_names: tuple[str, ...]
    features: np.ndarray
    sizes: np.ndarray
    losses: Mapping[str, np.ndarray]
    seconds: np.ndarray
    memory_mb: np.ndarray
    failed: np.ndarray
    moments: np.ndarray | None = None

    def __post_init__(self) -> None:
        n, m = len(self.tasks), len(self.configurations)
        for name in ("families", "problems"):
            if len(getattr(self, name)) != n:
                raise ValueError(f"{name} must have one entry per task ({n}), got {len(getattr(self, name))}.")
        if np.shape(self.features) != (n, len(self.feature_names)):
            raise ValueError(
                f"features must be of shape {(n, len(self.feature_names))}, got {np.shape(self.features)}."
            )
        if np.shape(self.sizes) != (n, 3):
            raise ValueError(f"sizes must be of shape {(n, 3)}, got {np.shape(self.sizes)}.")
        matrices = {**self.losses, "seconds": self.seconds, "memory_mb": self.memory_mb, "failed": self.failed}
        for name, matrix in matrices.items():
            if np.shape(matrix) != (n, m):
                raise ValueError(f"{name} must be of shape {(n, m)}, got {np.shape(matrix)}.")
        if self.moments is not None and np.shape(self.moments) != (n, m, m):
            raise ValueError(f"moments must be of shape {(n, m, m)}, got {np.shape(self.moments)}.")

    @classmethod
    def from_metadataset(cls, metadataset: MetaDataset, moments: ErrorMoments | None = None) -> PastTasks:
        """Return the past tasks of a meta-dataset, with the second moments of their errors if they are given.

        Seconds are CPU seconds where they were recorded, else wall-clock seconds.
        """
        tasks, table = metadataset.tasks, metadataset.configurations
        configurations = tuple(
            Configuration(strategy, json.loads(parameters))
            for strategy, parameters in zip(table["strategy"], table["parameters"], strict=True)
        )
        recorded = [
            column.removeprefix("loss_")
            for column in (*LOSS_COLUMNS, "loss_objective")
            if column in metadataset.evaluations and metadataset.evaluations[column].notna().any()
        ]
        names = tuple(name for name in META_FEATURES if name in tasks)
        # Records from elsewhere have no meta-features but the size.
        features = (
            tasks[list(names)].to_numpy(np.float64) if names else np.log(tasks[["n_rows", "n_columns"]].clip(lower=1))
        )
        return cls(
            tasks=tuple(tasks["task"]),
            families=tuple(tasks["family"]),
            problems=tuple(tasks["problem"]),
            configurations=configurations,
            feature_names=names or ("log_rows", "log_columns"),
            features=np.asarray(features, dtype=np.float64),
            sizes=_sizes(metadataset),
            losses={metric: metadataset.matrix("loss", metric=metric).to_numpy(np.float64) for metric in recorded},
            seconds=_seconds(metadataset),
            memory_mb=metadataset.matrix("memory_mb").to_numpy(np.float64),
            failed=(metadataset.status_matrix().to_numpy(dtype=object, na_value="ok") != "ok"),
            moments=None if moments is None else _pooled(moments, metadataset),
        )

    @cached_property
    def position(self) -> dict[Configuration, int]:
        """Index of each configuration."""
        return {configuration: index for index, configuration in enumerate(self.configurations)}

    @cached_property
    def strategies(self) -> np.ndarray:
        """Strategy of each configuration."""
        return np.array([configuration.strategy for configuration in self.configurations])

    def has_loss(self, problem: str) -> np.ndarray:
        """Return a mask of the configurations with a loss on any task of a problem, of shape (n_configurations,)."""
        same_problem = np.array(self.problems) == problem
        return np.any([np.isfinite(matrix[same_problem]).any(axis=0) for matrix in self.losses.values()], axis=0)

    def is_possible(self, strategies: Sequence[Strategy]) -> np.ndarray:
        """Return a mask of the configurations that a study over these strategies can try.

        A strategy may have another space than when it was recorded, or be one of the user's with the
        same name. Parameters that a recorded configuration lacks would be drawn by the study's
        sampler, so the recorded configuration itself would never be tried.
        """
        spaces = {strategy.name: strategy.space for strategy in strategies}
        return np.array(
            [c.strategy in spaces and _is_point(c, spaces[c.strategy]) for c in self.configurations], dtype=bool
        )

    def select(self, tasks: Sequence[int] | np.ndarray) -> PastTasks:
        """Return some of the tasks, by index."""
        rows = np.asarray(tasks, dtype=np.int64)
        return PastTasks(
            tasks=tuple(self.tasks[row] for row in rows),
            families=tuple(self.families[row] for row in rows),
            problems=tuple(self.problems[row] for row in rows),
            configurations=self.configurations,
            feature_names=self.feature_names,
            features=self.features[rows],
            sizes=self.sizes[rows],
            losses={metric: matrix[rows] for metric, matrix in self.losses.items()},
            seconds=self.seconds[rows],
            memory_mb=self.memory_mb[rows],
            failed=self.failed[rows],
            moments=None if self.moments is None else self.moments[rows],
        )

    def select_configurations(self, indices: Sequence[int] | np.ndarray) -> PastTasks:
        """Return all tasks with some of the configurations, by index."""
        chosen = np.asarray(indices, dtype=np.int64)
        return replace(
            self,
            configurations=tuple(self.configurations[index] for index in chosen),
            losses={metric: matrix[:, chosen] for metric, matrix in self.losses.items()},
            seconds=self.seconds[:, chosen],
            memory_mb=self.memory_mb[:, chosen],
            failed=self.failed[:, chosen],
            moments=None if self.moments is None else self.moments[:, chosen][:, :, chosen],
        )

    def join(self, other: PastTasks, *, least: int = 2) -> PastTasks:
        """Return the tasks of both; new configurations of `other` are included from `least` tasks on.

        A search tries many configurations only once, which is no evidence about other tasks.
        """
        counts = np.isfinite(other.seconds).sum(axis=0)
        new = [c for c, n in zip(other.configurations, counts, strict=True) if c not in self.position and n >= least]
        configurations = (*self.configurations, *new)
        index = {configuration: j for j, configuration in enumerate(configurations)}
        taken = [j for j, configuration in enumerate(other.configurations) if configuration in index]
        columns = [index[other.configurations[j]] for j in taken]
        n_own, n_other = len(self.tasks), len(other.tasks)

        def joined(own: np.ndarray | None, others: np.ndarray | None, empty: float = np.nan) -> np.ndarray:
            matrix = np.full((n_own + n_other, len(configurations)), empty)
            if own is not None:
                matrix[:n_own, : len(self.configurations)] = own
            if others is not None:
                matrix[n_own:, columns] = others[:, taken]
            return matrix

        features = np.full((n_other, len(self.feature_names)), np.nan)
        for j, name in enumerate(self.feature_names):
            if name in other.feature_names:
                features[:, j] = other.features[:, other.feature_names.index(name)]
        return PastTasks(
            tasks=(*self.tasks, *other.tasks),
            families=(*self.families, *other.families),
            problems=(*self.problems, *other.problems),
            configurations=configurations,
            feature_names=self.feature_names,
            features=np.vstack([self.features, features]),
            sizes=np.vstack([self.sizes, other.sizes]),
            losses={
                metric: joined(self.losses.get(metric), other.losses.get(metric))
                for metric in dict.fromkeys([*self.losses, *other.losses])
            },
            seconds=joined(self.seconds, other.seconds),
            memory_mb=joined(self.memory_mb, other.memory_mb),
            failed=joined(self.failed, other.failed, 0.0).astype(bool),
            moments=self._joined_moments(other, len(configurations), columns, taken),
        )

    def _joined_moments(
        self, other: PastTasks, n_configurations: int, columns: list[int], taken: list[int]
    ) -> np.ndarray | None:
        if self.moments is None and other.moments is None:
            return None
        n_own = len(self.tasks)
        shape = (n_own + len(other.tasks), n_configurations, n_configurations)
        moments = np.full(shape, np.nan, dtype=np.float32)
        if self.moments is not None:
            moments[:n_own, : len(self.configurations), : len(self.configurations)] = self.moments
        if other.moments is not None:
            into, index = np.array(columns, dtype=np.int64), np.arange(n_own, len(moments))
            moments[np.ix_(index, into, into)] = other.moments[:, taken][:, :, taken]
        return moments


def _is_point(configuration: Configuration, space: SearchSpace) -> bool:
    """Whether the space, given the parameters, completes them to this very configuration."""
    given = configuration.parameters
    return (
        all(name in space.distributions and is_valid(space.distributions[name], value) for name, value in given.items())
        and all(name in given for name in space.distributions if space.is_active(name, given))
        # Types of values count: 1 and 1.0 are two configurations.
        and Configuration(configuration.strategy, space.complete(given)) == configuration
    )


def _seconds(metadataset: MetaDataset) -> np.ndarray:
    """Return seconds of fit and prediction, CPU where recorded; prediction is 0 where not recorded."""
    fit = metadataset.matrix("fit_cpu_s").to_numpy(np.float64)
    wall = metadataset.matrix("fit_s").to_numpy(np.float64)
    predict = metadataset.matrix("predict_cpu_s").to_numpy(np.float64)
    return np.where(np.isnan(fit), wall, fit) + np.nan_to_num(predict)


def _pooled(moments: ErrorMoments, metadataset: MetaDataset) -> np.ndarray:
    """Return the mean of the moments of validation and held-out rows."""
    found = moments.select(list(metadataset.tasks["task"]), list(metadataset.configurations["configuration"]))
    return (found.validation + found.held_out) / 2


def _sizes(metadataset: MetaDataset) -> np.ndarray:
    tasks = metadataset.tasks
    # Collected tasks are split into three parts; two are trained on.
    rows = tasks["n_rows_used"].to_numpy(np.float64) * TRAIN_SHARE
    others = tasks[["n_columns", "n_classes"]].to_numpy(np.float64)
    return np.log(np.maximum(np.column_stack([rows, others]), 1.0))
