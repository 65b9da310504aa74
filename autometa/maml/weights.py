"""Files of meta-learned parameters, read and written without pickle.

``weights.npz`` holds an array for each parameter, ``card.toml`` the checksum of the arrays and the caller's notes on
their origin and use.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autometa._support.array_folder import ArrayFolder
from autometa.exceptions import MetaWeightsError
from autometa.maml.protocol import Params

LAYOUT_VERSION = 1
"""Version of the layout; it goes up when files of the old layout can no longer be read as the new one."""

_FILES = ArrayFolder(
    arrays="weights.npz",
    card="card.toml",
    version_field="layout_version",
    version=LAYOUT_VERSION,
    error=MetaWeightsError,
    content="parameters",
    advice="Write them again with `write_params`, or fetch the folder again.",
)


def write_params(params: Mapping[str, Tensor], folder: str | Path, card: Mapping[str, Any] | None = None) -> Path:
    """Write parameters into a folder, which is created if needed, and return the folder.

    Parameters
    ----------
    params : mapping of str to Tensor
        Parameters by name.
    folder : str or Path
        Folder of ``weights.npz`` and ``card.toml``; existing files are replaced.
    card : mapping, optional
        Texts, numbers, booleans, lists and mappings of them.

    Raises
    ------
    MetaWeightsError
        If the folder cannot be written, or a value is not finite.
    """
    if broken := [name for name, value in params.items() if not bool(torch.isfinite(value).all())]:
        raise MetaWeightsError(f"{', '.join(broken)} of the parameters to be written are not finite. Train them again.")
    folder = Path(folder)
    _FILES.write(folder, {name: value.detach().cpu().numpy() for name, value in params.items()}, card or {})
    return folder


def read_params(folder: str | Path) -> tuple[Params, dict[str, Any]]:
    """Return the parameters and the card that `write_params` wrote.

    Raises
    ------
    MetaWeightsError
        If a file is missing or damaged, does not belong to the other, or was written by a newer autometa.
    """
    arrays, card = _FILES.read(Path(folder))
    return {name: torch.from_numpy(values) for name, values in arrays.items()}, card
