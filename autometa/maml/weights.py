"""What was meta-learned, in files: arrays and a card, nothing pickled.

``weights.npz`` holds an array for each parameter, ``card.toml`` the checksum of the arrays and whatever there is to
say about where they come from and what they are good for.
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
"""Goes up when files of the old layout can no longer be read as the new one."""

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
    """Write parameters into a folder, which is made if needed, and return it.

    Parameters
    ----------
    params : mapping of str to Tensor
        Parameters by name.
    folder : str or Path
        Where ``weights.npz`` and ``card.toml`` are put; files of these names are replaced.
    card : mapping, optional
        Texts, numbers, booleans, lists and mappings of them.

    Raises
    ------
    MetaWeightsError
        If the folder cannot be written, or a value is not finite: weights of a training that diverged help nobody.
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
