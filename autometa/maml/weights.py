"""What was meta-learned, in files: arrays and a card, nothing pickled.

``weights.npz`` holds an array for each parameter, ``card.toml`` the checksum of the arrays and whatever there is to
say about where they come from and what they are good for.
"""

from __future__ import annotations

import hashlib
import io
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autometa._support.toml_text import toml_text
from autometa.exceptions import MetaWeightsError
from autometa.maml.protocol import Params

LAYOUT_VERSION = 1
"""Goes up when files of the old layout can no longer be read as the new one."""

_WEIGHTS, _CARD = "weights.npz", "card.toml"
_ADVICE = "Write them again with `write_params`, or fetch the folder again."


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
    folder = Path(folder)
    arrays = {name: value.detach().cpu().numpy() for name, value in params.items()}
    if broken := [name for name, values in arrays.items() if not np.isfinite(values).all()]:
        raise MetaWeightsError(f"{', '.join(broken)} of the parameters to be written are not finite. Train them again.")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    data = buffer.getvalue()
    first = {"layout_version": LAYOUT_VERSION, "sha256": hashlib.sha256(data).hexdigest()}
    said = {name: value for name, value in (card or {}).items() if name not in first}
    text = toml_text({**first, **said})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # The card comes last: without the right one, new arrays are not taken for whole.
        (folder / _WEIGHTS).write_bytes(data)
        (folder / _CARD).write_text(text, encoding="utf-8")
    except OSError as error:
        raise MetaWeightsError(
            f"{folder} cannot be written: {error.strerror or error}. Choose another folder."
        ) from error
    return folder


def read_params(folder: str | Path) -> tuple[Params, dict[str, Any]]:
    """Return the parameters and the card that `write_params` wrote.

    Raises
    ------
    MetaWeightsError
        If a file is missing or damaged, does not belong to the other, or was written by a newer autometa.
    """
    folder = Path(folder)
    card = _card(folder / _CARD)
    data = _bytes(folder / _WEIGHTS)
    if (found := hashlib.sha256(data).hexdigest()) != card.get("sha256"):
        raise MetaWeightsError(
            f"{folder / _WEIGHTS} does not belong to its card or was cut off: expected sha256 {card.get('sha256')}, "
            f"got {found} ({len(data):,} bytes). {_ADVICE}"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            params = {
                name.removesuffix(".npy"): torch.from_numpy(
                    np.lib.format.read_array(io.BytesIO(archive.read(name)), allow_pickle=False)
                )
                for name in archive.namelist()
            }
    except Exception as error:  # a forged file can fail anywhere
        raise MetaWeightsError(
            f"{folder / _WEIGHTS} does not hold parameters ({type(error).__name__}: {error}). {_ADVICE}"
        ) from error
    return params, card


def _card(file: Path) -> dict[str, Any]:
    try:
        card = tomllib.loads(_bytes(file).decode())
    except ValueError as error:
        raise MetaWeightsError(f"{file} cannot be read as TOML ({error}). {_ADVICE}") from error
    version = card.get("layout_version")
    if not isinstance(version, int) or version < 1:
        raise MetaWeightsError(f"{file}: layout_version must be a whole number from 1, got {version!r}. {_ADVICE}")
    if version > LAYOUT_VERSION:
        raise MetaWeightsError(
            f"{file} has layout {version}; this autometa reads layouts up to {LAYOUT_VERSION}. Update autometa."
        )
    return card


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise MetaWeightsError(
            f"{file} cannot be read ({error.strerror or error}); expected {_WEIGHTS} and {_CARD} in its folder. "
            f"{_ADVICE}"
        ) from error
