"""Folders of processes that were killed are removed by the next one, and no others."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from autometa._support import owned_folder
from autometa._support.owned_folder import OwnedFolder, remove_abandoned

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="files cannot be locked there")

SCRIPT = """
import sys
from pathlib import Path
from autometa._support.owned_folder import OwnedFolder
folder = OwnedFolder("mine-", Path(sys.argv[1]))
(folder.path / "deep").mkdir()
(folder.path / "deep" / "file").write_text("content")
print(folder.path, flush=True)
sys.stdin.readline()
"""


def start(parent: Path) -> tuple[subprocess.Popen[str], Path]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(parent)], text=True, **pipes)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_folder_is_private_and_vanishes_when_it_is_closed(tmp_path: Path):
    folder = OwnedFolder("mine-", tmp_path)
    assert folder.path.parent == tmp_path and folder.path.stat().st_mode & 0o77 == 0
    folder.close()
    assert not list(tmp_path.iterdir())
    folder.close()


def test_folder_that_nobody_closes_vanishes_with_the_last_reference(tmp_path: Path):
    folder = OwnedFolder("mine-", tmp_path)
    path = folder.path
    pid = os.fork()
    if pid == 0:  # a forked process that ends in the usual way
        folder.close()
        os._exit(0)
    os.waitpid(pid, 0)
    assert path.exists()
    del folder
    assert not path.exists()


def test_folder_of_a_killed_process_is_removed_by_the_next_one(tmp_path: Path):
    process, path = start(tmp_path)
    own = OwnedFolder("mine-", tmp_path)
    assert (path / "deep" / "file").exists()
    end(process)
    OwnedFolder("mine-", tmp_path).close()
    assert list(tmp_path.iterdir()) == [own.path]
    own.close()


def test_folder_of_this_process_is_kept(tmp_path: Path):
    folder = OwnedFolder("mine-", tmp_path)
    remove_abandoned("mine-", tmp_path)
    assert folder.path.exists()
    folder.close()


def test_folder_of_another_prefix_without_owner_or_behind_a_link_is_kept(tmp_path: Path):
    process, path = start(tmp_path)
    end(process)
    other = path.rename(tmp_path / "other-1")
    (tmp_path / "mine-link").symlink_to(other)
    (tmp_path / "mine-without-owner").mkdir()
    (tmp_path / "mine-file").write_text("")
    before = sorted(tmp_path.rglob("*"))
    remove_abandoned("mine-", tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_link_in_place_of_the_owner_is_not_followed(tmp_path: Path):
    target = tmp_path / "target"
    target.write_text(f"{owned_folder._boot()}\n1\n")
    (tmp_path / "mine-1").mkdir()
    (tmp_path / "mine-1" / "owner").symlink_to(target)
    remove_abandoned("mine-", tmp_path)
    assert (tmp_path / "mine-1").exists() and target.exists()


def test_folder_of_another_machine_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    process, path = start(tmp_path)
    end(process)
    monkeypatch.setattr(owned_folder, "_boot", lambda: "another")
    remove_abandoned("mine-", tmp_path)
    assert path.exists()
    monkeypatch.undo()
    remove_abandoned("mine-", tmp_path)
    assert not path.exists()


def test_folder_of_another_user_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    process, path = start(tmp_path)
    end(process)
    monkeypatch.setattr(os, "getuid", lambda: path.stat().st_uid + 1)
    remove_abandoned("mine-", tmp_path)
    assert path.exists()


def test_file_system_without_locks_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*arguments: object) -> None:
        raise OSError("no locks here")

    monkeypatch.setattr(owned_folder.fcntl, "flock", refuse)
    folder = OwnedFolder("mine-", tmp_path)
    monkeypatch.undo()
    remove_abandoned("mine-", tmp_path)
    assert folder.path.exists()
    folder.close()
    assert not list(tmp_path.iterdir())


def test_many_can_clear_up_at_once(tmp_path: Path):
    process, _ = start(tmp_path)
    end(process)
    folders: list[OwnedFolder] = []
    threads = [threading.Thread(target=lambda: folders.append(OwnedFolder("mine-", tmp_path))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(tmp_path.iterdir()) == sorted(folder.path for folder in folders)
    for folder in folders:
        folder.close()
