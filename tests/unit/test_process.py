"""Programs: found where they may be found, given no secret, and stopped with their children (P4, C4)."""

from __future__ import annotations

import os
import select
from pathlib import Path

import pytest

from core.clock import Cancel
from core.errors import Interrupted, SetupError
from core.machine import process
from core.secret import Secret

pytestmark = pytest.mark.skipif(os.name != "posix", reason="shell scripts")
SECRET = "abc8Q~" + "x" * 34


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def gone(pid: int) -> bool:
    """Whether a process ends now: a kill is carried out when the kernel gets to it, and a zombie counts."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 30)[0])
    finally:
        os.close(descriptor)


def test_the_two_streams_are_kept_apart(tmp_path: Path) -> None:
    program = script(tmp_path / "az", 'echo "out $1"; echo err >&2; printf "\\377" >&2; exit 3')
    finished = process.run([str(program), "a b"], seconds=30, cancel=Cancel())
    assert (finished.code, finished.stdout, finished.stderr) == (3, "out a b\n", "err\n\ufffd")


def test_a_program_gets_no_input_and_the_variables_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_NAME", "yes")
    program = script(tmp_path / "az", 'read line; echo "$? $LC_NAME $EXTRA"')
    finished = process.run([str(program)], seconds=30, cancel=Cancel(), extra={"EXTRA": "more"})
    assert finished.stdout == "1 yes more\n"


def test_C4_what_is_no_row_of_the_table_is_not_started(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    for name in ("uname", "azure", "az.sh", "sh"):
        with pytest.raises(AssertionError, match="no program of the table"):
            process.run([str(script(tmp_path / name, f"touch {ran}"))], seconds=30, cancel=Cancel())
    assert not ran.exists()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_M8_a_program_that_hangs_is_stopped_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    program = script(tmp_path / "az", f"sleep 600 &\necho $$ $! > {pids}\nwait")
    with pytest.raises(SetupError) as caught:
        process.run([str(program), "account", "show"], seconds=1.5, cancel=Cancel())
    assert (caught.value.id, caught.value.exit_code) == ("az.hangs", 3)
    assert "account show" in caught.value.summary
    assert [pid for pid in map(int, pids.read_text().split()) if not gone(pid)] == []


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_child_that_keeps_the_pipe_open_after_its_parent_is_stopped_too(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    program = script(tmp_path / "az", f"sleep 600 &\necho $! > {pids}")
    with pytest.raises(SetupError):
        process.run([str(program)], seconds=1.5, cancel=Cancel())
    assert gone(int(pids.read_text()))


def test_U2_a_request_to_stop_ends_the_program(tmp_path: Path) -> None:
    cancel = Cancel()
    cancel.ask(2)
    with pytest.raises(Interrupted):
        process.run([str(script(tmp_path / "az", "exec sleep 600"))], seconds=60, cancel=cancel)


def test_P4_what_looks_like_a_secret_in_argv_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    program = script(tmp_path / "az", f"touch {ran}")
    Secret("a-value-that-the-redactor-knows")
    for argument in (SECRET, f"--password={SECRET}", "x=a-value-that-the-redactor-knows"):
        with pytest.raises(SetupError) as caught:
            process.run([str(program), argument], seconds=30, cancel=Cancel())
        assert (caught.value.id, caught.value.exit_code) == ("program.secret", 3)
        assert "Rename" in caught.value.remedy
        assert argument not in str(caught.value)
    assert not ran.exists()


def test_P4_a_variable_that_holds_a_secret_is_not_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Secret("another-value-that-the-redactor-knows")
    monkeypatch.setenv("LC_ALL", SECRET)
    monkeypatch.setenv("LC_NAME", "prefix another-value-that-the-redactor-knows")
    monkeypatch.setenv("LC_TIME", "plain")
    finished = process.run([str(script(tmp_path / "az", "env"))], seconds=30, cancel=Cancel())
    assert "LC_TIME=plain" in finished.stdout
    assert SECRET not in finished.stdout
    assert "another-value" not in finished.stdout


def test_a_program_is_found_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = script(tmp_path / "bin" / "tool", "")
    monkeypatch.setenv("PATH", str(tool.parent))
    assert process.find("tool", [tmp_path / "project"]) == tool
    assert process.find("tool", [Path("/")]) == tool, "everything lies below the root folder"
    assert process.find("no-such-tool", []) is None


@pytest.mark.parametrize(
    "way", ["direct", "link to the program", "link to its folder", "dots", "relative", "linked project"]
)
def test_C4_a_program_inside_the_project_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    project = tmp_path / "project"
    tool = script(project / "bin" / "tool", "")
    untrusted, entry = project, str(tool.parent)
    match way:
        case "link to the program":
            (tmp_path / "bin").mkdir()
            (tmp_path / "bin" / "tool").symlink_to(tool)
            entry = str(tmp_path / "bin")
        case "link to its folder":
            (tmp_path / "bin").symlink_to(tool.parent)
            entry = str(tmp_path / "bin")
        case "dots":
            (tmp_path / "other").mkdir()
            entry = str(tmp_path / "other" / ".." / "project" / "bin")
        case "relative":
            monkeypatch.chdir(project)
            entry = "bin"
        case "linked project":
            untrusted = tmp_path / "alias"
            untrusted.symlink_to(project)
    monkeypatch.setenv("PATH", entry)
    with pytest.raises(SetupError) as caught:
        process.find("tool", [untrusted])
    assert (caught.value.id, caught.value.exit_code) == ("program.untrusted", 3)


@pytest.mark.parametrize("where", ["", ".local", ".local/bin"])
@pytest.mark.parametrize("name", [".local/bin/tool", "bin/tool", ".local/share/pipx/venvs/tool/bin/tool"])
def test_C4_the_home_and_its_local_bin_are_no_project(
    home: Path, monkeypatch: pytest.MonkeyPatch, where: str, name: str
) -> None:
    tool = script(home / name, "")
    (home / ".local" / "bin").mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv("PATH", str(tool.parent))
    monkeypatch.chdir(home / where)
    assert process.find("tool", [Path.cwd(), home / where]) == tool
    assert process.find("tool", [home.parent]) == tool, "nor is what is above the home"


@pytest.mark.parametrize("entry", [".", "", "bin"])
def test_C4_a_relative_entry_of_the_path_leads_nowhere_even_in_the_home(
    home: Path, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    script(home / "tool", "")
    script(home / "bin" / "tool", "")
    monkeypatch.setenv("PATH", f"{entry}{os.pathsep}/no/such")
    monkeypatch.chdir(home)
    with pytest.raises(SetupError) as caught:
        process.find("tool", [home])
    assert caught.value.id == "program.untrusted"


def test_C4_a_project_below_the_home_is_a_project(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = script(home / "work" / "bin" / "tool", "")
    monkeypatch.setenv("PATH", str(tool.parent))
    with pytest.raises(SetupError):
        process.find("tool", [home, home / "work"])


def test_C4_the_first_one_found_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = script(tmp_path / "project" / "tool", "")
    outside = script(tmp_path / "bin" / "tool", "")
    monkeypatch.setenv("PATH", f"{inside.parent}{os.pathsep}{outside.parent}")
    with pytest.raises(SetupError):
        process.find("tool", [inside.parent])
    monkeypatch.setenv("PATH", f"{outside.parent}{os.pathsep}{inside.parent}")
    assert process.find("tool", [inside.parent]) == outside


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("stream", ["", ">&2"])
def test_a_program_that_prints_without_end_is_stopped(tmp_path: Path, stream: str) -> None:
    pids = tmp_path / "pids"
    program = script(tmp_path / "az", f"yes &\necho $$ $! > {pids}\nexec cat /dev/zero {stream}")
    with pytest.raises(SetupError) as caught:
        process.run([str(program)], seconds=60, cancel=Cancel())
    assert (caught.value.id, caught.value.exit_code) == ("az.floods", 3)
    assert "4 MB" in caught.value.summary
    assert [pid for pid in map(int, pids.read_text().split()) if not gone(pid)] == []


def test_a_long_answer_is_whole(tmp_path: Path) -> None:
    program = script(tmp_path / "az", "head -c 3000000 /dev/zero | tr '\\0' x; echo err >&2")
    finished = process.run([str(program)], seconds=60, cancel=Cancel())
    assert (len(finished.stdout), finished.stderr) == (3_000_000, "err\n")


def test_the_limit_is_wall_time(tmp_path: Path) -> None:
    program = script(tmp_path / "az", "while :; do echo x; done")
    times = iter([0.0, 5.0, 61.0])
    with pytest.raises(SetupError) as caught:
        process.run([str(program)], seconds=60, cancel=Cancel(), monotonic=lambda: next(times))
    assert caught.value.id == "az.hangs"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_program_that_closes_its_streams_and_stays(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    program = script(tmp_path / "az", f"echo $$ > {pid}; exec sleep 600 >&- 2>&-")
    with pytest.raises(SetupError) as caught:
        process.run([str(program)], seconds=1.0, cancel=Cancel())
    assert caught.value.id == "az.hangs"
    assert gone(int(pid.read_text()))


def test_U3_lines_are_heard_while_the_program_runs(tmp_path: Path) -> None:
    go, heard = tmp_path / "go", []
    os.mkfifo(go)
    program = script(
        tmp_path / "az", f'printf "one\\r\\ntw" >&2; printf "o\\n" >&2; read line < {go}; printf "$line" >&2'
    )

    def hear(line: str) -> None:
        heard.append(line)
        if line == "two":  # it waits for us: so it still runs
            go.write_text("three\n")

    finished = process.run([str(program)], hear=hear, seconds=60, cancel=Cancel())
    assert heard == ["one", "two", "three"]
    assert (finished.code, finished.stderr) == (0, "one\r\ntwo\nthree")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("way", ["cancelled", "the listener fails"])
def test_U3_a_program_that_is_attended_ends_with_its_group(tmp_path: Path, way: str) -> None:
    cancel = Cancel()
    program = script(tmp_path / "az", "sleep 600 & echo $$ $! >&2; wait")
    pids: list[int] = []

    def hear(line: str) -> None:
        pids.extend(map(int, line.split()))
        if way != "cancelled":
            raise LookupError
        cancel.ask(15)

    with pytest.raises(Interrupted if way == "cancelled" else LookupError):
        process.run([str(program)], hear=hear, seconds=60, cancel=cancel)
    assert len(pids) == 2
    assert [pid for pid in pids if not gone(pid)] == []


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("browser", ["sleep 600", "yes"])
def test_U3_a_browser_that_stays_open_holds_nobody_up(tmp_path: Path, browser: str) -> None:
    pid = tmp_path / "pid"
    program = script(tmp_path / "az", f"{browser} >&2 & echo $! > {pid}; echo done >&2; exit 3")
    try:
        finished = process.run([str(program)], hear=lambda line: None, seconds=60, cancel=Cancel())
        assert finished.code == 3
        assert "done\n" in finished.stderr
        assert not select.select([os.pidfd_open(int(pid.read_text()))], [], [], 0)[0], "it was left alone"
    finally:
        os.kill(int(pid.read_text()), 9)
