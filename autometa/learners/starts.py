"""Meta-learned starts of the shared network in files: arrays and a card, nothing pickled.

``mlp_maml.npz`` holds ``start/parameter`` arrays of every start; ``mlp_maml.card.toml`` says what they were
trained on, and the checksum of the arrays.
"""

from __future__ import annotations

import hashlib
import io
import tomllib
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from autometa._support.files import shipped_folder
from autometa._support.toml_text import toml_text
from autometa.exceptions import MetaWeightsError

STARTS_VERSION = 1
"""Goes up when the network changes so that old arrays no longer fit."""

_ARRAYS, _CARD = "mlp_maml.npz", "mlp_maml.card.toml"
_ADVICE = "Reinstall autometa to get the weights that ship, or use start = 'random'."


def shipped_starts_folder() -> Path:
    """Return the folder of the starts that ship."""
    return shipped_folder("strategies") / "starts"


def write_starts(folder: str | Path, starts: Mapping[str, Mapping[str, np.ndarray]], card: Mapping[str, Any]) -> None:
    """Write starts by name, each of arrays by name, and a card of plain values."""
    place = Path(folder)
    buffer = io.BytesIO()
    arrays = {f"{start}/{name}": array for start, one in starts.items() for name, array in one.items()}
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    content = buffer.getvalue()
    head = {"starts_version": STARTS_VERSION, "sha256": hashlib.sha256(content).hexdigest()}
    try:
        place.mkdir(parents=True, exist_ok=True)
        (place / _ARRAYS).write_bytes(content)
        (place / _CARD).write_text(toml_text({**head, **card}), encoding="utf-8")
    except OSError as error:
        raise MetaWeightsError(
            f"{place} cannot be written ({error.strerror or error}). Choose another folder."
        ) from error


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
    file = folder / _ARRAYS
    try:
        content = file.read_bytes()
        card = tomllib.loads((folder / _CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MetaWeightsError(f"{folder} must hold readable {_ARRAYS} and {_CARD}: {error}. {_ADVICE}") from error
    if card.get("starts_version") != STARTS_VERSION:
        raise MetaWeightsError(
            f"{folder / _CARD} is of version {card.get('starts_version')!r}; this autometa reads version "
            f"{STARTS_VERSION}. {_ADVICE}"
        )
    if hashlib.sha256(content).hexdigest() != card.get("sha256"):
        raise MetaWeightsError(f"{file} is damaged: its checksum is not the one in {_CARD}. {_ADVICE}")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            starts: dict[str, dict[str, np.ndarray]] = {}
            for path in arrays.files:
                start, _, name = path.partition("/")
                starts.setdefault(start, {})[name] = arrays[path]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise MetaWeightsError(f"{file} does not hold arrays ({error}). {_ADVICE}") from error
    for start, found in starts.items():
        has = {name: array.shape for name, array in found.items()}
        fits = has == dict(shapes) and all(a.dtype == np.float32 and np.isfinite(a).all() for a in found.values())
        if not fits:
            raise MetaWeightsError(
                f"Start {start!r} in {file} does not fit the network: expected finite float32 arrays of the shapes "
                f"{dict(shapes)}, got {has}. {_ADVICE}"
            )
    return starts
