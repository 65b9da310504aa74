r"""Second moments of the errors of recorded configurations: what any ensemble of them would have lost.

The squared error of a weighted mean of models is :math:`w^\top C w`, where :math:`C_{ij}` is the mean over the rows of
the product of the errors of models i and j. The same is true of the Brier score, where products are summed over the
classes. So one symmetric matrix stands for the predictions of all configurations on a task.

Two matrices are kept for each task: of validation rows, on which weights are chosen, and of held-out rows, on which
nothing was chosen.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autometa._support.array_folder import arrays_in, npz_bytes
from autometa._support.files import replaced, shipped_folder
from autometa.exceptions import MetaDatasetError

FILE_NAME = "error_moments.npz"
_VERSION = 1
_SCALE = 32767
"""Correlations are kept as 16-bit integers: a step is 3e-5."""
_PARTS = ("validation", "held_out")


@dataclass(frozen=True, eq=False)
class ErrorMoments:
    """Second moments of errors of configurations on tasks.

    Parameters
    ----------
    tasks, configurations : tuple of str
        Names, as in the meta-dataset that the moments belong to.
    validation, held_out : ndarray of shape (n_tasks, n_configurations, n_configurations), float32
        Symmetric matrices; a diagonal holds mean squared errors (of the standardised target) or Brier scores (summed
        over the classes). NaN where one of the two configurations was not measured.
    """

    tasks: tuple[str, ...]
    configurations: tuple[str, ...]
    validation: np.ndarray
    held_out: np.ndarray

    def __post_init__(self) -> None:
        shape = (len(self.tasks), len(self.configurations), len(self.configurations))
        for name in _PARTS:
            if np.shape(getattr(self, name)) != shape:
                raise ValueError(f"{name} must be of shape {shape}, got {np.shape(getattr(self, name))}.")

    @classmethod
    def load(cls, path: str | Path | None = None) -> ErrorMoments:
        """Return the moments in a file that `to_npz` wrote, by default those that ship.

        Raises
        ------
        MetaDatasetError
            If the file is missing, damaged or from a newer autometa.
        """
        file = Path(path) if path is not None else shipped_folder("datasets") / FILE_NAME
        try:
            arrays = arrays_in(file.read_bytes())
            about = json.loads(str(arrays["about"]))
        except OSError as error:
            raise MetaDatasetError(
                f"{file} cannot be read ({error.strerror or error}); `autometa export` writes it."
            ) from error
        except Exception as error:  # a damaged or forged file can fail anywhere
            raise MetaDatasetError(
                f"{file} does not hold second moments of errors ({type(error).__name__})."
            ) from error
        if about.get("version") != _VERSION:
            raise MetaDatasetError(
                f"{file} has layout {about.get('version')!r}; this autometa reads layout {_VERSION}. Update autometa."
            )
        try:
            parts = {name: unpacked(arrays[name], arrays[f"{name}/correlations"]) for name in _PARTS}
            return cls(tuple(about["tasks"]), tuple(about["configurations"]), **parts)
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise MetaDatasetError(
                f"{file} does not hold second moments of errors ({type(error).__name__})."
            ) from error

    def to_npz(self, file: str | Path) -> Path:
        """Write the moments to a file of arrays, about a megabyte for ten tasks and 200 configurations."""
        file = Path(file)
        about = {"version": _VERSION, "tasks": self.tasks, "configurations": self.configurations}
        arrays = {"about": np.array(json.dumps(about))}
        for name in _PARTS:
            arrays[name], arrays[f"{name}/correlations"] = packed(getattr(self, name))
        with replaced(file) as stream:
            stream.write(npz_bytes(arrays))
        return file

    def select(self, tasks: Sequence[str], configurations: Sequence[str]) -> ErrorMoments:
        """Return the moments of some tasks and configurations, in their order; NaN for those that are not known."""
        found = {}
        rows, columns = _indices(self.tasks, tasks), _indices(self.configurations, configurations)
        for name in _PARTS:
            matrices = np.full((len(tasks), len(configurations), len(configurations)), np.nan, dtype=np.float32)
            known_rows, known = np.flatnonzero(rows >= 0), np.flatnonzero(columns >= 0)
            matrices[np.ix_(known_rows, known, known)] = getattr(self, name)[
                np.ix_(rows[known_rows], columns[known], columns[known])
            ]
            found[name] = matrices
        return ErrorMoments(tuple(tasks), tuple(configurations), **found)


def second_moments(errors: np.ndarray) -> np.ndarray:
    """Return the second moments of errors.

    Parameters
    ----------
    errors : ndarray of shape (n_models, n_rows) or (n_models, n_rows, n_classes)
        Predictions less targets; for classes, probabilities less one-hot targets.

    Returns
    -------
    ndarray of shape (n_models, n_models)
    """
    flat = errors.reshape(len(errors), -1)
    return np.asarray(flat @ flat.T / errors.shape[1])


def packed(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the diagonals of matrices in float32, and the correlations above them as 16-bit integers."""
    diagonals = np.einsum("tii->ti", matrices).astype(np.float32)
    scales = np.sqrt(np.maximum(diagonals, 1e-30))
    rows, columns = np.triu_indices(matrices.shape[1], 1)
    correlations = matrices[:, rows, columns] / (scales[:, rows] * scales[:, columns])
    # Gaps of a pair follow from the diagonals.
    whole = np.rint(np.clip(np.nan_to_num(correlations), -1, 1) * _SCALE)
    return diagonals, whole.astype(np.int16)


def unpacked(diagonals: np.ndarray, correlations: np.ndarray) -> np.ndarray:
    """Return the matrices that `packed` packed."""
    n_tasks, n = diagonals.shape
    scales = np.sqrt(diagonals)
    rows, columns = np.triu_indices(n, 1)
    matrices = np.empty((n_tasks, n, n), dtype=np.float32)
    values = correlations.astype(np.float32) / _SCALE * scales[:, rows] * scales[:, columns]
    matrices[:, rows, columns] = values
    matrices[:, columns, rows] = values
    index = np.arange(n)
    matrices[:, index, index] = diagonals
    return matrices


def _indices(known: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """Return the index of each wanted name among the known ones, -1 without."""
    position = {name: index for index, name in enumerate(known)}
    return np.array([position.get(name, -1) for name in wanted], dtype=np.int64)
