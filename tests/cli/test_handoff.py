"""`migrate`, `apply`, `resume`, `undo` as commands: exit codes, the result object, nobody to ask (P12, U2, U4, U5)."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core import assemble, paths
from core.clock import Cancel
from core.config.settings import Settings, resolve
from core.entra.http import Session
from core.errors import SetupError
from core.events import Event, Question, StepFinished
from core.sandbox.fake_machine.az import SandboxSignIn
from core.sandbox.lab import Lab
from core.steps.context import Context
from tests.machine import PROFILE, Crash, Machine, VirtualClock
from wizard import commands
from wizard.cli import _parser, run
from wizard.console.plain import Plain

MEMBERS = {"schema", "command", "outcome", "exit_code", "data", "errors"}


class Office:
    """A machine whose commands run in this process."""

    def __init__(self, machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
        self.machine, self.capsys = machine, capsys
        self.who = ""
        self.lifetime: tuple[str, ...] = ()

    def run(self, *arguments: str) -> int:
        """Run a command line; its exit code."""
        where = ["--project", str(self.machine.lab.project), "--cloud", str(self.machine.lab.cloud_file)]
        given: dict[str, Any] = vars(_parser().parse_args([*arguments, *where]))
        return commands.run(given.pop("command"), given)

    def result(self, *arguments: str) -> dict[str, Any]:
        """The result object of a command with --json."""
        self.capsys.readouterr()
        code = self.run(*arguments, "--json")
        shown = self.capsys.readouterr()
        found: dict[str, Any] = json.loads(shown.out)
        assert set(found) == MEMBERS
        assert (found["command"], found["exit_code"]) == (arguments[0], code)
        events = [json.loads(line)["event"] for line in shown.err.splitlines()]
        assert found["outcome"] == "failed" or events[-1] == "FlowFinished"
        return found

    def request(self) -> Path:
        (found,) = self.machine.lab.project.glob("entraclaw-request-*.json")
        return found


@pytest.fixture
def office(
    start_lab: Callable[[str], Lab],
    clock: VirtualClock,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Office:
    machine = Machine(start_lab("unprivileged"), clock)
    place = Office(machine, capsys)
    real = assemble.real

    def build(
        settings: Settings, cancel: Cancel, emit: Callable[[Event], None], ask: Callable[[Question], bool]
    ) -> Context:
        def watched(event: Event) -> None:
            emit(event)
            if machine.watch is not None:
                machine.watch(event)

        ctx = real(settings, cancel, watched, ask)
        ctx.sign_in, ctx.keystore = SandboxSignIn(machine.tenant, ctx.cloud, place.who), machine.keystore
        ctx.clock, ctx.session, ctx.lifetime = clock, Session(ctx.cloud, clock), place.lifetime
        return ctx

    monkeypatch.setattr(assemble, "real", build)
    monkeypatch.setattr("wizard.process.forbid_core_dumps", lambda: None)
    return place


def kill(office: Office, step: str) -> None:
    """An administrator's migration that is killed after a step."""

    def crash(event: object) -> None:
        if isinstance(event, StepFinished) and event.step == step:
            raise Crash

    office.who, office.machine.watch = "alex", crash
    with pytest.raises(Crash):
        office.run("migrate", "--yes")
    office.machine.watch = None


def test_P12_three_commands_from_two_people(office: Office) -> None:
    asked = office.result("migrate", "--yes")
    assert (asked["outcome"], asked["exit_code"]) == ("partial", 5)
    assert asked["errors"][0]["id"] == "handoff.waiting"
    assert asked["data"]["request"] == str(office.request())
    verified = office.result("verify")
    assert verified["exit_code"] == 8
    assert office.run("token") == 1
    shown = office.capsys.readouterr()
    assert shown.out == ""
    assert str(office.request()) in shown.err

    office.who = "alex"
    request = str(office.request())
    assert office.run("apply", request) == 4, "nobody can be asked"
    assert office.result("apply", request)["errors"][0]["id"] == "flow.unasked"
    planned = office.result("apply", request, "--dry-run")
    assert (planned["outcome"], planned["exit_code"]) == ("planned", 0)
    told = json.loads(office.request().read_text())["thumbprint"]
    assert office.result("apply", request, "--yes")["errors"][0]["id"] == "request.unconfirmed"
    spelled = ":".join(told[n : n + 2].lower() for n in range(0, 40, 2))
    applied = office.result("apply", request, "--yes", "--thumbprint", spelled)
    assert (applied["outcome"], applied["data"]["app_id"]) == ("changed", office.machine.app_id)
    assert applied["data"]["certificate"]["thumbprint"]
    assert office.result("apply", request, "--yes")["outcome"] == "unchanged"

    office.who = ""
    finished = office.result("resume", "--yes")
    assert (finished["outcome"], finished["exit_code"], finished["errors"]) == ("changed", 0, [])
    assert "request" not in finished["data"]
    assert finished["data"]["removed"] == {"application": 3, "servicePrincipal": 1}
    assert office.result("verify")["exit_code"] == 0


@pytest.mark.parametrize("typed", ["y", "yes", "", "0" * 40, "ab:" * 19 + "cd", "AB" * 20])
def test_P12_a_y_is_no_yes_where_a_thumbprint_is_to_be_typed(typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda: typed)
    out = io.StringIO()
    plain = Plain(out, out, colour=False, quiet=False, verbose=False)
    told = plain.ask(Question("thumbprint", "Whose?\nThe thumbprint:", False, "--thumbprint", "AB" * 20))
    assert told is (typed == "AB" * 20)
    assert "[y/N]" not in out.getvalue()
    assert "ABAB" not in out.getvalue()


@pytest.mark.parametrize("value", ["", "ABCD", "g" * 40, "0" * 41, "0" * 64])
def test_P12_what_is_no_thumbprint_is_refused_and_no_variable_or_file_says_one(value: str, tmp_path: Path) -> None:
    with pytest.raises(SetupError) as caught:
        resolve({"thumbprint": value}, {})
    assert (caught.value.id, caught.value.exit_code) == ("usage.settings", 2)
    assert resolve({}, {"ENTRACLAW_SETUP_THUMBPRINT": "0" * 40}).thumbprint == ""
    (tmp_path / "answers.toml").write_text(f"thumbprint = '{'0' * 40}'")
    with pytest.raises(SetupError, match="is not an answer"):
        resolve({"answers": str(tmp_path / "answers.toml")}, {})


@pytest.mark.parametrize("command", ["resume", "undo"])
def test_U2_where_nothing_is_open_that_is_said(office: Office, command: str) -> None:
    found = office.result(command)
    assert (found["outcome"], found["exit_code"], found["errors"]) == ("unchanged", 0, [])
    assert "No run of this project is open" in found["data"]["summary"][0]
    assert office.run(command) == 0
    assert "No run of this project is open" in office.capsys.readouterr().out


def test_U2_undo_and_resume_of_a_killed_run(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    kill(office, "register")
    refused = office.result("undo")
    assert (refused["exit_code"], refused["errors"][0]["id"]) == (4, "flow.unasked")
    planned = office.result("undo", "--dry-run")
    assert (planned["outcome"], planned["exit_code"]) == ("planned", 0)
    office.lifetime = ("CI",)  # what takes something back need not outlive the job
    with monkeypatch.context() as patch:
        patch.setenv("ENTRACLAW_SETUP_HARDWARE", "require")  # nor does it make a key
        assert office.run("undo", "--yes") == 0
    shown = office.capsys.readouterr()
    assert "Open is an interrupted 'migrate': keystore.write" in shown.out
    assert "Undone" in shown.out
    office.lifetime = ()
    assert office.result("undo", "--yes")["outcome"] == "unchanged"

    kill(office, "marker")
    stuck = office.result("undo", "--yes")
    assert (stuck["outcome"], stuck["exit_code"], stuck["errors"][0]["id"]) == ("partial", 6, "flow.no-way-back")
    assert office.result("resume", "--yes")["outcome"] == "changed"
    assert office.result("verify")["exit_code"] == 0


def test_U2_a_broken_journal_is_3(office: Office) -> None:
    kill(office, "register")
    (journal,) = paths.state_folder(PROFILE).glob("journal/*.jsonl")
    journal.write_text("no journal\n")
    for command in ("resume", "undo"):
        found = office.result(command, "--yes")
        assert (found["outcome"], found["exit_code"], found["errors"][0]["id"]) == ("failed", 3, "journal.broken")


@pytest.mark.parametrize("arguments", [["apply"], ["apply", "a", "b"], ["resume", "x"], ["undo", "--new"]], ids=str)
def test_U5_usage_of_these_commands(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*arguments, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["errors"][0]["id"] == "usage.settings"


def test_P12_a_file_that_is_no_request_is_2(office: Office) -> None:
    found = office.result("apply", str(office.machine.state_file), "--yes")
    assert (found["exit_code"], found["errors"][0]["id"]) == (2, "request.broken")
    assert office.machine.secret.reveal() not in json.dumps(found)
