"""Creates temporary folders that their process removes, or the next process if it was killed."""

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
    """A new folder that only this user can read, locked as long as this process lives.

    The system releases the lock however the process ends. So a folder without a lock has no living owner, also if that
    ran in another container. Where files cannot be locked, folders of killed processes stay.

    Parameters
    ----------
    prefix : str
        Beginning of the folder's name.
    parent : Path or None
        Where to create it; None for the system's temporary folder. Abandoned folders with the prefix are removed there.
    """

    def __init__(self, prefix: str, parent: Path | None = None) -> None:
        parent = Path(tempfile.gettempdir()) if parent is None else parent
        remove_abandoned(prefix, parent)
        self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        lock = None
        # A folder that never had a lock is never taken for abandoned.
        with contextlib.suppress(OSError):
            lock = _lock_of(self.path)
        # It is also deleted when nobody closes it.
        self._finalizer = weakref.finalize(self, _delete, self.path, lock, os.getpid())

    def close(self) -> None:
        """Delete the folder."""
        self._finalizer()


def _delete(folder: Path, lock: int | None, pid: int) -> None:
    # A process forked from the owner must not delete the folder.
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
            # Other users may put links and folders into a folder that all can write to.
            if entry.name.startswith(prefix) and entry.is_dir(follow_symlinks=False):
                with contextlib.suppress(OSError):
                    if entry.stat(follow_symlinks=False).st_uid == os.getuid():
                        remove_if_abandoned(Path(entry.path))


def _lock_of(folder: Path) -> int | None:
    """Write the file that names the owner, and return the descriptor that holds its lock."""
    if fcntl is None:
        return None
    # It is locked before it gets its name, because an unlocked file of that name marks an abandoned folder.
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
    """Delete a folder whose owner has ended; raises OSError if the owner lives or is unknown."""
    if fcntl is None:
        raise OSError("files cannot be locked here")
    descriptor = os.open(folder / _OWNER, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # On a shared file system, a lock of another machine may not be visible here.
        if os.read(descriptor, 1000).decode().partition("\n")[0] == _boot():
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)


def _boot() -> str:
    """Return an id of this boot of this machine, "" if unknown."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
