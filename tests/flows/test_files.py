"""Files are written where nobody else can lead them astray (M1, M8, D4)."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from core import files, paths
from core.config.settings import Settings
from core.errors import Effected, SetupError
from core.sandbox.lab import Lab
from tests.flows.test_handoff import open_runs
from tests.machine import PROFILE, Machine, Snapshot, VirtualClock
from wizard import answers, process

pytestmark = pytest.mark.skipif(os.name != "posix", reason="owners, links and pipes of POSIX")
Plant = Callable[[Path], str]


def give_away(path: Path, patch: pytest.MonkeyPatch) -> None:
    """Make a path another user's: root can, and for anybody else everything becomes another's."""
    own = os.geteuid()
    if own == 0:
        os.chown(path, 54321, 54321, follow_symlinks=False)
    else:
        patch.setattr(os, "geteuid", lambda: own + 1)


@pytest.fixture(
    params=["file of another", "folder of another", "link", "dangling link", "pipe", "device", "second name"]
)
def planted(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Where something lies that is not ours to write to, and a file that must stay as it is."""
    folder, precious = tmp_path / "public", tmp_path / "precious"
    folder.mkdir()
    precious.write_text("mine")
    path = folder / "file"
    match request.param:
        case "file of another":
            path.write_text("")
            give_away(path, monkeypatch)
        case "folder of another":
            give_away(folder, monkeypatch)
        case "link":
            path.symlink_to(precious)
        case "dangling link":
            path.symlink_to(folder / "nothing")
        case "pipe":
            os.mkfifo(path)
        case "device":
            path = Path("/dev/null")
        case _:
            path.hardlink_to(precious)
    return path, precious


def refused(act: Callable[[], object]) -> SetupError:
    with pytest.raises(SetupError) as caught:
        act()
    assert (caught.value.id, caught.value.exit_code) == ("file.unsafe", 3)
    assert caught.value.remedy
    return caught.value


def test_D4_a_log_file_that_is_not_this_users_alone_is_refused(planted: tuple[Path, Path]) -> None:
    path, precious = planted
    assert str(path) in refused(lambda: process.log(Settings(log_file=str(path)), "migrate", ExitStack())).summary
    assert precious.read_text() == "mine"
    assert not (path.parent / "nothing").exists()


def test_M8_no_file_is_opened_that_is_not_this_users_alone(planted: tuple[Path, Path]) -> None:
    path, precious = planted
    assert refused(lambda: files.opened(path)).effected is Effected.NO, "what was about to happen has not happened"
    refused(lambda: files.check(path))
    assert precious.read_text() == "mine"


def test_M8_a_link_of_another_on_the_way_to_the_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "folder")
    os.close(files.opened(link / "file"))
    give_away(link, monkeypatch)
    assert "link" in refused(lambda: files.created(link / "other")).summary


def test_U4_answers_are_not_saved_in_the_folder_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    give_away(folder, monkeypatch)
    refused(lambda: answers.save(folder / "answers.toml", "migrate", Settings()))
    assert not list(folder.iterdir())


def test_M8_what_takes_the_place_of_a_file_is_private_whole_or_gone(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "file"
    with files.beside(path, b"new", start="x-") as put:
        (beside,) = folder.iterdir()
        assert (beside.read_bytes(), beside.stat().st_mode & 0o777) == (b"new", 0o600)
        put()
        assert path.read_bytes() == b"new"
    with pytest.raises(ZeroDivisionError), files.beside(path, b"newer", start="x-"):
        raise ZeroDivisionError
    assert path.read_bytes() == b"new"
    assert list(folder.iterdir()) == [path]


def test_M4_a_project_folder_of_another_is_known_before_anything_is_changed(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Snapshot.of(machine)
    if os.geteuid() == 0:
        os.chown(machine.lab.project, 54321, 54321)
    else:
        monkeypatch.setattr(files, "_foreign", lambda status: True)
    result = machine.migrate()
    assert (result.exit_code, result.errors[0]["id"]) == (3, "file.unsafe")
    assert machine.untouched(before)


def test_P12_no_request_is_written_into_the_folder_of_another_and_no_key_is_made_for_it(
    start_lab: Callable[[str], Lab], clock: VirtualClock, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    dev = Machine(start_lab("unprivileged"), clock)
    if os.geteuid() == 0:
        os.chown(dev.lab.project, 54321, 54321)
    else:
        monkeypatch.setattr(files, "_foreign", lambda status: True)
    result = dev.migrate()
    assert (result.exit_code, result.errors[0]["id"]) == (3, "file.unsafe")
    assert dev.keystore.accounts(dev.service) == []
    assert not list(dev.lab.project.glob("*request*"))
    assert not open_runs(home)


@pytest.mark.parametrize("name", ["journal", "lock"])
@pytest.mark.parametrize("how", ["link", "second name"])
def test_M8_a_journal_or_a_lock_that_is_a_link_is_refused(
    machine: Machine, home: Path, tmp_path: Path, name: str, how: str
) -> None:
    machine.migrate(dry_run=True)
    precious = tmp_path / "precious"
    precious.write_text("")
    folder = paths.state_folder(PROFILE) / ("journal" if name == "journal" else "locks")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    end = "jsonl" if name == "journal" else "lock"
    path = folder / f"{machine.cloud.key}_{machine.tenant.id}_{machine.app_id}.{end}"
    path.unlink(missing_ok=True)
    if how == "link":
        path.symlink_to(precious)
    else:
        path.hardlink_to(precious)
    before = Snapshot.of(machine)
    result = machine.migrate()
    assert (result.exit_code, result.errors[0]["id"]) == (3, "file.unsafe")
    assert machine.untouched(before)
    assert precious.read_text() == ""
