"""Writes and reads arrays with a card: one ``.npz`` without pickle, and a TOML file that holds its checksum."""
# Tests: tests/maml/test_weights.py
# Tests: tests/policy/test_weights_file.py

from __future__ import annotations

import hashlib
import io
import tomllib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autometa._support.files import replaced
from autometa._support.toml_text import toml_text
from autometa.exceptions import AutometaError

if TYPE_CHECKING:
    import numpy as np


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return the content of an ``.npz`` file of arrays; arrays of objects are refused."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def arrays_in(data: bytes) -> dict[str, np.ndarray]:
    """Return the arrays of an ``.npz`` file; checksums are compared, and pickled arrays refused."""
    import numpy as np

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {
            name.removesuffix(".npy"): np.lib.format.read_array(io.BytesIO(archive.read(name)), allow_pickle=False)
            for name in archive.namelist()
        }


@dataclass(frozen=True)
class ArrayFolder:
    """The names of the two files, and the error for files that cannot be used.

    Parameters
    ----------
    arrays, card : str
        Names of the files.
    version_field : str
        Field of the card with the version of the layout.
    version : int
        The layout that is written, and the newest that can be read.
    error : type of AutometaError
        The error that is raised.
    content : str
        Description of the arrays, for messages.
    advice : str
        What to do about files that cannot be used, for messages.
    """

    arrays: str
    card: str
    version_field: str
    version: int
    error: type[AutometaError]
    content: str
    advice: str

    def write(self, folder: Path, arrays: Mapping[str, np.ndarray], card: Mapping[str, Any]) -> None:
        """Write arrays by name and a card of plain values; the folder is made if needed."""
        data = npz_bytes(arrays)
        first = {self.version_field: self.version, "sha256": hashlib.sha256(data).hexdigest()}
        text = toml_text({**first, **{name: value for name, value in card.items() if name not in first}})
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # The card is written last, as its checksum must match the arrays.
            for name, content in ((self.arrays, data), (self.card, text.encode())):
                with replaced(folder / name) as stream:
                    stream.write(content)
        except OSError as error:
            raise self.error(
                f"{folder} cannot be written: {error.strerror or error}. Choose another folder."
            ) from error

    def read(self, folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return arrays by name, and the card.

        Raises `error` if a file is missing or damaged, does not belong to the other, or has a newer layout.
        """
        card = self._card(folder / self.card)
        file = folder / self.arrays
        data = self._bytes(file)
        if (found := hashlib.sha256(data).hexdigest()) != card.get("sha256"):
            raise self.error(
                f"{file} does not belong to its card or was cut off: expected sha256 {card.get('sha256')}, "
                f"got {found} ({len(data):,} bytes). {self.advice}"
            )
        try:
            arrays = arrays_in(data)
        except Exception as error:  # a forged file can fail anywhere
            raise self.error(
                f"{file} does not hold {self.content} ({type(error).__name__}: {error}). {self.advice}"
            ) from error
        return arrays, card

    def _card(self, file: Path) -> dict[str, Any]:
        try:
            card = tomllib.loads(self._bytes(file).decode())
        except ValueError as error:
            raise self.error(f"{file} cannot be read as TOML ({error}). {self.advice}") from error
        version = card.get(self.version_field)
        if not isinstance(version, int) or version < 1:
            raise self.error(
                f"{file}: {self.version_field} must be a whole number from 1, got {version!r}. {self.advice}"
            )
        if version > self.version:
            raise self.error(
                f"{file} has layout {version}; this autometa reads layouts up to {self.version}. Update autometa."
            )
        return card

    def _bytes(self, file: Path) -> bytes:
        try:
            return file.read_bytes()
        except OSError as error:
            raise self.error(
                f"{file} cannot be read ({error.strerror or error}); expected {self.arrays} and {self.card} in its "
                f"folder. {self.advice}"
            ) from error
