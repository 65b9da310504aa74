"""Temporary folders that a process cleans up after itself, or the next one when it was killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import weakref
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_OWNER = "owner"


class OwnedFolder:
    """A new folder that only this user can read, held by a lock for as long as this process lives.

    The system releases the lock however the process ends, so a folder without one has no
    living owner, whatever its number and in whichever container it ran. Where files cannot
    be locked, folders of killed processes stay.

    Parameters
    ----------
    prefix : str
        Begin of the folder's name.
    parent : Path or None
        Where to make it; None for the system's place for temporary files. Abandoned folders
        with this prefix are removed there.
    """

    def __init__(self, prefix: str, parent: Path | None = None) -> None:
        parent = Path(tempfile.gettempdir()) if parent is None else parent
        remove_abandoned(prefix, parent)
        self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        lock = None
        # Without a lock nobody will take the folder for abandoned.
        with contextlib.suppress(OSError):
            lock = _lock_of(self.path)
        # Also where nobody closes it: it would stay as long as this process lives.
        self._finalizer = weakref.finalize(self, _delete, self.path, lock, os.getpid())

    def close(self) -> None:
        """Delete the folder."""
        self._finalizer()


def _delete(folder: Path, lock: int | None, pid: int) -> None:
    # A process that was forked from the owner's ends without the folder being its own.
    if os.getpid() == pid:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def remove_abandoned(prefix: str, parent: Path) -> None:
    """Delete this user's folders with a prefix whose owner has ended."""
    if fcntl is None:
        return
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            # Others may put links and folders of their own into a place that all can write to.
            if entry.name.startswith(prefix) and entry.is_dir(follow_symlinks=False):
                with contextlib.suppress(OSError):
                    if entry.stat(follow_symlinks=False).st_uid == os.getuid():
                        remove_if_abandoned(Path(entry.path))


def _lock_of(folder: Path) -> int | None:
    """Write the file that names the owner, and return the descriptor that holds its lock."""
    if fcntl is None:
        return None
    # Locked before it gets its name: with the name and without a lock it would mark an abandoned folder.
    unnamed = folder / f"{_OWNER}.new"
    descriptor = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(descriptor, f"{_boot()}\n{os.getpid()}\n".encode())
        unnamed.rename(folder / _OWNER)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def remove_if_abandoned(folder: Path) -> None:
    """Delete a folder whose owner has ended.

    Raises
    ------
    OSError
        If it has a living owner, or none that is known.
    """
    if fcntl is None:
        raise OSError("files cannot be locked here")
    descriptor = os.open(folder / _OWNER, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A folder that several machines share may be locked on another one without being locked here.
        if os.read(descriptor, 1000).decode().partition("\n")[0] == _boot():
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)


def _boot() -> str:
    """Return what tells this run of the kernel from others, also those of other machines; empty if unknown."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
