from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from autometa._support.files import replaced, shipped_folder


def test_a_checkout_has_the_files_that_ship():
    assert (shipped_folder("strategies") / "policies" / "card.toml").is_file()


def test_a_folder_that_does_not_ship_is_named():
    with pytest.raises(FileNotFoundError, match="'nowhere' is missing"):
        shipped_folder("nowhere")  # type: ignore[arg-type]


def test_the_old_file_stays_until_the_new_one_is_complete(tmp_path: Path):
    file = tmp_path / "model"
    file.write_bytes(b"old")
    with replaced(file) as stream:
        stream.write(b"new")
        stream.flush()
        assert file.read_bytes() == b"old"
    assert file.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.parametrize("fails", ["in the block", "at the end"])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str):
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    file = tmp_path / "model"
    file.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises((OSError, ZeroDivisionError)), replaced(file) as stream:
        stream.write(b"half" if fails == "at the end" else bytes(1 // 0))
    assert file.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model"]


def test_a_symbolic_link_stays_one(tmp_path: Path):
    (tmp_path / "store").mkdir()
    link = tmp_path / "model"
    link.symlink_to(tmp_path / "store" / "real")
    with replaced(link) as stream:
        stream.write(b"new")
    assert link.is_symlink() and (tmp_path / "store" / "real").read_bytes() == b"new"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_permissions_are_those_of_any_new_file(tmp_path: Path):
    (tmp_path / "usual").write_bytes(b"")
    with replaced(tmp_path / "model") as stream:
        stream.write(b"new")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("usual", "model")]
    assert modes[0] == modes[1]
