"""`rollback` and what `token` says of one, as commands: streams, exit codes, the result object (M10, P10)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from core import assemble
from core.clock import Cancel
from core.config.settings import Settings
from core.entra.http import Session
from core.events import Event, Question
from core.sandbox.fake_machine.az import SandboxSignIn
from core.steps.context import Context
from tests.machine import PROFILE, Machine
from wizard import commands
from wizard.cli import _parser

Command = Callable[..., int]


@pytest.fixture
def command(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command line in this process, on a migrated machine in front of the sandbox."""
    assert machine.migrate().exit_code == 0
    real = assemble.real

    def build(
        settings: Settings, cancel: Cancel, emit: Callable[[Event], None], ask: Callable[[Question], bool]
    ) -> Context:
        ctx = real(settings, cancel, emit, ask)
        ctx.sign_in, ctx.keystore = SandboxSignIn(machine.tenant, ctx.cloud), machine.keystore
        ctx.clock, ctx.session = machine.clock, Session(ctx.cloud, machine.clock)
        return ctx

    monkeypatch.setattr(assemble, "real", build)
    monkeypatch.setattr("wizard.process.forbid_core_dumps", lambda: None)

    def run(*arguments: str) -> int:
        where = ["--project", str(machine.lab.project), "--cloud", str(machine.lab.cloud_file)]
        given: dict[str, Any] = vars(_parser().parse_args([*arguments, *where]))
        return commands.run(given.pop("command"), given)

    return run


def test_M10_rollback_needs_both_flags_where_nobody_can_be_asked(
    command: Command, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("rollback") == 4
    assert command("rollback", "--accept-live-secret") == 4
    assert command("rollback", "--yes") == 4
    assert "--yes --accept-live-secret" in capsys.readouterr().err
    assert machine.passwords == []
    assert command("rollback", "--dry-run") == 0
    assert machine.passwords == []


def test_M10_D4_the_result_names_the_credential_and_no_stream_the_secret(
    command: Command, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("rollback", "--yes", "--accept-live-secret", "--json", "--verbose") == 0
    shown = capsys.readouterr()
    result = json.loads(shown.out)
    (password,) = machine.passwords
    assert result["outcome"] == "changed"
    assert result["data"]["rollback"]["key_id"] == password["keyId"]
    assert result["data"]["rollback"]["path"] == str(machine.state_file)
    assert machine.state[PROFILE.secret_member] not in shown.out + shown.err


def test_P10_M10_token_prints_the_token_alone_and_tells_of_the_rollback_on_standard_error(
    command: Command, machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    command("rollback", "--yes", "--accept-live-secret", "--quiet")
    capsys.readouterr()
    assert command("token") == 0
    shown = capsys.readouterr()
    assert shown.out.count(".") == 2
    assert shown.out.count("\n") == 1
    assert "works until" in shown.err
    machine.clock.waited += 16 * 60
    assert command("token") == 0
    shown = capsys.readouterr()
    assert shown.out.count("\n") == 1
    assert "was removed" in shown.err
    assert machine.passwords == []
    assert command("token") == 0
    assert capsys.readouterr().err == ""
