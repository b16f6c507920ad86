"""A flow that only the registry knows is found by all that offers, starts, replays and resumes (U1, U2, U4)."""

from __future__ import annotations

import io
import json
import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core import assemble
from core.clock import Cancel
from core.config.settings import Settings
from core.entra.http import Session
from core.events import Event, Question, StepFinished
from core.flow import engine
from core.flows import interrupted, registry
from core.sandbox.fake_machine.az import HARDWARE, TOOLS, SandboxSignIn
from core.steps.context import Context
from tests import dummy
from tests.machine import Crash, Machine
from wizard import answers, commands
from wizard.cli import _parser
from wizard.console import dialogue
from wizard.workspace import Local

Command = Callable[..., int]
Emit = Callable[[Event], None]
Answer = Callable[[Question], bool]


@pytest.fixture(autouse=True)
def _added(monkeypatch: pytest.MonkeyPatch) -> None:
    dummy.add_flow(monkeypatch)


@pytest.fixture
def command(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command line in this process, in front of the sandbox."""
    real = assemble.real

    def build(settings: Settings, cancel: Cancel, emit: Emit, ask: Answer) -> Context:
        ctx = real(settings, cancel, emit, ask)
        ctx.sign_in, ctx.keystore = SandboxSignIn(machine.tenant, ctx.cloud), machine.keystore
        ctx.clock, ctx.session, ctx.lifetime = machine.clock, Session(ctx.cloud, machine.clock), ()
        ctx.tools, ctx.hardware = lambda: TOOLS, lambda: HARDWARE
        return ctx

    monkeypatch.setattr(assemble, "real", build)
    monkeypatch.setattr("wizard.process.forbid_core_dumps", lambda: None)

    def run(*arguments: str) -> int:
        where = ["--project", str(machine.lab.project), "--cloud", str(machine.lab.cloud_file)]
        given: dict[str, Any] = vars(_parser().parse_args([*arguments, *where]))
        return commands.run(given.pop("command"), given)

    return run


def interrupt(machine: Machine) -> None:
    """Run it, up to a crash right after its only effect."""

    def kill(event: object) -> None:
        if isinstance(event, StepFinished) and event.step == "mark":
            raise Crash

    machine.watch = kill
    with pytest.raises(Crash):
        machine.run(dummy.FLOW)
    machine.watch = None


def test_U1_the_help_tells_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert dummy.SPEC.help in _parser().format_help()
    with pytest.raises(SystemExit):
        _parser().parse_args([dummy.SPEC.name, "--help"])
    told = capsys.readouterr().out
    assert "Leave a mark in the project." in told
    assert "--lock" in told
    assert "--dry-run" in told


def test_U4_it_is_a_command_with_a_result_of_its_own(
    command: Command, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("dummy", "--yes", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["command"], told["outcome"], told["data"]["marked"]) == ("dummy", "changed", True)
    assert (machine.lab.project / dummy.MARK).exists()


@pytest.mark.usefixtures("command")  # what the dialogue works on is the sandbox
def test_U1_the_plain_menu_offers_and_starts_it(machine: Machine) -> None:
    settings = Settings(project=str(machine.lab.project), cloud=str(machine.lab.cloud_file))
    place = [row.name for row, entry in registry.menu() if entry.line].index("dummy") + 1
    out = io.StringIO()
    dialogue.run(Local(settings), out, io.StringIO(), io.StringIO(f"{place}\n1\n"))
    told = " ".join(out.getvalue().split())
    assert f"{place} Dummy: leave a mark in the project" in told
    assert "1 mark to leave" in told
    assert "It is marked." in told
    assert (machine.lab.project / dummy.MARK).exists()


def test_U4_an_answers_file_replays_it(command: Command, machine: Machine, tmp_path: Path) -> None:
    settings = Settings(project=str(machine.lab.project), lock=True, new=True)
    path = answers.free_path("dummy", settings)
    assert path.name == "entraclaw-dummy.toml"
    answers.save(path, "dummy", settings)
    assert tomllib.loads(path.read_text()) == {"lock": True, "project": settings.project, "yes": True}
    assert "--lock" in shlex.split(answers.command_line("dummy", settings))
    program, *arguments = shlex.split(answers.replay("dummy", settings, path))
    assert (program, arguments[0], "--new" in arguments) == ("entraclaw-setup", "dummy", False), "it has no such option"
    assert command(*arguments) == 0
    assert (machine.lab.project / dummy.MARK).exists()


def test_U2_resume_continues_it_and_undo_takes_it_back(
    command: Command, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt(machine)
    found = interrupted.find(machine.build())
    assert found is not None
    assert (found.flow, len(found.done)) == ("dummy", 1)
    assert command("resume", "--yes") == 0
    assert "an interrupted 'dummy'" in " ".join(capsys.readouterr().out.split())
    assert interrupted.find(machine.build()) is None

    (machine.lab.project / dummy.MARK).unlink()
    interrupt(machine)
    assert command("undo", "--yes") == 0
    assert not (machine.lab.project / dummy.MARK).exists()
    assert machine.run(dummy.FLOW, act=engine.undo).outcome == "unchanged"


def test_U2_resume_takes_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "ROWS", (*registry.ROWS[:-1], dummy.SPEC._replace(options=("strict",))))
    assert vars(_parser().parse_args(["resume", "--strict"]))["strict"]
