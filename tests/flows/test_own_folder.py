"""This program's own folder leaves the data root of what it sets up: once, whole, with an open run (A8, M8)."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from core import files, paths
from core.errors import SetupError
from core.events import Finding
from core.flow import engine
from core.flows import migrate
from core.machine import own_folder
from tests.flows.test_doctor import checks, diagnose
from tests.flows.test_interrupted import killed_at
from tests.machine import PROFILE, Crash, Machine, killed

posix = pytest.mark.skipif(os.name != "posix", reason="links")
#: Where a migration is killed: nothing made yet, a key on the app, behind the marker.
LINES = (2, 4, 9, 13)


def old() -> Path:
    return paths.former_folder(PROFILE)


def new() -> Path:
    return paths.state_folder(PROFILE)


def contents(folder: Path) -> dict[str, bytes]:
    """Files by name."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def move_back() -> dict[str, bytes]:
    """Have everything where an older version kept it."""
    old().parent.mkdir(exist_ok=True)
    new().rename(old())
    return contents(old())


def filled() -> dict[str, bytes]:
    """What an older version left."""
    for name, content in {"journal/a.jsonl": b"{}\n", "backup/b.json": b"{}", "locks/c.lock": b""}.items():
        path = old() / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return contents(old())


@contextmanager
def across_file_systems(crash_at: int = 0) -> Iterator[list[str]]:
    """No rename from the old place to the new one; and a kill right before the nth change in the file system."""
    done: list[str] = []
    with pytest.MonkeyPatch.context() as patch:

        def count(name: str, act: Callable[..., Any]) -> Callable[..., Any]:
            def counted(*arguments: Any, **named: Any) -> Any:
                if name == "rename" and arguments[:2] == (old(), new()):
                    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
                done.append(name)
                if len(done) == crash_at:
                    raise Crash
                return act(*arguments, **named)

            return counted

        for name in ("rename", "unlink", "rmdir", "mkdir"):
            patch.setattr(Path, name, count(name, getattr(Path, name)))
        for name in ("append", "flush_folder"):
            patch.setattr(files, name, count(name, getattr(files, name)))
        yield done


@pytest.mark.parametrize("line", LINES)
def test_A8_M8_a_run_that_was_interrupted_before_the_move_is_found_and_finished(machine: Machine, line: int) -> None:
    assert killed(line, machine.migrate)
    move_back()
    result = machine.migrate()
    assert (result.outcome, result.errors) == ("changed", [])
    assert "journal.resumed" in machine.findings()
    assert not old().exists()
    assert machine.passwords == []
    assert machine.verify().exit_code == 0


def test_A8_M5_a_run_of_before_the_move_is_undone_to_the_last_file(machine: Machine) -> None:
    before = machine.state_file.read_bytes(), machine.keys
    killed_at(machine, "backup")
    assert any(name.startswith("backup/") for name in move_back())
    result = machine.run(migrate.FLOW, act=engine.undo)
    assert (result.outcome, result.errors) == ("changed", [])
    assert (machine.state_file.read_bytes(), machine.keys) == before
    assert not list(new().glob("backup/*")), "the copy lies elsewhere than the journal says"


def test_A8_looking_moves_it_too_and_a_second_time_nothing_happens(machine: Machine) -> None:
    everything = filled()
    assert diagnose(machine, ["state-folder"]).exit_code in (0, 8)
    assert everything.items() <= contents(new()).items()
    assert not old().exists()
    before = contents(new())
    own_folder.settle(PROFILE)
    assert contents(new()) == before


@posix
def test_A8_M8_a_move_across_file_systems_that_is_killed_anywhere_loses_nothing() -> None:
    with across_file_systems() as done:
        everything = filled()
        done.clear()
        own_folder.settle(PROFILE)
        steps = len(done)
    assert contents(new()) == everything
    assert steps > 10
    for crash_at in range(1, steps + 1):
        move_back()
        with across_file_systems(crash_at), suppress(Crash):
            own_folder.settle(PROFILE)
        held = [contents(place) for place in (old(), new()) if place.exists()]
        assert everything in held, f"neither place is whole after a kill at {crash_at}"
        with across_file_systems():
            own_folder.settle(PROFILE)
        assert contents(new()) == everything, crash_at
        assert not old().exists(), crash_at
        assert sorted(path.name for path in new().parent.iterdir()) == ["entraclaw", "move.lock"], crash_at


@posix
def test_A8_what_grew_since_a_killed_move_is_kept_as_it_grew() -> None:
    everything = filled()
    with across_file_systems() as done:
        own_folder.settle(PROFILE)
        assert done
    for name, content in everything.items():  # as after a kill right before the removal
        (old() / name).parent.mkdir(parents=True, exist_ok=True)
        (old() / name).write_bytes(content)
    (new() / "journal" / "a.jsonl").write_bytes(b"{}\n{}\n")
    own_folder.settle(PROFILE)
    assert not old().exists()
    assert (new() / "journal" / "a.jsonl").read_bytes() == b"{}\n{}\n"


@pytest.mark.parametrize("across", [False, True], ids=["renamed", "copied"])
def test_A8_many_at_once_move_it_once(across: bool) -> None:
    everything = filled()
    start, errors = threading.Barrier(8), []

    def work() -> None:
        start.wait()
        try:
            own_folder.settle(PROFILE)
        except SetupError as error:
            errors.append(error)

    def all_at_once() -> None:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    if across:
        with across_file_systems():
            all_at_once()
    else:
        all_at_once()
    assert errors == []
    assert contents(new()) == everything
    assert not old().exists()


def test_A8_a_run_of_an_older_version_that_is_at_work_keeps_its_folder(machine: Machine) -> None:
    everything = filled()
    with FileLock(old() / "locks" / "c.lock"), pytest.raises(SetupError) as caught:
        machine.migrate()
    assert (caught.value.id, caught.value.exit_code) == ("lock.held", 3)
    assert contents(old()) == everything
    assert machine.migrate().exit_code == 0


@posix
def test_A8_an_old_folder_that_is_a_link_is_not_followed(machine: Machine, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    (shared / "journal").mkdir(parents=True)
    old().parent.mkdir()
    old().symlink_to(shared)
    with pytest.raises(SetupError) as caught:
        machine.migrate()
    assert caught.value.id == "folder.unsafe"
    assert str(old()) in caught.value.summary
    assert (shared / "journal").is_dir()
    assert not new().exists()


@posix
def test_A8_a_link_in_the_old_folder_is_not_copied_from(tmp_path: Path) -> None:
    everything = filled()
    precious = tmp_path / "precious"
    precious.write_text("another's")
    (old() / "journal" / "link").symlink_to(precious)
    with across_file_systems(), pytest.raises(SetupError) as caught:
        own_folder.settle(PROFILE)
    assert (caught.value.id, caught.value.exit_code) == ("folder.unmoved", 3)
    assert "neither a folder nor a regular file" in caught.value.summary
    assert everything.items() <= contents(old()).items()
    assert not new().exists()


def test_A8_where_both_are_there_the_new_one_is_used_and_both_are_named(machine: Machine) -> None:
    assert killed(4, machine.migrate)
    journal = {name: content for name, content in move_back().items() if content}
    new().mkdir()
    (new() / "mine").write_text("x")
    machine.migrate(dry_run=True)
    (finding,) = [event for event in machine.events if isinstance(event, Finding) and event.id == "folder.left"]
    assert str(old()) in finding.message
    assert str(new()) in finding.message
    assert "A run is still open in it: " in finding.message
    assert {name: content for name, content in contents(old()).items() if content} == journal
    diagnose(machine, ["state-file"])
    assert str(old()) in checks(machine)["state-file"].evidence


@posix
def test_C3_a_folder_inside_the_project_is_refused(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(machine.lab.project / "state"))
    with pytest.raises(SetupError) as caught:
        machine.migrate()
    assert (caught.value.id, caught.value.exit_code) == ("folder.unsafe", 3)
    assert "a checkout" in caught.value.summary
    assert not (machine.lab.project / "state").exists()


@posix
def test_A8_it_lies_where_the_user_keeps_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: Path) -> None:
    assert new() == home / ".local" / "state" / "entraclaw-setup" / "entraclaw"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "s"))
    assert new() == tmp_path / "s" / "entraclaw-setup" / "entraclaw"
