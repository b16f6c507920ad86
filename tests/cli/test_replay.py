"""`replay`, and that commands record: as lines, as JSON, listed; nothing is done (U4, U7)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core import assemble
from core.clock import Cancel
from core.config.profile import Profile
from core.config.settings import Settings
from core.entra.http import Session
from core.events import (
    ChangePlanned,
    Event,
    Finding,
    FlowFinished,
    FlowStarted,
    Question,
    StageStarted,
    StepFinished,
    result_object,
    to_json,
)
from core.recording import writer
from core.recording.reader import Tape, read
from core.sandbox.fake_machine.az import SandboxSignIn
from core.steps.context import Context
from tests.cli.screens import Screens
from tests.machine import Machine, VirtualClock
from wizard import commands
from wizard.cli import _parser
from wizard.replay import Pace

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    machine: Machine, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run a command line in this process: exit code, standard output, standard error."""
    real = assemble.real

    def build(
        settings: Settings, cancel: Cancel, emit: Callable[[Event], None], ask: Callable[[Question], bool]
    ) -> Context:
        ctx = real(settings, cancel, emit, ask)
        ctx.sign_in, ctx.keystore = SandboxSignIn(machine.tenant, ctx.cloud), machine.keystore
        ctx.clock, ctx.session, ctx.lifetime = clock, Session(ctx.cloud, clock), ()
        return ctx

    monkeypatch.setattr(assemble, "real", build)
    monkeypatch.setattr("wizard.process.forbid_core_dumps", lambda: None)

    def start(*arguments: str) -> tuple[int, str, str]:
        where = ["--project", str(machine.lab.project), "--cloud", str(machine.lab.cloud_file)]
        given: dict[str, Any] = vars(_parser().parse_args([*arguments, *where]))
        capsys.readouterr()
        code = commands.run(given.pop("command"), given)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return start


def newest() -> Path:
    return writer.kept(Profile())[0]


def test_U7_a_migration_is_recorded_and_replayed_line_by_line(run: Run) -> None:
    code, out, err = run("migrate", "--yes")
    assert (code, err) == (0, "")
    tape = read(newest())
    assert [part.flow for part in tape.parts] == ["migrate"]
    before = {path: path.stat().st_mtime_ns for path in Path.home().rglob("*")}
    code, again, err = run("replay", "last", "--speed", "0")
    assert (code, err) == (0, "")
    first, *lines = again.splitlines()
    assert first.startswith(f"Replay of {newest()}: migrate, ")
    assert lines[-2:] == ["", "End of the replay. The run ended as changed, with exit code 0."]
    assert lines[:-2] == out.splitlines()
    assert {path: path.stat().st_mtime_ns for path in Path.home().rglob("*")} == before, "nothing was written"


def test_U7_U4_as_json_the_events_and_what_was_recorded(run: Run) -> None:
    code, out, err = run("migrate", "--yes", "--json")
    result, told = json.loads(out), [json.loads(line) for line in err.splitlines()]
    assert (code, result["data"]["recording"]) == (0, str(newest()))
    assert [json.loads(line) for line in newest().read_text().splitlines()][-1] == result, "its last line"
    code, out, err = run("replay", str(newest()), "--json", "--speed", "0")
    again, shown = json.loads(out), [json.loads(line) for line in err.splitlines()]
    assert (code, again["command"], again["outcome"], again["errors"]) == (0, "replay", "unchanged", [])
    assert again["data"]["recorded"] == {"outcome": "changed", "exit_code": 0}
    assert again["data"]["parts"] == [
        {"flow": "migrate", "result": {name: result[name] for name in result if name != "schema"}}
    ]
    assert [{**event, "time": ""} for event in shown] == [{**event, "time": ""} for event in told]
    assert [event["time"] for event in shown] == [
        json.loads(line)["time"] for line in newest().read_text().splitlines()[:-1]
    ], "the recorded times"


def test_U7_a_replay_writes_no_log(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run("migrate", "--dry-run")
    monkeypatch.setenv("ENTRACLAW_SETUP_LOG_FILE", str(tmp_path / "log"))
    assert run("replay", "last", "--speed", "0")[0] == 0
    assert not (tmp_path / "log").exists()


def test_U7_a_run_that_failed_names_its_recording_and_the_replay_exits_with_0(run: Run, machine: Machine) -> None:
    machine.state_file.write_text("{")
    code, out, err = run("migrate", "--yes")
    assert code == 3
    assert err.splitlines()[-1] == f"Recorded, for support: entraclaw-setup replay {newest()}"
    code, again, errors = run("replay", "last", "--speed", "0")
    assert (code, errors) == (0, err)
    assert "with exit code 3." in again
    assert all(line in again.splitlines() for line in out.splitlines())


@pytest.mark.parametrize(
    ("arguments", "command"),
    [(["migrate", "--dry-run"], "migrate"), (["verify"], "verify"), (["resume"], "resume"), (["undo"], "undo")],
    ids=str,
)
def test_U7_every_run_that_does_something_is_recorded(run: Run, arguments: list[str], command: str) -> None:
    code, _, _ = run(*arguments)
    assert newest().name.split("_")[1] == command
    outcome = read(newest()).outcome
    assert outcome is not None
    assert (outcome.command, outcome.exit_code) == (command, code)


@pytest.mark.parametrize("arguments", [["explain", "az.missing"], ["replay"], ["token"]], ids=str)
def test_U7_what_does_nothing_is_not(run: Run, arguments: list[str]) -> None:
    run(*arguments)
    assert writer.kept(Profile()) == []


def test_U7_a_folder_that_cannot_be_written_is_one_warning_and_the_run_succeeds(run: Run) -> None:
    place = writer.folder(Profile())
    place.parent.mkdir(parents=True, mode=0o700)
    place.write_text("")
    code, out, err = run("migrate", "--yes", "--json")
    assert code == 0
    assert "recording" not in json.loads(out)["data"]
    warned = [json.loads(line)["id"] for line in err.splitlines() if '"warning"' in line]
    assert warned.count("recording.ended") == 1


def test_U7_they_are_listed_newest_first(run: Run) -> None:
    assert run("replay")[1] == f"No run was recorded yet in {writer.folder(Profile())}.\n"
    assert run("replay", "last")[0] == 2
    run("migrate", "--dry-run")
    run("verify")
    broken = newest().with_name("20990101T000000000000Z_migrate_00.jsonl")
    broken.write_text("{\n")
    broken.with_name("20980101T000000000000Z_migrate_00.jsonl").symlink_to("nowhere")
    code, out, _ = run("replay")
    rows = [line for line in out.splitlines() if not line.startswith("  ")]
    assert code == 0
    assert [row[21:].split("(")[0].strip() for row in rows] == [
        "migrate   line 1: it is no JSON",
        "migrate   No such file or directory",
        "verify    failed",
        "migrate   planned",
    ]
    listed = json.loads(run("replay", "--json")[1])["data"]["recordings"]
    assert [(each["command"], each["exit_code"]) for each in listed] == [
        ("migrate", None),
        ("migrate", None),
        ("verify", 8),
        ("migrate", 0),
    ]
    assert [each["path"] for each in listed] == [str(path) for path in writer.kept(Profile())]


def test_U7_a_demo_is_two_parts_of_one_recording(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its home goes away with it: what it leaves is read before that."""
    seen: list[Tape] = []
    show = commands._Session._finish

    def look(session: Any, ran: Any) -> int:
        code = show(session, ran)
        seen.append(read(newest()))
        return code

    monkeypatch.setattr(commands._Session, "_finish", look)
    monkeypatch.setattr("wizard.process.forbid_core_dumps", lambda: None)
    monkeypatch.setattr("os.environ", dict(os.environ))
    given = vars(_parser().parse_args(["demo", "--yes", "--json", "--scenario", "fresh", "--flow", "onboard"]))
    given.pop("command")
    assert commands.run("demo", given) == 0
    result = json.loads(capsys.readouterr().out)
    assert "recording" not in result["data"], "the file is gone by now"
    (tape,) = seen
    assert [part.flow for part in tape.parts] == ["onboard", "verify"]
    results = [part.result for part in tape.parts]
    assert [each.command for each in results if each is not None] == ["onboard", "verify"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ("no-such-file", "cannot be replayed: No such file"),
        ("last", "No run was recorded yet"),
        ("last --speed nan", "--speed"),
        ("last --speed -1", "--speed"),
        ("x --yes", "--yes has no place in a replay"),
        ("x --dry-run", "--dry-run has no place in a replay"),
        ("x --log-file y", "--log-file has no place in a replay"),
    ],
)
def test_U5_usage_is_2_and_writes_nothing(home: Path, arguments: str, why: str) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "wizard", "replay", *arguments.split()],
        env={"HOME": str(home), "PATH": os.defpath, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (finished.returncode, finished.stdout) == (2, "")
    assert why in finished.stderr
    assert list(home.iterdir()) == []


def test_U7_ten_times_as_fast_takes_a_tenth() -> None:
    clock = VirtualClock()
    start = clock.now()
    pace = Pace(clock, 10.0, start)
    pace.wait(600.0)
    assert 59 <= clock.waited <= 60.2
    assert 600 <= (pace.now() - start).total_seconds() < 700
    before = clock.waited
    pace.wait(0.5)
    assert clock.waited - before <= 0.05, "nor is a short pause too long"
    before, pace.speed = clock.waited, 0.0
    pace.wait(10_000.0)
    assert clock.waited == before, "at once"


def test_D4_a_hostile_recording_drives_no_terminal(run: Run, tmp_path: Path) -> None:
    bad = "\x1b[2J\x9b31m\u202eevil\ud800\x07\r"
    events: list[Event] = [
        FlowStarted(bad, bad),
        StageStarted(bad, bad),
        StepFinished(bad, bad, bad, "failed", bad),
        Finding(bad, "failure", bad, bad),
        ChangePlanned("delete", bad, bad, bad, bad, False, bad),
        FlowFinished(bad, bad, 0, (bad,), 1.0),
    ]
    error = {"id": bad, "message": bad, "remedy": bad, "docs": bad}
    lines = [*(to_json(event, "2026-01-01T00:00:00Z") for event in events)]
    lines.append(json.dumps(result_object(bad, bad, 7, {"recording": bad}, [error])))
    path = tmp_path / "\x1b[31mhostile.jsonl"
    path.write_text("\n".join(lines) + "\n")
    for flags in ([], ["--verbose"], ["--quiet"]):
        code, out, err = run("replay", str(path), "--speed", "0", *flags)
        assert code == 0
        assert not set(re.sub(r"\n", "", out + err)) & set("\x1b\x9b\u202e\ud800\x07\r")
        assert "evil" in out + err


@pytest.fixture
def failed(tmp_path: Path) -> Path:
    """A recording of a run that failed with a bug, by hand."""
    events: list[Event] = [
        FlowStarted("migrate", "abc"),
        StageStarted("lock", "Lock"),
        FlowFinished("migrate", "failed", 70, (), 1),
    ]
    error = {"id": "bug.internal", "message": "A bug in this program: X.", "remedy": "trace", "docs": ""}
    lines = [to_json(event, "2026-01-01T00:00:00Z") for event in events]
    path = tmp_path / "run.jsonl"
    path.write_text("\n".join([*lines, json.dumps(result_object("migrate", "failed", 70, {}, [error]))]) + "\n")
    return path


@pytest.mark.parametrize("variables", [{}, {"ENTRACLAW_SETUP_LOG_FILE": "log"}, {"TERM": "dumb"}], ids=str)
def test_U7_in_a_terminal_it_is_the_wizard_where_that_can_be_shown(
    failed: Path, home: Path, variables: dict[str, str]
) -> None:
    environment = {"HOME": str(home), "PATH": os.defpath, "LANG": "C.UTF-8", "TERM": "xterm-256color", **variables}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    screens = Screens([sys.executable, "-m", "wizard", "replay", str(failed), "--speed", "0"], environment, home)
    try:
        if variables.get("TERM") == "dumb":
            screens.see("Nothing is done.")
            screens.see("with exit code 70.")
            assert b"\x1b" not in screens.raw.getvalue()
        else:
            screens.see("REPLAY 2026-01-01")
            screens.see("bug.internal")
            screens.press("q")
        assert screens.end() == 0
        if "TERM" not in variables:
            assert screens.left_on() == []
            assert f"Replay of {failed}: migrate" in screens.last
    finally:
        screens.close()
    assert list(home.iterdir()) == [], "nothing was written, no log and no incident"
