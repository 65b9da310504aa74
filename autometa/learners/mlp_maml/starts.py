"""Files with meta-learned starts of the shared network, read and written without pickle.

``mlp_maml.npz`` holds the arrays ``start/parameter`` of every start; ``mlp_maml.card.toml`` describes what they were
trained on, and holds the checksum of the arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from autometa._support.array_folder import ArrayFolder
from autometa._support.files import shipped_folder
from autometa.exceptions import MetaWeightsError

STARTS_VERSION = 2
"""Version of the network; it goes up when old arrays no longer fit."""

_ADVICE = "Reinstall autometa to get the weights that ship, or use start = 'random'."
_FILES = ArrayFolder(
    arrays="mlp_maml.npz",
    card="mlp_maml.card.toml",
    version_field="starts_version",
    version=STARTS_VERSION,
    error=MetaWeightsError,
    content="arrays",
    advice=_ADVICE,
)


def shipped_starts_folder() -> Path:
    """Return the folder of the starts that ship with autometa."""
    return shipped_folder("strategies") / "starts"


def write_starts(folder: str | Path, starts: Mapping[str, Mapping[str, np.ndarray]], card: Mapping[str, Any]) -> None:
    """Write the arrays of each start, and a card of plain values."""
    arrays = {f"{start}/{name}": array for start, one in starts.items() for name, array in one.items()}
    _FILES.write(Path(folder), arrays, card)


@lru_cache(maxsize=4)
def read_starts(folder: Path, shapes: tuple[tuple[str, tuple[int, ...]], ...]) -> dict[str, dict[str, np.ndarray]]:
    """Return the float32 arrays of each start; they are cached and must not be changed.

    Parameters
    ----------
    folder : Path
        Folder of the two files.
    shapes : tuple of (str, tuple of int)
        Names and shapes of the arrays that every start must have.

    Raises
    ------
    MetaWeightsError
        If a file is missing or damaged, or belongs to another network.
    """
    arrays, card = _FILES.read(folder)
    if card["starts_version"] != STARTS_VERSION:
        raise MetaWeightsError(
            f"{folder} is of version {card['starts_version']}; this autometa reads version {STARTS_VERSION}. {_ADVICE}"
        )
    starts: dict[str, dict[str, np.ndarray]] = {}
    for path, array in arrays.items():
        start, _, name = path.partition("/")
        starts.setdefault(start, {})[name] = array
    for start, found in starts.items():
        has = {name: array.shape for name, array in found.items()}
        fits = has == dict(shapes) and all(a.dtype == np.float32 and np.isfinite(a).all() for a in found.values())
        if not fits:
            raise MetaWeightsError(
                f"Start {start!r} in {folder} does not fit the network: expected finite float32 arrays of the shapes "
                f"{dict(shapes)}, got {has}. {_ADVICE}"
            )
    return starts
