"""Find the files that ship with autometa, and replace files so that a reader never sees half of one."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import BinaryIO, Literal


def shipped_folder(name: Literal["strategies", "datasets"]) -> Path:
    """Return the folder `name` that ships with autometa.

    In a wheel the folder lies inside the package; in a checkout (also an editable
    install) it lies beside the package, next to ``pyproject.toml``.

    Raises
    ------
    FileNotFoundError
        If neither place has it: the installation is damaged.
    """
    package = Path(str(resources.files("autometa")))
    inside, beside = package / name, package.parent / name
    if inside.is_dir():
        return inside
    if beside.is_dir() and (package.parent / "pyproject.toml").is_file():
        return beside
    raise FileNotFoundError(
        f"autometa's folder {name!r} is missing; looked at {inside} and {beside}. Reinstall autometa."
    )


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """Open a stream whose bytes replace the file `path` once the block ends without an error.

    Until then the old file stays as it is; after an error nothing of the new one is left. A symbolic link is
    followed. The folder must exist.

    Raises
    ------
    OSError
        If the file cannot be written, e.g. as the disk is full.
    """
    target = Path(os.path.realpath(path))
    # Not a name of the tempfile module's: the file should get the permissions that any new file gets.
    unfinished = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        with unfinished.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(target)
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
