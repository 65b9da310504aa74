"""Meta-learned starts of the shared network in files: arrays and a card, nothing pickled.

``mlp_maml.npz`` holds ``start/parameter`` arrays of every start; ``mlp_maml.card.toml`` says what they were
trained on, and the checksum of the arrays.
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
"""Goes up when the network changes so that old arrays no longer fit."""

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
    """Return the folder of the starts that ship."""
    return shipped_folder("strategies") / "starts"


def write_starts(folder: str | Path, starts: Mapping[str, Mapping[str, np.ndarray]], card: Mapping[str, Any]) -> None:
    """Write starts by name, each of arrays by name, and a card of plain values."""
    arrays = {f"{start}/{name}": array for start, one in starts.items() for name, array in one.items()}
    _FILES.write(Path(folder), arrays, card)


@lru_cache(maxsize=4)
def read_starts(folder: Path, shapes: tuple[tuple[str, tuple[int, ...]], ...]) -> dict[str, dict[str, np.ndarray]]:
    """Return starts by name, each of float32 arrays by name; they are read once and must not be changed.

    Parameters
    ----------
    folder : Path
        Where the two files are.
    shapes : tuple of (str, tuple of int)
        Names and shapes of the arrays that every start must have.

    Raises
    ------
    MetaWeightsError
        If a file is missing or damaged, or of another network.
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
