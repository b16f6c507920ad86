"""The audit log of whole runs (D3)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core import paths
from core.entra import certificates
from core.entra.http import Session
from core.entra.tokens import mint, try_secret
from core.errors import SetupError, TokenError
from tests.machine import PROFILE, Machine


def lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in paths.audit(PROFILE).read_text().splitlines()]


def test_D3_every_effect_of_a_migration_is_told_in_order_and_closed(machine: Machine) -> None:
    assert machine.migrate().exit_code == 0
    (journal,) = (paths.state_folder(PROFILE) / "journal").glob("*.jsonl")
    entries = [json.loads(line) for line in journal.read_text().splitlines()]
    begun = [line for line in lines() if line["state"] == "begun"]
    assert [line["resource"] for line in begun] == [entry["action"] for entry in entries if entry["state"] == "intend"]
    ended = {line["n"]: line["state"] for line in lines() if line["state"] != "begun"}
    assert set(ended) == {line["n"] for line in begun}
    assert set(ended.values()) == {"done"}
    assert all(line["by"]["app"] == machine.app_id and line["by"]["session"] for line in begun)
    told = paths.audit(PROFILE).read_text()
    for value in (machine.secret.reveal(), str(machine.lab.project), machine.state[PROFILE.thumbprint_member]):
        assert value not in told


def test_D3_without_an_audit_log_nothing_is_changed(machine: Machine, home: Path) -> None:
    before = (machine.passwords, machine.keys, machine.state)
    paths.audit(PROFILE).mkdir(parents=True)
    result = machine.migrate()
    assert (result.exit_code, result.errors[0]["id"]) == (3, "file.unsafe")
    assert (machine.passwords, machine.keys, machine.state) == before
    paths.audit(PROFILE).rmdir()
    assert machine.migrate().exit_code == 0


def test_D3_tokens_that_are_asked_for_are_told_and_not_asked_for_without_the_log(machine: Machine) -> None:
    ctx = machine.build()
    session = Session(machine.cloud, machine.clock, audit=ctx.audit)
    stranger = certificates.make("CN=x", machine.clock.now(), certificates.LIFETIME, machine.app_id)
    with pytest.raises(TokenError):
        mint(session, machine.cloud, machine.tenant.id, machine.app_id, stranger)
    assert try_secret(session, machine.cloud, machine.tenant.id, machine.app_id, machine.secret).state == "live"
    assert [line.get("resource") or line["state"] for line in lines()] == [
        "token.certificate",
        "unknown",
        "token.secret",
        "done",
    ]
    paths.audit(PROFILE).unlink()
    paths.audit(PROFILE).mkdir()
    with pytest.raises(SetupError, match="regular file"):
        try_secret(session, machine.cloud, machine.tenant.id, machine.app_id, machine.secret)
