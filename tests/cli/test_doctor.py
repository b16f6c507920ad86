"""`doctor` as a command: streams, exit codes, the result object, broken surroundings (D1, D4, U4, U5)."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import wizard
from core import assemble, paths
from core.checks import doctor
from core.clock import Cancel, SystemClock
from core.config.settings import Settings
from core.entra.http import Session
from core.events import Event, Question
from core.sandbox.faults import Fault
from core.sandbox.lab import Lab
from core.steps.context import Context
from tests.machine import PROFILE, Machine
from wizard import commands
from wizard.cli import _parser

Command = Callable[..., int]
Finished = subprocess.CompletedProcess[str]
Run = Callable[..., Finished]
SOURCE = str(Path(wizard.__file__).parents[1])
CANARY = "cAn8Q~canary-canary-canary-canary-canary"
posix = pytest.mark.skipif(os.name != "posix", reason="POSIX modes")


@pytest.fixture
def command(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command line in this process, on a legacy machine in front of the sandbox."""
    real = assemble.real

    def build(
        settings: Settings, cancel: Cancel, emit: Callable[[Event], None], ask: Callable[[Question], bool]
    ) -> Context:
        with monkeypatch.context() as inner:
            inner.setattr(assemble, "real", real)
            ctx = assemble.pretend(machine.lab, settings, cancel, emit, ask)
        ctx.keystore, ctx.clock = machine.keystore, machine.clock
        ctx.session = Session(ctx.cloud, machine.clock)
        return ctx

    monkeypatch.setattr(assemble, "real", build)
    monkeypatch.setattr("wizard.process.forbid_core_dumps", lambda: None)

    def run(*arguments: str) -> int:
        where = ["--project", str(machine.lab.project), "--cloud", str(machine.lab.cloud_file)]
        given: dict[str, Any] = vars(_parser().parse_args([*arguments, *where]))
        return commands.run(given.pop("command"), given)

    return run


@pytest.fixture
def run(tmp_path: Path, home: Path) -> Run:
    """Run a command as a process, in an empty home and without a terminal."""

    def start(*arguments: str, path: Path | None = None, before: tuple[str, ...] = (), **variables: str) -> Finished:
        environment = {"HOME": str(home), "PATH": os.defpath, "LANG": "C.UTF-8", **variables}
        environment["PYTHONPATH"] = os.pathsep.join([*([str(path)] if path else []), SOURCE])
        return subprocess.run(
            [*before, sys.executable, "-m", "wizard", *arguments],
            env=environment,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )

    return start


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A sandbox for processes; nobody is signed in."""
    lab = Lab.start("legacy", clock=SystemClock(), sign_in=False)
    yield lab
    lab.close()


# streams, exit codes, the result object


def test_D1_U5_exit_8_while_something_fails_and_0_when_all_is_well(
    command: Command, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("doctor") == 8
    shown = capsys.readouterr()
    assert "Password credentials: 4 can sign in as the app" in shown.out
    assert "[doctor.failed]" in shown.err
    assert "entraclaw-setup replay " in shown.err
    assert "\x1b" not in shown.out
    assert command("migrate", "--yes", "--quiet") == 0
    capsys.readouterr()
    assert command("doctor") == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert f"{len(doctor.names())} checks: " in shown.out.splitlines()[-2]
    hint = f"only with: --project {machine.lab.project} --cloud {machine.lab.cloud_file}"
    assert shown.out.splitlines()[-1].endswith(hint), "a remedy that is pasted here is about another folder"
    assert "0 failure(s)" in shown.out


def test_U4_the_events_are_lines_and_the_result_holds_every_check(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("doctor", "--json") == 8
    shown = capsys.readouterr()
    result = json.loads(shown.out)
    assert (result["command"], result["outcome"], result["exit_code"]) == ("doctor", "failed", 8)
    assert [error["id"] for error in result["errors"]] == ["doctor.failed"]
    rows = result["data"]["checks"]
    assert [row["check"] for row in rows] == list(doctor.names())
    assert all(set(row) == {"group", "check", "title", "state", "evidence", "remedy", "fix"} for row in rows)
    assert {row["state"] for row in rows} <= {"ok", "warning", "failure", "unseen"}
    assert all(row["evidence"] and (row["remedy"] or row["state"] != "failure") for row in rows)
    events = [json.loads(line) for line in shown.err.splitlines()]
    told = [{key: event[key] for key in rows[0]} for event in events if event["event"] == "Checked"]
    assert told == rows, "one line each, and the same"
    assert events[0]["event"] == "FlowStarted"
    assert events[-1]["event"] == "FlowFinished"


def test_D1_some_checks_only_and_an_unknown_name_is_2_and_names_them_all(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("doctor", "--json", "--check", "versions", "--check", "locks") == 0
    rows = json.loads(capsys.readouterr().out)["data"]["checks"]
    assert [row["check"] for row in rows] == ["versions", "locks"]
    assert command("doctor", "--check", "versions", "--check", "lock") == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "there is no check 'lock'" in shown.err
    assert ", ".join(doctor.names()) in shown.err
    assert command("doctor", "--check", "lock", "--json") == 2
    assert json.loads(capsys.readouterr().out)["errors"][0]["id"] == "usage.settings"


def test_D1_quiet_tells_what_is_not_ok_and_the_summary(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("doctor", "--quiet") == 8
    rows = [line for line in capsys.readouterr().out.splitlines() if line]
    states = [line.split()[0] for line in rows if re.match(r"  \S", line)]
    assert set(states) == {"FAIL", "warn", "unseen"}
    assert sum(line.startswith("  FAIL") for line in rows) == 2
    assert any("entraclaw-setup migrate" in line for line in rows), "the remedy belongs to it"
    assert rows[-1].startswith(f"{len(doctor.names())} checks: ")
    assert [line for line in rows if not line.startswith(" ")] == rows[-1:], "no headings"


@posix
def test_D1_fix_mends_and_says_changed(command: Command, machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("migrate", "--yes", "--quiet") == 0
    machine.state_file.chmod(0o644)
    capsys.readouterr()
    assert command("doctor") == 0
    assert f"--fix: chmod 600 {machine.state_file}" in capsys.readouterr().out
    assert stat.S_IMODE(machine.state_file.stat().st_mode) == 0o644, "without --fix nothing is changed"
    assert command("doctor", "--fix", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["outcome"] == "changed"
    assert stat.S_IMODE(machine.state_file.stat().st_mode) == 0o600
    (row,) = [row for row in result["data"]["checks"] if row["check"] == "state-file"]
    assert (row["state"], row["fix"]) == ("ok", "")
    assert row["evidence"].startswith("mended (chmod 600 ")
    assert command("doctor", "--fix", "--json") == 0
    assert json.loads(capsys.readouterr().out)["outcome"] == "unchanged"


def test_D4_no_stream_log_or_recording_holds_a_secret(
    command: Command,
    machine: Machine,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = machine.lab.project
    (project / ".env").write_text(f"AZURE_CLIENT_SECRET={CANARY}\nENTRACLAW_TENANT_ID={CANARY}\n{CANARY}\n")
    (project / ".mcp.json").write_text(json.dumps({"env": {"S": CANARY}}))
    monkeypatch.setenv("HTTP_PROXY", f"http://user:{CANARY}@127.0.0.1:1")
    secret, log = machine.secret.reveal(), tmp_path / "run.log"
    told = ""
    for form in ((), ("--json",), ("--verbose",), ("--quiet",), ("--fix",)):
        command("doctor", "--log-file", str(log), *form)
        shown = capsys.readouterr()
        told += shown.out + shown.err
    command("migrate", "--yes", "--quiet")
    command("doctor", "--json")
    shown = capsys.readouterr()
    entry = machine.keystore.read(machine.service, machine.tenant.id)
    assert entry is not None
    key = [line for line in entry.reveal().splitlines() if line and not line.startswith("-")]
    recordings = [path.read_text() for path in home.rglob("recordings/*.jsonl")]
    assert len(recordings) == 7
    everything = "\n".join([told, shown.out, shown.err, log.read_text(), *recordings])
    assert "looks like a secret" in everything, "they were looked at"
    for canary in (CANARY[-13:], secret, *key, *machine.tenant.issued):
        assert canary not in everything


# broken surroundings


@pytest.fixture
def broken(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder for PYTHONPATH in which a package cannot be imported; from the working folder none would be."""

    def plant(name: str) -> Path:
        place = tmp_path_factory.mktemp("broken") / name
        place.mkdir(parents=True)
        (place / "__init__.py").write_text('raise ImportError("planted: the disk ate it")\n')
        return place.parent

    return plant


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("requests", {"verify": 3, "migrate": 3, "undo": 3, "token": 1}),
        ("keyring", {"verify": 8, "token": 1}),  # a verification tells it as one of its checks
    ],
)
def test_D1_a_package_that_cannot_be_imported_is_named_by_doctor_and_stops_the_other_commands(
    run: Run, broken: Callable[[str], Path], lab: Lab, name: str, others: dict[str, int]
) -> None:
    folder = broken(name)
    told = run("doctor", path=folder, **lab.environment())
    assert told.returncode == 8, told.stderr
    assert re.search(rf"FAIL +Python packages: {name} [\d.]+: it cannot be imported from {folder}", told.stdout)
    assert "planted: the disk ate it" in told.stdout
    assert "pipx reinstall entraclaw-setup" in told.stdout
    assert "bug.internal" not in told.stdout + told.stderr
    result = json.loads(run("doctor", "--json", path=folder, **lab.environment()).stdout)
    rows = {row["check"]: row for row in result["data"]["checks"]}
    assert (rows["packages"]["state"], result["exit_code"]) == ("failure", 8)
    if name == "keyring":
        assert (rows["backend"]["state"], rows["state-file"]["state"]) == ("failure", "failure")
        assert "install.broken" in rows["backend"]["evidence"]
        assert len(rows) == len(doctor.names()), "it sees the rest"
    for command, code in others.items():
        finished = run(command, path=folder, **lab.environment())
        assert finished.returncode == code, command
        assert "This installation is broken" in finished.stdout + finished.stderr
        assert "planted: the disk ate it" in finished.stdout + finished.stderr
        assert "Traceback" not in finished.stderr
        if code != 8:
            assert "'entraclaw-setup doctor' shows what is missing" in finished.stderr


def test_D1_our_own_import_that_fails_is_a_bug_and_no_broken_installation() -> None:
    """A module of ours that is missing is nothing that a person can install."""
    from core.flow.engine import internal

    def caught(code: str, module: str) -> str:
        try:
            exec(code, {"__name__": module})
        except ImportError as error:
            return internal(error).id
        raise AssertionError(code)

    assert caught("raise ImportError('x')", "requests.adapters") == "install.broken"
    assert caught("import no_such_module", "core.machine.azure_cli") == "install.broken"
    assert caught("raise ImportError('x')", "core.machine.azure_cli") == "bug.internal"
    assert caught("from core.machine import no_such_module", "core.machine.azure_cli") == "bug.internal"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc takes no folder, whoever asks")
def test_D1_a_home_that_takes_nothing_is_no_obstacle(run: Run) -> None:
    finished = run("doctor", "--fix", "--json", HOME="/proc/nobody")
    assert finished.returncode == 8
    result = json.loads(finished.stdout)
    rows = result["data"]["checks"]
    assert [row["check"] for row in rows] == list(doctor.names())
    assert not [row for row in rows if "bug.internal" in row["evidence"]]
    assert "recording.ended" in finished.stderr
    assert "recording" not in result["data"]


@posix
def test_D1_A8_a_folder_that_was_open_is_told_by_whoever_closes_it(run: Run, home: Path) -> None:
    """The recording closes it before a check can look."""
    folder = paths.state_folder(PROFILE)
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    finished = run("doctor", "--json")
    assert "folder.closed" in finished.stderr
    assert str(folder) in finished.stderr
    assert stat.S_IMODE(folder.stat().st_mode) & 0o022 == 0
    assert "folder.closed" not in run("doctor", "--json").stderr


@posix
@pytest.mark.skipif(
    os.name == "posix" and os.geteuid() == 0 and not shutil.which("setpriv"), reason="modes do not bind root"
)
def test_D1_a_folder_that_this_user_may_not_read_is_a_finding(run: Run, home: Path) -> None:
    bound = () if os.geteuid() else ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    ours = paths.state_folder(PROFILE).parent
    ours.mkdir(mode=0, parents=True)
    try:
        finished = run("doctor", "--json", "--check", "state-folder", "--check", "locks", before=bound)
        assert finished.returncode == 8, finished.stderr
        for row in json.loads(finished.stdout)["data"]["checks"]:
            assert row["state"] == "failure"
            assert f"{ours}" in row["evidence"]
            assert "Permission denied" in row["evidence"]
            assert "access" in row["remedy"]
        home.chmod(0)
        finished = run("doctor", before=bound)
        assert finished.returncode == 8
        assert "config.toml cannot be used" in finished.stdout
        assert "Everything else" in finished.stdout
    finally:
        home.chmod(0o700)
        ours.chmod(0o700)


def test_U4_it_imports_no_user_interface(lab: Lab, home: Path) -> None:
    script = (
        "import sys\nfrom wizard.cli import run\n"
        "code = run(['doctor', '--quiet'])\n"
        "print('LOADED', code, *sorted({'textual', 'rich'} & {name.partition('.')[0] for name in sys.modules}))\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script],
        env={"HOME": str(home), "PATH": os.defpath, "PYTHONPATH": SOURCE, **lab.environment()},
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.stdout.splitlines()[-1] == "LOADED 8"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_U5_a_signal_ends_it_although_the_service_does_not_answer(lab: Lab, home: Path, number: int, code: int) -> None:
    fault = lab.tenant.faults.add(Fault("hold-before", "^GET /v1.0/$"))
    process = subprocess.Popen(
        [sys.executable, "-m", "wizard", "doctor", "--json"],
        env={"HOME": str(home), "PATH": os.defpath, "PYTHONPATH": SOURCE, **lab.environment()},
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert fault.reached.wait(30)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert not fault.released.is_set(), "it did not wait for the answer"
    fault.release()
    assert process.returncode == code, err
    result = json.loads(out)
    assert (result["outcome"], result["exit_code"]) == ("failed", code)
    assert result["errors"][0]["id"] == "flow.interrupted"
