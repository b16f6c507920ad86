"""The rehearsal of a replacement does what the replacement does, and is refused what that would be refused (M4)."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core import paths
from core.clock import SystemClock
from core.files import _ask_to_replace, is_mount_point
from core.flow.journal import Journal
from core.machine.state_file import StateFile
from tests.unit.test_statefile import failure


def rehearsal(file: StateFile) -> Callable[[], object]:
    return lambda: file.update({"A": "new"}, ("C",), really=False)


@pytest.fixture
def file(tmp_path: Path) -> StateFile:
    path = tmp_path / "project" / "state.json"
    path.parent.mkdir()
    path.write_text('{"A": "old", "C": "x"}')
    return StateFile(path, tmp_path / "locks" / "lock")


def test_M4_a_rehearsal_leaves_the_file_and_the_folder_as_they_were(file: StateFile) -> None:
    before, status = file.path.read_bytes(), file.path.stat()
    rehearsal(file)()
    assert file.path.read_bytes() == before
    assert file.path.stat() == status
    assert list(file.path.parent.iterdir()) == [file.path]


@pytest.mark.parametrize("act", ["rehearsal", "update"])
@pytest.mark.parametrize("call", ["replace", "fsync"])
@pytest.mark.parametrize("number", [errno.EBUSY, errno.EROFS, errno.EDQUOT, errno.EIO])
def test_M4_what_the_replacement_is_refused_the_rehearsal_is_refused(
    file: StateFile, monkeypatch: pytest.MonkeyPatch, act: str, call: str, number: int
) -> None:
    def fail(*args: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path if call == "replace" else os, call, fail)
    before = file.path.read_bytes()
    error = failure(rehearsal(file) if act == "rehearsal" else lambda: file.update({"A": "new"}))
    assert (error.id, error.details["detail"]) == ("statefile.io", os.strerror(number))
    assert "Then run the same command again." in error.remedy
    assert file.path.read_bytes() == before
    assert list(file.path.parent.iterdir()) == [file.path]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_M4_a_flush_of_a_folder_that_its_file_system_does_not_know_is_no_failure_of_the_write(
    file: StateFile, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    flush = os.fsync

    def fail(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    rehearsal(file)()
    file.update({"A": "new"}, ("C",))
    assert file.read().members == {"A": "new"}


def test_M8_a_folder_that_can_be_flushed_and_fails_is_no_durable_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush = os.fsync

    def fail(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        flush(descriptor)

    folder = tmp_path / "journal"
    folder.mkdir(mode=0o700)
    journal = Journal(folder / "a.jsonl", "run", SystemClock())
    monkeypatch.setattr(os, "fsync", fail)
    assert failure(journal.mark).id == "journal.io"
    assert not journal.marked
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        paths.private(tmp_path / "new")


def test_M4_a_file_that_went_while_the_rehearsal_asked_is_not_replaced_by_a_folder(
    file: StateFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = tempfile.mkdtemp

    def meanwhile(**options: Any) -> str:
        file.path.unlink()
        return str(make(**options))

    monkeypatch.setattr(tempfile, "mkdtemp", meanwhile)
    assert failure(rehearsal(file)).id == "statefile.io"
    assert list(file.path.parent.iterdir()) == []


def as_root(*command: str) -> None:
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip(f"{command[0]} is not possible here")


@pytest.mark.skipif(sys.platform != "linux", reason="files are mounted on Linux alone")
@pytest.mark.parametrize("name", ["state.json", "a b\\c.json"])
def test_M4_a_file_that_is_a_mount_point_is_refused_before_anything_is_changed(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text('{"A": "old"}')
    file = StateFile(path, tmp_path / "locks" / "lock")
    assert not is_mount_point(path)
    as_root("mount", "--bind", str(path), str(path))
    try:
        for act in (file.check_replaceable, rehearsal(file)):
            error = failure(act)
            assert (error.id, error.exit_code) == ("statefile.mounted", 3)
            assert "Mount the folder" in error.remedy
        with pytest.raises(OSError, match="mount point"):
            _ask_to_replace(path, "x")
    finally:
        as_root("umount", str(path))
    rehearsal(file)()


@pytest.mark.skipif(sys.platform != "linux", reason="chattr is Linux'")
@pytest.mark.parametrize("attribute", ["i", "a"])
def test_M4_an_immutable_file_is_met_by_the_rehearsal(file: StateFile, attribute: str) -> None:
    as_root("chattr", f"+{attribute}", str(file.path))
    try:
        error = failure(rehearsal(file))
        assert error.id == "statefile.io"
        assert "lsattr" in error.remedy
    finally:
        as_root("chattr", f"-{attribute}", str(file.path))
    assert list(file.path.parent.iterdir()) == [file.path]
